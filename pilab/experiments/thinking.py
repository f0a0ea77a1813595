"""Does talking to itself unlock what was never in robot data? Ways of thinking, compared on worlds of invented nouns.

In each world the web says of forty-two things what kind they are and where kinds belong; the robot's frames show half of them
being put there. Asked is about the other half. Nobody can know a fact beforehand: nouns, kinds, homes and the halves are
drawn anew for every world, and worlds, not episodes, are what is repeated.

Single frames come first: what would it do? Then hands follow (`HANDS`): what each thinks about what the base camera shows is
carried out by one and the same low level, so that what differs is the thought. What an oracle would say is the upper bound.

Arms of a world see the same frames in the same order. What all share: `seeing` (pictures whose things have no names yet), then
the world's own text and pictures (`reading`; for arms without web, as many pictures without names).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, UnknownNameError
from pilab.data.web.chains import HOPS
from pilab.data.web.instructions import Framing
from pilab.evaluation.naming import naming_probe
from pilab.evaluation.quiz import picture_quiz
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.evaluation.thinking import frame_quiz
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.levels import Onlooker, TwoLevels
from pilab.robots.oracle import Oracle
from pilab.training.mixture import Rows
from pilab.training.recipes import LOOKING, PRACTISED, SHORT, TINY, Recipe, Stage
from pilab.training.thoughts import AT_ONCE, Thinking
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.places import PLACES
from pilab.world.scenes import REPORTED, sample_scene
from pilab.world.task import name_of, task_of

VERSION = 4  # of what is no part of a recipe: who changes it makes new runs of all
LEARN = f"{__name__}:learn"
CHAIN = Thinking(chain=True)
EDITED = Thinking(chain=True, edited=0.5)
BOTH = Thinking(chain=True, edited=0.5, dropped=0.5)


@dataclass(frozen=True)
class Arm:
    """What is different, and nothing else is."""

    thinking: Thinking = AT_ONCE
    called: str = "where"  # how the words say what is meant
    chain: bool | None = None  # how it is asked, if not as it was taught
    web: bool = True  # the world's text and pictures, before the robot's frames and beside them
    shuffled: bool = False  # on the web, facts about what the robot never handles are another world's
    times: float = 1.0  # steps over those of the others
    after: str | None = None  # the arm that it goes on from
    weights: str | None = None  # the arm that was trained so: it is only asked otherwise
    hands: bool = False  # carried out, with things that no robot data holds

    @property
    def chains(self) -> bool:
        return self.thinking.chain if self.chain is None else self.chain


FLAT, CHAINED, PRACTISED_EDITS = "flat", "chain", "chain, edits practised"
ARMS: Mapping[str, Arm] = {
    "flat, no web": Arm(web=False),
    FLAT: Arm(),
    CHAINED: Arm(CHAIN),
    PRACTISED_EDITS: Arm(EDITED),
    "chain, no web": Arm(EDITED, web=False),
    "filler": Arm(Thinking(chain=True, filler=True)),
    "both, asked for a chain": Arm(BOTH),
    "both, asked at once": Arm(BOTH, chain=False, weights="both, asked for a chain"),
    "chain, then flat": Arm(after=PRACTISED_EDITS),
    "flat, named by an oracle": Arm(called="noun"),
    "chain, shuffled web": Arm(EDITED, shuffled=True),
    "flat, twice the steps": Arm(times=2.0),
    "flat, four times the steps": Arm(times=4.0),
}
HANDS: Mapping[str, Arm] = {  # called by its look, which stays true while it is moved
    "flat, carried out": Arm(called="look", hands=True),
    "chain, carried out": Arm(EDITED, "look", hands=True),
}
ORACLE = "oracle, carried out"
WORLDS = (0, 1, 2, 3, 4)
KINDS_ASKED = tuple(kind for kind in PRACTISED if kind != "belongs")  # which is to be inferred
UNNAMED = ("name", "caption", "colour", "relation", "point", "open", "spell")  # nothing of kinds, homes and meanings


def find_arm(name: str) -> Arm:
    arms = {**ARMS, **HANDS}
    if name not in arms:
        raise UnknownNameError("arm", name, list(arms))
    return arms[name]


def facts_of(arm: Arm, world: int) -> str:
    """The table of facts that an arm's web tells."""
    return f"{'shuffled' if arm.shuffled else 'invented'}-{world}"


def seeing(scale: Scale) -> Recipe:
    """To see, before anything has a name."""
    stage = Stage(2, _rows(asked=4)) if scale is Scale.SMOKE else Stage(1500, _rows(asked=32))
    return _recipe(scale, stage, facts="looks", questions=UNNAMED)


def reading(arm: Arm, world: int, scale: Scale) -> Recipe:
    """What is known of things, then what they look like. Who has not read enough knows too little to think with: 700 steps of
    the second stage alone left 77 % of the facts and 86 % of the names, and chains that broke off at the fact.

    Without web, things go on having no names, and as many pictures of them are seen.
    """
    if not arm.web:
        stage = Stage(2, _rows(asked=4)) if scale is Scale.SMOKE else Stage(1500, _rows(asked=24))
        return _recipe(scale, stage, facts="looks", questions=UNNAMED)
    stages = Stage(500, _rows(read=128)), Stage(1500, _rows(asked=24, read=32))
    if scale is Scale.SMOKE:
        stages = Stage(1, _rows(read=4)), Stage(1, _rows(asked=4, read=2))
    return _recipe(scale, *stages, facts=facts_of(arm, world))


def acting(arm: Arm, world: int, scale: Scale) -> Recipe:
    """What the robot should do: its frames, and the web beside them."""
    smoke = scale is Scale.SMOKE
    thought, asked, read = (2, 2, 2) if smoke else (24, 16, 16)
    rows = _rows(thought=thought, **({"asked": asked, "read": read} if arm.web else {}))
    steps = max(1, round(arm.times * (1 if smoke else 300)))
    driving = Driving(chain=arm.thinking.chain)
    return _recipe(
        scale, Stage(steps, rows), facts=facts_of(arm, world), thinking=arm.thinking, driving=driving,
        framing=framing_of(arm, world, scale),
    )  # fmt: skip


def framing_of(arm: Arm, world: int, scale: Scale) -> Framing:
    """What its frames are about. Half of the looks are not enough for hands."""
    handled = objects.HANDLED if arm.hands else objects.half(world)
    return Framing(objects.LOOKS if scale is Scale.SMOKE else handled, (arm.called,))


def _rows(**kinds: int) -> Rows:
    """These alone."""
    return Rows(**{"demonstrations": 0, "pointing": 0, "point_only": 0, **kinds})


def _recipe(scale: Scale, *stages: Stage, **about: Any) -> Recipe:
    smoke = scale is Scale.SMOKE
    model = {**SHORT, **LOOKING, **(TINY if smoke else {})}
    return Recipe(
        stages, **{"questions": KINDS_ASKED, **about}, pointing_scenes=0,
        success_episodes=0, model=model, web_pictures=60 if smoke else 24_000, learning_rate=1e-3,
        validate_every=1 if smoke else 100, warm_up=1 if smoke else 40,
        average=0.98,  # of fifty steps: an arm has a few hundred
    )  # fmt: skip


def learn(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """A stage that others start from. config: stage (seeing, reading, acting), arm, seed (the world), scale, start; recipe and
    version, which tell one run from another.
    """
    recipe = _staged(config)
    done = train(
        recipe, [], Path(folder) / "checkpoint", seed=config["seed"], start=config["start"], progress=False, threads=1
    )
    return {"minutes": done.origin["minutes"], "flops": done.origin["flops"]}


def _staged(config: Mapping[str, Any]) -> Recipe:
    arm, world, scale = find_arm(config["arm"]), config["seed"], Scale(config["scale"])
    stages = {"seeing": lambda: seeing(scale), "reading": lambda: reading(arm, world, scale)}
    return stages.get(config["stage"], lambda: acting(arm, world, scale))()


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Every exam of an arm in a world. config: arm, seed (the world), scale, weights (folder of a checkpoint, or None for the
    oracle), exams (name → pictures or episodes); recipe and version.
    """
    name, world, rows, cost = config["arm"], config["seed"], [], {}
    policy = None if config["weights"] is None else VLAPolicy(Path(config["weights"]) / "checkpoint")
    for exam, number in config["exams"].items():
        rows += (carry_out if exam in EPISODES else examine)(policy, exam, number, name, world)
    if policy is not None:
        origin, cost = policy.checkpoint.origin, {"training_flops": 0.0, "training_minutes": 0.0}
        while origin:  # with all that came before
            cost = {key: cost[key] + origin[key.removeprefix("training_")] for key in cost}
            origin = origin.get("start")
    keep_rows(folder, rows, config, **cost)
    return {"arm": name, "seed": world, "rows": len(rows)}


EXAMS = ("frames", *(f"edited {hop}" for hop in HOPS), "names", "finding")
ASKED = ("names", "finding")  # of every arm: what is it, and where
EPISODES: Mapping[str, tuple[tuple[str, ...], str]] = {  # exam → things to handle, and how it is asked
    "never handled": (objects.RESERVED, "none"),
    "handled": (objects.HANDLED, "none"),
    "black cameras": (objects.RESERVED, "black"),
}


def carry_out(policy: VLAPolicy | None, exam: str, episodes: int, name: str, world: int) -> list[Row]:
    """Rows of episodes in which one thing, called by its look, is to be put where it belongs in this world.

    The shipped checkpoint acts on what `policy` thinks, or on what the oracle says where there is none.
    """
    (pool, control), facts = EPISODES[exam], objects.invented(world)
    low, scenes = VLAPolicy(DEFAULT), []
    for k in range(episodes):
        scene = sample_scene(REPORTED.start + k, "away", pool=pool, facts=facts)
        called, said = name_of(scene.goal.object, facts, by_look=True), task_of(scene).templates
        scenes.append(scene.replace(instruction=said[k % len(said)].format(object=called)))
    whole = Oracle(low, by_look=True) if policy is None else TwoLevels(Onlooker(policy), low)
    rows = evaluate(whole, "away", control=control, scenes=scenes, arm=name, threads=1, progress=False)
    return [
        dataclasses.replace(
            row, suite=exam,
            # A guess among the places that stand there is right once in so many.
            clusters={**row.clusters, "facts": facts.name, "places": sum(p.name in PLACES for p in scene.parts)},
        )
        for row, scene in zip(rows, scenes, strict=True)
    ]  # fmt: skip


def examine(policy: VLAPolicy, exam: str, pictures: int, name: str, world: int) -> list[Row]:
    """Rows of an exam, of which `suite` is the name. Facts are marked as the world's own, shuffled or not."""
    if exam not in EXAMS:
        raise UnknownNameError("exam", exam, EXAMS)
    arm, facts = find_arm(name), f"invented-{world}"
    if exam == "names":
        rows = picture_quiz(policy, pictures, REPORTED.start, facts=facts, arm=name, progress=False)
    elif exam == "finding":  # by their nouns: by their looks, who never heard the noun may find them too
        rows = naming_probe(policy, pictures, REPORTED.start, pool=objects.LOOKS, facts=facts, arm=name, progress=False)
        rows = [row for row in rows if not row.metrics["by_look"]]
    else:
        rows = frame_quiz(
            policy, pictures, REPORTED.start, framing=framing_of(arm, world, Scale.LAPTOP), facts=facts, chain=arm.chains,
            edited=exam.removeprefix("edited ") if exam != "frames" else "", arm=name, progress=False,
        )  # fmt: skip
    about = {"failure": ""} if arm.thinking.filler else {}  # there are no hops to mark
    return [dataclasses.replace(row, suite=exam, **about) for row in rows]


def runs(grid: Grid, scale: Scale, exams: Mapping[str, int], arms: Iterable[str], world: int) -> None:
    """These arms in one world: first what they start from, once for all that share it."""
    names = [arm["arm"] for arm in grid.missing({"arm": name, "seed": world} for name in arms)]
    trained = dict.fromkeys(find_arm(name).weights or name for name in names if name != ORACLE)
    before = dict.fromkeys(arm.after for arm in map(find_arm, trained) if arm.after)
    read = read_up(grid, (*trained, *before), world, scale)

    def act(name: str) -> dict[str, Any]:
        after = find_arm(name).after
        return _stage(grid, "acting", name, world, scale, act(after) if after else read[name])

    grid.prepare(LEARN, [act(name) for name in before])
    grid.prepare(LEARN, [act(name) for name in trained if name not in before])

    def asked(name: str) -> dict[str, Any]:
        about = {"arm": name, "seed": world, "scale": scale.value, "version": VERSION}
        if name in (*HANDS, ORACLE):  # other hands are another experiment
            about["shipped"] = Checkpoint.load(DEFAULT).hash
        if name == ORACLE:
            # Black cameras say nothing of who does not look.
            mine = {exam: n for exam, n in exams.items() if exam in EPISODES and EPISODES[exam][1] != "black"}
            return {**about, "weights": None, "exams": mine}
        arm = find_arm(name)
        weights = act(arm.weights or name)
        mine = {exam: n for exam, n in exams.items() if (exam in EPISODES) == arm.hands or exam in ASKED}
        if not arm.chains or arm.thinking.filler:
            mine = {exam: n for exam, n in mine.items() if "edited" not in exam}
        return {**about, "recipe": weights["recipe"], "weights": str(grid.folder(LEARN, weights)), "exams": mine}

    grid.run(f"{__name__}:run", [asked(name) for name in names])


def read_up(grid: Grid, names: Iterable[str], world: int, scale: Scale) -> dict[str, dict[str, Any]]:
    """What arms saw and read before they think, done once for all that share it; arm → its config, filed under `LEARN`."""
    seen, found = _stage(grid, "seeing", FLAT, 0, scale, None), {}
    for name in names:
        arm = find_arm(name)
        shares = next(known for known, a in ARMS.items() if (a.web, a.shuffled) == (arm.web, arm.shuffled))
        found[name] = _stage(grid, "reading", shares, world, scale, seen)
    grid.prepare(LEARN, [seen] if found else [])
    grid.prepare(LEARN, {str(config): config for config in found.values()}.values())
    return found


def seen_first(grid: Grid, scale: Scale) -> str:
    """The folder of the checkpoint that has seen, and knows no name yet."""
    seen = _stage(grid, "seeing", FLAT, 0, scale, None)
    grid.prepare(LEARN, [seen])
    return str(grid.folder(LEARN, seen) / "checkpoint")


def _stage(
    grid: Grid, stage: str, name: str, world: int, scale: Scale, start: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The config of a training; `start` is that of the one before."""
    config = {"stage": stage, "arm": name, "seed": world, "scale": scale.value, "version": VERSION}
    where = str(grid.folder(LEARN, start) / "checkpoint") if start else None
    return {**config, "start": where, "recipe": dataclasses.asdict(_staged(config))}


def amounts(scale: Scale) -> dict[str, Any]:
    """Pictures, scenes or episodes of each exam, and worlds. A GPU does as much."""
    if scale is Scale.SMOKE:
        return {"exams": {"frames": 12, "names": 6, "finding": 1, "never handled": 1}, "worlds": (0,)}
    edits = {f"edited {hop}": 600 for hop in HOPS}
    episodes = {"never handled": 100, "handled": 40, "black cameras": 10}
    return {"exams": {"frames": 1500, **edits, "names": 400, "finding": 40, **episodes}, "worlds": WORLDS}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    exams = ", ".join(f"{name} {number}" for name, number in much["exams"].items())
    arms = (*ARMS, *HANDS, ORACLE)
    return (
        f"{len(arms)} arms in {len(much['worlds'])} worlds: {'; '.join(arms)}.\n"
        f"Pictures, scenes or episodes of each exam: {exams}."
    )


def conduct(grid: Grid, scale: Scale) -> None:
    much = amounts(scale)
    for world in much["worlds"]:
        runs(grid, scale, much["exams"], (*ARMS, *HANDS, ORACLE), world)


EXPERIMENT = Experiment("04", plan, conduct)

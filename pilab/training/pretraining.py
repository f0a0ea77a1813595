"""What does each stage of pretraining buy? Text → images → robot, with one stage left out, moved or spoilt at a time.

And what does breadth buy: few demonstrations, weak ones beside them, one task or several? An arm is what came before the
robot, what stands beside it, and what it learns of the robot from. Arms of `STAGES` see the same robot samples in the same
order; all arms have the same seeds and are measured on the same scenes; those that share what came before share it to the
bit. What an arm cost is counted (FLOPs), so that arms can be compared at equal work too.

`before` and `robot` are the recipes, `run` is one run of the engine, `grid` is all of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilab.contracts import PilabError, Row, Scale, UnknownNameError
from pilab.engine import Engine
from pilab.evaluation.quiz import fact_quiz, picture_quiz
from pilab.evaluation.rollout import evaluate
from pilab.training.data import Rows
from pilab.training.recipes import LOOKING, SHORT, TINY, Recipe, Stage
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import REPORTED, sample_scene


@dataclass(frozen=True)
class Arm:
    """What is different, and nothing else is."""

    before: tuple[str, ...] = ()  # stages before the robot, in their order: "text", "images"
    beside: bool = True  # the web goes on beside the robot, as far as it came before
    work: float = 1.0  # steps of the robot's stages, over those of the others
    data: tuple[str, ...] = ("robot",)  # names of the datasets that are learnt from …
    watched: tuple[str, ...] = ()  # … and of those that are only watched
    recipe: Mapping[str, object] = field(default_factory=dict)  # changes to the recipes
    after: str | None = None  # the arm that it goes on from

    @property
    def reads(self) -> bool:
        return "text" in self.before


FULL = ("text", "images")
EQUAL = 3.7  # times the robot's steps are as much work as all stages; a test counts it
ROBOT, IMAGES, TEXT = "robot", "images → robot", "text → images → robot"
STAGES: Mapping[str, Arm] = {  # the headline: which stages, in which order, on which text
    ROBOT: Arm(),
    "robot, equal work": Arm(work=EQUAL),
    IMAGES: Arm(("images",)),
    TEXT: Arm(FULL),
    "images → text → robot": Arm(("images", "text")),
    "scrambled text → images → robot": Arm(FULL, recipe={"scrambled": True}),
    "text → images → robot alone": Arm(FULL, beside=False),
}
FEW: Mapping[str, Arm] = {  # how many demonstrations it takes
    f"{name}, {n} demonstrations": dataclasses.replace(arm, recipe={"most": n})
    for n in (30, 120)
    for name, arm in ((ROBOT, STAGES[ROBOT]), (TEXT, STAGES[TEXT]))
}
CLEAN = {"most": 50}
# A few clean demonstrations, and weak ones. Rows are drawn from all frames alike: failures take the place of clean rows,
# as they would in anybody's mixture; what is watched comes on top, as it costs no actions.
WEAK: Mapping[str, Arm] = {
    "50 clean": Arm(FULL, recipe=CLEAN),
    "and failures": Arm(FULL, data=("robot", "failures"), recipe=CLEAN),
    "and failures, tagged": Arm(FULL, data=("robot", "failures"), recipe={**CLEAN, "tagged": True}),
    "and watched": Arm(FULL, watched=("others",), recipe=CLEAN),
    "half mislabelled": Arm(FULL, recipe={**CLEAN, "mislabelled": 0.5}),
}  # fmt: skip
TASKS = ("put", "push", "open", "close")
BROAD: Mapping[str, Arm] = {  # one task alone, all of them, and all of them before the one
    "generalist": Arm(FULL, data=TASKS),
    **{f"specialist, {task}": Arm(FULL, data=(task,)) for task in ("put", "open")},
    **{f"generalist, then {task}": Arm(FULL, data=(task,), work=0.5, after="generalist") for task in ("put", "open")},
}
ARMS: Mapping[str, Arm] = {**STAGES, **FEW, **WEAK, **BROAD}


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def before(arm: Arm, scale: Scale) -> Recipe | None:
    """The stages before the robot as one recipe; None where there are none."""
    again = arm.before == FULL  # what was read goes on being read
    sizes = {"text": (600, Rows(0, 0, 0, 0, 96)), "images": (1200, Rows(0, 0, 0, 40, 16 * again))}
    if scale is Scale.SMOKE:
        sizes = {"text": (1, Rows(0, 0, 0, 0, 4)), "images": (1, Rows(0, 0, 0, 4, 2 * again))}
    stages = tuple(Stage(*sizes[name]) for name in arm.before)
    return dataclasses.replace(_plain(scale), stages=stages, **_web(arm)) if stages else None


def robot(arm: Arm, scale: Scale) -> Recipe:
    """The robot's own two stages: to see and name, then to act."""
    asked = 16 if "images" in arm.before and arm.beside else 0
    read = 8 if arm.reads and arm.beside else 0
    seeing, acting = (500, Rows(24, 0, 0, asked, read)), (1000, Rows(2, 0, 112))
    if scale is Scale.SMOKE:
        seeing, acting = (1, Rows(4, 0, 0, min(asked, 2), min(read, 2))), (1, Rows(2, 0, 4))
    if arm.watched:
        seeing = (seeing[0], dataclasses.replace(seeing[1], watched=seeing[1].demonstrations))
    stages = tuple(
        Stage(max(1, round(arm.work * steps)), rows, only)
        for (steps, rows), only in ((seeing, ()), (acting, ("head",)))
    )  # fmt: skip
    driving = Driving(thinks=False, before=("<quality=5>",) if arm.recipe.get("tagged") else ())  # the best, please
    return dataclasses.replace(_plain(scale), stages=stages, driving=driving, **arm.recipe)


def _plain(scale: Scale) -> Recipe:
    """What all share: no pointing scenes, which no robot alone could have; one model."""
    smoke = scale is Scale.SMOKE
    model = {**SHORT, **LOOKING, **(TINY if smoke else {})}
    return Recipe(
        (), pointing_scenes=0, success_episodes=0, model=model, web_pictures=12 if smoke else 12_000,
        validate_every=1 if smoke else 250, warm_up=1 if smoke else 60,
    )  # fmt: skip


def _web(arm: Arm) -> dict[str, object]:
    """The part of an arm's recipe that is about the web."""
    return {key: value for key, value in arm.recipe.items() if key in ("scrambled", "facts", "questions")}


def pretrain(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """What came before the robot. config: arm (any of those that share it), seed, scale."""
    recipe = before(find_arm(config["arm"]), Scale(config["scale"]))
    done = train(recipe, [], Path(folder) / "checkpoint", seed=config["seed"], progress=False, threads=1)
    return {"minutes": done.origin["minutes"], "flops": done.origin["flops"]}


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: the robot's stages, then every exam.

    config: arm, seed, scale, data (name → folder), start (the folder of what came before, or None), exams (name → episodes).
    """
    name, seed, folder = config["arm"], config["seed"], Path(folder)
    arm = find_arm(name)
    done = train(
        robot(arm, Scale(config["scale"])), [config["data"][key] for key in arm.data], folder / "checkpoint", seed=seed,
        start=config["start"], watched=[config["data"][key] for key in arm.watched], progress=False, threads=1,
    )  # fmt: skip
    cost, origin = dict.fromkeys(("minutes", "flops"), 0.0), done.origin
    while origin:  # with all that came before
        cost, origin = {key: cost[key] + origin[key] for key in cost}, origin.get("start")
    policy, rows = VLAPolicy(Checkpoint.load(folder / "checkpoint")), []
    for exam, episodes in config["exams"].items():
        rows += examine(policy, exam, episodes, name)
    rows = [
        dataclasses.replace(
            row, clusters={**row.clusters, "training_seed": seed}, metrics={**row.metrics, "training_flops": cost["flops"]}
        )
        for row in rows
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(row.to_json() + "\n" for row in rows), encoding="utf-8")
    return {"arm": name, "seed": seed, **cost}


EPISODES: Mapping[str, tuple[str, tuple[str, ...], str]] = {  # exam → task, things to handle, and how it is asked for
    **{task: (task, objects.HANDLED, "none") for task in TASKS},
    "reserved things": ("put", objects.RESERVED, "none"),
    "other words": ("put", objects.HANDLED, "paraphrase"),
    "another thing named": ("put", objects.HANDLED, "swap"),
    "black cameras": ("put", objects.HANDLED, "black"),
}
EXAMS = (*EPISODES, "names", "facts")


def examine(policy: VLAPolicy, exam: str, number: int, arm: str) -> list[Row]:
    """Rows of so many episodes, pictures or questions; `suite` is the exam's name."""
    if exam not in EXAMS:
        raise UnknownNameError("exam", exam, EXAMS)
    if exam == "names":
        rows = picture_quiz(policy, number, REPORTED.start, arm=arm, progress=False)
    elif exam == "facts":
        rows = fact_quiz(policy, number, REPORTED.start, arm=arm)
    else:
        task, pool, control = EPISODES[exam]
        scenes = [sample_scene(REPORTED.start + k, task, pool=pool) for k in range(number)]
        rows = evaluate(policy, exam, control=control, scenes=scenes, arm=arm, threads=1, progress=False)
    return [dataclasses.replace(row, suite=exam) for row in rows]


def grid(
    data: Mapping[str, str | Path], root: str | Path, *, scale: Scale, exams: Mapping[str, int],
    arms: Iterable[str] = tuple(STAGES), seeds: Iterable[int] = (0, 1, 2), workers: int = 2,
) -> list[Row]:  # fmt: skip
    """All arms and seeds, a whole seed after the other; goes on where it stopped. Returns all rows.

    data: robot, and what else the arms ask for (failures, others, the tasks), name → folder. Raises `PilabError` for one
    that is missing.
    """
    arms = list(arms)
    engine, jobs = Engine(root, workers), [(arm, seed) for seed in seeds for arm in arms]
    first = {key: arm for arm, key in reversed([(name, shared_key(arm, scale)) for name, arm in ARMS.items()])}
    first.pop(None, None)
    where = {key: str(Path(folder).resolve()) for key, folder in data.items()}
    every = [find_arm(name) for arm in arms for name in (arm, find_arm(arm).after) if name]
    wanted = {key for arm in every for key in (*arm.data, *arm.watched)}
    if missing := sorted(wanted - set(where)):
        raise PilabError(f"no dataset named {', '.join(missing)}; the arms need {', '.join(sorted(wanted))}")
    needed = dict.fromkeys((key, seed) for arm, seed in jobs if (key := shared_key(find_arm(arm), scale)))
    function = "pilab.training.pretraining"
    earlier = {job: {"arm": first[job[0]], "seed": job[1], "scale": scale.value} for job in needed}
    engine.map(f"{function}:pretrain", earlier.values())
    starts = {
        job: engine.submit(f"{function}:pretrain", config).folder / "checkpoint" for job, config in earlier.items()
    }

    def config(name: str, seed: int) -> dict[str, Any]:
        """Of a run; an arm that goes on from another's starts where that run keeps its checkpoint."""
        arm = find_arm(name)
        if arm.after:
            start = engine.submit(f"{function}:run", config(arm.after, seed)).folder / "checkpoint"
        else:
            start = starts.get((shared_key(arm, scale), seed))
        used = {key: where[key] for key in (*arm.data, *arm.watched)}
        asked = {"exams": dict(exams), "start": str(start) if start else None, "data": used}
        return {"arm": name, "seed": seed, "scale": scale.value, **asked}

    engine.map(f"{function}:run", [config(find_arm(name).after or name, seed) for name, seed in jobs])
    configs = [config(name, seed) for name, seed in jobs]
    engine.map(f"{function}:run", configs)
    folders = [engine.submit(f"{function}:run", config).folder for config in configs]
    lines = [line for f in folders for line in (f / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Row.from_json(line) for line in lines]


def shared_key(arm: Arm, scale: Scale) -> str | None:
    """The same for arms with the same past; None for none."""
    recipe = before(arm, scale)
    return json.dumps(dataclasses.asdict(recipe), sort_keys=True) if recipe else None

"""What does each stage of pretraining buy? Text → images → robot, with one stage left out, moved or spoilt at a time.

And what does breadth buy: few demonstrations, weak ones beside them, one task or several? An arm is what came before the
robot, what stands beside it, and what it learns of the robot from. Arms of `STAGES` see the same robot samples in the same
order; all arms have the same seeds and are measured on the same scenes; those that share what came before share it to the
bit. What an arm cost is counted (FLOPs), so that arms can be compared at equal work too.

`before` and `robot` are the recipes, `run` is one arm with one seed, `conduct` is all of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilab.contracts import PilabError, Row, Scale, UnknownNameError
from pilab.evaluation.naming import naming_probe
from pilab.evaluation.quiz import fact_quiz, picture_quiz
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.collection import Recipe as Collection
from pilab.training.mixture import Rows
from pilab.training.recipes import LOOKING, SHORT, TINY, Recipe, Stage, find_recipe
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
    tasks: tuple[str, ...] = ("put",)  # that it is examined in

    @property
    def reads(self) -> bool:
        return "text" in self.before


VERSION = 1  # of what is no part of a recipe, such as the model: who changes it makes new runs of all
FULL = ("text", "images")
EQUAL = 5.3  # times the robot's steps are as much work as all stages; a test counts it
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
    "generalist": Arm(FULL, data=TASKS, tasks=("put", "open")),
    "specialist, open": Arm(FULL, data=("open",), tasks=("open",)),  # that for put is the arm `TEXT`
    **{
        f"generalist, then {task}": Arm(FULL, data=(task,), work=0.5, after="generalist", tasks=(task,))
        for task in ("put", "open")
    },
}
INSIDE: Mapping[str, Arm] = {  # what actions have to do with the trunk
    "with action tokens": Arm(FULL, recipe={"fast": True}),  # it also learns to write the chunk, in FAST tokens
    "not insulated": Arm(FULL, recipe={"insulate": False}),  # the flow's gradient reaches it
}
ARMS: Mapping[str, Arm] = {**STAGES, **FEW, **WEAK, **BROAD, **INSIDE}


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def before(arm: Arm, scale: Scale) -> Recipe | None:
    """The stages before the robot as one recipe; None where there are none."""
    size = Scale.SMOKE if scale is Scale.SMOKE else Scale.LAPTOP  # it is the laptop's stages that are taken apart
    known = {name: find_recipe(name, size).stages[0] for name in FULL}
    if arm.before != FULL:  # only what was read before goes on being read
        rows = known["images"].rows
        known["images"] = dataclasses.replace(known["images"], rows=dataclasses.replace(rows, read=0))
    stages = tuple(known[name] for name in arm.before)
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
    recipe = dataclasses.replace(_plain(scale), stages=stages, driving=driving, **arm.recipe)
    return dataclasses.replace(recipe, most=min(recipe.most, 4)) if scale is Scale.SMOKE else recipe


def _plain(scale: Scale) -> Recipe:
    """What all share: no pointing scenes, which no robot alone could have; one model; actions normalised alike in all steps
    of a chunk, which did better in each of three seeds (notebook 00).
    """
    smoke = scale is Scale.SMOKE
    model = {**SHORT, **LOOKING, **(TINY if smoke else {})}
    return Recipe(
        (), pointing_scenes=0, success_episodes=0, model=model, web_pictures=12 if smoke else 12_000,
        validate_every=1 if smoke else 250, warm_up=1 if smoke else 60, per_step_statistics=False,
    )  # fmt: skip


def _web(arm: Arm) -> dict[str, object]:
    """The part of an arm's recipe that is about the web."""
    return {key: value for key, value in arm.recipe.items() if key in ("scrambled", "facts", "questions")}


def pretrain(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """What came before the robot. config: arm (any of those that share it), seed, scale; recipe and version, which tell one
    run from another.
    """
    recipe = before(find_arm(config["arm"]), Scale(config["scale"]))
    done = train(recipe, [], Path(folder) / "checkpoint", seed=config["seed"], progress=False, threads=1)
    return {"minutes": done.origin["minutes"], "flops": done.origin["flops"]}


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: the robot's stages, then every exam.

    config: arm, seed, scale, data (name → folder), start (the folder of what came before, or None), exams (name → episodes);
    recipe and version, which tell one run from another.
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
    keep_rows(folder, rows, config, training_flops=cost["flops"])
    return {"arm": name, "seed": seed, **cost}


EPISODES: Mapping[str, tuple[str, tuple[str, ...], str]] = {  # exam → task, things to handle, and how it is asked for
    **{task: (task, objects.HANDLED, "none") for task in TASKS},
    "reserved things": ("put", objects.RESERVED, "none"),
    "other words": ("put", objects.HANDLED, "paraphrase"),
    "another thing named": ("put", objects.HANDLED, "swap"),
    "black cameras": ("put", objects.HANDLED, "black"),
}
FINDING: Mapping[str, tuple[str, ...]] = {"finding": objects.HANDLED, "finding reserved things": objects.RESERVED}
EXAMS = (*EPISODES, *FINDING, "names", "facts", "facts never asked")  # from FINDING on, nothing moves


def examine(policy: VLAPolicy, exam: str, number: int, arm: str) -> list[Row]:
    """Rows of so many episodes, scenes, pictures or questions; `suite` is the exam's name."""
    if exam not in EXAMS:
        raise UnknownNameError("exam", exam, EXAMS)
    if exam in FINDING:  # by their nouns: by their looks, who never heard the noun may find them too
        rows = naming_probe(policy, number, REPORTED.start, pool=FINDING[exam], arm=arm, progress=False)
        rows = [row for row in rows if not row.metrics["by_look"]]
    elif exam == "names":
        rows = picture_quiz(policy, number, REPORTED.start, arm=arm, progress=False)
    elif exam in ("facts", "facts never asked"):
        rows = fact_quiz(policy, number, REPORTED.start, arm=arm)
        rows = [row for row in rows if row.metrics["rehearsed"] == (exam == "facts")]
    else:
        task, pool, control = EPISODES[exam]
        scenes = [sample_scene(REPORTED.start + k, task, pool=pool) for k in range(number)]
        rows = evaluate(policy, exam, control=control, scenes=scenes, arm=arm, threads=1, progress=False)
    return [dataclasses.replace(row, suite=exam) for row in rows]


def runs(
    grid: Grid, data: Mapping[str, str | Path], scale: Scale, exams: Mapping[str, int], arms: Iterable[str], seed: int
) -> None:
    """These arms with one seed: first what came before the robot, once for all that share it, and what others go on from.

    data: robot, and what else the arms ask for (failures, others, the tasks), name → folder. Raises `PilabError` for one
    that is missing.
    """
    names = [arm["arm"] for arm in grid.missing({"arm": name, "seed": seed} for name in arms)]
    needed = dict.fromkeys(name for arm in names for name in (find_arm(arm).after, arm) if name)
    where = {key: str(Path(folder).resolve()) for key, folder in data.items()}
    wanted = {key for name in needed for key in (*find_arm(name).data, *find_arm(name).watched)}
    if missing := sorted(wanted - set(where)):
        raise PilabError(f"no dataset named {', '.join(missing)}; the arms need {', '.join(sorted(wanted))}")
    first = {key: name for name, arm in reversed(ARMS.items()) if (key := shared_key(arm, scale))}
    about = {"seed": seed, "scale": scale.value, "version": VERSION}
    pasts = {
        key: {"arm": name, **about, "recipe": dataclasses.asdict(before(find_arm(name), scale))}
        for key, name in first.items()
    }
    before_robot, with_robot = f"{__name__}:pretrain", f"{__name__}:run"
    grid.prepare(
        before_robot, [pasts[key] for key in dict.fromkeys(shared_key(find_arm(n), scale) for n in needed) if key]
    )

    def config(name: str) -> dict[str, Any]:
        """Of a run; an arm that goes on from another's starts where that run keeps its checkpoint."""
        arm = find_arm(name)
        key = shared_key(arm, scale)
        if arm.after:
            start = grid.folder(with_robot, config(arm.after)) / "checkpoint"
        else:
            start = grid.folder(before_robot, pasts[key]) / "checkpoint" if key else None
        used = {key: where[key] for key in (*arm.data, *arm.watched)}
        asked = {"exams": exams_of(arm, exams), "start": str(start) if start else None, "data": used}
        return {"arm": name, **about, **asked, "recipe": dataclasses.asdict(robot(arm, scale))}

    grid.prepare(
        with_robot, [config(after) for after in dict.fromkeys(find_arm(name).after for name in names) if after]
    )
    grid.run(with_robot, [config(name) for name in names])


def exams_of(arm: Arm, exams: Mapping[str, int]) -> dict[str, int]:
    """Those of the tasks that an arm is examined in, and those without a task. What is found is to be put somewhere."""
    tasks = {exam: task for exam, (task, _, _) in EPISODES.items()} | dict.fromkeys(FINDING, "put")
    return {exam: n for exam, n in exams.items() if exam not in tasks or tasks[exam] in arm.tasks}


def shared_key(arm: Arm, scale: Scale) -> str | None:
    """The same for arms with the same past; None for none."""
    recipe = before(arm, scale)
    return json.dumps(dataclasses.asdict(recipe), sort_keys=True) if recipe else None


def amounts(scale: Scale) -> dict[str, Any]:
    """Episodes of a dataset and of the one of failures, trials of each exam, training seeds. A GPU does as much."""
    if scale is Scale.SMOKE:
        return {"demonstrations": 8, "failures": 2, "exams": {"put": 1, "finding": 1, "names": 4}, "seeds": (0,)}
    exams = {
        "put": 100,
        "open": 100,
        "reserved things": 100,
        "other words": 50,
        "another thing named": 50,
        "black cameras": 20,
    }
    return {
        "demonstrations": 376,
        "failures": 100,
        "exams": {**exams, **dict.fromkeys(FINDING, 60), "names": 400, "facts": 200, "facts never asked": 1000},
        "seeds": (0, 1, 2),
    }


HEADLINE = (ROBOT, "robot, equal work", IMAGES, TEXT)
# Arms, and with how many seeds: three where a verdict is wanted. What matters most comes first.
GROUPS: Sequence[tuple[tuple[str, ...], int]] = (
    (HEADLINE, 3), (tuple(arm for arm in STAGES if arm not in HEADLINE), 1), ((*FEW, *BROAD, *INSIDE, *WEAK), 1),
)  # fmt: skip


def plan(scale: Scale) -> str:
    much = amounts(scale)
    lines = []
    for arms, seeds in GROUPS:
        many = min(seeds, len(much["seeds"]))
        lines.append(f"{len(arms)} arms with {many} seed{'s' * (many > 1)}: {'; '.join(arms)}.")
    exams = ", ".join(f"{name} {number}" for name, number in much["exams"].items())
    return "\n".join(
        [
            *lines,
            f"Every arm from {much['demonstrations']} demonstrations of a task; exams, each arm in its own tasks: {exams}.",
        ]
    )


def conduct(grid: Grid, scale: Scale) -> None:
    """The headline with all its seeds first, then what breadth buys."""
    much = amounts(scale)
    for arms, seeds in GROUPS:
        todo = [seed for seed in much["seeds"][:seeds] if grid.missing({"arm": arm, "seed": seed} for arm in arms)]
        names = dict.fromkeys(name for arm in map(find_arm, arms) for name in (*arm.data, *arm.watched)) if todo else ()
        data = {name: demonstrations(grid, name, scale) for name in names}
        for seed in todo:
            runs(grid, data, scale, much["exams"], arms, seed)


def demonstrations(grid: Grid, name: str, scale: Scale) -> str:
    """The folder of a dataset that an arm names: a task's, or what is weak of put's."""
    much, clean = amounts(scale), {"noise": Recipe(()).noise, "close": Recipe(()).close}
    if name == "failures":
        policy = Collection(("put",), seed=200_000, noise=0.0, driver=str(DEFAULT), outcome="failure")
        return grid.demonstrations(name, much["failures"], policy)
    if name == "others":
        return grid.demonstrations(name, much["demonstrations"], Collection(("put",), seed=100_000, **clean))
    task = "put" if name == "robot" else name
    return grid.demonstrations(task, much["demonstrations"], Collection((task,), **clean))


EXPERIMENT = Experiment("02", plan, conduct)

"""Which sensors does it take? The same hands, taught with some of them and without the others.

The interview: three cameras, no touch and no force are enough. So for moving things about: there touch should add nothing (an
equivalence, tested as one). Where force itself is the criterion (a thing that breaks, a board to be rubbed), or where nothing
is to be seen (a socket behind a panel), it should.

Design choices
--------------
* **One pair of eyes for all.** What is shipped learns where the things of these tasks are, once for each kind of pads, with
  all its sensors; then every arm learns its actions anew from there, with the cameras and senses that it has, on the same
  rows. An arm without a sensor was never with it: it is not surprised, as one is from whom it is taken at work.
* **One arm has each sensor now and then** (modality dropout), and is then asked without what others never had.
* **Points could decide it all**: who is told where things are needs no second camera. So two arms learn without any label:
  no points, no subtasks, the actions alone train what they see.
* Controls: hands that see nothing (what can be done blind says nothing about sensors); the wrist's picture frozen while
  fingers touch, on hard and on soft pads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, UnknownNameError
from pilab.evaluation.ablation import Taken, sensors_of
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.collection import Recipe as Collection
from pilab.training.mixture import Rows
from pilab.training.recipes import Recipe, Stage, laptop
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import OWN
from pilab.world.scenes import REPORTED, find_body

VERSION = 1  # of what is no part of a recipe: who changes it makes new runs of all
TASKS = ("put", "insert", "insert_tight", "insert_hidden", "fragile", "wipe")
HARD, SOFT = "duo_touch", "duo_soft"
WRISTS = ("left_wrist", "right_wrist")
CAMERAS = ("base", *WRISTS)
BESIDE = ("touch", "force")  # what fingers and wrists feel, beside joints and tips
FELT = (*OWN, *BESIDE)
SOMETIMES = 0.3  # share of the rows in which a sensor is missing, where it is now and then

Missing = tuple[tuple[str, float], ...]


def _never(*names: str) -> Missing:
    return tuple((name, 1.0) for name in names)


@dataclass(frozen=True)
class Arm:
    """What it has to do without, and how it is taught."""

    missing: Missing = ()
    body: str = HARD
    points: bool = True  # False: no label of any kind
    asked: tuple[
        tuple[str, tuple[str, ...]], ...
    ] = ()  # what is also taken from it at work: a way of `ablation`, sensors


THREE, ALL, DROPPED, SOFTLY = "cameras", "everything", "now and then", "cameras, soft pads"
UNTOLD, ALL_UNTOLD = "cameras, no points", "everything, no points"
ARMS: Mapping[str, Arm] = {
    THREE: Arm(_never(*BESIDE), asked=(("contact", WRISTS),)),
    ALL: Arm(),
    "cameras and touch": Arm(_never("force")),
    "cameras and force": Arm(_never("touch")),
    "base alone": Arm(_never(*WRISTS, *BESIDE)),
    "wrists alone": Arm(_never("base", *BESIDE)),
    "cameras, no joints": Arm(_never(*OWN, *BESIDE)),
    "blind": Arm(_never(*CAMERAS)),
    DROPPED: Arm(
        tuple((name, SOMETIMES) for name in (*CAMERAS, *BESIDE)),
        asked=(("remove", BESIDE), ("remove", (*WRISTS, *BESIDE)), ("remove", ("base", *BESIDE))),
    ),
    SOFTLY: Arm(_never(*BESIDE), SOFT, asked=(("contact", WRISTS),)),
    UNTOLD: Arm(_never(*BESIDE), points=False),
    ALL_UNTOLD: Arm(points=False),
}
SEEDS = (0, 1, 2)
HEADLINE = (
    THREE,
    ALL,
    DROPPED,
    SOFTLY,
    UNTOLD,
    ALL_UNTOLD,
)  # the others with the first seed alone: no verdict on these


def arms_of(seed: int) -> list[str]:
    """The arms that a seed is trained for."""
    return [name for name in ARMS if seed == SEEDS[0] or name in HEADLINE]


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def eyes(scale: Scale) -> Recipe:
    """From what is shipped: where the things of these tasks are. All it has is there."""
    stage = Stage(2, Rows(4, 0, 8)) if scale is Scale.SMOKE else Stage(1200, Rows(24, 8, 64))
    return _recipe(scale, stage, ())


def hands(arm: Arm, scale: Scale) -> Recipe:
    """From those eyes, or without points from what is shipped: what to do, with what the arm has."""
    if scale is Scale.SMOKE:
        stage = Stage(2, Rows(4, 0, 8 if arm.points else 0), ("head",) if arm.points else ())
    elif arm.points:
        stage = Stage(2400, Rows(8, 0, 448), ("head",))
    else:  # pictures alone, for who cannot be told has to look; as many as the eyes and the hands have together
        stage = Stage(2400, Rows(36, 0, 0))
    return dataclasses.replace(_recipe(scale, stage, arm.missing), labels=arm.points)


def _recipe(scale: Scale, stage: Stage, missing: Missing) -> Recipe:
    quick = {"validate_every": 2, "warm_up": 1} if scale is Scale.SMOKE else {}
    return dataclasses.replace(
        laptop(Scale.LAPTOP), stages=(stage,), tasks=TASKS, anew=("head",), success_episodes=0,
        pointing_scenes=8 if scale is Scale.SMOKE else laptop(Scale.LAPTOP).pointing_scenes,
        model={"felt": FELT, "missing": missing}, driving=Driving(thinks=False), **quick,
    )  # fmt: skip


def see(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The eyes that arms share. config: body, seed, scale, data, start; recipe and version, which tell runs apart."""
    recipe = eyes(Scale(config["scale"]))
    done = train(
        recipe, config["data"], Path(folder) / "checkpoint", body=config["body"], seed=config["seed"], start=config["start"],
        progress=False, threads=1,
    )  # fmt: skip
    return {"minutes": done.origin["minutes"]}


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: its hands, then every task, with what it has and without what is taken from it besides.

    config: arm, seed, scale, data, start, tasks, episodes; recipe and version, which tell one run from another.
    """
    name, arm = config["arm"], find_arm(config["arm"])
    done = train(
        hands(arm, Scale(config["scale"])), config["data"], Path(folder) / "checkpoint", body=arm.body, seed=config["seed"],
        start=config["start"], progress=False, threads=1,
    )  # fmt: skip
    policy, rows = VLAPolicy(Path(folder) / "checkpoint"), []
    for taken in (None, *takings(arm)):
        rows += examine(policy, arm, taken, config["tasks"], config["episodes"])
    keep_rows(folder, rows, config)
    return {"arm": name, "seed": config["seed"], "minutes": done.origin["minutes"]}


def takings(arm: Arm) -> list[Taken]:
    """What is also taken from it at work."""
    known = sensors_of(find_body(arm.body))
    return [Taken(tuple(known[name] for name in sensors), way) for way, sensors in arm.asked]


def examine(policy: VLAPolicy, arm: Arm, taken: Taken | None, tasks: Sequence[str], episodes: int) -> list[Row]:
    """Rows of every task asked for; what was taken at work stands in the clusters. The same noise for all."""
    rows, about = [], {"taken": taken.what if taken else "nothing", "way": taken.way if taken else "none"}
    for task in tasks:
        found = evaluate(
            policy,
            task,
            episodes,
            REPORTED.start,
            body=arm.body,
            arm="sensors",
            glasses=taken,
            threads=1,
            progress=False,
        )
        rows += [dataclasses.replace(row, clusters={**row.clusters, **about}) for row in found]
    return rows


def amounts(scale: Scale) -> dict[str, Any]:
    """Tasks, demonstrations of all of them together, and episodes of each exam of a task. A GPU does as much."""
    if scale is Scale.SMOKE:
        return {"tasks": ("insert", "wipe"), "demonstrations": 4, "episodes": 1}
    return {"tasks": TASKS, "demonstrations": 1500, "episodes": 100}


def plan(scale: Scale) -> str:
    much, asked = amounts(scale), sum(len(takings(arm)) for arm in ARMS.values())
    return (
        f"{len(ARMS)} arms ({'; '.join(ARMS)}), {len(HEADLINE)} of them ({', '.join(HEADLINE)}) with {len(SEEDS)} seeds and "
        f"the others with one, from {much['demonstrations']} demonstrations of "
        f"{', '.join(much['tasks'])}; {much['episodes']} episodes of each, and {asked} more exams in which something is taken "
        "at work."
    )


def configs(grid: Grid, scale: Scale, data: Mapping[str, str], arms: Iterable[str], seed: int) -> list[dict[str, Any]]:
    """Of the runs of these arms; the eyes they start from are looked through first."""
    shipped, much = Checkpoint.load(DEFAULT).hash, amounts(scale)  # another one is another experiment
    about = {"seed": seed, "scale": scale.value, "version": VERSION, "shipped": shipped}
    sights = {
        body: {
            "body": body,
            **about,
            "data": [data[body]],
            "start": str(DEFAULT),
            "recipe": dataclasses.asdict(eyes(scale)),
        }
        for body in dict.fromkeys(find_arm(name).body for name in arms if find_arm(name).points)
    }
    grid.prepare(f"{__name__}:see", list(sights.values()))
    found = []
    for name, arm in ((name, find_arm(name)) for name in arms):
        start = grid.folder(f"{__name__}:see", sights[arm.body]) / "checkpoint" if arm.points else DEFAULT
        found.append({
            "arm": name, **about, "data": [data[arm.body]], "start": str(start), "tasks": much["tasks"],
            "episodes": much["episodes"], "recipe": dataclasses.asdict(hands(arm, scale)),
        })  # fmt: skip
    return found


def conduct(grid: Grid, scale: Scale) -> None:
    """A whole seed after the other."""
    for seed in SEEDS if scale is not Scale.SMOKE else SEEDS[:1]:
        todo = [run["arm"] for run in grid.missing({"arm": name, "seed": seed} for name in arms_of(seed))]
        data = {body: demonstrations(grid, body, scale) for body in {find_arm(name).body for name in todo}}
        grid.run(f"{__name__}:run", configs(grid, scale, data, todo, seed))


def demonstrations(grid: Grid, body: str, scale: Scale) -> str:
    """The folder of the demonstrations of all tasks on a body."""
    much = amounts(scale)
    recipe = Collection(much["tasks"], body=body, noise=1.0, close=0.5)
    return grid.demonstrations(body, much["demonstrations"], recipe)


EXPERIMENT = Experiment("07_sensors", plan, conduct)

"""Words, points or a trace: what should a thought be made of, when the task is one of meaning, and when it is one of space?

In the worlds of `thinking`, whose nouns nobody can know beforehand, arms see the same pictures and hear the same words, and
differ in what they are taught to think. What is asked is a matter of facts (called by its name, it is to go where it belongs),
of space (what lies there goes to the place over there), or of both (what lies there goes where it belongs). An answer is
right when it singles out the right thing and the right place: by name, or by pointing at it. There are at least two things
and two places to choose from.

The claim is a double dissociation: words help with meaning, points with space (MolmoAct, arXiv:2508.07917).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, UnknownNameError
from pilab.data.web.instructions import Framing
from pilab.evaluation.thinking import frame_quiz
from pilab.experiments import Experiment, Grid, keep_rows, thinking
from pilab.experiments.thinking import FLAT, LEARN, read_up
from pilab.training.recipes import Recipe
from pilab.training.thoughts import AT_ONCE, Thinking
from pilab.training.train import train
from pilab.vla.checkpoint import Driving
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import REPORTED

VERSION = 1  # of what is no part of a recipe: who changes it makes new runs of all
ARMS: Mapping[str, Thinking] = {
    "nothing": Thinking(words=False),
    "words": AT_ONCE,
    "chain": Thinking(chain=True),
    "points": Thinking(points=True, words=False),
    "trace": Thinking(trace=True, words=False),
    "words and points": Thinking(points=True),
    "chain and points": Thinking(chain=True, points=True),
}
# exam → how the words say what is meant
FAMILIES: Mapping[str, str] = {"meaning": "noun", "space": "there", "both": "where"}
WORLDS = (0, 1, 2)


def find_arm(name: str) -> Thinking:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def framing(world: int, scale: Scale) -> Framing:
    """Half of the looks, called in each of the ways, where there is something to choose from."""
    handled = objects.LOOKS if scale is Scale.SMOKE else objects.half(world)
    return Framing(handled, tuple(FAMILIES.values()), choice=True)


def acting(name: str, world: int, scale: Scale) -> Recipe:
    """As an arm of `thinking` with web, but for the thoughts and the frames."""
    thought = find_arm(name)
    return dataclasses.replace(
        thinking.acting(thinking.ARMS[FLAT], world, scale), thinking=thought, framing=framing(world, scale),
        driving=Driving(chain=thought.chain, thinks=not thought.silent),
    )  # fmt: skip


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm in one world: its training, then a quiz of each family.

    config: arm, seed (the world), scale, start (folder of the checkpoint that has read the web), pictures (of each quiz);
    recipe and version, which tell one run from another.
    """
    name, world, scale = config["arm"], config["seed"], Scale(config["scale"])
    where = Path(folder) / "checkpoint"
    done = train(acting(name, world, scale), [], where, seed=world, start=config["start"], progress=False, threads=1)
    policy, rows = VLAPolicy(done), []
    for family in FAMILIES:
        rows += examine(policy, name, family, world, config["pictures"])
    keep_rows(folder, rows, config, training_flops=done.origin["flops"], training_minutes=done.origin["minutes"])
    return {"arm": name, "seed": world, "rows": len(rows)}


def examine(policy: VLAPolicy, name: str, family: str, world: int, pictures: int) -> list[Row]:
    """Rows of a family, of which `suite` is the name; `success` is the right thing and the right place."""
    asked = dataclasses.replace(framing(world, Scale.LAPTOP), called=(FAMILIES[family],))
    rows = frame_quiz(
        policy, pictures, REPORTED.start, framing=asked, facts=f"invented-{world}", chain=find_arm(name).chain, arm=name,
        progress=False,
    )  # fmt: skip
    return [
        dataclasses.replace(
            row, suite=family, success=bool(row.success and row.metrics["thing"]),
            metrics={**row.metrics, "place": row.success}, failure="",
        )
        for row in rows
    ]  # fmt: skip


def runs(grid: Grid, scale: Scale, pictures: int, arms: Iterable[str], world: int) -> None:
    """These arms in one world."""
    names = [arm["arm"] for arm in grid.missing({"arm": name, "seed": world} for name in arms)]
    if not names:
        return
    start = grid.folder(LEARN, read_up(grid, [FLAT], world, scale)[FLAT]) / "checkpoint"
    about = {"seed": world, "scale": scale.value, "version": VERSION, "start": str(start), "pictures": pictures}
    grid.run(
        f"{__name__}:run",
        [{"arm": name, **about, "recipe": dataclasses.asdict(acting(name, world, scale))} for name in names],
    )


def amounts(scale: Scale) -> dict[str, Any]:
    """Pictures of each quiz, about one in ten of which can be asked about, and worlds. A GPU does as much."""
    return {"pictures": 60, "worlds": (0,)} if scale is Scale.SMOKE else {"pictures": 3000, "worlds": WORLDS}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    return (
        f"{len(ARMS)} arms in {len(much['worlds'])} worlds: {'; '.join(ARMS)}.\n"
        f"Quizzes of {much['pictures']} pictures each: {', '.join(FAMILIES)}."
    )


def conduct(grid: Grid, scale: Scale) -> None:
    much = amounts(scale)
    for world in much["worlds"]:
        runs(grid, scale, much["pictures"], ARMS, world)


EXPERIMENT = Experiment("04_representations", plan, conduct)

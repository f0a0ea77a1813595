"""A sign that no robot ever obeyed, and whose meaning was only read: is it minded?

The interview's gas leak: "you've probably never experienced that before, but you can put these things together". On the web it
is written what ten signs mean ("where a sign says keep out, nothing may be put here"); the robot's frames show what follows
from eight of them, two are kept back. What is asked for goes where it belongs, unless the sign in view forbids it; then it is
to be left alone. Who thinks in chains says first what the sign says and what that means.

Controls: signs that say nothing (nonsense), no sign at all, and arms that never read what signs mean. Who leaves everything
alone is right about most forbidden things and wrong about all others, so that both are asked about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, UnknownNameError
from pilab.data.web.instructions import ALLOWS, Framing
from pilab.data.web.lore import SIGNS
from pilab.evaluation.thinking import frame_quiz
from pilab.experiments import Experiment, Grid, keep_rows, thinking
from pilab.experiments.thinking import FLAT, LEARN, UNNAMED, read_up
from pilab.training.recipes import Recipe
from pilab.training.thoughts import AT_ONCE, Thinking
from pilab.training.train import train
from pilab.vla.checkpoint import Driving
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import REPORTED

VERSION = 1  # of what is no part of a recipe: who changes it makes new runs of all
WORLD = 0  # of nouns; what is kept back, and chance, differ between seeds
KEPT = (
    ("tools only", "wet paint"),
    ("toys only", "hot"),
    ("tools only", "hot"),
)  # by seed; each has a likeness among the rest
NONSENSE = ("blue moon", "seven cats", "so what")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Arm:
    """What is different, and nothing else is."""

    thinking: Thinking = AT_ONCE
    read: bool = True  # what signs mean, and all else of the web; False: it can read what they say


ARMS: Mapping[str, Arm] = {
    "flat": Arm(),
    "chain": Arm(Thinking(chain=True)),
    "flat, no web": Arm(read=False),
    "chain, no web": Arm(Thinking(chain=True), read=False),
}


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def kept(seed: int) -> tuple[str, ...]:
    """The signs that no frame of the robot shows."""
    return KEPT[seed % len(KEPT)]


def spelling(arm: Arm, scale: Scale) -> Recipe:
    """To read the letters of signs, which on the web at large are rare; beside it goes on what was seen and read."""
    recipe = thinking.reading(thinking.ARMS[FLAT if arm.read else "flat, no web"], WORLD, scale)
    *_, stage = recipe.stages
    steps = stage.steps if scale is Scale.SMOKE else 1000
    spells = ("spell",) * 6
    return dataclasses.replace(
        recipe, stages=(dataclasses.replace(stage, steps=steps),), web_signs=tuple(SIGNS),
        questions=(*(thinking.KINDS_ASKED if arm.read else (k for k in UNNAMED if k != "sign")), *spells),
    )  # fmt: skip


def framing(seed: int, scale: Scale) -> Framing:
    """All but the signs kept back; in some pictures there is none."""
    handled = objects.LOOKS if scale is Scale.SMOKE else objects.half(WORLD)
    return Framing(handled, signs=(*(sign for sign in SIGNS if sign not in kept(seed)), ""))


def acting(name: str, seed: int, scale: Scale) -> Recipe:
    arm = find_arm(name)
    recipe = thinking.acting(thinking.ARMS[FLAT if arm.read else "flat, no web"], WORLD, scale)
    return dataclasses.replace(
        recipe, thinking=arm.thinking, driving=Driving(chain=arm.thinking.chain), framing=framing(seed, scale),
        web_signs=(*SIGNS, "", ""), questions=spelling(arm, scale).questions,
    )  # fmt: skip


def spell(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """What arms of a kind start from. config: arm, seed, scale, start; recipe and version."""
    recipe = spelling(find_arm(config["arm"]), Scale(config["scale"]))
    where = Path(folder) / "checkpoint"
    train(recipe, [], where, seed=config["seed"], start=config["start"], progress=False, threads=1)
    return {}


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: its training, then every exam.

    config: arm, seed, scale, start, pictures (of each exam); recipe and version, which tell one run from another.
    """
    name, seed, scale = config["arm"], config["seed"], Scale(config["scale"])
    where = Path(folder) / "checkpoint"
    done = train(acting(name, seed, scale), [], where, seed=seed, start=config["start"], progress=False, threads=1)
    policy, rows = VLAPolicy(done), []
    for exam in EXAMS:
        rows += examine(policy, name, exam, seed, config["pictures"])
    keep_rows(folder, rows, config, training_flops=done.origin["flops"], training_minutes=done.origin["minutes"])
    return {"arm": name, "seed": seed, "rows": len(rows)}


EXAMS = ("never handled", "handled", "nonsense", "no sign")


def examine(policy: VLAPolicy, name: str, exam: str, seed: int, pictures: int) -> list[Row]:
    """Rows of an exam, of which `suite` is the name; `success` is to leave alone what the sign forbids, and to say of the rest
    where it goes.
    """
    if exam not in EXAMS:
        raise UnknownNameError("exam", exam, EXAMS)
    words = {
        "never handled": kept(seed), "handled": tuple(sign for sign in ALLOWS if sign not in kept(seed)),
        "nonsense": NONSENSE, "no sign": ("",),
    }[exam]  # fmt: skip
    rows = frame_quiz(
        policy, pictures, REPORTED.start, framing=framing(seed, Scale.LAPTOP), facts=f"invented-{WORLD}",
        chain=find_arm(name).thinking.chain, signs=words, arm=name, progress=False,
    )  # fmt: skip
    forbidden = [row.clusters["right"] == "" for row in rows]
    return [
        dataclasses.replace(
            row, suite=exam, clusters={**row.clusters, "forbidden": bad},
            metrics={**row.metrics, "decided": row.metrics["left"] == bad},
        )
        for row, bad in zip(rows, forbidden, strict=True)
    ]  # fmt: skip


def runs(grid: Grid, scale: Scale, pictures: int, arms: Iterable[str], seed: int) -> None:
    """These arms with one seed: first what was read and spelt, once for all."""
    names = [arm["arm"] for arm in grid.missing({"arm": name, "seed": seed} for name in arms)]
    about, starts = {"scale": scale.value, "version": VERSION}, {}
    for read in dict.fromkeys(find_arm(name).read for name in names):
        of = FLAT if read else "flat, no web"
        before = grid.folder(LEARN, read_up(grid, [of], WORLD, scale)[of]) / "checkpoint"
        recipe = dataclasses.asdict(spelling(ARMS[of], scale))
        config = {"arm": of, "seed": 0, **about, "start": str(before), "recipe": recipe}
        grid.prepare(f"{__name__}:spell", [config])
        starts[read] = str(grid.folder(f"{__name__}:spell", config) / "checkpoint")
    configs = []
    for name in names:
        fixed = {"start": starts[find_arm(name).read], "pictures": pictures}
        configs.append({
            "arm": name, "seed": seed, **about, **fixed, "recipe": dataclasses.asdict(acting(name, seed, scale))
        })  # fmt: skip
    grid.run(f"{__name__}:run", configs)


def amounts(scale: Scale) -> dict[str, Any]:
    """Pictures of each exam, about half of which can be asked about, and seeds. A GPU does as much."""
    return {"pictures": 20, "seeds": (0,)} if scale is Scale.SMOKE else {"pictures": 600, "seeds": SEEDS}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    return (
        f"{len(ARMS)} arms with {len(much['seeds'])} seeds: {'; '.join(ARMS)}.\n"
        f"Exams of {much['pictures']} pictures each: {', '.join(EXAMS)}."
    )


def conduct(grid: Grid, scale: Scale) -> None:
    much = amounts(scale)
    for seed in much["seeds"]:
        runs(grid, scale, much["pictures"], ARMS, seed)


EXPERIMENT = Experiment("04_signs", plan, conduct)

"""A sign that no robot ever obeyed, and whose meaning was only read: is it minded?

The interview's gas leak: "you've probably never experienced that before, but you can put these things together". On the web it
is written what ten signs mean ("where a sign says keep out, nothing may be put here"); the robot's frames show what follows
from seven of them, three are kept back. What is asked for goes where it belongs, unless the sign in view forbids it; then it is
to be left alone. Who thinks in chains says first what the sign says and what that means.

Of the signs kept back one forbids nothing, and exams ask as often about what is forbidden as about what is not: who leaves
alone whatever stands beside an unknown sign is right half of the time. Controls: signs that say nothing (nonsense), no sign at
all, and arms that read the same web without what signs mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, UnknownNameError
from pilab.data.web.instructions import Framing
from pilab.data.web.lore import SIGNS
from pilab.evaluation.thinking import frame_quiz
from pilab.experiments import Experiment, Grid, keep_rows, thinking
from pilab.experiments.thinking import FLAT, seen_first
from pilab.training.recipes import Recipe
from pilab.training.thoughts import AT_ONCE, Thinking
from pilab.training.train import train
from pilab.vla.checkpoint import Driving
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
from pilab.world.scenes import REPORTED

VERSION = 1  # of what is no part of a recipe: who changes it makes new runs of all
WORLD = 0  # of nouns; what is kept back, and chance, differ between seeds
KEPT = (  # by seed: of some kinds, of all things, of nothing; each has a likeness among the rest
    ("tools only", "wet paint", "trash"), ("toys only", "hot", "for guests"), ("tools only", "hot", "to wash"),
)  # fmt: skip
NONSENSE = ("blue moon", "seven cats", "so what")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Arm:
    """What is different, and nothing else is."""

    thinking: Thinking = AT_ONCE
    read: bool = True  # what signs mean; False: all else of the web


ARMS: Mapping[str, Arm] = {
    "flat": Arm(),
    "chain": Arm(Thinking(chain=True)),
    "flat, meanings not read": Arm(read=False),
    "chain, meanings not read": Arm(Thinking(chain=True), read=False),
}


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise UnknownNameError("arm", name, list(ARMS))
    return ARMS[name]


def kept(seed: int) -> tuple[str, ...]:
    """The signs that no frame of the robot shows."""
    return KEPT[seed % len(KEPT)]


def reading(arm: Arm, scale: Scale) -> Recipe:
    """The web, and then the letters of signs, which on the web at large are rare; beside it goes on what was seen and read."""
    recipe = thinking.reading(thinking.ARMS[FLAT], WORLD, scale)
    *_, stage = recipe.stages
    letters = dataclasses.replace(stage, steps=stage.steps if scale is Scale.SMOKE else 1000)
    return dataclasses.replace(recipe, stages=(*recipe.stages, letters), **_web(arm))


def _web(arm: Arm) -> dict[str, Any]:
    """A sign on two of three pictures, often asked about; all kinds of questions but that for its meaning are the same."""
    kinds = (
        *(kind for kind in thinking.KINDS_ASKED if kind != "sign"),
        "sign" if arm.read else "spell",
        *("spell",) * 5,
    )
    return {"web_signs": (*SIGNS, *NONSENSE, *[""] * 6), "questions": kinds, "signs": arm.read}


def framing(seed: int, scale: Scale) -> Framing:
    """All but the signs kept back; in some pictures there is none."""
    handled = objects.LOOKS if scale is Scale.SMOKE else objects.half(WORLD)
    return Framing(handled, signs=(*(sign for sign in SIGNS if sign not in kept(seed)), ""))


def acting(name: str, seed: int, scale: Scale) -> Recipe:
    arm = find_arm(name)
    recipe = thinking.acting(thinking.ARMS[FLAT], WORLD, scale)
    return dataclasses.replace(
        recipe,
        thinking=arm.thinking,
        driving=Driving(chain=arm.thinking.chain),
        framing=framing(seed, scale),
        **_web(arm),
    )


def read(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """What arms of a kind start from. config: arm, seed, scale, start; recipe and version."""
    recipe = reading(find_arm(config["arm"]), Scale(config["scale"]))
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
        "never handled": kept(seed), "handled": tuple(sign for sign in SIGNS if sign not in kept(seed)),
        "nonsense": NONSENSE, "no sign": ("",),
    }[exam]  # fmt: skip
    rows = frame_quiz(
        policy, pictures, REPORTED.start, framing=framing(seed, Scale.LAPTOP), facts=f"invented-{WORLD}",
        chain=find_arm(name).thinking.chain, signs=words, arm=name, progress=False,
    )  # fmt: skip
    rows = [decided(row, exam) for row in rows]
    forbidden, allowed = ([row for row in rows if row.clusters["forbidden"] == bad] for bad in (True, False))
    if exam in ("nonsense", "no sign"):
        return allowed
    many = min(len(forbidden), len(allowed))  # as many of each, so that half is right by chance
    return sorted((*forbidden[:many], *allowed[:many]), key=lambda row: row.seed)


def decided(row: Row, exam: str) -> Row:
    """Whether it left alone what is forbidden, and said of the rest where it goes, to wherever."""
    bad = row.clusters["right"] == ""
    right = bool(row.metrics["left"] if bad else row.clusters["said"])
    return dataclasses.replace(
        row, suite=exam, clusters={**row.clusters, "forbidden": bad}, metrics={**row.metrics, "decided": right}
    )


def runs(grid: Grid, scale: Scale, pictures: int, arms: Iterable[str], seed: int) -> None:
    """These arms with one seed: first what was read, once for all."""
    names = [arm["arm"] for arm in grid.missing({"arm": name, "seed": seed} for name in arms)]
    about, starts = {"scale": scale.value, "version": VERSION}, {}
    seen = seen_first(grid, scale) if names else None
    for reads in dict.fromkeys(find_arm(name).read for name in names):
        of = next(name for name, arm in ARMS.items() if arm.read == reads)
        recipe = dataclasses.asdict(reading(ARMS[of], scale))
        config = {"arm": of, "seed": 0, **about, "start": seen, "recipe": recipe}
        grid.prepare(f"{__name__}:read", [config])
        starts[reads] = str(grid.folder(f"{__name__}:read", config) / "checkpoint")
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

"""What does the shipped policy know, and in which frame does it know where things are?

Monkeys that learn to use a tool come to see where things are from its tip (Iriki, Tanaka and Iwamura 1996, NeuroReport 7,
2325). A robot that has to bring its tool tip to a thing has the same to do: somewhere between the pictures and the hands,
"there on the table" has to become "there from my tip". Where, is asked of every part of the network, with a read-out that adds
nothing.

Each seed has scenes, random weights and shuffles of its own; the policy is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilab.contracts import Scale
from pilab.evaluation.inside import look_inside, questions
from pilab.evaluation.rollout import DEFAULT, suite_scenes
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.policy import VLAPolicy
from pilab.world.scenes import REPORTED

ARM = "shipped"
SEEDS = (0, 1, 2)


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The read-outs with one seed. config: arm, seed, episodes, frames, start, shipped."""
    seed = config["seed"]
    scenes = suite_scenes("all", config["episodes"], REPORTED.start + 10_000 * seed)
    seen = look_inside(VLAPolicy(config["start"]), scenes, frames=config["frames"], seed=seed)
    rows = questions(seen, arm=ARM, seed=seed)
    keep_rows(folder, rows, config)
    return {"seed": seed, "frames": len(seen), "rows": len(rows)}


def amounts(scale: Scale) -> dict[str, int]:
    """Episodes, and frames of each that are read."""
    return {"episodes": 12, "frames": 2} if scale is Scale.SMOKE else {"episodes": 240, "frames": 3}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    minutes = "" if scale is Scale.SMOKE else ", some 5 minutes of a core each"
    return f"{len(SEEDS)} seeds: {much['frames']} frames of each of {much['episodes']} episodes, read out in 5 folds{minutes}."


def conduct(grid: Grid, scale: Scale) -> None:
    about = {"arm": ARM, "start": str(DEFAULT), "shipped": Checkpoint.load(DEFAULT).hash, **amounts(scale)}
    grid.run(f"{__name__}:run", [{**about, "seed": seed} for seed in SEEDS])


EXPERIMENT = Experiment("06_inside", plan, conduct)

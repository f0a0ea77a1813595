"""A demo reel and the truth: what a film of successes says of a policy, and what it does when one thing is changed.

The interview: effective generalisation is not the best way to have an exciting demo; to make one thing work in one setting is.
A policy that knows a hundred scenes by heart is filmed in these, as anybody films a demo; then each axis of `perturbations`
changes one thing about them, and each control takes something away. So it is for the shipped policy, in the same scenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pilab.contracts import Policy, Scale, Scene, UnknownNameError
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.card import EXAM, SEVERITY
from pilab.evaluation.perturbations import AXES, told
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.collection import Recipe as Collection
from pilab.robots.memoriser import Memoriser
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.policy import VLAPolicy
from pilab.world.scenes import REPORTED, sample_scene

VERSION = 1
BY_HEART, SHIPPED = "by heart", "shipped"
ARMS = (BY_HEART, SHIPPED)
REEL, NEW = "reel", "new scenes"
GRADES = (0.5, 1.0)
CONTROLS = ("paraphrase", "swap", "scramble", "black")
MORE = (REEL, "scramble")  # that words do nothing is an equivalence, which takes three hundred pairs


def find_policy(arm: str, data: str) -> Policy:
    if arm not in ARMS:
        raise UnknownNameError("arm", arm, ARMS)
    return Memoriser(data) if arm == BY_HEART else VLAPolicy(DEFAULT)


def exams() -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Name, control and severities of each."""
    yield REEL, "none", {}
    yield NEW, "none", {}
    yield from ((axis, "none", {axis: severity}) for axis in AXES for severity in GRADES)
    yield from ((control, control, {}) for control in CONTROLS)


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm in all exams. config: arm, seed, data, episodes, more; version and the shipped weights, which tell runs apart."""
    dataset = LeRobotDataset(config["data"])
    scenes = [Scene.from_json(row["scene"]) for row in dataset.episodes]
    policy, rows = find_policy(config["arm"], config["data"]), []
    for name, control, severities in exams():
        asked = scenes[: config["more" if name in MORE else "episodes"]]
        if name == NEW:
            asked = [sample_scene(REPORTED.start + k, "put") for k in range(len(asked))]
        found = evaluate(
            policy, control=control, perturbed=severities, scenes=asked, arm=config["arm"], threads=1, progress=False
        )
        about = {EXAM: name, SEVERITY: max(severities.values(), default=0.0)}
        rows += [replace(row, suite="put", control=told(severities) if severities else control,
                         clusters={**row.clusters, **about}) for row in found]  # fmt: skip
    keep_rows(folder, rows, config)
    return {"arm": config["arm"], "rows": len(rows)}


def amounts(scale: Scale) -> dict[str, int]:
    """Scenes of an exam, and of those that take more of them."""
    return {"episodes": 1, "more": 1} if scale is Scale.SMOKE else {"episodes": 100, "more": 300}


def plan(scale: Scale) -> str:
    asked, much = list(exams()), amounts(scale)
    return (
        f"{len(ARMS)} policies ({', '.join(ARMS)}) in {len(asked)} exams of {much['episodes']} scenes ({much['more']} for "
        f"{', '.join(MORE)}): as filmed, new "
        f"ones, {len(AXES)} axes at {' and '.join(map(str, GRADES))}, {', '.join(CONTROLS)}. Nothing is trained"
        + ("." if scale is Scale.SMOKE else "; some 45 minutes of a core.")
    )


def conduct(grid: Grid, scale: Scale) -> None:
    much = amounts(scale)
    data = grid.demonstrations("by heart", max(2, much["more"]), Collection(("put",), noise=0.0))
    about = {"seed": 0, "data": data, "version": VERSION, "shipped": Checkpoint.load(DEFAULT).hash, **much}
    grid.run(f"{__name__}:run", [{"arm": arm, **about} for arm in ARMS])


EXPERIMENT = Experiment("13", plan, conduct)

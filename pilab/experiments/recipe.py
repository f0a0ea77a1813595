"""What is each part of the recipe worth? The same training with one part changed, several seeds each.

Every arm runs the same steps on the same data with the same seeds, each on one core, and is measured on the same
validation scenes. `run` is one arm with one seed; `conduct` is all of them.

What concerns acting starts from one checkpoint that sees already and learns its actions anew: minutes instead of hours.
What concerns seeing (`ANEW`) learns everything anew, and is compared with the whole recipe done so. All these act on the
instruction alone, at temperature 1: thoughts that one arm has and another has lost would be a second difference. What
concerns driving is learnt by nobody: it is asked of the checkpoint as it is, thoughts included (`DRIVEN`), or of the weights
of the arm `recipe` (`COOLED`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pilab.contracts import Scale, UnknownNameError
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.experiments import Experiment, Grid, keep_rows
from pilab.robots.collection import Recipe as Collection
from pilab.training.mixture import PICTURE, Rows
from pilab.training.recipes import Recipe, laptop
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.world.scenes import VALIDATION

BASE = "recipe"
WHOLE = "recipe, all anew"
ANEW = (WHOLE, "no pointing scenes", "not insulated", "no labels")
SHARE = 4  # one row in so many


def fewer(rows: Rows) -> Rows:
    """A quarter of every kind, so that the few minutes of an arm hold more steps: early on, these count for more."""
    return Rows(*(number // SHARE for number in dataclasses.astuple(rows)))


SEEING, ACTING = (fewer(stage.rows) for stage in laptop(Scale.LAPTOP).stages)
# Arm → what is different: in the model, or in the rows of the stage that learns to see and of the one that learns to act.
# Where a kind of row is taken out, pictures take its place at the same cost.
ARMS: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    WHOLE: {},
    "one statistic for all steps": {"per_step_statistics": False},
    "velocity prediction": {"model": {"clean": False}},
    "mean square error": {"model": {"robust": 0.0}},
    "AdamW alone": {"muon": False},
    "no pointing scenes": {"seeing": {"demonstrations": SEEING.demonstrations + SEEING.pointing, "pointing": 0}},
    "no point-only rows": {
        "acting": {"demonstrations": ACTING.demonstrations + ACTING.point_only // PICTURE, "point_only": 0}
    },
    "relative joints": {"model": {"action_space": "relative_joints"}},
    "absolute joints": {"model": {"action_space": "absolute_joints"}},
    "no image tokens": {"model": {"image_tokens": False}},
    "no glimpses": {"model": {"glimpse": 0}},
    "points as pixels": {"model": {"hands": 0}},
    "not insulated": {"insulate": False},
    "no labels": {"labels": False, "pointing_scenes": 0},
    "regression (ACT)": {"model": {"head": "regression"}},
    # Asked after the rows of the others were seen: what made it better, all at once.
    "the three together": {"per_step_statistics": False, "model": {"head": "regression", "image_tokens": False}},
}
DRIVEN: Mapping[str, Mapping[str, Any]] = {  # what is different in its `Driving`
    **{f"re-plan every {steps}": {"replan_interval": steps} for steps in (1, 2, 4, 6, 8)},  # of a chunk of 8
    **{f"temperature {heat:g}": {"temperature": heat} for heat in (0.0, 0.5, 1.0)},
}
COOLED: Mapping[str, Mapping[str, Any]] = {"temperature 0 at work": {"temperature": 0.0}}
# What notebook 00 reports. The other arms are there to be asked.
ACTS = (
    BASE, "velocity prediction", "one statistic for all steps", "no point-only rows",
    "no image tokens", "relative joints", "regression (ACT)", "the three together",
)  # fmt: skip
SEES = (WHOLE, "no pointing scenes", "no labels")
SEEDS = (0, 1, 2)


def recipe_of(arm: str, steps: int) -> Recipe:
    """The laptop recipe, or its second stage alone, shortened and with fewer rows, with the arm's one change."""
    if arm not in ARMS:
        raise UnknownNameError("arm", arm, list(ARMS))
    change = dict(ARMS[arm])
    base = laptop(Scale.LAPTOP)
    change["model"] = {**base.model, **change.get("model", {})}
    stages = []
    wanted = dict(zip(("seeing", "acting"), base.stages, strict=True))
    if arm not in ANEW:
        del wanted["seeing"]
    whole = sum(stage.steps for stage in wanted.values())
    for name, stage in wanted.items():
        rows = dataclasses.replace(fewer(stage.rows), **change.pop(name, {}))
        stages.append(dataclasses.replace(stage, rows=rows, steps=max(1, round(steps * stage.steps / whole))))
    quiet = {"success_episodes": 0, "success_every": 0, "validate_every": max(1, steps // 4)}
    driving = Driving(thinks=False, temperature=1.0)
    quiet |= {"driving": driving, "anew": ("head",)}
    return dataclasses.replace(base, stages=tuple(stages), **quiet, **change)


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: train (unless it is one of `DRIVEN` or `COOLED`), then measure.

    config: arm, seed, steps, data, start, suite, episodes.
    """
    arm, seed, folder = config["arm"], config["seed"], Path(folder)
    if driven := {**DRIVEN, **COOLED}.get(arm):
        checkpoint = Checkpoint.load(config["start"])
        checkpoint.driving = dataclasses.replace(checkpoint.driving, **driven)
    else:
        checkpoint = train(
            recipe_of(arm, config["steps"]), config["data"], folder / "checkpoint", seed=seed,
            start=None if arm in ANEW else config["start"], progress=False, threads=1,
        )  # fmt: skip
    policy, episodes = VLAPolicy(checkpoint), config["episodes"]
    rows = evaluate(policy, config["suite"], episodes, VALIDATION.start, arm=arm, threads=1, progress=False)
    keep_rows(folder, rows, config)
    won = sum(row.success for row in rows)
    return {"arm": arm, "seed": seed, "minutes": checkpoint.origin["minutes"], "success": won / len(rows)}


def amounts(scale: Scale) -> dict[str, int]:
    """Demonstrations, steps of an arm that learns to act and of one that learns everything, scenes to be measured on.

    It is the laptop's recipe that is taken apart, on a GPU too.
    """
    if scale is Scale.SMOKE:
        return {"demonstrations": 8, "acting": 2, "whole": 4, "episodes": 1}
    return {"demonstrations": 376, "acting": 1500, "whole": 2000, "episodes": 200}


def plan(scale: Scale) -> str:
    much = amounts(scale)
    trained, asked = len(SEEDS) * len((*ACTS, *SEES)), len(DRIVEN) + len(SEEDS) * len(COOLED)
    minutes = "" if scale is Scale.SMOKE else ", 5 to 8 minutes and 2 minutes of one core each"
    return (
        f"{len(ACTS)} arms that learn to act ({much['acting']} steps) and {len(SEES)} that learn everything "
        f"({much['whole']} steps), {len(SEEDS)} seeds each, from {much['demonstrations']} demonstrations of put; "
        f"{len(DRIVEN)} ways to drive what is shipped, and {len(COOLED)} to drive what was learnt. {trained} trainings and "
        f"{asked} more measurements, on {much['episodes']} validation scenes{minutes}."
    )


def conduct(grid: Grid, scale: Scale) -> None:
    """A whole seed after the other. What is not trained is measured once."""
    much, whole, function = amounts(scale), laptop(Scale.LAPTOP), f"{__name__}:run"
    shared = {"data": [], "start": str(DEFAULT), "suite": "put", "episodes": much["episodes"]}

    def configs(arms: Iterable[str], seed: int, steps: int = 0) -> list[dict[str, Any]]:
        return [{"arm": arm, "seed": seed, "steps": steps, **shared} for arm in arms]

    if grid.missing(c for seed in SEEDS for c in configs((*ACTS, *SEES, *COOLED), seed)):  # to be driven takes none
        recipe = Collection(("put",), noise=whole.noise, close=whole.close)
        shared["data"] = [grid.demonstrations("put", much["demonstrations"], recipe)]
    for seed in SEEDS:
        grid.run(function, [*configs(ACTS, seed, much["acting"]), *configs(SEES, seed, much["whole"])])
        (base,) = configs([BASE], seed, much["acting"])
        if cooled := grid.missing(configs(COOLED, seed)):
            grid.prepare(function, [base])  # its rows may be all that is left of it
            start = str(grid.folder(function, base) / "checkpoint")
            grid.run(function, [{**config, "start": start} for config in cooled])
    grid.run(function, configs(DRIVEN, SEEDS[0]))


EXPERIMENT = Experiment("00_recipe", plan, conduct)

"""What is each part of the recipe worth? The same training with one part changed, several seeds each.

Every arm runs the same steps on the same data with the same seeds, each on one core, and is measured on the same
validation scenes. An arm is a run of the engine: resumable, in a folder of its own, with its rows in `rows.jsonl`.
`run` is one run; `grid` is all of them.

What concerns acting starts from one checkpoint that sees already and learns its actions anew: minutes instead of hours.
What concerns seeing (`ANEW`) learns everything anew, and is compared with the whole recipe done so. All these act on the
instruction alone: thoughts that one arm has and another has lost would be a second difference. How often to plan anew
(`REPLAN`) is asked of the checkpoint as it is, thoughts included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, UnknownNameError
from pilab.engine import Engine
from pilab.evaluation.rollout import evaluate
from pilab.training.data import PICTURE, Rows
from pilab.training.recipes import Recipe, laptop
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint
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
}
REPLAN: Mapping[str, int] = {f"re-plan every {steps}": steps for steps in (1, 2, 4, 6, 8)}  # of a chunk of 8


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
    quiet |= {"driving": dataclasses.replace(base.driving, thinks=False), "anew": ("head",)}
    return dataclasses.replace(base, stages=tuple(stages), **quiet, **change)


def run(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """One arm with one seed: train (unless it is one of `REPLAN`), then measure.

    config: arm, seed, steps, data, start, suite, episodes.
    """
    arm, seed, folder = config["arm"], config["seed"], Path(folder)
    if arm in REPLAN:
        checkpoint = Checkpoint.load(config["start"])
    else:
        checkpoint = train(
            recipe_of(arm, config["steps"]), config["data"], folder / "checkpoint", seed=seed,
            start=None if arm in ANEW else config["start"], progress=False, threads=1,
        )  # fmt: skip
    rows = evaluate(
        VLAPolicy(checkpoint), config["suite"], config["episodes"], VALIDATION.start, arm=arm,
        replan_interval=REPLAN.get(arm), threads=1, progress=False,
    )  # fmt: skip
    rows = [dataclasses.replace(row, clusters={**row.clusters, "training_seed": seed}) for row in rows]
    (folder / "rows.jsonl").write_text("".join(row.to_json() + "\n" for row in rows), encoding="utf-8")
    won = sum(row.success for row in rows)
    return {"arm": arm, "seed": seed, "minutes": checkpoint.origin["minutes"], "success": won / len(rows)}


def grid(
    data: Iterable[str | Path], start: str | Path, root: str | Path, *, steps: int, suite: str = "put", episodes: int = 200,
    seeds: Iterable[int] = (0, 1, 2), arms: Iterable[str] = (*REPLAN, *ARMS), workers: int = 2,
) -> list[Row]:  # fmt: skip
    """All arms and seeds on `workers` cores, from the checkpoint `start`; goes on where it stopped. Returns all rows.

    What is not trained is measured once, whatever the seeds.
    """
    engine = Engine(root, workers)
    shared = {"steps": steps, "data": [str(Path(d).resolve()) for d in data], "start": str(Path(start).resolve())}
    shared |= {"suite": suite, "episodes": episodes}
    arms, seeds = list(arms), list(seeds)  # a whole seed first
    pairs = [(arm, seed) for seed in seeds for arm in arms if arm not in REPLAN or seed == seeds[0]]
    configs = [{"arm": arm, "seed": seed, **shared} for arm, seed in pairs]
    engine.map("pilab.training.ablation:run", configs)
    folders = [engine.submit("pilab.training.ablation:run", config).folder for config in configs]
    lines = [line for f in folders for line in (f / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Row.from_json(line) for line in lines]

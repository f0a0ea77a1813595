"""Ablations: an arm differs from the recipe in what its name says, in nothing else, and its rows say which it is."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch

from pilab import cli
from pilab.contracts import Row, Scale, UnknownNameError
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.experiments import Grid, recipe
from pilab.experiments.recipe import ACTS, ANEW, ARMS, BASE, COOLED, DRIVEN, EXPERIMENT, SEES, WHOLE, recipe_of, run
from pilab.training.mixture import Mixture, Rows
from pilab.training.recipes import laptop
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo
from pilab.world.scenes import VALIDATION

# What each arm is meant to change, written down once more.
CHANGED = {
    "recipe": {},
    "recipe, all anew": {},
    "one statistic for all steps": {"per_step_statistics": False},
    "velocity prediction": {"model.clean": False},
    "mean square error": {"model.robust": 0.0},
    "AdamW alone": {"muon": False},
    "no pointing scenes": {"seeing.pointing": 0},
    "no point-only rows": {"acting.point_only": 0, "acting.demonstrations": 9},
    "relative joints": {"model.action_space": "relative_joints"},
    "absolute joints": {"model.action_space": "absolute_joints"},
    "no image tokens": {"model.image_tokens": False},
    "no glimpses": {"model.glimpse": 0},
    "points as pixels": {"model.hands": 0},
    "not insulated": {"insulate": False},
    "no labels": {"labels": False, "pointing_scenes": 0},
    "regression (ACT)": {"model.head": "regression"},
    "the three together": {"per_step_statistics": False, "model.head": "regression", "model.image_tokens": False},
}
ROWS = (".demonstrations", ".pointing", ".point_only")


def flat(recipe):
    """All numbers of a recipe and of the model it makes, by dotted name."""
    parts = dataclasses.asdict(recipe)
    model = dataclasses.asdict(VLAConfig.nano(duo.BODY, **parts.pop("model")))
    parts |= {f"model.{k}": v for k, v in model.items()}
    driving = parts.pop("driving") or dataclasses.asdict(Driving())  # what has nothing to go on from is driven so
    parts |= {f"driving.{k}": v for k, v in driving.items()}
    stages = parts.pop("stages")
    for name, stage in zip(("seeing", "acting")[-len(stages) :], stages, strict=True):
        rows = stage.pop("rows")
        parts |= {f"{name}.{k}": v for k, v in (stage | rows).items()}
    return parts


def test_the_arms_are_the_ones_described():
    assert set(ARMS) == set(CHANGED)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_changes_what_it_says(arm):
    base, other = flat(recipe_of(WHOLE if arm in ANEW else BASE, 100)), flat(recipe_of(arm, 100))
    found = {name: value for name, value in other.items() if value != base[name]}
    if arm == "no pointing scenes":  # other pictures take their place
        assert found.pop("seeing.demonstrations") > base["seeing.demonstrations"]
    assert found == CHANGED[arm]


def test_the_base_is_the_laptop_recipe_shortened():
    full, short = flat(laptop(Scale.LAPTOP)), flat(recipe_of(WHOLE, 100))
    allowed = {
        "seeing.steps",
        "acting.steps",
        "success_episodes",
        "success_every",
        "validate_every",
        "driving.thinks",
        "anew",
    }
    allowed |= {name for name in full if name.endswith(ROWS)}
    assert {name for name in full if full[name] != short[name]} <= allowed
    assert (recipe_of(WHOLE, 100).steps, short["validate_every"], short["success_episodes"]) == (100, 25, 0)
    assert short["seeing.steps"] / 100 == pytest.approx(full["seeing.steps"] / laptop(Scale.LAPTOP).steps, abs=0.01)
    assert recipe_of(BASE, 2).validate_every == 1
    (acting,) = recipe_of(BASE, 100).stages
    whole = laptop(Scale.LAPTOP).stages[1]
    assert acting == dataclasses.replace(whole, steps=100, rows=Rows(2, 0, 112)) and whole.rows == Rows(8, 0, 448)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_builds_a_model_and_learns_from_a_step(arm, demonstrations, pictures):
    changed = recipe_of(arm, 100)
    small = {"width": 32, "heads": 2, "layers": 1, "channels": 24}
    d = copy.copy(demonstrations)
    d.config = VLAConfig.nano(duo.BODY, **{**small, **changed.model})
    vars(d).pop("encoded", None)  # of another action space
    if not changed.labels:
        d.labels, d.scenes = dict.fromkeys(d.labels, False), [None] * len(d.scenes)
        d.subtask, d.pointed, d.tellable = np.full(len(d.subtask), ""), np.zeros_like(d.pointed), d.tellable[:0]
    rows = Rows(
        *(min(2, max(numbers)) for numbers in zip(*(dataclasses.astuple(s.rows) for s in changed.stages), strict=True))
    )
    normaliser = d.normaliser(changed.per_step_statistics, most=200)
    shown = pictures if rows.pointing and changed.pointing_scenes else None
    mixture = Mixture(d, shown, normaliser, Tokenizer.default(), rows, seed=0)
    torch.manual_seed(0)
    model, batches = VLA(d.config), mixture.step(0)
    losses = {}
    for batch in batches:
        losses |= model.loss(batch, changed.insulate and changed.labels)
    known = {"action", "heat", "points", "visible", "language"} if changed.labels else {"action"}
    assert set(losses) == known <= set(changed.weights)
    total = sum(changed.weights[name] * value for name, value in losses.items())
    total.backward()
    assert total.isfinite() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_an_unknown_arm_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="no glimpses"):
        recipe_of("no coffee", 4)


def test_a_run_leaves_rows_that_name_arm_and_seed(samples, smoke, trained, tmp_path, monkeypatch):
    """The real thing at smoke size."""
    monkeypatch.setattr(recipe, "laptop", lambda scale: smoke)
    config = {"seed": 5, "steps": 2, "data": [samples], "suite": "open", "episodes": 1, "start": str(trained[0])}
    for arm in (BASE, "no glimpses", WHOLE):
        folder = tmp_path / arm
        result = run({**config, "arm": arm}, folder)
        lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [Row.from_json(line) for line in lines]
        assert [row.arm for row in rows] == [arm]
        assert {row.clusters["training_seed"] for row in rows} == {5}
        assert {row.scene for row in rows} and len({row.scene for row in rows}) == 1  # the same scenes
        assert json.loads((folder / "checkpoint" / "config.json").read_text())["weights"] == rows[0].checkpoint
        assert set(result) == {"arm", "seed", "minutes", "success"}
        assert (result["arm"], result["seed"], result["success"]) == (arm, 5, float(rows[0].success))
        assert json.loads(json.dumps(result)) == result
        # Eyes and ears are those of the start, or learnt anew; the head is learnt anew in any case.
        now, before = Checkpoint.load(folder / "checkpoint").model.state_dict(), trained[1].model.state_dict()
        changed = {
            k.split(".")[0] for k in now if now[k].shape == before[k].shape and (now[k] - before[k]).abs().max() > 2e-6
        }
        assert changed == ({"head"} if arm != WHOLE else {k.split(".")[0] for k in now})


@pytest.mark.parametrize("arm", ["re-plan every 4", "temperature 0.5", "temperature 0 at work"])
def test_how_it_is_driven_is_asked_of_the_checkpoint_as_it_is(arm, trained, tmp_path):
    config = {"arm": arm, "seed": 0, "suite": "open", "episodes": 1, "start": str(trained[0])}
    run(config, tmp_path)
    (row,) = map(Row.from_json, (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines())
    checkpoint = Checkpoint.load(trained[0])
    checkpoint.driving = dataclasses.replace(checkpoint.driving, **{**DRIVEN, **COOLED}[arm])
    (expected,) = evaluate(VLAPolicy(checkpoint), "open", 1, VALIDATION.start, arm=arm, progress=False)
    clusters = {**expected.clusters, "training_seed": 0}
    assert row == dataclasses.replace(expected, clusters=clusters, seconds=row.seconds)
    assert not (tmp_path / "checkpoint").exists()


def test_all_of_it_is_every_arm_and_seed_on_the_same_scenes(monkeypatch, tmp_path):
    """Without the trainings themselves: what is asked of `run`, and of which weights."""
    asked, needed = [], []
    grid = Grid(tmp_path, tmp_path / "rows.jsonl")
    monkeypatch.setattr(grid, "demonstrations", lambda name, number, recipe: f"{name} {number} {recipe.noise}")
    monkeypatch.setattr(grid, "run", lambda function, configs: asked.extend(configs))
    monkeypatch.setattr(grid, "prepare", lambda function, configs: needed.extend(configs))
    EXPERIMENT.conduct(grid, Scale.LAPTOP)
    assert [(c["arm"], c["seed"]) for c in asked] == [
        *((arm, seed) for seed in (0, 1, 2) for arm in (*ACTS, *SEES, *COOLED)), *((arm, 0) for arm in DRIVEN)
    ]  # fmt: skip
    assert {*ACTS, *SEES} <= set(ARMS) and set(SEES) <= set(ANEW)
    assert {c["episodes"] for c in asked} == {200} and {str(c["data"]) for c in asked} == {"['put 376 1.0']"}
    started = {(c["arm"], c["seed"]): c["start"] for c in asked}
    for base in needed:
        weights = str(grid.folder("pilab.experiments.recipe:run", base) / "checkpoint")
        assert base in asked and [key for key, start in started.items() if start == weights] == [
            (arm, base["seed"]) for arm in COOLED
        ]
    assert len(needed) == 3 and started[BASE, 0] == started["temperature 1", 0] == str(DEFAULT)
    assert "33 trainings and 11 more measurements, on 200 validation scenes" in EXPERIMENT.plan(Scale.LAPTOP)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["recipe", "pretraining"])
def test_all_of_it_runs_at_smoke_scale(name, tmp_path, capsys):
    assert cli.main(["experiment", name, "--scale", "smoke", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["number"] >= 40

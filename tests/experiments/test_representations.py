"""What thoughts are made of: arms differ in nothing else, and an answer is right by whatever means it is given."""

import dataclasses

import pytest

from pilab.contracts import Scale, UnknownNameError
from pilab.experiments import Grid
from pilab.experiments.representations import ARMS, EXPERIMENT, FAMILIES, acting, find_arm, runs

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def test_arms_differ_in_thoughts_alone():
    first, *others = (acting(name, 1, LAPTOP) for name in ARMS)
    for other in others:
        changed = {f.name for f in dataclasses.fields(first) if getattr(first, f.name) != getattr(other, f.name)}
        assert changed <= {"thinking", "driving"}
    assert first.thinking.silent and not first.driving.thinks and all(other.driving.thinks for other in others)
    assert set(first.framing.called) == set(FAMILIES.values()) and first.framing.choice
    with pytest.raises(UnknownNameError, match="unknown arm 'smoke signals'"):
        find_arm("smoke signals")


def test_from_nothing_to_rows(tmp_path):
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    arms = ("nothing", "points", "chain and points")
    runs(grid, SMOKE, 60, arms, 0)
    assert not grid.missing({"arm": arm, "seed": 0} for arm in arms)
    assert {row.suite for row in grid.rows} == set(FAMILIES)
    asked = {arm: [(r.suite, r.scene, r.instruction) for r in grid.rows if r.arm == arm] for arm in arms}
    assert asked["nothing"] == asked["points"] == asked["chain and points"]
    assert all(row.success == bool(row.metrics["thing"] and row.metrics["place"]) for row in grid.rows)
    assert all(row.clusters["right"] not in row.instruction.split() for row in grid.rows if row.suite == "space")


def test_the_plan_says_what_is_done():
    told = EXPERIMENT.plan(LAPTOP)
    assert all(name in told for name in (*ARMS, *FAMILIES)) and "3 worlds" in told

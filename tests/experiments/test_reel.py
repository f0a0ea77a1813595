"""A reel and the truth: every exam of both policies, on the scenes of the reel."""

import pytest

from pilab.contracts import Scale, UnknownNameError
from pilab.evaluation.perturbations import AXES
from pilab.experiments import Grid
from pilab.experiments.reel import ARMS, BY_HEART, CONTROLS, EXPERIMENT, GRADES, NEW, REEL, conduct, exams, find_policy


def test_every_axis_at_every_grade():
    asked = list(exams())
    assert len({(name, str(s)) for name, _, s in asked}) == len(asked) == 2 + len(AXES) * len(GRADES) + len(CONTROLS)
    told = EXPERIMENT.plan(Scale.LAPTOP)
    assert f"in {len(asked)} exams of 100 scenes (300 for reel, scramble)" in told and "Nothing is trained" in told
    with pytest.raises(UnknownNameError, match="valid: by heart, shipped"):
        find_policy("luck", "")


def test_from_nothing_to_rows(tmp_path, monkeypatch):
    few = [e for e in exams() if e[0] in (REEL, NEW, "light", "swap")]
    monkeypatch.setattr("pilab.experiments.reel.exams", lambda: iter(few))
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    conduct(grid, Scale.SMOKE)
    assert len(grid.rows) == len(ARMS) * len(few)
    scenes = {row.clusters["exam"]: row.scene for row in grid.rows}
    assert scenes[REEL] == scenes["light"] == scenes["swap"] != scenes[NEW]
    assert {row.control for row in grid.rows} == {"none", "light 0.5", "light 1", "swap"}
    (reel,) = [r for r in grid.rows if r.arm == BY_HEART and r.clusters["exam"] == REEL]
    assert reel.success

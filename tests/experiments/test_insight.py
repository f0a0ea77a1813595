"""What the shipped policy knows: rows that a verdict can pair."""

from pilab.contracts import Scale
from pilab.evaluation.rows import read_rows
from pilab.evaluation.verdict import verdict
from pilab.experiments import Grid
from pilab.experiments.insight import ARM, EXPERIMENT, SEEDS


def test_every_seed_has_scenes_of_its_own(tmp_path):
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    EXPERIMENT.conduct(grid, Scale.SMOKE)
    rows = [row for row in read_rows(grid.path) if row.control == "none" and row.clusters["weights"] == "trained"]
    assert {row.arm for row in rows} == {ARM}
    assert {row.clusters["training_seed"] for row in rows} == set(SEEDS)
    tip, base = (
        [r for r in rows if (r.clusters["view"], r.clusters["quantity"]) == ("points", quantity)]
        for quantity in ("tip frame", "base frame")
    )
    found = verdict("it is nearer", tip, base, metric="error_cm", smallest=1.0, scale="laptop")
    assert found.n == len(tip) and len(found.seeds) == len(SEEDS)
    assert len({row.metrics["error_cm"] for row in tip}) == len(tip)


def test_the_plan():
    assert "3 seeds: 3 frames of each of 240 episodes" in EXPERIMENT.plan(Scale.LAPTOP)

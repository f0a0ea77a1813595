"""Touch in sight: the frames are those of hands that touch, and what is read from them comes in rows."""

import numpy as np
import pytest

from pilab.contracts import Scale
from pilab.evaluation.rollout import DEFAULT
from pilab.evaluation.rows import read_rows
from pilab.experiments import disguise
from pilab.experiments.disguise import ARMS, EXPERIMENT, FELT, PIXELS, SUITES, run, watch


@pytest.mark.parametrize("suite", SUITES)
def test_forces_differ_between_scenes(suite):
    seen = watch(suite, "duo_soft", 500_000, 6, 500)
    assert {n: pictures.shape for n, pictures in seen.wrist.items()} == {n: (len(seen.force), n, n, 3) for n in PIXELS}
    assert 0.2 < (seen.force > FELT).mean() < 0.98
    strongest = [seen.force[seen.episode == e].max() for e in np.unique(seen.episode)]
    assert np.std(strongest) > 0.7 and max(strongest) < 12
    few = watch(suite, "duo_soft", 500_000, 6, 40)
    assert len(few.force) == 40 and set(few.force) <= set(seen.force)


def test_a_run_asks_all_views_and_controls(tmp_path):
    config = {"arm": "soft pads", "seed": 1, "start": str(DEFAULT), **disguise.amounts(Scale.SMOKE)}
    folds, rows = run(config, tmp_path)["folds"], read_rows(tmp_path / "rows.jsonl")
    assert folds == len(rows)
    views = {row.clusters["view"] for row in rows}
    assert len(views) == len(PIXELS) + 3
    assert {(r.suite, r.clusters["quantity"]) for r in rows} == {(s, q) for s in SUITES for q in ("contact", "force")}
    assert {row.clusters["view"] for row in rows if row.control == "shuffled"} == {"wrist, 48 pixels"}
    assert {(row.unit, row.arm, row.clusters["training_seed"]) for row in rows} == {("fold", "soft pads", 1)}
    assert all(np.isfinite(row.metrics["score"]) for row in rows)


def test_the_plan_and_the_grid(tmp_path):
    assert "2 kinds of pads, 3 seeds" in EXPERIMENT.plan(Scale.LAPTOP)

    class Listed:
        def run(self, function, configs):
            self.asked = function, list(configs)

    grid = Listed()
    EXPERIMENT.conduct(grid, Scale.SMOKE)
    assert grid.asked[0] == "pilab.experiments.disguise:run"
    assert {(c["arm"], c["seed"]) for c in grid.asked[1]} == {(arm, seed) for arm in ARMS for seed in range(3)}

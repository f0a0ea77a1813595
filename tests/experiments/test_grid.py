"""Grids: rows are kept run by run, what has rows is not run again, and an experiment may be anybody's."""

import json
from pathlib import Path

import pytest

from pilab import cli
from pilab.contracts import PilabError, Scale, UnknownNameError
from pilab.evaluation.rows import read_rows
from pilab.experiments import Grid, find_experiment


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def calls(root):
    return sum(path.read_text().count("called") for path in root.glob("tiny.run-*/calls.txt"))


def keys(rows):
    return [(row.arm, row.clusters["training_seed"]) for row in rows]


ALL = [(arm, seed) for arm in ("one", "three", "two") for seed in (0, 1)]


def test_what_ended_is_kept_when_another_run_fails(tmp_path):
    conduct = find_experiment("tiny:EXPERIMENT").conduct
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", progress=False)
    with pytest.raises(PilabError, match=r"1 of 3 runs .* this arm is broken"):
        conduct(grid, Scale.SMOKE, broken="two")
    assert keys(read_rows(grid.path)) == [("one", 0), ("three", 0)] == keys(grid.rows)
    assert all(row.metrics == {"minutes": 2.0} and row.clusters["verb"] == "put" for row in grid.rows)
    # Another day, another folder: the rows alone say what is left to do.
    later = Grid(tmp_path / "later", grid.path, progress=False)
    conduct(later, Scale.SMOKE)
    assert calls(later.engine.root) == 4 and keys(later.rows) == ALL == keys(read_rows(grid.path))
    conduct(later, Scale.SMOKE)
    assert calls(later.engine.root) == 4


def test_an_experiment_from_the_shell(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["experiment", "tiny:EXPERIMENT", "--scale", "smoke", "--plan"]) == 0
    assert capsys.readouterr().out == "three arms, at smoke\n" and not list(tmp_path.iterdir())
    assert cli.main(["experiment", "tiny:EXPERIMENT", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"plan": "three arms, at laptop"}
    assert cli.main(["experiment", "tiny:EXPERIMENT", "--scale", "smoke", "--rows", "results.jsonl"]) == 2
    assert "smoke tries the wiring" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert cli.main(["experiment", "tiny:EXPERIMENT", "--scale", "smoke"]) == 0
    out = capsys.readouterr().out
    assert "three arms, at smoke" in out and "6 rows in" in out and "100.0 %" in out
    rows = Path("runs/experiments/99_smoke/rows.jsonl.gz")
    assert keys(read_rows(rows)) == ALL
    assert cli.main(["experiment", "tiny:EXPERIMENT", "--json", "--rows", str(rows), "--out", "elsewhere"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": str(rows), "number": 6} and not Path("elsewhere").exists()


def test_an_unknown_experiment_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="pretraining, recipe"):
        find_experiment("luck")

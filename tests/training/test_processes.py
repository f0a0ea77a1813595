"""The rows of a step in parts, by processes or by turns: the same losses and the same weights as all at once."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pilab.contracts import PilabError, Scale
from pilab.training.recipes import find_recipe
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint

# A step with parts that differ in labels, rows that two do not divide, and a second stage in which only the head learns.
SCRIPT = """
import dataclasses, sys
from pilab.contracts import Scale
from pilab.training.recipes import Rows, Stage, find_recipe
from pilab.training.train import train
if __name__ == "__main__":
    stages = (Stage(3, Rows(5, 4, 7, 4, 4)), Stage(2, Rows(4, 0, 8), ("head",)))
    smoke = find_recipe("laptop", Scale.SMOKE)
    processes, turns = map(int, sys.argv[3:])
    recipe = dataclasses.replace(smoke, stages=stages, validate_every=5, success_episodes=0, web_pictures=12, turns=turns)
    train(recipe, [sys.argv[1]], sys.argv[2], progress=False, threads=1, processes=processes)
"""


def run(samples: str, out: Path, processes: int, turns: int) -> None:
    """Train in processes of their own."""
    (out.parent / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(out.parent / "script.py"), samples, str(out), str(processes), str(turns)]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(samples, tmp_path_factory) -> Path:
    """All rows at once."""
    out = tmp_path_factory.mktemp("alone") / "one"
    run(samples, out, 1, 1)
    return out


def validation(out: Path) -> dict[str, float]:
    """The last validation losses."""
    (log,) = (out / "log").glob("*/metrics.csv")
    rows = csv.DictReader(log.read_text(encoding="utf-8").splitlines())
    return {k: float(v) for row in rows for k, v in row.items() if k.startswith("validation/") and v}


@pytest.mark.parametrize(("processes", "turns"), [(2, 1), (1, 2), (2, 2)])
def test_parts_do_what_the_whole_does(samples, tmp_path, alone, processes, turns):
    if processes > 1 and not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    out = tmp_path / "parts"
    run(samples, out, processes, turns)
    expected, found = validation(alone), validation(out)
    assert expected.keys() == found.keys() and len(expected) >= 5
    assert found == pytest.approx(expected, rel=1e-3)
    one, parts = (Checkpoint.load(path).model.state_dict() for path in (alone, out))
    start = max(float(weight.abs().max()) for weight in one.values())
    assert max(float((one[name] - parts[name]).abs().max()) for name in one) < 1e-3 * max(1.0, start)
    assert (out / "README.md").exists() and not list(out.glob("*.tmp"))


def test_the_first_of_the_processes_speaks_for_all(samples, tmp_path):
    command = [sys.executable, "-m", "pilab", "train", "laptop", "--scale", "smoke", "--data", samples, "--json"]
    command += ["--threads", "1", "--processes", "2", "--out", str(tmp_path / "vla")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["hash"] == Checkpoint.load(tmp_path / "vla").hash


def test_every_part_needs_a_row(samples, tmp_path):
    recipe = dataclasses.replace(find_recipe("laptop", Scale.SMOKE), turns=9)
    with pytest.raises(PilabError, match="4 rows a step in 1 processes and 9 turns"):
        train(recipe, [samples], tmp_path / "out", progress=False)

"""Two processes share the rows of a step: the same losses and the same weights as one process with all rows."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pilab.vla.checkpoint import Checkpoint

# A step with parts that differ in labels, rows that two do not divide, and a second stage in which only the head learns.
SCRIPT = """
import dataclasses, sys
from pilab.contracts import Scale
from pilab.training.recipes import Rows, Stage, find_recipe
from pilab.training.train import train
if __name__ == "__main__":
    stages = (Stage(3, Rows(5, 3, 7, 3, 2)), Stage(2, Rows(4, 0, 8), ("head",)))
    smoke = find_recipe("laptop", Scale.SMOKE)
    recipe = dataclasses.replace(smoke, stages=stages, validate_every=5, success_episodes=0, web_pictures=12)
    train(recipe, [sys.argv[1]], sys.argv[2], progress=False, threads=1, processes=int(sys.argv[3]))
"""


def run(samples: str, out: Path, processes: int) -> list[dict[str, str]]:
    """Train in processes of their own; returns the log."""
    (out.parent / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(out.parent / "script.py"), samples, str(out), str(processes)]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (log,) = (out / "log").glob("*/metrics.csv")
    return list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch was built without torch.distributed")
def test_two_processes_do_what_one_does(samples, tmp_path):
    alone, together = (run(samples, tmp_path / name, n) for name, n in (("one", 1), ("two", 2)))
    losses = [
        {k: float(v) for row in log for k, v in row.items() if k.startswith("validation/") and v}
        for log in (alone, together)
    ]
    assert losses[0].keys() == losses[1].keys() and len(losses[0]) >= 5
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=1e-3), name
    one, two = (Checkpoint.load(tmp_path / name).model.state_dict() for name in ("one", "two"))
    start = max(float(weight.abs().max()) for weight in one.values())
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-3 * max(1.0, start)
    assert (tmp_path / "two" / "README.md").exists() and not list((tmp_path / "two").glob("*.tmp"))

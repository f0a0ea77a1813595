"""The real lerobot library drives our simulator, and its objects are driven by us."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pilab.world.scenes import find_body
from tests.peers.make_environment import PYTHON

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON}; make it with tests/peers/make_environment.py"),
]
HERE = Path(__file__).parent


def test_robots_and_teleoperators_in_both_directions(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1]), "HF_LEROBOT_HOME": str(tmp_path / "home")}
    command = [str(PYTHON), str(HERE / "lerobot_robot_side.py"), str(tmp_path / "said.json")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    said, body = json.loads((tmp_path / "said.json").read_text(encoding="utf-8")), find_body("duo")
    joints = [f"{name}.pos" for name in body.action.names]
    assert (
        said["shapes"]
        == said["told"]
        == {**{name: [] for name in joints}, **{c.name: [c.height, c.width, 3] for c in body.cameras}}
    )
    assert said["sent"] == joints and (said["task"], said["source"]) == ("put it there", "human")
    assert said["channels"] == body.size and said["cameras"] == [c.name for c in body.cameras]

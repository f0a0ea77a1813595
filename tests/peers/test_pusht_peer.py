"""An environment of others, recorded, trained on and evaluated: tests/peers/pusht.py as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.make_environment import PUSHT

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PUSHT.is_dir(), reason=f"no {PUSHT}; make it with tests/peers/make_environment.py"),
]
HERE = Path(__file__).parent


@pytest.mark.timeout(1800)  # 120 episodes, 1,000 steps of training and 120 episodes more
def test_a_foreign_environment_from_nothing_to_a_verdict(tmp_path):
    # Behind our own packages: the folder has a numpy and a gymnasium of its own.
    start = f"import sys; sys.path.append({str(PUSHT)!r}); sys.path.insert(0, {str(HERE)!r}); "
    start += "import pusht, json, pathlib; print(json.dumps(pusht.main(pathlib.Path(sys.argv[1]))))"
    run = subprocess.run(
        [sys.executable, "-c", start, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads(run.stdout.splitlines()[-1])
    (tmp_path / "rates.json").write_text(json.dumps(said), encoding="utf-8")
    assert said["script"]["k"] >= 0.6 * said["script"]["n"]
    assert said["vla"]["n"] == 40 and said["vla"]["low"] > said["random"]["rate"] >= said["hold"]["k"] == 0

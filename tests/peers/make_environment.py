"""Make the real lerobot library's own Python 3.12 environment: `python tests/peers/make_environment.py`.

It goes to `$PILAB_HOME/peers/lerobot` (5.5 GB: lerobot needs torch, and an older one than pilab's). Doing it again costs
nothing once it is there. The last line printed is the path of its interpreter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENT = "lerobot[dataset]>=0.6.1,<0.7"
FOLDER = Path(os.environ.get("PILAB_HOME") or Path.home() / ".cache" / "pilab") / "peers" / "lerobot"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def find_python() -> str:
    """An interpreter of version 3.12: on the path, of pyenv, or this one."""
    known = [shutil.which("python3.12"), *map(str, sorted((Path.home() / ".pyenv/versions").glob("3.12*/bin/python")))]
    known.append(sys.executable)
    for python in filter(None, known):
        test = [python, "-c", "import sys; raise SystemExit(sys.version_info[:2] != (3, 12))"]
        if subprocess.run(test, capture_output=True, check=False).returncode == 0:
            return python
    raise SystemExit("no Python 3.12 found; install one (lerobot needs 3.12) and run this again")


def works() -> bool:
    """Whether the environment is there and can import what the tests use."""
    test = [str(PYTHON), "-c", "import lerobot.datasets.lerobot_dataset"]
    return PYTHON.exists() and subprocess.run(test, capture_output=True, check=False).returncode == 0


def main() -> None:
    if not works():
        subprocess.run([find_python(), "-m", "venv", "--clear", str(FOLDER)], check=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", REQUIREMENT], check=True)
        if not works():
            raise SystemExit(f"{REQUIREMENT} is installed in {FOLDER} and does not import")
    print(PYTHON)


if __name__ == "__main__":
    main()

"""Make the Python environments of other projects: `python tests/peers/make_environment.py [NAME …]`, all if none is named.

They go to `$PILAB_HOME/peers/`: openpi's client takes 130 MB; lerobot 5.5 GB: it needs torch, and an older one than
pilab's. Two are folders of packages for an interpreter that is there: lerobot21, an older lerobot beside the new one (15 MB),
and pusht, an environment of others for this Python (330 MB). Doing it again costs nothing once they are there. The last
line printed is the path of the last one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = {  # name → what is installed, and what the tests import of it; openpi-client does not name all it imports
    "openpi": (("openpi-client>=0.1.2,<0.2", "typing_extensions"), "openpi_client.websocket_client_policy"),
    "lerobot": (  # and what our simulator needs beside it
        ("lerobot[dataset]>=0.6.1,<0.7", "mujoco>=4.0", "msgpack>=1.0.5"),
        "lerobot.datasets.lerobot_dataset, mujoco, msgpack",
    ),
}
BESIDE = {  # name → the peer whose interpreter reads it (None: this one), what is installed, and a package of it
    "lerobot21": (  # the last lerobot of the format v2.1, without what it shares with the new one
        "lerobot",
        ("--no-deps", "lerobot==0.3.3", "datasets==3.6.0", "fsspec==2025.3.0", "dill==0.3.8", "multiprocess==0.70.16"),
        "lerobot",
    ),
    "pusht": (None, ("gym-pusht>=0.1.6",), "gym_pusht"),
}
FOLDER = Path(os.environ.get("PILAB_HOME") or Path.home() / ".cache" / "pilab") / "peers"


def python_of(name: str) -> Path:
    """The interpreter of a peer, which may not be there yet."""
    return FOLDER / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


PYTHON = python_of("lerobot")
OLDER, PUSHT = FOLDER / "lerobot21", FOLDER / "pusht"


def find_python() -> str:
    """An interpreter of version 3.12: on the path, of pyenv, or this one."""
    known = [shutil.which("python3.12"), *map(str, sorted((Path.home() / ".pyenv/versions").glob("3.12*/bin/python")))]
    known.append(sys.executable)
    for python in filter(None, known):
        test = [python, "-c", "import sys; raise SystemExit(sys.version_info[:2] != (3, 12))"]
        if subprocess.run(test, capture_output=True, check=False).returncode == 0:
            return python
    raise SystemExit("no Python 3.12 found; install one (lerobot needs 3.12) and run this again")


def works(name: str) -> bool:
    """Whether the environment is there and can import what the tests use."""
    test = [str(python_of(name)), "-c", f"import {PEERS[name][1]}"]
    return python_of(name).exists() and subprocess.run(test, capture_output=True, check=False).returncode == 0


def beside(name: str) -> None:
    """A folder of packages."""
    of, packages, package = BESIDE[name]
    if not (FOLDER / name / package).is_dir():
        python = sys.executable if of is None else str(python_of(of))
        subprocess.run([python, "-m", "pip", "install", "-q", "--target", str(FOLDER / name), *packages], check=True)
    print(FOLDER / name)


def main() -> None:
    for name in sys.argv[1:] or (*PEERS, *BESIDE):
        if name in BESIDE:
            beside(name)
            continue
        if not works(name):
            subprocess.run([find_python(), "-m", "venv", "--clear", str(FOLDER / name)], check=True)
            subprocess.run([str(python_of(name)), "-m", "pip", "install", "-q", *PEERS[name][0]], check=True)
            if not works(name):
                raise SystemExit(f"{' '.join(PEERS[name][0])} is installed in {FOLDER / name} and does not import")
        print(python_of(name))


if __name__ == "__main__":
    main()

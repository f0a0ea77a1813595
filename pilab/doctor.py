"""What is here, what is missing, what that costs, and how to get it.

Design choices
--------------
* **It works where nothing else does.** Only the standard library is imported at the top; every check imports what it
  examines and turns any error into a finding, so a broken package is a line of the report and never its end.
* **It tries, it does not guess.** MuJoCo compiles a model and casts a ray, the video library encodes a frame.
* `missing` stops a room of pilab from working; `limited` costs something that one can do without; `ok` needs no words.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CORE = {  # the dependencies of pyproject.toml, and what does not work without each
    "anywidget": "the cockpit and all other widgets",
    "av": "reading and writing datasets with video",
    "filelock": "running experiments",
    "gymnasium": "the environment",
    "ipywidgets": "widgets and progress bars in notebooks",
    "jupyterlab": "pilab lab",
    "kaleido": "figures as PNG",
    "msgpack": "serving policies, and policies served elsewhere",
    "mujoco": "the simulated world",
    "numpy": "everything",
    "papermill": "running notebooks as tests",
    "pillow": "film strips and animations",
    "plotly": "figures",
    "psutil": "running experiments",
    "pyarrow": "reading and writing datasets",
    "pytorch-lightning": "training",
    "scikit-learn": "what features say of a quantity",
    "scipy": "statistics",
    "sentencepiece": "the tokenizer",
    "statsmodels": "what several factors do together",
    "timm": "the eyes of the model",
    "torch": "the model",
    "tqdm": "progress bars",
    "websockets": "serving policies, and policies served elsewhere",
}
EXTRAS = {  # extra → the package that stands for it, and what it is for
    "test": ("pytest", "running the tests"),
    "submitit": ("submitit", "experiments on a SLURM cluster"),
    "ray": ("ray", "experiments on a Ray cluster"),
    "so101": ("rustypot", "SO-101 arms on a serial port"),
}
DISK, MEMORY = 5, 6  # GiB: what the published experiments fit into


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: str  # "ok", "limited" or "missing"
    found: str
    cost: str = ""  # what does not work, or not well
    fix: str = ""


def examine() -> list[Finding]:
    """Look at this machine and this Python. Takes a few seconds, most of them for importing torch."""
    checks = [python, *(_package(name) for name in CORE), lightning, gpu, world, video, browser]
    checks += [kernel, disk, memory, cores, git, *(_extra(name) for name in EXTRAS)]
    return [_safely(check) for check in checks]


def report(findings: list[Finding]) -> str:
    """The findings as text, one line each, and below those that are not ok what that costs and how to mend it."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:8}{finding.name:{width}}  {finding.found}")
        lines += [f"{'':{width + 10}}{text}" for text in (finding.cost, finding.fix and f"→ {finding.fix}") if text]
    count = {state: sum(finding.state == state for finding in findings) for state in ("missing", "limited")}
    lines.append("")
    lines.append(f"{count['missing']} missing, {count['limited']} limited" if any(count.values()) else "all is well")
    return "\n".join(lines)


def to_json(findings: list[Finding]) -> str:
    """The findings as a JSON list of objects with the fields of `Finding`."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2)


# --------------------------------------------------------------------------------------------------------------- checks
def python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < (3, 11):
        return Finding("python", "missing", found, "pilab needs Python 3.11", "make an environment with a newer Python")
    return Finding("python", "ok", found)


def lightning() -> Finding:
    """`lightning` beside `pytorch-lightning`: their classes look the same and do not accept each other."""
    try:
        found = metadata.version("lightning")
    except metadata.PackageNotFoundError:
        return Finding("lightning", "ok", "not installed, as it should be")
    cost = "other libraries may pick it instead of pytorch-lightning, and then the Trainer refuses pilab's modules"
    return Finding("lightning", "limited", f"{found} beside pytorch-lightning", cost, "pip uninstall lightning")


def gpu() -> Finding:
    import torch

    build = f"torch built for {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU'}"
    if torch.cuda.is_available():
        return Finding("gpu", "ok", f"{torch.cuda.get_device_name()}, {build}")
    cost = "SCALE = 'gpu' is out of reach; 'laptop', the default, is made for this"
    fix = "a machine with an NVIDIA GPU" if torch.version.cuda else "a GPU, and the build of torch for it (pytorch.org)"
    return Finding("gpu", "limited", f"none, {build}", cost, fix)


def world() -> Finding:
    """A ball on a plane, one ray from above: physics and cameras need no more, and no OpenGL."""
    import mujoco
    import numpy as np

    ball = "<mujoco><worldbody><geom type='plane' size='1 1 1'/><geom size='.1' pos='0 0 .5'/></worldbody></mujoco>"
    model = mujoco.MjModel.from_xml_string(ball)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    distance, geom = np.zeros(1), np.zeros(1, np.int32)
    up, down = np.array([0.0, 0, 2]), np.array([0.0, 0, -1])
    mujoco.mj_multiRay(model, data, up, down, None, True, -1, geom, distance, None, 1, 10.0)
    if abs(distance[0] - 1.4) > 1e-6:
        raise RuntimeError(f"a ray of 1.4 m came back as {distance[0]} m")
    return Finding("world", "ok", f"MuJoCo {mujoco.__version__} compiles a model and casts rays, without OpenGL")


def video() -> Finding:
    import av
    import numpy as np

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 64, "yuv420p", 10
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return Finding(
        "video", "ok", f"PyAV {av.__version__} encodes H.264 ({sum(p.size for p in packets)} bytes a black frame)"
    )


def browser() -> Finding:
    from pilab.figures.theme import chromium

    if path := chromium():
        return Finding("browser", "ok", path)
    cost = "no PNG beside the figures in notebooks, so GitHub shows none; the tests marked `browser` are skipped"
    return Finding("browser", "limited", "no Chrome or Chromium", cost, "apt install chromium, or plotly_get_chrome")


def kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    importlib.import_module("ipykernel")
    command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    if shutil.which(command) is None or (
        Path(command).is_absolute() and Path(command).parent != Path(sys.executable).parent
    ):
        cost = f"notebooks run in another Python than this one ({sys.executable}) and may not find pilab"
        return Finding("kernel", "limited", f"python3 is {command}", cost, "python -m ipykernel install --sys-prefix")
    return Finding("kernel", "ok", "python3, of this environment")


def disk() -> Finding:
    home = Path(os.environ.get("PILAB_HOME") or Path.home() / ".cache" / "pilab")
    there = next(path for path in (home, *home.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / 2**30
    found = f"{free:.0f} GiB free for $PILAB_HOME ({home})"
    if free < DISK:
        return Finding(
            "disk", "limited", found, "frame caches may not fit", "set PILAB_HOME to a folder on a larger disk"
        )
    return Finding("disk", "ok", found)


def memory() -> Finding:
    import psutil

    total, free = (value / 2**30 for value in psutil.virtual_memory()[:2])
    found = f"{free:.0f} of {total:.0f} GiB free"
    if free < MEMORY:
        return Finding("memory", "limited", found, "two runs at a time may not fit", "Engine(…, workers=1)")
    return Finding("memory", "ok", found)


def cores() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return Finding(
            "cores", "limited", "1", "experiments take twice the time that is printed", "a machine with more"
        )
    return Finding("cores", "ok", str(count))


def git() -> Finding:
    """The commit that results carry: that of the folder pilab was imported from."""
    path = shutil.which("git")
    if path is None:
        return Finding("git", "limited", "no git", "results do not name the code they came from", "install git")
    here = Path(__file__).resolve().parent
    answer = subprocess.run(
        [path, "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        cost = "results name the version of pilab, and no commit"
        return Finding("git", "limited", f"{here} is at no commit", cost, "git clone, then pip install -e .")
    return Finding("git", "ok", f"commit {answer.stdout.strip()}")


def _package(name: str) -> Callable[[], Finding]:
    def check() -> Finding:
        return Finding(name, "ok", metadata.version(name))

    check.__name__ = name
    return check


def _extra(extra: str) -> Callable[[], Finding]:
    package, purpose = EXTRAS[extra]

    def check() -> Finding:
        try:
            return Finding(f"extra {extra}", "ok", f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            fix = f'pip install "pilab[{extra}]"'
            return Finding(f"extra {extra}", "limited", "not installed", f"not available: {purpose}", fix)

    return check


def _safely(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except metadata.PackageNotFoundError:
        name = check.__name__
        return Finding(name, "missing", "not installed", f"does not work: {CORE[name]}", f"pip install {name}")
    except Exception as error:  # noqa: BLE001  (whatever is broken here is what the user wants to read)
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        return Finding(check.__name__, "missing", reason, "could not be tried", "pip install --upgrade pilab")

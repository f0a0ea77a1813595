"""Launchers for clusters: the three methods of `pilab.engine.LocalLauncher`, each on somebody else's scheduler.

Each imports its library when made, so that nobody else needs it: `pip install "pilab[submitit]"`. A launcher of your
own is any object with the same three methods; `Engine(root, workers=64, launcher=…)` takes it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from pilab.contracts import PilabError
from pilab.engine import POLL, execute


class SubmititLauncher:
    """Jobs of submitit: on SLURM `SubmititLauncher(timeout_min=240, gpus_per_node=1)`, here with `cluster="local"`.

    `options` are those of submitit's `update_parameters`; its own files go to `folder`, on a disk that all nodes see.
    """

    def __init__(self, cluster: str = "slurm", folder: str | Path = "runs/submitit", **options: Any) -> None:
        try:
            import submitit
        except ImportError as error:
            raise PilabError('SubmititLauncher needs submitit: pip install "pilab[submitit]"') from error
        self.executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        self.executor.update_parameters(**options)

    def start(self, folder: Path) -> Any:
        return self.executor.submit(_execute_logged, str(folder))

    def alive(self, handle: Any) -> bool:
        return not handle.done()

    def kill(self, handle: Any) -> None:
        handle.cancel(check=False)
        while self.alive(handle):  # SLURM first asks, then kills
            time.sleep(POLL)


class RayLauncher:
    """Tasks of Ray: on the cluster of `ray.init`, or one of its own on this machine.

    `options` are those of a Ray task, such as `num_gpus=0.5`; pilab must be installed on every node, and the engine's
    root be on a disk that all of them see.
    """

    def __init__(self, **options: Any) -> None:
        try:
            import ray
        except ImportError as error:
            raise PilabError('RayLauncher needs Ray: pip install "pilab[ray]"') from error
        if not ray.is_initialized():
            ray.init()
        self.ray = ray  # a run gets a fresh process, and is started again by the engine only
        self.task = ray.remote(**{"max_calls": 1, "max_retries": 0, **options})(_execute_logged)

    def start(self, folder: Path) -> Any:
        return self.task.remote(str(folder))

    def alive(self, handle: Any) -> bool:
        return not self.ray.wait([handle], timeout=0)[0]

    def kill(self, handle: Any) -> None:
        self.ray.cancel(handle, force=True)
        self.ray.wait([handle])


def _execute_logged(folder: str) -> bool:
    """`execute`, its output in the run's own log and not in the scheduler's."""
    with (
        (Path(folder) / "log.txt").open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        return execute(folder)

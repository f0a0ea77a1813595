"""Run functions over configs, in processes of their own, one folder per run. Knows nothing of robots.

* **The folder is the run**, named by function and config: `config.json`, `log.txt`, `status.json`, `progress.json` and,
  once done, `result.json`. An `Engine` only decides who works now.
* **Resume = submit again.** A run with a result never runs again; any other starts anew in the folder it left, where
  the function finds its checkpoints. New code is no new config: put a version there, or delete the folder.
* **Two engines may share a root.** A lock that the operating system holds for the life of a process lets one at a time
  work in a folder, and tells whether one does; a second that starts nevertheless waits, and finds the result.
* **No orphans.** A run has a session of its own, so that interrupting a notebook cell spares runs in the background;
  it watches the process that started it and ends, with its own children, when that one is gone.
* **A launcher is three methods**: `start(folder)` → handle, `alive(handle)`, `kill(handle)`; it has `execute(folder)`
  called somewhere. Those for clusters are in `pilab.launchers`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from pilab.contracts import PilabError

POLL = 0.1  # s between two looks at the running processes


@dataclass(frozen=True)
class Run:
    """A function, a config and the folder that both determine. Equal folders are equal runs."""

    folder: Path
    function: str = field(compare=False)  # module:name, called as f(config, folder) → JSON
    config: dict[str, Any] = field(compare=False)


class LocalLauncher:
    """Processes on this machine with `threads` BLAS and OpenMP threads: where many run side by side, each needs one."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def start(self, folder: Path) -> subprocess.Popen:
        limits = {f"{name}_NUM_THREADS": str(self.threads) for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)  # imports here work there
        environment = {**os.environ, **limits, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
        apart = {"start_new_session": True, "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        command = [sys.executable, "-u", "-m", "pilab.engine", str(folder), str(os.getpid())]
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **apart)

    def alive(self, handle: subprocess.Popen) -> bool:
        return handle.poll() is None

    def kill(self, handle: subprocess.Popen) -> None:
        _kill(handle.pid)
        handle.wait()


class Engine:
    """At most `workers` runs at a time, started by a background thread in the order of submission.

    Runs live no longer than the process that holds the engine: a script waits for them with `map`. With 0 workers they run in
    this very process as they are submitted: under a debugger, or where a process would cost more than the run.
    """

    def __init__(self, root: str | Path, workers: int = 2, launcher: Any = None) -> None:
        self.root, self.workers, self.launcher = Path(root).resolve(), workers, launcher or LocalLauncher()
        self._queue: list[Run] = []
        self._running: dict[Run, Any] = {}
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def run(self, function: str, config: Mapping[str, Any]) -> Run:
        """The run that a function and a config determine; starts nothing. `PilabError` if this cannot be a run."""
        if function.count(":") != 1:
            raise PilabError(f"{function!r} cannot be started; expected 'module:name' of an importable function")
        try:
            job = {"function": function, "config": dict(config)}
            text = json.dumps(job, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise PilabError(f"config of {function} is not JSON ({error}); use str, int, float, bool, None") from error
        name = f"{function.replace(':', '.')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        return Run(self.root / name, function, json.loads(text)["config"])

    def submit(self, function: str, config: Mapping[str, Any]) -> Run:
        """Queue a run unless it is done or under way; returns at once. `PilabError` as of `run`."""
        run = self.run(function, config)
        with self._lock:
            self._pump()
            run.folder.mkdir(parents=True, exist_ok=True)
            if not (run.folder / "config.json").exists():
                _write(run.folder / "config.json", {"function": function, "config": run.config})
            waits = self.status(run) != "done" and run not in self._queue and run not in self._running
            if waits and self.workers:
                self._queue.append(run)
            if self._queue and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pilab-engine", daemon=True)
                self._thread.start()
        if waits and not self.workers:
            execute(run.folder)
        return run

    def status(self, run: Run) -> str:
        """`done`, `running` (here or under another engine), `queued`, `failed`, `cancelled` or `interrupted`."""
        with self._lock:
            alive = (run in self._running and self.launcher.alive(self._running[run])) or _locked(run.folder)
            if (run.folder / "result.json").exists():  # asked last: what lived a moment ago may have ended well
                return "done"
            if alive:
                return "running"
            if run in self._queue:
                return "queued"
            state = _read(run.folder / "status.json").get("state")
            return state if state in ("failed", "cancelled") else "interrupted"

    def cancel(self, run: Run) -> None:
        """Take a run from the queue, or kill its process; its folder stays, and a run that is done stays done.

        Raises `PilabError` when another engine is at work on it.
        """
        with self._lock:
            self._queue = [queued for queued in self._queue if queued != run]
            if run in self._running:
                self.launcher.kill(self._running.pop(run))
            if (state := self.status(run)) == "running":
                raise PilabError(f"{run.folder} is under way in another engine; cancel it there, or end that process")
            if state != "done":
                _write(run.folder / "status.json", {"state": "cancelled"})

    def map(
        self, function: str, configs: Iterable[Mapping[str, Any]], progress: bool = True,
        ended: Callable[[Run], None] = lambda run: None,
    ) -> list[Any]:  # fmt: skip
        """Run every config and return the results in their order. Interrupted, it cancels what has not ended.

        ended: called once with every run that has a result, as soon as that is there.

        Raises `PilabError` when a run did not finish, once all others have: their results are kept.
        """
        runs: list[Run] = []
        told: set[Run] = set()

        def tell() -> None:
            for run in dict.fromkeys(runs):
                if run not in told and (run.folder / "result.json").exists():
                    told.add(run)
                    ended(run)

        try:
            for config in configs:
                runs.append(self.submit(function, config))
            total, done = _progress(runs)
            with tqdm(total=total, initial=done, desc=function.partition(":")[2], disable=not progress) as bar:
                working = True
                while working:
                    time.sleep(POLL)
                    working = any(self.status(run) in ("queued", "running") for run in runs)
                    bar.total, done = _progress(runs)
                    if done != bar.n:  # in a log every update is a line
                        bar.update(done - bar.n)
                    tell()
        except BaseException:
            for run in [run for run in set(runs) if run in self._queue or run in self._running]:
                self.cancel(run)
            raise
        if lost := [run for run in dict.fromkeys(runs) if self.status(run) != "done"]:
            state = self.status(lost[0]).replace("interrupted", "interrupted (killed, or out of memory?)")
            log = lost[0].folder / "log.txt"
            lines = (
                log.read_text(encoding="utf-8", errors="replace").split("\n")
                if log.exists()
                else ["none: it ran here, see above"]
            )
            last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
            raise PilabError(
                f"{len(lost)} of {len(set(runs))} runs of {function} did not finish. {lost[0].folder} is {state}; "
                f"its log ends with: {last}. Mend the cause and run again: finished runs are kept"
            )
        return [_read(run.folder / "result.json") for run in runs]

    def _pump(self) -> None:
        """Forget the runs that ended and start as many of the queue as there are free workers."""
        self._running = {run: handle for run, handle in self._running.items() if self.launcher.alive(handle)}
        for run in list(self._queue):
            if (run.folder / "result.json").exists():  # another engine was faster
                self._queue.remove(run)
            elif len(self._running) < self.workers and not _locked(run.folder):
                self._queue.remove(run)
                (run.folder / "status.json").unlink(missing_ok=True)
                try:
                    self._running[run] = self.launcher.start(run.folder)
                except Exception:  # noqa: BLE001  (a launcher may be anyone's; the thread has to outlive it)
                    with (run.folder / "log.txt").open("a", encoding="utf-8") as log:
                        traceback.print_exc(file=log)
                    _write(run.folder / "status.json", {"state": "failed"})

    def _work(self) -> None:
        while True:
            with self._lock:
                self._pump()
                if not self._queue and not self._running:
                    self._thread = None
                    return
            time.sleep(POLL)


class Here(Executor):
    """A pool of no processes: does what is submitted at once, where starting one would cost more than the work."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 (whoever asks for the result is told)
            future.set_exception(error)
        return future


# ------------------------------------------------------------------------------------------------ in a run's process
def progress(folder: str | Path, done: float, total: float) -> None:
    """For a run's function to call: `done` of `total` steps are over. `Engine.map` shows the sum over runs."""
    _write(Path(folder) / "progress.json", {"done": done, "total": total})


def provenance() -> dict[str, Any]:
    """Where a result comes from: the commit of this checkout ("" outside one) and the versions that matter."""
    root = Path(__file__).parent.parent
    commit = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, timeout=10
        )
        commit = asked.stdout.strip()
    versions = {"python": platform.python_version()}
    for name in ("pilab", "mujoco", "numpy", "torch"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"commit": commit, "versions": versions}


def execute(folder: str | Path) -> bool:
    """Run what `folder/config.json` says unless its result is there. Returns False, traceback printed, if it failed."""
    folder = Path(folder)
    with FileLock(folder / "lock"):
        if (folder / "result.json").exists():
            return True
        _write(folder / "status.json", {"state": "running", "pid": os.getpid(), "host": platform.node()})
        try:
            job = _read(folder / "config.json")
            module, name = job["function"].split(":")
            print(f"== {time.strftime('%Y-%m-%d %H:%M:%S')} {job['function']} in process {os.getpid()}", flush=True)
            result = getattr(importlib.import_module(module), name)(job["config"], folder)
            _write(folder / "result.json", result)
        except BaseException:  # noqa: BLE001  (a run that calls sys.exit has failed too)
            traceback.print_exc()
            _write(folder / "status.json", {"state": "failed"})
            return False
        return True


def _watch(parent: int) -> None:
    """End this process and its children once `parent` is gone: signals and pipes differ by platform, this not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(parent)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
    _kill(os.getpid())


# ------------------------------------------------------------------------------------------------ files, processes
def _write(path: Path, content: Any) -> None:
    """JSON without NaN. A reader sees the old file or the new one, never half of one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    for _ in range(100):
        with contextlib.suppress(PermissionError):  # on Windows, while somebody reads it
            part.replace(path)
            return
        time.sleep(0.01)
    part.replace(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _locked(folder: Path) -> bool:
    """Whether a process works in `folder` now. Asking takes the lock for an instant; `execute` waits that long."""
    with contextlib.suppress(Timeout), FileLock(folder / "lock", timeout=0):
        return False
    return True


def _kill(pid: int) -> None:
    """Kill a process after all that it has started, and wait until they are gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)


def _progress(runs: list[Run]) -> tuple[float, float]:
    """(total, done) summed over runs; one that has not reported yet counts as much as the others on average."""
    reports = {run: _read(run.folder / "progress.json") for run in runs}
    known = [report["total"] for report in reports.values() if report]
    length = {run: report.get("total", sum(known) / max(len(known), 1) or 1) for run, report in reports.items()}
    done = [length[r] if (r.folder / "result.json").exists() else reports[r].get("done", 0) for r in reports]
    return sum(length.values()), sum(done)


if __name__ == "__main__":
    threading.Thread(target=_watch, args=(int(sys.argv[2]),), daemon=True).start()
    sys.exit(not execute(sys.argv[1]))

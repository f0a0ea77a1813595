"""Recording while a robot runs: nothing waits for the disk, and nothing that was kept is lost.

Design choices
--------------
* **Three threads.** Whoever runs the robot calls `see`, which only queues. The *spooler* appends raw frames to files as
  they come. The *filer* encodes what was kept and commits it: a minute of video takes it seconds, in which the next
  episode is being spooled already.
* **A kill costs nothing that was kept.** A spooled episode is a folder of flat files; `kept.json`, which appears last,
  makes it one to file, by the next Recorder if need be. One that was neither kept nor discarded is in `unfinished`, and a
  person decides.
* **Nothing is dropped in silence.** What cannot be written ends the recording with an error that says what to do; frames
  that were missing are counted as gaps and stand in the episode's row.
* Rows come at the body's `control_hz`. A faster loop gives several frames to a row: the first one's observation, and the
  last one's command, where the motion that began there was to end.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from filelock import Timeout

from pilab.contracts import ACTION, EXECUTED, DatasetError, Embodiment, Observation, Thought
from pilab.data.cache import lock
from pilab.data.cards import write_card
from pilab.data.lerobot.format import IMAGES, Feature
from pilab.data.lerobot.reader import LeRobotDataset
from pilab.data.lerobot.writer import DatasetWriter, explained, stage_episode
from pilab.data.schema import INTERVENTION, SOURCE, SPEAKER, SUBTASK, SUCCESS, features

SPOOL = ".recording"
GONE = ".gone"  # behind the name of a folder that is being made or removed: nothing in it counts
COLUMNS = {"operator": "string", "success": "bool", "gaps": "int64", "scene": "string", "recording": "string"}
MOST_WAITING = 600  # frames in memory: a disk that is so far behind does not catch up


class Frame(Protocol):
    """What is recorded of a period; `robots.loop.Frame` is one."""

    tick: int
    observation: Observation
    label: np.ndarray | None
    executed: np.ndarray | None
    source: str
    is_intervention: bool
    thought: Thought


@dataclass(frozen=True)
class Recording:
    """How the recorder is."""

    active: bool  # an episode is being recorded
    steps: int  # rows of it so far
    gaps: int  # times that frames were missing in it
    episodes: int  # in the dataset
    filing: int  # kept, not in the dataset yet
    unfinished: tuple[str, ...]  # names of episodes that were neither kept nor discarded, from before a crash
    error: str  # what went wrong last, and what to do; empty if nothing


class Recorder:
    """Records into the LeRobot dataset at `root`, a new one or one to go on with. Use it in a `with` block, or `close` it.

    every: frames to a row, `loop.hz // body.control_hz`. slots: rows of `points.<camera>`, 0 where nobody knows where
    things are. operator: who drives. Raises `DatasetError` for the dataset of another body, or one somebody else writes to.
    `start`, `keep`, `discard`, `undo` may be called from any thread and return at once; `flush` waits for the disk.
    """

    def __init__(
        self, root: str | Path, body: Embodiment, *, every: int = 1, slots: int = 0, operator: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.root, self.body, self.every, self.operator = Path(root), body, every, operator
        self._lock = lock(self.root)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise DatasetError(f"somebody else writes to {root}; wait, stop them, or use another folder") from error
        try:
            self._features = features(body, slots)
            self._writer = self._open(dict(meta or {}))
        except BaseException:
            self._lock.release()
            raise
        self._spool: Spool | None = None
        self._first: Frame | None = None  # of the row under way
        self._last_tick: int | None = None
        self._steps = self._gaps = self._filing = 0
        self._error = ""
        self._mutex = threading.Lock()  # of the fields above
        self._unfinished: dict[str, Spool] = {}
        self._kept: list[Spool] = []  # by this Recorder, in order: what `undo` takes back
        self._filed: list[str] = []  # the filer's own: names of what it committed, in order
        self._frames: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(jobs,), name=f"pilab-{name}", daemon=True)
            for name, jobs in (("spooler", self._frames), ("filer", self._jobs))
        ]
        left = sorted((self.root / SPOOL).glob("*"), key=lambda f: f.stat().st_mtime)
        filed = {row["recording"] for row in LeRobotDataset(self.root).episodes} if left else ()
        for folder in left:
            if folder.name in filed or folder.name.endswith(GONE):  # killed at the start or while clearing away
                shutil.rmtree(folder)
            else:
                self._find(folder)
        for thread in self._threads:
            thread.start()

    def _open(self, meta: dict[str, Any]) -> DatasetWriter:
        if not (self.root / "meta" / "info.json").exists():
            if self.root.is_dir() and any(p.name != SPOOL for p in self.root.iterdir()):
                raise DatasetError(f"{self.root} is not empty and no dataset; use another folder")
            return DatasetWriter.create(
                self.root, self.body.control_hz, self._features, self.body.name,
                {"source": "recorded from a robot that was driven", **meta}, episode_columns=COLUMNS,
            )  # fmt: skip
        writer = DatasetWriter.resume(self.root)
        own = {key: f.shape for key, f in self._features.items()}
        theirs = {key: f.shape for key, f in writer.info.features.items() if key in own}
        if own != theirs or writer.info.fps != self.body.control_hz:
            differ = ", ".join(sorted(k for k in own if own[k] != theirs.get(k))) or f"{writer.info.fps} fps"
            raise DatasetError(
                f"{self.root} does not fit the body {self.body.name!r}: {differ}; record into another folder"
            )
        if lacking := sorted(set(COLUMNS) - set(writer.episode_columns)):
            raise DatasetError(
                f"{self.root} was not recorded: its episodes lack {', '.join(lacking)}; record into a folder of its own"
            )
        return writer

    def _find(self, folder: Path) -> None:
        """What an earlier process left: to file, or for a person to decide."""
        try:
            spool = Spool.open(folder, self._features)
            rows = len(spool)
        except (DatasetError, OSError, ValueError) as error:
            self._error = str(error)
            return
        if spool.kept is not None:
            self._file(spool)
        elif rows:
            self._unfinished[folder.name] = spool
        else:
            spool.remove()

    # ----------------------------------------------------------------------------------------------------- any thread
    def start(self) -> None:
        """Begin an episode. Raises `DatasetError` while another is being recorded, and where nothing can be written."""
        # Before the lock, because `see` waits for that one.
        spool = Spool.create(self.root / SPOOL / uuid.uuid4().hex, self._features)
        with self._mutex:
            if free := self._spool is None:
                self._spool, self._error = spool, ""
                self._first, self._last_tick, self._steps, self._gaps = None, None, 0, 0
        if not free:
            spool.remove()
            raise DatasetError("an episode is being recorded already; keep or discard it first")

    def see(self, frame: Frame) -> None:
        """Record a frame, if an episode is under way: a subscriber of a control loop."""
        with self._mutex:
            spool = self._spool
            if spool is None or frame.label is None or frame.executed is None:
                return
            if self._last_tick is not None and frame.tick != self._last_tick + 1:
                self._gaps, self._first = self._gaps + 1, None
            self._last_tick = frame.tick
            self._first = self._first or frame
            first = self._first
            if frame.tick - first.tick < self.every - 1:
                return
            self._first, self._steps = None, self._steps + 1
            behind = self._frames.qsize()
        if behind > MOST_WAITING:
            self._fail(spool, f"the disk does not keep up: {behind} frames wait; record fewer cameras, or elsewhere")
            return
        row = _row(first, frame, self._features)
        self._frames.put(lambda: self._append(spool, row))

    def keep(self, task: str, *, success: bool = True, scene: str = "") -> None:
        """End the episode and keep it under an instruction. Raises `DatasetError` where there is nothing to keep.

        success: whether it shows the task done. scene: of a simulated one, as JSON.
        """
        if not task:
            raise DatasetError("an episode needs an instruction, so that it can be learnt from; say what was done")
        with self._mutex:
            spool, steps = self._spool, self._steps
            if spool is None or not steps:
                ended = f"the recording ended: {self._error}" if self._error else "nothing was recorded"
                raise DatasetError(f"{ended}; `start`, and move the robot" if spool is None else
                                   "no whole row was recorded yet; go on for a moment, or discard")  # fmt: skip
            self._spool, self._filing = None, self._filing + 1
            self._kept.append(spool)
            values = {"operator": self.operator, "success": success, "gaps": self._gaps, "scene": scene}
        self._frames.put(lambda: self._end(spool, task, values))

    def discard(self) -> None:
        """End the episode and forget it. Raises `DatasetError` where none is under way."""
        with self._mutex:
            if self._spool is None:
                raise DatasetError("no episode is being recorded")
            spool, self._spool = self._spool, None
        self._frames.put(spool.remove)

    def undo(self) -> None:
        """Take back the episode that this Recorder kept last, filed already or not; and so on backwards."""
        with self._mutex:
            spool = self._kept.pop() if self._kept else None
        self._frames.put(lambda: self._jobs.put(lambda: self._take_back(spool)))

    def recover(self, name: str, task: str, *, success: bool = False) -> None:
        """Keep one of `unfinished` after all."""
        spool = self._one_unfinished(name)
        with self._mutex:
            self._filing += 1
            self._kept.append(spool)
        values = {"operator": self.operator, "success": success, "gaps": None, "scene": ""}  # nobody counted gaps
        self._frames.put(lambda: self._end(spool, task, values))

    def forget(self, name: str) -> None:
        """Discard one of `unfinished`."""
        self._frames.put(self._one_unfinished(name).remove)

    def flush(self) -> Recording:
        """Wait until all that was kept is in the dataset; returns how the recorder then is."""
        done = threading.Event()
        self._frames.put(lambda: self._jobs.put(done.set))
        while not done.wait(0.1):
            if not all(thread.is_alive() for thread in self._threads):
                raise DatasetError("the recorder is closed")
        return self.status

    @property
    def status(self) -> Recording:
        with self._mutex:
            return Recording(
                self._spool is not None, self._steps, self._gaps, self._writer.info.total_episodes, self._filing,
                tuple(self._unfinished), self._error,
            )  # fmt: skip

    def close(self) -> None:
        """File what was kept, write the dataset's card and let go of the folder. An episode under way stays `unfinished`."""
        if not self._lock.is_locked:
            return
        with self._mutex:
            spool, self._spool = self._spool, None
        if spool is not None:
            self._frames.put(spool.close)
        self._frames.put(lambda: self._jobs.put(None))
        self._frames.put(None)
        for thread in self._threads:
            thread.join()
        with explained(self.root):
            if self._writer.info.total_episodes:
                write_card(self.root)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _one_unfinished(self, name: str) -> Spool:
        with self._mutex:
            if name not in self._unfinished:
                raise DatasetError(f"no unfinished episode {name!r}; there are {sorted(self._unfinished) or 'none'}")
            return self._unfinished.pop(name)

    # ------------------------------------------------------------------------------------------------- the two threads
    def _work(self, jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        while (job := jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 (a thread that dies would lose all that comes after)
                self._note(error)

    def _append(self, spool: Spool, row: Mapping[str, Any]) -> None:
        if spool.broken:
            return  # said already
        try:
            spool.append(row)
        except DatasetError as error:
            spool.broken = True
            self._fail(spool, str(error))

    def _end(self, spool: Spool, task: str, values: dict[str, Any]) -> None:
        try:
            spool.keep(task, values)
        except DatasetError:
            self._filing_ended()
            with self._mutex:
                self._unfinished[spool.folder.name] = spool
            raise
        self._jobs.put(lambda: self._commit(spool))

    def _file(self, spool: Spool) -> None:
        self._filing += 1
        self._jobs.put(lambda: self._commit(spool))

    def _commit(self, spool: Spool) -> None:
        """In the filer: encode and commit. What fails stays in its folder, for the next Recorder."""
        try:
            arrays, kept = spool.read(), spool.kept
            steps = len(arrays[ACTION])
            arrays[SUCCESS] = np.arange(steps) == (steps - 1 if kept["values"]["success"] else steps)
            folder = self._writer.staging_folder()
            try:
                stage_episode(folder, arrays, self._writer.info.features, self._writer.info.fps, self._writer.codec)
                self._writer.commit(folder, kept["task"], {**kept["values"], "recording": spool.folder.name})
                self._filed.append(spool.folder.name)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            spool.remove()
        finally:
            self._filing_ended()

    def _filing_ended(self) -> None:
        with self._mutex:
            self._filing -= 1

    def _take_back(self, spool: Spool | None) -> None:
        """In the filer. An episode that could not be filed is not in the dataset: no other one goes in its place."""
        if spool is None:
            raise DatasetError("no episode to take back: nothing else was kept since the recorder was opened")
        if self._filed[-1:] == [spool.folder.name]:
            self._writer = self._writer.without_last()
            self._filed.pop()
        else:
            spool.remove()
            with self._mutex:
                self._unfinished.pop(spool.folder.name, None)

    def _fail(self, spool: Spool, why: str) -> None:
        """The episode cannot go on: what there is of it stays on disk."""
        with self._mutex:
            if self._spool is spool:
                self._spool = None
                self._unfinished[spool.folder.name] = spool
        self._note(f"the recording ended: {why}. What came before is in `unfinished`: recover or forget it")

    def _note(self, error: object) -> None:
        with self._mutex:
            self._error = str(error)


def _row(first: Frame, last: Frame, columns: Mapping[str, Feature]) -> dict[str, Any]:
    """The observation before a motion, and what the motion was."""
    known = {
        ACTION: last.label, EXECUTED: last.executed, SUBTASK: last.thought.subtask or "", SOURCE: last.source,
        SPEAKER: last.thought.author if last.thought.subtask else "",
        INTERVENTION: last.is_intervention,
    }  # fmt: skip
    seen = {key: first.observation.get(key) for key in columns if key not in (SUCCESS, *known)}
    return known | {key: np.ravel(v) if key.startswith("points.") and v is not None else v for key, v in seen.items()}


class Spool:
    """One episode as it comes: `frames.bin` with a fixed number of bytes a row, `texts.jsonl` with a line a row."""

    def __init__(self, folder: Path, columns: Mapping[str, Feature]) -> None:
        self.folder, self.broken = folder, False
        self._texts = [key for key, f in columns.items() if f.dtype == "string"]
        self._numbers = {
            key: (np.dtype("uint8" if f.dtype in IMAGES else f.dtype), () if f.shape == (1,) else tuple(f.shape))
            for key, f in columns.items()
            if f.dtype != "string" and key != SUCCESS
        }
        self._size = sum(d.itemsize * int(np.prod(shape)) for d, shape in self._numbers.values())
        self.kept: dict[str, Any] | None = None

    @classmethod
    def create(cls, folder: Path, columns: Mapping[str, Feature]) -> Self:
        """A new one. Raises `DatasetError` on a full disk, or without permission."""
        spool = cls(folder, columns)
        with explained(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            unready = folder.with_name(folder.name + GONE)  # a kill in between leaves a name that says so
            unready.mkdir()
            (unready / "layout.json").write_text(json.dumps(spool._layout()), encoding="utf-8")
            for name in ("frames.bin", "texts.jsonl"):
                (unready / name).touch()
            os.rename(unready, folder)
            spool._frames, spool._lines = open(folder / "frames.bin", "ab"), open(folder / "texts.jsonl", "ab")  # noqa: SIM115
        return spool

    @classmethod
    def open(cls, folder: Path, columns: Mapping[str, Feature]) -> Self:
        """One that a process left behind. Raises `DatasetError` where it has other columns."""
        spool = cls(folder, columns)
        try:
            layout = json.loads((folder / "layout.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(f"{folder} is no recording ({error}); delete it if nothing in it matters") from error
        if layout != spool._layout():
            raise DatasetError(f"{folder} was recorded with other columns; open it with the robot it was made with")
        if (folder / "kept.json").exists():
            spool.kept = json.loads((folder / "kept.json").read_text(encoding="utf-8"))
        return spool

    def _layout(self) -> dict[str, Any]:
        return {"texts": self._texts, "numbers": {k: [d.str, list(s)] for k, (d, s) in self._numbers.items()}}

    def __len__(self) -> int:
        """Whole rows on disk: the last one may have been cut by a kill."""
        with open(self.folder / "texts.jsonl", "rb") as file:
            lines = sum(1 for line in file if line.endswith(b"\n"))
        return min((self.folder / "frames.bin").stat().st_size // self._size, lines)

    def append(self, row: Mapping[str, Any]) -> None:
        """A row, in the hands of the operating system when this returns. Raises `DatasetError` for values that do not fit."""
        parts = []
        for key, (dtype, shape) in self._numbers.items():
            value = np.asarray(row[key])
            value = value[0] if shape == () and value.shape == (1,) else value  # LeRobot stores those as scalars
            if value.dtype == object or value.shape != shape:
                raise DatasetError(
                    f"{key} has shape {value.shape}; expected {shape}: the robot does not give what its body says"
                )
            parts.append(np.ascontiguousarray(value, dtype).tobytes())
        with explained(self.folder):
            self._frames.write(b"".join(parts))
            self._frames.flush()
            self._lines.write(json.dumps([row[key] for key in self._texts]).encode() + b"\n")
            self._lines.flush()

    def keep(self, task: str, values: Mapping[str, Any]) -> None:
        """From now on a kill cannot undo it."""
        self.close()
        self.kept = {"task": task, "values": dict(values)}
        with explained(self.folder):
            for name in ("frames.bin", "texts.jsonl"):
                with open(self.folder / name, "rb+") as file:
                    os.fsync(file.fileno())
            temporary = self.folder / "kept.json.tmp"
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(self.kept, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.folder / "kept.json")

    def read(self) -> dict[str, Any]:
        """All rows as arrays (T, …) and lists of T texts."""
        rows = len(self)
        record = np.dtype([(str(i), d, s) for i, (d, s) in enumerate(self._numbers.values())])
        with explained(self.folder):
            table = np.fromfile(self.folder / "frames.bin", record, rows)
            with open(self.folder / "texts.jsonl", encoding="utf-8") as file:
                texts = [json.loads(line) for line, _ in zip(file, range(rows), strict=False)]
        arrays: dict[str, Any] = {key: np.ascontiguousarray(table[str(i)]) for i, key in enumerate(self._numbers)}
        return arrays | {key: [row[i] for row in texts] for i, key in enumerate(self._texts)}

    def close(self) -> None:
        for file in (getattr(self, "_frames", None), getattr(self, "_lines", None)):
            if file is not None:
                file.close()

    def remove(self) -> None:
        self.close()
        gone = self.folder.with_name(self.folder.name + GONE)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)

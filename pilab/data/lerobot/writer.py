"""Writing a LeRobotDataset v3.0 so that a kill at any moment costs nothing but the episode under way.

Design choices
--------------
* **Two steps.** `stage_episode` is a pure function from arrays to a folder (columns, videos, statistics) and runs in
  any process; `DatasetWriter.commit` numbers the episode and files it, in the one process that owns the dataset.
* **A closed set of files per episode** (data and videos). Everything is written and flushed beside its place under a
  `.tmp` name, which no reader matches, then renamed, which needs no space. info.json, which counts, comes last.
* Only meta/episodes gathers 50 rows in a file: a row has 200 columns, whose headers weigh 50 kB in a file. The
  file is replaced whole at each commit, so a reader sees the old or the new one.
* **Leftovers are harmless**: readers follow the episode table; `resume` removes what no episode refers to.
* The real library stacks episodes into files of 100 MB; one file each is legal, and what makes the above possible. Its
  float sums of durations (and their drift) disappear with it: every video starts at 0 and frame k is at exactly k/fps.
* Statistics merge episode by episode; no commit reads an earlier one.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pilab.contracts import DatasetError
from pilab.data.lerobot import reader
from pilab.data.lerobot import stats as statistics
from pilab.data.lerobot.format import (
    DEFAULT_FEATURES,
    EPISODES_PATH,
    IMAGES,
    INFO,
    NUMBERS,
    PILAB,
    STATS,
    TASKS,
    DatasetInfo,
    Feature,
    next_file,
)
from pilab.data.lerobot.video import VideoCodec, encode

PILAB_VERSION = 1  # of meta/pilab.json and of the columns this project adds
STAGING = ".staging"
EPISODES_PER_FILE = 50
_COLUMNS = {str: "string", bool: "bool", int: "int64", float: "float64", type(None): "string"}
_ARROW = {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
_HINTS = {errno.ENOSPC: "the disk is full: free some space", errno.EFBIG: "the file would exceed the size limit"}
_HINTS |= {getattr(errno, "EDQUOT", -1): "the quota is used up: free some space"}
_HINTS |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "no permission to write there: choose another folder")


def stage_episode(
    folder: str | Path,
    arrays: Mapping[str, Any],
    features: Mapping[str, Feature],
    fps: int,
    codec: VideoCodec = VideoCodec(),  # noqa: B008 (frozen)
    ready: Mapping[str, tuple[Path, Mapping[str, Any]]] = MappingProxyType({}),
) -> Path:
    """Encode one episode into a new folder, for `DatasetWriter.commit`. Any process may do this; nothing is shared.

    arrays: for each feature (the five default ones excepted) an array with leading T: numbers (T, *shape), images
    (T, H, W, 3) uint8, texts a list of T strings. ready: instead of an array, a video of this episode alone and its
    statistics. Raises `DatasetError` naming the feature that does not fit, and on a full disk.
    """
    features = {key: feature for key, feature in features.items() if key not in DEFAULT_FEATURES}
    checked, length = _check(arrays, {key: feature for key, feature in features.items() if key not in ready})
    checked["timestamp"] = (np.arange(length) / fps).astype(np.float32)
    checked["frame_index"] = np.arange(length)
    features |= {key: DEFAULT_FEATURES[key] for key in ("timestamp", "frame_index")}
    folder = Path(folder)
    with explained(folder):
        folder.mkdir(parents=True)
        for key, feature in features.items():
            if key in ready:
                link(ready[key][0], folder / f"{key}.mp4")
            elif feature.dtype == "video":
                (folder / f"{key}.mp4").write_bytes(encode(checked[key], fps, codec))
        columns = {key: _to_arrow(checked[key], f) for key, f in features.items() if f.dtype != "video"}
        pq.write_table(pa.table(columns), folder / "data.parquet")
        about = {"length": length, "fps": fps, "features": {key: f.to_json() for key, f in features.items()}}
        stats = statistics.episode_stats(checked, features) | {key: entry for key, (_, entry) in ready.items()}
        about["stats"] = statistics.to_json(stats)
        (folder / "staged.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def link(source: Path, path: Path) -> None:
    """The same bytes under another name: a hard link where the disk can, else a copy."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


@dataclass(eq=False)
class DatasetWriter:
    """The one owner of a dataset that is being written. Make it with `create` or `resume`; not for several threads."""

    root: Path
    info: DatasetInfo
    codec: VideoCodec
    id: str  # names the dataset in caches
    meta: dict[str, Any]  # free: recipe, commit, colour error …
    episode_columns: dict[str, str]  # extra per-episode columns: name → string, bool, int64 or float64
    tasks: list[str] = field(default_factory=list)
    stats: statistics.Stats = field(default_factory=dict, repr=False)
    _last: dict[str, tuple[int, int]] = field(default_factory=dict)  # chunk and file last used, per kind of file
    _rows: pa.Table | None = field(default=None, repr=False)  # of the last file of meta/episodes

    @classmethod
    def create(
        cls,
        root: str | Path,
        fps: int = 10,
        features: Mapping[str, Feature] | None = None,
        robot_type: str | None = None,
        meta: Mapping[str, Any] | None = None,
        codec: VideoCodec = VideoCodec(),  # noqa: B008 (frozen)
        episode_columns: Mapping[str, str] | None = None,
    ) -> DatasetWriter:
        """A new dataset without episodes. `features` without the five default ones; `meta` is any JSON.

        `episode_columns` declares the types of extra per-episode columns; else the first episode's are taken. Raises
        `DatasetError` where the folder is not empty: `resume` is for that.
        """
        root = Path(root)
        described = {
            key: dataclasses.replace(f, info=codec.info(*f.shape[:2], fps)) if f.dtype == "video" else f
            for key, f in (features or {}).items()
        }
        info = DatasetInfo.create(fps, described, robot_type)
        for key in info.keys("language"):
            raise DatasetError(f"feature {key!r}: language columns can be read, not written; use dtype 'string'")
        for name, kind in (episode_columns or {}).items():
            _check_column(name, kind)
        with explained(root):
            if root.is_dir() and any(root.iterdir()):
                raise DatasetError(f"{root} is not empty; choose another folder, or go on with DatasetWriter.resume")
            (root / "meta").mkdir(parents=True, exist_ok=True)
        writer = cls(root, info, codec, str(uuid.uuid4()), dict(meta or {}), dict(episode_columns or {}))
        with explained(root):
            _replace(root / PILAB, writer._pilab())
            _replace(root / INFO, info.to_json())
        return writer

    @classmethod
    def resume(cls, root: str | Path) -> DatasetWriter:
        """Go on with a dataset, ours or the real library's; what a killed writer left behind is removed.

        Raises `DatasetError` where the folder is not a whole LeRobot v3.0 dataset.
        """
        root = Path(root)
        info, pilab = reader.load_info(root), reader.load_pilab(root)
        table = reader.load_episodes(root, info)
        video = info.keys("video")
        codec = VideoCodec.from_info(info.features[video[0]].info) if video else VideoCodec()
        columns = pilab.get("episode_columns") or extra_columns(table)
        writer = cls(root, info, codec, pilab.get("id") or str(uuid.uuid4()), pilab.get("meta", {}), columns)
        writer.tasks = reader.load_tasks(root, info)
        writer.stats = reader.stats_of_episodes(table)
        with explained(root):
            shutil.rmtree(root / STAGING, ignore_errors=True)
            for kind in writer._next_files():
                columns = (
                    [table.column(f"{kind}/{n}_index").to_pylist() for n in ("chunk", "file")]
                    if len(table)
                    else [[], []]
                )
                used = set(zip(*columns, strict=True))
                _remove_unused(root / kind, used)
                if used:
                    writer._last[kind] = max(used)
            if len(table):
                chunks, files = (table.column(f"meta/episodes/{n}_index").to_numpy() for n in ("chunk", "file"))
                last = np.flatnonzero((chunks == chunks[-1]) & (files == files[-1]))
                writer._rows = table.slice(int(last[0]))  # without a row that info.json does not count
            for path in (root / "meta").glob("*.tmp"):
                path.unlink()
            if not pilab:
                _replace(root / PILAB, writer._pilab())
        return writer

    def without_last(self) -> DatasetWriter:
        """Take the last episode back; returns the writer to go on with. Raises `DatasetError` where there is none."""
        if not self.info.total_episodes:
            raise DatasetError(f"{self.root} has no episode to take back")
        length = reader.load_episodes(self.root, self.info).column("length")[-1].as_py()
        totals = {"total_episodes": self.info.total_episodes - 1, "total_frames": self.info.total_frames - length}
        with explained(self.root):
            _replace(self.root / INFO, dataclasses.replace(self.info, **totals).to_json())
            writer = DatasetWriter.resume(self.root)  # which removes the files that are no longer counted
            with _Batch() as batch:
                if writer._rows is not None:
                    path = self.root / EPISODES_PATH.format(
                        chunk_index=writer._last["meta/episodes"][0], file_index=writer._last["meta/episodes"][1]
                    )
                    batch.parquet(path, writer._rows, use_dictionary=False, store_schema=False)
                batch.text(self.root / STATS, json.dumps(statistics.to_json(writer.stats)))
        return writer

    def update_meta(self, **values: Any) -> None:
        """Add to the free `meta` of the dataset, at once: what was measured, such as `colour_error`. JSON values."""
        meta = self.meta | values
        try:
            json.dumps(meta)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"meta {sorted(values)} is not JSON ({error})") from error
        self.meta = meta
        with explained(self.root):
            _replace(self.root / PILAB, self._pilab())

    def staging_folder(self) -> Path:
        """The name of a new folder for `stage_episode`, on the dataset's own disk."""
        return self.root / STAGING / uuid.uuid4().hex

    def save_episode(
        self, arrays: Mapping[str, Any], task: str | Sequence[str], episode: Mapping[str, Any] | None = None
    ) -> int:
        """Stage and commit one episode; returns its index."""
        folder = self.staging_folder()
        try:
            return self.commit(
                stage_episode(folder, arrays, self.info.features, self.info.fps, self.codec), task, episode
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, staged: str | Path, tasks: str | Sequence[str], episode: Mapping[str, Any] | None = None) -> int:
        """File a staged episode as the next one and remove its folder; returns its index.

        tasks: the instruction, or one per frame. episode: values of the extra per-episode columns (str, bool, int,
        float, None), the same columns for every episode. On an error (`DatasetError`) the dataset and the staged
        folder are as they were.
        """
        staged = Path(staged)
        about = self._load_staged(staged)
        length, number, start = about["length"], self.info.total_episodes, self.info.total_frames
        said = [tasks] * length if isinstance(tasks, str) else list(tasks)
        if len(said) != length or not all(isinstance(task, str) and task for task in said):
            raise DatasetError(
                f"{len(said)} tasks for {length} frames; expected one instruction, or one for each frame"
            )
        all_tasks = list(dict.fromkeys([*self.tasks, *said]))
        totals = {"total_episodes": number + 1, "total_frames": start + length, "total_tasks": len(all_tasks)}
        info = dataclasses.replace(self.info, **totals)
        numbered = {
            "episode_index": np.full(length, number),
            "index": np.arange(start, start + length),
            "task_index": np.array([all_tasks.index(task) for task in said]),
        }
        stats = statistics.from_json(about["stats"]) | statistics.episode_stats(numbered, DEFAULT_FEATURES)
        total = statistics.merge(self.stats, stats)
        at = self._next_files()
        row = {"episode_index": number, "tasks": list(dict.fromkeys(said)), "length": length}
        row |= {"dataset_from_index": start, "dataset_to_index": start + length}
        row |= {
            f"{kind}/{n}_index": i for kind, place in at.items() for n, i in zip(("chunk", "file"), place, strict=True)
        }
        for key in info.keys("video"):
            row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": length / info.fps}
        row |= {f"stats/{key}/{name}": v.tolist() for key, entry in stats.items() for name, v in entry.items()}
        cells = self._episode_cells(episode or {})
        added = pa.table({name: pa.array([value]) for name, value in row.items()} | cells)
        with explained(self.root), _Batch() as batch:
            rows = pa.concat_tables([self._rows, added], promote_options="permissive") if self._fits() else added
            rows = rows.combine_chunks()
            staged_data = pq.read_table(staged / "data.parquet")
            columns = {name: staged_data.column(name) for name in staged_data.column_names} | numbered
            for key in info.keys("video"):
                batch.copy(staged / f"{key}.mp4", info.video_file(self.root, key, *at[f"videos/{key}"]))
            data = pa.table({name: columns[name] for name in info.data_schema().names}, schema=info.data_schema())
            words = [key for key in info.keys("string") if key in data.column_names]
            batch.parquet(info.data_file(self.root, *at["data"]), data, use_dictionary=words)
            chunk, file = at["meta/episodes"]
            path = self.root / EPISODES_PATH.format(chunk_index=chunk, file_index=file)
            batch.parquet(path, rows, use_dictionary=False, store_schema=False)
            if len(all_tasks) > len(self.tasks):
                batch.parquet(self.root / TASKS, _tasks_table(all_tasks))
            if number == 0:
                batch.text(self.root / PILAB, self._pilab())  # with the columns that this first episode brought
            batch.text(self.root / STATS, json.dumps(statistics.to_json(total)))
            batch.text(self.root / INFO, info.to_json())
        self.info, self.tasks, self.stats, self._rows = info, all_tasks, total, rows
        self._last.update(at)
        shutil.rmtree(staged, ignore_errors=True)
        return number

    def _fits(self) -> bool:
        """Whether the next row goes to the last file of meta/episodes."""
        return self._rows is not None and len(self._rows) < EPISODES_PER_FILE

    def _next_files(self) -> dict[str, tuple[int, int]]:
        """Chunk and file of the next episode, for its data, its row and its videos."""
        kinds = ["data", "meta/episodes", *(f"videos/{key}" for key in self.info.keys("video"))]
        last, size = self._last, self.info.chunks_size
        at = {kind: next_file(*last[kind], size) if kind in last else (0, 0) for kind in kinds}
        return at | ({"meta/episodes": last["meta/episodes"]} if self._fits() else {})

    def _pilab(self) -> str:
        body = {"pilab": PILAB_VERSION, "project": "pilab", "id": self.id, "meta": self.meta}
        return json.dumps(body | {"episode_columns": self.episode_columns}, indent=1)

    def _load_staged(self, staged: Path) -> dict[str, Any]:
        try:
            about = json.loads((staged / "staged.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(f"{staged} is not an episode that stage_episode has finished ({error})") from error
        given = {key: Feature.parse(key, value) for key, value in about["features"].items()}
        for key, feature in self.info.features.items():
            if key in ("episode_index", "index", "task_index"):
                continue
            if key not in given or (given[key].dtype, given[key].shape) != (feature.dtype, feature.shape):
                raise DatasetError(f"{staged}: feature {key!r} is {given.get(key)}; the dataset has {feature}")
        if about["fps"] != self.info.fps:
            raise DatasetError(f"{staged} was staged at {about['fps']} fps; the dataset has {self.info.fps}")
        return about

    def _episode_cells(self, values: Mapping[str, Any]) -> dict[str, pa.Array]:
        """The extra columns of one episode; the first episode settles names and types where nothing was declared."""
        for name, value in values.items():
            if type(value) not in _COLUMNS:
                kind = type(value).__name__
                raise DatasetError(
                    f"episode column {name!r} is a {kind}; expected str, bool, int, float or None (json.dumps)"
                )
        if not self.episode_columns and self.info.total_episodes == 0:
            kinds = {name: _COLUMNS[type(value)] for name, value in values.items()}
            for name, kind in kinds.items():
                _check_column(name, kind)
            self.episode_columns = kinds
        if unknown := sorted(set(values) - set(self.episode_columns)):
            known = ", ".join(self.episode_columns) or "none"
            raise DatasetError(
                f"episode columns {', '.join(unknown)} are new, and the dataset has {known}; declare all in create"
            )
        return {name: _cell(name, values.get(name), kind) for name, kind in self.episode_columns.items()}


class _Batch:
    """Files that appear together: all are written under temporary names, then renamed in order; or none appears."""

    def __init__(self) -> None:
        self._moves: list[tuple[Path, Path]] = []  # from, to

    def __enter__(self) -> Self:
        return self

    def _temporary(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._moves.append((path.with_name(path.name + ".tmp"), path))
        return self._moves[-1][0]

    def text(self, path: Path, content: str) -> None:
        self._temporary(path).write_text(content, encoding="utf-8")

    def parquet(self, path: Path, table: pa.Table, **options: Any) -> None:
        indices = [name for name in ("index", "episode_index") if name in table.column_names]
        pq.write_table(table, self._temporary(path), write_statistics=indices, **options)

    def copy(self, source: Path, path: Path) -> None:
        """A copy, so that a batch that fails leaves the source whole."""
        temporary = self._temporary(path)
        temporary.unlink(missing_ok=True)
        link(source, temporary)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for temporary, _ in self._moves:
                temporary.unlink(missing_ok=True)
            return
        for temporary, _ in self._moves:  # the bytes reach the disk before the names do
            _flush(temporary)
        for temporary, path in self._moves:
            os.replace(temporary, path)


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _replace(path: Path, content: str) -> None:
    with _Batch() as batch:
        batch.text(path, content)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of the operating system, or of parquet, into one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, error.strerror or str(error))
        raise DatasetError(
            f"cannot write {error.filename or path}: {hint}; all episodes committed before are intact"
        ) from error


def _check(arrays: Mapping[str, Any], features: Mapping[str, Feature]) -> tuple[dict[str, Any], int]:
    """The arrays in their features' types, and T."""
    if wrong := sorted(set(arrays) ^ set(features)):
        raise DatasetError(f"arrays and features differ in {', '.join(wrong)}; arrays need {', '.join(features)}")
    if not arrays:
        raise DatasetError("an episode needs at least one feature")
    checked = {key: _check_one(key, arrays[key], feature) for key, feature in features.items()}
    lengths = {key: len(value) for key, value in checked.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise DatasetError(f"an episode's arrays need the same number of frames, at least 1; got {lengths}")
    return checked, next(iter(lengths.values()))


def _check_one(key: str, value: Any, feature: Feature) -> Any:
    if feature.dtype not in (*NUMBERS, *IMAGES):
        texts = list(value)
        if not all(isinstance(text, str) for text in texts):
            raise DatasetError(f"{key!r} needs a list of T strings")
        return texts
    array = np.asarray(value)
    wanted = np.dtype(np.uint8 if feature.dtype in IMAGES else feature.dtype)
    if feature.shape == (1,) and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    shape = () if feature.shape == (1,) and array.ndim == 1 else feature.shape
    if array.ndim == 0 or array.shape[1:] != shape or (feature.dtype in IMAGES and array.dtype != wanted):
        raise DatasetError(
            f"{key!r} is {array.dtype} of shape {array.shape}; expected {wanted} of shape (T, {feature.shape})"
        )
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        raise DatasetError(f"{key!r} is {array.dtype}, which is not a kind of {wanted}; convert it")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        frame = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DatasetError(f"{key!r} is not finite at frame {frame}; a sensor or the policy failed there")
    return array.astype(wanted, copy=False)


def _to_arrow(values: Any, feature: Feature) -> pa.Array:
    if feature.dtype == "image":
        return pa.array(
            [{"bytes": _png(image), "path": f"frame-{k:06d}.png"} for k, image in enumerate(values)], feature.arrow()
        )
    if feature.dtype == "string":
        return pa.array(values, pa.string())
    flat = pa.array(values.reshape(-1), NUMBERS[feature.dtype])
    if feature.shape == (1,):
        return flat
    if len(feature.shape) == 1:
        return pa.FixedSizeListArray.from_arrays(flat, feature.shape[0])
    for size in reversed(feature.shape):
        flat = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, size), pa.int32()), flat)
    return flat


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def _tasks_table(tasks: Sequence[str]) -> pa.Table:
    """tasks.parquet as pandas reads it: the texts are the index, named `task`, in the order of task_index."""
    text = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    columns = [
        {"name": "task_index", "field_name": "task_index", **number},
        {"name": "task", "field_name": "task", **text},
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(pandas)})
    return pa.table({"task_index": np.arange(len(tasks)), "task": list(tasks)}, schema=schema)


def _check_column(name: str, kind: str) -> None:
    taken = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")
    if not re.fullmatch(r"[\w.\-]+", name) or name in taken:
        raise DatasetError(
            f"episode column {name!r} cannot be named so; use letters, digits, dots and hyphens, and not {taken}"
        )
    if kind not in _ARROW:
        raise DatasetError(f"episode column {name!r} has kind {kind!r}; expected one of {', '.join(_ARROW)}")


def _cell(name: str, value: Any, kind: str) -> pa.Array:
    try:
        return pa.array([value], _ARROW[kind])
    except (pa.ArrowException, OverflowError) as error:
        raise DatasetError(f"episode column {name!r} holds {kind} values; got {value!r}") from error


def extra_columns(table: pa.Table) -> dict[str, str]:
    """The extra columns of a dataset that has no pilab.json."""
    known = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")
    kinds = {kind: name for name, kind in _ARROW.items()} | {pa.large_string(): "string"}
    return {f.name: kinds.get(f.type, "string") for f in table.schema if f.name not in known and "/" not in f.name}


def _remove_unused(folder: Path, used: set[tuple[int, int]]) -> None:
    """Delete files that follow the naming of the format and that no episode refers to."""
    for path in folder.glob("chunk-*/file-*"):
        match = re.fullmatch(r"chunk-(\d+)/file-(\d+)\.(parquet|mp4)(\.tmp)?", f"{path.parent.name}/{path.name}")
        if match and (match[4] or (int(match[1]), int(match[2])) not in used):
            path.unlink()

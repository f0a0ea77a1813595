"""Reading any LeRobotDataset v3.0: ours, or one that the real library wrote.

Design choices
--------------
* **Numbers and words live in memory** as numpy columns (a thousand episodes of 50 steps are some 30 MB); pixels stay on
  disk and are decoded when asked for. `FrameCache` is the way to train; this is the way to look, and to fill it.
* **The episode table is the truth**: info.json says how many episodes count, their rows say in which files they are.
  Whatever else a killed writer left in the folders is never looked at.
* **Nothing is guessed.** Gaps, missing files, truncated files and time stamps without a frame are `DatasetError`s. A
  video may drift from k/fps by a quarter of a frame (the real library adds up float durations), never by more.
* Thread-safe: columns are read-only and every thread has decoders of its own. Pickling sends the folder's name.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pilab.contracts import TASK, DatasetError, UnknownNameError
from pilab.data.lerobot import stats as statistics
from pilab.data.lerobot.format import INFO, NUMBERS, PILAB, STATS, TASKS, DatasetInfo, Feature
from pilab.data.lerobot.video import Decoder, Video


class LeRobotDataset:
    """A dataset on disk. `ds[i]` is one frame, `ds.episode(e)` one episode, `ds.window(i, offsets)` frames around i.

    Keys are the dataset's own (LeRobot's names); images are HWC uint8; `task` is the instruction. Raises `DatasetError`
    where the folder is not a whole LeRobot v3.0 dataset.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.info = load_info(self.root)
        self.pilab = load_pilab(self.root)  # {} for a dataset of somebody else's
        self.tasks = load_tasks(self.root, self.info)
        table = load_episodes(self.root, self.info)
        self._starts = table.column("dataset_from_index").to_numpy()
        self._stops = table.column("dataset_to_index").to_numpy()
        shown = [name for name in table.column_names if not name.startswith("stats/")]
        self.episodes: list[dict[str, Any]] = table.select(shown).to_pylist()
        self.columns = self._load_columns()
        self._videos: dict[Path, Video] = {}
        self._packets: dict[tuple[str, int], tuple[Video, np.ndarray]] = {}
        self._decoder = Decoder()
        self._row_groups = lru_cache(maxsize=None)(_row_groups)
        self._images = lru_cache(maxsize=64)(_images)
        if missing := sorted(str(path) for path in self._video_files if not path.is_file()):
            raise DatasetError(f"{len(missing)} video files are missing, such as {missing[0]}; copy the dataset again")

    # ------------------------------------------------------------------------------------------------------ description
    @property
    def features(self) -> Mapping[str, Feature]:
        return self.info.features

    @property
    def cameras(self) -> list[str]:
        """The keys of all image and video features."""
        return self.info.cameras

    @property
    def fps(self) -> int:
        return self.info.fps

    @property
    def id(self) -> str:
        """What names this dataset in caches: written at its creation, or a digest of a foreign dataset's tables."""
        if "id" in self.pilab:
            return self.pilab["id"]
        content = [(self.root / name).read_bytes() for name in (INFO, STATS) if (self.root / name).is_file()]
        return "foreign-" + sha256(b"\0".join(content)).hexdigest()[:16]

    @property
    def lengths(self) -> np.ndarray:
        """(E,) frames of each episode."""
        return self._stops - self._starts

    @property
    def stats(self) -> statistics.Stats:
        """Of the committed episodes: stats.json, or a recount where a killed writer left that file ahead."""
        try:
            stats = statistics.from_json(json.loads((self.root / STATS).read_text(encoding="utf-8")))
            if int(stats["index"]["count"][0]) == len(self):
                return stats
        except FileNotFoundError:
            pass  # optional in the format
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
            raise DatasetError(f"{self.root / STATS} is damaged ({error}); copy the dataset again") from error
        return stats_of_episodes(load_episodes(self.root, self.info))

    # ----------------------------------------------------------------------------------------------------------- access
    def __len__(self) -> int:
        return self.info.total_frames

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Frame i as {key: value}: scalars as numpy scalars, vectors (D,), images (H, W, C) uint8, `task` a string."""
        i = range(len(self))[i]
        e = self.episode_of(i)
        frame = {key: self.frames(key, e, [i - self._starts[e]])[0] for key in self.cameras}
        frame |= {key: np.copy(c[i]) if c.ndim > 1 else c[i] for key, c in self.columns.items()}
        return frame | {TASK: self.tasks[int(frame["task_index"])]}

    def episode(self, e: int, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """Episode e as arrays with a leading T; texts as lists. `keys` limits what is read (and decoded)."""
        e = range(len(self.episodes))[e]
        rows = slice(self._starts[e], self._stops[e])
        wanted = [*self.features, TASK] if keys is None else list(keys)
        out: dict[str, Any] = {}
        for key in wanted:
            if key == TASK:
                out[key] = [self.tasks[int(t)] for t in self.columns["task_index"][rows]]
            elif key in self.cameras:
                out[key] = self.frames(key, e, np.arange(rows.stop - rows.start))
            else:
                values = self._column(key)[rows]
                out[key] = values.tolist() if values.dtype == object else values.copy()
        return out

    def window(self, i: int, offsets: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """Frames around i: for each key its values at i + offset, (n, …), and `<key>_is_pad` (n,) bool.

        Offsets are in frames. Beyond the ends of the episode the nearest frame of it is repeated and marked as padding.
        """
        i = range(len(self))[i]
        e = self.episode_of(i)
        start, stop = self._starts[e], self._stops[e]
        out: dict[str, Any] = {}
        for key, steps in offsets.items():
            at = i + np.asarray(steps, np.int64)
            rows = at.clip(start, stop - 1)
            if key in self.cameras:
                out[key] = self.frames(key, e, rows - start)
            elif key == TASK:
                out[key] = [self.tasks[int(t)] for t in self.columns["task_index"][rows]]
            else:
                values = self._column(key)[rows]
                out[key] = values.tolist() if values.dtype == object else values
            out[f"{key}_is_pad"] = (at < start) | (at >= stop)
        return out

    def episode_of(self, i: int) -> int:
        """The episode that holds frame i."""
        return int(np.searchsorted(self._stops, i, side="right"))

    def frames(self, camera: str, e: int, at: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images at frames `at` of episode e: (n, H, W, C) uint8 (depth videos as stored: 12 bits in uint16)."""
        feature = self.features[camera]
        if feature.dtype == "image":
            return np.stack([self._png(camera, int(self._starts[e] + k)) for k in at])
        if (camera, e) not in self._packets:
            path = self._video_path(camera, self.episodes[e])
            if path not in self._videos:
                self._videos[path] = Video(path)
            video, start = self._videos[path], self.episodes[e].get(f"videos/{camera}/from_timestamp")
            if not isinstance(start, float):
                raise DatasetError(f"meta/episodes does not say where episode {e} begins in the video {camera!r}")
            seconds = start + self.columns["timestamp"][self._starts[e] : self._stops[e]].astype(np.float64)
            self._packets[camera, e] = (video, video.packets(seconds, 0.25 / self.fps))
        video, packets = self._packets[camera, e]
        images = self._decoder.frames(video, packets[np.asarray(at)], "gray12le" if feature.is_depth else "rgb24")
        return images.reshape(len(images), *feature.shape) if feature.is_depth else images

    def video_of(self, camera: str, e: int) -> Path | None:
        """The file of episode e's video, where it holds nothing else and begins with it; None elsewhere."""
        row = self.episodes[e]
        path = self._video_path(camera, row)
        alone = self._video_files[path] == 1 and row.get(f"videos/{camera}/from_timestamp") == 0
        return path if alone else None

    def stats_of(self, e: int) -> statistics.Stats:
        """Of one episode, as its writer stored them; those that it stored."""
        return stats_of_episodes(self._table.slice(e, 1))

    @cached_property
    def _video_files(self) -> Counter[Path]:
        """How many episodes each video file holds."""
        return Counter(self._video_path(key, row) for key in self.info.keys("video") for row in self.episodes)

    @cached_property
    def _table(self) -> pa.Table:
        """The episode table with all its columns, which few need."""
        return load_episodes(self.root, self.info)

    def __reduce__(self) -> tuple[type[LeRobotDataset], tuple[Path]]:
        return (type(self), (self.root,))

    # ---------------------------------------------------------------------------------------------------------- loading
    def _column(self, key: str) -> np.ndarray:
        if key not in self.columns:
            raise UnknownNameError("column", key, [*self.features, TASK])
        return self.columns[key]

    def _video_path(self, key: str, row: Mapping[str, Any]) -> Path:
        try:
            return self.info.video_file(
                self.root, key, row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"meta/episodes does not say where the video {key!r} is ({error})") from error

    def _data_files(self) -> list[Path]:
        """The data files of the counted episodes, in order, each once."""
        try:
            rows = dict.fromkeys((row["data/chunk_index"], row["data/file_index"]) for row in self.episodes)
            return [self.info.data_file(self.root, *row) for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self.root}: meta/episodes does not say where the data is ({error})") from error

    def _load_columns(self) -> dict[str, np.ndarray]:
        features = {key: f for key, f in self.features.items() if f.dtype not in ("image", "video")}
        parts: dict[str, list[np.ndarray]] = {key: [_empty(feature)] for key, feature in features.items()}
        first, paths = [0], self._data_files()
        for path in paths:
            table = read_table(path, list(features))
            if missing := sorted(set(features) - set(table.column_names)):
                raise DatasetError(f"{path} lacks the columns {', '.join(missing)}, which info.json names")
            for key, feature in features.items():
                parts[key].append(to_numpy(table.column(key), feature, f"column {key!r} of {path}"))
            first.append(first[-1] + len(table))
        self._files = (first[:-1], paths)
        columns = {key: np.concatenate(part)[: len(self)] for key, part in parts.items()}
        index = columns["index"]
        if len(index) != len(self) or (index != np.arange(len(self))).any():
            raise DatasetError(
                f"{self.root} counts {len(self)} frames, and its data files hold {len(index)} rows whose `index` "
                "is not 0, 1, 2, …: files are missing or mixed up; copy the dataset again"
            )
        if (columns["episode_index"] != np.repeat(np.arange(len(self.episodes)), self.lengths)).any():
            raise DatasetError(f"{self.root}: data files and meta/episodes disagree on where episodes begin")
        if len(index) and not 0 <= columns["task_index"].min() <= columns["task_index"].max() < len(self.tasks):
            raise DatasetError(f"{self.root}: a task_index is not in {TASKS}, which has {len(self.tasks)} tasks")
        for column in columns.values():
            column.flags.writeable = False
        return columns

    def _png(self, key: str, i: int) -> np.ndarray:
        """Frame i of an image feature, (H, W, C)."""
        first, paths = self._files
        n = int(np.searchsorted(first, i, side="right")) - 1
        path, row = paths[n], i - int(first[n])
        edges = self._row_groups(path)
        group = int(np.searchsorted(edges, row, side="right")) - 1
        try:
            with Image.open(io.BytesIO(self._images(path, key, group)[row - edges[group]]["bytes"])) as image:
                return np.asarray(image).reshape(self.features[key].shape)
        except (TypeError, ValueError, OSError, KeyError, IndexError) as error:
            raise DatasetError(f"{path}: image {key!r} of frame {i} does not decode ({error})") from error


def load_info(root: Path) -> DatasetInfo:
    """meta/info.json; `DatasetError` where the folder is no LeRobot v3.0 dataset."""
    try:
        text = (root / INFO).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(f"{root} is not a LeRobot dataset: it has no {INFO}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {root / INFO}: {error.strerror}") from error
    try:
        return DatasetInfo.parse(text)
    except DatasetError as error:
        raise DatasetError(f"{root}: {error}") from error


def load_pilab(root: Path) -> dict[str, Any]:
    """meta/pilab.json, which only our datasets have: id, version, project, meta, episode_columns."""
    try:
        body = json.loads((root / PILAB).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"{root / PILAB} is damaged ({error}); delete it to read the dataset as a foreign one"
        ) from error
    wanted = {"id": str, "meta": dict, "episode_columns": dict}
    if not isinstance(body, dict) or not all(isinstance(body.get(k), t) for k, t in wanted.items()):
        raise DatasetError(
            f"{root / PILAB} lacks one of {', '.join(wanted)}; delete it to read the dataset as a foreign one"
        )
    if not body["id"].replace("-", "").isalnum():
        raise DatasetError(f"{root / PILAB}: id {body['id']!r} is not made of letters, digits and hyphens")
    return body


def load_tasks(root: Path, info: DatasetInfo) -> list[str]:
    """The instructions, at the position of their task_index."""
    if info.total_tasks == 0:
        return []
    table = read_table(root / TASKS)
    words = [name for name in table.column_names if name != "task_index"]
    if "task_index" not in table.column_names or len(words) != 1:
        raise DatasetError(f"{root / TASKS} has columns {table.column_names}; expected task_index and task")
    tasks = dict(zip(table.column("task_index").to_pylist(), table.column(words[0]).to_pylist(), strict=True))
    if sorted(tasks)[: info.total_tasks] != list(range(info.total_tasks)):
        raise DatasetError(f"{root / TASKS} lacks some of the {info.total_tasks} tasks that info.json counts")
    return [str(tasks[i]) for i in range(info.total_tasks)]


def load_episodes(root: Path, info: DatasetInfo) -> pa.Table:
    """meta/episodes of the episodes that info.json counts, one row each, checked for gaps; all columns."""
    tables: list[pa.Table] = []
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        if sum(map(len, tables)) >= info.total_episodes:
            break  # what a killed writer left behind
        tables.append(read_table(path))
    count = sum(map(len, tables))
    if count < info.total_episodes:
        raise DatasetError(
            f"{root}: info.json counts {info.total_episodes} episodes, meta/episodes holds {count}: its writer was "
            "killed or files are missing; copy the dataset again, or lower the totals in info.json by hand"
        )
    try:
        table = pa.concat_tables(tables, promote_options="permissive") if tables else _no_episodes()
        table = table.slice(0, info.total_episodes).combine_chunks()
        number, start, stop, length = (
            table.column(name).to_numpy().astype(np.int64)
            for name in ("episode_index", "dataset_from_index", "dataset_to_index", "length")
        )
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DatasetError(f"{root}: meta/episodes lacks or mixes columns ({error})") from error
    if (number != np.arange(len(number))).any():
        found = int(np.flatnonzero(number != np.arange(len(number)))[0])
        raise DatasetError(f"{root}: episode_index has a gap: row {found} of meta/episodes is episode {number[found]}")
    edges = np.concatenate([[0], np.cumsum(length)])
    if (length < 1).any() or (start != edges[:-1]).any() or (stop != edges[1:]).any() or edges[-1] != info.total_frames:
        raise DatasetError(
            f"{root}: episode lengths in meta/episodes do not add up to {info.total_frames} frames without gaps"
        )
    return table


def stats_of_episodes(table: pa.Table) -> statistics.Stats:
    """Dataset statistics from the `stats/…` columns of the episode table."""
    total: statistics.Stats = {}
    names = [name.split("/") for name in table.column_names if name.startswith("stats/") and name.count("/") == 2]
    for row in table.select(["/".join(name) for name in names]).to_pylist():
        episode: dict[str, dict[str, Any]] = {}
        for _, key, name in names:
            episode.setdefault(key, {})[name] = row[f"stats/{key}/{name}"]
        total = statistics.merge(total, statistics.from_json(episode))
    return total


def _no_episodes() -> pa.Table:
    names = ("episode_index", "length", "dataset_from_index", "dataset_to_index")
    return pa.table({name: pa.array([], pa.int64()) for name in names})


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A parquet file, or some columns of it. Raises `DatasetError` where it is missing or damaged."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns)
    except FileNotFoundError as error:
        raise DatasetError(f"{path} is missing; copy the dataset again") from error
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is truncated or not a parquet file ({error}); copy the dataset again") from error


def _row_groups(path: Path) -> list[int]:
    """The first row of each row group, and the number of rows."""
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    return [0, *np.cumsum(sizes).tolist()]


def _images(path: Path, key: str, group: int) -> list[dict[str, Any]]:
    """An image column of one row group, which is one episode in LeRobot's files: {bytes, path} per frame."""
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, [key]).column(key).to_pylist()


def _empty(feature: Feature) -> np.ndarray:
    shape = () if feature.shape == (1,) or feature.dtype not in NUMBERS else feature.shape
    return np.empty((0, *shape), feature.dtype if feature.dtype in NUMBERS else object)


def to_numpy(column: pa.ChunkedArray, feature: Feature, name: str) -> np.ndarray:
    """A parquet column → (T,) or (T, *shape) array; texts as objects that share their strings."""
    array = column.combine_chunks()
    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    if feature.dtype not in NUMBERS:
        if not pa.types.is_string(array.type):
            return np.array([*array.to_pylist(), None], object)[:-1]  # the None keeps numpy from nesting
        coded = array.dictionary_encode()
        return np.array([*coded.dictionary.to_pylist(), None], object)[coded.indices.fill_null(-1).to_numpy()]
    rows = len(array)
    while pa.types.is_nested(array.type):
        array = array.flatten()
    try:
        values = array.to_numpy(zero_copy_only=False).astype(feature.dtype)
        return values.reshape((rows,) if feature.shape == (1,) else (rows, *feature.shape))
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise DatasetError(f"{name} does not hold {feature.dtype} values of shape {feature.shape} ({error})") from error

"""The LeRobotDataset v3.0 format as typed records: features, info.json, paths, parquet schemas.

Design choices
--------------
* **Validated at construction.** A `Feature` or a `DatasetInfo` that exists is a legal one, whoever wrote the bytes it
  came from; everything that can be wrong with them is a `DatasetError` that names the value.
* **Paths are templates of a fixed alphabet.** info.json of a stranger may name its own layout, yet only with the three
  known fields and inside the dataset's folder.
* **Five columns are the format's own** (`DEFAULT_FEATURES`); a writer fills them and nobody passes them in.
* The schema metadata is the one that the `datasets` library writes, so that the Hub's viewer and LeRobot load the
  parquet files with their true types.

Source: the layout of lerobot 0.6 (https://github.com/huggingface/lerobot, `lerobot/datasets`), checked against that
library in `tests/peers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pilab.contracts import DatasetError

VERSION = "v3.0"
INFO, STATS, TASKS, PILAB = "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/pilab.json"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

NUMBERS = {f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)}
NUMBERS |= {"bool": pa.bool_(), "float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}
IMAGES = ("image", "video")
_IMAGE_TYPE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_TEMPLATE = re.compile(r"([\w.\-/]|\{video_key\}|\{(chunk|file)_index(:0[1-9]d)?\})+")


@dataclass(frozen=True)
class Feature:
    """One column of a dataset: what a single frame holds under one key."""

    dtype: str  # a numpy name, "string", "image" (png bytes in parquet), "video" (mp4 beside it) or "language"
    shape: tuple[int, ...] = (1,)  # (1,) is stored as a scalar; images are (H, W, C)
    names: Any = None  # of the entries: a list, or whatever JSON a foreign dataset has there
    info: Mapping[str, Any] = field(default_factory=dict)  # video only: codec and size

    def __post_init__(self) -> None:
        if self.dtype not in NUMBERS and self.dtype not in (*IMAGES, "string", "language"):
            valid = ", ".join([*NUMBERS, *IMAGES, "string"])
            raise DatasetError(f"feature dtype {self.dtype!r} is unknown; expected one of {valid}")
        shape = tuple(self.shape) if isinstance(self.shape, list | tuple) else None
        if not shape or len(shape) > 5 or not all(type(n) is int and 0 < n < 2**31 for n in shape):
            raise DatasetError(f"feature shape {self.shape!r} is not a shape; expected 1 to 5 positive integers")
        if self.dtype in IMAGES and len(shape) != 3:
            raise DatasetError(f"shape {shape} of an image feature has {len(shape)} axes; expected (H, W, C)")
        if not isinstance(self.info, Mapping):
            raise DatasetError(f"feature info {self.info!r} is not a JSON object")
        object.__setattr__(self, "shape", shape)

    @staticmethod
    def image(height: int, width: int, dtype: str = "video") -> Feature:
        """The feature of a colour camera."""
        return Feature(dtype, (height, width, 3), ["height", "width", "channels"])

    @classmethod
    def parse(cls, key: str, value: Any) -> Feature:
        """One entry of info.json's `features`."""
        if not isinstance(value, Mapping) or not isinstance(value.get("dtype"), str):
            raise DatasetError(f"feature {key!r} is {value!r}; expected an object with dtype, shape and names")
        try:
            return cls(value["dtype"], value.get("shape"), value.get("names"), value.get("info") or {})
        except DatasetError as error:
            raise DatasetError(f"feature {key!r}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        body = {"dtype": self.dtype, "shape": list(self.shape), "names": self.names}
        return body | ({"info": dict(self.info)} if self.info else {})

    @property
    def is_depth(self) -> bool:
        return bool(self.info.get("is_depth_map") or self.info.get("video.is_depth_map"))

    def arrow(self) -> pa.DataType:
        """The parquet type of one frame."""
        if self.dtype == "image":
            return _IMAGE_TYPE
        if self.dtype not in NUMBERS:
            return pa.string()
        kind = NUMBERS[self.dtype]
        if len(self.shape) == 1:
            return kind if self.shape == (1,) else pa.list_(kind, self.shape[0])
        for _ in self.shape:
            kind = pa.list_(kind)
        return kind

    def huggingface(self) -> dict[str, Any]:
        """The same type in the words of the `datasets` library."""
        value = {"dtype": self.dtype, "_type": "Value"}
        if self.dtype == "image":
            return {"_type": "Image"}
        if self.shape == (1,):
            return value
        if len(self.shape) == 1:
            return {"feature": value, "length": self.shape[0], "_type": "List"}
        return {"shape": list(self.shape), "dtype": self.dtype, "_type": f"Array{len(self.shape)}D"}


DEFAULT_FEATURES = {
    "timestamp": Feature("float32"),  # frame_index / fps, s
    "frame_index": Feature("int64"),  # in the episode
    "episode_index": Feature("int64"),
    "index": Feature("int64"),  # in the dataset, without gaps
    "task_index": Feature("int64"),  # the row of tasks.parquet
}


@dataclass(frozen=True)
class DatasetInfo:
    """meta/info.json. Immutable: `dataclasses.replace` gives the next one after an episode."""

    fps: int
    features: Mapping[str, Feature]
    robot_type: str | None = None
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0
    chunks_size: int = 1000  # files per chunk folder
    data_files_size_in_mb: int = 100  # limits of the real library, which merges episodes into one file
    video_files_size_in_mb: int = 200
    data_path: str = DATA_PATH
    video_path: str | None = VIDEO_PATH
    codebase_version: str = VERSION

    def __post_init__(self) -> None:
        _check_version(self.codebase_version)
        for name, least in (
            ("fps", 1),
            ("chunks_size", 1),
            ("data_files_size_in_mb", 1),
            ("video_files_size_in_mb", 1),
        ):
            _check_integer(name, getattr(self, name), least)
        for name in ("total_episodes", "total_frames", "total_tasks"):
            _check_integer(name, getattr(self, name), 0)
        if self.robot_type is not None and not isinstance(self.robot_type, str):
            raise DatasetError(f"robot_type {self.robot_type!r} is not a string")
        video_path = VIDEO_PATH if self.video_path is None else self.video_path
        for name, path in (("data_path", self.data_path), ("video_path", video_path)):
            if not isinstance(path, str) or not _TEMPLATE.fullmatch(path) or path[0] == "/" or ".." in path.split("/"):
                raise DatasetError(f"{name} {path!r} is not a path template inside the dataset, such as {DATA_PATH!r}")
        if "{video_key}" in self.data_path:
            raise DatasetError(f"data_path {self.data_path!r} names a video; expected a template such as {DATA_PATH!r}")
        for key in self.features:
            if not key or key in (".", "..") or re.search(r"[/\\\x00-\x1f]", key):
                raise DatasetError(
                    f"feature name {key!r} cannot be a folder; names are words and dots, without slashes"
                )
        if missing := sorted(set(DEFAULT_FEATURES) - set(self.features)):
            raise DatasetError(f"features lack {', '.join(missing)}; every LeRobot dataset has these columns")
        if self.video_path is None and self.keys("video"):
            raise DatasetError(f"video_path is null, yet {self.keys('video')[0]!r} is a video")

    def keys(self, *dtypes: str) -> list[str]:
        """The features of these dtypes, in order."""
        return [key for key, feature in self.features.items() if feature.dtype in dtypes]

    @property
    def cameras(self) -> list[str]:
        return self.keys(*IMAGES)

    @classmethod
    def create(cls, fps: int, features: Mapping[str, Feature], robot_type: str | None = None) -> DatasetInfo:
        """A dataset without episodes; the five default columns are appended here."""
        if own := sorted(set(features) & set(DEFAULT_FEATURES)):
            raise DatasetError(f"features {', '.join(own)} are added by the writer; leave them out")
        return cls(fps, {**features, **DEFAULT_FEATURES}, robot_type)

    @classmethod
    def parse(cls, text: str | bytes) -> DatasetInfo:
        """Read info.json. Unknown keys are ignored, as the real library does; raises only `DatasetError`."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DatasetError(
                f"info.json is not JSON ({error}); the file is damaged: copy the dataset again"
            ) from error
        if not isinstance(body, dict) or not isinstance(body.get("features"), dict):
            raise DatasetError("info.json has no object `features`; this is not the info.json of a LeRobot dataset")
        _check_version(body.get("codebase_version"))
        features = {key: Feature.parse(key, value) for key, value in body["features"].items()}
        known = set(cls.__dataclass_fields__) - {"features"}
        try:
            return cls(features=features, **{key: value for key, value in body.items() if key in known})
        except TypeError as error:
            raise DatasetError(f"info.json lacks a field ({error})") from error

    def to_json(self) -> str:
        body = {"codebase_version": self.codebase_version, "fps": self.fps}
        body["features"] = {key: feature.to_json() for key, feature in self.features.items()}
        names = ("total_episodes", "total_frames", "total_tasks", "chunks_size", "data_files_size_in_mb")
        for name in (*names, "video_files_size_in_mb", "data_path", "video_path", "robot_type"):
            body[name] = getattr(self, name)
        body["splits"] = {"train": f"0:{self.total_episodes}"}
        return json.dumps(body, indent=4)

    def data_schema(self) -> pa.Schema:
        """The schema of data/*.parquet: every feature that is not a video, in order."""
        features = {key: feature for key, feature in self.features.items() if feature.dtype != "video"}
        hints = {"info": {"features": {key: feature.huggingface() for key, feature in features.items()}}}
        fields = [(key, feature.arrow()) for key, feature in features.items()]
        return pa.schema(fields, metadata={"huggingface": json.dumps(hints)})

    def data_file(self, root: Path, chunk: int, file: int) -> Path:
        return root / self.data_path.format(chunk_index=chunk, file_index=file)

    def video_file(self, root: Path, key: str, chunk: int, file: int) -> Path:
        return root / str(self.video_path).format(video_key=key, chunk_index=chunk, file_index=file)


def next_file(chunk: int, file: int, chunks_size: int) -> tuple[int, int]:
    """The chunk and file after these: files count from 0 to chunks_size − 1, then a new chunk begins."""
    return (chunk + 1, 0) if file >= chunks_size - 1 else (chunk, file + 1)


def _check_integer(name: str, value: Any, least: int) -> None:
    if type(value) is not int or not least <= value < 2**53:
        raise DatasetError(f"{name} {value!r} is not an integer of at least {least}")


def _check_version(version: Any) -> None:
    """Refuse every version but 3.0, saying how to come from the older ones."""
    match = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})(\.\d{1,4})?", version) if isinstance(version, str) else None
    if not match:
        raise DatasetError(f"codebase_version {version!r} is not a version; expected {VERSION!r}")
    number = (int(match[1]), int(match[2]))
    if number < (3, 0):
        older = "" if number == (2, 1) else " (datasets before v2.1 need that library's v2.1 converter first)"
        raise DatasetError(
            f"this is a LeRobot {version} dataset (one file per episode, jsonl tables); pilab reads {VERSION}. "
            f"Convert it in place with the lerobot library: python -m lerobot.scripts.convert_dataset_v21_to_v30 "
            f"--repo-id=NAME --root=FOLDER --push-to-hub=false{older}"
        )
    if number > (3, 0):
        raise DatasetError(f"this is a LeRobot {version} dataset; pilab reads {VERSION}: update pilab")

"""Frames as they are trained on: uncompressed, memory-mapped, batched by fancy indexing.

Design choices
--------------
* **One flat file per key**, frames in dataset order, appended episode by episode; `index.json` says how many episodes
  count and is replaced last. A kill leaves bytes beyond the index, which the next episode overwrites.
* **Never silently stale.** The index keeps each episode's length and a checksum of its float columns. `open` compares
  them with the dataset's: a cache that does not agree, or whose files are shorter than they should be, is built anew.
* **Raw frames where there are any**: collection calls `add` with the frames the camera gave, before the codec; `open`
  decodes only the episodes nobody added.
* Everything here can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from filelock import FileLock
from tqdm.auto import tqdm

from pilab.contracts import DatasetError
from pilab.data.lerobot.format import DEFAULT_FEATURES, Feature
from pilab.data.lerobot.reader import LeRobotDataset

VERSION = 1


def pilab_home() -> Path:
    """`$PILAB_HOME`, by default ~/.cache/pilab: caches and nothing else, to be deleted at will."""
    return Path(os.environ.get("PILAB_HOME") or Path.home() / ".cache" / "pilab").expanduser()


def lock(dataset: Path) -> FileLock:
    """Of a folder that one process at a time may write to, kept among the caches: nothing is left beside the dataset."""
    folder = pilab_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{hashlib.sha256(str(dataset.resolve()).encode()).hexdigest()[:16]}.lock")


@dataclass
class FrameCache:
    """The frames of one dataset. `open` it with a dataset; `batch(indices)` gives copies of frames."""

    folder: Path
    layout: dict[str, tuple[str, tuple[int, ...]]]  # key → dtype, shape of a frame
    episodes: list[tuple[int, int]]  # length and checksum of each

    def __post_init__(self) -> None:
        self._maps = {
            key: np.asarray(np.memmap(_file(self.folder, key), dtype, "r", shape=(len(self), *shape)))
            for key, (dtype, shape) in self.layout.items()
            if len(self)
        }

    @classmethod
    def open(cls, dataset: LeRobotDataset, progress: Callable[..., Iterable] = tqdm) -> FrameCache:
        """The cache of a dataset; builds what is missing (resumable), and all of it where it is stale or truncated.

        `progress` wraps the episodes to decode, as tqdm does. Raises `DatasetError` on a full disk.
        """
        folder = _folder(dataset.id)
        layout = _layout(dataset.features)
        lengths, floats = dataset.lengths.tolist(), _floats(layout)
        wanted = [(n, _checksum(dataset.episode(e, floats), layout)) for e, n in enumerate(lengths)]
        known = _load(folder, layout)
        if known is None or known != wanted[: len(known)]:
            _clear(folder)
            known = []
        if len(known) < len(wanted):
            for e in progress(range(len(known), len(wanted)), desc="frame cache", unit="episode"):
                known = _append(folder, layout, known, dataset.episode(e, layout))
        return cls(folder, layout, known)

    @staticmethod
    def add(dataset_id: str, arrays: Mapping[str, Any], features: Mapping[str, Feature], episode: int) -> None:
        """Append episode number `episode` from its raw arrays, in the order of commits; the same arrays as were staged.

        An episode that does not follow the ones present is left to `open`, which decodes it.
        """
        folder, layout = _folder(dataset_id), _layout(features)
        known = _load(folder, layout)
        if known is None:
            _clear(folder)
            known = []
        if len(known) == episode:
            _append(folder, layout, known, arrays)

    def __len__(self) -> int:
        """Frames."""
        return sum(length for length, _ in self.episodes)

    def __getitem__(self, key: str) -> np.ndarray:
        """All frames of a key as a read-only memory map (N, …)."""
        return self._maps[key]

    def warm(self) -> None:
        """Read the pictures once, in order, where memory has room: random access to a cold disk takes ten times as long."""
        files = [_file(self.folder, key) for key, (dtype, _) in self.layout.items() if dtype == "uint8"]
        if sum(file.stat().st_size for file in files) < 0.7 * psutil.virtual_memory().available:
            for path in files:
                with open(path, "rb") as file:
                    while file.read(1 << 24):
                        pass

    def batch(self, indices: np.ndarray, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Copies of frames `indices` (B,): images (B, H, W, 3) uint8 and float columns (B, …)."""
        return {key: np.take(self._maps[key], indices, axis=0) for key in (self._maps if keys is None else keys)}


def _folder(dataset_id: str) -> Path:
    return pilab_home() / "frames" / dataset_id


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.bin"


def _layout(features: Mapping[str, Feature]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What is cached: colour images and the float columns that are not the format's own."""
    out = {key: ("uint8", f.shape) for key, f in features.items() if f.dtype in ("image", "video") and not f.is_depth}
    floats = {key: f for key, f in features.items() if f.dtype.startswith("float") and key not in DEFAULT_FEATURES}
    return out | {key: (f.dtype, () if f.shape == (1,) else f.shape) for key, f in floats.items()}


def _floats(layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[str]:
    return [key for key, (dtype, _) in layout.items() if dtype != "uint8"]


def _checksum(arrays: Mapping[str, Any], layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """Of an episode's float columns."""
    checksum = 0
    for key in sorted(_floats(layout)):
        checksum = zlib.crc32(np.ascontiguousarray(arrays[key], layout[key][0]), checksum)
    return checksum


def _load(folder: Path, layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[tuple[int, int]] | None:
    """The episodes present; None where there is no cache of this layout, or its files are too short."""
    try:
        body = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        episodes = [(int(length), int(checksum)) for length, checksum in body["episodes"]]
        same = body["version"] == VERSION and body["layout"] == json.loads(json.dumps(layout))
        frames = sum(length for length, _ in episodes)
        whole = all(_file(folder, key).stat().st_size >= frames * _bytes(*layout[key]) for key in layout)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return episodes if same and whole else None


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * int(np.prod(shape))


def _append(
    folder: Path,
    layout: Mapping[str, tuple[str, tuple[int, ...]]],
    known: list[tuple[int, int]],
    arrays: Mapping[str, Any],
) -> list[tuple[int, int]]:
    """Write an episode behind the `known` ones, then the index; returns the new list."""
    start = sum(length for length, _ in known)
    entry = (len(arrays[next(iter(layout))]), _checksum(arrays, layout))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for key, (dtype, shape) in layout.items():
            values = np.ascontiguousarray(arrays[key], dtype).reshape(entry[0], *shape)
            path = _file(folder, key)
            with open(path, "r+b" if path.exists() else "w+b") as file:
                file.seek(start * _bytes(dtype, shape))
                file.write(values)
        body = {"version": VERSION, "layout": layout, "episodes": [*known, entry]}
        temporary = folder / f"index.{os.getpid()}.tmp"
        temporary.write_text(json.dumps(body), encoding="utf-8")
        os.replace(temporary, folder / "index.json")
    except OSError as error:
        raise DatasetError(
            f"cannot write the frame cache in {folder}: {error.strerror}; free space, or set PILAB_HOME elsewhere"
        ) from error
    return [*known, entry]


def _clear(folder: Path) -> None:
    """The index goes first, so that a kill in between leaves no half cache."""
    try:
        (folder / "index.json").unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise DatasetError(f"the frame cache {folder} is stale and still in use: {error.strerror}") from error

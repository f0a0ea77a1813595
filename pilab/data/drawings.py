"""Pictures drawn from code, a function of (recipe, k), kept as flat files for as long as they look the same.

Design choices
--------------
* **Picture k is a function of (recipe, k)**, whatever the count and the number of processes: a larger count extends
  the same folder. As in the frame cache: one flat file per key, the index replaced last, all deletable at any time.
* **Never silently stale**: `open` draws the first few pictures again and compares. A world that looks different by now,
  or a file that is too short, is built anew.
* A recipe says what is drawn; what is known of a picture beside its arrays is a **note**, any JSON value.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from pilab.contracts import DatasetError
from pilab.data.cache import pilab_home

SHARD = 100  # pictures between two writes of the index: a few seconds of work, which is what a kill costs
Layout = dict[str, tuple[str, tuple[int, ...]]]  # key → dtype, shape of one picture's entry
Picture = tuple[Mapping[str, np.ndarray], Any]  # arrays by key, and the note


class Recipe(Protocol):
    """What pictures are a function of; travels to other processes."""

    room: str  # folder under `pilab_home()`
    probes: int  # pictures that are drawn again to see whether they still look the same

    @property
    def digest(self) -> str:
        """Names the folder: hexadecimal digits that change with everything the pictures depend on."""

    def layout(self) -> Layout: ...

    def draw(self, k: int) -> Picture: ...


@dataclass
class Drawings:
    """The first pictures of a recipe. `drawings[key]` is all of a key, `drawings.notes[k]` what is known of picture k."""

    recipe: Recipe
    folder: Path
    notes: list[Any]

    def __post_init__(self) -> None:
        self._maps = {
            key: np.asarray(np.memmap(_file(self.folder, key), dtype, "r", shape=(len(self), *shape)))
            for key, (dtype, shape) in self.recipe.layout().items()
        }

    @classmethod
    def of(cls, recipe: Recipe, count: int, progress: bool = True, workers: int | None = None) -> Self:
        """The first `count` pictures of a recipe; draws those that are missing, all of them where they are stale.

        workers: processes, by default one for each core. Raises what drawing raises, and `DatasetError` on a full disk.
        """
        folder = pilab_home() / recipe.room / recipe.digest
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):  # several trainings may ask for the same pictures at once
                notes = _load(folder, recipe)
                if notes is None or not _agrees(folder, recipe, notes):
                    _clear(folder)
                    notes = []
                if len(notes) < count:
                    notes = _extend(folder, recipe, notes, count, progress, workers)
        except OSError as error:
            raise DatasetError(
                f"cannot write pictures in {folder}: {error.strerror}; free space, close what reads them, or "
                "set PILAB_HOME elsewhere"
            ) from error
        return cls(recipe, folder, notes[:count])

    def __len__(self) -> int:
        """Pictures."""
        return len(self.notes)

    def __getitem__(self, key: str) -> np.ndarray:
        """All of a key as a read-only memory map (N, …)."""
        return self._maps[key]

    def batch(self, indices: np.ndarray, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Copies of pictures `indices` (B,): arrays (B, …)."""
        return {key: np.take(self._maps[key], indices, axis=0) for key in (self._maps if keys is None else keys)}


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.bin"


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * int(np.prod(shape))


def _load(folder: Path, recipe: Recipe) -> list[Any] | None:
    """The note of every picture present; None where there are none of this layout, or the files are too short."""
    layout = recipe.layout()
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        notes = list(index["notes"])
        same = index["layout"] == json.loads(json.dumps(layout))
        whole = all(_file(folder, key).stat().st_size >= len(notes) * _bytes(*layout[key]) for key in layout)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return notes if notes and same and whole else None


def _agrees(folder: Path, recipe: Recipe, notes: list[Any]) -> bool:
    """Whether the first pictures look as they would if they were drawn now."""
    here = Drawings(recipe, folder, notes)
    fresh, known = _shard(recipe, range(min(recipe.probes, len(notes))))
    return known == notes[: len(known)] and all(np.array_equal(here[key][: len(known)], fresh[key]) for key in fresh)


def _shard(recipe: Recipe, pictures: range) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Some pictures, stacked, and their notes; perhaps in a worker process."""
    drawn, notes = zip(*(recipe.draw(k) for k in pictures), strict=True)
    notes = json.loads(json.dumps(notes))  # as they will be read: lists, not tuples
    return {key: np.stack([d[key] for d in drawn]) for key in drawn[0]}, notes


def _extend(
    folder: Path, recipe: Recipe, notes: list[Any], count: int, progress: bool, workers: int | None
) -> list[Any]:
    """Draw from the first missing picture to `count`, shard by shard, in order; returns the notes of all."""
    shards = [range(k, min(k + SHARD, count)) for k in range(len(notes), count, SHARD)]
    workers = min(workers or os.cpu_count() or 1, len(shards))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread in each process: the processes are the parallelism
    bar = tqdm(total=count, initial=len(notes), desc=f"{recipe.room} pictures", unit="picture", disable=not progress)
    with bar, ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        run = pool.map if workers > 1 else map  # a pool without work starts no process
        try:
            for arrays, known in run(_shard, itertools.repeat(recipe), shards):
                _append(folder, recipe.layout(), notes, arrays, known)
                notes = [*notes, *known]
                bar.update(len(known))
        finally:
            pool.shutdown(cancel_futures=True)
    return notes


def _append(folder: Path, layout: Layout, notes: list[Any], arrays: Mapping[str, np.ndarray], known: list[Any]) -> None:
    """Write a shard behind the pictures there are, then the index. What a kill leaves, the next shard overwrites."""
    folder.mkdir(exist_ok=True)
    for key, entry in layout.items():
        path = _file(folder, key)
        with open(path, "r+b" if path.exists() else "w+b") as file:
            file.seek(len(notes) * _bytes(*entry))
            file.write(np.ascontiguousarray(arrays[key]))
    temporary = folder / "index.tmp"
    temporary.write_text(json.dumps({"layout": layout, "notes": [*notes, *known]}), encoding="utf-8")
    os.replace(temporary, folder / "index.json")


def _clear(folder: Path) -> None:
    """The index goes first, so that a kill in between leaves nothing that counts."""
    (folder / "index.json").unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)

"""The experiments behind the notebooks, one file each: grids of runs, whose rows the notebooks read.

An experiment is a module with an `EXPERIMENT`, here or anywhere (MODULE:EXPERIMENT); `pilab experiment NAME` does what is
missing of it. A run is one arm with one training seed, and its rows say both, so that the file of rows itself knows what is
done. It is written after every run: who loses the folders of the runs loses those under way, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pilab.contracts import Row, Scale, find
from pilab.engine import Engine, Run
from pilab.evaluation.rows import read_rows, write_rows
from pilab.evaluation.verdict import SEED
from pilab.robots.collection import Recipe as Collection
from pilab.robots.collection import collect

ROWS = "rows.jsonl"  # in the folder of every run


@dataclass(frozen=True)
class Experiment:
    """What is done, and how much of it at a scale."""

    rows: str  # its file in data_samples/rows, without the ending
    plan: Callable[[Scale], str]  # to be read first: what is done and, where that is known, how long it takes
    conduct: Callable[[Grid, Scale], None]


def find_experiment(name: str) -> Experiment:
    return find(name, "pilab.experiments", "EXPERIMENT", "experiment")


class Grid:
    """Runs in folders below `root`, `workers` at a time with a core each, and the file their rows go to."""

    def __init__(self, root: str | Path, rows: str | Path, workers: int = 2, progress: bool = True) -> None:
        self.engine, self.path, self.progress = Engine(root, workers), Path(rows), progress
        self.rows: list[Row] = read_rows(self.path) if self.path.exists() else []

    def missing(self, configs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of whose arm and seed there are no rows yet."""
        done = {_key(row) for row in self.rows}
        return [config for config in configs if (config["arm"], config["seed"]) not in done]

    def run(self, function: str, configs: Iterable[Mapping[str, Any]]) -> None:
        """What is missing. `function` leaves its rows with `keep_rows`."""
        self.engine.map(function, self.missing(configs), self.progress, ended=self._keep)

    def prepare(self, function: str, configs: Iterable[Mapping[str, Any]]) -> None:
        """Runs that others start from, whether or not there are rows of them: it is their checkpoints that are needed."""
        self.engine.map(function, configs, self.progress)

    def folder(self, function: str, config: Mapping[str, Any]) -> Path:
        """Where a run is, or will be."""
        return self.engine.run(function, config).folder

    def demonstrations(self, name: str, episodes: int, recipe: Collection) -> str:
        """The folder of a dataset of so many episodes, collected unless it is there."""
        folder = self.engine.root / "demonstrations" / name
        return str(collect(recipe, episodes, folder, workers=self.engine.workers, progress=self.progress))

    def _keep(self, run: Run) -> None:
        new = read_rows(run.folder / ROWS)
        keys = {_key(row) for row in new}
        self.rows = [row for row in self.rows if _key(row) not in keys] + new
        self.rows.sort(key=lambda row: (*map(str, _key(row)), row.suite, row.control))  # whoever ended first
        part = write_rows(self.path.with_name(f"new.{self.path.name}"), self.rows)
        part.replace(self.path)  # hours of work: never half a file


def _key(row: Row) -> tuple[str, Any]:
    return row.arm, row.clusters.get(SEED)


def keep_rows(folder: str | Path, rows: Iterable[Row], config: Mapping[str, Any], **metrics: float) -> None:
    """For the function of a run, at its end: its rows, with the training seed, and what else is known of the training."""
    seed = {SEED: config["seed"]}
    rows = [
        replace(r, arm=config["arm"], clusters={**r.clusters, **seed}, metrics={**r.metrics, **metrics}) for r in rows
    ]
    write_rows(Path(folder) / ROWS, rows)

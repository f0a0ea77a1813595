"""Can it combine what it has learnt? A grid of combinations, of which some were never shown, and the gap between them.

Works on any policy. "Never shown" is no guess here: what a training learnt from is counted, combination by combination, by its
datasets' own columns, and a certificate compares that with what is held out.

Design choices
--------------
* **Decomposed**: did it reach the thing, grasp anything, grasp the right thing, place it right? Policies that move well and
  combine badly differ there ("Robust Skills, Brittle Grounding", arXiv:2602.24143). A manner is asked for in words, and whether
  it was obeyed is measured (`conduct`).
* **Combinations are the unit.** Trials of one combination are alike; the gap is between two populations of combinations, each
  with a spread of its own (`bayes.population`).
* The scenes of a combination are the same for every policy, so that arms are pairs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilab.contracts import Policy, PolicyError, Row, Scene
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.bayes import Population, population
from pilab.evaluation.conduct import Conduct, obeyed
from pilab.evaluation.rollout import DEFAULT, evaluate
from pilab.evaluation.statistics import Rate, wilson
from pilab.vla.checkpoint import Checkpoint
from pilab.world.combinations import ANY, AXES, Combination, in_manner, is_held_out, of_episode, uncounted
from pilab.world.scenes import REPORTED, find_body, sample_scene

SUITE = "probe"
SEEN = "seen"  # the cluster that says whether a combination was shown: 1 or 0


def scenes_of(
    cell: Combination, episodes: int, seed: int = REPORTED.start, body: str = "duo", spoken: bool = True
) -> list[Scene]:
    """So many scenes that ask for a combination, in words for its arm and manner too; within reach of the arm asked for.

    seed: the first of 100,000 that belong together; where a combination begins among them is its own affair. Scenes are the
    same in every manner but for the words, and for what an arm cannot reach. spoken: False leaves the words for arm and manner
    out. Raises `SceneError` where no layout fits.
    """
    first = seed + zlib.crc32("|".join((cell.verb, cell.object, cell.place)).encode()) % 90_000
    drawn = [
        sample_scene(first + k, cell.verb, body=body, cell=(cell.object, cell.place or None), hand=hand_of(cell))
        for k in range(episodes)
    ]
    manners = [cell.manner, *([f"{cell.arm}-handed"] if cell.arm != ANY else [])]
    for manner in manners if spoken else ():
        drawn = [scene.replace(instruction=in_manner(scene.instruction, manner)) for scene in drawn]
    return drawn


def hand_of(cell: Combination) -> str | None:
    """The arm that a combination asks for, by itself or by its manner."""
    by_manner = cell.manner.removesuffix("-handed") if cell.manner.endswith("-handed") else None
    return by_manner if cell.arm == ANY else cell.arm


def probe(
    policy: Policy | str, cells: Sequence[Combination], episodes: int = 2, seed: int = REPORTED.start, *,
    held_out: Iterable[Combination] = (), body: str = "duo", spoken: bool = True, **options: Any,
) -> list[Row]:  # fmt: skip
    """Rows of so many episodes of each combination; clusters say which, and whether it was `SEEN`.

    held_out: patterns of what was not. spoken: see `scenes_of`; who hears of manners otherwise needs one call for each.
    options: what `rollout.evaluate` takes, such as arm, batch, threads, progress. Metrics `obeyed` (None where no manner was
    asked for) and `done_so` (a success, and as asked) stand beside the others.

    `probe("default", grid(["put"]), episodes=1)`
    """
    patterns, robot = list(held_out), find_body(body)
    asked = {scene.hash: (cell, scene) for cell in cells for scene in scenes_of(cell, episodes, seed, body, spoken)}
    scenes = [scene for _, scene in asked.values()]
    rows = evaluate(policy, SUITE, scenes=scenes, watcher=Conduct, body=body, **options)
    found = []
    for row, (cell, _) in zip(rows, asked.values(), strict=True):
        manner = f"{cell.arm}-handed" if cell.arm != ANY else cell.manner
        so = obeyed(manner, row.metrics, robot)
        about = {"manner": cell.manner, "hand": cell.arm, SEEN: int(not is_held_out(cell, patterns))}
        metrics = {**row.metrics, "obeyed": so, "done_so": row.success and so is not False}
        found.append(dataclasses.replace(row, clusters={**row.clusters, **about}, metrics=metrics))
    return found


def cell_of(row: Row) -> Combination:
    """What a row of `probe` asked for."""
    c = row.clusters
    return Combination(str(c["verb"]), str(c["object"]), str(c["place"]), str(c.get("hand", ANY)), str(c["manner"]))


# ------------------------------------------------------------------------------------------------------------- the gap
@dataclass(frozen=True)
class Gap:
    """What combinations lose for never having been shown. Populations of rates; positive differences are losses."""

    seen: Population
    unseen: Population
    difference: float
    interval: tuple[float, float]  # 95 %, of seen − unseen
    cells: tuple[int, int]
    trials: tuple[Rate, Rate]

    def text(self) -> str:
        """For tables."""
        low, high = self.interval
        return (
            f"seen {self.seen.text()} of {self.cells[0]} combinations, unseen {self.unseen.text()} of {self.cells[1]}; "
            f"lost {100 * self.difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        )


def gap(rows: Iterable[Row], metric: str = "success") -> Gap:
    """Between the combinations that were shown and those that were not. metric: "success" or a key of `Row.metrics`; rows where
    it is None do not count.

    Raises `PilabError` where either is empty.
    """
    counts: tuple[dict[Combination, list[bool]], ...] = ({}, {})
    for row in rows:
        value = row.success if metric == "success" else row.metrics.get(metric)
        if value is not None:
            counts[int(row.clusters[SEEN])].setdefault(cell_of(row), []).append(bool(value))
    unseen, seen = (population([(sum(v), len(v)) for v in some.values()]) for some in counts)
    low, high = seen.minus(unseen)
    totals = [[value for values in some.values() for value in values] for some in counts]
    rates = [wilson(sum(values), len(values)) for values in totals]
    return Gap(
        seen, unseen, seen.mean - unseen.mean, (low, high), (len(counts[1]), len(counts[0])), (rates[1], rates[0])
    )


def by_step(rows: Iterable[Row]) -> dict[tuple[str, int], Rate]:
    """(step, seen or not) → rate: how far it gets. Where a verb has no such step, its rows do not count."""
    rows, found = list(rows), {}
    for metric in ("reached", "grasped_any", "grasped_right", "placed_right", "success", "obeyed", "done_so"):
        for seen in (1, 0):
            values = [
                row.success if metric == "success" else row.metrics.get(metric)
                for row in rows
                if row.clusters[SEEN] == seen
            ]
            counted = [bool(value) for value in values if value is not None]
            if counted:
                found[metric, seen] = wilson(sum(counted), len(counted))
    return found


# ------------------------------------------------------------------------------------------------------ the certificate
@dataclass(frozen=True)
class Certificate:
    """What was shown, and whether any of it was held out."""

    shown: Mapping[Combination, int]  # episodes
    held_out: tuple[Combination, ...]

    @property
    def broken(self) -> dict[Combination, int]:
        """What was shown though it is held out."""
        return {one: n for one, n in self.shown.items() if is_held_out(one, self.held_out)}

    @property
    def holds(self) -> bool:
        return not self.broken

    def text(self) -> str:
        """A sentence for people."""
        kinds = {dataclasses.replace(one, arm=ANY) for one in self.shown}
        told = f"{sum(self.shown.values())} episodes of {len(kinds)} combinations"
        if self.holds:
            return f"certified: {told} were learnt from, and none of the {len(self.held_out)} held out"
        worst, n = max(self.broken.items(), key=lambda item: item[1])
        named = ", ".join(f"{axis} {getattr(worst, axis)}" for axis in AXES if getattr(worst, axis) != ANY)
        return f"NOT certified: of {told}, {sum(self.broken.values())} show what is held out, such as {named} ({n} episodes)"


def certify(source: str | Path | Checkpoint | Sequence[str | Path], held_out: Iterable[Combination]) -> Certificate:
    """source: a checkpoint (what it and all before it learnt from), or datasets (what their columns say). Raises `PolicyError`
    for a checkpoint that does not know, `DatasetError` for a dataset that does not say.
    """
    if isinstance(source, Checkpoint) or (isinstance(source, str | Path) and not (Path(source) / "meta").is_dir()):
        shown = learnt(source if isinstance(source, Checkpoint) else Checkpoint.load(source))
    else:
        shown = recorded([source] if isinstance(source, str | Path) else source)
    return Certificate(shown, tuple(held_out))


def never_shown(
    cells: Sequence[Combination], policy: str, data: Sequence[str | Path] | None = None
) -> tuple[list[Combination], str]:
    """Those of the cells that a policy never saw, and how one knows: from datasets, else from its checkpoint, else (of who does
    not know) those that are reserved in all data that pilab collects.
    """
    folder, shown, why = (
        DEFAULT if policy == "default" else Path(policy),
        None,
        "reserved in all data that pilab collects",
    )
    if data:
        shown, why = recorded(data), "by the columns of the datasets"
    elif folder.is_dir():
        with contextlib.suppress(PolicyError):
            shown, why = learnt(Checkpoint.load(folder)), "by what the checkpoint counted when it learnt"
    if shown is None:
        return [cell for cell in cells if cell.reserved], why
    return [cell for cell in cells if not any(cell.covers(one) for one in shown)], why


def recorded(folders: Iterable[str | Path]) -> Counter[Combination]:
    """What the episodes of datasets show, by their own columns."""
    return Counter(
        one
        for folder in folders
        for row in LeRobotDataset(folder).episodes
        for one in set(of_episode(row, str(folder)))
    )


def learnt(checkpoint: Checkpoint) -> Counter[Combination]:
    """What a checkpoint learnt from, and those before it that it went on from."""
    found, origin = Counter(), checkpoint.origin
    while origin:
        if origin.get("data") and origin.get("combinations") is None:
            raise PolicyError(
                f"the checkpoint {checkpoint.hash} does not know what it was shown: it, or one before it, was trained before "
                "that was counted, or from a person's own episodes; certify its datasets instead"
            )
        found += uncounted(origin.get("combinations") or [])
        origin = origin.get("start")
    return found

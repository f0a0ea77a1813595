"""Checks and solutions of the exercises of notebook 06. Each check says what is right, or gives a hint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pilab.contracts import STATE, Observation, Policy, Row, Thought
from pilab.evaluation.probe import probe
from pilab.world import objects, places
from pilab.world.combinations import ANY, Combination, grid, is_held_out

THINGS, SPOTS = 18, 4


def check_1(pairs: int) -> None:
    """Exercise 1: the least that shows every part."""
    right = max(THINGS, SPOTS)
    if pairs == right:
        print(f"right: {right} of {THINGS * SPOTS}, a quarter, if no thing is shown twice and no place forgotten")
    elif pairs < right:
        print("not yet: then some thing is never shown, and it is a new word that fails, not a new combination")
    else:
        print("it can be done with fewer: one pair shows a thing and a place at once")


def check_2(patterns: Sequence[Combination]) -> None:
    """Exercise 2: patterns with ANY."""
    first, cells = objects.HANDLED[0], grid(("put", "push"), reserved=True)
    for cell in cells:
        wanted = (cell.verb, cell.place) == ("push", "tray") or (cell.object, cell.place) == (first, "bowl")
        if is_held_out(cell, patterns) != wanted:
            told = f"{cell.verb} {cell.object} {cell.place}"
            print(f"{told} should be held out, and is not" if wanted else f"{told} is held out, and should not be")
            return
    held = sum(is_held_out(cell, patterns) for cell in cells)
    print(f"right: {held} of {len(cells)} combinations, by {len(patterns)} patterns")


def check_3(rows: Sequence[Row]) -> None:
    """Exercise 3: rows of a probe of one's own policy."""
    if len({(row.clusters.get("object"), row.clusters.get("place")) for row in rows}) < 2:
        print("expected rows of two combinations: probe(policy, cells, episodes)")
    elif any(row.success for row in rows):
        print("it moves: something was done")
    elif any("grasped_right" not in row.metrics or "manner" not in row.clusters for row in rows):
        print("these are no rows of a probe; take those that `probe` returns")
    else:
        print("right: whoever does not move combines nothing, and no row claims that it did")


def solution_1() -> int:
    return 18


def solution_2() -> list[Combination]:
    return [Combination(verb="push", place="tray"), Combination(ANY, objects.HANDLED[0], "bowl")]


class Still(Policy):
    """Asks for the joints that it has, again and again."""

    cameras = ()

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return np.repeat(np.asarray(observation[STATE])[:, None], 8, axis=1)


def solution_3() -> list[Row]:
    cells = grid(("put",), objects.HANDLED[:1], tuple(places.PLACES)[:2], reserved=True)
    return probe(Still(), cells, 1, progress=False, threads=1)

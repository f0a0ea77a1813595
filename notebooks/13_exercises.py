"""Checks and solutions of the exercises of notebook 13. Each check says what is right, or gives a hint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pilab.contracts import Observation, image_key
from pilab.evaluation.card import Line
from pilab.evaluation.perturbations import AXES
from pilab.evaluation.statistics import wilson

TAKES = 8
Glasses = Callable[[Observation], Observation]


def check_1(per_cent: float) -> None:
    """Exercise 1: what eight good takes prove."""
    right = 100 * wilson(TAKES, TAKES).low
    if abs(per_cent - right) < 0.6:
        print(f"right: at least {right:.1f} %, so that one episode in three may go wrong")
    elif per_cent > 99:
        print("that is the rate that was seen; which rates could have shown it?")
    else:
        print("not yet: `wilson(k, n).low`, with 95 % confidence")


def check_2(card: Sequence[Line], name: str) -> None:
    """Exercise 2: the axis that costs most."""
    lost = _lost(card)
    worst = max(lost, key=lost.get)
    if name == worst:
        print(f"right: {name} costs {100 * lost[name]:.0f} points")
    elif name in lost:
        print(f"not yet: {name} costs {100 * lost[name]:.0f} points, and another axis more")
    else:
        print(f"{name!r} is no axis; controls take something away altogether and do not count here")


def check_3(spoil: Glasses, keep: Glasses) -> None:
    """Exercise 3: what is seen makes or breaks it."""
    rng = np.random.default_rng(0)
    seen = {image_key("base"): rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), "observation.state": rng.random(14)}
    before = {key: value.copy() for key, value in seen.items()}
    spoilt, kept = spoil(seen), keep(seen)
    if any(not np.array_equal(seen[key], before[key]) for key in seen):
        print("the observation that came in was changed: return a new one, others look at it too")
    elif any(not np.array_equal(kept[key], before[key]) for key in before):
        print("`keep` changes something")
    elif np.array_equal(spoilt[image_key("base")], before[image_key("base")]):
        print("`spoil` leaves the picture as it is; a policy that looks will not mind")
    elif spoilt[image_key("base")].std() > 1:
        print("not yet: there is still something to be seen; make it black, or all of one grey")
    else:
        print("right: nothing is to be seen, and nothing about the scene has changed")


def _lost(card: Sequence[Line]) -> dict[str, float]:
    """Axis → what it costs at full severity, a fraction."""
    return {
        line.exam: -line.difference.estimate
        for line in card
        if line.exam in AXES and line.severity == 1.0 and line.difference
    }


def solution_1() -> float:
    return 100 * wilson(8, 8).low


def solution_2() -> Callable[[Sequence[Line]], str]:
    return lambda card: max(_lost(card), key=_lost(card).get)


def solution_3() -> tuple[Glasses, Glasses]:
    def spoil(seen: Observation) -> Observation:
        return {
            key: np.zeros_like(value) if key.startswith("observation.images.") else value for key, value in seen.items()
        }

    return spoil, lambda seen: dict(seen)

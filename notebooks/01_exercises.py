"""Checks and solutions of the exercises of notebook 01. Each check says what is right, or gives a hint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pilab.contracts import ACTION, EXECUTED, Row
from pilab.data.lerobot import LeRobotDataset

HZ = 10  # rows a second: every third of thirty commands
CHANGED = 1e-3  # rad, or of an opening


def check_1(seconds: float, rows: int) -> None:
    """Exercise 1: the time between two rows, and the rows of 4.2 s."""
    if abs(seconds - 1 / HZ) > 1e-9:
        print(f"not {seconds} s: three of thirty commands a second are how long?")
    elif rows != round(4.2 * HZ):
        print(f"{seconds} s is right; then 4.2 s hold another number of rows than {rows}")
    else:
        print(f"right: a row every {seconds} s, and {rows} of them in 4.2 s")


def check_2(data: LeRobotDataset, share: float) -> None:
    """Exercise 2: the share of commands that were not sent as they were meant."""
    gap = np.abs(data.columns[EXECUTED] - data.columns[ACTION]).max(axis=1)
    found = float((gap > CHANGED).mean())
    if abs(found - share) < 0.005:
        print(f"right: {100 * found:.1f} % were changed, by up to {gap.max():.3f}")
    else:
        print(f"not {share:.3f}: count the rows in which any of the fourteen numbers differs by more than {CHANGED}")


def check_3(before: Sequence[Row], after: Sequence[Row], share: float) -> None:
    """Exercise 3: of what was done before, the share that is done no longer."""
    done = {row.scene for row in before if row.success}
    if not done:
        print("nothing was done before: nothing can have been forgotten")
        return
    lost = len(done - {row.scene for row in after if row.success}) / len(done)
    if abs(lost - share) < 0.005:
        print(f"right: {100 * lost:.0f} % of {len(done)} scenes")
    else:
        print(f"not {share:.3f}: take the scenes that succeeded before, and look the same scenes up after")


def solution_1() -> tuple[float, int]:
    return 3 / 30, round(4.2 * 30 / 3)


def solution_2() -> Callable[[LeRobotDataset], float]:
    def share(data: LeRobotDataset) -> float:
        gap = np.abs(data.columns[EXECUTED] - data.columns[ACTION])
        return float((gap > CHANGED).any(axis=1).mean())

    return share


def solution_3() -> Callable[[Sequence[Row], Sequence[Row]], float]:
    def share(before: Sequence[Row], after: Sequence[Row]) -> float:
        still = {row.scene: row.success for row in after}
        done = [row.scene for row in before if row.success]
        return sum(not still[scene] for scene in done) / len(done)

    return share

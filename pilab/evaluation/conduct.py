"""How was it done? The manner of an episode, measured: with which arm, how fast, how high the thing was lifted.

Who is asked to go slowly, and gets there, has done half of what was asked. The limits lie in the middle between what the
scripted demonstrator does when it is asked and when it is not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pilab.contracts import Embodiment, Observation
from pilab.robots.executor import Command
from pilab.world.environment import World

SLOW, QUICK = 0.018, 0.034  # m a control step, of the upper quartile of the steps in which the hand moves
HIGH = 0.16  # m, of the middle of the thing over the table
MOVES = 0.004  # m a step, from which on a hand moves


class Conduct:
    """A watcher of one episode: `evaluate(watcher=Conduct)`."""

    def __init__(self) -> None:
        self.tips: list[np.ndarray] = []
        self.heights: list[float] = []

    def watch(self, world: World, observation: Observation, command: Command) -> None:
        """Note where the hands and the thing are."""
        self.tips.append(world.tips().copy())
        if "look" in world.scene.part(world.scene.goal.object).parameters:
            self.heights.append(float(world.position(world.scene.goal.object)[2]))

    def metrics(self) -> dict[str, float | None]:
        """arm: index of the one that moved most. pace: m a step; None where nothing moved. lift: m; None of fixtures."""
        steps = np.linalg.norm(np.diff(self.tips, axis=0), axis=-1) if len(self.tips) > 1 else np.zeros((1, 1))
        arm = int(steps.sum(0).argmax())
        moving = steps[:, arm][steps[:, arm] > MOVES]
        return {
            "arm": float(arm),
            "pace": round(float(np.percentile(moving, 75)), 5) if len(moving) else None,
            "lift": round(max(self.heights), 4) if self.heights else None,
        }


def obeyed(manner: str, metrics: Mapping[str, bool | float | None], body: Embodiment) -> bool | None:
    """Whether an episode was done as asked; None where no manner was asked for, or nothing can be said."""
    pace, lift = metrics["pace"], metrics["lift"]
    if manner in ("left-handed", "right-handed"):
        return body.arms[int(metrics["arm"])].name == manner.removesuffix("-handed")
    if manner == "slow":
        return None if pace is None else pace < SLOW
    if manner == "quick":
        return None if pace is None else pace > QUICK
    if manner == "from above":
        return None if lift is None else lift > HIGH
    return None

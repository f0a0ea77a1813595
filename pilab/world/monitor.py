"""Watches one episode: has the goal held for a second, and which of the steps towards it happened."""

from __future__ import annotations

import numpy as np

from pilab.contracts import Goal
from pilab.world.environment import World
from pilab.world.task import HOLD_SECONDS, task_of

REACH = 0.045  # a hand has reached a thing when its tip comes this near, m
MOVED = 0.03  # another object has been moved when it ends up this far from where it stood, m


class Monitor:
    """Call `update` after every control step."""

    def __init__(self, world: World, goal: Goal) -> None:
        self.world, self.goal, self.task = world, goal, task_of(world.scene)
        self.limit = round(self.task.seconds / world.period)  # control steps allowed
        self._hold = round(HOLD_SECONDS / world.period)
        self._held = 0
        self._things = [p.name for p in world.scene.parts if "look" in p.parameters]
        self._start = {name: world.position(name) for name in self._things}
        self.reached = self.grasped_any = self.grasped_right = self.placed_right = False

    def update(self) -> None:
        world = self.world
        now = self.task.achieved(world, self.goal)
        self._held = self._held + 1 if now else 0
        self.placed_right |= now
        if not self.reached:
            gaps = np.linalg.norm(world.tips() - self.task.target(world, self.goal), axis=1)
            self.reached = bool(gaps.min() < REACH) or self.goal.object in world.touching()
        if "grasped_any" in self.task.metrics:
            for name, fingers in world.touching().items():
                both = any({2 * i, 2 * i + 1} <= fingers for i in range(len(world.body.arms)))
                if both and name in self._start and world.position(name)[2] > self._start[name][2] + 0.015:
                    self.grasped_any = True
                    self.grasped_right |= name == self.goal.object

    @property
    def success(self) -> bool:
        """The goal has held for a second, without a break, up to now."""
        return self._held >= self._hold

    def metrics(self) -> dict[str, bool | None]:
        """Every metric by name; None where the task has no such step."""
        involved = {self.goal.object, self.goal.place}
        wrong = any(
            np.linalg.norm(self.world.position(n) - self._start[n]) > MOVED for n in self._things if n not in involved
        )
        values = {
            "reached": self.reached,
            "grasped_any": self.grasped_any,
            "grasped_right": self.grasped_right,
            "placed_right": self.placed_right,
            "wrong_moved": wrong,
        }
        return {name: value if name in self.task.metrics else None for name, value in values.items()}

    def failure(self) -> str:
        """The first thing that went wrong, in a word; empty after a success."""
        if self.success:
            return ""
        seen = self.metrics()
        for name, label in (
            ("reached", "never reached it"),
            ("grasped_any", "grasped nothing"),
            ("grasped_right", "grasped something else"),
            ("placed_right", "did not finish"),
        ):
            if seen[name] is False:
                return label
        return "did not last"

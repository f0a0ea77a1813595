"""Watches one episode: has the goal held for a second, and which of the steps towards it happened."""

from __future__ import annotations

import numpy as np

from pilab.contracts import Goal
from pilab.world.environment import World
from pilab.world.places import fixture_of
from pilab.world.task import HOLD_SECONDS, facts_of, task_of

REACH = 0.045  # a hand has reached a thing when its tip comes this near, m
MOVED = 0.03  # another object has been moved when it ends up this far from where it stood, m
TURNED = 0.2  # another fixture, when its joint ends up this share of its travel from where it was


class Monitor:
    """Call `update` after every control step."""

    def __init__(self, world: World, goal: Goal) -> None:
        self.world, self.goal, self.task = world, goal, task_of(world.scene)
        self._since: float | None = None  # when the goal came to hold, s
        self.success = False  # the goal has held for a second without a break
        self.steps = self.task.steps(world.scene.parts, goal, facts_of(world.scene))
        self._things = [p.name for p in world.scene.parts if "look" in p.parameters]
        self._start = {name: world.position(name) for name in self._things}
        self._joints = {p.name: world.joint(p.name) for p in world.scene.parts if "fixture" in p.parameters}
        self.reached = self.grasped_any = self.grasped_right = self.placed_right = False

    def update(self) -> None:
        world = self.world
        now = self.task.achieved(world, self.goal)
        self._since = (world.time if self._since is None else self._since) if now else None
        self.success |= now and world.time - self._since > HOLD_SECONDS - 1e-6
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
    def expired(self) -> bool:
        """The task's time is over."""
        return self.world.time > self.task.seconds - 1e-6

    def metrics(self) -> dict[str, bool | float | None]:
        """Every metric by name; None where the task has no such step. Of a long task also its progress, and what a task
        counts besides.

        All are about this monitor's goal: under the swap control, what was spoken counts as wrong for the scene's own goal.
        """
        involved = {part for goal in (self.goal, *self.steps) for part in (goal.object, goal.place)}
        wrong = any(
            np.linalg.norm(self.world.position(n) - self._start[n]) > MOVED for n in self._things if n not in involved
        ) or any(
            abs(self.world.joint(n) - start) > TURNED * fixture_of(self.world.scene.part(n)).travel
            for n, start in self._joints.items()
            if n not in involved
        )
        values = {
            "reached": self.reached,
            "grasped_any": self.grasped_any,
            "grasped_right": self.grasped_right,
            "placed_right": self.placed_right,
            "wrong_moved": wrong,
        }
        found = {name: value if name in self.task.metrics else None for name, value in values.items()}
        found |= {"progress": self.progress()} if len(self.steps) > 1 else {}
        return found | self.task.counts(self.world, self.goal)

    def progress(self) -> float:
        """The share of the steps that are done now."""
        done = self.task.done(self.world, self.goal)
        return sum(done) / len(done)

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

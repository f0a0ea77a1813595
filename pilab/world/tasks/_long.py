"""What long tasks share: several steps, each the goal of a short task, one after the other. The words name none of them."""

from __future__ import annotations

from collections.abc import Sequence

from pilab.contracts import Goal, Part, Scene
from pilab.world import objects
from pilab.world.task import Task, facts_of, step_scene, steps_of, task_of


class LongTask(Task):
    """Subclass with `lay_out` or `draw`, with `steps`, and with `done` where it matters what happened before."""

    metrics = ("wrong_moved",)
    swappable = False
    demonstrator = "pilab.world.demonstrators.sequence:Sequence"

    def alternatives(self, parts: Sequence[Part], goal: Goal) -> list[Goal]:
        """Nothing is named: nothing else can be."""
        return []

    def achieved(self, world, goal):
        return all(self.done(world, goal))

    def subtasks(self, scene: Scene, facts: objects.Facts) -> tuple[str, ...]:
        parts = (step_scene(scene, step) for step in steps_of(scene))
        return tuple(text for one in parts for text in task_of(one).subtasks(one, facts))

    def stage(self, world, goal):
        """Of the first step that is not done, or of the last one."""
        scene, facts, done = world.scene, facts_of(world.scene), self.done(world, goal)
        parts = [step_scene(scene, step) for step in self.steps(scene.parts, goal, facts)]
        at = done.index(False) if False in done else len(done) - 1
        before = sum(len(task_of(one).subtasks(one, facts)) for one in parts[:at])
        return before + task_of(parts[at]).stage(world, parts[at].goal)

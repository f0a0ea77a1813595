"""Does it choose the right next step? What it has in mind, step by step, against what an oracle would say.

The middle level of a robot, measured apart from its hands: whoever drops the apple may have been right to reach for it.
"""

from __future__ import annotations

from pilab.contracts import Observation, Scene
from pilab.data.web.chains import concluded
from pilab.robots.executor import Command, batch
from pilab.robots.oracle import next_step
from pilab.world.environment import World
from pilab.world.objects import describe
from pilab.world.task import facts_of, task_of


class Judge:
    """A watcher of one episode: `evaluate(watcher=Judge)`."""

    def __init__(self) -> None:
        self.agreed = self.steps = 0

    def watch(self, world: World, observation: Observation, command: Command) -> None:
        """Count a step at which something is in mind."""
        if command.thought.subtask:
            self.steps += 1
            self.agreed += agrees(command.thought.subtask, next_step(batch([observation])))

    def metrics(self) -> dict[str, float | None]:
        """chosen: of the steps with something in mind, those at which that was right; None where there were none."""
        return {"chosen": self.agreed / self.steps if self.steps else None}


def agrees(said: str, scene: Scene) -> bool:
    """Whether a subtask is about the thing that comes next in a scene and, if it names one, about the place where that goes.

    When it is said does not count: who says "put the apple in the bowl" with empty hands knows what to do.
    """
    facts, goal = facts_of(scene), scene.goal
    if goal.object not in facts.rows:  # a drawer, a lid
        return said in task_of(scene).subtasks(scene, facts)
    thing, place = concluded(said)
    return thing in (facts.noun(goal.object), describe(goal.object)) and place in ("", goal.place)

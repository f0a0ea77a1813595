"""Does it choose the right next step? What it has in mind, step by step, against what an oracle would say.

The middle level of a robot, measured apart from its hands: whoever drops the apple may have been right to reach for it.
"""

from __future__ import annotations

from pilab.contracts import Observation
from pilab.data.web.chains import concluded
from pilab.robots.executor import Command, batch
from pilab.robots.oracle import right
from pilab.world.environment import World


class Judge:
    """Of one episode. Give `Trial(watch=judge.watch)`, or `evaluate(judged=True)`."""

    def __init__(self) -> None:
        self.agreed = self.steps = 0

    def watch(self, world: World, observation: Observation, command: Command) -> None:
        """Count a step at which something is in mind."""
        if command.thought.subtask:
            self.steps += 1
            self.agreed += agree(command.thought.subtask, right(batch([observation])))

    @property
    def share(self) -> float | None:
        """Of the steps at which the right thing was to go to the right place; None for who never had anything in mind."""
        return self.agreed / self.steps if self.steps else None


def agree(said: str, right: str) -> bool:
    """Whether two subtasks are about the same thing and, as far as both name one, the same place.

    Who says "put the apple in the bowl" where "pick up the apple" comes first is right about what to do.
    """
    (thing, place), (other, home) = concluded(said), concluded(right)
    if not thing or not other:  # about fixtures: no place, no way to be early
        return said == right
    return thing == other and (place == home or not place or not home)

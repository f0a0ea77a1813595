"""Look into the drawer and into the box, and leave both shut: what is done already cannot be seen.

Design choices
--------------
* **The state is hidden.** Both are shut at the beginning, in the middle and at the end, and the pictures of these moments are
  alike. Who decides by what is seen now opens the same one again, or stops too early; who remembers does not.
* The order is that of a reader, from left to right, but any order is a success. To look again does no harm and takes time: it
  is counted (`repeats`).
* To have looked into something is to have had it open, as far as the task `open` asks for, at any time in the episode: the
  world counts that (`World.openings`). Nobody asks whether an eye was there.
"""

from __future__ import annotations

from pilab.contracts import Goal, SceneError
from pilab.world.task import facts_of
from pilab.world.tasks._long import LongTask
from pilab.world.tasks.open import TASK as OPEN


class Check(LongTask):
    name = verb = "check"
    seconds = 30.0  # some twelve are needed: time for two or three needless openings
    templates = (
        "look into everything that opens and leave it shut",
        "check what is inside of everything and leave it closed",
        "look inside of all that can be opened and shut it again",
        "open everything for a look and close it again",
        "see what is in there and leave everything shut",
    )
    paraphrases = (
        "please look into everything and close it again",
        "could you check what is inside and leave everything closed",
        "i would like to know what is inside so look into everything and shut it again",
        "have a look into all that opens and do not leave it open",
        "find out what is in there but leave everything closed",
        "something is in there so look everywhere and shut it again",
    )
    held_out_templates = (
        "have a look inside of everything and leave it as it was",
        "search all of it and leave nothing open",
        "is there anything in these check and close them again",
    )

    def lay_out(self, rng, pool, cell, reserved):
        """As for opening: both are shut, and things and places are around."""
        if cell is not None:
            raise SceneError(f"{self.verb!r} is about everything that opens; leave {cell[0]!r} out")
        parts, _ = OPEN.lay_out(rng, pool, None, reserved)
        return parts, Goal(self.verb, _openable(parts)[0])

    def steps(self, parts, goal, facts):
        return tuple(Goal(verb, name) for name in _openable(parts) for verb in ("open", "close"))

    def done(self, world, goal):
        """What was open once is looked into, and what was never open is not done with, shut as it is."""
        scene = world.scene
        steps, now = self.steps(scene.parts, goal, facts_of(scene)), super().done(world, goal)
        return tuple(
            world.openings(step.object) > 0 and (step.verb == "open" or holds)
            for step, holds in zip(steps, now, strict=True)
        )

    def counts(self, world, goal):
        """How often something was opened that had been open before."""
        return {"repeats": sum(max(world.openings(name) - 1, 0) for name in _openable(world.scene.parts))}


def _openable(parts):
    """The names of what has a joint, from left to right."""
    return [part.name for part in sorted(parts, key=lambda p: p.position[0]) if "fixture" in part.parameters]


TASK = Check()

"""What a task is: words, a layout, a predicate, ordered subtasks, and what to swap for a control.

A long task is one whose goal comes to several `steps`, each the goal of a short one: see `tasks.tidy`, and
`tasks.check` for one in which the past counts.

A new task is one file, in `pilab/world/tasks/` or anywhere importable, with an object called TASK. Verbs follow the
decomposition that exposes policies which move well and listen badly: did it reach, grasp anything, grasp the right
thing, place it right, move something else ("Robust Skills, Brittle Grounding", arXiv:2602.24143).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pilab.contracts import Goal, Part, Scene, find
from pilab.world import objects, places
from pilab.world.scenes import is_reserved_cell

if TYPE_CHECKING:
    from pilab.world.environment import World

HOLD_SECONDS = 1.0  # success must last this long


class Task:
    """Subclass, fill in, and make one instance called TASK."""

    name: str  # unique; seeds the sampler
    verb: str
    arms: int = 1  # how many the task needs
    seconds: float = 12.0  # simulated time allowed
    metrics: tuple[str, ...] = ("reached", "grasped_any", "grasped_right", "placed_right", "wrong_moved")  # that apply
    swappable: bool = True  # something else in view could be named instead, so that the swap control can ask for it
    demonstrator: str = ""  # module:class of a script in pilab.world.demonstrators' style; empty if there is none
    templates: tuple[str, ...]  # with {object}, and {in} {place} where there is a place
    paraphrases: tuple[str, ...] = ()  # further ways to say it, for training: scenes never speak them
    held_out_templates: tuple[str, ...]  # ways that nothing is ever trained on

    def lay_out(
        self, rng: np.random.Generator, pool: tuple[str, ...], cell: tuple[str, str | None] | None, reserved: bool
    ) -> tuple[list[Part], Goal]:
        """Draw the parts and the goal of a scene; raise `scenes.Rejected` to draw again."""
        raise NotImplementedError(f"task {self.name!r} lays out no scene")

    def draw(
        self, rng: np.random.Generator, pool: tuple[str, ...], cell: tuple[str, str | None] | None, reserved: bool,
        facts: objects.Facts,
    ) -> tuple[list[Part], Goal]:  # fmt: skip
        """`lay_out`, for tasks in which it matters what things are."""
        return self.lay_out(rng, pool, cell, reserved)

    def steps(self, parts: Sequence[Part], goal: Goal, facts: objects.Facts) -> tuple[Goal, ...]:
        """The goals of other tasks, named by their verbs, that `goal` comes to, in the order of doing them; itself for most."""
        return (goal,)

    def achieved(self, world: World, goal: Goal) -> bool:
        """Whether the world is, at this instant, as `goal` wants it."""
        raise NotImplementedError(f"task {self.name!r} has no predicate")

    def done(self, world: World, goal: Goal) -> tuple[bool, ...]:
        """Which of the `steps` are done, as the world is now; where the past counts, a task says so itself."""
        scene = world.scene
        doers = (
            (self if step == goal else find(step.verb, "pilab.world.tasks", "TASK", "task"), step)
            for step in self.steps(scene.parts, goal, facts_of(scene))
        )
        return tuple(doer.achieved(world, step) for doer, step in doers)

    def remember(self, world: World) -> None:
        """Called after every control step, for tasks in which the past counts: see `World.note`."""

    def counts(self, world: World, goal: Goal) -> dict[str, float]:
        """Further numbers about how it went, by name, beside `metrics`."""
        return {}

    def subtasks(self, scene: Scene, facts: objects.Facts) -> tuple[str, ...]:
        """The steps in order, in words."""
        return (self.say_plain(scene.goal, facts),)

    def stage(self, world: World, goal: Goal) -> int:
        """The oracle: index of the subtask that is right now."""
        return 0

    def target(self, world: World, goal: Goal) -> np.ndarray:
        """(3,) m: the point a hand has to reach first."""
        return world.position(goal.object)

    def waypoints(self, parts: list[Part], goal: Goal) -> list[tuple[float, float, float]]:
        """Points the tool tip must be able to reach, m."""
        by_name = {p.name: p for p in parts}
        ends = [by_name[n].position for n in (goal.object, goal.place) if n]
        return [(x, y, z) for x, y, _ in ends for z in (0.03, 0.16)]

    def alternatives(self, parts: Sequence[Part], goal: Goal) -> list[Goal]:
        """Goals about another object that the same parts allow, for the swap control; never a reserved cell.

        With the same place where possible, else with another place of the same kind. Reserved objects are named only where
        the goal is about one already.
        """
        alike = [goal.place]
        if goal.place in places.PLACES:
            alike += [p.name for p in parts if p.name in places.PLACES and p.name != goal.place]
        nameable = objects.LOOKS if goal.object in objects.RESERVED else objects.HANDLED
        others = [
            p.name
            for p in parts
            if p.parameters.get("look") in nameable and p.name not in (goal.object, goal.place) and self.suits(p.name)
        ]
        for place in alike:
            found = [Goal(goal.verb, o, place) for o in others if not is_reserved_cell(goal.verb, o, place)]
            if found:
                return found
        return []

    def suits(self, look: str) -> bool:
        """Whether an object can be the one this verb moves."""
        return True

    # --------------------------------------------------------------------------------------------------------- language
    def say(self, goal: Goal, facts: objects.Facts, rng: np.random.Generator, templates: tuple[str, ...]) -> str:
        """An instruction for `goal` from one of `templates`; one in four names the object by its look."""
        template = templates[rng.integers(len(templates))]
        by_look = rng.random() < 0.25
        return template.format(**self._words(goal, facts, by_look))

    def say_plain(self, goal: Goal, facts: objects.Facts) -> str:
        """The first template, with nouns."""
        return self.templates[0].format(**self._words(goal, facts, by_look=False))

    def _words(self, goal: Goal, facts: objects.Facts, by_look: bool) -> dict[str, str]:
        words = {"object": name_of(goal.object, facts, by_look)}
        if goal.place:
            words["place"] = name_of(goal.place, facts, by_look)
            words["in"] = places.PLACES[goal.place].preposition if goal.place in places.PLACES else "on"
        return words


def name_of(part: str, facts: objects.Facts, by_look: bool = False) -> str:
    """What a part is called: `the apple`, `the red and green ball`, `the bowl`."""
    if part in facts.rows:
        return "the " + (objects.describe(part) if by_look else facts.noun(part))
    return f"the {part}"


def task_of(scene: Scene) -> Task:
    """The task of a scene."""
    return find(scene.task, "pilab.world.tasks", "TASK", "task")


def steps_of(scene: Scene) -> tuple[Goal, ...]:
    """The goals that the scene's own comes to: several for a long task, else itself."""
    return task_of(scene).steps(scene.parts, scene.goal, facts_of(scene))


def step_scene(scene: Scene, step: Goal) -> Scene:
    """The same world with nothing to do but one of its steps."""
    return scene if step == scene.goal else scene.replace(task=step.verb, goal=step)


def facts_of(scene: Scene) -> objects.Facts:
    """The table of facts a scene was named with."""
    return objects.find_facts(scene.facts)


def respoken(scene: Scene, goal: Goal, rng: np.random.Generator | None = None, held_out: bool = False) -> Scene:
    """The same world with another goal (or the same one) said in other words.

    held_out: use the templates that no training data contains.
    """
    task, facts = task_of(scene), facts_of(scene)
    templates = task.held_out_templates if held_out else task.templates
    text = task.say(goal, facts, rng, templates) if rng is not None else task.say_plain(goal, facts)
    return scene.replace(goal=goal, instruction=text)

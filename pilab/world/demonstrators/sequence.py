"""Several tasks, one after the other, each by its own script: the next is the first that is not done."""

from __future__ import annotations

import dataclasses

import numpy as np

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, Observation, Thought
from pilab.world.demonstrators.script import MANNERS, Demonstrator, Situation, one
from pilab.world.scenes import find_body
from pilab.world.task import step_scene, steps_of, task_of


class Sequence(Demonstrator):
    """The memory is that of the script at work, and which step it works on.

    A step is over when the task counts it as done (`Task.done`) and no hand is at the thing. What comes undone is done again.
    """

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        return [self._think(one(observation, i), thought) for i, thought in enumerate(previous)]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        """(B, 1, A) joint targets."""
        rows = (at_step(one(observation, i), t.memory["step"]) for i, t in enumerate(thought))
        return np.concatenate([super(Sequence, self).act(row, [t]) for row, t in zip(rows, thought, strict=True)])

    def _think(self, row: Observation, previous: Thought) -> Thought:
        (scene,), memory = row[SCENE], dict(previous.memory)
        now = Situation(scene, find_body(scene.body), row[STATE][0], row[ENVIRONMENT_STATE][0], MANNERS[self.manner])
        undone = [i for i, done in enumerate(task_of(scene).done(now, scene.goal)) if not done]
        at = memory.pop("step", None)
        busy = at is not None and (at in undone or now.touched(steps_of(scene)[at].object))
        if at is None or (undone and not busy):
            at, memory = (undone or [0])[0], {}  # the script of that step begins anew
        (thought,) = super().think(at_step(row, at), [dataclasses.replace(previous, memory=memory)])
        return dataclasses.replace(thought, memory={**thought.memory, "step": at})


def at_step(row: Observation, at: int) -> Observation:
    """A batch of one whose scene asks for its step number `at` alone."""
    (scene,) = row[SCENE]
    return {**row, SCENE: [step_scene(scene, steps_of(scene)[at])]}

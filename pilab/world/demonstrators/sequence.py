"""Several tasks, one after the other, each by its own script: the next is the first that is not done, as the world is now."""

from __future__ import annotations

import dataclasses

import numpy as np

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, Goal, Observation, Policy, SceneError, Thought, load
from pilab.world.demonstrators.script import MANNERS, Script, Situation, one
from pilab.world.scenes import find_body
from pilab.world.task import step_scene, steps_of, task_of


class Sequence(Policy):
    """The memory is that of the script at work, and which step it works on.

    A step is over when its goal holds and no hand is at the thing. What comes undone is done again.
    """

    privileged = True
    cameras = ()
    think_interval = 1
    replan_interval = 1

    def __init__(self, arm: str | None = None, manner: str = "normal") -> None:
        self.arm, self.manner = arm, manner
        self._scripts: dict[str, Script] = {}

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        return [self._think(one(observation, i), thought) for i, thought in enumerate(previous)]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        rows = [one(observation, i) for i in range(len(thought))]
        return np.concatenate([self._at(row, t.memory["step"], "act", t) for row, t in zip(rows, thought, strict=True)])

    def _think(self, row: Observation, previous: Thought) -> Thought:
        steps, memory = steps_of(row[SCENE][0]), dict(previous.memory)
        at = memory.pop("step", None)
        undone = [i for i, step in enumerate(steps) if not self._done(row, step)]
        if at is None or (at not in undone and undone):
            at, memory = (undone or [0])[0], {}  # the script of that step begins anew
        (thought,) = self._at(row, at, "think", dataclasses.replace(previous, memory=memory))
        return dataclasses.replace(thought, memory={**thought.memory, "step": at})

    def _done(self, row: Observation, step: Goal) -> bool:
        scene = step_scene(row[SCENE][0], step)
        now = Situation(scene, find_body(scene.body), row[STATE][0], row[ENVIRONMENT_STATE][0], MANNERS[self.manner])
        return task_of(scene).achieved(now, step)

    def _at(self, row: Observation, at: int, do: str, thought: Thought) -> list[Thought] | np.ndarray:
        """What the script of step `at` thinks or does."""
        scene = row[SCENE][0]
        scene = step_scene(scene, steps_of(scene)[at])
        name = task_of(scene).demonstrator
        if not name:
            raise SceneError(f"task {scene.task!r} has no demonstrator; set Task.demonstrator to MODULE:CLASS")
        if name not in self._scripts:
            self._scripts[name] = load(name, "demonstrator")(self.arm, self.manner)
        return getattr(self._scripts[name], do)({**row, SCENE: [scene]}, [thought])

"""Another's hands with the right words: a policy whose every thought is the subtask that is right now.

The upper bound of anything that thinks: what fails here is the hand's fault, not the head's. Only the thought is privileged;
the policy that acts is told nothing but it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, Observation, Policy, Scene, Thought
from pilab.robots.executor import batch, unprivileged
from pilab.world.demonstrators.script import MANNERS, Situation, one
from pilab.world.objects import called_by_look
from pilab.world.scenes import find_body
from pilab.world.task import facts_of, step_scene, steps_of, task_of


class Oracle(Policy):
    """`policy` acts on what the oracle of the scene's task says."""

    privileged = True

    def __init__(self, policy: Policy, interval: int = 3, by_look: bool = False) -> None:
        """interval: control steps between two thoughts. by_look: things are called what they look like, for who does not know
        their names.
        """
        self.policy, self.think_interval, self.by_look = policy, interval, by_look
        self.cameras, self.replan_interval = policy.cameras, policy.replan_interval
        self.noise_shape, self.fingerprint = policy.noise_shape, getattr(policy, "fingerprint", "")

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        """The subtask that is right, for each row."""
        rows = range(len(previous))
        return [Thought(right(one(observation, i), self.by_look), author="oracle") for i in rows]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return self.policy.act(unprivileged(observation), thought)


class Overheard(Oracle):
    """`policy` acts on its own thoughts, and the oracle notes at every step what would have been right: labels of the states
    that the policy itself comes into (DAgger, arXiv:1011.0686), in words, without an action.

    It says what a person would say, all of what comes next ("put the apple in the bowl"), and nothing else until that is done.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, interval=1)

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        """Of its own accord the policy thinks as often as ever: what it drives into is what it will drive into alone."""
        due = [i for i, t in enumerate(previous) if t.memory.get("left", 0) == 0]
        own = [_own(t) for t in previous]
        if due:
            told = unprivileged(batch([_row(observation, i) for i in due]))
            for i, thought in zip(due, self.policy.think(told, [own[i] for i in due]), strict=True):
                own[i] = thought
        left = [(t.memory.get("left", 0) or self.policy.think_interval) - 1 for t in previous]
        notes = [{"own": dataclasses.asdict(o), "left": n} for o, n in zip(own, left, strict=True)]
        labels = [next_step(one(observation, i)) for i in range(len(previous))]
        return [
            Thought(task_of(scene).say_plain(scene.goal, facts_of(scene)), author="oracle", memory=note)
            for scene, note in zip(labels, notes, strict=True)
        ]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return super().act(observation, [_own(t) for t in thought])


def _own(noted: Thought) -> Thought:
    """What the policy thought, beside which the oracle's was noted."""
    return Thought(**noted.memory["own"]) if "own" in noted.memory else Thought()


def _row(observation: Observation, index: int) -> Observation:
    return {key: values[index] for key, values in observation.items()}


def right(row: Observation, by_look: bool = False) -> str:
    """The subtask that is right in a batch of one, by the simulator's truth."""
    now = _situation(row)
    task, facts = task_of(now.scene), facts_of(now.scene)
    return task.subtasks(now.scene, called_by_look(facts) if by_look else facts)[task.stage(now, now.scene.goal)]


def next_step(row: Observation) -> Scene:
    """The scene of a batch of one, with nothing to do but the first of its steps that is not done; or the last."""
    now = _situation(row)
    done = task_of(now.scene).done(now, now.scene.goal)
    return step_scene(now.scene, steps_of(now.scene)[done.index(False) if False in done else -1])


def _situation(row: Observation) -> Situation:
    scene = row[SCENE][0]
    return Situation(scene, find_body(scene.body), row[STATE][0], row[ENVIRONMENT_STATE][0], MANNERS["normal"])

"""Another's hands with the right words: a policy whose every thought is the subtask that is right now.

The upper bound of anything that thinks: what fails here is the hand's fault, not the head's. Only the thought is privileged;
the policy that acts is told nothing but it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, Observation, Policy, Thought
from pilab.robots.executor import batch, unprivileged
from pilab.world.demonstrators.script import MANNERS, Situation, one
from pilab.world.objects import called_by_look
from pilab.world.scenes import find_body
from pilab.world.task import facts_of, task_of


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
        labels = super().think(observation, previous)
        return [
            dataclasses.replace(label, memory={"own": dataclasses.asdict(o), "left": n})
            for label, o, n in zip(labels, own, left, strict=True)
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
    scene = row[SCENE][0]
    now = Situation(scene, find_body(scene.body), row[STATE][0], row[ENVIRONMENT_STATE][0], MANNERS["normal"])
    task, facts = task_of(scene), facts_of(scene)
    return task.subtasks(scene, called_by_look(facts) if by_look else facts)[task.stage(now, scene.goal)]

"""Another's hands with the right words: a policy whose every thought is the subtask that is right now.

The upper bound of anything that thinks: what fails here is the hand's fault, not the head's. Only the thought is privileged;
the policy that acts is told nothing but it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, Observation, Policy, Thought
from pilab.robots.executor import PRIVILEGED_KEYS
from pilab.world.demonstrators.script import MANNERS, Situation, one
from pilab.world.scenes import find_body
from pilab.world.task import facts_of, task_of


class Oracle(Policy):
    """`policy` acts on what the oracle of the scene's task says."""

    privileged = True

    def __init__(self, policy: Policy, interval: int = 3) -> None:
        """interval: control steps between two thoughts."""
        self.policy, self.think_interval = policy, interval
        self.cameras, self.replan_interval = policy.cameras, policy.replan_interval
        self.noise_shape, self.fingerprint = policy.noise_shape, getattr(policy, "fingerprint", "")

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        """The subtask that is right, for each row."""
        return [Thought(right(one(observation, i)), author="oracle") for i in range(len(previous))]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return self.policy.act({k: v for k, v in observation.items() if k not in PRIVILEGED_KEYS}, thought)


class Overheard(Oracle):
    """`policy` acts on its own thoughts, and the oracle notes beside each what would have been right: labels of the states
    that the policy itself comes into (DAgger, arXiv:1011.0686), in words, without an action.
    """

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        told = {k: v for k, v in observation.items() if k not in PRIVILEGED_KEYS}
        own = self.policy.think(told, [_own(t) for t in previous])
        labels = super().think(observation, previous)
        return [
            dataclasses.replace(t, memory={"own": {"subtask": o.subtask, "memory": dict(o.memory)}})
            for t, o in zip(labels, own, strict=True)
        ]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return super().act(observation, [_own(t) for t in thought])


def _own(noted: Thought) -> Thought:
    """What the policy thought, beside which the oracle's was noted."""
    return Thought(**noted.memory.get("own", {}))


def right(row: Observation) -> str:
    """The subtask that is right in a batch of one, by the simulator's truth."""
    scene = row[SCENE][0]
    now = Situation(scene, find_body(scene.body), row[STATE][0], row[ENVIRONMENT_STATE][0], MANNERS["normal"])
    task = task_of(scene)
    return task.subtasks(scene, facts_of(scene))[task.stage(now, scene.goal)]

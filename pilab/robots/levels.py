"""Two levels from two policies: the first thinks, the second acts on what it thinks.

The high level of a robot can thus be coached, swapped or compared while the low level stays as it is, to the bit (Hi Robot, Shi
et al. 2025, arXiv:2502.19417; YAY Robot, Shi et al. 2024, arXiv:2403.12910).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pilab.contracts import TASK, Observation, Policy, PolicyError, Thought, image_key
from pilab.robots.executor import unprivileged
from pilab.vla.policy import VLAPolicy
from pilab.vla.thoughts import begun


class TwoLevels(Policy):
    """`high` thinks, `low` acts."""

    def __init__(self, high: Policy, low: Policy) -> None:
        self.high, self.low = high, low
        self.privileged = bool(getattr(high, "privileged", False) or getattr(low, "privileged", False))
        views = [getattr(policy, "cameras", None) for policy in (high, low)]
        self.cameras = None if None in views else tuple(dict.fromkeys(name for view in views for name in view))
        self.think_interval = getattr(high, "think_interval", Policy.think_interval)
        self.replan_interval = getattr(low, "replan_interval", None)
        self.noise_shape = getattr(low, "noise_shape", None)
        self.fingerprint = "+".join(str(getattr(policy, "fingerprint", "")) for policy in (high, low))

    def think(self, observation: Observation, previous: Sequence[Thought]) -> list[Thought]:
        return self.high.think(_told(self.high, observation), list(previous))

    def act(self, observation: Observation, thought: Sequence[Thought]) -> np.ndarray:
        return self.low.act(_told(self.low, observation), list(thought))


def _told(policy: Policy, observation: Observation) -> Observation:
    """What either may know: the pair is told what the more privileged of them needs."""
    return observation if getattr(policy, "privileged", False) else unprivileged(observation)


class Onlooker(Policy):
    """Thinks about what one camera shows, and feels nothing: a high level that was trained on single frames."""

    def __init__(self, policy: VLAPolicy, camera: str = "base") -> None:
        self.policy, self.cameras, self.fingerprint = policy, (camera,), policy.fingerprint
        self.think_interval = policy.think_interval

    def think(self, observation: Observation, previous: Sequence[Thought]) -> list[Thought]:
        (camera,) = self.cameras
        told = [begun(t) for t in previous]
        return self.policy.ponder({camera: observation[image_key(camera)]}, list(observation[TASK]), begun=told)

    def act(self, observation: Observation, thought: Sequence[Thought]) -> np.ndarray:
        raise PolicyError("this one only thinks; let another act on it, with TwoLevels")

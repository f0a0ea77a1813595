"""Policies that need no training: the baselines below every table, and a recording played back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pilab.contracts import NOISE, SCENE, STATE, Observation, Policy, PolicyError, Thought


class Hold(Policy):
    """Stays where it is: what the world does when nobody moves."""

    cameras = ()

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return np.asarray(observation[STATE])[:, None]


class Random(Policy):
    """A random walk of the joints: what moving without looking or listening achieves."""

    cameras = ()
    stride = 0.08  # rad per step

    def __init__(self, size: int = 14, horizon: int = 8) -> None:
        self.noise_shape = (horizon, size)

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        return np.asarray(observation[STATE])[:, None] + np.cumsum(self.stride * observation[NOISE], axis=1)


class Replay(Policy):
    """Plays recorded commands back, each in its own scene: the control that proves the stack loses nothing.

    Privileged, because it recognises the scene by its hash.
    """

    privileged = True
    cameras = ()
    think_interval = 1
    replan_interval = 1

    def __init__(self, recordings: Mapping[str, np.ndarray]) -> None:
        self.recordings = recordings  # scene hash → (T, A) executed commands

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        return [Thought(memory={"step": t.memory.get("step", -1) + 1}) for t in previous]

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        chunks = []
        for scene, t in zip(observation[SCENE], thought, strict=True):
            if scene.hash not in self.recordings:
                raise PolicyError(f"no recording of scene {scene.hash}; record it with the demonstrator first")
            actions = self.recordings[scene.hash]
            chunks.append(actions[min(t.memory["step"], len(actions) - 1)])
        return np.stack(chunks)[:, None]

"""A policy that learnt by heart: it looks once, and does again what was done where it looked most alike.

One nearest neighbour over the first picture, whose demonstration is then played back with closed eyes. It moves as its teacher
does, and in the scenes of its teacher it is perfect; it hears no word. What distinguishes it from a robot that understands
is not to be seen in any film of those scenes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pilab.contracts import EXECUTED, DatasetError, Observation, Policy, Thought, image_key
from pilab.data.lerobot import LeRobotDataset


class Memoriser(Policy):
    """Of the demonstrations of a dataset, by one camera."""

    think_interval = 10**9  # it looks at the first step

    def __init__(self, folder: str | Path, camera: str = "base") -> None:
        dataset = LeRobotDataset(folder)
        key = image_key(camera)
        if key not in dataset.cameras or EXECUTED not in dataset.features:
            raise DatasetError(f"{dataset.root} has no {key} or no {EXECUTED}; take a dataset of `pilab collect`")
        every = range(len(dataset.episodes))
        self.cameras, self.key = (camera,), key
        self.first = np.stack([dataset.frames(key, e, [0])[0] for e in every]).astype(np.float32)  # (N, H, W, 3)
        recorded = [dataset.episode(e, [EXECUTED])[EXECUTED] for e in every]
        longest = max(map(len, recorded))
        self.actions = np.stack([np.pad(a, ((0, longest - len(a)), (0, 0)), "edge") for a in recorded])  # (N, T, A)

    def think(self, observation: Observation, previous: list[Thought]) -> list[Thought]:
        """Which demonstration it is reminded of."""
        found = []
        for picture in np.asarray(observation[self.key], np.float32):
            nearest = int(((self.first - picture) ** 2).mean((1, 2, 3)).argmin())
            found.append(Thought(memory={"demonstration": nearest}))
        return found

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        """(B, T, A): all of it."""
        return self.actions[[t.memory["demonstration"] for t in thought]]

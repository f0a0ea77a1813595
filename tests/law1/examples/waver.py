"""A policy in one file: it waves, faster when the picture is bright."""

import numpy as np

from pilab.contracts import STATE, Policy, image_key


class Waver(Policy):
    cameras = ("base",)
    replan_interval = 4

    def act(self, observation, thought):
        bright = observation[image_key("base")].reshape(len(thought), -1).mean(1) / 255  # (B,)
        chunk = np.repeat(np.asarray(observation[STATE])[:, None], 8, axis=1)  # (B, 8, A)
        chunk[:, :, 0] += 0.1 * bright[:, None] * np.sin(np.arange(8))
        return chunk


POLICY = Waver()

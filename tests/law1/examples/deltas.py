"""An action space in one file: how far each joint goes from one step to the next, in rad; grippers likewise."""

import numpy as np


class Deltas:
    def size(self, body):
        return body.size

    def floor(self, body):
        return np.full(body.size, 0.01)

    def encode(self, body, state, actions):
        return np.diff(actions, axis=-2, prepend=np.asarray(state)[..., None, :])

    def decode(self, body, state, inside):
        return np.clip(np.asarray(state)[..., None, :] + inside.cumsum(-2), body.action.low, body.action.high)


SPACE = Deltas()

"""What the numbers of a chunk mean inside the model: action spaces and their normalisation.

Design choices
--------------
* Datasets and robots speak **joint position targets**. An action space turns them, relative to the measured state, into
  what the network predicts, and back; both ways go through the one kinematics of `world.kinematics`.
* **`relative_pose`** (the default) is where the tool tip goes: metres and a rotation vector (rad) from the pose of this
  instant, in world axes; grippers stay absolute. The end-effector space of UMI (Chi et al. 2024, arXiv:2402.10329).
* **Per-time-step normalisation**: the first actions of a chunk deviate by millimetres from the present pose, the last by
  decimetres. Each (step, dimension) has its own mean and standard deviation, so that a loss counts both alike. A floor
  on the deviation keeps dimensions that never move from being amplified into noise.
* A space is three methods and a few numbers; one of your own is named `MODULE:OBJECT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pilab.contracts import Embodiment, PolicyError, UnknownNameError, load
from pilab.world.kinematics import chain, rotation_matrix, rotation_vector


class ActionSpace(Protocol):
    """How actions look from inside the model. Arrays of float, batched over leading axes."""

    def size(self, body: Embodiment) -> int:
        """D, the numbers per step."""

    def floor(self, body: Embodiment) -> np.ndarray:
        """(D,) the least standard deviation to divide by, in the units of the space."""

    def encode(self, body: Embodiment, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """State (B, A) and joint targets (B, H, A) → (B, H, D)."""

    def decode(self, body: Embodiment, state: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """State (B, A) and (B, H, D) → joint targets (B, H, A), within the joints' limits."""


class JointSpace:
    """Joint targets, as they are or relative to the measured joints; grippers absolute."""

    def __init__(self, relative: bool) -> None:
        self.relative = relative

    def size(self, body: Embodiment) -> int:
        return body.size

    def floor(self, body: Embodiment) -> np.ndarray:
        # A gripper's range is 0 … 1; 0.012 rad move the tip by some 5 mm.
        floor = np.where(is_gripper(body), 0.5, 0.012)
        floor[body.channel_slice] = channel_floor(body)
        return floor

    def _reference(self, body: Embodiment, state: np.ndarray) -> np.ndarray:
        return np.where(is_gripper(body), 0.0, state)[..., None, :] if self.relative else 0.0

    def encode(self, body: Embodiment, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return actions - self._reference(body, state)

    def decode(self, body: Embodiment, state: np.ndarray, inside: np.ndarray) -> np.ndarray:
        return np.clip(inside + self._reference(body, state), body.action.low, body.action.high)


class RelativePose:
    """Displacement (3, m) and rotation vector (3, rad) of each tip from where it is now, in world axes, then the gripper.

    Channels come last, each relative to where it is.
    """

    def size(self, body: Embodiment) -> int:
        return 7 * len(body.arms) + len(body.channels)

    def floor(self, body: Embodiment) -> np.ndarray:
        return np.append(np.tile([0.004] * 3 + [0.03] * 3 + [0.5], len(body.arms)), channel_floor(body))

    def encode(self, body: Embodiment, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        columns = []
        for arm in body.arms:
            here = chain(arm).forward(state[..., body.slice(arm.name)][..., :-1])
            there = chain(arm).forward(actions[..., body.slice(arm.name)][..., :-1])
            columns.append(there[0] - here[0][..., None, :])
            columns.append(rotation_vector(here[1][..., None, :, :], there[1]))
            columns.append(actions[..., body.slice(arm.name)][..., -1:])
        columns.append(actions[..., body.channel_slice] - state[..., None, body.channel_slice])
        return np.concatenate(columns, -1)

    def decode(self, body: Embodiment, state: np.ndarray, inside: np.ndarray) -> np.ndarray:
        actions = np.empty((*inside.shape[:-1], body.size))
        for i, arm in enumerate(body.arms):
            part, x = body.slice(arm.name), inside[..., 7 * i : 7 * i + 7]
            joints = state[..., part][..., :-1]
            tip, rotation = (
                t[..., None, :] if t.ndim == joints.ndim else t[..., None, :, :] for t in chain(arm).forward(joints)[:2]
            )
            target = rotation_matrix(x[..., 3:6]) @ rotation
            start = np.broadcast_to(joints[..., None, :], (*x.shape[:-1], joints.shape[-1]))
            found, _ = chain(arm).inverse(tip + x[..., :3], target, start, iterations=6, tolerance=0.0)
            actions[..., part] = np.concatenate([found, x[..., 6:7].clip(0, 1)], -1)
        part = body.channel_slice
        there = inside[..., 7 * len(body.arms) :] + state[..., None, part]
        actions[..., part] = np.clip(there, body.action.low[part], body.action.high[part])
        return actions


SPACES: Mapping[str, ActionSpace] = {
    "relative_pose": RelativePose(),
    "relative_joints": JointSpace(relative=True),
    "absolute_joints": JointSpace(relative=False),
}


def find_space(name: str) -> ActionSpace:
    """An action space by name, or `MODULE:OBJECT`."""
    if ":" in name:
        return load(name, "action space", list(SPACES))
    if name not in SPACES:
        raise UnknownNameError("action space", name, list(SPACES), "or MODULE:OBJECT for one of your own")
    return SPACES[name]


def channel_floor(body: Embodiment) -> np.ndarray:
    """A hundredth of each channel's range: nobody knows their units."""
    return np.array([0.01 * (c.high - c.low) for c in body.channels])


def is_gripper(body: Embodiment) -> np.ndarray:
    """(A,) bool."""
    return np.array([name.endswith("_gripper") for name in body.action.names])


@dataclass(frozen=True)
class Normaliser:
    """Statistics of the training data: what goes into the network has mean 0 and deviation about 1.

    state: mean and deviation (S,). action: mean and deviation (H, D), one for each time step of the chunk.
    """

    state_mean: np.ndarray
    state_std: np.ndarray
    action_mean: np.ndarray
    action_std: np.ndarray

    @classmethod
    def fit(cls, states: np.ndarray, actions: np.ndarray, floor: np.ndarray, per_step: bool = True) -> Normaliser:
        """states (N, S) of `senses.feel`, actions (N, H, D) in the action space, floor (D,) of the deviation.

        A gripper's floor is half its range, so that it comes out as −1 … 1 and is never stretched further. per_step:
        False shares one mean and deviation among all steps, for comparison.
        """
        axes = 0 if per_step else (0, 1)
        shape = actions.shape[1:]
        mean = np.broadcast_to(actions.mean(axes), shape)
        std = np.maximum(np.broadcast_to(actions.std(axes), shape), floor)
        return cls(*(x.astype(np.float32) for x in (states.mean(0), np.maximum(states.std(0), 0.01), mean, std)))

    @classmethod
    def identity(cls, state: int, horizon: int, action: int) -> Normaliser:
        """Of a model that has seen no robot: numbers stay as they are."""
        return cls(*(f(shape, np.float32) for shape in (state, (horizon, action)) for f in (np.zeros, np.ones)))

    def state(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.state_mean) / self.state_std).astype(np.float32).clip(-5, 5)

    def action(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.action_mean) / self.action_std).astype(np.float32)

    def denormalise(self, x: np.ndarray) -> np.ndarray:
        return x * self.action_std + self.action_mean

    def check(self, horizon: int, size: int) -> None:
        """Raise `PolicyError` unless these are statistics of chunks (horizon, size), with deviations above 0."""
        chunk = (horizon, size)
        for name, shape in (("state_std", self.state_mean.shape), ("action_mean", chunk), ("action_std", chunk)):
            if getattr(self, name).shape != shape:
                raise PolicyError(f"statistics {name!r} have shape {getattr(self, name).shape}; expected {shape}")
        if min(self.state_std.min(), self.action_std.min()) <= 0:
            raise PolicyError("a standard deviation of the statistics is not above 0")

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Normaliser:
        """Raises `PolicyError` where a statistic is missing or not finite."""
        for name in cls.__dataclass_fields__:
            if name not in arrays or not np.isfinite(arrays[name]).all():
                raise PolicyError(
                    f"statistics {name!r} missing or not finite; the checkpoint is damaged: copy it again"
                )
        return cls(**{name: np.asarray(arrays[name], np.float32) for name in cls.__dataclass_fields__})

"""What the model is told about its body: the numbers beside the pictures.

Design choices
--------------
* **`felt` names them, in order**: `joints` (joints and grippers as measured), `tips` (where each tool tip is, where it points
  and along what its fingers close), and any of the body's further sensors, such as `touch`. With none the model has to see its
  hands.
* Which way an action goes is told apart from that: an action space is relative to the measured joints, whatever is felt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pilab.contracts import STATE, Embodiment, SensorSpec, UnknownNameError
from pilab.world.kinematics import chain

OWN = ("joints", "tips")  # every body has them


def feel(body: Embodiment, felt: Sequence[str], seen: Mapping[str, np.ndarray]) -> np.ndarray:
    """seen: `STATE` (…, A), and the readings (…, n) of the sensors that `felt` names, by key → (…, S).

    `tips` are of each arm the tip's position (3, m), the direction the hand points (3) and that of its fingers (3).
    """
    state, columns = seen[STATE], []
    for name in felt:
        if name == "joints":
            columns.append(state)
        elif name == "tips":
            for arm in body.arms:
                tip, rotation, _, _ = chain(arm).forward(state[..., body.slice(arm.name)][..., :-1])
                columns += [tip, rotation[..., :, 0], rotation[..., :, 1]]
        else:
            columns.append(seen[sensor(body, name).key])
    return np.concatenate(columns, -1) if columns else state[..., :0]


def spans(body: Embodiment, felt: Sequence[str]) -> dict[str, slice]:
    """Which of the numbers of `feel` are of what. Raises `UnknownNameError` for what the body does not feel."""
    found, start = {}, 0
    for name in felt:
        own = {"joints": body.size, "tips": 9 * len(body.arms)}
        size = own[name] if name in own else int(np.prod(sensor(body, name).shape))
        found[name] = slice(start, start + size)
        start += size
    return found


def slots(body: Embodiment, felt: Sequence[str]) -> int:
    """S, how many numbers `feel` gives."""
    return max((part.stop for part in spans(body, felt).values()), default=0)


def sensor(body: Embodiment, name: str) -> SensorSpec:
    """One of the body's further sensors."""
    for spec in body.sensors:
        if spec.name == name:
            return spec
    raise UnknownNameError("sense", name, [*OWN, *(spec.name for spec in body.sensors)])

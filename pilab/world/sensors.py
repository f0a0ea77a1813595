"""What hands can feel, for bodies that have the sensors: a body lists them in its `sensors`, and the world reads them.

Both are exact and without noise, at the instant of the observation; `evaluation.ablation` and `perturbations` spoil them.
"""

from __future__ import annotations

import mujoco
import numpy as np

from pilab.contracts import SensorSpec
from pilab.world.environment import World


def touch_of(arms: int) -> SensorSpec:
    """Fingertip touch of a body with so many arms."""
    return SensorSpec("touch", (2 * arms,), "N", f"{__name__}:touch")


def force_of(arms: int) -> SensorSpec:
    """Wrist force and torque of a body with so many arms."""
    return SensorSpec("force", (6 * arms,), "N, N·m", f"{__name__}:force")


def touch(world: World) -> np.ndarray:
    """(2 · arms,) N: how hard each finger is pressed, whatever presses it."""
    return world.pressure()


def force(world: World) -> np.ndarray:
    """(6 · arms,) of each hand: the force (3, N) and torque (3, N·m) of what it touches, about the wrist, in the hand's frame.

    As of a sensor between arm and hand that is tared of the hand's own weight: what the fingers hold weighs on it, what they
    squeeze between them does not.
    """
    model, data, found = world.model, world.data, []
    contacts = list(world.contacts())
    for arm in world.body.arms:
        wrist = model.body(f"{arm.name}_{arm.joints[-1].name}").id
        wrench = np.zeros(6)
        for contact in contacts:
            mine = [_belongs(model, geom, wrist) for geom in contact.geoms]
            if mine[0] != mine[1]:  # not of one finger on the other
                push = contact.force if mine[1] else -contact.force
                wrench += [*push, *np.cross(contact.point - data.xpos[wrist], push)]
        found += list((wrench.reshape(2, 3) @ data.xmat[wrist].reshape(3, 3)).ravel())
    return np.array(found)


def _belongs(model: mujoco.MjModel, geom: int, body: int) -> bool:
    """Whether a geom is fixed to a body or to what hangs on it."""
    at = model.geom_bodyid[geom]
    while at and at != body:
        at = model.body_parentid[at]
    return bool(at)

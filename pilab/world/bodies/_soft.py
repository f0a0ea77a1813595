"""Serial arms whose finger pads give way: each pad hangs on three springs in its finger, one for each direction.

Under the full force of the gripper a pad gives way by some 7 mm, two or three pixels of a wrist camera: it sinks into the
finger's shell, and sideways forces shift it. Gel pads with markers are read in this way (GelSight: Yuan, Dong and Adelson
2017, doi:10.3390/s17122762); here the wrist camera looks on.
"""

from __future__ import annotations

import mujoco
import numpy as np

from pilab.contracts import Embodiment
from pilab.world.bodies import _serial

GEL = (0.93, 0.72, 0.22, 1)
THICK = 0.011  # m, of a pad at rest
SHELL = 0.0015  # m, half of the shell behind it
PRESS, SHEAR = 950.0, 900.0  # N/m, across and along the pad's face
DAMPING = 6.0  # N·s/m
GIVE = 0.009  # m, at most


def build(spec: mujoco.MjSpec, body: Embodiment) -> None:
    """As `_serial.build`, with soft pads."""
    _serial.build(spec, body)
    for arm in body.arms:
        for side, sign in (("a", 1), ("b", -1)):
            _soften(spec, f"{arm.name}_finger_{side}", sign)


def _soften(spec: mujoco.MjSpec, name: str, sign: int) -> None:
    """Put a shell in the place of a finger's hard pad, and before it a pad on springs. `sign`: on which side the shell is."""
    finger, hard = spec.body(name), spec.geom(name)
    long, half, wide = _serial.FINGER
    pad = finger.add_body(name=f"{name}_pad", gravcomp=1)
    for axis, stiffness in (((0, sign, 0), PRESS), ((1, 0, 0), SHEAR), ((0, 0, 1), SHEAR)):
        pad.add_joint(
            name=f"{name}_{'xyz'[int(np.argmax(np.abs(axis)))]}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis,
            range=(-GIVE, GIVE), limited=True, stiffness=(stiffness, 0, 0), damping=(DAMPING, 0, 0), armature=0.01,
        )  # fmt: skip
    gel = pad.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(long, THICK / 2, wide),
        pos=(0, sign * (THICK / 2 - half), 0),
        rgba=GEL,
        mass=0.01,
    )
    for what in ("friction", "condim", "solimp", "solref"):
        setattr(gel, what, getattr(hard, what))
    hard.name, gel.name = f"{name}_shell", name  # who touches with the finger touches with its pad
    hard.size, hard.pos = (long, SHELL, 1.4 * wide), (0, sign * (THICK + SHELL - half), 0)
    hard.contype = hard.conaffinity = 0

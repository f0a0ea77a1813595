"""The default robot: two 6-DoF arms with parallel grippers, one camera above, one on each wrist; no touch, no force.

The platform of the π0 line, in the joint order of ALOHA (Zhao et al. 2023, arXiv:2304.13705): waist, shoulder, elbow,
forearm roll, wrist angle, wrist rotate, gripper; left arm first. 14 actions. The base camera looks down on a workspace
58 cm wide so that an object of 6 cm covers at least 12 pixels; a wrist camera sees both finger tips and what is between.
"""

from __future__ import annotations

import math

from pilab.contracts import Arm, CameraSpec, Embodiment, Joint

JOINTS = (
    Joint("waist", (0, 0, 1), (0, 0, 0.10), -2.6, 2.6),
    Joint("shoulder", (0, 1, 0), (0, 0, 0.08), -2.2, 1.2),
    Joint("elbow", (0, 1, 0), (0.37, 0, 0), -0.2, 2.8),
    Joint("forearm_roll", (1, 0, 0), (0.14, 0, 0), -3.1, 3.1),
    Joint("wrist_angle", (0, 1, 0), (0.23, 0, 0), -2.2, 2.2),
    Joint("wrist_rotate", (1, 0, 0), (0.06, 0, 0), -3.4, 3.4),
)


def arm(name: str, x: float, home: tuple[float, ...]) -> Arm:
    """One arm that stands at x behind the table's near edge and faces the table."""
    return Arm(name, (x, -0.36, 0.0), math.pi / 2, JOINTS, tip=(0.15, 0, 0), home=home, opening=0.098)


def wrist_camera(name: str, mount: str) -> CameraSpec:
    """Behind the palm, looking past it at the finger tips; the closing direction runs across the picture."""
    tilt = math.radians(19)
    return CameraSpec(
        name, 48, 48, 56.0, mount, (0.005, 0, 0.07), right=(0, -1, 0), up=(math.sin(tilt), 0, math.cos(tilt))
    )


BASE_CAMERA = CameraSpec("base", 96, 128, 29.0, "world", (0, 0.24, 0.86), right=(1, 0, 0), up=(0, 0.975, -0.222))

BODY = Embodiment(
    name="duo",
    arms=(
        arm("left", -0.18, (0.499, -1.836, 2.186, 0.0, 1.22, 0.499)),
        arm("right", 0.18, (-0.499, -1.836, 2.186, 0.0, 1.22, -0.499)),
    ),
    cameras=(BASE_CAMERA, wrist_camera("left_wrist", "left"), wrist_camera("right_wrist", "right")),
)

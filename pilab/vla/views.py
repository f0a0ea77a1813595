"""From a point in a picture to a place within reach: a robot knows how its cameras are mounted.

Design choices
--------------
* A point (u, v) is a **ray** through the camera's centre; where it meets the plane on which things stand is what a hand
  could go to. Given as the displacement from each tool tip, it is of the same kind as the action it calls for: a network
  need not learn projective geometry and subtraction to a millimetre from a few thousand demonstrations.
* The camera's pose comes from the `Embodiment` and the measured joints through the one kinematics, so a wrist camera's
  points move as the wrist does. Nothing else is known about depth: what is lifted appears beyond where it is.
* Two scales per displacement: the whole workspace, and the last centimetres before a grasp, where a millimetre counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pilab.contracts import Embodiment
from pilab.world.kinematics import chain

PLANE = 0.02  # m above the table: half the height of a small object
FARTHEST = 1.0  # m along the viewing direction: what is beyond is not within reach
COARSE, FINE = 0.2, 0.02  # m: a displacement of this size becomes 1, and tanh 1
FEATURES = 4  # numbers for each point and hand


def viewpoints(body: Embodiment, state: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Where the cameras `names` and the tool tips are at measured joints `state` (B, A), in the world, m.

    Cameras (B, C, 4, 3): position; from the picture's middle to its right rim, to its upper rim, and the viewing direction,
    each at a distance of 1 m. Tips (B, K, 3), one for each arm.
    """
    hands, tips = {}, []
    for arm in body.arms:
        tip, rotation, _, origins = chain(arm).forward(state[..., body.slice(arm.name)][..., :-1])
        hands[arm.name] = origins[..., -1, :], rotation
        tips.append(tip)
    cameras = np.empty((len(state), len(names), 4, 3), np.float32)
    for i, camera in enumerate(map(body.camera, names)):
        right = np.array(camera.right, float) / np.linalg.norm(camera.right)
        up = np.array(camera.up, float) - right * (right @ np.array(camera.up, float))
        up /= np.linalg.norm(up)
        half = math.tan(math.radians(camera.fovy) / 2)
        axes = np.stack([half * camera.width / camera.height * right, half * up, -np.cross(right, up)])
        position, rotation = hands.get(camera.mount, (np.zeros(3), np.eye(3)))
        cameras[:, i, 0] = position + rotation @ np.array(camera.position, float)
        cameras[:, i, 1:] = axes @ np.swapaxes(rotation, -1, -2)
    return cameras, np.stack(tips, -2).astype(np.float32) if tips else np.zeros((len(state), 0, 3), np.float32)


def within_reach(points: Tensor, cameras: Tensor) -> Tensor:
    """Points (B, C, R, 2) in pictures → where their rays meet the plane, x and y in the world (B, C, R, 2), m."""
    position, right, up, forward = cameras[:, :, None].unbind(-2)  # (B, C, 1, 3) each
    ray = forward + (2 * points[..., :1] - 1) * right + (1 - 2 * points[..., 1:]) * up
    distance = (position[..., 2:] - PLANE) / (-ray[..., 2:]).clamp(min=1e-3)
    return (position + distance.clamp(0, FARTHEST) * ray)[..., :2]


def displacements(points: Tensor, cameras: Tensor, tips: Tensor) -> Tensor:
    """From each tip to what each point points at: (B, C, R, 2), (B, C, 4, 3), (B, K, 3) → (B, C, R, 4 K)."""
    gap = within_reach(points, cameras)[..., None, :] - tips[:, None, None, :, :2]  # (B, C, R, K, 2)
    return torch.cat([gap / COARSE, (gap / FINE).tanh()], -1).flatten(-2)

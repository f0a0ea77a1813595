"""Where the tool tip is, and which joint angles put it elsewhere: the one owner of kinematics.

Design choices
--------------
* Needs only an `Arm` (pure data) and numpy, so demonstrators, safety limits, the cockpit and serial robots all use it.
* **Forward kinematics is batched**: joint angles (…, J) → tip position (…, 3) and rotation (…, 3, 3).
* **Inverse kinematics is damped least squares** (Buss 2004, "Introduction to Inverse Kinematics with Jacobian Transpose,
  Pseudoinverse and Damped Least Squares methods", eq. 11): Δq = Jᵀ(JJᵀ + λ²I)⁻¹e. Started from the present angles it
  stays on the present branch, which is what a controller wants; near a singularity it gives up precision, not stability.
* The tool's x axis is its approach direction, and the fingers close along its y axis.
"""

from __future__ import annotations

import functools

import numpy as np

from pilab.contracts import Arm, Embodiment


class Chain:
    """An arm's geometry as arrays. Build it through `chain(arm)`, which remembers."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        axes = np.array([j.axis for j in arm.joints], float)
        zero = np.zeros(len(axes))
        self.cross = np.stack(  # (J, 3, 3): K with K v = axis × v
            [
                np.stack([zero, -axes[:, 2], axes[:, 1]], -1),
                np.stack([axes[:, 2], zero, -axes[:, 0]], -1),
                np.stack([-axes[:, 1], axes[:, 0], zero], -1),
            ],
            axis=1,
        )
        self.cross2 = self.cross @ self.cross
        self.axes = axes
        self.offsets = np.array([j.position for j in arm.joints], float)
        self.low = np.array([j.low for j in arm.joints])
        self.high = np.array([j.high for j in arm.joints])
        self.base = np.array(arm.position, float)
        c, s = np.cos(arm.yaw), np.sin(arm.yaw)
        self.base_rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        self.tip = np.array(arm.tip, float)

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """q (…, J) in rad → tip (…, 3) m, rotation (…, 3, 3), joint axes (…, J, 3) and origins (…, J, 3) in the world."""
        q = np.asarray(q, float)
        # Rodrigues' formula for all joints at once: R = I + sin q K + (1 − cos q) K²
        turn = np.eye(3) + np.sin(q)[..., None, None] * self.cross + (1 - np.cos(q))[..., None, None] * self.cross2
        rotation, position = np.broadcast_to(self.base_rotation, (*q.shape[:-1], 3, 3)), self.base
        axes, origins = [], []
        for j in range(q.shape[-1]):
            position = position + rotation @ self.offsets[j]
            axes.append(rotation @ self.axes[j])
            origins.append(position)
            rotation = rotation @ turn[..., j, :, :]
        return position + rotation @ self.tip, rotation, np.stack(axes, -2), np.stack(origins, -2)

    def inverse(
        self,
        position: np.ndarray,
        rotation: np.ndarray,
        q: np.ndarray,
        iterations: int = 12,
        damping: float = 0.02,
        tolerance: float = 1e-5,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles that put the tip at `position` (…, 3) with `rotation` (…, 3, 3), starting from q (…, J).

        It stops when every error (m, rad) of the batch is below `tolerance`; with 0, all iterations are made, and the
        result does not depend on who else is in the batch. Returns the angles, within the joint limits, and the remaining
        distance of the tip in m (…,): a target out of reach is approached as closely as the arm can, and the caller decides
        what a miss means.
        """
        q = np.array(q, float)
        for _ in range(iterations):
            tip, turned, axes, origins = self.forward(q)
            error = np.concatenate([position - tip, rotation_vector(turned, rotation)], -1)  # (…, 6)
            if np.abs(error).max() < tolerance:
                break
            lever = tip[..., None, :] - origins
            linear = np.stack(  # axis × lever, spelled out: np.cross is several times slower on small arrays
                [
                    axes[..., 1] * lever[..., 2] - axes[..., 2] * lever[..., 1],
                    axes[..., 2] * lever[..., 0] - axes[..., 0] * lever[..., 2],
                    axes[..., 0] * lever[..., 1] - axes[..., 1] * lever[..., 0],
                ],
                axis=-2,
            )
            jacobian = np.concatenate([linear, np.swapaxes(axes, -1, -2)], -2)  # (…, 6, J)
            transpose = np.swapaxes(jacobian, -1, -2)
            # Damp only as much as the error is large: quadratic convergence at the end, small steps far away.
            strength = damping * np.minimum(1.0, np.linalg.norm(error, axis=-1) / 0.3)[..., None, None]
            gram = jacobian @ transpose + (strength**2 + 1e-8) * np.eye(6)
            step = (transpose @ np.linalg.solve(gram, error[..., None]))[..., 0]
            q = np.clip(q + np.clip(step, -0.5, 0.5), self.low, self.high)
        tip = self.forward(q)[0]
        return q, np.linalg.norm(position - tip, axis=-1)


@functools.lru_cache(maxsize=64)
def chain(arm: Arm) -> Chain:
    """The kinematic chain of an arm."""
    return Chain(arm)


def tips(body: Embodiment, state: np.ndarray) -> np.ndarray:
    """Measured joints and grippers (…, A) → where the tool tips are, (…, arms, 3) m in the world."""
    found = [chain(arm).forward(state[..., body.slice(arm.name)][..., :-1])[0] for arm in body.arms]
    return np.stack(found, -2)


def top_down(yaw: float | np.ndarray) -> np.ndarray:
    """Rotation (…, 3, 3) of a hand that points straight down and closes its fingers along the direction `yaw` (rad)."""
    c, s = np.cos(yaw), np.sin(yaw)
    zero, one = np.zeros_like(c), np.ones_like(c)
    approach, closing, third = (zero, zero, -one), (c, s, zero), (s, -c, zero)
    return np.stack([np.stack(column, -1) for column in (approach, closing, third)], -1)


def rotation_vector(current: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation from `current` to `target` as axis × angle in the world frame, (…, 3)."""
    r = target @ np.swapaxes(current, -1, -2)
    skew = np.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], -1)
    sine = np.linalg.norm(skew, axis=-1) / 2
    angle = np.arctan2(sine, (np.trace(r, axis1=-2, axis2=-1) - 1) / 2)
    # At half a turn the skew part vanishes and any axis will do: the damped step then leaves the singularity by itself.
    return skew / 2 * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)[..., None]


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """The inverse of `rotation_vector`: axis × angle (…, 3) → rotation (…, 3, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(np.asarray(vector, float), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([np.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))], -2)
    # sin(a)/a and (1 − cos a)/a², which are smooth at 0: numpy's sinc is sin(πx)/(πx)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)

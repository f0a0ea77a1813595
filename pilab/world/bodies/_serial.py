"""Serial arms with parallel grippers, built from an `Embodiment` with primitive shapes.

Design choices
--------------
* Each joint is a position servo whose set-point moves *linearly* from one command to the next (MuJoCo's `intvelocity`
  actuator: the control is the set-point's velocity). An action is a target reached within its period, at any rate.
* The two fingers are one degree of freedom (an equality constraint couples them), as in a real parallel gripper.
* Gravity is compensated in the arm. Links do not collide, hands and fingers do: contacts happen where tasks happen.
"""

from __future__ import annotations

import mujoco
import numpy as np

from pilab.contracts import Arm, CameraSpec, Embodiment

LIGHT, DARK, PAD = (0.90, 0.90, 0.92, 1), (0.27, 0.28, 0.31, 1), (0.12, 0.12, 0.13, 1)
FINGER = (0.037, 0.005, 0.008)  # half sizes along approach, closing and the third axis, m
STROKE_SERVO, JOINT_SERVO = 900.0, 220.0  # proportional gains, N/m and N·m/rad
GRIP_FORCE = 14.0  # N


def build(spec: mujoco.MjSpec, body: Embodiment) -> None:
    """Add every arm, camera and actuator of `body` to `spec`, in action order."""
    hands = {"world": spec.worldbody}
    for arm in body.arms:
        hands[arm.name] = _build_arm(spec, arm)
    for camera in body.cameras:
        add_camera(hands[camera.mount], camera)


def add_camera(frame: mujoco.MjsBody, camera: CameraSpec) -> None:
    """Fix a camera to a body of the spec."""
    x, y = np.array(camera.right, float), np.array(camera.up, float)
    x /= np.linalg.norm(x)
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([x, y, np.cross(x, y)], 1).ravel())
    frame.add_camera(name=camera.name, pos=camera.position, quat=quaternion, fovy=camera.fovy)


def _build_arm(spec: mujoco.MjSpec, arm: Arm) -> mujoco.MjsBody:
    """Add one arm; returns its hand, the link after the last joint."""
    seen = {"contype": 0, "conaffinity": 0}  # drawn, not touched
    link = spec.worldbody.add_body(
        name=f"{arm.name}_base", pos=arm.position, quat=(np.cos(arm.yaw / 2), 0, 0, np.sin(arm.yaw / 2))
    )
    rise = arm.joints[0].position[2]
    link.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=(0.055, rise / 2, 0), pos=(0, 0, rise / 2), rgba=DARK, **seen
    )
    for i, joint in enumerate(arm.joints):
        name = f"{arm.name}_{joint.name}"
        link = link.add_body(name=name, pos=joint.position, gravcomp=1)
        link.add_joint(
            name=name, axis=joint.axis, range=(joint.low, joint.high), limited=True, damping=1.0, armature=0.02
        )
        reach = arm.joints[i + 1].position if i + 1 < len(arm.joints) else (0.03, 0, 0)
        thickness = 0.036 - 0.004 * i
        link.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=(0, 0, 0, *reach),
            size=(thickness, 0, 0),
            rgba=(LIGHT, DARK)[i % 2] if i > 2 else LIGHT,
            mass=max(0.3 - 0.05 * i, 0.05),
            **seen,
        )
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_intvelocity(kp=JOINT_SERVO, dampratio=1.0)
        servo.actlimited, servo.actrange = True, (joint.low, joint.high)
        servo.forcelimited, servo.forcerange = True, (-60, 60)
    _build_gripper(spec, arm, link)
    return link


def _build_gripper(spec: mujoco.MjSpec, arm: Arm, hand: mujoco.MjsBody) -> None:
    tip, half = arm.tip[0], arm.opening / 2
    palm = tip - 2 * FINGER[0] - 0.012
    box = mujoco.mjtGeom.mjGEOM_BOX
    hand.add_geom(
        name=f"{arm.name}_palm", type=box, size=(0.012, half + 0.006, 0.013), pos=(palm, 0, 0), rgba=DARK, mass=0.1
    )
    for side, sign in (("a", 1), ("b", -1)):
        name = f"{arm.name}_finger_{side}"
        finger = hand.add_body(name=name, pos=(tip - FINGER[0], sign * FINGER[1], 0), gravcomp=1)
        finger.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=(0, sign, 0),
            range=(0, half),
            limited=True,
            damping=2,
            armature=0.05,
        )
        finger.add_geom(
            name=name, type=box, size=FINGER, rgba=PAD, mass=0.03, friction=(2.0, 0.05, 0.001), condim=4,
            solimp=(0.95, 0.99, 0.001, 0.5, 2), solref=(0.008, 1),
        )  # fmt: skip
    first, second = f"{arm.name}_finger_a", f"{arm.name}_finger_b"
    couple = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=first, name2=second, objtype=mujoco.mjtObj.mjOBJ_JOINT
    )
    couple.data = np.array([0, 1, 0, 0, 0, *np.zeros(len(couple.data) - 5)])  # a = 0 + 1·b
    servo = spec.add_actuator(name=f"{arm.name}_gripper", target=first, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_intvelocity(kp=STROKE_SERVO, dampratio=1.0)
    servo.actlimited, servo.actrange = True, (-0.01, half)  # a little beyond closed, to squeeze
    servo.forcelimited, servo.forcerange = True, (-GRIP_FORCE, GRIP_FORCE)

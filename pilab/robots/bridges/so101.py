"""SO-101 arms: six Feetech STS3215 servos on a serial line, driven through rustypot (`pip install pilab[so101]`).

Design choices
--------------
* **The driver is rustypot's**, kept by Pollen Robotics; here are the arm's geometry, its limits, and what its numbers mean.
* The geometry is that of TheRobotStudio's `so101_new_calib.urdf` (SO-ARM100, Apache-2.0), written with all frames parallel
  to the base at rest: the form of `contracts.Joint`. So the cockpit drives the tool tip, and `relative_pose` is learnt.
* **Zero is where LeRobot's calibration puts it**: the middle of each joint's range at raw 2048. An arm that LeRobot
  calibrated needs nothing more; `offsets` mend one that was not.
* Connecting reads where the arm is and holds it there before the torque comes on, so that nothing jumps.
* What does not answer raises, and the control loop takes that for a lost link.

Untested on metal: the tests talk to a simulated bus that speaks the protocol byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pilab.contracts import (
    STAMPS,
    STATE,
    TASK,
    Arm,
    CameraSpec,
    Embodiment,
    Joint,
    Observation,
    PilabError,
    Robot,
    image_key,
)

BAUD = 1_000_000
IDS = (1, 2, 3, 4, 5, 6)  # as LeRobot numbers them
SPEED = 2.0  # rad/s, well below the servo's 5
GRIPPER = (-0.174, 1.745)  # rad: closed, open
JOINTS = (
    Joint("shoulder_pan", (0, 0, -1), (0.0388, 0, 0.0624), -1.920, 1.920, SPEED),
    Joint("shoulder_lift", (0, 1, 0), (0.0304, -0.0183, 0.0542), -1.745, 1.745, SPEED),
    Joint("elbow_flex", (0, 1, 0), (0.0280, 0, 0.1126), -1.690, 1.690, SPEED),
    Joint("wrist_flex", (0, 1, 0), (0.1349, 0, 0.0052), -1.658, 1.658, SPEED),
    Joint("wrist_roll", (-1, 0, 0), (0.0611, 0.0181, 0), -2.744, 2.841, SPEED),
)
TIP = (0.0981, 0.0002, -0.0079)
HOME = (0.0, -1.2, 1.2, 0.8, 0.0)


class SO101Error(PilabError, RuntimeError):
    """An arm that does not answer, or is asked for what it cannot do."""


def body(cameras: Sequence[CameraSpec] = (), hz: int = 30) -> Embodiment:
    """One arm, its base at the origin, looking along x. cameras: what looks on."""
    arm = Arm("arm", (0, 0, 0), 0.0, JOINTS, TIP, HOME, opening=0.10)
    return Embodiment(
        "so101", (arm,), tuple(cameras), control_hz=10, teleop_hz=hz, workspace=((-0.15, 0.45), (-0.4, 0.4), (0.0, 0.5))
    )


BODY = body()


class SO101(Robot):
    """An arm on a serial port. Pictures come from functions that give (H, W, 3) uint8, such as `cameras.Camera.read`.

    port: as `/dev/ttyACM0` or `COM3`. cameras: of the body; pictures: a function for each, by name. ids: of the servos, from
    the base to the gripper. offsets: (6,) rad, added to what the servos say. gripper: its angles closed and open, rad.
    torque_off: whether the arm goes limp when it is disconnected.
    """

    def __init__(
        self, port: str, task: str = "", *, cameras: Sequence[CameraSpec] = (),
        pictures: Mapping[str, Callable[[], np.ndarray]] | None = None, ids: Sequence[int] = IDS,
        offsets: Sequence[float] = (0.0,) * 6, gripper: tuple[float, float] = GRIPPER, torque_off: bool = False,
        timeout: float = 0.05, hz: int = 30,
    ) -> None:  # fmt: skip
        self.port, self.task, self.embodiment, self.timeout = port, task, body(cameras, hz), timeout
        self._pictures = dict(pictures or {})
        if set(self._pictures) != {c.name for c in cameras}:
            raise SO101Error(
                f"pictures from {', '.join(self._pictures) or 'nowhere'}; the body has the cameras "
                f"{', '.join(c.name for c in cameras) or 'none'}: give a function for each"
            )
        self._ids, self._offsets, self._gripper = list(ids), np.asarray(offsets, float), gripper
        if len(self._ids) != 6 or len(set(self._ids)) != 6 or self._offsets.shape != (6,) or gripper[0] == gripper[1]:
            raise SO101Error(
                f"ids {ids}, offsets {offsets}, gripper {gripper}; expected six different ids, six offsets and two angles"
            )
        self._torque_off, self._bus = torque_off, None

    # ----------------------------------------------------------------------------------------------------- the contract
    @property
    def is_connected(self) -> bool:
        return self._bus is not None

    def connect(self) -> None:
        """Open the port and hold the arm where it is. Raises `SO101Error` for a port or servo that is not there."""
        if self.is_connected:
            raise SO101Error(f"{self.port} is connected already")
        try:
            from rustypot import Sts3215PyController
        except ImportError as error:
            raise SO101Error("SO-101 arms are driven through rustypot: pip install 'pilab[so101]'") from error
        try:
            bus = Sts3215PyController(serial_port=self.port, baudrate=BAUD, timeout=self.timeout)
        except Exception as error:
            raise SO101Error(
                f"the port {self.port} does not open ({error}); see which there are with `python -m serial.tools.list_ports` "
                "or `ls /dev/tty*`, and whether you may use it"
            ) from error
        self._bus = bus
        try:
            missing = [i for i in self._ids if not self._ask("look for", bus.ping, i)]
            if missing:
                raise SO101Error(
                    f"no servo answers as {', '.join(map(str, missing))} on {self.port}: check power, cables and ids"
                )
            where = self._ask("read", bus.sync_read_present_position, self._ids)
            self._ask("command", bus.sync_write_goal_position, self._ids, list(where))
            self._ask("switch on", bus.sync_write_torque_enable, self._ids, [True] * 6)
        except BaseException:
            self._bus = None
            bus.close()
            raise

    def get_observation(self) -> Observation:
        """State (6,) float32, pictures, the task, stamps. Raises `SO101Error` when the arm does not answer."""
        said = np.array(self._ask("read", self._needed().sync_read_present_position, self._ids), float) + self._offsets
        closed, opened = self._gripper
        said[5] = (said[5] - closed) / (opened - closed)
        stamps = {STATE: time.monotonic()}
        out: Observation = {STATE: said.astype(np.float32), TASK: self.task}
        for camera in self.embodiment.cameras:
            key = image_key(camera.name)
            out[key], stamps[key] = self._pictures[camera.name](), time.monotonic()
        return out | {STAMPS: stamps}

    def send_action(self, action: np.ndarray) -> np.ndarray:
        """Joint targets (5,) rad and the gripper 0 … 1; returns what was sent, within the limits."""
        bus, limits = self._needed(), self.embodiment.action
        action = np.asarray(action, float)
        if action.shape != (6,) or not np.isfinite(action).all():
            raise SO101Error(f"action {action!r}; expected 6 finite numbers; nothing was sent")
        sent = np.clip(action, limits.low, limits.high)
        closed, opened = self._gripper
        theirs = [*sent[:5], closed + sent[5] * (opened - closed)] - self._offsets
        self._ask("command", bus.sync_write_goal_position, self._ids, theirs.tolist())
        return sent.astype(np.float32)

    def disconnect(self) -> None:
        """Close the port. The arm keeps its place, unless `torque_off`: then it falls."""
        bus, self._bus = self._bus, None
        if bus is not None:
            if self._torque_off:
                bus.sync_write_torque_enable(self._ids, [False] * 6)
            bus.close()

    def _needed(self) -> Any:
        if self._bus is None:
            raise SO101Error(f"{self.port} is not connected; call `connect()` first")
        return self._bus

    def _ask(self, what: str, call: Callable[..., Any], *values: Any) -> Any:
        try:
            return call(*values)
        except Exception as error:
            raise SO101Error(f"cannot {what} the servos on {self.port}: {error}") from error

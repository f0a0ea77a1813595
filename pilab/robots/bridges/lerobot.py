"""LeRobot's robots and teleoperators as ours: any object with its methods, whatever is wired to it.

Design choices
--------------
* **Nothing is imported from LeRobot**: its objects tell their features (`observation_features`, `action_features`) before
  they are connected, and that is all that is needed. Use this in the environment that LeRobot is installed in.
* **Without a body of yours, every motor is a channel in LeRobot's own units**: degrees or −100 … 100, grippers 0 … 100. A robot
  can be driven, recorded and trained on like that. Give a `body` with arms where the kinematics matter: then `scale` and
  `offset` say how LeRobot's numbers become its radians and openings, value · scale + offset.
* Pictures are stamped with the moment they were asked for, so a camera whose pixels stand still is found out (`robots.safety`).

The other way round, our simulator inside LeRobot, is `bridges.lerobot_plugin`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from pilab.contracts import (
    STAMPS,
    STATE,
    TASK,
    CameraSpec,
    Channel,
    Embodiment,
    Observation,
    PilabError,
    Robot,
    image_key,
)
from pilab.robots.apart import LoopApart
from pilab.robots.loop import ControlLoop

POSITION = ".pos"  # what LeRobot calls the position of a motor: "shoulder_pan.pos"
SECONDS = 2.0  # that a motor may take for its whole range, unless you say otherwise


class LeRobotError(PilabError, ValueError):
    """A robot of LeRobot's that cannot be used as ours, or that answered with something else than it said."""


class LeRobotRobot(Robot):
    """A `lerobot.robots.Robot`, used as ours.

    robot: the object, connected or not. task: what it is about, in words. body: whose joints and grippers its motors are, in
    the order of `motors` (by default LeRobot's); without it, channels. limits: {motor: (low, high)} of channels, by default
    −100 … 100, grippers 0 … 100; degrees need theirs. scale, offset: (A,) from LeRobot's numbers to the body's. simulated: it
    moves no metal, and its pictures may stand still.
    """

    def __init__(
        self, robot: Any, task: str = "", *, body: Embodiment | None = None, motors: Sequence[str] | None = None,
        limits: Mapping[str, tuple[float, float]] | None = None, scale: Sequence[float] | None = None,
        offset: Sequence[float] | None = None, hz: int = 30, simulated: bool = False,
    ) -> None:  # fmt: skip
        self.robot, self.task, self.simulated = robot, task, simulated
        seen, commanded = robot.observation_features, robot.action_features
        known = [name.removesuffix(POSITION) for name, kind in commanded.items() if name.endswith(POSITION)]
        self.motors = list(known if motors is None else motors)
        if not known or len(known) < len(commanded) or any(f"{name}{POSITION}" not in seen for name in known):
            raise LeRobotError(
                f"the robot takes {', '.join(commanded)} and shows {', '.join(seen)}; expected positions (NAME.pos) that it "
                "both takes and shows"
            )
        if sorted(self.motors) != sorted(known):
            raise LeRobotError(f"motors {', '.join(self.motors)}; expected an order of {', '.join(known)}")
        pictures = {
            name: tuple(shape)
            for name, shape in seen.items()
            if isinstance(shape, tuple) and len(shape) == 3 and shape[-1] == 3
        }
        self.embodiment = body or _channels(robot, self.motors, pictures, limits or {}, hz)
        size = self.embodiment.size
        self._scale = np.ones(size) if scale is None else np.asarray(scale, float)
        self._offset = np.zeros(size) if offset is None else np.asarray(offset, float)
        if len(self.motors) != size or self._scale.shape != (size,) or self._offset.shape != (size,):
            raise LeRobotError(
                f"{len(self.motors)} motors, scale {self._scale.shape}, offset {self._offset.shape}; the body "
                f"{self.embodiment.name!r} has {size} joints and grippers"
            )
        if not self._scale.all():
            raise LeRobotError(
                "a scale of 0 leaves a motor where it is; expected the body's units per unit of LeRobot's"
            )
        for camera in self.embodiment.cameras:
            if pictures.get(camera.name) != (camera.height, camera.width, 3):
                raise LeRobotError(
                    f"camera {camera.name!r} is {(camera.height, camera.width, 3)} on the body and "
                    f"{pictures.get(camera.name)} on the robot; give them the same name and size"
                )

    # ----------------------------------------------------------------------------------------------------- the contract
    @property
    def is_connected(self) -> bool:
        return bool(self.robot.is_connected)

    def connect(self) -> None:
        """Connect it, unless it is. A robot that asks to be calibrated asks in the terminal: do that with LeRobot first."""
        if not self.is_connected:
            self.robot.connect(calibrate=False)
            if not self.robot.is_calibrated:
                self.robot.disconnect()
                raise LeRobotError(f"{self.robot} is not calibrated; run lerobot-calibrate first")

    def get_observation(self) -> Observation:
        """State (A,) float32, every picture (H, W, 3) uint8, the task, stamps. Raises what its driver raises."""
        seen, now = self.robot.get_observation(), time.monotonic()
        state = self._scale * [float(seen[f"{name}{POSITION}"]) for name in self.motors] + self._offset
        out: Observation = {STATE: state.astype(np.float32), TASK: self.task}
        for camera in self.embodiment.cameras:
            picture = np.asarray(seen[camera.name])
            if picture.shape != (camera.height, camera.width, 3) or picture.dtype != np.uint8:
                raise LeRobotError(
                    f"camera {camera.name!r} gave {picture.dtype} {picture.shape}; it said uint8 "
                    f"{(camera.height, camera.width, 3)}"
                )
            out[image_key(camera.name)] = picture
        if self.simulated:
            return out
        return out | {STAMPS: dict.fromkeys((STATE, *(image_key(c.name) for c in self.embodiment.cameras)), now)}

    def send_action(self, action: np.ndarray) -> np.ndarray:
        """Move towards the targets (A,); returns what was sent (A,), which LeRobot's own limits may have changed."""
        action = np.asarray(action, float)
        if action.shape != (self.embodiment.size,) or not np.isfinite(action).all():
            raise LeRobotError(f"action {action!r}; expected {self.embodiment.size} finite numbers; nothing was sent")
        theirs = (action - self._offset) / self._scale
        sent = self.robot.send_action(
            {f"{name}{POSITION}": float(value) for name, value in zip(self.motors, theirs, strict=True)}
        )
        back = [float(sent[f"{name}{POSITION}"]) for name in self.motors]
        return (self._scale * back + self._offset).astype(np.float32)

    def disconnect(self) -> None:
        """Let go; whether the arm then falls is a setting of LeRobot's."""
        if self.is_connected:
            self.robot.disconnect()


class LeRobotTeleop:
    """A `lerobot.teleoperators.Teleoperator` as the person at a loop: its positions are the wishes, as long as it answers.

    teleop: the object. loop: a running control loop of a `LeRobotRobot`, or of a robot with as many actions; motors, scale,
    offset: as for the robot. Use it in a `with` block.
    """

    def __init__(
        self, teleop: Any, loop: ControlLoop | LoopApart, *, motors: Sequence[str] | None = None,
        scale: Sequence[float] | None = None, offset: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        known = [name.removesuffix(POSITION) for name in teleop.action_features if name.endswith(POSITION)]
        self.teleop, self.loop, self.motors = teleop, loop, list(known if motors is None else motors)
        size = loop.robot.embodiment.size
        self._scale = np.ones(size) if scale is None else np.asarray(scale, float)
        self._offset = np.zeros(size) if offset is None else np.asarray(offset, float)
        if sorted(self.motors) != sorted(known) or len(known) != size:
            raise LeRobotError(f"the teleoperator has {', '.join(known) or 'no positions'}; the robot takes {size}")
        self.error = ""  # why it stopped driving
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._drive, name="pilab-teleop", daemon=True)

    def read(self) -> np.ndarray:
        """Where it points to: (A,) in the body's units."""
        said = self.teleop.get_action()
        return self._scale * [float(said[f"{name}{POSITION}"]) for name in self.motors] + self._offset

    def __enter__(self) -> Self:
        if not self.teleop.is_connected:
            self.teleop.connect()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(2.0)
        self.loop.release()
        self.teleop.disconnect()

    def _drive(self) -> None:
        while not self._ending.wait(1 / self.loop.hz):
            try:
                wish = self.read()
            except Exception as error:  # noqa: BLE001 (a driver may raise anything: the loop's watchdog holds the robot)
                self.error = f"{type(error).__name__}: {error}"
                return
            self.loop.drive(wish)


def _channels(
    robot: Any, motors: Sequence[str], pictures: Mapping[str, tuple], limits: Mapping[str, tuple[float, float]], hz: int
) -> Embodiment:
    """A body of what the robot says of itself."""
    if unknown := set(limits) - set(motors):
        raise LeRobotError(f"limits of {', '.join(sorted(unknown))}; the motors are {', '.join(motors)}")
    channels = []
    for name in motors:
        low, high = limits.get(name, (0.0, 100.0) if "gripper" in name else (-100.0, 100.0))
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise LeRobotError(f"limits {(low, high)} of {name!r}; expected (low, high)")
        home = min(max(0.0, low), high)
        channels.append(Channel(name, low, high, "as LeRobot has it", (high - low) / SECONDS, home))
    cameras = tuple(CameraSpec(name, h, w, 45.0) for name, (h, w, _) in pictures.items())
    return Embodiment(
        robot.name, (), cameras, channels=tuple(channels), build="", control_hz=hz, teleop_hz=hz, physics_hz=hz
    )

"""A person's hands: keys, gamepad, pointer and sliders → motion of the tool tips → joint targets.

Design choices
--------------
* **One action type for all devices**: a `Motion` of each hand, −1 … 1 along and about the axes of the table. Whatever is
  held down adds up; a policy's actions and a person's are joint targets alike behind it.
* **State, not events**: the browser sends what is held down now, many times a second. A lost message costs a moment, a lost
  key-up would cost a robot.
* The target runs ahead of the robot by a leash at most, so that it stops when the person stops, however slow it is.
* A body without arms has one hand all the same: x, y, z and so on move its channels, in their order.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pilab.contracts import Embodiment
from pilab.world.kinematics import chain, rotation_matrix

SPEED = 0.25  # m/s of a tool tip at full deflection
TURN = 1.5  # rad/s
GRIP = 1.5  # openings/s
SWEEP = 0.3  # of its range, a second: a channel at full deflection
LEASH = 0.25  # rad, of an opening, or of a channel's range, that a target may be ahead of the last command
LONGEST = 0.1  # s that one snapshot may stand for
DEAD = 0.12  # of a stick at rest
CHANNELS = "channels"

# Both hands at once: the left one drives the first arm, the right one the second. Shift turns instead of moving.
KEYS: tuple[Mapping[str, tuple[int, float]], ...] = (
    {"KeyA": (0, -1), "KeyD": (0, 1), "KeyS": (1, -1), "KeyW": (1, 1), "KeyQ": (2, -1), "KeyE": (2, 1),
     "KeyX": (5, -1), "KeyZ": (5, 1), "KeyC": (6, -1), "KeyV": (6, 1)},
    {"KeyJ": (0, -1), "KeyL": (0, 1), "KeyK": (1, -1), "KeyI": (1, 1), "KeyU": (2, -1), "KeyO": (2, 1),
     "KeyM": (5, -1), "KeyN": (5, 1), "Comma": (6, -1), "Period": (6, 1)},
)  # fmt: skip
STICKS = ((0, 0, 1), (1, 1, -1), (2, 5, -1), (3, 2, -1))  # axis of the pad, component, sign
TRIGGERS = ((6, 6, -1), (7, 6, 1))  # button, component, sign
SLIDERS = {"x": 0, "y": 1, "z": 2, "roll": 4, "pitch": 3, "yaw": 5, "grip": 6}


@dataclass(frozen=True)
class Motion:
    """What is asked of one hand: (7,) of x, y, z, turns about them, gripper (− close, + open), each −1 … 1."""

    values: np.ndarray

    @property
    def still(self) -> bool:
        return not self.values.any()


def motions(snapshot: Mapping[str, Any], body: Embodiment) -> dict[str, Motion]:
    """What a snapshot of the browser asks of each arm; of `CHANNELS`, where a body has none.

    snapshot: `keys` (list of KeyboardEvent.code), `pad` {axes, buttons}, `drag` [x, y, wheel], `sliders` {name: −1 … 1},
    `arm` (index that pad, pointer and sliders drive). What is missing or malformed asks for nothing.
    """
    names = [arm.name for arm in body.arms] or [CHANNELS]
    asked = np.zeros((len(names), 7))
    keys = {k for k in _list(snapshot.get("keys")) if isinstance(k, str)}
    turn = bool(keys & {"ShiftLeft", "ShiftRight"})
    for row, table in zip(asked, KEYS, strict=False):
        for key, (component, sign) in table.items():
            if key in keys:
                row[_turned(component) if turn else component] += sign
    active = snapshot.get("arm")
    row = asked[active if type(active) is int and 0 <= active < len(asked) else 0]
    pad = snapshot.get("pad") if isinstance(snapshot.get("pad"), Mapping) else {}
    axes, buttons = _numbers(pad.get("axes")), _numbers(pad.get("buttons"))
    for axis, component, sign in STICKS:
        if axis < len(axes) and abs(axes[axis]) > DEAD:
            row[component] += sign * axes[axis]
    for button, component, sign in TRIGGERS:
        if button < len(buttons):
            row[component] += sign * buttons[button]
    for component, value in enumerate(_numbers(snapshot.get("drag"))[:3]):
        row[component] += value
    sliders = snapshot.get("sliders") if isinstance(snapshot.get("sliders"), Mapping) else {}
    for name, component in SLIDERS.items():
        row[component] += next(iter(_numbers([sliders.get(name, 0.0)])), 0.0)
    return {name: Motion(values) for name, values in zip(names, asked.clip(-1, 1), strict=True)}


def _turned(component: int) -> int:
    """x, y, z become the turns whose top side moves that way: sideways rolls about y, forward pitches about x."""
    return {0: 4, 1: 3, 2: 5}.get(component, component)


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _numbers(value: Any) -> list[float]:
    """Finite numbers within −1 … 1; anything else counts as 0."""
    return [float(np.clip(x, -1, 1)) if is_number(x) else 0.0 for x in _list(value)]


def is_number(value: Any) -> bool:
    """Whether it is a finite number that a float can hold; JSON knows larger ones."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # not for NaN


@dataclass
class Operator:
    """A person at the controls of a body: snapshots in, joint targets out. One for each person; not for several threads."""

    body: Embodiment
    speed: float = 1.0  # share of SPEED, TURN and GRIP
    target: np.ndarray | None = field(default=None, repr=False)  # (A,) of the motion under way; None where all is still

    @property
    def _range(self) -> np.ndarray:
        """(A,) of the channels, and 1 for the others."""
        spans, action, part = np.ones(self.body.size), self.body.action, self.body.channel_slice
        spans[part] = (action.high - action.low)[part]
        return spans

    def step(self, snapshot: Mapping[str, Any], command: np.ndarray, seconds: float) -> np.ndarray | None:
        """Joint targets (A,) after `seconds` of what the snapshot asks; None where it asks for nothing.

        command: (A,) what the robot was sent last.
        """
        asked = motions(snapshot, self.body)
        if all(motion.still for motion in asked.values()):
            self.target = None  # the next motion starts from where the robot then is
            return None
        spent = min(max(seconds, 0.0), LONGEST) * self.speed
        target = np.array(command if self.target is None else self.target, float)
        for arm in self.body.arms:
            motion, part = asked[arm.name].values, self.body.slice(arm.name)
            joints, grip = target[part][:-1], target[part][-1]
            if motion[:6].any():
                tip, rotation, _, _ = chain(arm).forward(joints)
                there = tip + SPEED * spent * motion[:3]
                turned = rotation_matrix(TURN * spent * motion[3:6]) @ rotation
                joints, _ = chain(arm).inverse(there, turned, joints, iterations=6)
            target[part] = [*joints, np.clip(grip + GRIP * spent * motion[6], 0.0, 1.0)]
        if CHANNELS in asked:
            values = asked[CHANNELS].values[: self.body.size]
            target[: len(values)] += SWEEP * spent * values * self._range[: len(values)]
            target = np.clip(target, self.body.action.low, self.body.action.high)
        leash = LEASH * self._range
        self.target = command + np.clip(target - command, -leash, leash)
        return self.target.copy()

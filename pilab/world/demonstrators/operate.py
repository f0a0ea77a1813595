"""Open or close whatever has a handle: take it, move it along the way of its joint, let go."""

from __future__ import annotations

import math

import numpy as np

from pilab.world import places
from pilab.world.demonstrators.script import Aim, Script, home_aim, nearest_arm
from pilab.world.task import task_of

BELOW = 0.006  # the tips reach this far below the middle of the handle, m
AJAR = 0.55  # opening while a handle is approached and left
GRIP_STEPS, RELEASE_STEPS = 4, 2


class Operate(Script):
    """Above, down, grip, move, let go, up, home; again from the start when the handle slips.

    What to do follows from what is seen, not from what was done before, wherever that is possible: an open hand over the
    handle goes down, from whatever height. Who has to learn it has no memory.
    """

    phases = (
        ("above", 0, True), ("down", 0, False), ("grip", 0, False), ("move", 1, False), ("let go", 2, False),
        ("up", 2, True), ("home", 2, True),
    )  # fmt: skip

    def begin(self, now):
        goal = now.scene.goal
        part = now.scene.part(goal.object)
        ends = [places.handle_position(part, v) for v in (0.0, places.fixture_of(part).travel)]
        points = np.array([*ends, *(e + [0, 0, 0.08] for e in ends)])
        return {"arm": nearest_arm(now, self.arm, points, ends[0]).name}

    def _joint(self, now):
        """The part, its joint value, and the value it should have."""
        part = now.scene.part(now.scene.goal.object)
        travel = places.fixture_of(part).travel
        return part, now.joint(part.name), travel if task_of(now.scene).wants_open else 0.0

    def advance(self, now, memory):
        phase, since = memory["phase"], memory["since"]
        part, value, end = self._joint(now)
        travel = places.fixture_of(part).travel
        tip, aim = now.tips[memory["arm"]], self.aims(now, memory)[memory["arm"]]
        gap = aim.position - tip
        turned = abs(math.remainder(aim.yaw - now.yaws[memory["arm"]], 2 * math.pi)) < 0.06
        aside = float(np.hypot(*gap[:2]))
        if phase == "above" and aside < 0.006 and gap[2] < 0.02 and turned:
            return "down"
        if phase == "down":
            if aside > 0.015:
                return "above"
            if np.linalg.norm(gap) < 0.005 or since > 14:
                return "grip"
        if phase == "grip":
            if aside > 0.02:
                return "above"
            if since >= GRIP_STEPS:
                return "move"
        if phase == "move":
            if abs(value - end) < 0.05 * travel:
                memory["tip"] = tip.tolist()
                return "let go"
            if np.linalg.norm(tip - places.handle_position(part, value)) > 0.03 or since > 50:
                return "above"
        if phase == "let go" and since >= RELEASE_STEPS:
            return "up"
        if phase == "up" and gap[2] < 0.015:
            return "home" if abs(value - end) < 0.12 * travel else "above"
        return None

    def aims(self, now, memory):
        phase, manner, name = memory["phase"], now.manner, memory["arm"]
        part, value, end = self._joint(now)
        handle = places.handle_position(part, value) - [0, 0, BELOW]
        yaw = now.yaws[name] + math.remainder(part.yaw - now.yaws[name], math.pi)  # fingers close along the fixture's x
        careful = 0.6 * manner.pace
        if phase == "above":
            aim = Aim(handle + [0, 0, 0.07], yaw, AJAR, manner.pace)
        elif phase == "down":
            aim = Aim(handle, yaw, AJAR, careful)
        elif phase == "grip":
            aim = Aim(handle, yaw, 0.0, careful)
        elif phase == "move":
            # A little ahead on the way of the joint: the arc of a lid is followed, not cut.
            ahead = np.clip(
                value + np.sign(end - value) * self._stride(part, careful), 0.0, places.fixture_of(part).travel
            )
            aim = Aim(places.handle_position(part, float(ahead)) - [0, 0, BELOW], yaw, 0.0, careful)
        elif phase == "let go":
            aim = Aim(np.array(memory["tip"]), yaw, AJAR, careful)
        elif phase == "up":
            aim = Aim(np.array(memory["tip"]) + [0, 0, 0.08], yaw, AJAR, careful)
        else:
            aim = home_aim(now, name)
        return {name: aim}

    @staticmethod
    def _stride(part, pace):
        """How far the joint moves while its handle moves by `pace`."""
        here, there = places.handle_position(part, 0.0), places.handle_position(part, 0.01)
        return pace * 0.01 / float(np.linalg.norm(there - here))

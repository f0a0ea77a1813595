"""Pick something up and set it down: the script of `put` and `stack`, and of tasks that bring their own things."""

from __future__ import annotations

import math

import numpy as np

from pilab.world import objects, places
from pilab.world.demonstrators.script import Aim, Script, best_yaw, home_aim, nearest_arm

CARRY = 0.10  # least height of what is carried above the table, m
GRIP_STEPS, RELEASE_STEPS = 4, 3


class Carry(Script):
    """Above, down, grip, lift, over, lower, let go, up, home; back to the start when the object slips.

    Whoever drives, the phase follows what is seen: what is in the hand already is carried on, what lies there is left alone.
    """

    phases = (
        ("above", 0, True), ("down", 0, False), ("grip", 0, False), ("lift", 1, False), ("over", 1, True),
        ("lower", 1, False), ("let go", 2, False), ("up", 2, True), ("home", 2, True),
    )  # fmt: skip
    near = 0.010  # what is carried is over its place when it is so near to the middle of it, m

    def shape(self, now):
        """Of what is carried."""
        return objects.shape_of(now.scene.goal.object)

    def place(self, now):
        """Where it goes; None on another object."""
        on = now.scene.part(now.scene.goal.place)
        return places.place_of(on) if "place" in on.parameters else None

    def grip(self, now, arm):
        """Opening of the hand that holds it."""
        return 0.0

    def begin(self, now):
        goal = now.scene.goal
        item, place = now.position(goal.object), now.position(goal.place)
        points = np.array([(x, y, z) for x, y, _ in (item, place) for z in (0.03, 0.14)])
        arm = nearest_arm(now, self.arm, points, item)
        return {"arm": arm.name, "yaw": self._grasp_yaw(now, arm, points)}

    def _grasp_yaw(self, now, arm, points):
        part = now.scene.part(now.scene.goal.object)
        shape = self.shape(now)
        if shape.grasp_yaws:
            candidates = now.yaw(part.name) + np.array(shape.grasp_yaws)
        else:
            candidates = np.arange(8) * math.pi / 8
        return best_yaw(now, arm, part, candidates, points)

    def _heights(self, now):
        """Tip heights: to grasp, and to release; an object's centre is half its height above its underside."""
        goal = now.scene.goal
        shape = self.shape(now)
        below = now.position(goal.object)[2] - shape.height / 2  # the object's underside
        grasp = max(below, 0.0) + shape.grasp_height
        if place := self.place(now):
            rest = place.release
        else:
            rest = now.position(goal.place)[2] + objects.shape_of(goal.place).height / 2 + 0.003
        return grasp, rest

    def _there(self, now):
        """Whether the object lies where it belongs."""
        goal = now.scene.goal
        item, spot = now.position(goal.object), now.position(goal.place)
        tall, off = self.shape(now).height, float(np.hypot(*(item - spot)[:2]))
        if place := self.place(now):
            return place.holds(item, spot, tall)
        rise = (tall + objects.shape_of(goal.place).height) / 2
        return off < 0.022 and abs(item[2] - spot[2] - rise) < 0.008

    def _held(self, now, arm):
        """Whether the hand has closed on the object and lifted it."""
        shape = self.shape(now)
        opening = now.state[now.body.slice(arm)][-1]
        closed = opening < shape.grasp_width / now.body.arm(arm).opening + 0.1
        return closed and now.position(now.scene.goal.object)[2] > shape.height / 2 + 0.015

    def advance(self, now, memory):
        goal, phase, since = now.scene.goal, memory["phase"], memory["since"]
        tip, item, place = now.tips[memory["arm"]], now.position(goal.object), now.position(goal.place)
        aside = float(np.hypot(*(tip - item)[:2]))
        aim = self.aims(now, memory)[memory["arm"]]
        gap = aim.position - tip
        turned = abs(math.remainder(aim.yaw - now.yaws[memory["arm"]], 2 * math.pi)) < 0.06
        lost = float(np.linalg.norm(tip - item)) > 0.055
        there = self._there(now)
        if there and (phase == "above" or (phase in ("over", "lower") and lost)):
            memory["rest"] = tip.tolist()
            return "up"
        if not there and lost and phase in ("lift", "over", "lower", "let go", "up", "home"):
            arm = now.body.arm(memory["arm"])
            memory["yaw"] = self._grasp_yaw(now, arm, np.array([item, item + [0, 0, 0.1]]))
            return "above"
        if phase in ("above", "down") and not lost and self._held(now, memory["arm"]):
            return "lift"
        if phase == "above" and aside < 0.008 and turned and gap[2] < 0.02:  # from whatever height
            return "down"
        if phase == "down":
            if aside > 0.02:
                return "above"
            if np.linalg.norm(gap) < 0.006 or since > 14:
                return "grip"
        if phase == "grip" and aside > 0.02:
            return "above"
        if phase == "grip" and since >= GRIP_STEPS:
            return "lift"
        if phase == "lift" and gap[2] < 0.02:
            return "over"
        if phase == "over" and np.hypot(*(item - place)[:2]) < self.near and np.hypot(*gap[:2]) < 0.012:
            return "lower"
        if phase == "lower" and (np.linalg.norm(gap) < 0.006 or since > 15):
            memory["rest"] = tip.tolist()
            return "let go"
        if phase == "let go" and since >= RELEASE_STEPS:
            return "up"
        if phase == "up" and gap[2] < 0.02:
            return "home"
        return None

    def aims(self, now, memory):
        goal, phase, manner = now.scene.goal, memory["phase"], now.manner
        arm = now.body.arm(memory["arm"])
        shape = self.shape(now)
        tip, item, place = now.tips[arm.name], now.position(goal.object), now.position(goal.place)
        grasp, rest = self._heights(now)
        yaw, fast, careful = memory["yaw"], manner.pace, 0.6 * manner.pace
        # A hand opens only as far as it must where there are walls about.
        ajar = min(1.0, (shape.grasp_width + 0.030) / arm.opening)
        shut = self.grip(now, arm)
        held = item - tip  # where the object hangs in the hand: place the object, not the hand
        carry = max(CARRY, manner.hover, rest + 0.06) - min(0.0, held[2])
        if phase == "above":
            aim = Aim(np.array([item[0], item[1], grasp + manner.hover]), yaw, 1.0, fast)
        elif phase == "down":
            aim = Aim(np.array([item[0], item[1], grasp]), yaw, 1.0, careful)
        elif phase == "grip":
            aim = Aim(np.array([*tip[:2], grasp]), yaw, shut, careful)
        elif phase == "lift":
            aim = Aim(np.array([*tip[:2], carry]), yaw, shut, careful)
        elif phase == "over":
            aim = Aim(np.array([*(place - held)[:2], carry]), yaw, shut, fast)
        elif phase == "lower":
            low = rest + shape.height / 2 - held[2]
            aim = Aim(np.array([*(place - held)[:2], low]), yaw, shut, careful)
        elif phase == "let go":
            aim = Aim(np.array(memory["rest"]), yaw, ajar, careful)
        elif phase == "up":
            aim = Aim(np.array([*memory["rest"][:2], memory["rest"][2] + 0.09]), yaw, ajar, careful)
        else:
            aim = home_aim(now, arm.name)
        return {arm.name: aim}

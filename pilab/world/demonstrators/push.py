"""Push something along the table with two finger tips, one on either side of the line of the push."""

from __future__ import annotations

import math

import numpy as np

from pilab.world import objects, places
from pilab.world.demonstrators.script import Aim, Script, home_aim, nearest_arm
from pilab.world.tasks.push import RUN_UP

TIP_HEIGHT = 0.012  # of the finger tips while pushing, m
WIDE, NARROW = 0.25, 0.06  # opening of the hand: two contacts keep a long thing from turning; a round one would wedge
STOP_GAP = 0.019  # the gap at which to stop: a corner of a square place sticks out by as much, m
REST_STEPS = 2


class Push(Script):
    """Behind (above), down, push, rest, back off and up, home."""

    phases = (
        ("behind", 0, True), ("down", 0, False), ("push", 1, False), ("rest", 2, False), ("back", 2, False),
        ("up", 2, True), ("home", 2, True),
    )  # fmt: skip

    def begin(self, now):
        start, end = self._ends(now)
        way = (end - start) / np.hypot(*(end - start))
        reach = objects.shape_of(now.scene.goal.object).radius + RUN_UP
        points = np.array(
            [[*(start - way * reach), 0.012], [*(start - way * reach), 0.12], [*(end - way * 0.10), 0.012]]
        )
        return {"arm": nearest_arm(now, self.arm, points, start).name}

    def _ends(self, now):
        goal = now.scene.goal
        return now.position(goal.object)[:2], now.position(goal.place)[:2]

    def _geometry(self, now, memory):
        """The direction of the push, how far the tip is behind the object along it and beside it across, and the gap left."""
        start, end = self._ends(now)
        off = end - start
        way = off / np.hypot(*off)
        behind = start - now.tips[memory["arm"]][:2]
        gap = float(np.hypot(*off)) - places.place_of(now.scene.part(now.scene.goal.place)).radius
        gap -= objects.shape_of(now.scene.goal.object).radius
        return way, float(behind @ way), float(behind[0] * way[1] - behind[1] * way[0]), gap

    def _yaw(self, now, memory, way):
        """Across the push, whichever of the two half turns is nearer to where the hand is."""
        across = math.atan2(way[1], way[0]) + math.pi / 2
        turn = math.remainder(across - now.yaws[memory["arm"]], math.pi)
        return now.yaws[memory["arm"]] + turn

    def advance(self, now, memory):
        phase, since = memory["phase"], memory["since"]
        way, behind, across, gap = self._geometry(now, memory)
        tip, aim = now.tips[memory["arm"]], self.aims(now, memory)[memory["arm"]]
        off = aim.position - tip
        turned = abs(math.remainder(aim.yaw - now.yaws[memory["arm"]], 2 * math.pi)) < 0.08
        if phase == "behind" and np.linalg.norm(off) < 0.012 and turned:
            return "down"
        if phase == "down" and abs(off[2]) < 0.006:
            return "push"
        if phase == "push":
            if gap < STOP_GAP:
                memory["tip"], memory["way"] = tip.tolist(), way.tolist()
                return "rest"
            if abs(across) > 0.035 or behind < 0 or since > 60:
                memory["tip"], memory["way"] = tip.tolist(), way.tolist()
                return "back"
        if phase == "rest" and since >= REST_STEPS:
            return "back"
        if phase == "back" and (np.linalg.norm(off) < 0.010 or since > 8):
            return "up"
        if phase == "up" and abs(off[2]) < 0.02:
            return "home" if gap < STOP_GAP + 0.007 else "behind"
        return None

    def aims(self, now, memory):
        goal, phase, manner = now.scene.goal, memory["phase"], now.manner
        name = memory["arm"]
        spread = WIDE if objects.shape_of(goal.object).grasp_yaws else NARROW
        way, _, across, gap = self._geometry(now, memory)
        item, tip = now.position(goal.object), now.tips[name]
        yaw = self._yaw(now, memory, way)
        reach = objects.shape_of(goal.object).radius + RUN_UP * 0.55
        if phase in ("behind", "down"):
            height = TIP_HEIGHT + (manner.hover if phase == "behind" else 0.0)
            aim = Aim(
                np.array([*(item[:2] - way * reach), height]),
                yaw,
                spread,
                manner.pace * (1 if phase == "behind" else 0.6),
            )
        elif phase == "push":
            # Along the way by a stride, slower as the gap closes; across, back to the line through object and place.
            stride = min(0.6 * manner.pace, 0.010 + 0.5 * max(gap - STOP_GAP, 0.0))
            if not objects.shape_of(goal.object).rests:
                stride = min(stride, 0.018)  # a ball must not run away
            side = np.array([way[1], -way[0]])
            aim = Aim(np.array([*(tip[:2] + way * stride + side * 0.7 * across), TIP_HEIGHT]), yaw, spread, manner.pace)
        elif phase == "rest":
            aim = Aim(np.array([*memory["tip"][:2], TIP_HEIGHT]), yaw, spread, manner.pace)
        elif phase == "back":
            back = np.array(memory["tip"][:2]) - 0.035 * np.array(memory["way"])
            aim = Aim(np.array([*back, TIP_HEIGHT]), yaw, spread, 0.6 * manner.pace)
        elif phase == "up":
            aim = Aim(np.array([*tip[:2], TIP_HEIGHT + manner.hover]), yaw, spread, 0.6 * manner.pace)
        else:
            aim = home_aim(now, name)
        return {name: aim}

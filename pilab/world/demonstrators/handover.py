"""Hand something over: one hand brings it to the middle by one end, the other takes it by the other end."""

from __future__ import annotations

import math

import numpy as np

from pilab.world import objects
from pilab.world.demonstrators.script import Aim, Script, home_aim, reach
from pilab.world.task import task_of
from pilab.world.tasks.handover import MEETING

GRIP_STEPS = 4
STANDBY = 0.13  # how far aside the receiver waits, m


class Handover(Script):
    """The giver picks up and brings; the receiver waits above, comes down, grips; the giver lets go and withdraws."""

    phases = (
        ("above", 0, True), ("down", 0, False), ("grip", 0, False), ("lift", 1, False), ("bring", 1, False),
        ("approach", 2, False), ("take", 2, False), ("release", 2, False), ("withdraw", 2, False), ("hold", 2, False),
    )  # fmt: skip

    def begin(self, now):
        goal = now.scene.goal
        giver_index = task_of(now.scene).giver(now.scene, goal)
        giver, receiver = now.body.arms[giver_index], now.body.arms[1 - giver_index]
        side = -1.0 if giver_index == 0 else 1.0  # the giver's end points this way along x when the hands meet
        lie = now.yaw(goal.object)
        item = now.position(goal.object)
        span = objects.shape_of(goal.object).grasp_span
        best = None
        for end in (1.0, -1.0):  # which end of the object the giver takes
            u = end * span * np.array([math.cos(lie), math.sin(lie), 0.0])
            turn = (math.pi if side < 0 else 0.0) - math.atan2(u[1], u[0])
            for half in (0.0, math.pi):
                yaw = lie + math.pi / 2 + half
                there, miss = reach(giver, np.array([item + u]), yaw)
                met, miss2 = reach(giver, np.array([[side * span, *MEETING]]), yaw + turn)
                cost = max(abs(there[0, -1]), abs(met[0, -1])) + 100 * (max(miss[0], miss2[0]) > 2e-3)
                if best is None or cost < best[0]:
                    best = (cost, end, yaw, yaw + turn)
        _, end, yaw, meet = best
        return {
            "giver": giver.name,
            "receiver": receiver.name,
            "side": side,
            "end": end,
            "yaw": yaw,
            "meet": meet,
            "arm": giver.name,
        }

    def _end(self, now, memory, sign):
        """(3,) the point to hold at one end of the object, wherever it is now."""
        name = now.scene.goal.object
        lie, span = now.yaw(name), objects.shape_of(name).grasp_span
        return now.position(name) + sign * memory["end"] * span * np.array([math.cos(lie), math.sin(lie), 0.0])

    def advance(self, now, memory):
        phase, since = memory["phase"], memory["since"]
        aims = self.aims(now, memory)

        def there(name, tolerance, turn=0.08):
            gap = aims[name].position - now.tips[name]
            twist = math.remainder(aims[name].yaw - now.yaws[name], 2 * math.pi)
            return float(np.linalg.norm(gap)) < tolerance and abs(twist) < turn

        giver, receiver = memory["giver"], memory["receiver"]
        if (
            phase in ("lift", "bring", "approach")
            and np.linalg.norm(now.tips[giver] - self._end(now, memory, 1)) > 0.045
        ):
            memory.update(self.begin(now))
            return "above"
        if phase == "above" and there(giver, 0.012):
            return "down"
        if phase == "down" and (there(giver, 0.006) or since > 14):
            return "grip"
        if phase == "grip" and since >= GRIP_STEPS:
            return "lift"
        if phase == "lift" and there(giver, 0.02):
            return "bring"
        if phase == "bring" and there(giver, 0.008) and there(receiver, 0.03):
            return "approach"
        if phase == "approach" and (there(receiver, 0.006) or since > 25):
            return "take"
        if phase == "take" and since >= GRIP_STEPS:
            return "release"
        if phase == "release" and since >= 3:
            memory["rest"] = now.tips[giver].tolist()
            memory["kept"] = now.tips[receiver].tolist()
            return "withdraw"
        if phase == "withdraw" and there(giver, 0.02, 9.0):
            return "hold"
        return None

    def aims(self, now, memory):
        phase, manner = memory["phase"], now.manner
        giver, receiver, side = memory["giver"], memory["receiver"], memory["side"]
        shape = objects.shape_of(now.scene.goal.object)
        span = shape.grasp_span
        careful = 0.6 * manner.pace
        near, far = self._end(now, memory, 1), self._end(now, memory, -1)
        low = max(now.position(now.scene.goal.object)[2] - shape.height / 2, 0.0) + shape.grasp_height
        meeting = np.array([side * span, *MEETING])
        across = now.yaws[receiver] + math.remainder(math.pi / 2 - now.yaws[receiver], math.pi)
        standby = Aim(np.array([-side * STANDBY, MEETING[0], MEETING[1] + 0.07]), across, 1.0, manner.pace)
        tip = now.tips[giver]
        if phase in ("above", "down"):
            height = low + (manner.hover if phase == "above" else 0.0)
            return {
                giver: Aim(
                    np.array([*near[:2], height]), memory["yaw"], 1.0, manner.pace if phase == "above" else careful
                )
            }
        if phase == "grip":
            return {giver: Aim(np.array([*tip[:2], low]), memory["yaw"], 0.0, careful)}
        if phase == "lift":
            return {giver: Aim(np.array([*tip[:2], MEETING[1]]), memory["yaw"], 0.0, careful), receiver: standby}
        if phase == "bring":
            return {giver: Aim(meeting, memory["meet"], 0.0, careful), receiver: standby}
        hold = Aim(meeting, memory["meet"], 0.0, careful)
        grasp = np.array([*far[:2], far[2] - shape.height / 2 + shape.grasp_height])
        if phase == "approach":
            aside = np.linalg.norm((now.tips[receiver] - grasp)[:2])
            height = 0.055 if aside > 0.012 else 0.0  # from above, and down only when over it
            return {giver: hold, receiver: Aim(grasp + [0, 0, height], across, 0.75, careful)}
        if phase == "take":
            return {giver: hold, receiver: Aim(grasp, across, 0.0, careful)}
        if phase == "release":
            stay = Aim(now.tips[receiver], across, 0.0, careful)
            return {giver: Aim(meeting, memory["meet"], 0.7, careful), receiver: stay}
        stay = Aim(np.array(memory["kept"]), across, 0.0, careful)
        if phase == "withdraw":
            return {giver: Aim(np.array(memory["rest"]) + [0, 0, 0.09], memory["meet"], 0.7, careful), receiver: stay}
        return {giver: home_aim(now, giver), receiver: stay}

"""Point at something: over it, closed, and stay."""

from __future__ import annotations

import numpy as np

from pilab.world import objects
from pilab.world.demonstrators.script import Aim, Script, nearest_arm

OVER = 0.055  # of the finger tips over the top of the thing, m
SHUT = 0.1  # opening of the hand


class Point(Script):
    """One phase: go there, and stay."""

    phases = (("point", 0, True),)

    def begin(self, now):
        at = now.position(now.scene.goal.object)
        return {"arm": nearest_arm(now, self.arm, at + np.array([[0, 0, 0.06], [0, 0, 0.12]]), at).name}

    def advance(self, now, memory):
        return None

    def aims(self, now, memory):
        goal, name = now.scene.goal.object, memory["arm"]
        at = now.position(goal) + [0, 0, objects.shape_of(goal).height / 2 + OVER]
        return {name: Aim(at, now.yaws[name], SHUT, now.manner.pace)}

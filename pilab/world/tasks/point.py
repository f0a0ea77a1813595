"""Point at something: a hand over it, closed and still, and nothing touched. The policy that comes along never saw it done."""

from __future__ import annotations

import numpy as np

from pilab.contracts import Goal
from pilab.world import objects, places, scenes
from pilab.world.task import Task, name_of

ABOVE = (0.02, 0.10)  # of a finger tip over the top of the thing, m
BESIDE = 0.03  # from its middle, m
CLOSED = 0.35  # opening of a hand that points


class Point(Task):
    name = verb = "point"
    demonstrator = "pilab.world.demonstrators.point:Point"
    metrics = ("reached", "placed_right", "wrong_moved")
    templates = ("point at {object}", "point to {object}", "show me {object}", "point out {object}")
    held_out_templates = ("hold your hand over {object}", "let a hand rest above {object}")

    def lay_out(self, rng, pool, cell, reserved):
        target, _ = scenes.draw_cell(rng, self.verb, pool, (None,), reserved, cell)
        around = list(places.PLACES)
        standing = scenes.stand(rng, [around[i] for i in rng.permutation(len(around))[:2]])
        things = scenes.scatter(rng, scenes.draw_company(rng, [target], pool), standing)
        return [*things, *standing], Goal(self.verb, target)

    def target(self, world, goal):
        return world.position(goal.object) + [0, 0, objects.shape_of(goal.object).height / 2 + np.mean(ABOVE)]

    def achieved(self, world, goal):
        top = world.position(goal.object) + [0, 0, objects.shape_of(goal.object).height / 2]
        for arm, tip in zip(world.body.arms, world.tips(), strict=True):
            closed = world.state[world.body.slice(arm.name)][-1] < CLOSED
            over = np.hypot(*(tip - top)[:2]) < BESIDE and ABOVE[0] < tip[2] - top[2] < ABOVE[1]
            if closed and over and not world.touched(goal.object):
                return True
        return False

    def subtasks(self, scene, facts):
        return (f"point at {name_of(scene.goal.object, facts)}",)


TASK = Point()

"""Stack an object on another one that has a flat top."""

from __future__ import annotations

import numpy as np

from pilab.contracts import Goal, SceneError
from pilab.world import objects, places, scenes
from pilab.world.tasks._carry import CarryTask


class Stack(CarryTask):
    name = verb = setting_down = "stack"
    demonstrator = "pilab.world.demonstrators.carry:Carry"
    templates = ("stack {object} on {place}", "put {object} on top of {place}", "set {object} on top of {place}")
    paraphrases = (
        "stack {object} on top of {place}",
        "place {object} on top of {place}",
        "stack {object} onto {place}",
        "please stack {object} on {place}",
        "could you set {object} on top of {place}",
        "i would like {object} stacked on {place}",
        "can you balance {object} on top of {place}",
        "pile {object} on top of {place}",
        "make a stack with {place} at the bottom and {object} at the top",
        "on top of {place} please put {object}",
        "take {object} and stack it on {place}",
        "would you mind stacking {object} on top of {place}",
        "{object} should rest on top of {place}",
        "pick up {object} and lower it onto the top of {place}",
        "{object} goes on top and {place} goes underneath",
        "use {place} as the base and stack {object} on it",
        "i want a little tower where {object} sits atop {place}",
        "okay so lift {object} and leave it standing on top of {place}",
        "let us see {object} piled onto {place}",
        "hey robot grab {object} and pop it on top of {place}",
        "with {place} staying where it is set {object} directly on top",
        "how about a stack with {object} over {place}",
    )
    held_out_templates = ("build a tower with {object} above {place}", "{place} should carry {object}")

    def suits(self, look):
        return objects.shape_of(look).rests

    def lay_out(self, rng, pool, cell, reserved):
        movable = tuple(k for k in pool if self.suits(k))
        bases = tuple(k for k in (pool if cell is None else objects.LOOKS) if objects.shape_of(k).flat_top)
        target, base = scenes.draw_cell(rng, self.verb, movable, bases, reserved, cell)
        if not self.suits(target):
            raise SceneError(f"{target!r} rolls and cannot be stacked; stack something with a flat underside")
        around = list(places.PLACES)
        standing = scenes.stand(rng, [around[i] for i in rng.permutation(len(around))[:2]])
        things = scenes.scatter(rng, scenes.draw_company(rng, [target, base], pool), standing)
        return [*things, *standing], Goal(self.verb, target, base)

    def achieved(self, world, goal):
        item, base = world.position(goal.object), world.position(goal.place)
        rise = (objects.shape_of(goal.object).height + objects.shape_of(goal.place).height) / 2
        above = np.hypot(*(item - base)[:2]) < 0.022 and abs(item[2] - base[2] - rise) < 0.008
        return bool(above and not world.touched(goal.object))


TASK = Stack()

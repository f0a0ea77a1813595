"""Push an object until it stands beside a place, in the manner of Language-Table (Lynch et al. 2022, arXiv:2210.06407)."""

from __future__ import annotations

import contextlib

import numpy as np

from pilab.contracts import Goal
from pilab.world import objects, places, scenes
from pilab.world.task import Task, name_of

BESIDE = 0.027  # the gap between the two footprints that counts as beside, m
RUN_UP = 0.062  # how far behind the object's rim the hand comes down, m
CORRIDOR = 0.085  # others keep this far from the line of the push, m


class Push(Task):
    name = verb = "push"
    demonstrator = "pilab.world.demonstrators.push:Push"
    metrics = ("reached", "placed_right", "wrong_moved")
    templates = (
        "push {object} to {place}",
        "slide {object} to {place}",
        "push {object} over to {place}",
        "nudge {object} towards {place}",
        "shove {object} next to {place}",
    )
    paraphrases = (
        "push {object} next to {place}",
        "slide {object} up to {place}",
        "shove {object} against {place}",
        "nudge {object} until it is beside {place}",
        "scoot {object} over to the side of {place}",
        "push {object} across the table until it touches {place}",
        "without lifting it slide {object} close to {place}",
        "please push {object} near {place}",
        "could you slide {object} over beside {place}",
        "keep {object} on the table and push it up against {place}",
        "i would like you to push {object} so that it stands next to {place}",
        "can you give {object} a push toward {place} until they are side by side",
        "do not pick {object} up just slide it next to {place}",
        "would you mind nudging {object} right up to {place}",
        "{object} needs to be pushed along the table to {place}",
        "shift {object} along the tabletop so it stands by {place} and do not lift it",
        "glide {object} across the surface until it meets {place}",
        "bump {object} along till it rests against {place}",
        "use your hand to push {object} until there is no gap between it and {place}",
        "i want {object} slid right alongside {place}",
        "scoot {object} close to {place} please",
        "okay now shove {object} over until it is touching {place}",
        "beside {place} is where {object} belongs so push it there without raising it",
        "next to {place} please slide {object}",
        "ease {object} along the table toward {place} and stop when they touch",
        "see {object} just push it up to {place}",
        "hey robot sweep {object} sideways across the table till it reaches {place}",
        "without grasping {object} push it so that it ends up adjacent to {place}",
        "propel {object} along the tabletop and leave it at the side of {place}",
        "how about you scoot {object} over so it is right by {place}",
        "make {object} slide on the table until it is in contact with {place}",
        "press against {object} and slide it over near {place}",
        "{object} has to stay on the table while you push it beside {place}",
        "let us get {object} closer to {place} by pushing it over no lifting",
        "prod {object} along little by little until it sits alongside {place}",
        "it would be nice if you shoved {object} flush against {place}",
    )
    held_out_templates = (
        "make {object} touch {place} by pushing it",
        "without lifting it move {object} beside {place}",
        "bring {object} up against {place}",
    )

    def lay_out(self, rng, pool, cell, reserved):
        target, place = scenes.draw_cell(rng, self.verb, pool, tuple(places.PLACES), reserved, cell)
        others = [p for p in places.PLACES if p != place]
        standing = scenes.stand(rng, [place, others[rng.integers(len(others))]])
        things = scenes.scatter(rng, scenes.draw_company(rng, [target], pool), standing)
        goal = Goal(self.verb, target, place)
        parts = [*things, *standing]
        self._check_path(parts, goal)
        return parts, goal

    def _check_path(self, parts, goal):
        """Reject a push that starts at its end, or whose hand would meet something else on its way."""
        by_name = {p.name: p for p in parts}
        start, end = (np.array(by_name[n].position[:2]) for n in (goal.object, goal.place))
        way = end - start
        length = float(np.hypot(*way))
        way /= length
        gap = length - places.PLACES[goal.place].radius - objects.shape_of(goal.object).radius
        if not 0.045 < gap < 0.20:
            raise scenes.Rejected
        for part in parts:
            if part.name in (goal.object, goal.place):
                continue
            off = np.array(part.position[:2]) - start
            along, across = float(off @ way), abs(float(off[0] * way[1] - off[1] * way[0]))
            wide = CORRIDOR + (places.place_of(part).radius - 0.035 if "place" in part.parameters else 0.0)
            behind = objects.shape_of(goal.object).radius + RUN_UP + 0.06
            if across < wide and -behind < along < length:
                raise scenes.Rejected

    def alternatives(self, parts, goal):
        """Those whose way is free."""
        able = []
        for other in super().alternatives(parts, goal):
            with contextlib.suppress(scenes.Rejected):
                self._check_path(parts, other)
                able.append(other)
        return able

    def waypoints(self, parts, goal):
        by_name = {p.name: p for p in parts}
        start, end = (np.array(by_name[n].position[:2]) for n in (goal.object, goal.place))
        way = (end - start) / np.hypot(*(end - start))
        behind = start - way * (objects.shape_of(goal.object).radius + RUN_UP)
        return [(*behind, 0.015), (*behind, 0.12), (*(end - way * 0.1), 0.015)]

    def gap(self, world, goal):
        """The distance between the footprints of the object and of the place, m."""
        off = world.position(goal.object) - world.position(goal.place)
        place = places.place_of(world.scene.part(goal.place))
        return float(np.hypot(*off[:2])) - place.radius - objects.shape_of(goal.object).radius

    def achieved(self, world, goal):
        low = world.position(goal.object)[2] < 0.75 * objects.shape_of(goal.object).height
        return bool(self.gap(world, goal) < BESIDE and low and not world.touched(goal.object))

    def subtasks(self, scene, facts):
        item, place = name_of(scene.goal.object, facts), name_of(scene.goal.place, facts)
        return (
            f"reach behind {item} to push it to {place}",
            f"push {item} to {place}",
            f"leave {item} at {place}",
        )

    def stage(self, world, goal):
        if self.achieved(world, goal):
            return 2
        return int(world.touched(goal.object))


TASK = Push()

"""Carry a thing that breaks when it is squeezed: how wide it is, the eye has to judge, or the fingers feel.

The gripper can press each side with 7 N; the shell bears 2.5 N. To hold it takes 0.2 N.
"""

from __future__ import annotations

import math

import mujoco

from pilab.contracts import Goal, Part, SceneError
from pilab.world import objects, places, scenes
from pilab.world.demonstrators.carry import Carry
from pilab.world.tasks._carry import CarryTask

KIND = "pilab.world.tasks.fragile"
BEARS = 2.5  # N, from either side
LONG, TALL = 0.050, 0.036  # m
WIDTHS = (0.034, 0.060)  # m
SHELL, BAND = (0.96, 0.93, 0.86), (0.85, 0.30, 0.40)


def build(spec: mujoco.MjSpec, part: Part) -> None:
    """A box as wide as its part says, with a band around it, free to move."""
    half = part.yaw / 2
    box = spec.worldbody.add_body(name=part.name, pos=part.position, quat=(math.cos(half), 0, 0, math.sin(half)))
    box.add_freejoint(name=part.name)
    kind, size = mujoco.mjtGeom.mjGEOM_BOX, (part.parameters["width"] / 2, LONG / 2, TALL / 2)
    box.add_geom(type=kind, size=size, rgba=(*SHELL, 1), mass=objects.MASS, friction=(0.5, 0.01, 0.0015))
    size = (size[0] + 0.0002, 0.006, size[2] + 0.0002)
    box.add_geom(type=kind, size=size, rgba=(*BAND, 1), mass=0, contype=0, conaffinity=0)


class CarryGently(Carry):
    """The hand closes until it holds, and no further: it knows how wide the thing is."""

    def shape(self, now):
        width = now.scene.part(now.scene.goal.object).parameters["width"]
        return objects.Shape((), TALL, LONG / 2, (0.0,), width, 0.018)

    def grip(self, now, arm):
        return max(0.0, (self.shape(now).grasp_width - 0.005) / arm.opening)


class Fragile(CarryTask):
    name, verb = "fragile", "carry"
    demonstrator = f"{KIND}:CarryGently"
    metrics = ("reached", "placed_right")
    swappable = False
    templates = (
        "gently put the shell {in} {place}",
        "carry the shell to {place}",
        "put the shell {in} {place} and do not break it",
        "the shell goes {in} {place}",
    )
    paraphrases = ("please put the shell {in} {place}", "be careful and put the shell {in} {place}")
    held_out_templates = ("without breaking it bring the shell to {place}", "set the shell softly {in} {place}")

    def lay_out(self, rng, pool, cell, reserved):
        if cell is not None:
            raise SceneError(f"{self.verb!r} brings its own thing; leave {cell[0]!r} out")
        names = list(places.PLACES)
        standing = scenes.stand(rng, [names[i] for i in rng.permutation(len(names))[:2]])
        x, y = rng.uniform(-0.22, 0.22), rng.uniform(-0.12, 0.0)
        if not scenes.clear(x, y, standing):
            raise scenes.Rejected
        at = (round(x, 4), round(y, 4), TALL / 2 + 0.0005)
        width = round(rng.uniform(*WIDTHS), 4)
        shell = Part("shell", f"{KIND}:build", at, round(rng.uniform(-1.5, 1.5), 4), {"width": width})
        return [shell, *standing], Goal(self.verb, "shell", standing[rng.integers(2)].name)

    def remember(self, world):
        """The hardest squeeze so far, in N."""
        hardest = float(world.pressure(world.scene.goal.object).max())
        world.note(world.scene.goal.object, max(world.past(world.scene.goal.object), hardest))

    def achieved(self, world, goal):
        if world.past(goal.object) > BEARS:
            return False
        place = places.place_of(world.scene.part(goal.place))
        there = place.holds(world.position(goal.object), world.position(goal.place), TALL)
        return there and not world.touched(goal.object)

    def counts(self, world, goal):
        """The hardest squeeze, in N."""
        return {"squeezed_N": world.past(goal.object)}


TASK = Fragile()

"""A task in one file: press the bell that is named. Its own part, predicate, words and demonstrator."""

import math

import mujoco
import numpy as np

from pilab.contracts import Goal, Part
from pilab.world import scenes
from pilab.world.demonstrators.script import Aim, Script, nearest_arm
from pilab.world.task import Task

COLOURS = {"red bell": (0.85, 0.1, 0.1), "blue bell": (0.1, 0.3, 0.9)}
REST, TRAVEL = 0.034, 0.010  # the top of the button above the table at rest, and how far it goes down, m


def build(spec: mujoco.MjSpec, part: Part) -> None:
    """A foot, and a button on a spring."""
    half = part.yaw / 2
    foot = spec.worldbody.add_body(name=part.name, pos=part.position, quat=(math.cos(half), 0, 0, math.sin(half)))
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    foot.add_geom(type=cylinder, size=(0.034, 0.008, 0), pos=(0, 0, 0.008), rgba=(0.3, 0.3, 0.3, 1))
    button = foot.add_body(name=f"{part.name} button", pos=(0, 0, REST - 0.006), gravcomp=1)
    button.add_joint(
        name=part.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 0, -1), range=(0, TRAVEL), limited=True,
        stiffness=(80, 0, 0), damping=(2, 0, 0), armature=0.01,
    )  # fmt: skip
    rgba = (*part.parameters["colour"], 1)
    button.add_geom(type=cylinder, size=(0.022, 0.006, 0), rgba=rgba, mass=0.02)


class Press(Script):
    """Over the bell, down on it, and stay."""

    phases = (("over", 0, True), ("press", 0, False))

    def begin(self, now):
        at = now.position(now.scene.goal.object)
        return {"arm": nearest_arm(now, self.arm, at + np.array([[0, 0, 0.03], [0, 0, 0.12]]), at).name}

    def advance(self, now, memory):
        gap = now.position(now.scene.goal.object)[:2] - now.tips[memory["arm"]][:2]
        return "press" if memory["phase"] == "over" and np.hypot(*gap) < 0.006 else None

    def aims(self, now, memory):
        height = REST + 0.08 if memory["phase"] == "over" else REST - TRAVEL - 0.004
        name = memory["arm"]
        at = now.position(now.scene.goal.object) + [0, 0, height]
        return {name: Aim(at, now.yaws[name], 0.0, 0.6 * now.manner.pace)}


class PressBell(Task):
    name, verb = "press-bell", "press"
    metrics = ("reached", "placed_right", "wrong_moved")
    demonstrator = f"{__name__}:Press"
    templates = ("press {object}", "ring {object}")
    held_out_templates = ("make {object} sound",)

    def lay_out(self, rng, pool, cell, reserved):
        names = list(COLOURS)
        target = cell[0] if cell else names[rng.integers(2)]
        bells = []
        for name, side in zip(names, rng.permutation([-1.0, 1.0]), strict=True):
            at = (round(side * rng.uniform(0.07, 0.20), 4), round(rng.uniform(0.13, 0.16), 4), 0.0)
            bells.append(Part(name, f"{__name__}:build", at, 0.0, {"colour": list(COLOURS[name])}))
        things = scenes.scatter(rng, scenes.draw_company(rng, [pool[rng.integers(len(pool))]], pool), bells)
        return [*things, *bells], Goal(self.verb, target)

    def achieved(self, world, goal):
        return bool(world.data.joint(goal.object).qpos[0] > 0.6 * TRAVEL)

    def alternatives(self, parts, goal):
        return [Goal(self.verb, name) for name in COLOURS if name != goal.object]


TASK = PressBell()

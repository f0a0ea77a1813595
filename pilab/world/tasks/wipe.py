"""Rub stains off a board that gives way, pressing neither too little nor too much.

The board rests on springs, of which nobody can see how stiff they are: how deep it sinks says nothing about the force. Only a
hand that feels it, or that sees its own soft pads give way, can know.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from pilab.contracts import Goal, Part, SceneError
from pilab.world.demonstrators.script import Aim, Script, home_aim, nearest_arm
from pilab.world.task import Task, name_of

KIND = "pilab.world.tasks.wipe"
BAND = (2.0, 6.0)  # N: with less nothing comes off …
SCRATCHES = 9.0  # … and beyond this the board is spoilt
RIGHT = 4.0  # N, what the demonstrator aims at
ARM = 850.0  # N/m, how stiff an arm is at its tip: a target so far inside of the board presses with that force
STIFF = (250.0, 1000.0)  # N/m
REST, TRAVEL = 0.046, 0.034  # the board's face above the table at rest, and how far it can sink, m
HALF = (0.085, 0.042, 0.004)  # of the board, m
STAINS, APART, RUBBED = (
    4,
    0.030,
    0.014,
)  # how many, how far from one another, and how near the finger tips have to come, m
SLATE, CHALK = (0.16, 0.36, 0.34), (0.93, 0.93, 0.88)


def build(spec: mujoco.MjSpec, part: Part) -> None:
    """A board on springs."""
    half = part.yaw / 2
    board = spec.worldbody.add_body(
        name=part.name, pos=part.position, quat=(math.cos(half), 0, 0, math.sin(half)), gravcomp=1
    )
    stiffness, mass = part.parameters["stiffness"], 0.15
    board.add_joint(
        name=part.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 0, -1), range=(0, TRAVEL), limited=True,
        stiffness=(stiffness, 0, 0), damping=(1.4 * math.sqrt(stiffness * mass), 0, 0),
    )  # fmt: skip
    smooth = {"friction": (0.3, 0.005, 0.0001), "priority": 1}  # it counts, not the pads' own: they would stick
    board.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=HALF, rgba=(*SLATE, 1), mass=mass, **smooth)


def build_stain(spec: mujoco.MjSpec, part: Part) -> None:
    """A spot that is seen and not touched; who rubs it off moves it out of sight."""
    stain = spec.worldbody.add_body(name=part.name, pos=part.position, mocap=True)
    size = (0.009, 0.0006, 0)
    stain.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=size, rgba=(*CHALK, 1), contype=0, conaffinity=0)


class Rub(Script):
    """Over the first stain, down on it until the force is right, along the others, up, home; again while there are any."""

    phases = (("over", 0, True), ("press", 0, False), ("rub", 1, False), ("up", 1, True), ("home", 1, True))

    def begin(self, now):
        left = self._stains(now)
        points = np.array([p + [0, 0, z] for p in (left[0], left[-1]) for z in (-TRAVEL, 0.09)])
        arm = nearest_arm(now, self.arm, points, now.position(now.scene.goal.object))
        return {"arm": arm.name, "yaw": now.scene.part(now.scene.goal.object).yaw}

    def wanted(self, now):
        """N with which it presses."""
        return RIGHT

    def _stains(self, now):
        """Where those are that are left, (3,) each, on the face of the board at rest."""
        spots = [now.position(p.name) for p in now.scene.parts if p.name.startswith("stain")]
        return [spot for spot in spots if spot[2] > 0]

    def _force(self, now):
        """N with which the board is pressed, from how deep it sank."""
        board = now.scene.part(now.scene.goal.object)
        return board.parameters["stiffness"] * (board.position[2] - now.position(board.name)[2])

    def advance(self, now, memory):
        phase, tip, left, force = memory["phase"], now.tips[memory["arm"]], self._stains(now), self._force(now)
        if phase in ("over", "press", "rub") and not left:  # the last one may go while the hand is on its way to it
            memory["rest"] = tip.tolist()
            return "up"
        if phase == "over" and np.hypot(*(left[0] - tip)[:2]) < 0.006:
            return "press"
        if phase == "press":
            if force > 0.5 * self.wanted(now):
                return "rub"
            if force < 0.1 and np.hypot(*(left[0] - tip)[:2]) > 0.02:
                return "over"
        if phase == "rub" and np.hypot(*(left[-1] - tip)[:2]) < 0.004 and memory["since"] > 25:
            return "over"
        if phase == "up" and tip[2] > memory["rest"][2] + 0.06:
            return "home"
        return None

    def aims(self, now, memory):
        name, phase, pace = memory["arm"], memory["phase"], now.manner.pace
        tip, left, force = now.tips[name], self._stains(now), self._force(now)
        right = self.wanted(now)
        deeper = (right + 0.5 * (right - force)) / ARM
        yaw = now.yaws[name] + math.remainder(memory["yaw"] - now.yaws[name], math.pi)
        if phase == "over":
            aim = Aim(left[0] + [0, 0, 0.04], yaw, 0.0, pace)
        elif phase == "press":
            deeper = deeper if force > 0.1 else float(np.clip(tip[2] - left[0][2], 0.004, 0.012))
            aim = Aim(np.array([*left[0][:2], tip[2] - deeper]), yaw, 0.0, 0.6 * pace)
        elif phase == "rub":
            gap = left[-1][:2] - tip[:2]
            stride = gap * min(1.0, 0.3 * pace / max(float(np.hypot(*gap)), 1e-9))
            aim = Aim(np.array([*(tip[:2] + stride), tip[2] - deeper]), yaw, 0.0, 0.6 * pace)
        elif phase == "up":
            aim = Aim(np.array(memory["rest"]) + [0, 0, 0.08], yaw, 0.0, 0.6 * pace)
        else:
            aim = home_aim(now, name)
        return {name: aim}


class Wipe(Task):
    name = verb = "wipe"
    seconds = 14.0
    demonstrator = f"{KIND}:Rub"
    metrics = ("reached", "placed_right")
    swappable = False
    templates = ("wipe the board", "rub the stains off the board", "clean the board", "wipe off the stains")
    paraphrases = ("please wipe the board clean", "the board is dirty so wipe it", "could you clean the board")
    held_out_templates = ("get the board clean", "there are stains on the board wipe them off")

    def lay_out(self, rng, pool, cell, reserved):
        if cell is not None:
            raise SceneError(f"{self.verb!r} brings its own board; leave {cell[0]!r} out")
        x, y, yaw = rng.uniform(-0.16, 0.16), rng.uniform(0.0, 0.10), rng.uniform(-0.35, 0.35)
        rest = REST + rng.uniform(-0.006, 0.006)
        stiffness = float(np.exp(rng.uniform(*np.log(STIFF))))
        at = (round(x, 4), round(y, 4), round(rest - HALF[2], 5))
        board = Part("board", f"{KIND}:build", at, round(yaw, 4), {"stiffness": round(stiffness, 1)})
        along = np.array([math.cos(yaw), math.sin(yaw)])
        stains = []
        for i in range(STAINS):
            spot = np.array(at[:2]) + (i - (STAINS - 1) / 2) * APART * along + rng.uniform(-0.006, 0.006, 2)
            stains.append(Part(f"stain {i + 1}", f"{KIND}:build_stain", (*spot.round(4).tolist(), round(rest, 5))))
        return [board, *stains], Goal(self.verb, "board")

    def waypoints(self, parts, goal):
        ends = [parts[1].position, parts[-1].position]
        return [(x, y, z) for x, y, _ in ends for z in (REST - TRAVEL, REST + 0.09)]

    def remember(self, world):
        """The greatest force on the board; and what is rubbed with the right one is gone."""
        board, fingers = world.scene.goal.object, world.pressure(world.scene.goal.object)
        for i, tip in enumerate(world.tips()):
            force = float(fingers[2 * i : 2 * i + 2].sum())
            world.note(board, max(world.past(board), force))
            if BAND[0] <= force <= BAND[1]:
                for stain in self._stains(world):
                    if np.hypot(*(world.position(stain) - tip)[:2]) < RUBBED:
                        world.data.mocap_pos[world.model.body(stain).mocapid[0], 2] = -0.2

    def _stains(self, world):
        """Names of those that are left."""
        return [p.name for p in world.scene.parts if p.name.startswith("stain") and world.position(p.name)[2] > 0]

    def achieved(self, world, goal):
        return not self._stains(world) and world.past(goal.object) <= SCRATCHES and not world.touched(goal.object)

    def target(self, world, goal):
        return world.position(goal.object) + [0, 0, HALF[2]]

    def counts(self, world, goal):
        """How many stains are gone, and the greatest force in N."""
        return {"wiped": STAINS - len(self._stains(world)), "pressed_N": world.past(goal.object)}

    def subtasks(self, scene, facts):
        return (f"move over {name_of(scene.goal.object, facts)}", f"wipe {name_of(scene.goal.object, facts)}")

    def stage(self, world, goal):
        return int(world.touched(goal.object))


TASK = Wipe()

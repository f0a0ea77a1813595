"""Perturbations: the same trial, made harder along one axis at a time, by as much as you say.

A policy that does well where it was trained may have learnt the scene by heart (LIBERO-Plus, arXiv:2510.13626; LIBERO-PRO,
arXiv:2510.03827). Each axis changes one thing about a trial: what stands there, what is seen of it, what becomes of the
policy's commands, or what is said.

Design choices
--------------
* **Graded**: severity 0 is the trial itself, to the bit; 1 is what `AXES` says. What is drawn (a direction, a thing, a colour)
  depends on the scene's seed and the axis alone, so that a larger severity is more of the same.
* **Composable**: `perturb(trial, {"light": 1.0, "noise": 0.5})`, in the order of `AXES`; an axis draws the same beside others.
* **Fair**: a scene stays one that can be done. What is moved or added keeps clear of the rest and within reach; where there is
  no room for what is added, it is told and not left out.
* Rows keep the hash of the scene as it was, so that a perturbed trial and the plain one are a pair.

Axes that take something away altogether (black cameras, other words) are `controls`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from pilab.contracts import STATE, Goal, PilabError, Scene, SceneError, UnknownNameError
from pilab.evaluation.glasses import Glasses, blurred, dimmed, grainy, late, over, pictures, stuttering
from pilab.robots.simulated import Trial
from pilab.world import objects
from pilab.world.german import translated
from pilab.world.scenes import OBJECT_ZONE, Rejected, check_reach, clear, find_body
from pilab.world.task import facts_of, respoken, steps_of, task_of

Change = Callable[[Trial, float, np.random.Generator], Trial]
APART = 0.075  # m between the centres of things, where one is moved or added: the hand still fits between them
TRIES = 200


@dataclass(frozen=True)
class Axis:
    """One way to make a trial harder."""

    name: str
    of: str  # "scene", "sight", "hands" or "words"
    most: str  # what severity 1 is
    change: Change


def perturb(trial: Trial, severities: Mapping[str, float]) -> Trial:
    """The trial with each of these axes at its severity, 0 … 1. Raises `UnknownNameError`, and `PilabError` for others.

    Raises `SceneError` where the scene leaves no room for what was asked.
    """
    check(severities)
    original = trial.of or trial.scene
    for axis in AXES.values():
        if severity := severities.get(axis.name, 0.0):
            rng = np.random.default_rng([original.seed, zlib.crc32(axis.name.encode())])
            trial = axis.change(trial, float(severity), rng)
    return dataclasses.replace(trial, of=original)


def check(severities: Mapping[str, float]) -> None:
    """Raises `UnknownNameError` for an unknown axis, `PilabError` for a severity outside 0 … 1."""
    for name, severity in severities.items():
        if name not in AXES:
            raise UnknownNameError("axis", name, list(AXES))
        if not 0 <= severity <= 1:
            raise PilabError(f"severity {severity} of {name}; expected 0 … 1, where 1 is: {AXES[name].most}")


def told(severities: Mapping[str, float]) -> str:
    """In words, as rows have it: `light 0.5, noise 1`; `none` for nothing."""
    return ", ".join(f"{name} {severity:g}" for name, severity in severities.items() if severity) or "none"


# ------------------------------------------------------------------------------------------------------------- the scene
def _scene(trial: Trial, scene: Scene) -> Trial:
    """The trial in another scene; what was spoken about the old one is spoken about this one."""
    spoken = trial.spoken and trial.spoken.replace(
        parts=scene.parts, start=scene.start, light=scene.light, table=scene.table
    )
    return dataclasses.replace(trial, scene=scene, spoken=spoken)


def _able(scene: Scene) -> bool:
    """Whether the body can still reach what the task needs."""
    body = find_body(scene.body)
    try:
        for step in steps_of(scene):
            doer = task_of(scene if step == scene.goal else scene.replace(task=step.verb))
            check_reach(body, doer.waypoints(list(scene.parts), step), doer.arms)
    except Rejected:
        return False
    return True


def _room(x: float, y: float, scene: Scene, but: str = "") -> bool:
    """Whether a thing may lie there, clear of all others."""
    things = [part for part in scene.parts if "look" in part.parameters and part.name != but]
    standing = [part for part in scene.parts if "look" not in part.parameters]
    apart = all(math.hypot(x - p.position[0], y - p.position[1]) > APART for p in things)
    return apart and clear(x, y, standing)


def position(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Things lie elsewhere, out of the zone in which they are drawn too; half as far where there is no room."""
    scene = trial.scene
    for part in scene.parts:
        if "look" not in part.parameters:
            continue
        turn = rng.uniform(-np.pi, np.pi)
        ways = rng.uniform(
            0, 2 * np.pi, TRIES
        )  # drawn all at once, so that other things draw the same whatever is tried
        for share, way in itertools.product((1.0, 0.5, 0.0), ways):
            x, y = np.array(part.position[:2]) + share * 0.08 * severity * np.array([math.cos(way), math.sin(way)])
            moved = dataclasses.replace(
                part, position=(float(x), float(y), part.position[2]), yaw=float(part.yaw + severity * turn)
            )
            there = scene.replace(parts=tuple(moved if p.name == part.name else p for p in scene.parts))
            if not share or (_room(x, y, scene, part.name) and _able(there)):
                scene = there
                break
    return _scene(trial, scene)


def things(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Things that no robot data holds lie there instead, what is asked for first."""
    scene, facts, task = trial.scene, facts_of(trial.scene), task_of(trial.scene)
    mine = [part for part in scene.parts if part.parameters.get("look") in objects.HANDLED]
    mine.sort(key=lambda part: part.name != scene.goal.object)
    others = [str(look) for look in rng.permutation(objects.RESERVED)]
    for part in mine[: math.ceil(severity * len(mine))]:
        wanted = part.name == scene.goal.object
        home = facts.rows[part.name].home
        fit = [k for k in others if (not wanted or task.suits(k)) and (task.swappable or facts.rows[k].home == home)]
        if not fit:
            raise SceneError(f"nothing reserved can stand for {part.name} in scene {scene.hash}")
        others.remove(look := fit[0])
        new = objects.part(look, part.position[0], part.position[1], part.yaw)
        scene = scene.replace(parts=tuple(new if p.name == part.name else p for p in scene.parts))
        goal = Goal(scene.goal.verb, look if wanted else scene.goal.object, scene.goal.place)
        scene = respoken(scene, goal, rng) if wanted else scene
    return dataclasses.replace(trial, scene=scene, spoken=None)


def clutter(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """More things lie about."""
    scene, ((x0, x1), (y0, y1)) = trial.scene, OBJECT_ZONE
    there = {part.name for part in scene.parts}
    looks = [str(look) for look in rng.permutation([k for k in objects.HANDLED if k not in there])]
    spots = rng.uniform((x0, y0 - 0.03), (x1, y1), (TRIES, 2))
    for k in range(round(4 * severity)):
        free = [(x, y) for x, y in spots if _room(x, y, scene)]
        if not free:
            raise SceneError(f"no room for {round(4 * severity)} more things in scene {scene.hash}, only for {k}")
        x, y = map(float, free[0])
        scene = scene.replace(parts=(*scene.parts, objects.part(looks[k], x, y, float(rng.uniform(-np.pi, np.pi)))))
    return _scene(trial, scene)


def start(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """The arms begin elsewhere."""
    spec = find_body(trial.scene.body).action
    joints = np.array([not name.endswith("gripper") for name in spec.names])
    there = np.array(trial.scene.start) + severity * rng.uniform(-0.3, 0.3, len(joints)) * joints
    return _scene(trial, trial.scene.replace(start=tuple(np.clip(there, spec.low, spec.high).round(5).tolist())))


def light(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """The lamp hangs low, on another side, and there is little light but its own."""
    x, y, z, ambient = trial.scene.light
    away = severity * rng.uniform(-np.pi, np.pi)
    x, y = x * math.cos(away) - y * math.sin(away), x * math.sin(away) + y * math.cos(away)
    low = (round(x, 4), round(y, 4), round(z * (1 - 0.7 * severity), 4), round(ambient * (1 - 0.7 * severity), 4))
    return _scene(trial, trial.scene.replace(light=low))


def table(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """The table has another colour."""
    mixed = (1 - severity) * np.array(trial.scene.table) + severity * rng.uniform(0.1, 0.9, 3)
    return _scene(trial, trial.scene.replace(table=tuple(mixed.round(4).tolist())))


def camera(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """The camera above was knocked: it hangs elsewhere, and looks elsewhere."""
    name = find_body(trial.scene.body).cameras[0].name
    shift, axis = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    half = math.radians(6.0 * severity) / 2
    turn, before = np.array([math.cos(half), *(math.sin(half) * axis)]), trial.tune

    def knock(spec: mujoco.MjSpec) -> None:
        if before:
            before(spec)
        hung, found = spec.camera(name), np.empty(4)
        mujoco.mju_mulQuat(found, hung.quat, turn)
        hung.pos, hung.quat = hung.pos + 0.04 * severity * shift, found

    return dataclasses.replace(trial, tune=knock)


# ------------------------------------------------------------------------------------------------------------ what is seen
def _seen(trial: Trial, glasses: Glasses, always: bool = False) -> Trial:
    """Through one more pair. always: it has to see every step, whether the policy looks or not."""
    return dataclasses.replace(trial, view=over(trial.view, glasses), cameras=None if always else trial.cameras)


def blur(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Pictures are out of focus."""
    return _seen(trial, blurred(pictures, 2.5 * severity))


def noise(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Pictures are grainy."""
    return _seen(trial, grainy(pictures, 50 * severity, rng))


def dark(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Pictures are underexposed."""
    return _seen(trial, dimmed(pictures, 1 - 0.9 * severity))


def delay(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Pictures come late; joints do not."""
    return _seen(trial, late(pictures, round(10 * severity)), always=True)


def freeze(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Pictures stand still for a while, again and again."""
    return _seen(trial, stuttering(pictures, lambda: rng.random() > 0.95 * severity), always=True)


def joints(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """What the robot feels of its joints and grippers is inexact."""
    return _seen(trial, grainy(lambda key: ... if key == STATE else None, 0.1 * severity, rng))


# ------------------------------------------------------------------------------------------------------ what it does
def lag(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Commands reach the joints late; until the first one does, they stay."""
    steps = round(3 * severity)
    before = deque([np.array(trial.scene.start, np.float32)] * steps, maxlen=steps + 1)

    def send(command: np.ndarray) -> np.ndarray:
        before.append(command)
        return before[0]

    return dataclasses.replace(trial, hand=send) if steps else trial


def offset(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """The joints' zeros are wrong, each by a constant of its own, in what they do and not in what they feel."""
    body = find_body(trial.scene.body)
    joints = np.array([not name.endswith("_gripper") for name in body.action.names])
    wrong = (0.03 * severity * joints * rng.choice([-1.0, 1.0], body.size)).astype(np.float32)

    def send(command: np.ndarray) -> np.ndarray:
        return np.clip(command + wrong, body.action.low, body.action.high).astype(np.float32)

    before = trial.hand
    return dataclasses.replace(trial, hand=(lambda command: send(before(command))) if before else send)


# ------------------------------------------------------------------------------------------------------------ what is said
def mumble(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Words are mumbled: their letters come in another order."""
    words = (trial.spoken or trial.scene).instruction.split()
    order, mixed = rng.permutation(len(words)), ["".join(rng.permutation(list(word))) for word in words]
    return _said(trial, severity, order, mixed)


def german(trial: Trial, severity: float, rng: np.random.Generator) -> Trial:
    """Words are German."""
    words = (trial.spoken or trial.scene).instruction.split()
    return _said(trial, severity, rng.permutation(len(words)), [translated(word) for word in words])


def _said(trial: Trial, severity: float, order: np.ndarray, others: list[str]) -> Trial:
    """That share of the words, the first in that order, is replaced by what stands in their places in `others`."""
    said = trial.spoken or trial.scene
    words = said.instruction.split()
    for k in order[: math.ceil(severity * len(words))]:
        words[k] = others[k]
    return dataclasses.replace(trial, spoken=said.replace(instruction=" ".join(words)))


AXES: Mapping[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis("position", "scene", "everything is moved by 8 cm and turned by up to half a turn", position),
        Axis("things", "scene", "all things are such as no robot data holds", things),
        Axis("clutter", "scene", "four more things", clutter),
        Axis("start", "scene", "each joint begins up to 0.3 rad elsewhere", start),
        Axis("light", "scene", "the lamp at 30 % of its height, on any side, and 30 % of the light around", light),
        Axis("table", "scene", "a table of any colour", table),
        Axis("camera", "scene", "the camera above moved by 4 cm and turned by 6°", camera),
        Axis("blur", "sight", "a blur of 2.5 pixels (standard deviation)", blur),
        Axis("noise", "sight", "noise of 50 grey levels (standard deviation)", noise),
        Axis("dark", "sight", "a tenth of the exposure", dark),
        Axis("delay", "sight", "pictures ten control steps late", delay),
        Axis("freeze", "sight", "nineteen of twenty pictures are the one before", freeze),
        Axis("joints", "sight", "noise of 0.1 rad, or of a tenth of an opening, on what is felt", joints),
        Axis("lag", "hands", "commands reach the joints three control steps late", lag),
        Axis("offset", "hands", "each joint goes 0.03 rad beside what it was sent to", offset),
        Axis("mumble", "words", "the letters of every word in another order", mumble),
        Axis("german", "words", "every word in another language", german),
    )
}

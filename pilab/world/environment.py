"""A running world: physics, observations, and what tasks ask of it.

Design choices
--------------
* One `World` belongs to one thread at a time; many worlds run in many threads, because MuJoCo releases the GIL.
* `step` takes absolute joint targets and reaches them *linearly within the control period*, whatever the rate.
* A world is a function of (scene, actions): no clock, no global random state.
* **What happened before has one owner.** How often a fixture was opened cannot be seen once it is shut again, and yet a task
  may ask; another asks how hard a thing was ever squeezed. One number for each part lies in `data.userdata`, which the physics
  leaves alone and which is part of its state: snapshots hold it, and nothing else has to be carried along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import mujoco
import numpy as np

from pilab.contracts import (
    ENVIRONMENT_STATE,
    SCENE,
    STATE,
    TASK,
    Observation,
    Scene,
    SceneError,
    UnknownNameError,
    image_key,
    load,
    points_key,
)
from pilab.world.cameras import Caster, View
from pilab.world.kinematics import tips
from pilab.world.places import OPEN, SHUT, fixture_of
from pilab.world.scenes import build, find_body
from pilab.world.task import task_of

SLOTS = 16  # rows of points.<camera>: objects and places of a scene, in its order
SETTLE_STEPS = 60  # physics steps before the first observation


class Contact(NamedTuple):
    """Two geoms that touch, by number."""

    geoms: tuple[int, int]
    normal: float  # N, across the faces: how hard they press
    force: np.ndarray  # (3,) N in the world, friction included, of the first on the second
    point: np.ndarray  # (3,) m in the world


class World:
    """A scene brought to life. Lengths in m, angles in rad."""

    def __init__(self, scene: Scene, tune: Callable[[mujoco.MjSpec], None] | None = None) -> None:
        self.scene, self.body = scene, find_body(scene.body)
        self.model = model = build(scene, tune)
        self.data = mujoco.MjData(model)
        self.caster = Caster(model, scene)
        self.period = model.opt.timestep * round(self.body.physics_hz / self.body.control_hz)  # s per control step
        self.steps = 0
        self._task = task_of(scene)
        self._index(model)
        self._start()

    # ----------------------------------------------------------------------------------------------------- construction
    def _index(self, model: mujoco.MjModel) -> None:
        """Look every name up once."""
        names = self.body.action.names
        joints = [n.replace("_gripper", "_finger_a") for n in names]
        self._is_gripper = np.array([n.endswith("_gripper") for n in names])
        self._qpos = np.array([model.joint(j).qposadr[0] for j in joints])
        self._actuator = np.array([model.actuator(n).id for n in names])
        self._act = np.array([model.actuator(n).actadr[0] for n in names])
        half = np.array([arm.opening / 2 for arm in self.body.arms])
        self._scale = np.ones(len(names))  # action units → joint units
        self._scale[self._is_gripper] = half
        self._low, self._high = self.body.action.low, self.body.action.high
        self._bodies = [model.body(p.name).id for p in self.scene.parts]
        self._order = {p.name: i for i, p in enumerate(self.scene.parts)}
        root_to_part = {b: i for i, b in enumerate(self._bodies)}
        self._joint = {}
        for part in self.scene.parts:
            if "fixture" in part.parameters:
                self._joint[part.name] = model.joint(part.name).qposadr[0]
        # geom → part (−1: none) and geom → finger (2·arm + side, −1: none)
        self.part_of = np.full(model.ngeom + 1, -1)
        self.finger_of = np.full(model.ngeom, -1)
        self._point_of = np.full(model.ngeom + 1, -1)  # the geoms that stand for a part in points.<camera>
        for g in range(model.ngeom):
            b = model.geom_bodyid[g]
            while b and b not in root_to_part:
                b = model.body_parentid[b]
            part = root_to_part.get(b, -1) if b else -1
            self.part_of[g] = self._point_of[g] = part
            if part >= 0 and self.scene.parts[part].name in self._joint and not model.geom(g).name.endswith("_handle"):
                self._point_of[g] = -1  # a fixture is pointed at by its handle
        for i, arm in enumerate(self.body.arms):
            for side, label in enumerate("ab"):
                self.finger_of[model.geom(f"{arm.name}_finger_{label}").id] = 2 * i + side

    def _start(self) -> None:
        model, data = self.model, self.data
        start = np.array(self.scene.start)
        self._set_joints(start)
        for part in self.scene.parts:
            if part.name in self._joint:
                data.qpos[self._joint[part.name]] = part.parameters.get("value", 0.0)
        data.act[self._act] = np.clip(start, self._low, self._high) * self._scale
        mujoco.mj_step(model, data, SETTLE_STEPS)
        data.time = 0.0
        mujoco.mj_forward(model, data)
        self._remember()

    def _remember(self) -> None:
        """Count how often each fixture went from shut to open, and from open to shut: an odd number while it is open."""
        turned = self.data.userdata
        for name in self._joint:
            i, share = self._order[name], self.joint(name) / fixture_of(self.scene.part(name)).travel
            turned[i] += share < SHUT if turned[i] % 2 else share > OPEN
        self._task.remember(self)

    def _set_joints(self, q: np.ndarray) -> None:
        self.data.qpos[self._qpos] = q * self._scale
        for i, arm in enumerate(self.body.arms):  # the second finger follows the first
            address = self.model.joint(f"{arm.name}_finger_b").qposadr[0]
            self.data.qpos[address] = q[self._is_gripper][i] * arm.opening / 2

    def pose(self, state: np.ndarray, parts: Mapping | None = None, joints: Mapping | None = None) -> None:
        """Put the robot, and perhaps parts, elsewhere at once and at rest, without physics: for still pictures.

        state: (A,) joint angles and gripper openings, clipped to the limits. parts: object → position (3,) in m and yaw
        in rad. joints: fixture → joint value. Raises `UnknownNameError` for a part that cannot be moved that way.
        """
        free = {
            p.name: b for p, b in zip(self.scene.parts, self._bodies, strict=True) if self.model.body_dofnum[b] == 6
        }
        for what, asked, valid in (("movable part", parts, free), ("fixture", joints, self._joint)):
            if unknown := [name for name in asked or {} if name not in valid]:
                raise UnknownNameError(what, unknown[0], list(valid))
        state = np.clip(np.asarray(state, float), self._low, self._high)
        self._set_joints(state)
        for name, (position, yaw) in (parts or {}).items():
            address = self.model.jnt_qposadr[self.model.body_jntadr[free[name]]]
            self.data.qpos[address : address + 7] = (*position, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        for name, value in (joints or {}).items():
            self.data.qpos[self._joint[name]] = value
        self.data.qvel[:], self.data.act[self._act] = 0, state * self._scale
        mujoco.mj_forward(self.model, self.data)

    # -------------------------------------------------------------------------------------------------------- the robot
    @property
    def state(self) -> np.ndarray:
        """(A,) float32: joint angles and gripper openings, measured."""
        measured = self.data.qpos[self._qpos] / self._scale
        measured[self._is_gripper] = measured[self._is_gripper].clip(0, 1)  # pads give way a little when they squeeze
        return measured.astype(np.float32)

    def step(self, action: np.ndarray, hz: int | None = None) -> np.ndarray:
        """Advance one period of `hz` (default: control) towards the targets (A,); returns the clipped command.

        Raises ValueError for an action of another shape or with NaN.
        """
        action = np.asarray(action, float)
        if action.shape != self._low.shape or not np.isfinite(action).all():
            raise ValueError(
                f"action {action!r} is not {len(self._low)} finite numbers in the order of embodiment.action.names"
            )
        command = np.clip(action, self._low, self._high)
        substeps = self.body.physics_hz // (hz or self.body.control_hz)
        target = command * self._scale
        # A shut hand aims a little beyond closed, so that it squeezes what it holds instead of only touching it.
        target[self._is_gripper] -= 0.008 * np.clip(1 - 10 * command[self._is_gripper], 0, 1)
        duration = substeps * self.model.opt.timestep
        self.data.ctrl[self._actuator] = (target - self.data.act[self._act]) / duration
        mujoco.mj_step(self.model, self.data, substeps)
        self.data.act[self._act] = target  # exactly, so that rounding does not add up over an episode
        mujoco.mj_forward(self.model, self.data)  # poses and contacts of this instant, not of one physics step ago
        self.steps += 1
        self._remember()
        return command

    @property
    def time(self) -> float:
        """Seconds since the episode began."""
        return float(self.data.time)

    def tips(self) -> np.ndarray:
        """(arms, 3) tool tips in the world."""
        return tips(self.body, self.state.astype(float))

    # ------------------------------------------------------------------------------------------------- what tasks ask
    def position(self, part: str) -> np.ndarray:
        """(3,) centre of a part."""
        return self.data.xpos[self._body(part)].copy()

    def quaternion(self, part: str) -> np.ndarray:
        """(4,) w x y z."""
        return self.data.xquat[self._body(part)].copy()

    def _body(self, part: str) -> int:
        if part not in self._order:
            raise UnknownNameError("part of the scene", part, list(self._order))
        return self._bodies[self._order[part]]

    def joint(self, part: str) -> float:
        """The joint value of a fixture; 0 for anything else."""
        return float(self.data.qpos[self._joint[part]]) if part in self._joint else 0.0

    def openings(self, part: str) -> int:
        """How often a fixture has been open since the episode began, each time counted once; 0 for anything else."""
        return int(self.data.userdata[self._order[part]] + 1) // 2 if part in self._joint else 0

    def past(self, part: str) -> float:
        """What the task made a note of about a part that is no fixture (`Task.remember`); 0 until then."""
        return float(self.data.userdata[self._order[part]])

    def note(self, part: str, value: float) -> None:
        """For `Task.remember`: what `past` will say."""
        if part in self._joint:
            raise ValueError(f"{part!r} opens: of a fixture the world counts how often it was open, and nothing else")
        self.data.userdata[self._order[part]] = value

    def contacts(self) -> Iterator[Contact]:
        """Everything that touches something, at this instant."""
        wrench = np.empty(6)
        for i, contact in enumerate(self.data.contact[: self.data.ncon]):
            mujoco.mj_contactForce(self.model, self.data, i, wrench)
            force = wrench[:3] @ contact.frame.reshape(3, 3)
            yield Contact(tuple(map(int, contact.geom)), float(wrench[0]), force, contact.pos.copy())

    def pressure(self, part: str | None = None) -> np.ndarray:
        """(2 · arms,) N: how hard each finger presses a part; None for whatever it touches. Friction is left out."""
        found, wanted = np.zeros(2 * len(self.body.arms)), None if part is None else self._order[part]
        for contact in self.contacts():
            for one, other in (contact.geoms, contact.geoms[::-1]):
                if self.finger_of[one] >= 0 and wanted in (None, self.part_of[other]):
                    found[self.finger_of[one]] += contact.normal
        return found

    def touching(self) -> dict[str, set[int]]:
        """Part name → which fingers touch it (2·arm + side)."""
        found: dict[str, set[int]] = {}
        for a, b in self.data.contact.geom[: self.data.ncon]:
            for finger, other in ((self.finger_of[a], self.part_of[b]), (self.finger_of[b], self.part_of[a])):
                if finger >= 0 and other >= 0:
                    found.setdefault(self.scene.parts[other].name, set()).add(int(finger))
        return found

    def touched(self, part: str) -> bool:
        return part in self.touching()

    def holder(self, part: str) -> str | None:
        """The arm that holds a part between both fingers, if any."""
        fingers = self.touching().get(part, set())
        for i, arm in enumerate(self.body.arms):
            if {2 * i, 2 * i + 1} <= fingers:
                return arm.name
        return None

    # ------------------------------------------------------------------------------------------------------ observation
    def observe(self, cameras: tuple[str, ...] | None = None, points: bool = False) -> Observation:
        """State, instruction, truth and the pictures of `cameras` (None for all). points: also where everything is."""
        observation: Observation = {
            STATE: self.state,
            TASK: self.scene.instruction,
            SCENE: self.scene,
            ENVIRONMENT_STATE: self.truth(),
        }
        for sensor in self.body.sensors:
            observation[sensor.key] = np.asarray(load(sensor.kind, "sensor")(self), np.float32)
        for camera in self.body.cameras if cameras is None else map(self.body.camera, cameras):
            view = self.caster.look(self.data, camera)
            observation[image_key(camera.name)] = view.rgb
            if points:
                observation[points_key(camera.name)] = self.points(view)
        return observation

    def truth(self) -> np.ndarray:
        """(parts, 9): position, quaternion (w x y z), joint value and openings of every part, in the order of the scene."""
        data = self.data
        joints = np.array([[self.joint(p.name), self.openings(p.name)] for p in self.scene.parts])
        return np.concatenate([data.xpos[self._bodies], data.xquat[self._bodies], joints], 1)

    def points(self, view: View, least: int = 2) -> np.ndarray:
        """(SLOTS, 3) u, v, visible: the centroid of every part's pixels, visible when it covers `least` of them."""
        if len(self.scene.parts) > SLOTS:
            raise SceneError(f"a scene of {len(self.scene.parts)} parts; points have room for {SLOTS}")
        height, width = view.geom.shape
        owner = self._point_of[view.geom.reshape(-1)]
        seen = np.flatnonzero(owner >= 0)
        owner = owner[seen]
        count = np.bincount(owner, minlength=SLOTS)
        u = np.bincount(owner, (seen % width + 0.5) / width, SLOTS)
        v = np.bincount(owner, (seen // width + 0.5) / height, SLOTS)
        visible = count >= least
        many = np.maximum(count, 1)
        return np.stack([u / many * visible, v / many * visible, visible], 1)[:SLOTS].astype(np.float32)

    # -------------------------------------------------------------------------------------------------------- snapshots
    def snapshot(self) -> np.ndarray:
        """The whole physical state and what is remembered, for `restore` or for a renderer in another thread."""
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, self.data, state, kind)
        return state

    def restore(self, state: np.ndarray) -> None:
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)
        self.steps = round(self.time / self.period)

"""A plug goes into a socket. How wide the socket is, and whether the camera above sees it, is for the tasks to say.

The plug has a grip on top, so that a hand from above needs no second look; what is hard are the last millimetres. A policy that
is off by more than half of the clearance sets the plug on the rim, and has to feel or see its way from there.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from pilab.contracts import Goal, Part, SceneError
from pilab.world import objects, places
from pilab.world.bodies.duo import BASE_CAMERA
from pilab.world.demonstrators.carry import Carry
from pilab.world.tasks._carry import CarryTask

KIND = "pilab.world.tasks._insert"
RADIUS, STEM, GRIP = (
    0.020,
    0.016,
    (0.012, 0.012, 0.011),
)  # of the plug: its stem's radius and half height, half its grip, m
DEPTH, WALL = 0.026, 0.006  # of the socket: how high its wall is and half how thick, m
SEATED = 0.008  # the plug's underside is this near to the table when it is in, m
PLUG = objects.Shape((), 2 * (STEM + GRIP[2]), RADIUS, (0.0, math.pi / 2), 2 * GRIP[0], 2 * STEM + 0.010)
TOP, COPPER, STEEL, PANEL = (0.95, 0.80, 0.20), (0.78, 0.42, 0.16), (0.30, 0.36, 0.46), (0.62, 0.63, 0.66)
CAMERA = np.array(BASE_CAMERA.position)  # the panel hangs between it and the socket, m
UP = 0.55  # how far up on that line
HIDDEN = 0.075  # radius of what the panel hides on the table, m


def build_plug(spec: mujoco.MjSpec, part: Part) -> None:
    """A round stem with a square grip on top, free to move."""
    half = part.yaw / 2
    plug = spec.worldbody.add_body(name=part.name, pos=part.position, quat=(math.cos(half), 0, 0, math.sin(half)))
    plug.add_freejoint(name=part.name)
    common = {"mass": objects.MASS / 2, "friction": (0.5, 0.01, 0.0015)}
    size = (RADIUS, STEM, 0)
    plug.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=size, pos=(0, 0, -GRIP[2]), rgba=(*COPPER, 1), **common)
    plug.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=GRIP, pos=(0, 0, STEM), rgba=(*TOP, 1), **common)


def build_socket(spec: mujoco.MjSpec, part: Part) -> None:
    """A round wall, of sixteen boards, that leaves `clearance` m of its inner diameter to the plug."""
    socket = spec.worldbody.add_body(name=part.name, pos=part.position)
    inner = RADIUS + part.parameters["clearance"] / 2
    wide = (inner + 2 * WALL) * math.tan(math.pi / 16)
    for turn in np.arange(16) * math.pi / 8:
        at = ((inner + WALL) * math.cos(turn), (inner + WALL) * math.sin(turn), DEPTH / 2)
        socket.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=(WALL, wide, DEPTH / 2), pos=at, rgba=(*STEEL, 1),
            quat=(math.cos(turn / 2), 0, 0, math.sin(turn / 2)), friction=(0.2, 0.01, 0.0015), priority=1,
        )  # fmt: skip


def build_panel(spec: mujoco.MjSpec, part: Part) -> None:
    """A board that hangs in the air: seen, not touched."""
    panel = spec.worldbody.add_body(name=part.name, pos=part.position)
    size = (*[(1 - UP) * HIDDEN] * 2, 0.002)
    panel.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=size, rgba=(*PANEL, 1), contype=0, conaffinity=0)


def seated(plug: np.ndarray, socket: np.ndarray) -> bool:
    """Whether a plug sits in a socket, by where their middles are, (3,) m each."""
    return bool(np.hypot(*(plug - socket)[:2]) < 0.010 and plug[2] - PLUG.height / 2 < SEATED)


class CarryPlug(Carry):
    """Exactly over the socket, and down with it until it sits."""

    near = 0.002

    def shape(self, now):
        return PLUG

    def place(self, now):
        return places.Place("in", RADIUS, 0.004, DEPTH, 0.002, ())

    def _there(self, now):
        return seated(*(now.position(name) for name in (now.scene.goal.object, now.scene.goal.place)))


class Insert(CarryTask):
    """`clearance`: between plug and socket, of the diameter, m. `hidden`: the camera above does not see the socket."""

    verb = "insert"
    demonstrator = f"{KIND}:CarryPlug"
    metrics = ("reached", "placed_right")
    swappable = False
    templates = (
        "put the plug into the socket",
        "insert the plug",
        "plug it in",
        "push the plug into its socket",
    )
    paraphrases = ("please put the plug in", "the plug goes into the socket", "could you fit the plug into the socket")
    held_out_templates = ("fill the socket with the plug", "the plug belongs in the socket")

    def __init__(self, name: str, clearance: float, hidden: bool = False) -> None:
        self.name, self.clearance, self.hidden = name, clearance, hidden

    def lay_out(self, rng, pool, cell, reserved):
        if cell is not None:
            raise SceneError(f"{self.verb!r} brings its own plug; leave {cell[0]!r} out")
        x, y = rng.uniform(-0.20, 0.20), rng.uniform(0.10, 0.15)
        socket = Part("socket", f"{KIND}:build_socket", _at(x, y, 0), 0.0, {"clearance": self.clearance})
        away = np.array([rng.uniform(-0.22, 0.22), rng.uniform(-0.12, 0.0)])
        plug = Part(
            "plug", f"{KIND}:build_plug", _at(*away, PLUG.height / 2 + 0.0005), round(rng.uniform(-1.5, 1.5), 4)
        )
        parts = [plug, socket]
        if self.hidden:
            behind = np.array([x, y, 0]) + [*rng.uniform(-0.02, 0.02, 2), 0]  # it tells roughly where the socket is
            parts.append(Part("panel", f"{KIND}:build_panel", _at(*(behind + UP * (CAMERA - behind)))))
        return parts, Goal(self.verb, "plug", "socket")

    def achieved(self, world, goal):
        there = seated(world.position(goal.object), world.position(goal.place))
        return there and not world.touched(goal.object)

    def preposition(self, scene):
        return "in"

    def counts(self, world, goal):
        """How far the plug's underside is from the middle of the socket's ground, in mm."""
        gap = world.position(goal.object) - world.position(goal.place) - [0, 0, PLUG.height / 2]
        return {"off_mm": 1000 * float(np.linalg.norm(gap))}


def _at(x: float, y: float, z: float) -> tuple[float, float, float]:
    return round(float(x), 4), round(float(y), 4), round(float(z), 5)

"""Where things go: four places, and two fixtures that open and close.

Design choices
--------------
* A **place** is a fixed body with a floor and perhaps a wall. `Place` says how a demonstrator lets go over it and when an
  object counts as being there.
* A **fixture** has one joint and one handle. `Fixture.handle(part, value)` says where the handle is at any joint value, so
  that one demonstrator opens and closes drawers, lids, and whatever a reader adds: *take the handle, move it along, let go*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from pilab.contracts import Part, UnknownNameError

BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
KIND, FIXTURE_KIND = "pilab.world.places:build", "pilab.world.places:build_fixture"


@dataclass(frozen=True)
class Place:
    """A place for objects; lengths in m."""

    preposition: str  # put it "in" or "on"
    radius: float  # of the footprint
    inside: float  # an object whose centre is nearer than this is there
    wall: float  # height of the rim
    release: float  # height of an object's underside when the hand lets go
    solids: tuple[tuple, ...]  # (geom type, size, position, yaw, colour)

    def holds(self, item: np.ndarray, spot: np.ndarray, tall: float) -> bool:
        """Whether a thing of that height lies here, by where its middle and the place are, (3,) m each."""
        return bool(np.hypot(*(item - spot)[:2]) < self.inside and item[2] < self.wall + 0.8 * tall)


def _walls(count: int, distance: float, half_width: float, half_height: float, colour: tuple) -> tuple[tuple, ...]:
    turns = [2 * math.pi * i / count for i in range(count)]
    return tuple(
        (
            BOX,
            (0.003, half_width, half_height),
            (distance * math.cos(a), distance * math.sin(a), half_height),
            a,
            colour,
        )
        for a in turns
    )


CHINA, TEAL, NAVY, STRAW = (0.84, 0.85, 0.88), (0.25, 0.66, 0.66), (0.24, 0.28, 0.42), (0.62, 0.40, 0.20)
PLACES: Mapping[str, Place] = {
    "plate": Place("on", 0.062, 0.052, 0.004, 0.006, (
        (CYLINDER, (0.062, 0.0015, 0), (0, 0, 0.0015), 0, (0.45, 0.55, 0.78)),
        (CYLINDER, (0.054, 0.002, 0), (0, 0, 0.002), 0, CHINA))),
    "tray": Place("on", 0.066, 0.056, 0.012, 0.016, (
        (BOX, (0.058, 0.058, 0.002), (0, 0, 0.002), 0, TEAL), *_walls(4, 0.056, 0.058, 0.006, (0.16, 0.46, 0.48)))),
    "bowl": Place("in", 0.062, 0.054, 0.022, 0.028, (
        (CYLINDER, (0.058, 0.002, 0), (0, 0, 0.002), 0, NAVY), *_walls(8, 0.058, 0.0243, 0.011, (0.40, 0.46, 0.66)))),
    "basket": Place("in", 0.068, 0.056, 0.038, 0.044, (
        (BOX, (0.060, 0.060, 0.002), (0, 0, 0.002), 0, STRAW), *_walls(4, 0.058, 0.060, 0.019, (0.45, 0.27, 0.12)))),
}  # fmt: skip


OPEN, SHUT = 0.75, 0.12  # shares of its travel: a fixture is open beyond the one, and shut below the other


@dataclass(frozen=True)
class Fixture:
    """Something with one joint and a handle; lengths in m, joint values in m or rad."""

    half: tuple[float, float]  # half the footprint, across and along
    height: float
    reach: float  # how far in front of the footprint it comes, handle included, when open
    travel: float  # joint value when fully open
    handle: Callable[[float], tuple[float, float, float]]  # joint value → handle in the part's frame
    build: Callable[[mujoco.MjSpec, Part], None]
    nouns: tuple[str, ...]


def _drawer_handle(value: float) -> tuple[float, float, float]:
    return 0.0, -0.076 - value, 0.034


def _lid_handle(value: float) -> tuple[float, float, float]:
    """The bar sits 75 mm in front of the hinge and 28 mm above the lid; it turns about the hinge."""
    c, s = math.cos(value), math.sin(value)
    return 0.0, 0.045 - 0.075 * c + 0.028 * s, 0.047 + 0.075 * s + 0.028 * c


def _frame(spec: mujoco.MjSpec, part: Part) -> mujoco.MjsBody:
    return spec.worldbody.add_body(
        name=part.name, pos=part.position, quat=(math.cos(part.yaw / 2), 0, 0, math.sin(part.yaw / 2))
    )


def _box(body: mujoco.MjsBody, size: tuple, at: tuple, colour: tuple, name: str = "", **options: object) -> None:
    body.add_geom(name=name, type=BOX, size=size, pos=at, rgba=(*colour, 1), friction=(1.2, 0.01, 0.001), **options)


def _build_drawer(spec: mujoco.MjSpec, part: Part) -> None:
    shell, front, knob = (0.70, 0.72, 0.74), (0.86, 0.55, 0.62), (0.30, 0.12, 0.18)
    cabinet = _frame(spec, part)
    for x in (-0.053, 0.053):
        _box(cabinet, (0.002, 0.050, 0.025), (x, 0, 0.025), shell)
    _box(cabinet, (0.055, 0.002, 0.025), (0, 0.048, 0.025), shell)
    _box(cabinet, (0.055, 0.050, 0.002), (0, 0, 0.052), shell)
    drawer = cabinet.add_body(name=f"{part.name}_moving")
    drawer.add_joint(
        name=part.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, -1, 0), range=(0, DRAWER_TRAVEL), limited=True,
        damping=4.0, frictionloss=0.4, armature=0.02,
    )  # fmt: skip
    _box(drawer, (0.050, 0.002, 0.023), (0, -0.048, 0.024), front, mass=0.05)
    _box(drawer, (0.048, 0.044, 0.002), (0, 0, 0.004), front, mass=0.05)
    for x in (-0.047, 0.047):
        _box(drawer, (0.002, 0.044, 0.014), (x, 0, 0.018), front, mass=0.02)
    _box(drawer, (0.004, 0.012, 0.004), (0, -0.062, 0.030), knob, name=f"{part.name}_stem", mass=0.01)
    _box(drawer, (0.008, 0.006, 0.018), (0, -0.076, 0.032), knob, name=f"{part.name}_handle", mass=0.02, condim=4)
    spec.add_exclude(bodyname1=part.name, bodyname2=f"{part.name}_moving")


def _build_lid(spec: mujoco.MjSpec, part: Part) -> None:
    shell, top, knob = (0.36, 0.50, 0.34), (0.58, 0.74, 0.46), (0.14, 0.24, 0.12)
    chest = _frame(spec, part)
    for x in (-0.048, 0.048):
        _box(chest, (0.002, 0.045, 0.021), (x, 0, 0.021), shell)
    for y in (-0.043, 0.043):
        _box(chest, (0.050, 0.002, 0.021), (0, y, 0.021), shell)
    _box(chest, (0.048, 0.043, 0.002), (0, 0, 0.002), shell)
    lid = chest.add_body(name=f"{part.name}_moving", pos=(0, 0.045, 0.045))
    lid.add_joint(
        name=part.name,
        axis=(-1, 0, 0),
        range=(0, LID_TRAVEL),
        limited=True,
        damping=0.02,
        frictionloss=0.03,
        armature=0.002,
    )
    _box(lid, (0.050, 0.045, 0.002), (0, -0.045, 0), top, mass=0.03)
    _box(lid, (0.004, 0.004, 0.013), (0, -0.075, 0.013), knob, name=f"{part.name}_stem", mass=0.003)
    lid.add_geom(
        name=f"{part.name}_handle", type=CYLINDER, size=(0.006, 0.013, 0), pos=(0, -0.075, 0.030), rgba=(*knob, 1),
        quat=(math.sqrt(0.5), 0, math.sqrt(0.5), 0), mass=0.005, friction=(1.5, 0.0003, 0.0001), condim=4,
        priority=1,  # its friction counts, not the pads': the bar must turn between the fingers as the lid swings
    )  # fmt: skip
    spec.add_exclude(bodyname1=part.name, bodyname2=f"{part.name}_moving")


DRAWER_TRAVEL, LID_TRAVEL = (
    0.060,
    1.35,
)  # m, rad: an open lid leans forward a little, so that its handle is seen from above
FIXTURES: Mapping[str, Fixture] = {
    "drawer": Fixture((0.055, 0.050), 0.054, 0.105, DRAWER_TRAVEL, _drawer_handle, _build_drawer, ("drawer",)),
    "lid": Fixture((0.050, 0.045), 0.047, 0.0, LID_TRAVEL, _lid_handle, _build_lid, ("lid", "box")),
}


def place_part(name: str, x: float, y: float, yaw: float) -> Part:
    return Part(name, KIND, (round(x, 4), round(y, 4), 0.0), round(yaw, 4), {"place": name})


def fixture_part(name: str, x: float, y: float, yaw: float, value: float) -> Part:
    """A fixture whose joint starts at `value`."""
    return Part(
        name, FIXTURE_KIND, (round(x, 4), round(y, 4), 0.0), round(yaw, 4), {"fixture": name, "value": round(value, 4)}
    )


def place_of(part: Part) -> Place:
    return _named("place", part.parameters["place"], PLACES)


def fixture_of(part: Part) -> Fixture:
    return _named("fixture", part.parameters["fixture"], FIXTURES)


def _named(what: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise UnknownNameError(what, name, list(table))
    return table[name]


def build(spec: mujoco.MjSpec, part: Part) -> None:
    """Add a place: a fixed body."""
    body = _frame(spec, part)
    for kind, size, position, yaw, colour in place_of(part).solids:
        body.add_geom(
            type=kind, size=size, pos=position, quat=(math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)), rgba=(*colour, 1),
            friction=(0.5, 0.01, 0.0015),
        )  # fmt: skip


def build_fixture(spec: mujoco.MjSpec, part: Part) -> None:
    """Add a drawer or a lid: a fixed body and a moving one."""
    fixture_of(part).build(spec, part)


def handle_position(part: Part, value: float) -> np.ndarray:
    """(3,) m in the world: where the handle of a fixture is when its joint is at `value`."""
    x, y, z = fixture_of(part).handle(value)
    c, s = math.cos(part.yaw), math.sin(part.yaw)
    return np.array([part.position[0] + c * x - s * y, part.position[1] + s * x + c * y, part.position[2] + z])

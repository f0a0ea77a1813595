"""What the web shows: rendered tables with things on them, as many cameras, lights and backgrounds as it takes.

Design choices
--------------
* **The robot's own domain is part of the web**: about half of the pictures are taken by its base camera, in its light, on its
  table, with its arms at work. Without them a model names on the web what it does not recognise at work. The others
  vary: another camera above the table, another light, tables and floors of any colour.
* **Every look is shown**, those that robot data may not contain too; alone, in pairs, in crowds of five. All equally often,
  whatever they are called: names come from a table of facts when questions are asked, so that one set of pictures serves
  every world of nouns.
* What is known of a picture (names of the parts, points, joints, words on a sign) is kept; what can be asked about it is
  a function of that: see `questions`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import mujoco
import numpy as np

from pilab.contracts import CameraSpec, Goal, Part, Scene, SceneError, UnknownNameError, image_key, points_key
from pilab.data.drawings import Drawings, Layout, Picture
from pilab.data.pointing import pose_at_work
from pilab.data.web.lore import SIGNS
from pilab.world import objects, places, scenes, signs
from pilab.world.cameras import View, look_at
from pilab.world.environment import SLOTS, World

VERSION = 1  # of how a picture is drawn
CAMERA = "base"
AT_WORK = 0.5  # share of pictures that are taken as the robot's camera takes them
SIGNED = 0.25  # share of pictures with a sign
CROWD = (0.35, 0.2, 0.2, 0.15, 0.1)  # chance of one, two, … objects


@dataclass(frozen=True)
class WebRecipe:
    """What the pictures are a function of."""

    seed: int = 0
    body: str = "duo"
    # Words of which one stands on a sign in every picture, "" for none; without any see `SIGNED`.
    signs: tuple[str, ...] = ()
    room: ClassVar[str] = "web"
    probes: ClassVar[int] = 4

    @property
    def digest(self) -> str:
        about = {key: value for key, value in asdict(self).items() if value != ()}
        return hashlib.sha256(json.dumps([VERSION, about], sort_keys=True).encode()).hexdigest()[:12]

    def layout(self) -> Layout:
        camera = scenes.find_body(self.body).camera(CAMERA)
        return {
            image_key(CAMERA): ("uint8", (camera.height, camera.width, 3)),
            points_key(CAMERA): ("float32", (3 * SLOTS,)),
        }

    def draw(self, k: int) -> Picture:
        rng = np.random.default_rng([self.seed, 44, k])
        at_work = rng.random() < AT_WORK
        scene = lay_out(rng, self.body, k, at_work, self.signs)
        world = World(scene, None if at_work else _painter(rng))
        if at_work and rng.random() < 0.7:
            pose_at_work(world, rng)
        view = world.caster.look(world.data, world.body.camera(CAMERA)) if at_work else _elsewhere(world, rng)
        points = world.points(view)
        note = {
            "parts": [part.name for part in scene.parts],
            "sign": next((part.parameters["text"] for part in scene.parts if "text" in part.parameters), ""),
            "open": [part.name for part in scene.parts if part.name in places.FIXTURES and _is_open(world, part)],
            "at_work": bool(at_work),
        }
        return {image_key(CAMERA): view.rgb, points_key(CAMERA): points.reshape(-1)}, note


class WebPictures(Drawings):
    """Pictures `observation.images.base` (N, H, W, 3) uint8 with `points.base` (N, 3·SLOTS), and a note of each."""

    @classmethod
    def open(
        cls, count: int, seed: int = 0, body: str = "duo", progress: bool = True, workers: int | None = None,
        signs: Sequence[str] = (),
    ) -> Self:  # fmt: skip
        """The first `count` pictures of a seed; draws those that are missing, all of them where they are stale.

        signs: as in `WebRecipe`. Raises `SceneError` for a count below 1, `UnknownNameError` for a body that has no base
        camera, `DatasetError` on a full disk.
        """
        if count < 1:
            raise SceneError(f"{count} pictures of the web; expected at least one")
        cameras = [camera.name for camera in scenes.find_body(body).cameras]
        if CAMERA not in cameras:
            raise UnknownNameError("camera for pictures of the web", CAMERA, cameras)
        return cls.of(WebRecipe(seed, body, tuple(signs)), count, progress, workers)


# --------------------------------------------------------------------------------------------------------- one picture
def lay_out(rng: np.random.Generator, body: str, k: int, at_work: bool, words: Sequence[str] = ()) -> Scene:
    """A table with one to five of all looks, up to three places and fixtures, perhaps a sign; words: of which it says one."""
    for _ in range(scenes.ATTEMPTS):
        try:
            wanted = [name for name in (*places.PLACES, *places.FIXTURES) if rng.random() < 0.3][:3]
            joints = {name: rng.random() * places.FIXTURES[name].travel for name in places.FIXTURES}
            parts = scenes.stand(rng, wanted, joints) if wanted else []
            count = 1 + int(rng.choice(len(CROWD), p=CROWD))
            looks = [str(look) for look in rng.choice(objects.LOOKS, count, replace=False)]
            parts += scenes.scatter(rng, looks, parts)
            if words or rng.random() < SIGNED:
                parts += _sign(rng, parts, words or tuple(SIGNS))
            break
        except scenes.Rejected:
            continue
    else:
        raise SceneError(f"no layout for picture {k} of the web in {scenes.ATTEMPTS} attempts; use another seed")
    robot = scenes.find_body(body)
    bright = rng.uniform(0.45, 0.6) if at_work else rng.uniform(0.3, 0.75)
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 3.0)
    wood = np.array([0.76, 0.64, 0.50]) * rng.uniform(0.88, 1.08)
    table = wood if at_work or rng.random() < 0.3 else rng.uniform(0.15, 0.95, 3)
    return Scene(
        seed=k, task="put",  # a scene has one; nothing is to be done in this one
        body=body, goal=Goal("none", looks[0]), instruction="", parts=tuple(parts),
        start=tuple(robot.home.tolist()),
        light=(round(math.cos(turn), 4), round(math.sin(turn), 4), round(height, 4), round(bright, 4)),
        table=tuple(np.clip(table, 0, 1).round(4).tolist()),
    )  # fmt: skip


def _sign(rng: np.random.Generator, standing: list[Part], words: Sequence[str]) -> list[Part]:
    """Flat on the table where objects may lie, if there is a word to write on it; raises `Rejected` where nothing is free."""
    (x0, x1), (y0, y1) = scenes.OBJECT_ZONE
    for _ in range(20):
        x, y = rng.uniform(x0, x1), rng.uniform(y0, y1)
        things = [part.position[:2] for part in standing if "look" in part.parameters]
        if scenes.clear(x, y, standing) and all(math.dist((x, y), thing) > scenes.SPACING for thing in things):
            text = words[rng.integers(len(words))]
            return [signs.part(text, x, y, rng.uniform(-0.3, 0.3))] if text else []
    raise scenes.Rejected


def _painter(rng: np.random.Generator) -> Callable[[mujoco.MjSpec], None]:
    """Another floor."""
    colour = (*rng.uniform(0.1, 0.9, 3), 1)

    def paint(spec: mujoco.MjSpec) -> None:
        spec.geom("floor").rgba = colour

    return paint


def _elsewhere(world: World, rng: np.random.Generator) -> View:
    """A picture of the size of the robot's, by another camera above the table."""
    camera: CameraSpec = world.body.camera(CAMERA)
    turn, tilt, away = rng.uniform(-0.7, 0.7), rng.uniform(0.0, 0.6), rng.uniform(0.75, 1.0)
    target = (rng.uniform(-0.04, 0.04), rng.uniform(0.0, 0.08), 0.0)
    position = (
        target[0] + away * math.sin(tilt) * math.sin(turn),
        target[1] + 1e-3 - away * math.sin(tilt) * math.cos(turn),
        away * math.cos(tilt),
    )
    spec, frame = look_at(CAMERA, position, target, camera.height, camera.width, camera.fovy * rng.uniform(0.9, 1.25))
    return world.caster.look_from(world.data, spec, np.array(position), frame)


def _is_open(world: World, part: Part) -> bool:
    """More than half of the way."""
    return world.joint(part.name) > 0.5 * places.FIXTURES[part.name].travel


def describe(pictures: WebPictures) -> dict[str, Any]:
    """Counts, for the card."""
    looks = [name for note in pictures.notes for name in note["parts"] if name in objects.LOOKS]
    return {
        "pictures": len(pictures),
        "taken as the robot sees": sum(note["at_work"] for note in pictures.notes),
        "with a sign": sum(bool(note["sign"]) for note in pictures.notes),
        "looks shown": len(set(looks)),
        "reserved looks shown": len(set(looks) & set(objects.RESERVED)),
        "things a picture": round(len(looks) / len(pictures), 2),
    }

"""Pointing scenes: still pictures of many layouts with where everything is, to train which pixel is the apple.

Design choices
--------------
* Demonstrations hold a few thousand layouts, each for a hundred frames; grounding wants the opposite. A picture here is
  one draw of the sampler, posed and rendered without a single control step.
* **It must look like work**: hands reach over things (wrist cameras see them, the base camera sees less), some hold an
  object, drawers and lids stand anywhere between shut and open. Poses are rejected on geometry alone (reach, contact).
* **It is robot data**: what is reserved never enters. Scenes come from training seeds far from the demonstrations' own.
  A picture has no verb; whoever words one for it asks `is_reserved_cell` first.
* Drawn once and kept (`pilab.data.drawings`); the first picture of every task is compared whenever they are opened.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from pilab.contracts import STATE, Arm, Part, ReservedError, Scene, SceneError, image_key, points_key
from pilab.data.drawings import Drawings, Layout, Picture
from pilab.world import objects
from pilab.world.environment import SLOTS, World
from pilab.world.kinematics import chain, top_down
from pilab.world.scenes import OBJECT_ZONE, PLACE_ROW, TRAINING, find_body, refuse_reserved, sample_scene

VERSION = 1  # of how a picture is drawn
FIRST_SEED = 200_000  # demonstrations count from 0: the two share no layout
WORKING, HOLDING = 0.6, 0.3  # share of arms that reach somewhere, and of scenes in which one holds an object
CANDIDATES = 8  # poses drawn at once for every arm that works; the first that geometry allows is taken
LIFT = (0.02, 0.20)  # of a tip above what is below it, m
TURN = 1.2  # of a hand to either side of its home yaw, rad
APART = 0.10  # between the middle lines of two arms: twice the thickest link and a little air, m


@dataclass(frozen=True)
class PointingRecipe:
    """What the pictures are a function of."""

    seed: int = 0  # counted from FIRST_SEED
    body: str = "duo"
    tasks: tuple[str, ...] = ("put", "push", "open", "close")  # in turn: their samplers lay the scenes out

    def scene(self, k: int) -> Scene:
        """The scene of picture k. Raises `ReservedError` for what must not become training data."""
        scene = sample_scene(FIRST_SEED + self.seed + k, self.tasks[k % len(self.tasks)], body=self.body)
        refuse_reserved(scene)
        return scene

    room: ClassVar[str] = "pointing"

    @property
    def probes(self) -> int:
        return len(self.tasks)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that name the folder."""
        return hashlib.sha256(json.dumps([VERSION, asdict(self)], sort_keys=True).encode()).hexdigest()[:12]

    def layout(self) -> Layout:
        return _layout(self.body)

    def draw(self, k: int) -> Picture:
        scene = self.scene(k)
        return draw(scene), [p.name for p in scene.parts]


class PointingScenes(Drawings):
    """Pictures with points, under the keys of a dataset's columns.

    `observation.state` (N, A), `observation.images.*` (N, H, W, 3) uint8, `points.*` (N, 3·SLOTS).
    """

    @cached_property
    def parts(self) -> list[tuple[str, ...]]:
        """Of each picture: the part that u, v, visible of slot j belong to is parts[i][j]."""
        return [tuple(names) for names in self.notes]

    @classmethod
    def open(
        cls, count: int, seed: int = 0, body: str = "duo", tasks: tuple[str, ...] = PointingRecipe.tasks,
        progress: bool = True, workers: int | None = None,
    ) -> Self:  # fmt: skip
        """The first `count` pictures of a recipe; draws those that are missing, all of them where they are stale.

        workers: processes, by default one for each core. Raises `ReservedError` beyond the training seeds, `SceneError`
        or `UnknownNameError` for a recipe that cannot be drawn, `DatasetError` on a full disk.
        """
        recipe = PointingRecipe(seed, body, tuple(tasks))
        if count < 1 or not recipe.tasks:
            raise SceneError(f"{count} pictures of tasks {recipe.tasks}; expected at least one of either")
        if seed < 0 or FIRST_SEED + seed + count > TRAINING.stop:
            raise ReservedError(
                f"pointing seeds {seed} … {seed + count - 1}; those kept for it are "
                f"0 … {TRAINING.stop - FIRST_SEED - 1}: earlier ones belong to demonstrations, later ones to tests"
            )
        return cls.of(recipe, count, progress, workers)


# ---------------------------------------------------------------------------------------------------------- one picture
def draw(scene: Scene) -> dict[str, np.ndarray]:
    """The picture of a scene in a random pose, a function of the scene alone.

    State (A,) float32, and per camera the image (H, W, 3) uint8 and the points (3·SLOTS,) float32.
    """
    world = World(scene)
    pose_at_work(world, np.random.default_rng([scene.seed, 17]))
    seen = world.observe(points=True)
    return {key: np.asarray(seen[key], dtype).reshape(shape) for key, (dtype, shape) in _layout(scene.body).items()}


def pose_at_work(world: World, rng: np.random.Generator) -> None:
    """Pose the arms, the fixtures and perhaps a held object as they may be in the middle of a task.

    Arms stay in the scene's start pose, with empty hands, where geometry allows none of the candidates.
    """
    scene, arms = world.scene, world.body.arms
    joints = {p.name: rng.uniform(*world.model.joint(p.name).range) for p in scene.parts if "fixture" in p.parameters}
    state = np.array(scene.start)
    for arm in arms:
        state[world.body.slice(arm.name)][-1] = rng.random()  # the gripper
    world.pose(state, joints=joints)
    start = state.copy()
    holder, held = None, None
    things = [p for p in scene.parts if "look" in p.parameters]
    if things and rng.random() < HOLDING:
        holder, held = arms[rng.integers(len(arms))], things[rng.integers(len(things))]
    able = [arm for arm in arms if rng.random() < WORKING or arm is holder]
    reached = [_reach(world, arm, held if arm is holder else None, rng) for arm in able]
    for choice in zip(*reached, strict=False):
        parts = {}
        for arm, q in zip(able, choice, strict=True):
            state[world.body.slice(arm.name)][:-1] = q
            if arm is holder:
                parts[held.name], state[world.body.slice(arm.name)][-1] = _grasp(arm, q, held, rng)
        world.pose(state, parts, joints)
        if _is_free(world, holder, held):
            return
    world.pose(start, {held.name: (held.position, held.yaw)} if held else {}, joints)


def _reach(world: World, arm: Arm, held: Part | None, rng: np.random.Generator) -> np.ndarray:
    """Joint angles (n ≤ CANDIDATES, J) of a hand that points down over random parts and random spots of the table."""
    (x0, x1), (y0, _), (_, y1) = *OBJECT_ZONE, PLACE_ROW[1]
    spots = rng.uniform((x0, y0), (x1, y1), (CANDIDATES, 2))
    parts = np.array([world.position(p.name)[:2] for p in world.scene.parts])
    above = rng.random(CANDIDATES) < 0.8
    spots[above] = parts[rng.integers(len(parts), size=above.sum())] + rng.normal(0, 0.03, (above.sum(), 2))
    low, high = LIFT if held is None else (0.002, LIFT[1])  # what has just been taken is hardly off the table
    lift = _floor(world, spots, held) + rng.uniform(low, high, CANDIDATES)
    if held is not None:
        lift += objects.shape_of(held.parameters["look"]).grasp_height
    home = np.broadcast_to(arm.home, (CANDIDATES, len(arm.home)))
    yaw = _yaw(chain(arm).forward(arm.home)[1]) + rng.uniform(-TURN, TURN, CANDIDATES)
    q, miss = chain(arm).inverse(np.column_stack([spots, lift]), top_down(yaw), home, iterations=40)
    upright = chain(arm).forward(q)[1][:, 2, 0] < -0.999  # the approach direction
    return q[(miss < 1e-3) & upright]


def _yaw(rotation: np.ndarray) -> float:
    """The direction in which a hand (3, 3) that points down closes, rad."""
    return np.arctan2(rotation[1, 1], rotation[0, 1])


def _floor(world: World, spots: np.ndarray, but: Part | None) -> np.ndarray:
    """(n,) m: how high what stands at each of `spots` (n, 2) reaches, 0 for the bare table; `but` does not count."""
    model, data = world.model, world.data
    roots = [model.body(p.name).id for p in world.scene.parts if p is not but]
    geoms = np.flatnonzero(np.isin(model.body_rootid[model.geom_bodyid], roots))
    turn, box = data.geom_xmat[geoms].reshape(-1, 3, 3), model.geom_aabb[geoms]
    centre = data.geom_xpos[geoms] + (turn @ box[:, :3, None])[..., 0]
    half = (np.abs(turn) @ box[:, 3:, None])[..., 0]
    inside = (np.abs(spots[:, None] - centre[:, :2]) < half[:, :2]).all(-1)
    return np.where(inside, (centre + half)[:, 2], 0.0).max(1, initial=0.0)


def _grasp(arm: Arm, q: np.ndarray, held: Part, rng: np.random.Generator) -> tuple[tuple[np.ndarray, float], float]:
    """Position and yaw of a part that the hand at q (J,) holds upright, and the gripper's opening 0 … 1."""
    shape = objects.shape_of(held.parameters["look"])
    tip, rotation, *_ = chain(arm).forward(q)
    yaw = _yaw(rotation) - (rng.choice(shape.grasp_yaws) if shape.grasp_yaws else rng.uniform(-np.pi, np.pi))
    yaw += np.pi * rng.integers(2)
    return (tip + (0, 0, shape.height / 2 - shape.grasp_height), yaw), shape.grasp_width / arm.opening


def _is_free(world: World, holder: Arm | None, held: Part | None) -> bool:
    """Whether no hand and no held part touches anything, but for one another, and no two arms cross."""
    model, arms, contact = world.model, world.body.arms, world.data.contact
    hand = {arm: model.body_rootid[model.geom(f"{arm.name}_finger_a").bodyid[0]] for arm in arms}
    owner = {root: i for i, root in enumerate(hand.values())}  # body → what moves as one
    if held is not None:
        owner[model.body(held.name).id] = owner[hand[holder]]
    for pair in model.body_rootid[model.geom_bodyid[contact.geom[contact.dist < 0]]]:
        a, b = (owner.get(root) for root in pair)
        if a != b:
            return False
    spines = [_spine(arm, world.state[world.body.slice(arm.name)][:-1]) for arm in arms]
    return all(np.linalg.norm(a[:, None] - b, axis=-1).min() > APART for a, b in itertools.combinations(spines, 2))


def _spine(arm: Arm, q: np.ndarray) -> np.ndarray:
    """(n, 3) points along the middle of an arm, a few cm apart."""
    tip, _, _, origins = chain(arm).forward(q)
    nodes = np.concatenate([origins, tip[None]])
    return np.concatenate([np.linspace(a, b, 8) for a, b in itertools.pairwise(nodes)])


def _layout(body: str) -> Layout:
    cameras = find_body(body).cameras
    images = {image_key(c.name): ("uint8", (c.height, c.width, 3)) for c in cameras}
    points = {points_key(c.name): ("float32", (3 * SLOTS,)) for c in cameras}
    return {STATE: ("float32", (find_body(body).size,))} | images | points

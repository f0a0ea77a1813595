"""Films: an episode seen from where a person would stand, with shadows, from snapshots of its world."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np

from pilab.contracts import CameraSpec
from pilab.world import objects
from pilab.world.cameras import Caster, look_at
from pilab.world.environment import World
from pilab.world.scenes import sample_scene

EYE, TARGET = (0.46, 0.74, 0.56), (0.0, 0.0, 0.06)  # m


def viewpoint(height: int = 480, width: int = 640) -> tuple[CameraSpec, np.ndarray]:
    """The film camera: across the table from the robot, a little to its right."""
    return look_at("film", EYE, TARGET, height, width, 38.0)


def shoot(
    world: World, snapshots: Sequence[np.ndarray], *, height: int = 480, width: int = 640, threads: int = 2
) -> np.ndarray:
    """(T, height, width, 3) uint8: one picture per snapshot (`World.snapshot`), rendered by `threads` threads."""
    camera, frame = viewpoint(height, width)

    def render(some: Sequence[np.ndarray]) -> list[np.ndarray]:
        data, caster, pictures = mujoco.MjData(world.model), Caster(world.model, world.scene), []
        for state in some:
            mujoco.mj_setState(world.model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            mujoco.mj_forward(world.model, data)
            pictures.append(caster.look_from(data, camera, np.array(camera.position), frame, shadows=True).rgb)
        return pictures

    chunks = [list(snapshots[i::threads]) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(render, chunks))
    film = np.empty((len(snapshots), height, width, 3), np.uint8)
    for i, share in enumerate(shares):
        if share:
            film[i::threads] = np.stack(share)
    return film


def portrait(look: str, size: int = 96) -> np.ndarray:
    """(size, size, 3) uint8: one object on the table, close up, with shadows."""
    item = objects.part(look, 0.0, -0.05, 0.5)
    scene = sample_scene(0).replace(parts=(item,), light=(-0.5, 0.4, 1.6, 0.5), table=(0.78, 0.68, 0.56))
    world = World(scene)
    camera, frame = look_at("portrait", (0.07, 0.13, 0.22), (0.0, -0.05, 0.012), size, size, 24.0)
    return world.caster.look_from(world.data, camera, np.array(camera.position), frame, shadows=True).rgb

"""Cameras without OpenGL: every pixel is a ray cast by MuJoCo's collision geometry.

Design choices
--------------
* `mujoco.mj_multiRay` returns geom, distance and normal for all rays of a picture in one call that releases the GIL, so
  worlds render in parallel threads and the pixels are the same on every machine.
* Colour = the geom's own × (ambient + diffuse · max(0, n·l)), one directional light. Enough for a policy, and honest: no
  texture that a policy could cheat with. Signs are *decals*, looked up where the ray meets the card.
* The same caster with a second ray towards the light for every hit makes the films that people look at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from pilab.contracts import CameraSpec, Scene
from pilab.world import signs

FAR = 10.0  # m
SKY = (198.0, 208.0, 218.0)


@dataclass(frozen=True)
class View:
    """What one camera sees. `geom` is −1 where a ray hits nothing; `depth` is the distance along the ray, m."""

    rgb: np.ndarray  # (H, W, 3) uint8
    geom: np.ndarray  # (H, W) int32
    depth: np.ndarray  # (H, W) float64


class Caster:
    """Renders one model. Holds its buffers, so one Caster serves one thread at a time."""

    def __init__(self, model: mujoco.MjModel, scene: Scene) -> None:
        self.model = model
        direction = np.array(scene.light[:3], float)
        self.light = direction / np.linalg.norm(direction)
        self.ambient = scene.light[3]
        # One more row, the last, is what geom −1 indexes: the background.
        self.colours = np.concatenate([model.geom_rgba[:, :3] * 255, [SKY]]).astype(np.float32)
        self.decals = {}
        for i in range(model.ntext):
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_TEXT, i)
            if name.startswith(signs.DECAL):
                self.decals[model.geom(name.removeprefix(signs.DECAL)).id] = signs.picture(_text(model, i))
        self._buffers: dict[CameraSpec, tuple[np.ndarray, ...]] = {}

    def look(self, data: mujoco.MjData, camera: CameraSpec, shadows: bool = False) -> View:
        """Render from a camera of the model (`camera.name`) at the size and field of view of `camera`."""
        index = self.model.camera(camera.name).id
        return self.look_from(data, camera, data.cam_xpos[index], data.cam_xmat[index].reshape(3, 3), shadows)

    def look_from(
        self, data: mujoco.MjData, camera: CameraSpec, position: np.ndarray, frame: np.ndarray, shadows: bool = False
    ) -> View:
        """Render from any position (3,) and frame (3, 3; columns right, up, backwards)."""
        rays, world, geom, depth, normal = self._buffer(camera)
        np.matmul(rays, frame.T, out=world)
        mujoco.mj_multiRay(
            self.model, data, position, world.reshape(-1), None, 1, -1, geom, depth, normal.reshape(-1), len(geom), FAR
        )
        diffuse = normal @ self.light
        np.maximum(diffuse, 0.0, out=diffuse)
        if shadows:
            diffuse *= self._lit(data, position, world, geom, depth, normal)
        shade = (self.ambient + (1 - self.ambient) * diffuse).astype(np.float32)
        shade[geom < 0] = 1.0
        colour = self.colours[geom]
        for decal, picture in self.decals.items():
            self._paste(data, decal, picture, position, world, geom, depth, colour)
        colour *= shade[:, None]
        shape = (camera.height, camera.width)
        # numpy's float → uint8 conversion is exact here: colours and shades are already within 0 … 255.
        return View(colour.astype(np.uint8).reshape(*shape, 3), geom.reshape(shape).copy(), depth.reshape(shape).copy())

    def _buffer(self, camera: CameraSpec) -> tuple[np.ndarray, ...]:
        if camera not in self._buffers:
            rays = pixel_rays(camera)
            n = len(rays)
            self._buffers[camera] = (rays, np.empty((n, 3)), np.empty(n, np.int32), np.empty(n), np.empty((n, 3)))
        return self._buffers[camera]

    def _lit(self, data, position, world, geom, depth, normal) -> np.ndarray:
        """(N,) 1 where the light reaches the hit point, less in its own or another's shadow."""
        lit = np.ones(len(geom))
        # MuJoCo casts many rays from one point; shadow rays start at many. Cast them backwards, from a far point in the
        # direction of the light: what they meet first is lit, what lies behind it is in shadow.
        sun = self.light * 6.0
        hits = np.flatnonzero(geom >= 0)
        points = position + world[hits] * depth[hits, None] + normal[hits] * 5e-4
        rays = points - sun
        distance = np.linalg.norm(rays, axis=1)
        rays /= distance[:, None]
        first, reached = np.empty(len(hits), np.int32), np.empty(len(hits))
        mujoco.mj_multiRay(self.model, data, sun, rays.reshape(-1), None, 1, -1, first, reached, None, len(hits), FAR)
        lit[hits[(first >= 0) & (reached < distance - 2e-3)]] = 0.25
        return lit

    @staticmethod
    def _paste(data, decal, picture, position, world, geom, depth, colour) -> None:
        """Colour the pixels of a card's upper face from its picture."""
        pixels = np.flatnonzero(geom == decal)
        if not len(pixels):
            return
        points = position + world[pixels] * depth[pixels, None]
        x, y, z = ((points - data.geom_xpos[decal]) @ data.geom_xmat[decal].reshape(3, 3)).T
        top = z > 0
        rows, columns = picture.shape[:2]
        row = ((1 - (y[top] / signs.HALF[1] + 1) / 2) * rows).astype(int).clip(0, rows - 1)
        column = ((x[top] / signs.HALF[0] + 1) / 2 * columns).astype(int).clip(0, columns - 1)
        colour[pixels[top]] = picture[row, column]


def pixel_rays(camera: CameraSpec) -> np.ndarray:
    """(H·W, 3) unit vectors through the pixel centres, row by row from the top left, in the camera's frame."""
    half = math.tan(math.radians(camera.fovy) / 2)
    v = (1 - (np.arange(camera.height) + 0.5) / camera.height * 2) * half
    u = ((np.arange(camera.width) + 0.5) / camera.width * 2 - 1) * half * camera.width / camera.height
    rays = np.stack([np.tile(u, (len(v), 1)), np.tile(v[:, None], (1, len(u))), -np.ones((len(v), len(u)))], -1)
    return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)


def look_at(
    name: str, position: tuple, target: tuple, height: int, width: int, fovy: float
) -> tuple[CameraSpec, np.ndarray]:
    """A camera at `position` that looks at `target`, and its frame (3, 3), for `Caster.look_from`."""
    back = np.array(position, float) - np.array(target, float)
    back /= np.linalg.norm(back)
    right = np.cross([0, 0, 1.0], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    spec = CameraSpec(name, height, width, fovy, "world", tuple(position), tuple(right), tuple(up))
    return spec, np.stack([right, up, back], 1)


def _text(model: mujoco.MjModel, index: int) -> str:
    start = model.text_adr[index]
    return bytes(model.text_data[start : start + model.text_size[index]]).split(b"\0")[0].decode("ascii")

"""Cameras: the same pixels always, true depth, frames that agree with MuJoCo's, signs that can be read."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from pilab.contracts import CameraSpec, UnknownNameError, image_key, points_key
from pilab.world import films, objects, places, signs
from pilab.world.cameras import look_at, pixel_rays
from pilab.world.environment import SLOTS, World
from pilab.world.kinematics import chain
from pilab.world.scenes import sample_scene

TASKS = ("put", "push", "open", "close", "stack", "handover")
CAMERAS = ("base", "left_wrist", "right_wrist")


def pictures(task: str) -> list[np.ndarray]:
    """A fresh world's pictures, with its points."""
    seen = World(sample_scene(5, task)).observe(points=True)
    return [seen[image_key(c)] for c in CAMERAS] + [seen[points_key(c)] for c in CAMERAS]


def test_the_same_pixels_on_any_number_of_threads():
    alone = [pictures(task) for task in TASKS]
    for threads in (1, 4):
        with ThreadPoolExecutor(threads) as pool:
            together = list(pool.map(pictures, [*TASKS, *TASKS]))
        for one, other in zip(alone + alone, together, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_same_pixels_twice_in_a_row():
    world = World(sample_scene(5, "put"))
    for name in CAMERAS:
        camera = world.body.camera(name)
        for shadows in (False, True):
            first, again = (world.caster.look(world.data, camera, shadows) for _ in range(2))
            assert np.array_equal(first.rgb, again.rgb)
            assert np.array_equal(first.geom, again.geom)
            assert np.array_equal(first.depth, again.depth)


def test_an_older_view_is_not_overwritten():
    """Views are copies: the caster's buffers serve the next picture."""
    world = World(sample_scene(5, "put"))
    view = world.caster.look(world.data, world.body.camera("base"))
    kept = [a.copy() for a in (view.rgb, view.geom, view.depth)]
    world.step(world.state + 0.2)
    world.caster.look(world.data, world.body.camera("base"))
    assert all(np.array_equal(a, b) for a, b in zip(kept, (view.rgb, view.geom, view.depth), strict=True))


def test_films_do_not_depend_on_threads():
    world = World(sample_scene(5, "put"))
    states = [world.snapshot()]
    for _ in range(3):
        world.step(world.state + 0.1)
        states.append(world.snapshot())
    one, three = (films.shoot(world, states, height=48, width=64, threads=n) for n in (1, 3))
    assert one.shape == (4, 48, 64, 3)
    assert np.array_equal(one, three)
    assert not np.array_equal(one[0], one[-1])


@pytest.mark.parametrize("name", CAMERAS)
def test_depth_of_the_table(name):
    """Where a ray meets the table its end lies in the plane z = 0."""
    world = World(sample_scene(5, "put"))
    camera = world.body.camera(name)
    view = world.caster.look(world.data, camera)
    seen = view.geom.reshape(-1) == world.model.geom("table").id
    assert seen.sum() > 100
    index = world.model.camera(name).id
    rays = pixel_rays(camera) @ world.data.cam_xmat[index].reshape(3, 3).T
    ends = world.data.cam_xpos[index] + rays[seen] * view.depth.reshape(-1)[seen, None]
    np.testing.assert_allclose(ends[:, 2], 0.0, atol=1e-9)


def test_rays_go_through_pixel_centres():
    camera = CameraSpec("c", 3, 5, 60.0)
    rays = pixel_rays(camera).reshape(3, 5, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1)
    np.testing.assert_allclose(rays[1, 2], (0, 0, -1), atol=1e-12)  # the middle looks along −z
    assert (rays[:, 0, 0] < 0).all()  # the first column to the left
    assert (rays[0, :, 1] > 0).all()  # the first row up
    top = rays[0, 2] / -rays[0, 2, 2]
    assert top[1] == pytest.approx(math.tan(math.radians(30)) * 2 / 3)  # the top row's centre: 2/3 of the half height


def frame(camera: CameraSpec) -> np.ndarray:
    right, up = np.array(camera.right), np.array(camera.up)
    right = right / np.linalg.norm(right)
    up = up - right * (right @ up)
    up = up / np.linalg.norm(up)
    return np.stack([right, up, np.cross(right, up)], 1)


@pytest.mark.parametrize("body", ["duo", "solo"])
def test_camera_frames_agree_with_mujoco(body):
    """A camera's spec and the arm's kinematics, without MuJoCo, say where MuJoCo has it."""
    world = World(sample_scene(5, "put", body=body))
    for _ in range(3):
        world.step(world.state + 0.1)
    for camera in world.body.cameras:
        rotation, position = np.eye(3), np.zeros(3)
        if camera.mount != "world":
            arm = world.body.arm(camera.mount)
            tip, rotation, _, _ = chain(arm).forward(world.data.qpos[world._qpos][world.body.slice(arm.name)][:-1])
            position = tip - rotation @ arm.tip
        index = world.model.camera(camera.name).id
        np.testing.assert_allclose(world.data.cam_xpos[index], position + rotation @ camera.position, atol=1e-9)
        np.testing.assert_allclose(world.data.cam_xmat[index].reshape(3, 3), rotation @ frame(camera), atol=1e-9)
        assert world.model.cam_fovy[index] == camera.fovy


def project(camera: CameraSpec, point: np.ndarray) -> np.ndarray:
    """u, v in 0 … 1 of a point in the world, by the pinhole equation."""
    x, y, z = (point - camera.position) @ frame(camera)
    half = math.tan(math.radians(camera.fovy) / 2)
    return np.array([x / -z / half * camera.height / camera.width + 1, 1 - y / -z / half]) / 2


def test_points_are_where_the_pinhole_equation_says():
    seen = 0
    for seed in range(5):
        world = World(sample_scene(seed, "put"))
        points = world.observe(("base",), points=True)[points_key("base")]
        assert points.shape == (SLOTS, 3)
        assert points.dtype == np.float32
        camera = world.body.camera("base")
        for part, (u, v, visible) in zip(world.scene.parts, points, strict=False):
            if visible and "look" in part.parameters:
                there = project(camera, world.position(part.name)) * (camera.width, camera.height)
                # The centroid of what is seen, from above and a little aside, is not quite the centre of the body.
                assert np.abs(there - np.array([u * camera.width, v * camera.height])).max() < 2.5
                seen += 1
        assert (points[len(world.scene.parts) :] == 0).all()  # slots without a part
    assert seen > 12


@pytest.mark.parametrize("task", TASKS)
def test_points_show_everything_that_stands_about(task):
    for seed in range(5):
        world = World(sample_scene(seed, task))
        points = world.observe(("base",), points=True)[points_key("base")]
        assert len(world.scene.parts) <= SLOTS
        for part, visible in zip(world.scene.parts, points[:, 2], strict=False):
            # At the start every part is in the base view, but for the handle of an open lid, which hangs behind it.
            assert visible or (part.name == "lid" and part.parameters["value"] > 1.0), part.name
        assert (points[:, :2] >= 0).all()
        assert (points[:, :2] <= 1).all()


# ------------------------------------------------------------------------------------------------------ hidden and read
def boxed(value: float) -> World:
    """A disc inside the box whose lid is at `value`."""
    scene = sample_scene(0, "open")
    lid = places.fixture_part("lid", 0.0, 0.19, 0.0, value)
    disc = objects.part("disc-red-white", 0.0, 0.19, 0.0)
    inside = disc.__class__(disc.name, disc.kind, (0.0, 0.19, 0.0175), 0.0, disc.parameters)
    return World(scene.replace(parts=(inside, lid)))


def test_a_hidden_object_is_not_visible():
    shut, opened = (boxed(value).observe(("base",), points=True)[points_key("base")] for value in (0.0, 1.75))
    assert shut[0].tolist() == [0, 0, 0]
    assert opened[0, 2] == 1
    assert shut[1, 2] == 1  # the lid itself, by its handle


@cache
def signed(text: str) -> World:
    scene = sample_scene(0, "put")
    return World(scene.replace(parts=(signs.part(text, 0.0, -0.05, 0.3),)))


def test_a_sign_can_be_read():
    camera = signed("APPLE").body.camera("base")
    first, second = (signed(word).caster.look(signed(word).data, camera) for word in ("APPLE", "WRENCH"))
    assert np.array_equal(first.geom, second.geom)
    card = first.geom == signed("APPLE").model.geom("sign_card").id
    differs = (first.rgb != second.rgb).any(-1)
    assert not differs[~card].any()  # another word changes the card and nothing else
    assert differs[card].mean() > 0.1
    ink = first.rgb[card].astype(int).sum(-1)
    assert (ink < 200).mean() > 0.05  # black on
    assert (ink > 350).mean() > 0.3  # yellow
    assert signed("APPLE").observe(("base",), points=True)[points_key("base")][0, 2] == 1


def test_letters_stand_upright_in_the_picture():
    """The decal is its picture, not mirrored nor turned: seen from straight above, it correlates with it."""
    world = signed("LEFT")
    spec, turned = look_at("above", (0.0, -0.0501, 0.5), (0.0, -0.05, 0.0), 60, 110, 12.0)
    c, s = math.cos(0.3), math.sin(0.3)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    view = world.caster.look_from(world.data, spec, np.array(spec.position), turn @ turned)
    card = view.geom == world.model.geom("sign_card").id
    rows, columns = np.flatnonzero(card.any(1)), np.flatnonzero(card.any(0))
    seen = view.rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float).mean(-1)
    wanted = signs.picture("LEFT").astype(float).mean(-1)
    take = np.ix_(
        np.linspace(0, 59, seen.shape[0]).round().astype(int), np.linspace(0, 109, seen.shape[1]).round().astype(int)
    )
    ways = {
        "upright": wanted[take], "mirrored": wanted[:, ::-1][take], "upside down": wanted[::-1][take],
        "turned": wanted[::-1, ::-1][take],
    }  # fmt: skip
    likeness = {name: np.corrcoef(seen.ravel(), way.ravel())[0, 1] for name, way in ways.items()}
    assert likeness["upright"] > 0.7, likeness
    assert max(likeness, key=likeness.get) == "upright"


def test_unknown_cameras_list_the_valid_ones():
    with pytest.raises(UnknownNameError, match="base, left_wrist, right_wrist"):
        World(sample_scene(0, "put")).observe(("nose",))

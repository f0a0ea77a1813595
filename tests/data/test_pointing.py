"""Pointing scenes: the same pictures however they are built, points that are where things are, and nothing reserved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from pilab.contracts import STATE, DatasetError, ReservedError, SceneError, UnknownNameError
from pilab.data import drawings, pointing
from pilab.data.pointing import PointingRecipe, PointingScenes, draw, pose_at_work
from pilab.world import objects
from pilab.world.environment import SLOTS, World
from pilab.world.kinematics import chain
from pilab.world.scenes import TRAINING, find_body, is_reserved_cell

BASE = "observation.images.base"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(drawings, "SHARD", 4)
    return tmp_path / "home"


@pytest.fixture
def drawn(monkeypatch) -> list[int]:
    """The seeds of the scenes that this process draws."""
    seeds: list[int] = []

    def noting(scene):
        seeds.append(scene.seed - pointing.FIRST_SEED)
        return draw(scene)

    monkeypatch.setattr(pointing, "draw", noting)
    return seeds


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> PointingScenes:
    """Forty pictures, built once, at the default settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILAB_HOME", str(tmp_path_factory.mktemp("home")))
        return PointingScenes.open(40, progress=False)


def same(a: PointingScenes, b: PointingScenes) -> None:
    assert a.parts == b.parts
    assert set(a.batch([0])) == set(b.batch([0]))
    for key in a.batch([0]):
        np.testing.assert_array_equal(a[key], b[key], strict=True, err_msg=key)


# ------------------------------------------------------------------------------------------------------------ building
def test_pictures_do_not_depend_on_how_they_were_built(pictures, drawn):
    PointingScenes.open(3, progress=False, workers=1)
    PointingScenes.open(5, progress=False, workers=1)
    assert drawn == [0, 1, 2, 0, 1, 2, 3, 4]  # 0 … 2 once more, to see whether they still look the same
    grown = PointingScenes.open(16, progress=False, workers=2)
    assert len(grown) == 16
    first = PointingScenes(pictures.recipe, pictures.folder, pictures.notes[:16])
    same(grown, first)
    drawn.clear()
    few = PointingScenes.open(2, progress=False)
    assert len(few) == 2 and drawn == [0, 1, 2, 3]  # nothing new
    same(few, PointingScenes(pictures.recipe, pictures.folder, pictures.notes[:2]))
    assert PointingScenes.open(1, seed=1, progress=False).folder != grown.folder


def test_what_a_picture_holds(pictures):
    body = find_body("duo")
    assert pictures[STATE].shape == (40, body.size) and pictures[STATE].dtype == np.float32
    for camera in body.cameras:
        image, points = pictures[f"observation.images.{camera.name}"], pictures[f"points.{camera.name}"]
        assert image.shape == (40, camera.height, camera.width, 3) and image.dtype == np.uint8
        assert points.shape == (40, 3 * SLOTS) and points.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        pictures[STATE][0] = 0
    batch = pictures.batch(np.array([7, 0, 7]), [BASE])
    np.testing.assert_array_equal(batch[BASE], pictures[BASE][[7, 0, 7]])
    batch[BASE][:] = 0  # a copy
    assert pictures[BASE][7].any()
    assert pictures.parts[5] == tuple(p.name for p in pictures.recipe.scene(5).parts)


KILLED = """
import os, sys
from pilab.data import drawings, pointing
drawings.SHARD, replace, calls = 4, os.replace, []
def die_late(*paths):
    calls.append(paths)
    if len(calls) == 2:
        os._exit(9)
    replace(*paths)
drawings.os.replace = die_late
pointing.PointingScenes.open(12, tasks=("put",), progress=False, workers=1)
"""


def test_a_kill_costs_one_shard(home, drawn, monkeypatch):
    """The frames of the second shard are written, the index that counts them is not."""
    where = {**os.environ, "PYTHONPATH": str(Path(pointing.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", KILLED], env=where, check=False).returncode == 9
    (folder,) = (p for p in (home / "pointing").iterdir() if p.is_dir())
    assert len(json.loads((folder / "index.json").read_text())["notes"]) == 4
    with open(folder / f"{BASE}.bin", "r+b") as file:
        frame = 96 * 128 * 3
        assert file.seek(0, os.SEEK_END) == 8 * frame
        file.truncate(6 * frame + 5)  # as if the kill had come a little earlier
    resumed = PointingScenes.open(9, tasks=("put",), progress=False, workers=1)
    assert drawn == [0, 4, 5, 6, 7, 8]
    monkeypatch.setenv("PILAB_HOME", str(home / "other"))
    same(resumed, PointingScenes.open(9, tasks=("put",), progress=False, workers=1))


def _truncate(folder):
    with open(folder / "points.left_wrist.bin", "r+b") as file:
        file.truncate(100)


def _repaint(folder):
    with open(folder / f"{BASE}.bin", "r+b") as file:
        file.write(b"\x01\x02\x03")


def _garble(folder):
    (folder / "index.json").write_text('{"layout": {}, "par')


@pytest.mark.parametrize("damage", [_truncate, _repaint, _garble])
def test_what_is_stale_or_damaged_is_built_anew(pictures, drawn, damage):
    folder = PointingScenes.open(3, progress=False).folder
    damage(folder)
    same(PointingScenes.open(3, progress=False), PointingScenes(pictures.recipe, pictures.folder, pictures.notes[:3]))
    assert drawn[-3:] == [0, 1, 2]


# --------------------------------------------------------------------------------------------------- what is to be seen
def test_points_are_where_the_colours_are(pictures):
    """From the stored arrays alone: under the point of a compact object lies one of its two colours."""
    hits, others, total = 0, 0, 0
    for i, names in enumerate(pictures.parts):
        points = pictures["points.base"][i].reshape(SLOTS, 3)
        things = [j for j, n in enumerate(names) if n.split("-")[0] in ("ball", "disc", "brick") and points[j, 2]]
        for j, k in zip(things, things[1:] + things[:1], strict=True):
            hits += _shows(pictures[BASE][i], points[j], names[j])
            others += _shows(pictures[BASE][i], points[k], names[j]) if k != j else 0
            total += 1
    assert total > 60
    assert hits > 0.93 * total  # a hand may stand before the middle of a thing
    assert others < 0.5 * total  # what the test would find if slots were mixed up


def _shows(image: np.ndarray, point: np.ndarray, look: str) -> bool:
    """Whether the pixel has the hue of one of the look's colours, whatever the light."""
    u, v = point[:2] * (image.shape[1], image.shape[0])
    pixel = image[int(v), int(u)].astype(float)
    colours = np.array([objects.COLOURS[c] for c in look.split("-")[1:]])
    return bool((colours @ pixel / np.linalg.norm(colours, axis=1) > 0.995 * np.linalg.norm(pixel)).any())


def test_points_agree_with_the_segmentation(pictures):
    for k in range(8):
        world = World(pictures.recipe.scene(k))
        pose_at_work(world, np.random.default_rng([world.scene.seed, 17]))
        root = world.model.body_rootid[world.model.geom_bodyid]
        for camera in world.body.cameras:
            view = world.caster.look(world.data, camera)
            np.testing.assert_array_equal(view.rgb, pictures[f"observation.images.{camera.name}"][k])
            points = pictures[f"points.{camera.name}"][k].reshape(SLOTS, 3)
            for part, (u, v, visible) in zip(world.scene.parts, points, strict=False):
                if "fixture" in part.parameters:
                    mask = view.geom == world.model.geom(f"{part.name}_handle").id
                else:
                    mask = (view.geom >= 0) & (root[view.geom] == world.model.body(part.name).id)
                assert visible == (mask.sum() >= 2)
                if visible:
                    rows, columns = np.nonzero(mask)
                    assert (u * camera.width, v * camera.height) == pytest.approx(
                        (columns.mean() + 0.5, rows.mean() + 0.5), abs=1e-3
                    )
            assert not points[len(world.scene.parts) :].any()


# ---------------------------------------------------------------------------------------------------------------- poses
@pytest.mark.parametrize("body", ["duo", "solo"])
def test_poses_look_like_work(body):
    moved, arms, held, opened = 0, 0, 0, []
    for k in range(24):
        scene = PointingRecipe(body=body).scene(k)
        world = World(scene)
        pose_at_work(world, np.random.default_rng(k))
        spec, start = world.body.action, np.array(scene.start)
        assert ((spec.low <= world.state + 1e-6) & (world.state - 1e-6 <= spec.high)).all()
        assert (world.tips()[:, 2] > 0.01).all()
        up = [p.name for p in scene.parts if np.linalg.norm(world.position(p.name) - p.position) > 0.01]
        assert len(up) <= 1 and set(world.touching()) <= set(up)  # hands touch nothing but what they hold
        held += len(up)
        for name in up:
            assert np.linalg.norm(world.tips() - world.position(name), axis=1).min() < 0.02
        fixtures = [p.name for p in scene.parts if "fixture" in p.parameters]
        opened += [world.joint(name) / world.model.joint(name).range[1] for name in fixtures]
        for arm in world.body.arms:
            joints = slice(world.body.slice(arm.name).start, world.body.slice(arm.name).stop - 1)
            arms += 1
            if not np.allclose(world.state[joints], start[joints], atol=1e-5):
                moved += 1
                tip = chain(arm).forward(world.state[joints])[0]
                if not any(np.linalg.norm(tip - world.position(name)) < 0.02 for name in up):
                    assert tip[2] - _height(world, tip) > 0.015
    assert 0.45 < moved / arms < 0.9
    assert 2 <= held <= 14
    assert min(opened) < 0.3 and max(opened) > 0.7


def _height(world: World, at: np.ndarray) -> float:
    """How high the scene is under a point, by a ray from above that passes through the arms."""
    model = world.model
    of_parts = np.isin(model.body_rootid[model.geom_bodyid], [model.body(p.name).id for p in world.scene.parts])
    model.geom_group[:] = np.where(of_parts, 0, 1)
    only = np.array([1, 0, 0, 0, 0, 0], np.uint8)
    distance = mujoco.mj_ray(
        model, world.data, (*at[:2], 1.0), (0.0, 0.0, -1.0), only, 1, -1, np.zeros(1, np.int32), None
    )
    return 1.0 - distance if distance >= 0 else 0.0


def test_where_nothing_fits_arms_stay_at_the_start(monkeypatch):
    monkeypatch.setattr(pointing, "APART", 10.0)  # no two arms are ever that far apart
    monkeypatch.setattr(pointing, "HOLDING", 1.0)
    world = World(PointingRecipe().scene(0))
    pose_at_work(world, np.random.default_rng(0))
    joints = np.array(["gripper" not in n for n in world.body.action.names])
    np.testing.assert_allclose(world.state[joints], np.array(world.scene.start)[joints], atol=1e-6)
    for part in world.scene.parts:
        np.testing.assert_allclose(world.position(part.name), part.position, atol=2e-3)


def test_one_arm_will_do():
    pictures = PointingScenes.open(4, body="solo", progress=False)
    assert pictures[STATE].shape == (4, 7)
    assert set(pictures.batch([0])) == {
        STATE, BASE, "observation.images.wrist", "points.base", "points.wrist",
    }  # fmt: skip
    assert pictures["points.base"].reshape(4, SLOTS, 3)[..., 2].sum(1).min() >= 3


# ------------------------------------------------------------------------------------------------------------- refusals
def test_nothing_reserved(pictures):
    for k, names in enumerate(pictures.parts):
        scene = pictures.recipe.scene(k)
        assert pointing.FIRST_SEED <= scene.seed < TRAINING.stop
        assert not set(names) & set(objects.RESERVED)
        assert not is_reserved_cell(scene.goal.verb, scene.goal.object, scene.goal.place)


@pytest.mark.parametrize(("count", "seed"), [(1, 300_000), (2, 299_999), (300_001, 0), (1, -1)])
def test_seeds_beyond_the_training_range_are_refused(home, count, seed):
    with pytest.raises(ReservedError, match="0 … 299999"):
        PointingScenes.open(count, seed=seed, progress=False)
    assert not home.exists()


def test_a_task_that_draws_reserved_cells_is_refused(home, tmp_path, monkeypatch):
    (tmp_path / "cheating_task.py").write_text(
        "from pilab.world.tasks.put import Put\n"
        "class Cheat(Put):\n"
        "    def lay_out(self, rng, pool, cell, reserved):\n"
        "        return super().lay_out(rng, pool, cell, True)\n"
        "TASK = Cheat()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ReservedError, match="reserved for testing"):
        PointingScenes.open(2, tasks=("cheating_task:TASK",), progress=False)
    assert not list(home.rglob("*.bin"))


def test_errors_say_what_is_wrong(home, monkeypatch):
    with pytest.raises(SceneError, match="at least one"):
        PointingScenes.open(0)
    with pytest.raises(SceneError, match="at least one"):
        PointingScenes.open(1, tasks=())
    with pytest.raises(UnknownNameError, match="duo, duo_soft, duo_touch, solo"):
        PointingScenes.open(1, body="octopus")
    with pytest.raises(UnknownNameError, match="put"):
        PointingScenes.open(1, tasks=("juggle",), progress=False)
    with pytest.raises(SceneError, match="needs 2 arms"):
        PointingScenes.open(1, body="solo", tasks=("handover",), progress=False)
    monkeypatch.setenv("PILAB_HOME", str(home / "file"))
    (home / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="PILAB_HOME"):
        PointingScenes.open(1, progress=False)

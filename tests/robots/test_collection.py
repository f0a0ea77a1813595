"""Collections: the same whatever the number of processes, whole again after a kill, honest about what they may contain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import pilab
from pilab.contracts import (
    ACTION,
    EXECUTED,
    STATE,
    DatasetError,
    PilabError,
    ReservedError,
    Scene,
    image_key,
    points_key,
)
from pilab.data.cache import FrameCache, lock
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import INTERVENTION, SOURCE, SUBTASK, SUCCESS, features
from pilab.robots.collection import Recipe, collect
from pilab.world import objects, places
from pilab.world.environment import SLOTS, World
from pilab.world.monitor import Monitor
from pilab.world.scenes import find_body, is_reserved_cell

RECIPE = Recipe(("put", "open"), seed=40, manners=("normal", "right-handed"))
EPISODES = 4


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Caches of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def root(home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collected by two processes."""
    return collect(RECIPE, EPISODES, tmp_path_factory.mktemp("two") / "demos", workers=2, progress=False)


@pytest.fixture(scope="module")
def dataset(root: Path) -> LeRobotDataset:
    return LeRobotDataset(root)


def content(root: Path, episodes: int) -> dict[str, bytes]:
    """The bytes of the columns of the first episodes, by name."""
    names = [f"file-{e:03d}" for e in range(episodes)]
    files = [p for p in (root / "data").rglob("*") if p.is_file() and p.stem in names]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def same_pictures(a: LeRobotDataset, b: LeRobotDataset, episodes: int) -> bool:
    """Whether the cameras gave the same and the videos show it, up to what the codec costs.

    The frame cache holds the raw frames, but for an episode that was filed just before a kill: that one is decoded. The
    videos' own bytes may differ: x264 now and then spends its bits a little differently on the same frames.
    """
    frames, caches = int(a.lengths[:episodes].sum()), (FrameCache.open(a), FrameCache.open(b))
    for camera in a.cameras:
        one, other = (cache[camera][:frames].astype(int) for cache in caches)
        if np.abs(one - other).mean() > 1.0:
            return False
    for camera in a.cameras:
        for e in range(episodes):
            one, other = (d.frames(camera, e, range(d.lengths[e])).astype(int) for d in (a, b))
            if one.shape != other.shape or np.abs(one - other).mean() > 0.5:
                return False
    return True


def described(dataset: LeRobotDataset, episodes: int) -> list[dict[str, Any]]:
    return dataset.episodes[:episodes]


def test_one_process_collects_the_same(dataset, tmp_path):
    alone = collect(RECIPE, EPISODES, tmp_path / "one", workers=0, progress=False)
    expected, found = content(dataset.root, EPISODES), content(alone, EPISODES)
    assert len(expected) == EPISODES
    assert same_pictures(LeRobotDataset(alone), dataset, EPISODES)
    assert [name for name in expected if expected[name] != found.get(name)] == [] and set(found) == set(expected)
    assert LeRobotDataset(alone).episodes == dataset.episodes
    assert LeRobotDataset(alone).tasks == dataset.tasks


def test_goes_on_after_a_kill(dataset, tmp_path):
    """kill −9 of the whole family in the middle; the second command ends with what one command would have made."""
    root = tmp_path / "killed"
    script = tmp_path / "go.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from pilab.robots.collection import Recipe, collect\n"
        "if __name__ == '__main__':\n"
        f"    collect({RECIPE!r}, 500, Path(sys.argv[1]), workers=2, progress=False)\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": str(Path(pilab.__file__).parents[1])}
    collector = subprocess.Popen([sys.executable, script, root], env=environment)
    try:
        deadline = time.monotonic() + 120
        while committed(root) < 2 and collector.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        family = [*psutil.Process(collector.pid).children(recursive=True), psutil.Process(collector.pid)]
        for process in family:
            process.kill()
        psutil.wait_procs(family)
        collector.wait()
    done = committed(root)
    assert 2 <= done < 500
    episodes = max(EPISODES, done + 1)
    whole = LeRobotDataset(collect(RECIPE, episodes, root, workers=2, progress=False))
    assert [e["episode_index"] for e in whole.episodes] == list(range(episodes))
    assert (whole.columns["index"] == np.arange(len(whole))).all()
    assert content(root, EPISODES) == content(dataset.root, EPISODES)
    assert same_pictures(whole, dataset, EPISODES)
    assert described(whole, EPISODES) == described(dataset, EPISODES)
    # A kill between an episode and its raw frames leaves a gap in the cache, which opening it fills by decoding.
    assert len(FrameCache.open(whole, progress=lambda x, **_: x)) == len(whole)
    assert {path.name for path in root.iterdir()} == {"README.md", "data", "meta", "videos"}


def committed(root: Path) -> int:
    try:
        return json.loads((root / "meta" / "info.json").read_text(encoding="utf-8"))["total_episodes"]
    except (FileNotFoundError, PermissionError):  # not begun; or, on Windows, being replaced
        return 0


def nothing_to_decode(dataset: LeRobotDataset) -> bool:
    """Whether the frame cache is complete."""

    def refuse(episodes: Any, **_: Any) -> Any:
        raise AssertionError(f"{len(episodes)} episodes would be decoded")

    return len(FrameCache.open(dataset, progress=refuse)) == len(dataset)


def test_columns_are_those_of_the_schema(dataset):
    body = find_body("duo")
    wanted = features(body, SLOTS)
    assert set(wanted) <= set(dataset.features)
    assert {k: (f.dtype, f.shape) for k, f in wanted.items()} == {
        k: (dataset.features[k].dtype, dataset.features[k].shape) for k in wanted
    }
    for e, length in enumerate(dataset.lengths):
        episode = dataset.episode(e, [*(k for k in wanted if k not in dataset.cameras), "task"])
        assert set(episode[SOURCE]) == {"policy"} and not episode[INTERVENTION].any()
        assert episode[SUCCESS].tolist() == [False] * (length - 1) + [True]
        assert all(episode[SUBTASK]) and len(set(episode[SUBTASK])) > 1
        assert set(episode["task"]) == {Scene.from_json(dataset.episodes[e]["scene"]).instruction}
        spec = body.action
        assert (episode[EXECUTED] >= np.float32(spec.low)).all() and (episode[EXECUTED] <= np.float32(spec.high)).all()
    apart = [not np.array_equal(*dataset.episode(e, (ACTION, EXECUTED)).values()) for e in range(EPISODES)]
    assert any(apart)  # coverage noise is in the command, not in the label


def test_every_episode_is_an_attempt_of_the_recipe(dataset):
    seeds = [e["seed"] for e in dataset.episodes]
    assert seeds == sorted(set(seeds))
    for episode in dataset.episodes:
        scene, manner = RECIPE.attempt(episode["seed"] - RECIPE.seed)
        goal = scene.goal
        assert Scene.from_json(episode["scene"]) == scene
        assert (episode["verb"], episode["object"], episode["place"]) == (goal.verb, goal.object, goal.place or "")
        assert episode["manner"] == manner and episode["arm"] in ("left", "right")
        assert manner != "right-handed" or episode["arm"] == "right"
        assert (episode["operator"], episode["speed"]) == ("demonstrator", episode["length"])
    assert {e["manner"] for e in dataset.episodes} == set(RECIPE.manners)
    assert {e["verb"] for e in dataset.episodes} == set(RECIPE.tasks)
    assert dataset.pilab["meta"]["recipe"]["manners"] == list(RECIPE.manners)
    assert set(dataset.pilab["meta"]["colour_error"]) == set(dataset.cameras)


@pytest.mark.parametrize("e", range(EPISODES))
def test_executed_commands_lead_to_success_again_bit_by_bit(dataset, e):
    episode = dataset.episode(e, (STATE, EXECUTED))
    scene = Scene.from_json(dataset.episodes[e]["scene"])
    world = World(scene)
    monitor = Monitor(world, scene.goal)
    for state, command in zip(episode[STATE], episode[EXECUTED], strict=True):
        assert np.array_equal(world.state, state)
        assert not monitor.success
        world.step(command)
        monitor.update()
    assert monitor.success


def near_colour(picture: np.ndarray, u: float, v: float, look: str) -> bool:
    """Whether the 3 × 3 pixels at (u, v) show a colour of `look`, whatever the light: compared without brightness."""
    height, width = picture.shape[:2]
    y, x = int(v * height), int(u * width)
    patch = picture[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3).astype(float)
    wanted = np.array([objects.COLOURS[c] for c in look.split("-")[1:]])
    tint = lambda c: c / np.linalg.norm(c, axis=-1, keepdims=True)  # noqa: E731
    return bool((tint(patch + 1e-3) @ tint(wanted).T > 0.985).any())


def test_points_lie_on_what_they_name(dataset):
    """In the raw frames of the base camera, for all objects with a saturated colour; mirrored points miss."""
    cache = FrameCache.open(dataset)
    pictures, points = cache[image_key("base")], cache[points_key("base")].reshape(-1, SLOTS, 3)
    hits, misses = [], []
    for e, episode in enumerate(dataset.episodes):
        scene = Scene.from_json(episode["scene"])
        start, stop = int(dataset.lengths[:e].sum()), int(dataset.lengths[: e + 1].sum())
        for slot, part in enumerate(scene.parts):
            look = part.parameters.get("look")
            if look is None or {"white", "black"} & set(look.split("-")):
                continue
            for i in range(start, stop, 4):
                u, v, visible = points[i, slot]
                if visible:
                    hits.append(near_colour(pictures[i], u, v, look))
                    misses.append(near_colour(pictures[i], 1 - u, v, look))
    assert len(hits) > 40
    assert np.mean(hits) > 0.9
    assert np.mean(misses) < 0.3


def test_points_beyond_the_scene_are_empty(dataset):
    for camera in find_body("duo").cameras:
        for e, episode in enumerate(dataset.episodes):
            points = dataset.episode(e, [points_key(camera.name)])[points_key(camera.name)].reshape(-1, SLOTS, 3)
            count = len(Scene.from_json(episode["scene"]).parts)
            assert not points[:, count:].any() and points.min() >= 0 and points.max() <= 1


def test_frame_cache_is_filled_with_what_the_camera_gave(dataset):
    assert nothing_to_decode(dataset)
    raw = FrameCache.open(dataset)[image_key("base")][: dataset.lengths[0]]
    scene = Scene.from_json(dataset.episodes[0]["scene"])
    assert np.array_equal(raw[0], World(scene).observe(("base",))[image_key("base")])
    decoded = dataset.frames(image_key("base"), 0, range(len(raw)))
    assert 0 < np.abs(decoded.astype(int) - raw.astype(int)).mean() < 3  # the codec was not asked


def test_nothing_is_left_behind(dataset):
    assert {path.name for path in dataset.root.iterdir()} == {"README.md", "data", "meta", "videos"}


def test_asking_for_what_is_there_changes_nothing(dataset):
    before = content(dataset.root, EPISODES)
    collect(RECIPE, EPISODES - 1, dataset.root, workers=0, progress=False)
    assert content(dataset.root, EPISODES) == before and len(LeRobotDataset(dataset.root).episodes) == EPISODES


def test_another_recipe_needs_another_folder(dataset):
    before = content(dataset.root, EPISODES)
    with pytest.raises(DatasetError, match="was collected with recipe") as caught:
        collect(Recipe(("push",)), EPISODES + 1, dataset.root, progress=False)
    assert "'put', 'open'" in str(caught.value) and "'push'" in str(caught.value)
    assert content(dataset.root, EPISODES) == before


def reserved_cell() -> tuple[str, str]:
    return next((k, p) for k in objects.HANDLED for p in places.PLACES if is_reserved_cell("put", k, p))


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (Recipe(("put",), object=reserved_cell()[0], place=reserved_cell()[1]), reserved_cell()[1]),
        (Recipe(("push",), object=next(iter(objects.RESERVED)), place="plate"), "reserved"),
        (Recipe(("put",), seed=500_000), "500000"),
        (Recipe(("open",), seed=699_999), "699999"),
    ],
    ids=["cell", "object", "validation seed", "reported seed"],
)
def test_what_is_reserved_is_refused_before_anything_is_written(recipe, named, tmp_path):
    with pytest.raises(ReservedError, match=named):
        collect(recipe, 1, tmp_path / "out", workers=0, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (Recipe(("put", "juggle")), "juggle"),
        (Recipe(("put",), manners=("normal", "sideways")), "sideways"),
        (Recipe(("put",), arm="third"), "third"),
        (Recipe(("put",), body="octopus"), "octopus"),
        (Recipe(("handover",), body="solo"), "2 arms"),
        (Recipe(("put",), place="plate"), "plate"),
        (Recipe(("open",), object="sponge"), "drawer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_impossible_is_refused_before_anything_is_written(recipe, named, tmp_path):
    with pytest.raises(PilabError, match=named):
        collect(recipe, 1, tmp_path / "out", workers=0, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_fixture_can_be_asked_for_by_name():
    assert {Recipe(("open",), object="drawer").attempt(k)[0].goal.object for k in range(3)} == {"drawer"}
    assert {Recipe(("put",), object="apple", place="bowl").attempt(k)[0].goal.place for k in range(3)} == {"bowl"}


def test_two_collections_into_one_folder_are_refused(dataset, tmp_path):
    with lock(tmp_path / "demos"), pytest.raises(DatasetError, match="another process"):
        collect(RECIPE, 1, tmp_path / "demos", progress=False)
    assert not (tmp_path / "demos").exists()

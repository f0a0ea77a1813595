"""Tasks where touch should matter: a plug and its socket, a thing that breaks, a board that gives way."""

from types import SimpleNamespace

import numpy as np
import pytest

from pilab.contracts import SceneError, points_key
from pilab.evaluation.rollout import evaluate
from pilab.robots.executor import Executor
from pilab.robots.simulated import Trial, simulate
from pilab.world.bodies import duo
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.scenes import sample_scene
from pilab.world.task import task_of
from pilab.world.tasks import _insert, fragile, wipe

TASKS = ("insert", "insert_tight", "insert_hidden", "fragile", "wipe")


def outcome(task, seed=600_003, watch=None):
    executor = Executor(Demonstrator(), duo.BODY, arm="test")
    return next(iter(simulate(executor, [Trial(sample_scene(seed, task), watch=watch)], batch=1, threads=1)))


@pytest.mark.parametrize("task", TASKS)
def test_it_is_done_by_who_knows_how_and_not_by_waiting(task):
    assert sum(row.success for row in evaluate("demonstrator", task, 4, progress=False, threads=1)) == 4
    assert not any(row.success for row in evaluate("hold", task, 2, progress=False, threads=1))
    with pytest.raises(SceneError, match="brings its own"):
        sample_scene(0, task, cell=("ball-red-green", None))


@pytest.mark.parametrize("task", TASKS)
def test_where_things_start_is_not_where_they_end(task):
    for seed in range(600_000, 600_020):
        scene = sample_scene(seed, task)
        assert not task_of(scene).achieved(World(scene), scene.goal)


# ---------------------------------------------------------------------------------------------------------------- a plug
@pytest.mark.parametrize(("task", "clearance"), [("insert", 0.006), ("insert_tight", 0.0025)])
def test_a_socket_is_as_wide_as_it_says(task, clearance):
    """The plug, let fall from just above, goes in where it is off by less than half of the clearance, and not by more."""
    scene = sample_scene(600_001, task)
    socket = np.array(scene.part("socket").position)
    for share, goes_in in ((0.4, True), (1.6, False)):
        world = World(scene)
        above = socket + [share * clearance, 0, _insert.PLUG.height / 2 + _insert.DEPTH + 0.002]
        world.pose(world.state, parts={"plug": (above, 0.0)})
        for _ in range(8):
            world.step(np.array(scene.start))
        assert task_of(scene).achieved(world, scene.goal) is goes_in
        assert (task_of(scene).counts(world, scene.goal)["off_mm"] < 8) is goes_in


def test_the_camera_above_does_not_see_a_hidden_socket_and_a_wrist_does():
    for task, seen in (("insert", True), ("insert_hidden", False)):
        for seed in range(600_000, 600_008):
            scene = sample_scene(seed, task)
            points = World(scene).observe(("base",), points=True)[points_key("base")]
            assert bool(points[[p.name for p in scene.parts].index("socket"), 2]) is seen
    found = []

    def watch(world, observation, command):
        if command.thought.memory["phase"] == "lower":
            camera = f"{command.thought.memory['arm']}_wrist"
            points = world.observe((camera,), points=True)[points_key(camera)]
            found.append(points[[p.name for p in world.scene.parts].index("socket"), 2])

    assert outcome("insert_hidden", watch=watch).monitor.success
    assert all(found)


# ------------------------------------------------------------------------------------------------- a thing that breaks
def test_who_squeezes_breaks_it(monkeypatch):
    held = outcome("fragile").monitor
    assert held.success
    assert 0.1 < held.metrics()["squeezed_N"] < fragile.BEARS
    monkeypatch.setattr(fragile.CarryGently, "grip", lambda self, now, arm: 0.0)
    broken = outcome("fragile").monitor
    assert not broken.success
    assert broken.metrics()["squeezed_N"] > 2 * fragile.BEARS


def test_what_broke_stays_broken():
    """The world remembers, and so do its snapshots."""
    scene = sample_scene(600_003, "fragile")
    world = World(scene)
    spot = np.array(scene.part(scene.goal.place).position) + [0, 0, 0.03]
    world.pose(world.state, parts={"shell": (spot, 0.0)})
    for _ in range(8):
        world.step(np.array(scene.start))
    assert task_of(scene).achieved(world, scene.goal)
    world.note("shell", 3.0)
    assert not task_of(scene).achieved(world, scene.goal)
    other = World(scene)
    other.restore(world.snapshot())
    assert other.past("shell") == 3.0
    assert not task_of(scene).achieved(other, scene.goal)


def test_of_a_fixture_nothing_else_is_remembered():
    world = World(sample_scene(0, "open"))
    with pytest.raises(ValueError, match="'drawer' opens"):
        world.note("drawer", 1.0)


# ----------------------------------------------------------------------------------------------------------- a board
@pytest.mark.parametrize(("force", "wiped", "spoilt"), [(1.0, 0, False), (4.0, 4, False), (12.0, None, True)])
def test_a_board_is_wiped_within_a_band_of_force(monkeypatch, force, wiped, spoilt):
    monkeypatch.setattr(wipe, "RIGHT", force)
    monitor = outcome("wipe").monitor
    assert (monitor.metrics()["pressed_N"] > wipe.SCRATCHES) is spoilt
    assert monitor.success is (wiped == wipe.STAINS)
    assert wiped is None or monitor.metrics()["wiped"] == wiped


def test_how_stiff_a_board_is_cannot_be_seen():
    """The same picture, twice as stiff."""
    scene = sample_scene(600_003, "wipe")
    board = scene.part("board")
    stiff = scene.replace(
        parts=tuple(
            p
            if p.name != "board"
            else type(p)(board.name, board.kind, board.position, board.yaw, {"stiffness": 1000.0})
            for p in scene.parts
        )
    )
    views = [World(s).observe(("base",))["observation.images.base"] for s in (scene, stiff)]
    np.testing.assert_array_equal(*views)


def test_what_is_wiped_is_out_of_sight():
    monitor = outcome("wipe").monitor
    world = monitor.world
    points = world.observe(("base",), points=True)[points_key("base")]
    stains = [i for i, p in enumerate(world.scene.parts) if p.name.startswith("stain")]
    assert monitor.success
    assert not points[stains, 2].any()
    assert World(world.scene).observe(("base",), points=True)[points_key("base")][stains, 2].all()


@pytest.mark.parametrize("phase", ["over", "press", "rub"])
def test_who_finds_nothing_left_to_rub_lifts_the_hand(monkeypatch, phase):
    """The last stain may go while the hand is on its way to it."""
    script, tip = wipe.Rub(), np.array([0.1, 0.0, 0.05])
    monkeypatch.setattr(script, "_stains", lambda now: [])
    monkeypatch.setattr(script, "_force", lambda now: 0.0)
    memory = {"phase": phase, "arm": "left", "since": 30}
    assert script.advance(SimpleNamespace(tips={"left": tip}), memory) == "up" and memory["rest"] == tip.tolist()

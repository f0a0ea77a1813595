"""The simulator behind the Robot interface: the same world as in evaluation, honest about what a robot can know."""

import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, TASK, PilabError, Robot, image_key, points_key
from pilab.robots.executor import Executor
from pilab.robots.simulated import Trial, simulate
from pilab.robots.simulator import RobotError, Simulator
from pilab.world.demonstrators import CoverageNoise, Demonstrator
from pilab.world.monitor import Monitor
from pilab.world.scenes import find_body, sample_scene


@pytest.fixture
def robot():
    with Simulator.example() as robot:
        yield robot


def executor():
    """The demonstrator, pushed about a little: the commands then depend on every reading before them."""
    return Executor(Demonstrator(), find_body("duo"), disturbance=CoverageNoise())


def test_an_episode_is_the_one_that_evaluation_runs():
    scene = sample_scene(600_004, "put")
    expected = []
    trial = Trial(scene, watch=lambda world, seen, command: expected.append((world.snapshot(), command.executed)))
    outcome = next(simulate(executor(), [trial]))
    assert outcome.monitor.success

    hands, found = executor(), []
    with Simulator(scene, privileged=True) as robot:
        monitor = Monitor(robot.world, scene.goal)
        episode = hands.begin(scene.instruction, scene.seed)
        while not (monitor.success or monitor.expired):
            command = hands.step([episode], [robot.get_observation()])[0]
            before = robot.snapshot()
            found.append((before, robot.send_action(command.executed)))
            monitor.update()
    assert monitor.success
    assert len(found) == len(expected) == outcome.steps > 20
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine[0], theirs[0])  # bit for bit, velocities and contacts included
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_it_is_a_robot_before_it_is_connected():
    robot = Simulator.example()
    assert isinstance(robot, Robot)
    assert robot.embodiment == find_body("duo") and not robot.is_connected


def test_an_observation_is_what_a_robot_can_know(robot):
    body, seen = robot.embodiment, robot.get_observation()
    assert set(seen) == {STATE, TASK, *(image_key(c.name) for c in body.cameras)}
    assert seen[STATE].shape == (body.size,) and seen[TASK] == robot.scene.instruction
    for c in body.cameras:
        assert seen[image_key(c.name)].shape == (c.height, c.width, 3) and seen[image_key(c.name)].dtype == np.uint8


def test_truth_and_points_are_for_those_who_ask():
    with Simulator(privileged=True, points=True) as robot:
        seen = robot.get_observation()
    assert seen[SCENE] == robot.scene and len(seen[ENVIRONMENT_STATE]) == len(robot.scene.parts)
    assert seen[points_key("base")][:, 2].any()


def test_an_action_takes_a_period_and_is_clipped(robot):
    high, before = robot.embodiment.action.high, robot.world.time
    sent = robot.send_action(high + 1)
    np.testing.assert_array_equal(sent, high)
    assert robot.world.time - before == pytest.approx(1 / robot.embodiment.control_hz)
    assert not np.allclose(robot.get_observation()[STATE], robot.scene.start, atol=1e-3)


def test_a_faster_hand_takes_shorter_periods():
    with Simulator(hz=30) as robot:
        for _ in range(3):
            robot.send_action(robot.embodiment.home)
        assert robot.world.time == pytest.approx(1 / robot.embodiment.control_hz)
    with pytest.raises(RobotError, match="hz 7 does not divide the physics rate 240"):
        Simulator(hz=7)


@pytest.mark.parametrize(
    "action", [np.zeros(13), np.zeros((1, 14)), np.full(14, np.nan), [0.0] * 13 + [np.inf], None, "left", [1j] * 14]
)
def test_a_bad_action_is_refused_and_nothing_moves(robot, action):
    before = robot.snapshot()
    with pytest.raises(RobotError, match="did not move"):
        robot.send_action(action)
    np.testing.assert_array_equal(robot.snapshot(), before)


@pytest.mark.parametrize(
    "ask", [Simulator.get_observation, Simulator.reset, Simulator.snapshot, lambda r: r.send_action(np.zeros(14))]
)
def test_nothing_is_asked_of_what_is_not_connected(ask):
    robot = Simulator.example()
    with pytest.raises(PilabError, match=r"not connected; call `connect\(\)`"):
        ask(robot)
    robot.connect()
    ask(robot)
    robot.disconnect()
    with pytest.raises(PilabError, match="not connected"):
        ask(robot)


def test_connect_once_disconnect_always(robot):
    with pytest.raises(RobotError, match="connected already"):
        robot.connect()
    assert robot.is_connected
    robot.disconnect()
    robot.disconnect()
    robot.connect()
    assert robot.world.time == 0


def test_reset_goes_back_to_the_beginning_or_elsewhere(robot):
    start, picture = robot.snapshot(), robot.get_observation()[image_key("base")]
    for _ in range(3):
        robot.send_action(np.zeros(14))
    assert not np.array_equal(robot.snapshot(), start)
    robot.reset()
    np.testing.assert_array_equal(robot.snapshot(), start)
    other = sample_scene(5, "push")
    robot.reset(other)
    seen = robot.get_observation()
    assert robot.scene == other and seen[TASK] == other.instruction
    assert not np.array_equal(seen[image_key("base")], picture)


def test_a_simulator_keeps_its_body(robot):
    with pytest.raises(RobotError, match=r"'solo'.*'duo': make another one"):
        robot.reset(sample_scene(0, "put", body="solo"))
    assert robot.get_observation()[STATE].shape == (14,)
    with Simulator(body="solo") as solo:
        assert solo.get_observation()[STATE].shape == (solo.embodiment.size,) == (7,)

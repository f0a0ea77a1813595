"""LeRobot's objects as ours, against stand-ins with its methods; tests/peers does the same with the real library."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pilab.contracts import STAMPS, STATE, TASK, image_key
from pilab.robots.bridges.lerobot import LeRobotError, LeRobotRobot, LeRobotTeleop
from pilab.robots.bridges.so101 import body
from pilab.robots.loop import ControlLoop
from pilab.robots.safety import Mode

MOTORS = ("pan", "lift", "gripper")


class Theirs:
    """What LeRobot asks of a robot, and what it answers."""

    name, is_calibrated = "toy_follower", True

    def __init__(self, motors=MOTORS):
        self.action_features = {f"{m}.pos": float for m in motors}
        self.observation_features = {**self.action_features, "front": (8, 10, 3), "front_depth": (8, 10, 1)}
        self.where, self.is_connected, self.broken = dict.fromkeys(self.action_features, 10.0), False, False

    def connect(self, calibrate=True):
        assert not calibrate, "would wait for a key in the terminal"
        self.is_connected = True

    def disconnect(self):
        self.is_connected = False

    def get_observation(self):
        if self.broken:
            raise ConnectionError("no status packet")
        return {**self.where, "front": np.random.default_rng().integers(255, size=(8, 10, 3), dtype=np.uint8)}

    def send_action(self, action):
        assert set(action) == set(self.action_features)
        self.where = {name: min(value, 50.0) for name, value in action.items()}  # a limit of its own
        return dict(self.where)


class Leader:
    """A teleoperator."""

    def __init__(self, motors=MOTORS):
        self.action_features = {f"{m}.pos": float for m in motors}
        self.is_connected, self.broken = False, False
        self.said = dict.fromkeys(self.action_features, 20.0)

    def connect(self):
        self.is_connected = True

    def disconnect(self):
        self.is_connected = False

    def get_action(self):
        if self.broken:
            raise ConnectionError("unplugged")
        return dict(self.said)


def test_a_robot_of_theirs_tells_its_own_body():
    theirs = Theirs()
    robot = LeRobotRobot(theirs, "wave", limits={"pan": (-90, 90)})
    action = robot.embodiment.action
    assert action.names == MOTORS and action.low.tolist() == [-90, -100, 0] and action.high.tolist() == [90, 100, 100]
    assert [(c.name, c.height, c.width) for c in robot.embodiment.cameras] == [("front", 8, 10)]
    robot.connect()
    seen = robot.get_observation()
    assert (
        seen[STATE].tolist() == [10, 10, 10] and seen[TASK] == "wave" and seen[image_key("front")].shape == (8, 10, 3)
    )
    assert set(seen[STAMPS]) == {STATE, image_key("front")}
    assert robot.send_action([20, 80, 100]).tolist() == [20, 50, 50]  # what was sent, after its own limit
    with pytest.raises(LeRobotError, match="nothing was sent"):
        robot.send_action([1, 2, np.inf])
    robot.disconnect()
    assert not theirs.is_connected


def test_on_a_body_of_ours_units_are_converted():
    names = [j.name for j in body().arms[0].joints]
    theirs = Theirs((*names, "gripper"))
    degrees, share = np.pi / 180, 0.01
    del theirs.observation_features["front"]
    robot = LeRobotRobot(theirs, body=body(), scale=[degrees] * 5 + [share], offset=[0.1] + [0] * 5)
    robot.connect()
    state = robot.get_observation()[STATE]
    np.testing.assert_allclose(state, [10 * degrees + 0.1] + [10 * degrees] * 4 + [0.1], rtol=1e-5)
    robot.send_action([0.2, 0, 0, 0, 0, 0.3])
    assert theirs.where["shoulder_pan.pos"] == pytest.approx(0.1 / degrees)
    assert theirs.where["gripper.pos"] == pytest.approx(30)


def test_what_does_not_fit_is_told():
    with pytest.raises(LeRobotError, match="the body 'so101' has 6"):
        LeRobotRobot(Theirs(), body=body())
    with pytest.raises(LeRobotError, match="expected an order of pan, lift, gripper"):
        LeRobotRobot(Theirs(), motors=("pan", "tilt", "gripper"))
    with pytest.raises(LeRobotError, match="limits of tilt"):
        LeRobotRobot(Theirs(), limits={"tilt": (0, 1)})
    with pytest.raises(LeRobotError, match="limits"):
        LeRobotRobot(Theirs(), limits={"pan": (1, 0)})
    velocity = Theirs()
    velocity.action_features = {"x.vel": float}
    with pytest.raises(LeRobotError, match=r"x\.vel"):
        LeRobotRobot(velocity)
    raw = Theirs()
    raw.is_calibrated = False
    with pytest.raises(LeRobotError, match="lerobot-calibrate"):
        LeRobotRobot(raw).connect()
    assert not raw.is_connected


def test_a_leader_drives_and_its_silence_holds():
    robot = LeRobotRobot(Theirs(), hz=30)
    leader = Leader()
    with ControlLoop(robot) as loop:
        end = time.monotonic() + 20

        def until(condition) -> None:
            while not condition():
                assert time.monotonic() < end
                time.sleep(0.01)

        until(lambda: loop.latest()[0] is not None)
        with LeRobotTeleop(leader, loop) as hand:
            loop.arm()
            until(lambda: loop.latest()[0].observation[STATE][0] > 19.9)
            assert loop.latest()[0].source == "human"
            leader.broken = True
            until(lambda: loop.status.mode is Mode.HOLDING)
            assert "unplugged" in hand.error
        assert not leader.is_connected
        robot.robot.broken = True
        until(lambda: loop.status.mode is Mode.DISARMED)
    with pytest.raises(LeRobotError, match="the robot takes 3"):
        LeRobotTeleop(Leader(("pan",)), loop)

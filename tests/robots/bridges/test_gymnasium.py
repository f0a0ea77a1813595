"""A foreign environment as a robot: found, driven, recorded, trained on and evaluated; and refused where it does not fit."""

from __future__ import annotations

import sys
import textwrap

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from pilab.contracts import ACTION, STATE, TASK, Policy, image_key
from pilab.data.lerobot import LeRobotDataset
from pilab.data.recorder import Recorder
from pilab.evaluation.ablation import ablate
from pilab.robots.bridges.gymnasium import GymError, GymRobot, evaluate_gym
from pilab.robots.loop import ControlLoop
from pilab.robots.operator import Operator
from pilab.robots.safety import Mode
from pilab.training.recipes import Recipe, Rows, Stage
from pilab.training.train import train
from pilab.vla.policy import VLAPolicy

# Written to a file of its own: a body is found by the name of the module it is in, as a reader's own would be.
DOT = '''
import gymnasium
import numpy as np
from gymnasium import spaces

from pilab.robots.bridges.gymnasium import GymRobot


class Dot(gymnasium.Env):
    """A white dot goes where it is told, by a tenth of the table a step; the red one is where it should be."""

    metadata = {"render_fps": 10}

    def __init__(self):
        square = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = square
        views = spaces.Dict({"top": spaces.Box(0, 255, (48, 64, 3), np.uint8)})
        clock = spaces.Box(0, 1e6, (1,), np.float32)
        self.observation_space = spaces.Dict({"pixels": views, "position": square, "clock": clock})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.goal = self.np_random.uniform(0.1, 0.9, (2, 2)).astype(np.float32)
        self.time = 0
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.position = self.position + np.clip(action - self.position, -0.1, 0.1)
        self.time += 1
        near = float(np.abs(self.position - self.goal).max())
        return self.observe(), -near, near < 0.05, self.time >= 40, {}

    def observe(self):
        picture = np.zeros((48, 64, 3), np.uint8)
        for (x, y), colour in ((self.goal, (255, 0, 0)), (self.position, (255, 255, 255))):
            row, column = int(y * 47), int(x * 63)
            picture[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = colour
        clock = np.array([self.time], np.float32)
        return {"pixels": {"top": picture}, "position": self.position.astype(np.float32), "clock": clock}


def robot():
    return GymRobot(Dot(), "go to the red dot", state="position", name="dot")


BODY = robot().embodiment
'''


@pytest.fixture
def dot(tmp_path, monkeypatch):
    (tmp_path / "dot_world.py").write_text(textwrap.dedent(DOT), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import dot_world

    yield dot_world
    sys.modules.pop("dot_world")
    torch.set_flush_denormal(False)  # training sets it, and hypothesis does without


class Straight(Policy):
    """Goes to the goal, which it is told."""

    def __init__(self, robot):
        self.env = robot.env

    def act(self, observation, thought):
        return np.repeat(self.env.goal[None, None], 4, axis=1)


class Looks(Policy):
    """Goes to where it sees red."""

    def act(self, observation, thought):
        red = observation[image_key("pixels_top")].astype(int) @ [1, -1, 0] > 200
        rows, columns = (red.any(axis).argmax(1) + 3 for axis in (2, 1))
        return np.stack([columns / 63, rows / 47], 1)[:, None].astype(np.float32)


def test_what_does_a_policy_need_of_what_it_senses(dot):
    """Sensors of an environment of somebody else's, taken one by one: in a few lines."""
    with dot.robot() as robot:
        rows = ablate(
            body=robot.embodiment,
            run=lambda taken: evaluate_gym(robot, Looks(), range(6), glasses=taken, most_steps=25),
        )
    done = {arm: sum(r.success for r in rows if r.arm == arm) for arm in dict.fromkeys(r.arm for r in rows)}
    assert list(done) == [
        "all sensors", "black pixels_top", "black state", "black clock", "black everything"
    ]  # fmt: skip
    assert done["all sensors"] == done["black state"] == done["black clock"] == 6
    assert done["black pixels_top"] == done["black everything"] <= 2  # a corner is sometimes right


def test_what_there_is_is_found(dot):
    robot = dot.robot()
    body = robot.embodiment
    assert [c.name for c in body.cameras] == ["pixels_top"] and body.size == 2 and body.control_hz == 10
    assert [s.key for s in body.sensors] == ["observation.clock"] and not body.arms and robot.simulated
    with pytest.raises(GymError, match="not connected"):
        robot.get_observation()
    with robot:
        seen = robot.get_observation()
        assert seen[image_key("pixels_top")].shape == (48, 64, 3) and seen[TASK] == "go to the red dot"
        sent = robot.send_action(np.array([7.0, 0.5]))
        np.testing.assert_array_equal(sent, np.float32([1.0, 0.5]))
        assert robot.get_observation()[STATE][0] > seen[STATE][0] and robot.outcome.steps == 1
        with pytest.raises(GymError, match="did not move"):
            robot.send_action(np.array([np.nan, 0.5]))
        assert robot.outcome.steps == 1
        robot.env.goal = robot.env.position + np.float32(0.01)
        robot.send_action(robot.env.goal)
        assert robot.outcome.over and robot.outcome.success
        robot.send_action(np.zeros(2))  # it rests
        assert robot.outcome.steps == 2
        robot.reset(3)
        assert not robot.outcome.over


def test_a_velocity_becomes_a_position(dot):
    """An environment that takes steps, told where to be."""

    class Steps(dot.Dot):
        def __init__(self):
            super().__init__()
            self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

        def step(self, action):
            return super().step(np.clip(self.position + 0.1 * action, 0, 1))

    robot = GymRobot(
        Steps(), "go", state="position", command=lambda target, reading: (target - reading["position"]) / 0.1
    )
    with robot:
        for _ in range(15):
            robot.send_action(np.array([0.5, 0.25]))
        np.testing.assert_allclose(robot.get_observation()[STATE], [0.5, 0.25], atol=0.05)


def test_what_does_not_fit_is_told(dot):
    with pytest.raises(GymError, match="position float32"):
        GymRobot(dot.Dot(), "go", state="nowhere")
    with pytest.raises(GymError, match="say in words"):
        GymRobot(dot.Dot(), " ")
    with pytest.raises(GymError, match="no uint8"):
        GymRobot(dot.Dot(), "go", cameras={"base": "position"})
    with pytest.raises(GymError, match="AddRenderObservation"):
        GymRobot(gymnasium.make("MountainCarContinuous-v0"), "climb", state=lambda reading: reading["observation"][:1])
    with pytest.raises(GymError, match="bounded Box"):
        GymRobot(gymnasium.make("CartPole-v1"), "balance")


def test_a_person_drives_it(dot):
    robot, now = dot.robot(), [0.0]
    loop = ControlLoop(robot, clock=lambda: now[0])
    robot.connect()
    person = Operator(robot.embodiment)
    loop.tick()
    loop.arm()
    start = robot.get_observation()[STATE]
    for _ in range(6):
        frame, _ = loop.latest()
        command = frame.executed if frame.executed is not None else start
        loop.drive(person.step({"keys": ["KeyD"] if start[0] < 0.5 else ["KeyA"]}, command, 0.1))
        loop.tick()
        now[0] += 0.1
    assert loop.status.mode is Mode.ARMED
    moved = robot.get_observation()[STATE] - start
    assert abs(moved[0]) > 0.05 and abs(moved[1]) < 1e-3


def test_recorded_trained_on_and_evaluated(dot, tmp_path):
    with dot.robot() as robot:
        with Recorder(tmp_path / "data", robot.embodiment, operator="script") as recorder:
            rows = evaluate_gym(robot, Straight(robot), range(8), arm="script", recorder=recorder)
        assert all(row.success for row in rows) and recorder.status.episodes == 8
        data = LeRobotDataset(tmp_path / "data")
        assert data.columns[ACTION].shape[1] == 2 and set(data.tasks) == {"go to the red dot"}
        recipe = Recipe(
            (Stage(3, Rows(4, 0, 0)),), pointing_scenes=0, validate_every=3, success_episodes=0, warm_up=1,
            model={"width": 32, "heads": 2, "layers": 1, "channels": 24, "horizon": 8, "patch": 16},
        )  # fmt: skip
        checkpoint = train(recipe, [tmp_path / "data"], tmp_path / "trained", body="dot_world:BODY", progress=False)
        rows = evaluate_gym(robot, VLAPolicy(checkpoint), range(2), arm="vla", most_steps=10)
        assert [row.seed for row in rows] == [0, 1] and all(row.checkpoint and 0 < row.steps <= 10 for row in rows)
        again = evaluate_gym(robot, VLAPolicy(tmp_path / "trained"), range(2), arm="vla", most_steps=10)
        assert [r.metrics for r in again] == [r.metrics for r in rows]

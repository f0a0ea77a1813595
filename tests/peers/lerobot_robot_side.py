"""Runs in LeRobot's environment: our simulator as LeRobot's robot, and LeRobot's robot and teleoperator as ours."""

import json
import sys
import time

import numpy as np
from lerobot.configs.parser import load_plugin
from lerobot.robots import RobotConfig, make_robot_from_config
from lerobot.teleoperators import Teleoperator, TeleoperatorConfig

from pilab.contracts import STATE, TASK
from pilab.robots.bridges.lerobot import LeRobotRobot, LeRobotTeleop
from pilab.robots.loop import ControlLoop
from pilab.world.scenes import find_body

load_plugin("pilab.robots.bridges.lerobot_plugin")  # what --robot.discover_packages_path does
config = RobotConfig.get_choice_class("pilab")(task="put", seed=1, hz=30)
robot = make_robot_from_config(config)
robot.connect()
seen = robot.get_observation()
features = robot.observation_features
shapes = {name: list(np.shape(value)) for name, value in seen.items()}
told = {name: [] if kind is float else list(kind) for name, kind in features.items()}
sent = robot.send_action({name: seen[name] + 0.01 for name in robot.action_features})
robot.disconnect()


class Leader(Teleoperator):
    """Points a little beyond where the robot was."""

    config_class, name = TeleoperatorConfig, "leader"
    is_connected, is_calibrated, feedback_features = False, True, {}
    action_features = robot.action_features

    def connect(self, calibrate=True):
        self.is_connected = True

    def disconnect(self):
        self.is_connected = False

    def calibrate(self):
        pass

    configure = calibrate

    def send_feedback(self, feedback):
        pass

    def get_action(self):
        return {name: seen[name] + (0.2 if name == "left_wrist_rotate.pos" else 0.0) for name in self.action_features}


class LeaderConfig(TeleoperatorConfig):
    pass


ours = LeRobotRobot(robot, "put it there", body=find_body("duo"), hz=30, simulated=True)
with ControlLoop(ours, hz=30) as loop, LeRobotTeleop(Leader(LeaderConfig(id="leader")), loop):
    until = time.monotonic() + 60
    while loop.latest()[0] is None:
        time.sleep(0.01)
    loop.arm()
    index = find_body("duo").action.names.index("left_wrist_rotate")
    while loop.latest()[0].observation[STATE][index] < seen["left_wrist_rotate.pos"] + 0.15:
        assert time.monotonic() < until, loop.status
        time.sleep(0.01)
    frame = loop.latest()[0]
own = LeRobotRobot(robot).embodiment  # and without a body of ours: as many channels as it has motors
out = {
    "shapes": shapes, "told": told, "sent": list(sent), "task": frame.observation[TASK], "source": frame.source,
    "channels": len(own.channels), "cameras": [c.name for c in own.cameras],
}  # fmt: skip
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(out, file)

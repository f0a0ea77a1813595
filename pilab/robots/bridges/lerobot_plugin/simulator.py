"""The simulated robot as a `lerobot.robots.Robot`: record, replay and evaluate with LeRobot's own commands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from lerobot.robots import Robot, RobotConfig

from pilab.contracts import STATE, image_key
from pilab.robots.simulator import Simulator


@RobotConfig.register_subclass("pilab")
@dataclass(kw_only=True)
class PilabSimulatorConfig(RobotConfig):
    """`--robot.task`, `--robot.seed`, `--robot.body`, `--robot.hz`."""

    task: str = "put"
    seed: int = 0
    body: str = "duo"
    hz: int = 30


class PilabSimulator(Robot):
    """Joint targets in rad and grippers 0 … 1, each under NAME.pos; the body's cameras under their names."""

    config_class = PilabSimulatorConfig
    name = "pilab"

    def __init__(self, config: PilabSimulatorConfig) -> None:
        super().__init__(config)
        self.config = config
        self.simulator = Simulator(task=config.task, seed=config.seed, body=config.body, hz=config.hz)

    @cached_property
    def observation_features(self) -> dict[str, Any]:
        body = self.simulator.embodiment
        return {**self.action_features, **{c.name: (c.height, c.width, 3) for c in body.cameras}}

    @cached_property
    def action_features(self) -> dict[str, type]:
        return {f"{name}.pos": float for name in self.simulator.embodiment.action.names}

    @property
    def is_connected(self) -> bool:
        return self.simulator.is_connected

    def connect(self, calibrate: bool = True) -> None:
        self.simulator.connect()

    @property
    def is_calibrated(self) -> bool:
        return True

    def calibrate(self) -> None:
        """There is nothing to calibrate."""

    def configure(self) -> None:
        """There is nothing to configure."""

    def get_observation(self) -> dict[str, Any]:
        seen = self.simulator.get_observation()
        joints = zip(self.action_features, seen[STATE].tolist(), strict=True)
        return {**dict(joints), **{c.name: seen[image_key(c.name)] for c in self.simulator.embodiment.cameras}}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        sent = self.simulator.send_action(np.array([action[name] for name in self.action_features], np.float32))
        return dict(zip(self.action_features, sent.tolist(), strict=True))

    def disconnect(self) -> None:
        self.simulator.disconnect()

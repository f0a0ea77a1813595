"""The simulated world as a `Robot`: what a person, a bridge or a control loop drives where no metal is at hand.

Design choices
--------------
* **Simulated time**: one `send_action` is one period of `hz`, however long the caller took to decide.
  Whoever wants a wall clock keeps it outside, as with any other robot.
* **It tells what a robot can know**: joints, sensors, pictures and the words. The simulator's truth comes along only
  where `privileged` was declared when the robot was made, as for a script that shows a task.
* **Mistakes are refused before anything moves**, with an error a user can read.

One thread at a time touches it: the world behind it is not locked.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np

from pilab.contracts import ENVIRONMENT_STATE, SCENE, Embodiment, Observation, PilabError, Robot, Scene
from pilab.world.environment import World
from pilab.world.scenes import find_body, sample_scene


class RobotError(PilabError, RuntimeError):
    """A robot that is not connected, is connected already, or is asked for something it cannot do."""


class Simulator(Robot):
    """A scene to be driven step by step. LeRobot's method names, our keys."""

    simulated = True

    def __init__(
        self, scene: Scene | None = None, task: str = "put", seed: int = 0, body: str = "duo",
        points: bool = False, privileged: bool = False, hz: int | None = None,
    ) -> None:  # fmt: skip
        """scene: the world to be in; without one, scene `seed` of `task` for `body` is drawn.

        points: observe `points.<camera>` too, where everything is in the pictures, for recorders. privileged: observe
        `observation.environment_state` and `scene` too, for demonstrators. hz: actions a second, the body's `control_hz`
        by default; a divisor of its `physics_hz`. Raises `UnknownNameError` or `SceneError` for what cannot be drawn.
        """
        self.scene = sample_scene(seed, task, body=body) if scene is None else scene
        self.embodiment: Embodiment = find_body(self.scene.body)
        self.hz = self.embodiment.control_hz if hz is None else hz
        if self.hz < 1 or self.embodiment.physics_hz % self.hz:
            raise RobotError(f"hz {hz} does not divide the physics rate {self.embodiment.physics_hz}; try 10 or 30")
        self.points, self.privileged = points, privileged
        self._world: World | None = None

    @classmethod
    def example(cls) -> Self:
        """Ready to connect: two arms, a few objects, something to put somewhere."""
        return cls()

    # ----------------------------------------------------------------------------------------------------- the contract
    def connect(self) -> None:
        """Build the scene and let it come to rest. Raises `RobotError` when connected already."""
        if self.is_connected:
            raise RobotError("the simulator is connected already; `reset()` starts the scene anew, `disconnect()` ends")
        self._world = World(self.scene)

    def get_observation(self) -> Observation:
        """State (A,) float32, task, sensors, every camera (H, W, 3) uint8. Raises `RobotError` before `connect`."""
        seen = self.world.observe(points=self.points)
        if self.privileged:
            return seen
        return {key: value for key, value in seen.items() if key not in (ENVIRONMENT_STATE, SCENE)}

    def send_action(self, action: np.ndarray) -> np.ndarray:
        """Move one period towards the targets (A,); returns what was sent (A,): the action within the limits.

        Raises `RobotError`, and does not move, before `connect` and for an action of another shape or with NaN.
        """
        world = self.world
        try:
            return world.step(action, self.hz)
        except (TypeError, ValueError) as error:  # checked before the first physics step
            raise RobotError(f"{error}; the simulator did not move") from error

    def disconnect(self) -> None:
        """Let go of the world. Allowed at any time, like any way to stop."""
        self._world = None

    # --------------------------------------------------------------------------------------------------- simulated only
    @property
    def is_connected(self) -> bool:
        return self._world is not None

    @property
    def world(self) -> World:
        """The world behind the robot, for monitors and films. Raises `RobotError` before `connect`."""
        if self._world is None:
            raise RobotError("the simulator is not connected; call `connect()` first, or use it in a `with` block")
        return self._world

    def reset(self, scene: Scene | None = None) -> None:
        """To the beginning of the scene, or of another. Raises `RobotError` before `connect` and for another body."""
        there = self.world.scene
        if scene is not None and scene.body != there.body:
            raise RobotError(f"a scene for body {scene.body!r}; this simulator is a {there.body!r}: make another one")
        self._world = World(scene or there)
        self.scene = self._world.scene

    def snapshot(self) -> np.ndarray:
        """The whole physical state, for `pilab.world.films.shoot`."""
        return self.world.snapshot()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

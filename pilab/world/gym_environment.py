"""One task behind Gymnasium's interface: every tool that speaks it can drive the robot."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from pilab.contracts import STATE, TASK, Observation, image_key
from pilab.world.environment import World
from pilab.world.monitor import Monitor
from pilab.world.scenes import find_body, sample_scene


class RobotEnv(gymnasium.Env):
    """One task, its scenes drawn by seed.

    Observations have our keys; the reward is 1 when the goal has held for a second, and the episode ends there.
    `reset(seed=s)` draws the scene of that seed; `reset(options={"scene": scene})` takes a given one.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own attribute

    def __init__(self, task: str = "put", body: str = "duo", render_mode: str | None = None) -> None:
        self.task_name, self.body_name, self.render_mode = task, body, render_mode
        body_data = find_body(body)
        spec = body_data.action
        self.action_space = gymnasium.spaces.Box(spec.low.astype(np.float32), spec.high.astype(np.float32))
        spaces: dict[str, Any] = {
            STATE: gymnasium.spaces.Box(-np.inf, np.inf, (body_data.size,), np.float32),
            TASK: gymnasium.spaces.Text(200, charset=frozenset("abcdefghijklmnopqrstuvwxyz -")),
        }
        for s in body_data.sensors:
            spaces[s.key] = gymnasium.spaces.Box(-np.inf, np.inf, s.shape, np.float32)
        for c in body_data.cameras:
            spaces[image_key(c.name)] = gymnasium.spaces.Box(0, 255, (c.height, c.width, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        scene = (options or {}).get("scene")
        if scene is None:
            number = seed if seed is not None else int(self.np_random.integers(500_000))
            scene = sample_scene(number, self.task_name, body=self.body_name)
        self.world = World(scene)
        self.monitor = Monitor(self.world, scene.goal)
        return self._observation(), {"scene": scene.hash, "seed": scene.seed}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict]:
        self.world.step(action)
        self.monitor.update()
        won = self.monitor.success
        late = self.monitor.expired
        return self._observation(), float(won), won, late and not won, dict(self.monitor.metrics())

    def render(self) -> np.ndarray | None:
        if self.render_mode != "rgb_array":
            return None
        camera = self.world.body.cameras[0]
        return self.world.caster.look(self.world.data, camera).rgb

    def _observation(self) -> Observation:
        full = self.world.observe()
        return {key: full[key] for key in self.observation_space.spaces}

"""A foreign environment from nothing to a verdict: record a script in gym-pusht, train the VLA on it, evaluate both.

`python tests/peers/pusht.py FOLDER` prints one JSON object. The task is a part of Push-T (Chi et al. 2023,
arXiv:2303.04137) that a few lines can show: get behind the T and push it to the right.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np

from pilab.contracts import NOISE, Policy
from pilab.data.recorder import Recorder
from pilab.evaluation.statistics import wilson
from pilab.robots.bridges.gymnasium import GymRobot, evaluate_gym
from pilab.robots.policies import Hold
from pilab.training.mixture import Rows
from pilab.training.recipes import Recipe, Stage
from pilab.training.train import train
from pilab.vla.policy import VLAPolicy

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
import gym_pusht  # noqa: F401 (registers the environment)
import gymnasium

FAR = 80.0  # pixels of 512 that the T has to go


def robot() -> GymRobot:
    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="pixels_agent_pos", render_mode="rgb_array")
    return GymRobot(env, "push the T to the right", name="pusht")


BODY = robot().embodiment  # found as pusht:BODY, by training and by checkpoints


def pushed(robot: GymRobot) -> bool:
    """Whether the T has gone far enough to the right since the reset."""
    x, steps = robot.env.unwrapped.block.position.x, robot.outcome.steps
    if steps <= 1:
        robot.began = x
    return x - robot.began > FAR


class Script(Policy):
    """Around the T, and through it."""

    replan_interval = 1

    def __init__(self, robot: GymRobot) -> None:
        self.env = robot.env.unwrapped

    def act(self, observation, thought):
        block = self.env.block
        (x, y), (bx, by) = self.env.agent.position, block.local_to_world(block.center_of_gravity)
        side = 1 if by < 256 else -1  # the way round it with more room
        if x < bx - 20 and abs(y - by) < 20:  # behind it
            target = np.array([bx + 60, by])
        elif x < bx - 90:
            target = np.array([bx - 110, by])
        elif abs(y - by) > 90:
            target = np.array([bx - 110, y])
        else:
            target = np.array([x, by + side * 120])
        step = target - (x, y)
        goal = np.array([x, y]) + step * min(1.0, 50 / max(np.linalg.norm(step), 1e-6))
        return np.tile(goal, (1, 4, 1))


class Anywhere(Policy):
    """Goes to one random place after the other."""

    noise_shape, cameras = (1, 2), ()

    def act(self, observation, thought):
        return np.repeat(256 + 120 * observation[NOISE], 10, axis=1)


RECIPE = Recipe(
    (Stage(1000, Rows(24, 0, 0)),), pointing_scenes=0, validate_every=250, success_episodes=0,
    model={"horizon": 8, "steps_per_token": 2, "hear": 2, "layers": 2},
)  # fmt: skip


def main(folder: Path) -> dict[str, object]:
    with robot() as r:
        with Recorder(folder / "data", BODY, operator="script") as recorder:
            script = evaluate_gym(
                r, Script(r), range(1000, 1120), arm="script", score=pushed, most_steps=80, recorder=recorder
            )
        checkpoint = train(RECIPE, [folder / "data"], folder / "vla", body="pusht:BODY", progress=sys.stderr.isatty())
        arms = {"vla": VLAPolicy(checkpoint), "random": Anywhere(), "hold": Hold()}
        rows = {
            arm: evaluate_gym(r, policy, range(40), arm=arm, score=pushed, most_steps=80)
            for arm, policy in arms.items()
        }
    rates = {arm: (sum(row.success for row in found), len(found)) for arm, found in {"script": script, **rows}.items()}
    return {arm: dataclasses.asdict(wilson(k, n)) for arm, (k, n) in rates.items()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

"""A stand-in for a person at the cockpit: it holds down what a person would, to do what a script wants.

Design choices
--------------
* **It has a person's means and no others**: sliders for one hand at a time, 25 times a second, through the widget's own
  snapshot. What it drives passes the same operator, loop, limits and recorder.
* What it wants comes from a policy that is told where everything is, as a person sees it: the robot must be a simulator made
  with `privileged=True`, and the loop must run in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from pilab.contracts import STATE, Observation, Policy
from pilab.robots.executor import Executor
from pilab.robots.operator import GRIP, SLIDERS, SPEED, TURN
from pilab.widgets.cockpit import Cockpit, CockpitError
from pilab.world.kinematics import chain, rotation_vector

BEAT = 0.04  # s
AHEAD = 0.12  # s in which a slider would cover the way: shorter is nervous, longer is late


class StandIn:
    """Performs at a cockpit what `policy` wants."""

    def __init__(self, cockpit: Cockpit, policy: Policy) -> None:
        body = cockpit.loop.robot.embodiment
        self.cockpit, self.body = cockpit, body
        self._executor = Executor(policy, body, replan_interval=1)
        self._every = cockpit.loop.hz // body.control_hz

    def perform(self, done: Callable[[Observation], bool], seconds: float) -> bool:
        """Hold down what is wanted until `done` (asked with every new observation), for at most `seconds` of the robot's time.

        Whether it was done. Raises `CockpitError` where the robot does not move any more.
        """
        loop, episode, next_step = self.cockpit.loop, None, 0
        wanted, first, silent = None, None, time.monotonic()
        while True:
            frame, status = loop.latest()
            if frame is None or not status.mode.engaged:
                raise CockpitError(f"the robot is {status.mode} ({status.why}): arm it before a stand-in performs")
            first = frame.tick if first is None else first
            if frame.tick - first >= next_step:
                silent = time.monotonic()
                if done(frame.observation):
                    return True
                if frame.tick - first > seconds * loop.hz:
                    return False
                episode = episode or self._executor.begin(status.task, loop.robot.scene.seed)
                wanted = self._executor.step([episode], [frame.observation])[0].executed
                next_step = frame.tick - first + self._every
            if time.monotonic() - silent > 10:
                raise CockpitError("the loop has made no step for 10 s")
            now = self.cockpit.operator.target  # what has been asked for already is not asked for again
            if now is None:
                now = frame.observation[STATE] if frame.executed is None else frame.executed
            self.cockpit.held = {"beat": time.monotonic(), "speed": 1.0, **self.snapshot(np.array(now, float), wanted)}
            time.sleep(BEAT)

    def snapshot(self, now: np.ndarray, wanted: np.ndarray) -> dict[str, object]:
        """Sliders of the hand that is farther from where it should be: from commands `now` (A,) to `wanted` (A,)."""
        asked = np.array([self._motion(arm.name, now, wanted) for arm in self.body.arms])
        index = int(np.abs(asked).sum(1).argmax())
        values = asked[index].clip(-1, 1).round(3)
        return {"arm": index, "sliders": {name: float(values[component]) for name, component in SLIDERS.items()}}

    def _motion(self, name: str, now: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """(7,) of the ways and turns of a hand and its gripper, in what full deflection does in `AHEAD` s."""
        part, links = self.body.slice(name), chain(self.body.arm(name))
        here, there = links.forward(now[part][:-1]), links.forward(wanted[part][:-1])
        turn = rotation_vector(here[1], there[1])
        grip = wanted[part][-1] - now[part][-1]
        return np.array([*(there[0] - here[0]) / SPEED, *turn / TURN, grip / GRIP]) / AHEAD

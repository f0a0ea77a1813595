"""How well a loop keeps its pace while a notebook computes, and what a policy server costs: for `pilab bench`.

`loop_jitter_p99_ms` is the 99th percentile of how much a period of the loop in a process of its own (30 Hz, the simulated
robot with three cameras) differs from what it should be, while this process computes without a pause, as a busy cell does;
`loop_jitter_inside_p99_ms` is the same for the loop in this process. `serve_added_ms` is the median time of an answer from a
policy server on loopback over that of the same policy asked directly, pictures and all.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from pilab.contracts import STATE, TASK, Thought, image_key
from pilab.robots.apart import LoopApart, Made
from pilab.robots.bridges.openpi import PolicyServer, RemotePolicy
from pilab.robots.loop import ControlLoop
from pilab.robots.policies import Hold
from pilab.robots.simulator import Simulator
from pilab.world.scenes import find_body

HZ = 30
ROBOT = Made("pilab.robots.simulator:Simulator", {"seed": 1, "hz": HZ})


class _Look(Hold):
    """Stays where it is, and wants to see everything."""

    cameras = None


def measure(seconds: float = 10.0, asks: int = 200) -> dict[str, float]:
    """See above."""
    apart = _jitter(LoopApart(ROBOT, hz=HZ), seconds)
    inside = _jitter(ControlLoop(Simulator(seed=1, hz=HZ), hz=HZ), seconds)
    return {
        "loop_jitter_p99_ms": apart,
        "loop_jitter_inside_p99_ms": inside,
        "serve_added_ms": _added(asks),
    }


def _jitter(loop: LoopApart | ControlLoop, seconds: float) -> float:
    with loop:
        while loop.latest()[0] is None:
            time.sleep(0.01)
        loop.arm()
        end = beat = time.perf_counter()
        end += seconds
        while (now := time.perf_counter()) < end:  # busy all the time
            if now >= beat:
                loop.drive(None)
                beat += 0.04
        return loop.status.jitter[1]


def _added(asks: int) -> float:
    body, rng = find_body("duo"), np.random.default_rng(0)
    observation = {STATE: body.home[None], TASK: ["put the apple in the bowl"]}
    for camera in body.cameras:
        observation[image_key(camera.name)] = rng.integers(0, 256, (1, camera.height, camera.width, 3), np.uint8)
    with PolicyServer(_Look(), port=0) as server:
        remote = RemotePolicy(server.url)
        times = [[_time(policy, observation) for _ in range(asks)] for policy in (remote, _Look())]
        remote.close()
    return 1000 * (statistics.median(times[0]) - statistics.median(times[1]))


def _time(policy: Hold | RemotePolicy, observation: dict) -> float:
    began = time.perf_counter()
    policy.act(observation, [Thought()])
    return time.perf_counter() - began

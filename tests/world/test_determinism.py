"""Trajectories are functions of scene, policy and arm: not of batch size, threads, or what ran before."""

import numpy as np
import pytest

from pilab.robots.executor import Executor
from pilab.robots.policies import Random
from pilab.robots.simulated import Trial, simulate
from pilab.world.demonstrators import CoverageNoise, Demonstrator
from pilab.world.scenes import find_body, sample_scene


def run(policy, scenes, *, disturbance=None, cameras=(), **how):
    """Scene hash → (executed commands (T, A), labels, final state of the physics, last picture)."""
    commands, pictures = {s.hash: [] for s in scenes}, {}

    def watch(world, observation, command):
        commands[world.scene.hash].append((command.executed, command.label))
        pictures[world.scene.hash] = observation.get("observation.images.base")

    executor = Executor(policy, find_body("duo"), disturbance=disturbance, arm="determinism")
    outcomes = list(simulate(executor, [Trial(s, watch=watch, cameras=cameras) for s in scenes], **how))
    assert len(outcomes) == len(scenes)
    ends = {o.trial.scene.hash: (o.world.snapshot(), o.steps, o.monitor.success) for o in outcomes}
    return {h: (*(np.array(x) for x in zip(*commands[h], strict=True)), *ends[h], pictures[h]) for h in commands}


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        for a, b in zip(one[key], other[key], strict=True):
            assert np.array_equal(a, b), key


@pytest.mark.parametrize(
    ("make", "disturbance", "tasks"),
    [
        pytest.param(
            Demonstrator, CoverageNoise(share=1.0), ("put", "push", "open", "handover", "stack"), id="demonstrator"
        ),
        pytest.param(Random, None, ("put", "close", "stack"), id="random"),
    ],
)
def test_nothing_depends_on_batch_or_threads(make, disturbance, tasks):
    scenes = [sample_scene(40 + i, task) for i, task in enumerate(tasks)]
    alone = run(make(), scenes, disturbance=disturbance, batch=1, threads=1)
    same(alone, run(make(), scenes, disturbance=disturbance, batch=4, threads=2))
    same(alone, run(make(), scenes[::-1], disturbance=disturbance, batch=2, threads=1))
    if disturbance:
        noisy = [not np.array_equal(executed, label) for executed, label, *_ in alone.values()]
        assert all(noisy)


def test_looking_changes_nothing():
    scenes = [sample_scene(50, "put"), sample_scene(51, "close")]
    blind = run(Demonstrator(), scenes, batch=2, threads=2)
    seeing = run(Demonstrator(), scenes, cameras=None, batch=2, threads=2)
    for key in blind:
        assert np.array_equal(blind[key][0], seeing[key][0])
        assert np.array_equal(blind[key][2], seeing[key][2])
        assert blind[key][-1] is None
        assert seeing[key][-1].shape == (96, 128, 3)

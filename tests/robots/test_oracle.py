"""The oracle says at every moment what is right, and whoever acts on it is told nothing else."""

import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, SCENE, TASK, Policy
from pilab.robots.executor import Executor
from pilab.robots.oracle import Oracle, right
from pilab.robots.policies import Hold
from pilab.robots.simulated import Trial, simulate
from pilab.world.bodies.duo import BODY
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import facts_of, task_of


class Ear(Policy):
    """Notes what it is told."""

    cameras, replan_interval = (), 1

    def __init__(self):
        self.told, self.heard = [], []

    def act(self, observation, thought):
        self.told.append(observation)
        self.heard += [t.subtask for t in thought]
        return Hold().act(observation, thought)


def test_who_acts_is_told_the_subtask_and_nothing_privileged():
    ear, scene = Ear(), sample_scene(VALIDATION.start, "put")
    executor = Executor(Oracle(ear), BODY, arm="oracle")
    seen = {**World(scene).observe(()), TASK: "do something"}
    (command,) = executor.step([executor.begin("do something", 1)], [seen])
    assert command.thought.author == "oracle" and ear.heard == [task_of(scene).subtasks(scene, facts_of(scene))[0]]
    assert not {ENVIRONMENT_STATE, SCENE} & set(ear.told[0]) and executor.privileged


# A look is over for the oracle while the demonstrator still finishes the pull: see tasks.check.
@pytest.mark.parametrize(("task", "least"), [("put", 0.75), ("tidy", 0.75), ("check", 0.45)])
def test_it_says_what_the_demonstrator_does(task, least):
    """But for moments at which the two see the same change a little earlier or later."""
    scene, said = sample_scene(VALIDATION.start + 1, task), []

    def watch(world, observation, command):
        row = {k: [v] if k == SCENE else np.asarray(v)[None] for k, v in observation.items() if k != TASK}
        said.append((right(row), command.thought.subtask))

    list(simulate(Executor(Demonstrator(), BODY), [Trial(scene, watch=watch, cameras=())], batch=1, threads=1))
    assert np.mean([ours == theirs for ours, theirs in said]) > least
    expected = task_of(scene).subtasks(scene, facts_of(scene))
    heard = {ours for ours, _ in said}
    assert heard <= set(expected)  # and all of it, but what it says while a hand is on its way to the next thing
    assert {text for text in expected if not text.startswith(("leave", "let go"))} <= heard

"""The oracle says at every moment what is right, and whoever acts on it is told nothing else."""

import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, TASK, Policy, Thought
from pilab.evaluation.rollout import DEFAULT
from pilab.robots.executor import Executor
from pilab.robots.oracle import Oracle, Overheard, right
from pilab.robots.policies import Hold
from pilab.robots.simulated import Trial, simulate
from pilab.vla.policy import VLAPolicy
from pilab.world import objects
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


def test_by_look_it_says_nothing_that_the_shipped_policy_never_heard():
    """In a world of invented nouns the upper bound must speak a language that the hands know."""
    policy = VLAPolicy(DEFAULT)
    for k in range(5):
        scene = sample_scene(VALIDATION.start + k, "away", facts=objects.invented(3), pool=objects.RESERVED)
        row = {
            key: [value] if key == SCENE else np.asarray(value)[None] for key, value in World(scene).observe(()).items()
        }
        said = right(row, by_look=True)
        assert objects.describe(scene.goal.object) in said and policy.unseen(said) == []
        assert objects.invented(3).noun(scene.goal.object) in right(row)


class Counting(Policy):
    """Turns by how often it has thought: what it does depends on when it thinks, and on what it remembers of that."""

    cameras, think_interval, replan_interval = (), 4, 2

    def think(self, observation, previous):
        assert SCENE not in observation
        return [Thought(f"{t.memory.get('n', 0)}", memory={"n": t.memory.get("n", 0) + 1}) for t in previous]

    def act(self, observation, thought):
        steps = 0.01 * np.array([int(t.subtask) for t in thought])[:, None, None]
        return np.asarray(observation[STATE])[:, None] + steps * np.ones((1, 4, 1))


def test_who_is_overheard_does_what_it_would_do_alone():
    scenes = [sample_scene(VALIDATION.start + k, "put") for k in range(2)]
    driven = []
    for policy in (Counting(), Overheard(Counting())):
        sent: dict[str, list] = {scene.hash: [] for scene in scenes}

        def watch(world, observation, command, sent=sent):
            sent[world.scene.hash].append(command.executed)

        list(
            simulate(
                Executor(policy, BODY, arm="x"), [Trial(s, watch=watch, cameras=()) for s in scenes], batch=2, threads=1
            )
        )
        driven.append(sent)
    for key, commands in driven[0].items():
        np.testing.assert_array_equal(np.array(commands), np.array(driven[1][key]))

"""Two levels: the first thinks, the second acts, and each sees what it needs."""

import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, SCENE, TASK, Policy, PolicyError, Thought, image_key
from pilab.robots.executor import Executor
from pilab.robots.levels import Onlooker, TwoLevels
from pilab.robots.policies import Hold, Random
from pilab.world.bodies.duo import BODY
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene


class Head(Policy):
    cameras, think_interval, fingerprint = ("base",), 3, "head"

    def think(self, observation, previous):
        return [Thought("turn the hand") for _ in previous]


class Hands(Policy):
    cameras, replan_interval, fingerprint = ("left_wrist", "base"), 2, "hands"

    def __init__(self):
        self.heard = []

    def act(self, observation, thought):
        self.heard += [t.subtask for t in thought]
        return Hold().act(observation, thought)


def test_what_the_first_thinks_the_second_does():
    hands = Hands()
    pair = TwoLevels(Head(), hands)
    assert pair.cameras == ("base", "left_wrist") and (pair.think_interval, pair.replan_interval) == (3, 2)
    assert pair.fingerprint == "head+hands" and not pair.privileged
    executor = Executor(pair, BODY)
    executor.step([executor.begin("do it", 1)], [World(sample_scene(VALIDATION.start)).observe()])
    assert hands.heard == ["turn the hand"]


def test_what_either_needs_the_pair_needs():
    assert TwoLevels(Head(), Random()).noise_shape == Random().noise_shape
    assert TwoLevels(Demonstrator(), Hands()).privileged and TwoLevels(Head(), Policy).cameras is None


def test_the_truth_is_for_the_one_that_may_know_it():
    class Listening(Hands):
        def act(self, observation, thought):
            self.heard.append(set(observation))
            return super().act(observation, thought)

    hands = Listening()
    executor = Executor(TwoLevels(Demonstrator(), hands), BODY)
    executor.step([executor.begin("do it", 1)], [World(sample_scene(VALIDATION.start)).observe()])
    assert TASK in hands.heard[0] and not {SCENE, ENVIRONMENT_STATE} & hands.heard[0]


def test_an_onlooker_sees_one_camera_and_moves_nothing():
    class Eye:
        fingerprint, think_interval, asked = "eye", 7, []

        def ponder(self, images, tasks, *, begun):
            self.asked.append((images, tasks, begun))
            return [Thought("look")] * len(tasks)

    eye, picture = Eye(), np.zeros((2, 4, 4, 3), np.uint8)
    onlooker = Onlooker(eye)
    begun = Thought(chain=("i see an apple.",), author="person")
    seen = {image_key("base"): picture, TASK: ["a", "b"]}
    assert [t.subtask for t in onlooker.think(seen, [begun, Thought("old")])] == ["look"] * 2
    ((images, tasks, starts),) = eye.asked
    assert images["base"] is picture and (tasks, starts) == (["a", "b"], [("i see an apple.",), ()])
    with pytest.raises(PolicyError, match="only thinks"):
        onlooker.act(seen, [])

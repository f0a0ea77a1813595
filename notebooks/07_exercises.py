"""Checks and solutions of the exercises of notebook 07. Each check says what is right, or gives a hint."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from pilab.contracts import Observation, Policy, image_key

SENSORS = 5
STEPS, REACH = 25, 0.05  # of the dot's environment
FAILS = 0.3
Glasses = Callable[[Observation], Observation]


def check_1(sets: int) -> None:
    """Exercise 1: how many sets there are."""
    right = SENSORS + SENSORS * (SENSORS - 1) // 2
    if sets == right:
        print(f"right: {SENSORS} of one and {right - SENSORS} of two; of any size there are {2**SENSORS - 2}")
    elif sets == SENSORS**2:
        print("that counts each pair twice, and pairs of a sensor with itself")
    else:
        print("not yet: those of one, and those of two, in whichever order")


def check_2(policy: Policy) -> None:
    """Exercise 2: a policy that senses nothing, on two hundred dots."""
    rng, done = np.random.default_rng(0), 0
    for _ in range(200):
        (dot, finger), chunk, at = rng.uniform(0.2, 0.8, (2, 2)), np.zeros((0, 2)), 0
        for _ in range(STEPS):
            if at == len(chunk):  # it sees nothing: a dark picture, and a state of zeros
                seen = {image_key("pixels"): np.zeros((1, 48, 48, 3), np.uint8), "observation.state": np.zeros((1, 2))}
                chunk, at = np.asarray(policy.act(seen, [None]))[0], 0
            finger, at = finger + np.clip(chunk[at] - finger, -0.08, 0.08), at + 1
            if np.abs(finger - dot).max() < REACH:
                done += 1
                break
    if done < 25:
        print(f"it is done in {done} of 200, which who stays where it is comes to as well: does it go everywhere?")
    else:
        print(f"right: {done} of 200 without sensing anything, which is what everything black has to be held against")


def check_3(pair: Callable[[int], Glasses]) -> None:
    """Exercise 3: a camera that fails now and then."""
    picture, failed, kept = np.full((4, 4, 3), 200, np.uint8), 0, True
    for seed in range(20):
        glasses = pair(seed)
        for _ in range(50):
            seen = glasses({image_key("base"): picture.copy(), "observation.state": np.ones(2)})
            failed += not seen[image_key("base")].any()
            kept &= bool(np.all(seen["observation.state"] == 1)) and seen[image_key("base")].max() in (0, 200)
    first = [
        [not pair(seed)({image_key("base"): picture})[image_key("base")].any() for _ in range(30)] for seed in (1, 1)
    ]
    if not kept:
        print("something else than whole pictures is changed")
    elif first[0] != first[1]:
        print("the same seed gives other failures: draw them from a generator of that seed, made once for each pair")
    elif abs(failed / 1000 - FAILS) > 0.05:
        print(f"not yet: {failed / 10:.0f} % of the pictures fail")
    else:
        print(f"right: {failed / 10:.0f} % of the pictures are black, and the same ones every time")


def solution_1() -> int:
    return 15


class Sweeps(Policy):
    """Goes over the table line by line, wherever the dot is."""

    def __init__(self) -> None:
        lines = [[(0.2, y), (0.8, y)] for y in (0.4, 0.5, 0.6)]
        corners = itertools.chain.from_iterable(line[:: (-1) ** k] for k, line in enumerate(lines))
        self.path = np.array([spot for corner in corners for spot in [corner] * 8])

    def act(self, observation: Observation, thought: list) -> np.ndarray:
        return np.repeat(self.path[None], len(observation["observation.state"]), axis=0)


def solution_2() -> Policy:
    return Sweeps()


def solution_3() -> Callable[[int], Glasses]:
    def pair(seed: int) -> Glasses:
        rng = np.random.default_rng(seed)

        def look(seen: Observation) -> Observation:
            if rng.random() >= 0.3:
                return dict(seen)
            return {**seen, image_key("base"): np.zeros_like(seen[image_key("base")])}

        return look

    return pair

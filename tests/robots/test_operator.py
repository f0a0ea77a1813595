"""A person's hands: which key does what, how far, how fast, and what nonsense does (nothing)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.robots.operator import GRIP, LEASH, SPEED, Operator, motions
from pilab.world.kinematics import chain
from pilab.world.scenes import find_body

DUO = find_body("duo")
HOME = DUO.home.astype(float)


def tip(action: np.ndarray, arm: str) -> np.ndarray:
    return chain(DUO.arm(arm)).forward(action[DUO.slice(arm)][:-1])[0]


@pytest.mark.parametrize(
    ("key", "arm", "axis", "sign"),
    [("KeyD", "left", 0, 1), ("KeyW", "left", 1, 1),
     ("KeyQ", "left", 2, -1), ("KeyJ", "right", 0, -1), ("KeyO", "right", 2, 1)],
)  # fmt: skip
def test_a_key_moves_its_hand_along_its_axis(key, arm, axis, sign):
    operator, command = Operator(DUO), HOME.copy()
    for _ in range(5):
        command = operator.step({"keys": [key]}, command, 0.04)
    moved = tip(command, arm) - tip(HOME, arm)
    assert moved[axis] * sign == pytest.approx(5 * 0.04 * SPEED, abs=0.002)
    assert np.abs(np.delete(moved, axis)).max() < 0.002
    other = "right" if arm == "left" else "left"
    np.testing.assert_array_equal(command[DUO.slice(other)], HOME[DUO.slice(other)])


def test_both_hands_shift_and_speed():
    operator = Operator(DUO, speed=0.5)
    command = operator.step({"keys": ["KeyA", "KeyL"]}, HOME, 0.1)
    assert tip(command, "left")[0] < tip(HOME, "left")[0] and tip(command, "right")[0] > tip(HOME, "right")[0]
    assert np.linalg.norm(tip(command, "left") - tip(HOME, "left")) == pytest.approx(0.05 * SPEED, abs=0.002)
    turned = Operator(DUO).step({"keys": ["KeyW", "ShiftLeft"]}, HOME, 0.1)
    assert np.linalg.norm(tip(turned, "left") - tip(HOME, "left")) < 0.002 and not np.allclose(turned, HOME)


def test_grippers_close_and_open_within_their_range():
    operator, command = Operator(DUO), HOME.copy()
    for _ in range(3):
        command = operator.step({"keys": ["KeyC", "Comma"]}, command, 0.1)
    assert command[[6, 13]] == pytest.approx(1 - 0.3 * GRIP)
    for _ in range(20):
        command = operator.step({"keys": ["KeyC"]}, command, 0.1)
    assert command[6] == 0.0


def test_pad_pointer_and_sliders_drive_the_chosen_hand():
    for device in ({"pad": {"axes": [1, 0, 0, 0], "buttons": []}}, {"drag": [1, 0, 0]}, {"sliders": {"x": 1}}):
        for arm, name in enumerate(("left", "right")):
            asked = motions({**device, "arm": arm}, DUO)
            assert asked[name].values.tolist() == [1, 0, 0, 0, 0, 0, 0]
            assert asked["right" if name == "left" else "left"].still
    assert motions({"pad": {"axes": [0.05, -0.1, 0, 0], "buttons": [0] * 8}}, DUO)["left"].still  # sticks at rest
    assert motions({"keys": ["KeyD"], "drag": [1, 0, 0], "sliders": {"x": 1}}, DUO)["left"].values[0] == 1


def test_a_long_silence_is_no_long_step_and_the_target_stays_on_its_leash():
    operator = Operator(DUO)
    command = operator.step({"keys": ["KeyD"]}, HOME, 30.0)
    assert np.linalg.norm(tip(command, "left") - tip(HOME, "left")) < 0.1 * SPEED + 0.002
    for _ in range(200):  # a robot that does not move at all
        target = operator.step({"keys": ["KeyD", "KeyC"]}, HOME, 0.1)
    assert np.abs(target - HOME).max() <= LEASH + 1e-9
    assert operator.step({}, HOME, 0.04) is None
    fresh = operator.step({"keys": ["KeyD"]}, HOME, 0.04)  # after a pause from where the robot is
    assert np.linalg.norm(tip(fresh, "left") - tip(HOME, "left")) == pytest.approx(0.04 * SPEED, abs=0.002)


def test_one_arm_listens_to_the_left_hand():
    solo = find_body("solo")
    asked = motions({"keys": ["KeyD", "KeyL"], "arm": 1, "drag": [0, 1, 0]}, solo)
    assert [m.values[:2].tolist() for m in asked.values()] == [[1, 1]]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["KeyW", "KeyL"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["keys", "pad", "axes", "buttons", "drag", "sliders", "x", "arm"]) | st.text(max_size=3), inner,
        max_size=4,
    ), max_leaves=8,
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.dictionaries(st.sampled_from(["keys", "pad", "drag", "sliders", "arm", "speed"]), JSON))
def test_whatever_a_page_sends_is_a_motion_within_bounds(snapshot):
    for motion in motions(snapshot, DUO).values():
        assert motion.values.shape == (7,) and np.abs(motion.values).max() <= 1 and not math.isnan(motion.values.sum())

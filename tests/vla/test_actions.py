"""Action spaces: there and back for every space and body, and the statistics that normalise them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.contracts import STATE, PolicyError, UnknownNameError
from pilab.vla.actions import SPACES, Normaliser, find_space, is_gripper
from pilab.vla.senses import OWN, feel
from pilab.world.kinematics import chain
from pilab.world.scenes import find_body

HORIZON = 16
CASES = pytest.mark.parametrize(("space", "body"), [(s, b) for s in SPACES for b in ("duo", "solo")])
SEEDS = st.integers(0, 2**32 - 1)


def motion(body, seed, rows=3, away=0.25, step=0.02):
    """States near home and chunks that wander from them by `step` rad a step: (B, A), (B, H, A), within limits."""
    rng = np.random.default_rng(seed)
    low, high = body.action.low, body.action.high
    state = np.clip(body.home + rng.uniform(-away, away, (rows, body.size)), low + 0.1, high - 0.1)
    joints = state[:, None] + rng.uniform(-step, step, (rows, HORIZON, body.size)).cumsum(1)
    grippers = rng.uniform(0, 1, joints.shape)
    return state, np.clip(np.where(is_gripper(body), grippers, joints), low, high)


# ------------------------------------------------------------------------------------------------------- there and back
@CASES
@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_decoding_what_was_encoded_gives_the_actions_back(space, body, seed):
    space, body = find_space(space), find_body(body)
    state, actions = motion(body, seed)
    inside = space.encode(body, state, actions)
    assert inside.shape == (len(state), HORIZON, space.size(body))
    np.testing.assert_allclose(space.decode(body, state, inside), actions, atol=1e-3)


@CASES
def test_floors_fit_the_space(space, body):
    space, body = find_space(space), find_body(body)
    floor = np.asarray(space.floor(body))
    assert floor.shape == (space.size(body),)
    assert (floor > 0).all()


@CASES
def test_rows_do_not_meet(space, body):
    space, body = find_space(space), find_body(body)
    state, actions = motion(body, 5)
    inside = space.encode(body, state, actions)
    back = space.decode(body, state, inside)
    for i in range(len(state)):
        np.testing.assert_allclose(space.encode(body, state[i : i + 1], actions[i : i + 1])[0], inside[i], atol=1e-12)
        np.testing.assert_allclose(space.decode(body, state[i : i + 1], inside[i : i + 1])[0], back[i], atol=1e-9)


@CASES
@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, size=st.floats(0.1, 30))
def test_whatever_the_network_says_stays_within_limits(space, body, seed, size):
    """Poses out of reach, joints beyond their ends, grippers beyond shut."""
    space, body = find_space(space), find_body(body)
    state, _ = motion(body, seed)
    inside = size * np.random.default_rng(seed).standard_normal((len(state), HORIZON, space.size(body)))
    actions = space.decode(body, state, inside)
    assert actions.shape == (len(state), HORIZON, body.size)
    assert np.isfinite(actions).all()
    assert (actions >= body.action.low - 1e-9).all() and (actions <= body.action.high + 1e-9).all()


# ---------------------------------------------------------------------------------------------- what the numbers mean
def test_staying_is_zero_but_for_the_grippers():
    body = find_body("duo")
    state, _ = motion(body, 0)
    still = np.repeat(state[:, None], HORIZON, 1)
    for name in ("relative_pose", "relative_joints"):
        inside = find_space(name).encode(body, state, still)
        grippers = np.arange(inside.shape[-1]) % 7 == 6
        np.testing.assert_allclose(inside[..., ~grippers], 0, atol=1e-9)
        np.testing.assert_allclose(inside[..., grippers], still[..., is_gripper(body)])
    np.testing.assert_array_equal(find_space("absolute_joints").encode(body, state, still), still)


def test_a_relative_pose_is_metres_and_radians_in_world_axes():
    """Ask for 3 cm to the right, 2 cm up and a turn about the vertical; forward kinematics tells where the tip went."""
    body, space = find_body("duo"), find_space("relative_pose")
    state = body.home[None].astype(float)
    inside = np.zeros((1, 1, space.size(body)))
    inside[..., :7] = [0.03, 0, 0.02, 0, 0, 0.2, 0.4]
    inside[..., 13] = 1.0
    actions = space.decode(body, state, inside)[0, 0]
    for arm, moved, turn in ((body.arms[0], [0.03, 0, 0.02], 0.2), (body.arms[1], [0, 0, 0], 0.0)):
        part = body.slice(arm.name)
        was, now = (chain(arm).forward(q[part][:-1]) for q in (state[0], actions))
        np.testing.assert_allclose(now[0] - was[0], moved, atol=1e-4)
        c, s = np.cos(turn), np.sin(turn)
        np.testing.assert_allclose(now[1], np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ was[1], atol=1e-3)
    assert actions[body.slice("left")][-1] == pytest.approx(0.4)


def test_a_pose_out_of_reach_is_approached():
    """Two metres ahead: the arm stretches towards it as far as it can, and no further than its joints allow."""
    body, space = find_body("solo"), find_space("relative_pose")
    state, inside = body.home[None].astype(float), np.zeros((1, 1, 7))
    inside[..., 1] = 2.0
    actions = space.decode(body, state, inside)[0, 0]
    was, now = (chain(body.arms[0]).forward(q[:-1])[0] for q in (state[0], actions))
    assert now[1] - was[1] > 0.05
    assert (actions >= body.action.low).all() and (actions <= body.action.high).all()


def test_proprioception_adds_where_each_tip_is_and_how_it_points():
    for name in ("duo", "solo"):
        body = find_body(name)
        state, _ = motion(body, 1, rows=4)
        felt = feel(body, OWN, {STATE: state})
        assert felt.shape == (4, body.size + 9 * len(body.arms))
        np.testing.assert_array_equal(felt[:, : body.size], state)
        for i, arm in enumerate(body.arms):
            tip, rotation, _, _ = chain(arm).forward(state[:, body.slice(arm.name)][:, :-1])
            mine = felt[:, body.size + 9 * i :][:, :9]
            np.testing.assert_allclose(mine, np.concatenate([tip, rotation[..., 0], rotation[..., 1]], -1))


def test_grippers_are_where_the_body_says():
    assert np.flatnonzero(is_gripper(find_body("duo"))).tolist() == [6, 13]
    assert np.flatnonzero(is_gripper(find_body("solo"))).tolist() == [6]


def test_an_unknown_space_names_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"'polar'.*relative_pose.*MODULE:OBJECT"):
        find_space("polar")
    with pytest.raises(UnknownNameError, match="nowhere:SPACE"):
        find_space("nowhere:SPACE")


# ----------------------------------------------------------------------------------------------------------- statistics
def fitted(per_step=True, space="relative_pose"):
    body, space = find_body("duo"), find_space(space)
    state, actions = motion(body, 2, rows=400)
    inside = space.encode(body, state, actions)
    felt = feel(body, OWN, {STATE: state})
    return Normaliser.fit(felt, inside, space.floor(body), per_step), felt, inside, space.floor(body)


def test_normalised_actions_come_back():
    normaliser, _, inside, _ = fitted()
    there = normaliser.action(inside)
    assert there.dtype == np.float32 and there.shape == inside.shape
    np.testing.assert_allclose(normaliser.denormalise(there.astype(float)), inside, atol=1e-5)


def test_each_step_has_its_own_mean_and_deviation():
    normaliser, felt, inside, floor = fitted()
    assert normaliser.state_mean.shape == normaliser.state_std.shape == (felt.shape[1],)
    assert normaliser.action_mean.shape == normaliser.action_std.shape == inside.shape[1:]
    there = normaliser.action(inside)
    np.testing.assert_allclose(there.mean(0), 0, atol=1e-3)
    above = inside.std(0) > floor
    assert above.sum() > 50 and (~above).sum() > 10
    np.testing.assert_allclose(there.std(0)[above], 1, atol=1e-3)
    assert (there.std(0)[~above] < 1).all()
    moving = normaliser.action_std[:, 0]
    assert moving[-1] > 2 * moving[0]  # the end of a chunk strays further


def test_one_mean_and_deviation_for_all_steps():
    normaliser, _, inside, floor = fitted(per_step=False)
    assert normaliser.action_mean.shape == inside.shape[1:]
    assert np.ptp(normaliser.action_mean, axis=0).max() == np.ptp(normaliser.action_std, axis=0).max() == 0
    np.testing.assert_allclose(normaliser.action_mean[0], inside.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(normaliser.action_std[0], np.maximum(inside.std((0, 1)), floor), rtol=1e-5)


def test_what_never_moves_is_not_amplified():
    floor = np.array([0.004, 0.5])
    still = Normaliser.fit(np.zeros((9, 3)), np.full((9, 4, 2), 0.3), floor)
    np.testing.assert_allclose(still.action_std, np.tile(floor, (4, 1)), rtol=1e-6)
    assert (still.state_std > 0).all()
    np.testing.assert_allclose(still.action(np.full((1, 4, 2), 0.3 + floor)), 1, rtol=1e-4)


def test_a_strange_state_is_clipped_and_a_common_one_is_not():
    normaliser, felt, _, _ = fitted()
    inside = normaliser.state(felt)
    assert inside.dtype == np.float32
    assert np.abs(inside).max() < 5
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-3)
    assert np.abs(normaliser.state(felt + 1e3)).max() == 5


def test_statistics_as_arrays_and_back():
    normaliser, *_ = fitted()
    again = Normaliser.from_arrays(normaliser.to_arrays())
    for field in dataclasses.fields(Normaliser):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(normaliser, field.name))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Normaliser)])
def test_missing_or_infinite_statistics_are_refused(name):
    arrays = fitted()[0].to_arrays()
    gone = {k: v for k, v in arrays.items() if k != name}
    for damaged in (gone, {**gone, name: arrays[name] * np.inf}):
        with pytest.raises(PolicyError, match=f"'{name}' missing or not finite"):
            Normaliser.from_arrays(damaged)

"""Kinematics: against MuJoCo's own, there and back over the workspace, the same in a batch as one by one."""

import dataclasses

import mujoco
import numpy as np
import pytest

from pilab.world.bodies import duo, solo
from pilab.world.environment import World
from pilab.world.kinematics import chain, tips, top_down
from pilab.world.scenes import OBJECT_ZONE, build, find_body, sample_scene

ARMS = [pytest.param(name, arm, id=f"{name}-{arm.name}") for name in ("duo", "solo") for arm in find_body(name).arms]


def random_joints(arm, n, seed=0, margin=0.0):
    c = chain(arm)
    return np.random.default_rng(seed).uniform(c.low + margin, c.high - margin, (n, len(c.low)))


def targets(n, seed=0):
    """Poses that point down over the object zone, at any yaw and height that tasks use."""
    rng = np.random.default_rng(seed)
    (x0, x1), (y0, y1) = OBJECT_ZONE
    at = rng.uniform((x0, y0, 0.012), (x1, y1, 0.20), (n, 3))
    return at, top_down(rng.uniform(-np.pi, np.pi, n))


@pytest.mark.parametrize(("body", "arm"), ARMS)
def test_forward_agrees_with_mujoco(body, arm):
    model = build(sample_scene(0, "put", body=body))
    data = mujoco.MjData(model)
    address = [model.joint(f"{arm.name}_{j.name}").qposadr[0] for j in arm.joints]
    hand = model.body(f"{arm.name}_{arm.joints[-1].name}").id
    for q in random_joints(arm, 50):
        data.qpos[address] = q
        mujoco.mj_forward(model, data)
        tip, rotation, axes, origins = chain(arm).forward(q)
        frame = data.xmat[hand].reshape(3, 3)
        np.testing.assert_allclose(rotation, frame, atol=1e-9)
        np.testing.assert_allclose(tip, data.xpos[hand] + frame @ arm.tip, atol=1e-9)
        joints = [model.joint(f"{arm.name}_{j.name}").id for j in arm.joints]
        np.testing.assert_allclose(axes, data.xaxis[joints], atol=1e-9)
        np.testing.assert_allclose(origins, data.xanchor[joints], atol=1e-9)


@pytest.mark.parametrize("body", ["duo", "solo"])
def test_tips_of_many_states_are_those_of_each(body):
    body = find_body(body)
    states = np.random.default_rng(0).uniform(body.action.low, body.action.high, (2, 3, body.size))
    found = tips(body, states)
    assert found.shape == (2, 3, len(body.arms), 3)
    for i, arm in enumerate(body.arms):
        for at in np.ndindex(2, 3):
            tip, *_ = chain(arm).forward(states[at][body.slice(arm.name)][:-1])
            np.testing.assert_allclose(found[at][i], tip, atol=1e-12)


def test_the_tip_lies_between_the_finger_tips():
    world = World(sample_scene(0, "put"))
    for arm, tip in zip(world.body.arms, world.tips(), strict=True):
        fingers = [world.model.geom(f"{arm.name}_finger_{side}").id for side in "ab"]
        centre = world.data.geom_xpos[fingers].mean(0)
        approach = world.data.geom_xmat[fingers[0]].reshape(3, 3)[:, 0]
        half = world.model.geom_size[fingers[0]][0]
        np.testing.assert_allclose(centre + approach * half, tip, atol=2e-3)  # the fingers give a little


@pytest.mark.parametrize(("body", "arm"), ARMS)
def test_inverse_returns_to_where_forward_was(body, arm):
    """From a start a few tenths of a radian away, as a controller has it."""
    c = chain(arm)
    home = np.array(arm.home)
    rng = np.random.default_rng(1)
    there = np.clip(home + rng.uniform(-0.6, 0.6, (300, len(home))), c.low, c.high)
    tip, rotation, _, _ = c.forward(there)
    start = np.clip(there + rng.uniform(-0.15, 0.15, there.shape), c.low, c.high)
    found, miss = c.inverse(tip, rotation, start, iterations=40)
    assert (miss < 1e-4).mean() > 0.99
    again = c.forward(found)
    np.testing.assert_allclose(again[0][miss < 1e-4], tip[miss < 1e-4], atol=1e-4)
    np.testing.assert_allclose(again[1][miss < 1e-4], rotation[miss < 1e-4], atol=2e-3)


def test_every_point_of_the_zone_is_within_reach_of_a_hand():
    at, rotation = targets(300)
    misses = []
    for arm in duo.BODY.arms:
        home = np.broadcast_to(arm.home, (len(at), len(arm.home)))
        flipped = top_down(np.pi) @ top_down(0.0).T @ rotation  # a hand is the same after half a turn
        misses += [chain(arm).inverse(at, r, home, iterations=60)[1] for r in (rotation, flipped)]
    assert np.min(misses, axis=0).max() < 1e-3


@pytest.mark.parametrize(("body", "arm"), ARMS)
def test_a_batch_is_its_members(body, arm):
    c = chain(arm)
    q = random_joints(arm, 12, seed=2).reshape(3, 4, -1)
    tip, rotation, axes, origins = c.forward(q)
    assert tip.shape == (3, 4, 3)
    assert rotation.shape == (3, 4, 3, 3)
    assert axes.shape == origins.shape == (3, 4, len(arm.joints), 3)
    for i in np.ndindex(3, 4):
        for whole, one in zip((tip, rotation, axes, origins), c.forward(q[i]), strict=True):
            np.testing.assert_allclose(whole[i], one, atol=1e-12)
    home = np.broadcast_to(arm.home, (12, len(arm.home)))
    at, turned = targets(12)
    for iterations in (3, 6, 40):  # a batch stops when its last row is within 1e-5: the others are then nearer still
        together, miss = c.inverse(at, turned, home, iterations=iterations)
        for i in range(12):
            alone, miss_alone = c.inverse(at[i], turned[i], home[i], iterations=iterations)
            np.testing.assert_allclose(together[i], alone, atol=5e-5)
            assert miss[i] == pytest.approx(miss_alone, abs=1e-5)


@pytest.mark.parametrize(("body", "arm"), ARMS)
def test_limits_hold_and_a_miss_is_told(body, arm):
    c = chain(arm)
    rng = np.random.default_rng(3)
    far = rng.uniform((-2, -2, -1), (2, 2, 2), (100, 3))
    q, miss = c.inverse(far, top_down(rng.uniform(-np.pi, np.pi, 100)), np.tile(arm.home, (100, 1)), iterations=30)
    assert (q >= c.low).all()
    assert (q <= c.high).all()
    np.testing.assert_allclose(np.linalg.norm(far - c.forward(q)[0], axis=1), miss, atol=1e-9)
    assert (miss > 0.2).any()
    assert np.isfinite(q).all()


def test_top_down_points_down_and_closes_along_the_yaw():
    for yaw in np.linspace(-3, 3, 7):
        rotation = top_down(yaw)
        np.testing.assert_allclose(rotation[:, 0], (0, 0, -1), atol=1e-12)
        np.testing.assert_allclose(rotation[:, 1], (np.cos(yaw), np.sin(yaw), 0), atol=1e-12)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_changed_arm_has_its_own_chain():
    arm = solo.BODY.arms[0]
    longer = dataclasses.replace(arm, tip=(0.20, 0, 0))
    tip = chain(arm).forward(np.array(arm.home))[0]
    assert np.linalg.norm(chain(longer).forward(np.array(arm.home))[0] - tip) == pytest.approx(0.05)
    assert chain(arm) is chain(dataclasses.replace(arm))


def test_mink_finds_the_same_pose():
    """An independent solver agrees that the pose is reached, and needs no joint further away than ours."""
    mink = pytest.importorskip("mink")
    arm = solo.BODY.arms[0]
    model = build(sample_scene(0, "put", body="solo"))
    hand = f"{arm.name}_{arm.joints[-1].name}"
    address = np.array([model.joint(f"{arm.name}_{j.name}").qposadr[0] for j in arm.joints])
    at, turned = np.array([0.05, -0.02, 0.10]), top_down(np.pi)
    ours, miss = chain(arm).inverse(at, turned, np.array(arm.home), iterations=40)
    assert miss < 1e-4
    configuration = mink.Configuration(model)
    q = configuration.q.copy()
    q[address] = arm.home
    configuration.update(q)
    task = mink.FrameTask(hand, "body", position_cost=1.0, orientation_cost=1.0)
    wanted = mink.SE3.from_rotation_and_translation(mink.SO3.from_matrix(turned), at - turned @ arm.tip)
    task.set_target(wanted)
    for _ in range(200):
        configuration.integrate_inplace(mink.solve_ik(configuration, [task], 0.05, "daqp", damping=1e-6), 0.05)
    theirs = configuration.q[address]
    tip, rotation, _, _ = chain(arm).forward(theirs)
    np.testing.assert_allclose(tip, at, atol=1e-3)
    np.testing.assert_allclose(rotation, turned, atol=5e-3)
    np.testing.assert_allclose(ours, theirs, atol=2e-2)  # the same branch: the one next to the start

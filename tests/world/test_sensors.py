"""What hands feel, on hard and on soft pads, against springs, weights and MuJoCo's own sensors."""

from functools import cache

import mujoco
import numpy as np
import pytest

from pilab.robots.executor import Executor
from pilab.robots.simulated import Trial, simulate
from pilab.world.bodies import _serial, _soft
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.scenes import find_body, sample_scene

BODIES = ("duo_touch", "duo_soft")
SEED = 600_003


@cache
def moments(task, body, phase, skip=2):
    """The arm of a demonstration, and snapshots of its world while it is in a phase."""
    seen = []

    def watch(world, observation, command):
        memory = command.thought.memory
        seen.append((memory["arm"], memory["phase"], world.snapshot()))

    trial = Trial(sample_scene(SEED, task, body=body), watch=watch)
    (outcome,) = simulate(Executor(Demonstrator(), find_body(body), arm="test"), [trial], batch=1, threads=1)
    assert outcome.monitor.success
    return seen[0][0], [snapshot for _, now, snapshot in seen if now == phase][skip:]


def worlds(task, body, phase, tune=None):
    """A world, in each of those moments, and the number of the arm."""
    world = World(sample_scene(SEED, task, body=body), tune)
    arm, snapshots = moments(task, body, phase)
    assert len(snapshots) > 3
    for snapshot in snapshots:
        world.restore(snapshot)
        yield world, [a.name for a in world.body.arms].index(arm)


@pytest.mark.parametrize("body", BODIES)
def test_a_hand_feels_what_the_springs_of_a_board_say(body):
    """The x axis of a hand that is turned down looks at the floor: the board pushes against it."""
    pressed, felt, springs = [], [], []
    for world, arm in worlds("wipe", body, "rub"):
        board = world.scene.part("board")
        pressed.append(world.pressure("board").sum())
        felt.append(world.observe(())["observation.force"][6 * arm])
        springs.append(board.parameters["stiffness"] * (board.position[2] - world.position("board")[2]))
    assert min(springs) > 1.5
    # The board moves a little, and has a damper and a weight besides its spring: not at every instant.
    assert np.median(pressed) == pytest.approx(np.median(springs), rel=0.1)
    np.testing.assert_allclose(felt, -np.array(pressed), rtol=0.1, atol=0.2)


@pytest.mark.parametrize("body", BODIES)
def test_a_wrist_feels_the_weight_of_what_is_held_and_not_how_it_is_held(body):
    weights, squeezes, sideways = [], [], []
    for world, arm in worlds("insert", body, "over"):
        seen = world.observe(())
        force, touch = seen["observation.force"][6 * arm :][:3], seen["observation.touch"][2 * arm :][:2]
        weights.append(force[0])
        squeezes.append(touch.min())
        sideways.append(abs(force[1]))
        np.testing.assert_allclose(
            seen["observation.touch"][2 * (1 - arm) :][:2], 0, atol=1e-6
        )  # the other hand is open
    assert np.median(weights) == pytest.approx(9.81 * 0.045, rel=0.15)
    assert min(squeezes) > 5
    assert np.median(sideways) < 0.3


@pytest.mark.parametrize("body", BODIES)
def test_the_wrist_agrees_with_the_sensors_of_mujoco(body):
    """They know nothing of the compensation of the hand's weight, and feel its inertia."""
    arms = find_body(body).arms
    last = arms[0].joints[-1].name

    def tune(spec):
        for arm in arms:
            name = f"{arm.name}_{last}"
            spec.body(name).add_site(name=name)
            for kind in (mujoco.mjtSensor.mjSENS_FORCE, mujoco.mjtSensor.mjSENS_TORQUE):
                spec.add_sensor(type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=name)

    ours, theirs = [], []
    for world, arm in worlds("wipe", body, "rub", tune):
        ours.append(world.observe(())["observation.force"][6 * arm :][:6])
        theirs.append(world.data.sensordata[6 * arm :][:6].copy())
    ours, theirs = np.array(ours), np.array(theirs)
    assert np.abs(ours[:, :3]).max() > 2
    weight = 9.81 * world.model.body(f"{arms[arm].name}_{last}").subtreemass[0]
    np.testing.assert_allclose(np.median(-ours, 0), np.median(theirs, 0) + [weight, 0, 0, 0, 0, 0], atol=0.25)


def test_soft_pads_give_way_by_two_pixels_of_the_wrist_camera():
    """At the gripper's full force, by their springs; hard ones cannot."""
    for world, arm in worlds("insert", "duo_soft", "over"):
        name = world.body.arms[arm].name
        touch = world.observe(())["observation.touch"][2 * arm :][:2]
        pads = [f"{name}_finger_{side}" for side in "ab"]
        sunk = np.array([world.data.joint(f"{pad}_y").qpos[0] for pad in pads])
        np.testing.assert_allclose(touch, _soft.PRESS * sunk, rtol=0.1, atol=0.3)
        assert (sunk > 0.004).all()
        view = world.caster.look(world.data, world.body.camera(f"{name}_wrist"))
        squeezed = [(view.geom == world.model.geom(pad).id).sum(1) for pad in pads]
        for pad in pads:
            world.data.joint(f"{pad}_y").qpos[0] = 0.0
        mujoco.mj_forward(world.model, world.data)
        view = world.caster.look(world.data, world.body.camera(f"{name}_wrist"))
        at_rest = [(view.geom == world.model.geom(pad).id).sum(1) for pad in pads]
        assert (np.subtract(at_rest, squeezed).max(1) >= 2).all()  # where they are nearest to the camera
    assert _soft.PRESS * _soft.GIVE > _serial.GRIP_FORCE / 2  # they do not come to their stops

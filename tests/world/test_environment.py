"""A running world: rates, snapshots, refusals, Gymnasium's own checks, and no OpenGL anywhere."""

import os
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pilab.contracts import ENVIRONMENT_STATE, SCENE, STATE, TASK, Thought, UnknownNameError, image_key
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.gym_environment import RobotEnv
from pilab.world.monitor import Monitor
from pilab.world.places import fixture_of
from pilab.world.scenes import sample_scene


@pytest.fixture
def world() -> World:
    return World(sample_scene(2, "put"))


# ----------------------------------------------------------------------------------------------------------------- step
@pytest.mark.parametrize("bad", [np.full(14, np.nan), np.full(14, np.inf), np.zeros(13), np.zeros((1, 14)), 0.0])
def test_step_refuses_what_is_not_an_action(world, bad):
    before = world.snapshot()
    with pytest.raises(ValueError, match="14 finite numbers"):
        world.step(bad)
    assert np.array_equal(world.snapshot(), before)


def test_step_clips_to_the_limits(world):
    spec = world.body.action
    sent = world.step(np.full(14, 99.0))
    assert np.array_equal(sent, spec.high)
    inside = (spec.low + spec.high) / 2
    assert np.array_equal(world.step(inside), inside)


def test_an_action_is_reached_within_a_few_periods(world):
    target = np.array(world.scene.start)
    target[[0, 6, 13]] += (0.1, -1.0, 0.0)  # a waist turns, the left hand shuts, the right one stays open
    for _ in range(6):
        world.step(target)
    np.testing.assert_allclose(world.state, target, atol=0.02)


def test_three_steps_at_thirty_hertz_are_one_at_ten():
    """Targets are reached linearly, so a straight line in three pieces is the same line."""
    slow, fast = World(sample_scene(2, "put")), World(sample_scene(2, "put"))
    rng = np.random.default_rng(0)
    last = np.array(slow.scene.start)
    for _ in range(10):
        target = last + rng.normal(0, 0.05, 14)
        target[[6, 13]] = np.clip(target[[6, 13]], 0, 1)
        slow.step(target)
        for part in (1 / 3, 2 / 3, 1):
            fast.step(last + part * (target - last), hz=30)
        last = target
    assert slow.data.time == pytest.approx(1.0)
    assert fast.data.time == pytest.approx(1.0)
    np.testing.assert_allclose(fast.state, slow.state, atol=1e-5)


def test_rates_divide_the_physics():
    body = World(sample_scene(2, "put")).body
    assert body.physics_hz % body.control_hz == body.physics_hz % body.teleop_hz == 0
    assert body.teleop_hz % body.control_hz == 0


def test_snapshot_and_restore(world):
    rng = np.random.default_rng(1)
    actions = np.array(world.scene.start) + rng.normal(0, 0.1, (20, 14)).cumsum(0) * 0.2
    for action in actions[:10]:
        world.step(action)
    middle, seen = world.snapshot(), world.observe()
    for action in actions[10:]:
        world.step(action)
    end = world.snapshot()
    assert not np.array_equal(end, middle)
    world.restore(middle)
    again = world.observe()
    for key in (STATE, ENVIRONMENT_STATE, image_key("base"), image_key("left_wrist")):
        assert np.array_equal(seen[key], again[key]), key
    for action in actions[10:]:
        world.step(action)
    assert np.array_equal(world.snapshot(), end)


def test_an_observation_speaks_the_vocabulary(world):
    seen = world.observe()
    images = {image_key(c.name): (c.height, c.width, 3) for c in world.body.cameras}
    assert set(seen) == {STATE, TASK, SCENE, ENVIRONMENT_STATE, *images}
    assert seen[STATE].dtype == np.float32
    assert all(seen[k].shape == shape and seen[k].dtype == np.uint8 for k, shape in images.items())
    assert seen[ENVIRONMENT_STATE].shape == (len(world.scene.parts), 9)
    for part, row in zip(world.scene.parts, seen[ENVIRONMENT_STATE], strict=True):
        assert np.array_equal(row[:3], world.position(part.name))
        assert np.array_equal(row[3:7], world.quaternion(part.name))
        assert row[7] == world.joint(part.name)
        assert row[8] == world.openings(part.name)
    assert set(world.observe(())) == {STATE, TASK, SCENE, ENVIRONMENT_STATE}


def test_unknown_parts_list_the_valid_ones(world):
    for ask in (world.position, world.quaternion):
        with pytest.raises(UnknownNameError, match=world.scene.parts[0].name):
            ask("moon")


# ----------------------------------------------------------------------------------------------------------------- pose
def test_a_pose_is_where_everything_is_and_stays():
    world = World(sample_scene(2, "open"))
    item = next(p.name for p in world.scene.parts if "look" in p.parameters)
    state = world.body.home
    state[[0, 6, 13]] = (0.2, 0.3, 0.8)
    world.pose(state, {item: (np.array([0.05, -0.10, 0.2]), 1.0)}, {"drawer": 0.04, "lid": 0.7})
    np.testing.assert_allclose(world.state, state, atol=1e-6)
    np.testing.assert_allclose(world.position(item), (0.05, -0.10, 0.2))
    np.testing.assert_allclose(world.quaternion(item), (np.cos(0.5), 0, 0, np.sin(0.5)))
    assert (world.joint("drawer"), world.joint("lid"), world.time) == (0.04, 0.7, 0.0)
    for _ in range(3):
        world.step(state)  # the servos hold the pose, what hung in the air falls
    np.testing.assert_allclose(world.state, state, atol=0.01)
    assert world.position(item)[2] < 0.1
    with pytest.raises(UnknownNameError, match=item):
        world.pose(state, {"drawer": (np.zeros(3), 0.0)})  # stands fast
    with pytest.raises(UnknownNameError, match="drawer"):
        world.pose(state, joints={item: 0.1})


# ------------------------------------------------------------------------------------------------------------ Gymnasium
@pytest.mark.parametrize(("task", "body"), [("put", "duo"), ("open", "solo"), ("handover", "duo")])
def test_gymnasium_has_nothing_to_say(task, body):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*symmetric and normalized space")  # actions are radians, on purpose
        warnings.filterwarnings(
            "ignore", ".*A Box observation space m(in|ax)imum value is -?infinity"
        )  # states are, too
        check_env(RobotEnv(task, body, render_mode="rgb_array"), skip_render_check=True)


def test_every_instruction_fits_the_space():
    for task in ("put", "push", "open", "close", "stack", "handover"):
        space = RobotEnv(task).observation_space[TASK]
        assert all(space.contains(sample_scene(seed, task).instruction) for seed in range(20))


def test_an_environment_is_a_function_of_its_seed():
    def play(env, **how):
        seen, told = env.reset(**how)
        states = [seen[STATE]]
        for t in range(5):
            seen, *_ = env.step(np.clip(seen[STATE] + 0.02 * t, env.action_space.low, env.action_space.high))
            states.append(seen[STATE])
        return told, np.array(states), seen[image_key("base")]

    told, states, picture = play(RobotEnv(), seed=3)
    assert told == {"scene": sample_scene(3, "put").hash, "seed": 3}
    again = play(RobotEnv(), options={"scene": sample_scene(3, "put")})
    assert told == again[0]
    assert np.array_equal(states, again[1])
    assert np.array_equal(picture, again[2])
    env = RobotEnv()
    seeds = [env.reset(seed=5)[1]["seed"], env.reset()[1]["seed"], env.reset()[1]["seed"]]
    assert len(set(seeds)) == 3
    assert all(seed < 500_000 for seed in seeds)  # training seeds, never those that results are reported on
    assert [env.reset(seed=5)[1]["seed"], env.reset()[1]["seed"], env.reset()[1]["seed"]] == seeds


def test_the_reward_comes_when_the_goal_has_held():
    """The demonstrator, through Gymnasium's interface alone."""
    env = RobotEnv("put")
    env.reset(seed=2)
    policy, thought, rewards, done = Demonstrator(), [Thought()], [], False
    while not done:
        seen = {k: [v] for k, v in env.world.observe(()).items()}
        thought = policy.think(seen, thought)
        _, reward, won, late, info = env.step(policy.act(seen, thought)[0, 0])
        rewards.append(reward)
        done = won or late
    assert won
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    assert info["grasped_right"] is True
    assert info["wrong_moved"] is False


def test_an_episode_ends_late_without_a_reward():
    env = RobotEnv("open")
    env.reset(seed=2)
    hold = env.world.state
    outcomes = [env.step(hold)[1:4] for _ in range(120)]  # 12 s at 10 Hz
    assert outcomes[:-1] == [(0.0, False, False)] * 119
    assert outcomes[-1] == (0.0, False, True)


def test_rendering():
    env = RobotEnv(render_mode="rgb_array")
    seen, _ = env.reset(seed=1)
    assert np.array_equal(env.render(), seen[image_key("base")])
    plain = RobotEnv()
    plain.reset(seed=1)
    assert plain.render() is None


def test_a_vector_of_environments():
    envs = gymnasium.vector.SyncVectorEnv([lambda: RobotEnv("put"), lambda: RobotEnv("push")])
    seen, told = envs.reset(seed=[1, 2])
    assert told["seed"].tolist() == [1, 2]
    assert seen[STATE].shape == (2, 14)
    assert seen[image_key("base")].shape == (2, 96, 128, 3)
    seen, rewards, won, late, _ = envs.step(seen[STATE])
    assert rewards.tolist() == [0, 0]
    assert not (won | late).any()
    alone, _ = RobotEnv("push").reset(seed=2)
    assert seen[TASK][1] == alone[TASK]
    envs.close()


# -------------------------------------------------------------------------------------------------------------- monitor
def test_success_must_last_a_second():
    world = World(sample_scene(2, "open"))
    monitor = Monitor(world, world.scene.goal)
    assert not monitor.task.achieved(world, world.scene.goal)
    part = world.scene.part(world.scene.goal.object)
    travel = 0.9 * fixture_of(part).travel
    address = world._joint[part.name]
    seen = []
    for step in range(25):
        world.data.qpos[address] = part.parameters["value"] if step == 5 else travel  # shuts for a moment
        world.data.qvel[:] = 0
        world.data.time = step * world.period
        monitor.update()
        seen.append(monitor.success)
    assert seen.index(True) == 6 + 10  # a second after the interruption; what was before it does not count
    assert monitor.failure() == ""
    assert monitor.metrics()["grasped_any"] is None


def test_what_went_wrong_in_a_word():
    world = World(sample_scene(2, "put"))
    monitor = Monitor(world, world.scene.goal)
    monitor.update()
    assert monitor.failure() == "never reached it"
    assert monitor.metrics() == {
        "reached": False, "grasped_any": False, "grasped_right": False, "placed_right": False, "wrong_moved": False,
    }  # fmt: skip
    other = next(p for p in world.scene.parts if "look" in p.parameters and p.name != world.scene.goal.object)
    world.data.qpos[world.model.joint(other.name).qposadr[0]] += 0.1
    world.restore(world.snapshot())  # recomputes where everything is
    assert monitor.metrics()["wrong_moved"] is True


# ------------------------------------------------------------------------------------------------------------ no OpenGL
PROGRAM = """
import sys
from pathlib import Path
from pilab.robots.executor import Executor
from pilab.robots.simulated import Trial, simulate
from pilab.world import films
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.scenes import find_body, sample_scene
scene = sample_scene(2, "put")
world = World(scene)
world.observe(points=True)
films.shoot(world, [world.snapshot()], height=24, width=32)
(outcome,) = simulate(Executor(Demonstrator(), find_body("duo")), [Trial(scene, cameras=None)])
assert outcome.monitor.success
names = ("opengl", "glfw", "mujoco.egl", "mujoco.osmesa", "mujoco.glfw", "mujoco.cgl")
print("modules", [m for m in sys.modules if m.lower().startswith(names)])
maps = Path("/proc/self/maps")
libraries = {line.split("/")[-1] for line in maps.read_text().splitlines()} if maps.exists() else set()
print("libraries", sorted(n for n in libraries if n.startswith(("libGL", "libEGL", "libOSMesa", "libOpenGL", "libX11"))))
"""


def test_no_opengl_is_needed_nor_loaded():
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, "MUJOCO_GL": "disable"}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == ["modules []", "libraries []"]

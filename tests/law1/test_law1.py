"""Law 1: a new task, sensor, body, policy or action space is one new file, outside the package, found by its name alone.

Nothing here imports the examples: the ordinary machinery does, from `MODULE:OBJECT`.
"""

import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from pilab.contracts import NOISE, SCENE, STATE, TASK, Scene, Thought, UnknownNameError, find, image_key, points_key
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.rollout import evaluate, make_policy, summary
from pilab.robots.collection import Recipe, collect, demonstrate
from pilab.vla.actions import Normaliser, find_space
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import OWN, feel
from pilab.vla.tokenizer import Tokenizer
from pilab.world.environment import World
from pilab.world.gym_environment import RobotEnv
from pilab.world.scenes import find_body, refuse_reserved, sample_scene
from pilab.world.task import task_of

EXAMPLES = Path(__file__).with_name("examples")
NAMES = {path.stem for path in EXAMPLES.glob("*.py")}
QUIET = {"progress": False, "threads": 2}


@pytest.fixture(autouse=True)
def within_reach(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def test_the_examples_are_outside_the_package_and_on_their_own():
    package = Path(find_body.__code__.co_filename).parents[1]
    assert not (NAMES & {path.stem for path in package.rglob("*.py")})
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [n for n in NAMES if f"import {n}" in text or f"from {n}" in text]


# ------------------------------------------------------------------------------------------------------------------ task
def test_a_task_of_ones_own_is_sampled_built_and_seen():
    scene = sample_scene(3, "bell:TASK")
    assert Scene.from_json(scene.to_json()) == scene
    assert scene.instruction.split()[-1] == "bell"
    refuse_reserved(scene)
    world = World(scene)
    assert not task_of(scene).achieved(world, scene.goal)
    points = world.observe(("base",), points=True)[points_key("base")]
    slots = [i for i, p in enumerate(scene.parts) if p.kind == "bell:build"]
    assert len(slots) == 2
    assert points[slots, 2].all()


def test_a_task_of_ones_own_is_evaluated():
    rows = evaluate("demonstrator", "bell:TASK", 6, **QUIET)
    assert [row.success for row in rows] == [True] * 6
    assert {row.clusters["verb"] for row in rows} == {"press"}
    assert summary(rows)["per_verb"]["press"]["k"] == 6
    assert not any(row.success for row in evaluate("hold", "bell:TASK", 2, **QUIET))
    swapped = evaluate("demonstrator", "bell:TASK", 4, control="swap", **QUIET)
    assert not any(row.success for row in swapped)
    assert all(row.metrics["followed"] for row in swapped)
    assert all(row.success for row in evaluate("demonstrator", "bell:TASK", 2, control="replay", **QUIET))


def test_a_task_of_ones_own_is_collected(tmp_path, monkeypatch):
    """Through worker processes to disk and back."""
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    out = collect(Recipe(("bell:TASK", "put"), body="long_arms:BODY"), 2, tmp_path / "bells", workers=1, progress=False)
    dataset = LeRobotDataset(out)
    episodes = dataset.episodes
    assert [e["verb"] for e in episodes] == ["press", "put"]
    assert {Scene.from_json(e["scene"]).body for e in episodes} == {"long_arms:BODY"}
    info = json.loads((out / "meta" / "info.json").read_text(encoding="utf-8"))
    assert info["features"]["observation.fingertips"]["shape"] == [2]


def test_gymnasium_drives_a_task_of_ones_own():
    env = gymnasium.wrappers.TimeLimit(RobotEnv("bell:TASK", "long_arms:BODY"), 3)
    seen, _ = env.reset(seed=4)
    assert env.observation_space.contains(seen)
    late = [env.step(seen[STATE])[3] for _ in range(3)]
    assert late == [False, False, True]


# -------------------------------------------------------------------------------------------------------- body and sensor
def test_a_body_of_ones_own_does_every_task():
    assert find_body("long_arms:BODY").arms[0].joints[2].position == (0.41, 0.0, 0.0)
    for suite, episodes in (("all", 8), ("stack", 2), ("handover", 2)):
        rows = evaluate("demonstrator", suite, episodes, body="long_arms:BODY", **QUIET)
        assert sum(row.success for row in rows) >= episodes - 1, suite


def test_a_sensor_of_ones_own_is_read_wherever_the_body_is():
    scene = sample_scene(3, "put", body="long_arms:BODY")
    world = World(scene)
    key = "observation.fingertips"
    opened = world.observe(())[key]
    assert opened.dtype == np.float32
    np.testing.assert_allclose(opened, [arm.opening for arm in world.body.arms], atol=1e-3)
    shut = np.array(scene.start)
    shut[world.body.slice("left")][-1] = 0.0
    for _ in range(6):
        world.step(shut)
    left, right = world.observe(())[key]
    assert abs(left) < 2e-3
    assert right == pytest.approx(opened[1], abs=1e-3)
    env = RobotEnv("put", "long_arms:BODY")
    seen, _ = env.reset(seed=3)
    assert seen[key].shape == (2,)
    assert env.observation_space.contains(seen)
    arrays, _ = demonstrate(scene, "normal", Recipe(("put",), noise=0.0))
    assert arrays[key].shape == (len(arrays[STATE]), 2)
    assert np.ptp(arrays[key], axis=0).max() > 0.02  # a hand closed in the course of it


# ---------------------------------------------------------------------------------------------------------------- policy
def test_a_policy_of_ones_own_is_evaluated():
    rows = evaluate("waver:POLICY", "put", 2, **QUIET)
    assert [row.arm for row in rows] == ["waver:POLICY"] * 2
    assert not any(row.privileged for row in rows)
    dark = evaluate("waver:POLICY", "put", 1, control="black", **QUIET)
    assert dark[0].scene == rows[0].scene
    assert type(make_policy("waver:Waver", find_body("duo"))) is type(
        make_policy("waver:POLICY", find_body("duo"))
    )  # its class will do


def test_what_a_policy_of_ones_own_is_told():
    told = []
    policy = find("waver:POLICY", "pilab.world.tasks", "", "policy")

    class Listening(type(policy)):
        def act(self, observation, thought):
            told.append(set(observation))
            return super().act(observation, thought)

    evaluate(Listening(), "put", 1, **QUIET)
    assert {image_key("base"), STATE} <= told[0]
    assert SCENE not in told[0]


# ---------------------------------------------------------------------------------------------------------- action space
def test_an_action_space_of_ones_own_drives_a_policy(tmp_path):
    """From statistics over a loss, a folder on disk and back to joint targets."""
    body, space = find_body("duo"), find_space("deltas:SPACE")
    rng = np.random.default_rng(0)
    state = body.home + 0.1 * rng.standard_normal((40, body.size))
    actions = np.clip(state[:, None] + 0.02, body.action.low, body.action.high).repeat(16, 1)
    inside = space.encode(body, state, actions)
    np.testing.assert_allclose(space.decode(body, state, inside), actions, atol=1e-9)
    config = VLAConfig.nano(body, action_space="deltas:SPACE", width=32, heads=2, layers=1, channels=24)
    normaliser = Normaliser.fit(feel(body, OWN, {STATE: state}), inside, space.floor(body))
    model = VLA(config)
    assert np.isfinite(model.loss(config.fake_batch())["action"].item())
    Checkpoint(model, normaliser, Tokenizer.default(), frozenset()).save(tmp_path)
    policy = VLAPolicy(tmp_path)
    assert type(policy.space) is type(space)
    seen = {image_key(n): np.zeros((2, h, w, 3), np.uint8) for n, h, w in config.cameras}
    seen |= {STATE: state[:2], TASK: ["let go"] * 2, NOISE: np.zeros((2, *policy.noise_shape), np.float32)}
    chunk = policy.act(seen, [Thought.nothing()] * 2)
    # An untrained model says 0, the mean of what it was fitted to: every joint makes the mean move.
    mean = np.clip(state[:2, None] + inside.mean(0).cumsum(0), body.action.low, body.action.high)
    np.testing.assert_allclose(chunk, mean, atol=1e-5)


@pytest.mark.parametrize("name", ["bell:NOTHING", "nowhere:TASK"])
def test_a_wrong_name_says_what_is_wrong(name):
    with pytest.raises(UnknownNameError, match="MODULE:OBJECT"):
        sample_scene(0, name)
    with pytest.raises(UnknownNameError, match="MODULE:OBJECT"):
        VLA(VLAConfig.nano(find_body("duo"), action_space=name, width=32, heads=2, layers=1, channels=24))

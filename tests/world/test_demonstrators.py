"""Demonstrators: they succeed, smoothly, with clean labels, in the manner asked for."""

from functools import cache

import numpy as np
import pytest

from pilab.contracts import STATE, SceneError, Thought, UnknownNameError
from pilab.robots.executor import Executor, batch
from pilab.robots.simulated import Trial, simulate
from pilab.world.demonstrators import CoverageNoise, Demonstrator
from pilab.world.demonstrators.script import MANNERS
from pilab.world.scenes import find_body, sample_scene
from pilab.world.task import facts_of, task_of

TASKS = ("put", "push", "open", "close", "stack", "handover", "insert_tight", "fragile", "wipe")
BODY = find_body("duo")
IS_JOINT = np.array([not name.endswith("_gripper") for name in BODY.action.names])
EPISODES = 12


@cache
def episodes(task: str, manner: str = "normal", arm: str | None = None, share: float = 1.0, count: int = EPISODES):
    """(outcome, [(observation, command, tips, stage)]) of seeds 0 … count − 1, disturbed in `share` of the episodes."""
    seen = {}

    def watch(world, observation, command):
        stage = task_of(world.scene).stage(world, world.scene.goal)
        seen.setdefault(world.scene.seed, []).append((observation, command, world.tips(), stage))

    executor = Executor(Demonstrator(arm, manner), BODY, disturbance=CoverageNoise(share=share), arm="test")
    trials = [Trial(sample_scene(seed, task), watch=watch) for seed in range(count)]
    outcomes = {o.trial.scene.seed: o for o in simulate(executor, trials, batch=count, threads=2)}
    return [(outcomes[seed], seen[seed]) for seed in range(count)]


@pytest.mark.parametrize("task", TASKS)
def test_they_succeed_under_disturbance(task):
    won = [outcome.monitor.success for outcome, _ in episodes(task)]
    assert sum(won) >= EPISODES - 1, f"failed on seeds {[i for i, w in enumerate(won) if not w]}"
    for outcome, _ in episodes(task):
        if outcome.monitor.success:
            seen = outcome.monitor.metrics()
            assert all(seen[name] is (name != "wrong_moved") for name in task_of(outcome.trial.scene).metrics)


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_smooth(task):
    """No joint is asked to move more than half a radian in a step, and one step in a hundred at most asks for more than
    the 0.3 rad that its speed limit allows in a tenth of a second.

    The largest ones are turns of the wrist: the mover turns a hand by up to 0.30 rad a step, and the wrist must undo the
    waist's turn besides.
    """
    steps = []
    for _, frames in episodes(task):
        labels = np.array([command.label for _, command, *_ in frames])
        steps.append(np.abs(np.diff(labels[:, IS_JOINT], axis=0)))
    steps = np.concatenate(steps)
    assert steps.max() < 0.5
    fastest = BODY.action.max_speed[IS_JOINT] / BODY.control_hz
    assert (steps > fastest).mean() < 0.01


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_clean(task):
    """Disturbed in free phases only; the label is what the demonstrator says of this very state, disturbed or not."""
    policy, disturbed = Demonstrator(), 0
    for _, frames in episodes(task):
        for _, command, *_ in frames:
            free = command.thought.memory["free"]
            differs = not np.array_equal(command.label, command.executed)
            disturbed += differs
            assert free or not differs
            assert np.array_equal((command.label != command.executed) & ~IS_JOINT, np.zeros(BODY.size, bool))
        for observation, command, *_ in frames[::5]:
            again = policy.act(batch([observation]), [command.thought])
            assert np.array_equal(again[0, 0], command.label)
    assert disturbed > 10


def test_a_push_lasts_for_a_few_steps_and_then_leaves_the_arm_alone():
    noise, rng, is_joint = CoverageNoise(close=0.5), np.random.default_rng(0), np.ones(BODY.size, bool)
    for free, scale in ((True, noise.scale), (False, noise.scale / 2)):
        last, seen = np.zeros(BODY.size), []
        for _ in range(4000):
            last = noise.next(rng, last, Thought(memory={"free": free}), is_joint)
            seen.append(last)
        pushed = np.array([bool(x.any()) for x in seen])
        begins = pushed & ~np.r_[False, pushed[:-1]]
        assert 1.8 < pushed.sum() / begins.sum() < 2.2 and 8.5 < (~pushed).sum() / begins.sum() < 11.5
        assert np.std([x for x, new in zip(seen, begins, strict=True) if new]) == pytest.approx(scale, rel=0.05)


def test_a_disturbance_takes_the_share_it_is_given():
    body, rng = BODY, np.random.default_rng(0)
    started = [CoverageNoise(share=0.6).start(rng, body.size) is not None for _ in range(1000)]
    assert 0.55 < np.mean(started) < 0.65
    for _, frames in episodes("put", share=0.0, count=4):
        assert all(np.array_equal(c.label, c.executed) for _, c, *_ in frames)


@pytest.mark.parametrize("task", TASKS)
def test_the_demonstrator_says_what_it_does(task):
    """Its subtask is one of the task's; it begins with the first, ends with the last and seldom has to start over. The
    oracle, `Task.stage`, sees the same from outside, most of the time.
    """
    straight, agree = 0, []
    for outcome, frames in episodes(task, share=0.0, count=4):
        scene = outcome.trial.scene
        steps = task_of(scene).subtasks(scene, facts_of(scene))
        said = [steps.index(command.thought.subtask) for _, command, *_ in frames]
        assert said[0] == 0
        assert max(said) == len(steps) - 1
        straight += said == sorted(said)
        stages = [stage for *_, stage in frames]
        assert set(stages) <= set(range(len(steps)))
        agree += [a == b for a, b in zip(said, stages, strict=True)]
    assert straight >= 2
    assert np.mean(agree) > 0.75


# -------------------------------------------------------------------------------------------------------------- manners
def test_slow_takes_longer_and_quick_no_longer():
    steps = {m: [o.steps for o, _ in episodes("put", m, share=0.0, count=4)] for m in ("slow", "normal", "quick")}
    assert all(s > n for s, n in zip(steps["slow"], steps["normal"], strict=True))
    assert np.mean(steps["quick"]) < np.mean(steps["normal"])
    assert all(o.monitor.success for m in steps for o, _ in episodes("put", m, share=0.0, count=4))


def test_from_above_travels_higher():
    def height(manner):
        return [
            np.max([tips[BODY.arms.index(BODY.arm(c.thought.memory["arm"])), 2] for _, c, tips, _ in frames
                    if c.thought.memory["phase"] == "over"])
            for _, frames in episodes("put", manner, share=0.0, count=4)
        ]  # fmt: skip

    assert all(high > usual + 0.05 for high, usual in zip(height("from above"), height("normal"), strict=True))


@pytest.mark.parametrize(("manner", "arm"), [("left-handed", "left"), ("right-handed", "right")])
def test_a_hand_can_be_asked_for(manner, arm):
    other = {"left": "right", "right": "left"}[arm]
    home = BODY.home[BODY.slice(other)][:-1]
    scenes = []
    for seed in range(40):  # scenes that this arm alone can do
        scene = sample_scene(seed, "put")
        wanted = -1 if arm == "left" else 1
        if all(wanted * scene.part(n).position[0] > -0.05 for n in (scene.goal.object, scene.goal.place)):
            scenes.append(scene)
    frames = []
    executor = Executor(Demonstrator(None, manner), BODY)
    trials = [Trial(s, watch=lambda w, o, c: frames.append((o, c))) for s in scenes[:4]]
    assert all(o.monitor.success for o in simulate(executor, trials))
    assert all(c.thought.memory["arm"] == arm for _, c in frames)
    assert np.abs(np.array([c.label for _, c in frames])[:, BODY.slice(other)][:, :-1] - home).max() < 1e-6
    moved = np.array([o[STATE] for o, _ in frames])[:, BODY.slice(arm)][:, :-1]
    assert np.ptp(moved, axis=0).max() > 0.3


def test_unknown_manners_and_arms_list_the_valid_ones():
    scene = sample_scene(0, "put")
    with pytest.raises(UnknownNameError, match=r"slow.*from above.*left-handed"):
        list(simulate(Executor(Demonstrator(None, "grumpy"), BODY), [Trial(scene)]))
    with pytest.raises(UnknownNameError, match="left, right"):
        list(simulate(Executor(Demonstrator("third"), BODY), [Trial(scene)]))
    assert set(MANNERS) >= {"normal", "slow", "from above", "left-handed", "right-handed"}


def test_out_of_reach_is_told():
    """A hand that must do what only the other can."""
    scene = next(
        s for s in (sample_scene(seed, "put") for seed in range(200))
        if s.part(s.goal.object).position[0] > 0.24 and s.part(s.goal.place).position[0] > 0.15
    )  # fmt: skip
    far = scene.replace(
        parts=tuple(
            p.__class__(p.name, p.kind, (0.55, 0.30, p.position[2]), p.yaw, p.parameters) if p.name == scene.goal.object else p
            for p in scene.parts
        )
    )  # fmt: skip
    with pytest.raises(SceneError, match="left cannot reach"):
        list(simulate(Executor(Demonstrator("left"), BODY), [Trial(far)]))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("task", "least"), [*((t, 0.99) for t in TASKS[:4]), *((t, 0.95) for t in TASKS[4:])])
def test_success_over_three_hundred_scenes(task, least):
    executor = Executor(Demonstrator(), BODY, disturbance=CoverageNoise(), arm="test")
    trials = (Trial(sample_scene(500_000 + seed, task)) for seed in range(300))
    lost = [o.trial.scene.seed for o in simulate(executor, trials, batch=16, threads=2) if not o.monitor.success]
    assert 1 - len(lost) / 300 >= least, f"failed on seeds {sorted(lost)}"

"""A long task whose state is hidden: what was looked into already shows in no picture, and the world alone remembers."""

import itertools

import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, EXECUTED, Goal, PolicyError, Scene, SceneError
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import SUBTASK
from pilab.evaluation.rollout import evaluate
from pilab.robots.collection import Recipe, collect
from pilab.robots.executor import PRIVILEGED_KEYS, Executor
from pilab.training.phrases import meant
from pilab.world import films, places
from pilab.world.bodies import duo
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.gym_environment import RobotEnv
from pilab.world.monitor import Monitor
from pilab.world.scenes import VALIDATION, refuse_reserved, sample_scene
from pilab.world.task import facts_of, steps_of, task_of

SCENES = [sample_scene(VALIDATION.start + i, "check") for i in range(8)]
LEFT, RIGHT = (step.object for step in steps_of(SCENES[0])[::2])


@pytest.fixture
def world():
    return World(SCENES[0])


def turn(world, name, *shares):
    """Let a fixture be at these shares of its travel, one control step each, with the hands away from it."""
    for share in shares:
        world.pose(world.body.home, joints={name: share * places.FIXTURES[name].travel})
        world.step(world.body.home)


def done(world):
    return task_of(world.scene).done(world, world.scene.goal)


def achieved(world):
    return task_of(world.scene).achieved(world, world.scene.goal)


def stage(world):
    return task_of(world.scene).stage(world, world.scene.goal)


def repeats(world):
    return task_of(world.scene).counts(world, world.scene.goal)["repeats"]


# --------------------------------------------------------------------------------------------------------------- scenes
def test_both_are_shut_and_are_taken_from_left_to_right():
    for scene in SCENES:
        fixtures = sorted((p for p in scene.parts if "fixture" in p.parameters), key=lambda p: p.position[0])
        assert {p.name for p in fixtures} == set(places.FIXTURES)
        assert steps_of(scene) == tuple(Goal(verb, p.name) for p in fixtures for verb in ("open", "close"))
        assert scene.goal == Goal("check", fixtures[0].name)
        assert sum("look" in p.parameters for p in scene.parts) >= 3
        assert not any(noun in scene.instruction for name in places.FIXTURES for noun in places.FIXTURES[name].nouns)
        world = World(scene)
        assert all(world.joint(p.name) < places.SHUT * places.fixture_of(p).travel for p in fixtures)
        assert done(world) == (False,) * 4 and not achieved(world) and stage(world) == 0
    assert {scene.goal.object for scene in SCENES} == set(places.FIXTURES)
    refuse_reserved(sample_scene(3, "check"))


def test_nothing_can_be_asked_for_or_swapped():
    with pytest.raises(SceneError, match="everything that opens; leave 'drawer' out"):
        sample_scene(3, "check", cell=("drawer", None))
    with pytest.raises(PolicyError, match="nothing else can be named"):
        evaluate("demonstrator", "check", 1, VALIDATION.start, control="swap", progress=False)


def test_subtasks_are_the_words_of_opening_and_closing():
    scene = SCENES[0]
    assert task_of(scene).subtasks(scene, facts_of(scene)) == tuple(
        text.format(name)
        for name in (LEFT, RIGHT)
        for verb in ("open", "close")
        for text in ("take the handle of the {}", f"{verb} the {{}}", "let go of the {}")
    )


# ------------------------------------------------------------------------------------------------------------ the past
@pytest.mark.parametrize("order", [(LEFT, RIGHT), (RIGHT, LEFT)])
def test_looked_into_and_shut_again_in_any_order(world, order):
    for count, name in enumerate(order):
        turn(world, name, 0.9)
        assert sum(done(world)) == 2 * count + 1 and not achieved(world)
        turn(world, name, 0.0)
        assert sum(done(world)) == 2 * (count + 1)
    assert achieved(world) and repeats(world) == 0 and stage(world) == 11


def test_both_open_at_once_will_do(world):
    for name, share in ((LEFT, 1.0), (RIGHT, 1.0), (LEFT, 0.0)):
        turn(world, name, share)
    assert not achieved(world)
    turn(world, RIGHT, 0.0)
    assert achieved(world)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_ajar_is_not_open(world, share):
    turn(world, LEFT, share, 0.0)
    turn(world, RIGHT, share, 0.0)
    assert not any(done(world)) and not achieved(world)


def test_what_is_left_open_is_not_done(world):
    turn(world, LEFT, 1.0, 0.0)
    turn(world, RIGHT, 1.0, 0.5)
    assert done(world) == (True, True, True, False) and stage(world) == 9
    turn(world, LEFT, 0.4)  # ajar again: to be shut, not to be looked into once more
    assert done(world) == (True, False, True, False) and stage(world) == 3 and repeats(world) == 0


def test_an_opening_counts_once_and_again_only_when_shut_in_between(world):
    turn(world, LEFT, 0.8, 0.7, 0.8, 0.3, 0.9)
    assert world.openings(LEFT) == 1 and repeats(world) == 0
    turn(world, LEFT, 0.0, 0.9, 0.0)
    assert world.openings(LEFT) == 2 and repeats(world) == 1
    turn(world, RIGHT, 1.0, 0.0)
    assert achieved(world) and repeats(world) == 1  # no failure
    monitor = Monitor(world, world.scene.goal)
    for _ in range(11):
        assert not monitor.success
        world.step(world.body.home)
        monitor.update()
    assert monitor.success and monitor.metrics()["repeats"] == 1 and monitor.progress() == 1


def test_what_is_open_from_the_start_has_been_open():
    world = World(sample_scene(3, "close"))
    assert [world.openings(name) for name in places.FIXTURES] == [1, 1]
    assert {world.openings(p.name) for p in world.scene.parts if "fixture" not in p.parameters} == {0}


def test_a_snapshot_holds_the_past(world):
    fresh = world.snapshot()
    turn(world, LEFT, 1.0, 0.0)
    later = world.snapshot()
    turn(world, LEFT, 1.0)
    world.restore(later)
    assert world.openings(LEFT) == 1 and done(world) == (True, True, False, False)
    turn(world, LEFT, 1.0)
    assert world.openings(LEFT) == 2  # it goes on counting from there
    world.restore(fresh)
    assert world.openings(LEFT) == 0 and not any(done(world))
    other = World(world.scene)
    other.restore(later)
    assert other.openings(LEFT) == 1 and np.array_equal(other.snapshot(), later)
    assert len(films.shoot(world, [fresh, later], height=24, width=32)) == 2


def test_the_past_shows_in_nothing_but_the_truth(world):
    """Once with the left one looked into, once not: something else is to be done, and all that a policy is told is the same."""
    home, again = world.body.home, World(world.scene)
    turn(world, LEFT, 0.5)
    turn(again, LEFT, 1.0)
    for one in (world, again):
        one.pose(home, joints=dict.fromkeys(places.FIXTURES, 0.0))
    assert (stage(world), stage(again)) == (0, 6)
    seen, later = world.observe(points=True), again.observe(points=True)
    assert {key for key in seen if not np.array_equal(seen[key], later[key])} == {ENVIRONMENT_STATE}
    assert ENVIRONMENT_STATE in PRIVILEGED_KEYS
    env = RobotEnv("check")
    told, _ = env.reset(options={"scene": world.scene})
    assert not set(told) & set(PRIVILEGED_KEYS)
    assert env.step(home)[4]["repeats"] == 0


# ------------------------------------------------------------------------------------------------------------ doing it
def drive(scene, meddle=lambda world, thought: None):
    """The demonstrator at work, and someone who may meddle before a step. Returns the world, the monitor and the frames."""
    world, executor, frames = World(scene), Executor(Demonstrator(), duo.BODY, arm="test"), []
    episode, monitor = executor.begin(scene.instruction, scene.seed), Monitor(world, scene.goal)
    while not monitor.success and not monitor.expired:
        (command,) = executor.step([episode], [world.observe(())])
        frames.append((command.thought, stage(world), monitor.progress(), world.state))
        meddle(world, command.thought)
        world.step(command.executed)
        monitor.update()
    return world, monitor, frames


def test_the_demonstrator_looks_into_each_once():
    rows = evaluate("demonstrator", "check", len(SCENES), VALIDATION.start, threads=1, progress=False)
    assert all(row.success for row in rows)
    assert all(row.metrics["repeats"] == 0 and row.metrics["progress"] == 1 for row in rows)
    assert not any(row.metrics["wrong_moved"] for row in rows)
    assert max(row.steps for row in rows) < 0.6 * 10 * task_of(SCENES[0]).seconds  # time for a needless opening or two


def test_the_oracle_and_the_demonstrator_go_the_same_way():
    scene = SCENES[0]
    _, monitor, frames = drive(scene)
    thoughts, stages, progress, _ = zip(*frames, strict=True)
    texts = task_of(scene).subtasks(scene, facts_of(scene))
    assert monitor.success
    assert [text for text, _ in itertools.groupby(t.subtask for t in thoughts)] == list(texts)
    assert all(t.subtask in texts[3 * t.memory["step"] :][:3] for t in thoughts)
    steps = [s // 3 for s in stages]
    assert steps == sorted(steps) and progress == tuple(sorted(progress)) and {0, 0.25, 0.5, 0.75, 1} == set(progress)
    for thought, at in zip(thoughts, steps, strict=True):  # who is still letting go has done the step
        late = at - thought.memory["step"]
        assert late == 0 or (late == 1 and thought.memory["phase"] in ("move", "let go", "up"))


def test_the_hands_do_not_tell_either():
    """About to open a thing, and having just shut it, the robot is once in the same posture: to 0.02 rad at every joint."""
    _, _, frames = drive(SCENES[0])
    for opening in (0, 2):
        before = [q for t, *_, q in frames if t.memory["step"] == opening and t.memory["phase"] in ("down", "grip")]
        after = [q for t, *_, q in frames if t.memory["step"] == opening + 1 and t.memory["phase"] in ("let go", "up")]
        assert np.abs(np.array(before)[:, None] - after).max(-1).min() < 0.02


def test_what_others_open_is_shut_and_not_looked_into_again():
    scene, meddled = SCENES[0], []

    def meddle(world, thought):
        if thought.memory["step"] == 2 and thought.memory["phase"] == "move" and not meddled:
            world.data.qpos[world.model.joint(LEFT).qposadr[0]] = places.FIXTURES[LEFT].travel
            meddled.append(world.steps)

    world, monitor, frames = drive(scene, meddle)
    steps = [step for step, _ in itertools.groupby(thought.memory["step"] for thought, *_ in frames)]
    assert meddled and monitor.success and steps == [0, 1, 2, 1, 3]
    assert (world.openings(LEFT), world.openings(RIGHT), monitor.metrics()["repeats"]) == (2, 1, 1)


def test_what_others_shut_is_done():
    scene, meddled = SCENES[0], []

    def meddle(world, thought):
        if thought.memory["step"] == 0 and thought.memory["phase"] == "up" and not meddled:
            world.data.qpos[world.model.joint(LEFT).qposadr[0]] = 0.0
            meddled.append(world.steps)

    _, monitor, frames = drive(scene, meddle)
    steps = [step for step, _ in itertools.groupby(thought.memory["step"] for thought, *_ in frames)]
    assert meddled and monitor.success and steps == [0, 2, 3] and monitor.metrics()["repeats"] == 0


def test_a_collected_episode_replays_and_names_at_each_frame_what_is_right(tmp_path, monkeypatch):
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    root = collect(Recipe(("check",), seed=10, noise=1.0), 1, tmp_path / "check", workers=0, progress=False)
    dataset = LeRobotDataset(root)
    episode = dataset.episode(0, (SUBTASK, EXECUTED))
    scene = Scene.from_json(dataset.episodes[0]["scene"])
    said, texts = [str(text) for text in episode[SUBTASK]], task_of(scene).subtasks(scene, facts_of(scene))
    assert [text for text, _ in itertools.groupby(said)] == list(texts)
    world = World(scene)
    monitor = Monitor(world, scene.goal)
    for text, command in zip(said, episode[EXECUTED], strict=True):
        step, at = meant(text, scene, steps_of(scene))[0].object, steps_of(scene)[stage(world) // 3].object
        assert step == at or text == f"let go of the {step}"
        world.step(command)
        monitor.update()
    assert monitor.success and monitor.metrics()["repeats"] == 0

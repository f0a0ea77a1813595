"""The Executor: what policies may know, when they think and plan, whose noise they get, and what it refuses."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, NOISE, SCENE, STATE, TASK, Policy, PolicyError, Thought
from pilab.robots.executor import Executor, batch
from pilab.robots.policies import Hold, Random, Replay
from pilab.robots.simulated import Trial, simulate
from pilab.world.demonstrators import CoverageNoise
from pilab.world.environment import World
from pilab.world.scenes import find_body, sample_scene

BODY = find_body("duo")
SIZE, HORIZON = BODY.size, 8


@dataclass
class Recorder(Policy):
    """Notes what it is told. Action h of its n-th plan is n + h / 100 in joint 0, so that a command tells its origin."""

    privileged: bool = False
    horizon: int = HORIZON
    think_interval: int = 10
    replan_interval: int | None = None
    told: list = field(default_factory=list)
    thoughts: list = field(default_factory=list)
    thinks: list = field(default_factory=list)
    previous: list = field(default_factory=list)
    plans: int = 0

    def think(self, observation, previous):
        self.thinks.append([t.subtask for t in previous])
        self.previous.append(previous)
        return [Thought(subtask=f"thought {len(self.thinks)}", memory={"n": len(self.thinks)}) for _ in previous]

    def act(self, observation, thought):
        self.told.append(observation)
        self.thoughts.append(thought)
        chunk = np.zeros((len(thought), self.horizon, SIZE))
        chunk[:, :, 0] = self.plans + np.arange(self.horizon) / 100
        self.plans += 1
        return chunk


def seen(**more):
    return {
        STATE: np.full(SIZE, 0.5, np.float32),
        TASK: "in the scene",
        SCENE: "a scene",
        ENVIRONMENT_STATE: np.ones((3, 8)),
        **more,
    }


def drive(executor, steps, episode=None, **how):
    """The commands of one episode's steps."""
    episode = episode or executor.begin("do it", 7)
    return [executor.step([episode], [seen()], **how)[0] for _ in range(steps)]


def origins(commands):
    """(plan, action) of every label; None where nothing was planned yet."""
    joint = [round(float(c.label[0]), 2) for c in commands]
    return [None if c.label[1] else (int(j), round(100 * (j % 1))) for c, j in zip(commands, joint, strict=True)]


# ------------------------------------------------------------------------------------------------------------ knowledge
@pytest.mark.parametrize("privileged", [False, True])
def test_truth_is_for_the_privileged(privileged):
    policy = Recorder(privileged=privileged)
    observation = seen()
    executor = Executor(policy, BODY)
    executor.step([executor.begin("do it", 7)], [observation])
    assert ((SCENE in policy.told[0]), (ENVIRONMENT_STATE in policy.told[0])) == (privileged, privileged)
    assert SCENE in observation  # the caller's own stays whole
    assert policy.told[0][TASK] == ["do it"]  # what was said, not what the scene says


def test_privilege_is_declared_not_assumed():
    class Plain:
        def act(self, observation, thought):
            assert SCENE not in observation
            return np.zeros((1, 1, SIZE))

        def think(self, observation, previous):
            assert ENVIRONMENT_STATE not in observation
            return previous

    drive(Executor(Plain(), BODY), 2)


def test_a_batch_keeps_ragged_truth_as_a_list():
    joined = batch([seen(), seen(**{ENVIRONMENT_STATE: np.ones((4, 8))})])
    assert joined[STATE].shape == (2, SIZE)
    assert [np.shape(t) for t in joined[ENVIRONMENT_STATE]] == [(3, 8), (4, 8)]
    assert joined[TASK] == ["in the scene"] * 2


# ---------------------------------------------------------------------------------------------------------- words, thoughts
def test_instruct_changes_the_task_at_once():
    policy = Recorder()
    executor = Executor(policy, BODY)
    episode = executor.begin("do it", 7)
    drive(executor, 3, episode)
    executor.instruct(episode, "do that")
    command = drive(executor, 1, episode)[0]
    assert policy.told[-1][TASK] == ["do that"]
    assert origins([command]) == [(1, 0)]  # the old chunk is dropped
    assert episode.thought.memory["n"] == 2  # and the old thought: it thinks at once


def test_say_stands_until_the_next_word():
    policy = Recorder(think_interval=2)
    executor = Executor(policy, BODY)
    episode = executor.begin("do it", 7)
    drive(executor, 3, episode)
    thought = len(policy.thinks)
    executor.say(episode, "lift the apple")
    commands = drive(executor, 9, episode)
    assert origins(commands)[0] == (1, 0)  # planned anew at once
    assert {c.thought.subtask for c in commands} == {"lift the apple"}
    assert {c.thought.author for c in commands} == {"person"}
    assert len(policy.thinks) == thought  # nobody talks over a coach
    assert episode.task == "do it"
    executor.instruct(episode, "do that")
    drive(executor, 2, episode)
    assert len(policy.thinks) == thought + 1


def test_suggested_sentences_begin_every_thought_until_the_task_changes():
    policy = Recorder(think_interval=2)
    executor = Executor(policy, BODY)
    episode = executor.begin("do it", 7)
    drive(executor, 2, episode)
    executor.say(episode, "lift the apple")
    executor.suggest(episode, ["i see the lemon."])
    drive(executor, 5, episode)
    begun = [previous[0] for previous in policy.previous[1:]]
    assert len(begun) == 3 and not episode.coached  # the policy thinks again, at once and then as often as ever
    assert {(t.subtask, t.chain, t.author) for t in begun} == {(None, ("i see the lemon.",), "person")}
    executor.instruct(episode, "do that")
    drive(executor, 2, episode)
    assert policy.previous[-1][0].author != "person"


def test_an_explicit_thought_replaces_and_nothing_is_a_thought():
    policy = Recorder(horizon=1)
    executor = Executor(policy, BODY)
    episodes = [executor.begin("do it", seed) for seed in (1, 2)]
    mine = Thought(subtask="mine", author="person")
    commands = executor.step(episodes, [seen(), seen()], thought=mine)
    assert [c.thought for c in commands] == [mine, mine]
    assert policy.thoughts[-1] == [mine, mine]
    assert policy.thinks == []
    commands = executor.step(episodes, [seen(), seen()])  # None: keep it, until it is time to think
    assert [c.thought for c in commands] == [mine, mine]
    commands = executor.step(episodes, [seen(), seen()], thought=Thought.nothing())
    assert [(c.thought.subtask, c.thought.author) for c in commands] == [(None, "nobody")] * 2


# -------------------------------------------------------------------------------------------------------------- intervals
@pytest.mark.parametrize("interval", [1, 3, 10])
def test_thinks_at_its_interval(interval):
    policy = Recorder(think_interval=interval)
    commands = drive(Executor(policy, BODY), 12)
    assert len(policy.thinks) == -(-12 // interval)
    assert [c.thought.memory["n"] for c in commands] == [1 + t // interval for t in range(12)]
    overruled = Recorder(think_interval=interval)
    drive(Executor(overruled, BODY, think_interval=4), 12)
    assert len(overruled.thinks) == 3


def test_a_thought_is_handed_back():
    policy = Recorder(think_interval=2)
    drive(Executor(policy, BODY), 6)
    assert policy.thinks == [[None], ["thought 1"], ["thought 2"]]


@pytest.mark.parametrize("interval", [None, 1, 3, 8, 99])
def test_plans_at_its_interval(interval):
    executed = min(interval or HORIZON, HORIZON)
    wanted = [divmod(t, executed) for t in range(20)]
    assert origins(drive(Executor(Recorder(replan_interval=interval), BODY), 20)) == wanted
    assert origins(drive(Executor(Recorder(), BODY, replan_interval=interval), 20)) == wanted


@pytest.mark.parametrize(("delay", "interval"), [(1, 4), (2, 4), (2, 6), (3, 3), (2, None)])
def test_a_late_chunk_starts_where_it_should_have_been(delay, interval):
    """A chunk asked for at t comes `delay` steps later and starts at its action `delay`; until then the old one goes on."""
    commands = drive(Executor(Recorder(), BODY, delay=delay, replan_interval=interval), 40)
    told = origins(commands)
    assert told[:delay] == [None] * delay  # nothing planned yet: the robot stays where it is
    assert all(np.array_equal(c.label, seen()[STATE]) for c in commands[:delay])
    assert told[delay] == (0, 0)
    starts = [t for t in range(delay + 1, 40) if told[t][0] != told[t - 1][0]]
    assert starts
    for t in starts:
        assert told[t][1] == delay
    for t in range(delay + 1, 40):
        if t not in starts:
            assert told[t] == (told[t - 1][0], told[t - 1][1] + 1)  # action after action, none twice
    # From then on as many steps of each chunk are executed as without a delay, or all that are left of it; and at least
    # one more than the delay, because one chunk is asked for at a time.
    executed = max(min(interval or HORIZON, HORIZON - delay), delay + 1)
    assert set(np.diff(starts)) == {executed}


def in_real_time(executor, steps, took):
    """The commands of one episode whose answers come `took` steps after they were asked for."""
    episode, job, commands = executor.begin("do it", 7), None, []
    for t in range(steps):
        if job and t == job[0] + took:
            executor.take(episode, job[1]())
            job = None
        if job is None and (call := executor.ask(episode, seen())):
            job = (t, call)
        commands.append(executor.next(episode, seen()))
    return commands


@pytest.mark.parametrize(("delay", "interval"), [(1, 4), (2, 4), (2, 6), (3, 3), (2, None)])
def test_a_slow_policy_is_an_injected_delay(delay, interval):
    injected = drive(Executor(Recorder(), BODY, delay=delay, replan_interval=interval), 40)
    real = in_real_time(Executor(Recorder(), BODY, replan_interval=interval), 40, delay)
    assert origins(real) == origins(injected)
    assert [c.planned for c in real] == [False] * delay + [True] * (40 - delay)


def test_a_policy_slower_than_its_chunks_still_moves():
    """It stands while it waits, and none of what it planned for then is lost: half a chunk is carried out meanwhile."""
    commands = in_real_time(Executor(Recorder(), BODY), 60, 12)
    told = [origins([c])[0] for c in commands if c.planned]
    assert told[:8] == [(0, i) for i in range(8)] and told[8:12] == [(1, i) for i in range(4, 8)]


def test_an_answer_to_other_words_is_dropped():
    policy = Recorder()
    executor = Executor(policy, BODY)
    episode = executor.begin("do it", 7)
    call = executor.ask(episode, seen())
    assert policy.plans == 0  # nothing is inferred here
    executor.instruct(episode, "do that")
    executor.take(episode, call())
    assert not executor.next(episode, seen()).planned
    executor.take(episode, executor.ask(episode, seen())())
    assert executor.next(episode, seen()).planned and policy.told[-1][TASK] == ["do that"]
    executor.forget(episode)
    assert not executor.next(episode, seen()).planned


# ------------------------------------------------------------------------------------------------------------------ noise
class Sampler(Policy):
    noise_shape = (4, SIZE)
    replan_interval = 2

    def __init__(self):
        self.noise = {}

    def act(self, observation, thought):
        for task, noise in zip(observation[TASK], observation[NOISE], strict=True):
            self.noise.setdefault(task, []).append(noise)
        return observation[NOISE]


def draw(groups, arm="a", seeds=(1, 2, 3)):
    """The noise that every seed's episode got when the episodes ran in these groups."""
    policy = Sampler()
    executor = Executor(policy, BODY, arm=arm)
    for group in groups:
        episodes = [executor.begin(f"seed {seeds[i]}", seeds[i]) for i in group]
        for _ in range(6):
            executor.step(episodes, [seen()] * len(group))
    return {task: np.array(noise) for task, noise in policy.noise.items()}


def test_noise_belongs_to_scene_and_arm():
    together, apart, mixed = draw([(0, 1, 2)]), draw([(0,), (1,), (2,)]), draw([(2, 0), (1,)])
    for task, noise in together.items():
        assert noise.shape == (3, 4, SIZE)
        assert noise.dtype == np.float32
        assert np.array_equal(noise, apart[task])
        assert np.array_equal(noise, mixed[task])
        assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(together["seed 1"], together["seed 2"])
    assert not np.array_equal(together["seed 1"], draw([(0,)], arm="b")["seed 1"])
    everything = np.concatenate([n.ravel() for n in together.values()])
    assert abs(everything.mean()) < 0.2
    assert 0.8 < everything.std() < 1.2


def test_a_disturbance_never_reaches_the_label_nor_the_samples():
    plain, noisy = (drive(Executor(Random(SIZE), BODY, disturbance=d), 30) for d in (None, Shake()))
    assert all(np.array_equal(a.label, b.label) for a, b in zip(plain, noisy, strict=True))
    spec = BODY.action
    clipped = [np.clip(c.label, spec.low, spec.high).astype(np.float32) for c in plain]
    assert all(np.array_equal(c.executed, w) for c, w in zip(plain, clipped, strict=True))
    shift = np.array([c.executed - c.label for c in noisy])
    joints = ["gripper" not in n for n in spec.names]
    assert (np.abs(shift[:, joints]).max(0) > 0).all()


class Shake:
    """Disturbs all the time, whatever the thought."""

    def start(self, rng, size):
        return np.zeros(size)

    def next(self, rng, last, thought, is_joint):
        return rng.normal(0, 0.01, len(last)) * is_joint


def test_coverage_noise_waits_for_a_free_phase():
    noise, rng, is_joint = CoverageNoise(), np.random.default_rng(0), np.ones(SIZE, bool)
    last = np.full(SIZE, 0.1)
    assert not noise.next(rng, last, Thought(), is_joint).any()
    assert not noise.next(rng, last, Thought(memory={"free": False}), is_joint).any()
    assert any(noise.next(rng, last, Thought(memory={"free": True}), is_joint).all() for _ in range(20))


def test_commands_stay_within_the_limits():
    class Wild(Policy):
        def act(self, observation, thought):
            return np.full((1, 1, SIZE), 99.0)

    command = drive(Executor(Wild(), BODY), 1)[0]
    assert np.array_equal(command.executed, BODY.action.high.astype(np.float32))
    assert (command.label == 99).all()


# ----------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("shape", [(SIZE,), (1, SIZE), (2, 4, SIZE), (1, 4, SIZE - 1), (1, 1, 4, SIZE)])
def test_another_shape_is_refused(shape):
    class Odd(Policy):
        def act(self, observation, thought):
            return np.zeros(shape)

    with pytest.raises(PolicyError, match=rf"Odd.act returned shape .*\(1, H, {SIZE}\)"):
        drive(Executor(Odd(), BODY), 1)


def test_an_empty_chunk_is_refused():
    with pytest.raises(PolicyError, match="shape"):
        drive(Executor(Recorder(horizon=0), BODY), 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused(bad):
    class Broken(Policy):
        def act(self, observation, thought):
            chunk = np.zeros((1, 4, SIZE))
            chunk[0, 3, 5] = bad
            return chunk

    with pytest.raises(PolicyError, match="NaN or infinity"):
        drive(Executor(Broken(), BODY), 1)


# ------------------------------------------------------------------------------------------------------------- simulated
def test_policies_see_the_cameras_they_read_and_no_others():
    class Looker(Policy):
        cameras = ("left_wrist",)
        keys = None

        def act(self, observation, thought):
            Looker.keys = set(observation)
            return observation[STATE][:, None]

    scene = sample_scene(1, "put")
    steps = []
    trial = Trial(scene, watch=lambda w, o, c: steps.append(set(o)), cameras=("base",))
    list(simulate(Executor(Looker(), BODY), [trial]))
    assert {"observation.images.left_wrist", "observation.images.base"} <= steps[0]
    assert "observation.images.right_wrist" not in steps[0]
    assert SCENE not in Looker.keys


def test_pictures_are_taken_when_the_policy_is_about_to_look():
    """And what it does with them is the same as if there were more."""

    class Looker(Policy):
        cameras, replan_interval, think_interval = ("base",), 4, 10

        def think(self, observation, previous):
            return [Thought(subtask=str(picture.mean())) for picture in observation["observation.images.base"]]

        def act(self, observation, thought):
            bright = observation["observation.images.base"].mean((1, 2, 3)) / 255
            drift = np.linspace(0, 0.2, 8)[:, None] * bright[:, None, None] * (1 + len(thought[0].subtask) / 50)
            return observation[STATE][:, None] + drift

    def run(**how):
        seen, commands = [], []
        trial = Trial(
            sample_scene(1, "put"),
            watch=lambda w, o, c: (seen.append("observation.images.base" in o), commands.append(c.executed)), **how,
        )  # fmt: skip
        (outcome,) = simulate(Executor(Looker(), BODY), [trial])
        return seen, np.array(commands), outcome.world.state

    (some, commands, end), (every, same, alike) = run(), run(cameras=None)
    assert all(every) and [i for i, there in enumerate(some[:21]) if there] == [0, 4, 8, 10, 12, 16, 20]
    np.testing.assert_array_equal(commands, same)
    np.testing.assert_array_equal(end, alike)


def test_hold_stays_and_ends_late():
    scene = sample_scene(1, "put")
    (outcome,) = simulate(Executor(Hold(), BODY), [Trial(scene)])
    assert outcome.steps == 120
    assert not outcome.monitor.success
    np.testing.assert_allclose(outcome.world.state, scene.start, atol=1e-3)


def test_replay_wants_a_recording_of_this_scene():
    scene = sample_scene(1, "put")
    with pytest.raises(PolicyError, match=scene.hash):
        list(simulate(Executor(Replay({}), BODY), [Trial(scene)]))


def test_one_policy_serves_any_number_of_episodes():
    """More trials than places: each is run once, from its own start."""
    scenes = [sample_scene(i, "open") for i in range(5)]
    outcomes = list(simulate(Executor(Random(SIZE), BODY), [Trial(s) for s in scenes], batch=2, threads=2))
    assert sorted(o.trial.scene.seed for o in outcomes) == list(range(5))
    assert all(o.monitor is o.followed for o in outcomes)
    assert all(isinstance(o.world, World) for o in outcomes)

"""The control loop against everything that goes wrong: each test ticks a loop by hand, on a clock of its own.

Two tests run real threads; they wait for events, never for time.
"""

import threading
from concurrent.futures import Future

import numpy as np
import pytest

from pilab.contracts import STAMPS, STATE, TASK, Policy, image_key
from pilab.robots.executor import Executor
from pilab.robots.loop import MOST_SUBSCRIBERS, ControlLoop, LoopError
from pilab.robots.pilot import Worker
from pilab.robots.safety import Event, Mode, SafetyConfig
from pilab.robots.simulated import Trial, simulate
from pilab.robots.simulator import Simulator
from pilab.world.demonstrators import Demonstrator
from pilab.world.scenes import find_body, sample_scene

BODY = find_body("duo")
ROLL = 5  # a joint that moves no tool tip
LONG = 60  # s: only a failure waits that long


class Fake:
    """A robot that is where it was sent, and breaks when told to."""

    def __init__(self, body=BODY):
        self.embodiment, self.state, self.sent, self.threads = body, body.home.copy(), [], set()
        self.broken = self.unwired = None  # errors to raise when read, when commanded
        self.missing = ()  # keys that do not come
        self.before_reading = lambda: None

    def connect(self):
        self.threads.add(threading.get_ident())

    disconnect = connect

    def get_observation(self):
        self.threads.add(threading.get_ident())
        self.before_reading()
        if self.broken:
            raise self.broken
        pictures = {image_key(c.name): np.zeros((8, 8, 3), np.uint8) for c in self.embodiment.cameras}
        seen = {STATE: self.state.copy(), TASK: "as the robot says", STAMPS: {}, **pictures}
        return {k: v for k, v in seen.items() if k not in self.missing}

    def send_action(self, action):
        self.threads.add(threading.get_ident())
        if self.unwired:
            raise self.unwired
        self.sent.append(action)
        self.state = action.copy()
        return action


class Turn(Policy):
    """Rolls the left hand by 0.01 rad a step, from where it is: chunks of 6 actions."""

    think_interval = 1000

    def __init__(self):
        self.asked = []  # the words of every plan

    def act(self, observation, thought):
        self.asked.append((observation[TASK][0], thought[0].subtask))
        assert STAMPS not in observation
        chunk = np.repeat(observation[STATE][:, None], 6, axis=1)
        chunk[:, :, ROLL] += 0.01 * np.arange(1, 7)
        return chunk


def at_once(call):
    """Inference that takes no time."""
    future = Future()
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001
        future.set_exception(error)
    return future


class Slowly:
    """Inference that takes until `answer`."""

    def __init__(self):
        self.jobs = []

    def __call__(self, call):
        self.jobs.append((call, Future()))
        return self.jobs[-1][1]

    def answer(self):
        call, future = self.jobs[-1]
        future.set_result(call())


class Bench:
    """A loop that is ticked by hand."""

    def __init__(self, policy=None, submit=at_once, robot=None, **how):
        self.now, self.robot, self.frames = 100.0, robot or Fake(), []
        self.loop = ControlLoop(self.robot, policy, clock=lambda: self.now, submit=submit, **how)
        self.loop.subscribe(self.frames.append)

    def go(self, ticks=1, drive=False):
        """Tick; with `drive` (an action or None) a person wants that in every period. Returns the frames of these ticks."""
        before = len(self.frames)
        for _ in range(ticks):
            if drive is not False:
                self.loop.drive(drive)
            self.loop.tick()
            self.now += 1 / self.loop.hz
        return self.frames[before:]

    def armed(self):
        self.go()
        self.loop.arm()
        return self

    @property
    def mode(self):
        return self.loop.status.mode

    @property
    def errors(self):
        return self.loop.status.errors


def sources(frames):
    return [f.source for f in frames]


def rolls(frames):
    """How far the hand was rolled in every period, in hundredths of a rad."""
    turned = np.array([f.executed[ROLL] for f in frames]) - BODY.home[ROLL]
    return [round(100 * x, 3) for x in turned.tolist()]


def wish(roll=0.2):
    action = BODY.home.astype(float)
    action[ROLL] += roll
    return action


# --------------------------------------------------------------------------------------------------------------- a policy
def test_a_policy_drives_once_it_is_armed():
    bench = Bench(Turn())
    assert bench.go(3) == [] and bench.robot.sent == [] and bench.mode is Mode.DISARMED
    bench.loop.arm()
    frames = bench.go(8)
    assert sources(frames) == ["policy"] * 8 and rolls(frames) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert bench.mode is Mode.ARMED and len(bench.robot.sent) == 8
    frame, status = bench.loop.latest()
    assert frame is frames[-1] and frame.task == status.task == "as the robot says" and status.age == pytest.approx(0.1)
    assert np.array_equal(frame.executed, frame.label) and not frame.is_intervention
    bench.loop.disarm()
    assert bench.go(3) == [] and len(bench.robot.sent) == 8 and bench.loop.latest()[0].executed is None


def test_it_is_evaluation_in_real_time():
    """The demonstrator in the simulator: command for command what `simulate` executes, and Safety changes none of them."""
    scene, expected = sample_scene(600_004, "put"), []
    trial = Trial(scene, watch=lambda world, seen, command: expected.append(command.executed))
    running = simulate(Executor(Demonstrator(), BODY), [trial])
    next(running)
    with Simulator(scene, privileged=True) as robot:
        frames = Bench(Demonstrator(), robot=robot).armed().go(12)
    assert sources(frames) == ["policy"] * 12 and not any(f.decision.events for f in frames)
    for frame, command in zip(frames, expected, strict=False):
        np.testing.assert_array_equal(frame.executed, command)


def test_words_reach_the_policy():
    policy = Turn()
    bench = Bench(policy, task="do it").armed()
    bench.go(2)
    bench.loop.say("turn the hand")
    frames = bench.go(2)
    bench.loop.instruct("do that")
    frames += bench.go(1)
    assert policy.asked == [("do it", None), ("do it", "turn the hand"), ("do that", None)]
    assert [(f.task, f.thought.author) for f in frames] == [("do it", "person")] * 2 + [("do that", "policy")]


def test_sentences_begin_the_policys_thoughts():
    bench = Bench(Turn(), task="do it").armed()
    bench.go(2)
    bench.loop.say("turn the hand")
    bench.go(1)
    bench.loop.suggest("i see the lemon.", "it is yellow.")
    (frame,) = bench.go(1)  # this policy thinks nothing of its own
    assert (frame.thought.chain, frame.thought.subtask) == (("i see the lemon.", "it is yellow."), None)
    bench.loop.instruct("do that")
    assert bench.go(1)[0].thought.chain == ()


def test_what_is_to_be_done_between_says_when_it_is():
    bench = Bench()
    done = bench.loop.between(lambda robot: robot is bench.robot)
    assert not done.done()
    bench.go()
    assert done.result(0) is True
    broken = bench.loop.between(lambda robot: 1 / 0)
    bench.armed()
    refused = bench.loop.between(lambda robot: None)
    bench.go()
    with pytest.raises(ZeroDivisionError):
        broken.result(0)
    with pytest.raises(LoopError, match="disarm it first"):
        refused.result(0)
    assert "disarm it first" in bench.loop.status.errors["order"]  # for who does not ask


def test_between_two_actions_the_way_is_straight():
    frames = Bench(Turn(), hz=30).armed().go(9)
    assert rolls(frames) == pytest.approx([100 / 3 * x / 100 for x in range(1, 10)], abs=2e-3)
    assert [round(100 * float(f.label[ROLL] - BODY.home[ROLL])) for f in frames] == [1] * 3 + [2] * 3 + [3] * 3


# ---------------------------------------------------------------------------------------------------------- a slow policy
def test_a_slow_policy_blocks_nothing_and_the_robot_holds():
    slowly = Slowly()
    bench = Bench(Turn(), slowly).armed()
    frames = bench.go(50)  # five seconds of compiling
    assert sources(frames) == ["hold"] * 50 and rolls(frames) == [0] * 50 and len(slowly.jobs) == 1
    assert bench.mode is Mode.HOLDING and bench.loop.status.inferring
    slowly.answer()
    assert rolls(bench.go(3)) == [1, 2, 3] and bench.mode is Mode.ARMED  # a chunk that waited is not late


def test_a_chunk_goes_on_while_the_next_one_is_thought_out():
    slowly = Slowly()
    bench = Bench(Turn(), slowly).armed()
    bench.go(2)
    slowly.answer()
    assert rolls(bench.go(5)) == [1, 2, 3, 4, 5] and len(slowly.jobs) == 2  # asked again, as early as it took last time
    slowly.answer()  # planned at 4: its first action is 5, which has been carried out
    assert rolls(bench.go(3)) == [6, 7, 8] and bench.loop.status.lead == 1


def test_a_policy_that_stays_away_is_held_and_let_go():
    slowly = Slowly()
    bench = Bench(Turn(), slowly).armed()
    bench.go()
    slowly.answer()
    frames = bench.go(12)
    assert sources(frames) == ["policy"] * 6 + ["hold"] * 6 and rolls(frames)[6:] == [6] * 6
    assert bench.mode is Mode.HOLDING and "no input" in bench.errors["safety"]
    bench.go(20)
    assert bench.mode is Mode.DISARMED and "nobody has driven" in bench.errors["safety"]
    slowly.answer()  # too late: a person has to look first
    assert bench.go(3) == []
    bench.loop.arm()
    bench.go()
    assert bench.mode is Mode.ARMED and bench.errors == {}


def test_words_that_come_while_it_thinks_make_the_answer_void():
    slowly, policy = Slowly(), Turn()
    bench = Bench(policy, slowly).armed()
    bench.go()
    bench.loop.instruct("do that")
    bench.go()
    slowly.answer()
    assert rolls(bench.go(2)) == [0, 0] and len(slowly.jobs) == 2
    slowly.answer()
    assert rolls(bench.go(1)) == [1] and policy.asked[-1] == ("do that", None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_policy_that_answers_nonsense_is_not_followed(bad):
    class Broken(Turn):
        def act(self, observation, thought):
            chunk = super().act(observation, thought)
            return chunk if len(self.asked) == 1 else np.full_like(chunk, bad)

    bench = Bench(Broken()).armed()
    frames = bench.go(8)
    assert sources(frames) == ["policy"] * 6 + ["hold"] * 2 and np.isfinite(bench.robot.sent).all()
    assert "NaN or infinity" in bench.errors["policy"]


def test_the_loop_does_not_wait_for_a_policy_in_its_thread():
    gate, begun, policy, futures = threading.Event(), threading.Event(), Turn(), []
    worker = Worker()

    class Blocked(Turn):
        def act(self, observation, thought):
            begun.set()
            assert gate.wait(LONG)
            return super().act(observation, thought)

    def submit(call):
        futures.append(worker.submit(call))
        return futures[-1]

    bench = Bench(Blocked(), submit).armed()
    bench.go()
    assert begun.wait(LONG)  # the policy is in the middle of it
    assert sources(bench.go(5)) == ["hold"] * 5
    gate.set()
    futures[0].result(LONG)
    assert sources(bench.go()) == ["policy"]
    worker.close()
    worker.join(LONG)
    assert not worker.is_alive() and policy.asked == []


# --------------------------------------------------------------------------------------------------------------- a person
def test_a_person_takes_over_and_gives_back():
    policy = Turn()
    bench = Bench(policy).armed()
    bench.go(2)
    taken = bench.go(3, drive=wish(0.5))
    assert sources(taken) == ["human"] * 3 and all(f.is_intervention for f in taken)
    assert rolls(taken) == [32, 50, 50] and len(policy.asked) == 1  # within the speed limit; the policy is not asked
    bench.loop.release()
    back = bench.go(2)
    assert sources(back) == ["policy"] * 2 and not any(f.is_intervention for f in back)
    assert rolls(back) == [51, 52] and len(policy.asked) == 2  # planned anew, from where the person left it


def test_a_person_alone_intervenes_in_nothing():
    bench = Bench(hz=30).armed()
    bench.go()
    frames = bench.go(6, drive=wish(0.1))
    assert sources(frames) == ["human"] * 6 and not any(f.is_intervention for f in frames)
    assert rolls(frames)[-1] == 10 and (frames[0].label == wish(0.1)).all()
    bench.loop.say("turn the hand")
    assert bench.go(1, drive=None)[0].thought.subtask == "turn the hand"  # what a recorder writes
    bench.loop.release()
    assert set(sources(bench.go(59))) == {"hold"}
    bench.go(3)
    assert bench.mode is Mode.DISARMED


def test_a_heartbeat_without_a_wish_stays():
    bench = Bench().armed()
    frames = bench.go(3, drive=wish(0.1)) + bench.go(40, drive=None)
    assert sources(frames[3:]) == ["human"] * 40 and rolls(frames[3:]) == [10] * 40 and bench.mode is Mode.ARMED
    assert np.array_equal(frames[-1].label, frames[-1].executed)


def test_a_late_heartbeat_holds_and_the_policy_does_not_take_over():
    policy = Turn()
    bench = Bench(policy, safety=SafetyConfig(hold_after=0.25)).armed()
    bench.go(3, drive=wish(0.1))
    late = bench.go(10)
    assert sources(late) == ["human"] * 2 + ["hold"] * 8
    assert set(rolls(late)) == {10} and bench.mode is Mode.HOLDING
    assert sources(bench.go(2, drive=wish(0.2))) == ["human"] * 2  # back in time
    bench.go(25)
    assert bench.mode is Mode.DISARMED and bench.loop.status.events[Event.WATCHDOG] == 2
    assert bench.go(2, drive=wish(0.3)) == [] and policy.asked == []  # re-arming is a decision


def test_a_wish_that_is_no_action_is_held():
    bench = Bench().armed()
    frames = bench.go(2, drive=wish(0.1)) + bench.go(2, drive=wish(np.nan)) + bench.go(1, drive=np.zeros(3))
    assert sources(frames) == ["human"] * 2 + ["hold"] * 3 and rolls(frames)[1:] == [10] * 4
    assert all(np.array_equal(f.label, f.executed) for f in frames[2:])  # nothing that a recorder could not write
    assert "14 finite numbers" in bench.errors["safety"] and bench.loop.status.events == {Event.REJECTED: 1}
    assert bench.go(1, drive=wish(0.2))[0].source == "human"


def test_the_way_home_is_slow_and_ends_there():
    policy = Turn()
    bench = Bench(policy).armed()
    bench.go(3, drive=wish(0.3))
    bench.loop.go_home()
    way = bench.go(12, drive=None)  # a heartbeat alone does not end it
    assert sources(way) == ["hold"] * 12 and rolls(way)[0] == pytest.approx(25.5) and rolls(way)[-1] == 0
    assert sources(bench.go(40)) == ["hold"] * 40 and bench.mode is Mode.ARMED  # at rest, for as long as it takes
    assert policy.asked == []
    bench.loop.release()
    bench.loop.instruct("do that")
    assert sources(bench.go(2)) == ["policy"] * 2
    bench.loop.go_home()
    bench.go(1)
    assert sources(bench.go(1, drive=wish(0.1))) == ["human"]
    bench.loop.disarm()
    bench.loop.go_home()
    bench.go(1)
    assert "arm it first" in bench.errors["order"]


# ------------------------------------------------------------------------------------------------------------------- stop
@pytest.mark.parametrize("during", ["policy", "slow policy", "person", "way home", "hold", "stale sensors"])
def test_a_stop_counts_during_anything(during):
    bench = Bench(Turn(), Slowly() if during == "slow policy" else at_once).armed()
    bench.go(2)
    driven = wish(0.5) if during == "person" else False
    if during in ("person", "way home", "hold"):
        bench.go(2, drive=wish(0.5))
    if during == "way home":
        bench.loop.go_home()
    if during == "hold":
        bench.go(5)
    if during == "stale sensors":
        bench.robot.missing = ("observation.images.base",)
        bench.go(8)
    bench.go(1, drive=driven)
    bench.loop.stop("the red button")
    frames = bench.go(1, drive=driven)
    frames += bench.go(30, drive=driven)
    assert bench.mode is Mode.STOPPED and len(set(rolls(frames))) == 1
    assert sources(frames) == ["hold"] * 31 and bench.loop.status.why == "the red button"
    bench.loop.go_home()
    bench.loop.instruct("go on")
    assert set(rolls(bench.go(3))) == set(rolls(frames[:1]))  # only arming ends it
    bench.robot.missing = ()
    bench.go()
    bench.loop.arm()
    assert bench.go(1, drive=False)[-1].decision.mode is not Mode.STOPPED


def test_a_stop_that_comes_while_the_robot_is_read_counts_in_that_period():
    bench = Bench(Turn()).armed()
    bench.go(2)
    bench.robot.before_reading = bench.loop.stop
    assert rolls(bench.go(2)) == [2, 2] and bench.mode is Mode.STOPPED


def test_orders_are_obeyed_in_order():
    bench = Bench(Turn())
    for order in (bench.loop.arm, bench.loop.stop):
        order()
    bench.go(2)
    assert bench.mode is Mode.STOPPED
    for order in (bench.loop.stop, bench.loop.arm):
        order()
    bench.go(2)
    assert bench.mode is Mode.ARMED


# ----------------------------------------------------------------------------------------------------------- a lost robot
@pytest.mark.parametrize("where", ["broken", "unwired"])
def test_a_lost_link_disengages_and_the_error_is_kept(where):
    bench = Bench(Turn()).armed()
    bench.go(3)
    setattr(bench.robot, where, OSError("no such device"))
    assert [f for f in bench.go(3) if f.executed is not None] == [] and len(bench.robot.sent) == 3
    assert bench.mode is Mode.DISARMED and "does not answer" in bench.loop.status.why
    assert bench.errors["robot"] == "OSError: no such device"
    if where == "broken":
        bench.loop.arm()
        bench.go(1)
        assert "not armed" in bench.errors["order"]
        assert bench.loop.latest()[1].age == pytest.approx(0.5)  # a viewer sees how old the picture is
    setattr(bench.robot, where, None)
    assert bench.go(3) == [] and bench.errors["robot"]  # back, but nobody has said that it may move
    bench.loop.arm()
    assert len(bench.go(3)) == 3 and bench.errors == {}


def test_a_dead_camera_holds_and_then_disengages():
    policy = Turn()
    bench = Bench(policy).armed()
    bench.go(2)
    bench.robot.missing = ("observation.images.base",)
    frames = bench.go(5)
    plans = len(policy.asked)
    assert set(sources(frames[:4])) == {"policy"}  # a few lost pictures are no reason to stop
    frames = bench.go(10)
    assert sources(frames[1:]) == ["hold"] * 9 and len(policy.asked) == plans  # nothing is planned on old pictures
    assert bench.mode is Mode.HOLDING and "observation.images.base is" in bench.errors["safety"]
    bench.robot.missing = ()
    assert sources(bench.go(2)) == ["policy"] * 2 and len(policy.asked) == plans + 1
    bench.robot.missing = ("observation.images.base",)
    bench.go(30)
    assert bench.mode is Mode.DISARMED


def test_a_mistake_of_our_own_stops_the_robot():
    bench = Bench(Turn()).armed()
    bench.go(2)
    bench.loop._pilot.wish = None
    bench.loop._pace._wait = lambda seconds: bench.loop._closing.set()
    bench.loop.run()
    assert "NoneType" in bench.errors["loop"] and len(bench.robot.sent) == 3
    assert np.array_equal(bench.robot.sent[-1], bench.robot.sent[-2])


# ------------------------------------------------------------------------------------------------------ those who look on
def test_a_subscriber_that_raises_stops_nobody():
    bench, seen = Bench(Turn()), []

    def full(frame):
        raise OSError("the disk is full")

    end = bench.loop.subscribe(full)
    bench.loop.subscribe(seen.append)
    bench.armed()
    assert len(bench.go(3)) == len(seen) == 3 and bench.mode is Mode.ARMED
    assert bench.errors == {"subscriber": "OSError: the disk is full"}
    end()
    bench.loop.stop()
    bench.loop.arm()
    bench.go(2)
    assert len(seen) == 5 and "subscriber" in bench.errors  # what was lost stays lost, until somebody reads it


def test_there_is_room_for_a_few_subscribers():
    loop = Bench().loop
    ends = [loop.subscribe(print) for _ in range(MOST_SUBSCRIBERS - 1)]
    with pytest.raises(LoopError, match="poll `latest"):
        loop.subscribe(repr)
    ends[0]()
    loop.subscribe(repr)


def test_before_the_first_frame_there_is_none():
    frame, status = Bench().loop.latest()
    assert (frame, status.age, status.ticks, status.jitter) == (None, np.inf, 0, (0, 0, 0))


# ------------------------------------------------------------------------------------------------------ rate and threads
def run(delays, hz=10):
    """Run on a fake clock; reading the robot in tick i takes delays[i] s. Returns the loop and when its ticks began."""
    now, began, robot = [0.0], [], Fake()

    def read():
        began.append(now[0])
        now[0] += delays[len(began) - 1]

    def wait(seconds):
        now[0] += seconds
        if len(began) == len(delays):
            loop.close()

    robot.before_reading = read
    loop = ControlLoop(robot, hz=hz, clock=lambda: now[0], wait=wait)
    loop.run()
    return loop, began


def test_deadlines_do_not_drift():
    loop, began = run([0.02, 0.05, 0.0, 0.09] * 50)
    np.testing.assert_allclose(began, np.arange(200) / 10, atol=1e-9)
    status = loop.status
    assert (status.ticks, status.overruns) == (200, 0) and max(status.jitter) < 1e-6


def test_overruns_are_counted_and_not_made_up_for():
    loop, began = run([0.01, 0.13, 0.01, 0.25, 0.01, 0.01])
    np.testing.assert_allclose(began, [0, 0.1, 0.23, 0.3, 0.55, 0.6], atol=1e-9)
    assert loop.status.overruns == 2
    p50, p99, worst = loop.status.jitter
    assert p50 == pytest.approx(30) and worst == pytest.approx(150) and p50 < p99 <= worst


def test_one_thread_owns_the_robot_and_leaves_it_held():
    robot, moved = Fake(), threading.Event()
    with ControlLoop(robot, Turn()) as loop:
        loop.subscribe(lambda frame: moved.set() if frame.source == "policy" else None)
        loop.arm()
        assert moved.wait(LONG)
    assert len(robot.threads) == 1 and threading.get_ident() not in robot.threads
    assert np.array_equal(robot.sent[-1], robot.sent[-2]) and loop.status.why == "the loop is closed"
    loop.close()  # twice is once


def test_a_robot_that_does_not_connect_is_told_at_once():
    class Unplugged(Fake):
        def connect(self):
            raise OSError("no such device")

    with pytest.raises(LoopError, match="does not connect: no such device"):
        ControlLoop(Unplugged()).start()


def test_a_robot_that_does_not_answer_is_told_when_closing():
    robot, gate, reading = Fake(), threading.Event(), threading.Event()

    def hang():
        reading.set()
        assert gate.wait(LONG)

    robot.before_reading = hang
    loop = ControlLoop(robot).start()
    assert reading.wait(LONG)
    with pytest.raises(LoopError, match="cut its power"):
        loop.close(timeout=0)
    gate.set()
    loop.close(LONG)


@pytest.mark.parametrize("hz", [15, 25])
def test_rates_that_do_not_fit_are_refused(hz):
    with pytest.raises(LoopError, match="no multiple"):
        ControlLoop(Fake(), hz=hz)


def test_a_simulator_runs_at_the_rate_of_its_loop():
    with pytest.raises(LoopError, match="make it with hz=30"):
        ControlLoop(Simulator(), hz=30)
    with Simulator(hz=30) as robot:
        frames = Bench(robot=robot, hz=30).armed().go(3, drive=wish(0.0))
        assert robot.world.time == pytest.approx(0.1) and sources(frames) == ["human"] * 3

"""Safety, rule by rule: what is sent instead of what is wanted, and what has to happen before anything moves again."""

import dataclasses

import numpy as np
import pytest

from pilab.contracts import STAMPS, STATE, image_key
from pilab.robots.safety import Event, Mode, Safety, SafetyConfig, SafetyError
from pilab.world.kinematics import chain
from pilab.world.scenes import find_body

BODY = find_body("duo")
HOME = BODY.home.astype(float)
ROLL, GRIPPER, OTHER = 5, 6, 12  # the left hand's roll, which moves no tool tip; its gripper; the right hand's roll
PERIOD = 0.1


def seen(state=HOME, **more):
    pictures = {image_key(c.name): np.zeros((8, 8, 3), np.uint8) for c in BODY.cameras}
    return {STATE: np.array(state, np.float32), **pictures, **more}


def armed(state=HOME, period=PERIOD, body=BODY, **config):
    """A robot that may move since t = 0."""
    safety = Safety(body, period, SafetyConfig(**config))
    safety.see(seen(state), 0.0)
    safety.arm(0.0)
    return safety


def drive(safety, wanted, now, input_at=None):
    """A step with fresh readings, and with a fresh wish unless told otherwise."""
    safety.see(seen(), now)
    return safety.step(wanted, now, now if input_at is None else input_at)


def near(**changes):
    """Home, with some joints elsewhere."""
    action = HOME.copy()
    for joint, value in changes.items():
        action[int(joint[1:])] = value
    return action


def tips(command, body=BODY):
    return np.stack([chain(a).forward(np.asarray(command, float)[body.slice(a.name)][:-1])[0] for a in body.arms])


# ---------------------------------------------------------------------------------------------------------------- limits
def test_nothing_is_sent_before_arming_and_arming_moves_nothing():
    safety = Safety(BODY, PERIOD)
    elsewhere = near(j5=1.0, j6=0.3)
    safety.see(seen(elsewhere), 0.0)
    assert safety.mode is Mode.DISARMED and safety.step(HOME, 0.0, 0.0).command is None
    safety.arm(0.0)
    np.testing.assert_allclose(safety.step(None, 0.0, 0.0).command, elsewhere, atol=1e-6)


def test_what_is_within_the_limits_is_left_alone():
    safety, wanted = armed(), HOME.astype(np.float32)
    for i in range(1, 6):
        wanted = wanted + np.float32(0.02)
        wanted[[GRIPPER, -1]] = 0.9
        decision = drive(safety, wanted, i * PERIOD)
        assert (decision.mode, decision.events, decision.why, decision.held) == (Mode.ARMED, (), "", False)
        assert np.array_equal(decision.command, wanted) and decision.command.dtype == np.float32


def test_joint_limits():
    decision = drive(armed(near(j5=3.35)), near(j5=3.9), PERIOD)
    assert decision.events == (Event.JOINT,) and decision.command[ROLL] == pytest.approx(3.4)
    assert "left_wrist_rotate 3.900 → 3.400" in decision.why


def test_a_robot_beyond_a_limit_may_stay_or_come_back_and_does_not_jump():
    assert drive(armed(near(j5=3.6)), near(j5=3.7), PERIOD).command[ROLL] == pytest.approx(3.6)
    assert drive(armed(near(j5=3.6)), near(j5=3.55), PERIOD).command[ROLL] == pytest.approx(3.55)


def test_speed_is_limited_however_late_or_early_the_loop_is():
    safety, far = armed(near(j5=0.0)), near(j5=3.0)
    late = drive(safety, far, 1.0)  # ten periods later: still the step of one
    assert late.events == (Event.VELOCITY,) and late.command[ROLL] == pytest.approx(0.3)
    assert drive(safety, far, 1.02).command[ROLL] == pytest.approx(0.36)
    assert drive(armed(near(j5=0.0), speed=0.1), far, PERIOD).command[ROLL] == pytest.approx(0.03)


def test_speed_builds_up_and_braking_is_free():
    period = 1 / 30
    safety, positions = armed(near(j5=0.0), period), [0.0]
    wishes = [3.0] * 4 + [-3.0] * 3 + [None]
    events = []
    for i, wish in enumerate(wishes, 1):
        decision = drive(safety, None if wish is None else near(j5=wish), i * period)
        positions.append(decision.command[ROLL])
        events.append(decision.events)
    # in thirds of the top speed: faster, faster, top, top; a full brake before it turns round; faster, faster; a full brake
    np.testing.assert_allclose(30 * np.diff(positions), [1, 2, 3, 3, 0, -1, -2, 0], atol=1e-4)
    assert Event.ACCELERATION in events[0] and events[3] == (Event.VELOCITY,) and events[-1] == ()


def test_grippers():
    safety = armed()
    half, shut = (drive(safety, near(j6=0.0), i * PERIOD) for i in (1, 2))
    assert half.events == (Event.GRIPPER,) and half.command[GRIPPER] == pytest.approx(0.5)
    assert shut.events == () and shut.command[GRIPPER] == 0
    beyond = drive(safety, near(j6=-0.2), 3 * PERIOD)
    assert beyond.events == (Event.GRIPPER,) and beyond.command[GRIPPER] == 0


def test_the_tool_tips_stay_in_the_workspace():
    """The shoulder lifts the left arm until its tip would leave a low box: there it stays, and the other arm goes on."""
    body = dataclasses.replace(BODY, workspace=(*BODY.workspace[:2], (0.0, tips(HOME)[0, 2] + 0.03)))
    safety, wanted, events = armed(body=body), HOME.copy(), set()
    for i in range(1, 7):
        wanted[1] -= 0.05
        wanted[OTHER] += 0.05
        decision = drive(safety, wanted, i * PERIOD)
        events.update(decision.events)
        assert tips(decision.command)[0, 2] <= body.workspace[2][1] + 1e-5
    assert events == {Event.WORKSPACE} and "left_shoulder" in decision.why
    assert decision.command[OTHER] == pytest.approx(wanted[OTHER])
    assert decision.command[1] > wanted[1] + 0.05
    assert drive(safety, HOME, 2.0).command[1] > decision.command[1]  # and it may always come back


def test_outside_the_workspace_only_the_way_back_is_open():
    low = tips(HOME)[0, 2] - 0.05
    body = dataclasses.replace(BODY, workspace=(*BODY.workspace[:2], (0.0, low)))
    up, down = near(j1=HOME[1] - 0.05), near(j1=HOME[1] + 0.05)
    assert tips(up)[0, 2] > tips(HOME)[0, 2] > tips(down)[0, 2] > low
    refused, allowed = (drive(armed(body=body), wish, PERIOD) for wish in (up, down))
    assert Event.WORKSPACE in refused.events and refused.command[1] == pytest.approx(HOME[1])
    assert allowed.events == () and allowed.command[1] == pytest.approx(down[1])


@pytest.mark.parametrize("seed", range(3))
def test_no_wish_however_wild_breaks_a_limit(seed):
    rng, safety, now = np.random.default_rng(seed), armed(), 0.0
    before, box = HOME, np.array(BODY.workspace)
    for _ in range(150):
        now += rng.choice([0.003, PERIOD, 0.25])
        wish = rng.normal(0, rng.choice([0.3, 3.0, 1e6]), BODY.size)
        wish[rng.integers(BODY.size)] *= rng.choice([1, np.nan, np.inf], p=[0.9, 0.05, 0.05])
        command = drive(safety, wish, now).command.astype(float)
        assert (command >= BODY.action.low - 1e-6).all() and (command <= BODY.action.high + 1e-6).all()
        assert (np.abs(command - before) <= BODY.action.max_speed * PERIOD + 1e-6).all()
        assert (tips(command) >= box[:, 0] - 1e-4).all() and (tips(command) <= box[:, 1] + 1e-4).all()
        before = command


@pytest.mark.parametrize("bad", [near(j5=np.nan), near(j3=np.inf), HOME[:-1], HOME[None], np.array(["up"] * 14)])
def test_what_is_no_action_is_rejected_and_the_next_one_is_not(bad):
    safety = armed()
    decision = drive(safety, bad, PERIOD)
    assert (decision.mode, decision.events, decision.held) == (Mode.HOLDING, (Event.REJECTED,), True)
    assert np.array_equal(decision.command, BODY.home) and "14 finite numbers" in decision.why
    assert drive(safety, near(j5=0.6), 2 * PERIOD).mode is Mode.ARMED


# -------------------------------------------------------------------------------------------------------------- watchdog
def test_without_input_it_holds_and_then_lets_go():
    safety, wish = armed(), near(j5=0.6)
    moved = drive(safety, wish, 1.0)
    assert drive(safety, near(j5=0.8), 1.29, input_at=1.0).events == ()
    held = drive(safety, near(j5=0.2), 1.35, input_at=1.0)
    assert (held.mode, held.events, held.held) == (Mode.HOLDING, (Event.WATCHDOG,), True)
    assert held.command[ROLL] > moved.command[ROLL] and "0.35 s (limit 0.3 s)" in held.why
    assert drive(safety, near(j5=0.2), 1.4, input_at=1.39).mode is Mode.ARMED  # a hiccup ends by itself
    drive(safety, wish, 3.3, input_at=1.39)
    gone = drive(safety, wish, 3.4, input_at=1.39)
    assert (gone.mode, gone.command, gone.events) == (Mode.DISARMED, None, (Event.DISENGAGED,))
    assert "then arm again" in gone.why
    late = drive(safety, wish, 3.5)  # fresh input does not bring it back; a person does
    assert (late.mode, late.command) == (Mode.DISARMED, None)
    safety.arm(3.6)
    assert drive(safety, wish, 3.6).mode is Mode.ARMED


def test_whoever_begins_may_take_time_to_and_it_stands_still_meanwhile():
    safety = armed()
    assert drive(safety, None, 29.0, input_at=-1.0).mode is Mode.HOLDING  # input from before arming does not count
    assert drive(safety, near(j5=0.6), 29.1).mode is Mode.ARMED
    safety.hand_over(29.2)
    assert drive(safety, None, 40.0, input_at=29.1).mode is Mode.HOLDING
    assert drive(safety, None, 59.3, input_at=29.1).mode is Mode.DISARMED


# ------------------------------------------------------------------------------------------------------------------ stop
def test_a_stop_stands_until_a_person_arms():
    safety = armed()
    before = drive(safety, near(j5=0.7), PERIOD).command
    safety.stop()
    for now in (0.2, 0.3, 9.0):
        decision = drive(safety, near(j5=0.9), now)
        assert (decision.mode, decision.events, decision.held) == (Mode.STOPPED, (Event.STOPPED,), True)
        assert np.array_equal(decision.command, before) and "arm again" in decision.why
    safety.see(seen(near(j5=0.65)), 9.1)
    safety.arm(9.1)
    assert safety.step(None, 9.1, 9.1).command[ROLL] == pytest.approx(0.65)  # from where it is, not where it was sent


def test_a_stop_counts_while_it_holds_and_a_disarmed_robot_stays_disarmed():
    safety = armed()
    assert drive(safety, None, 1.0, input_at=0.1).mode is Mode.HOLDING
    safety.stop()
    assert drive(safety, near(j5=0.9), 1.1).mode is Mode.STOPPED
    safety.disarm()
    safety.stop("the red button")
    decision = drive(safety, near(j5=0.9), 1.2)
    assert (decision.mode, decision.command) == (Mode.DISARMED, None) and "the red button" in decision.why


# --------------------------------------------------------------------------------------------------------------- sensors
def look(safety, now, **changes):
    """What it does after an observation in which some readings are replaced, or taken away by None."""
    observation = {k: v for k, v in {**seen(), **changes}.items() if v is not None}
    safety.see(observation, now)
    return safety.step(near(j5=0.6), now, now)


@pytest.mark.parametrize(
    ("key", "reading"),
    [("observation.images.base", None), (STATE, None), (STATE, np.full(14, np.nan)), (STATE, np.zeros(13))],
)
def test_a_reading_that_stays_away(key, reading):
    safety = armed()
    assert look(safety, 0.4, **{key: reading}).mode is Mode.ARMED  # a lost frame is no reason to stop
    held = look(safety, 0.6, **{key: reading})
    assert (held.mode, held.events, held.held) == (Mode.HOLDING, (Event.STALE,), True)
    assert f"{key} is 0.6 s old (limit 0.5 s)" in held.why and "cable" in held.why
    assert look(safety, 0.7).mode is Mode.ARMED
    gone = look(safety, 3.3, **{key: reading})
    assert (gone.command, gone.events) == (None, (Event.DISENGAGED,))
    with pytest.raises(SafetyError, match=key):
        safety.arm(3.4)
    look(safety, 3.5)
    safety.arm(3.5)


def test_a_camera_that_was_never_there_is_missed():
    safety = Safety(BODY, PERIOD)
    assert look(safety, 0.0, **{"observation.images.base": None}).command is None
    look(safety, 0.6, **{"observation.images.base": None})
    with pytest.raises(SafetyError, match=r"images\.base is 0\.6 s old"):
        safety.arm(0.6)


def test_without_stamps_a_still_world_is_a_fresh_one():
    safety = armed()
    assert [look(safety, i * PERIOD).mode for i in range(1, 20)] == [Mode.ARMED] * 19


def test_stamps_tell_a_repeated_reading_and_pixels_a_frozen_camera():
    base, rng = "observation.images.base", np.random.default_rng(0)
    frozen = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)

    def told(stamp, picture):
        safety = armed()
        for i in range(1, 8):
            now = i * PERIOD
            stamps = {base: stamp(now), STATE: now}
            decision = look(safety, now, **{base: picture(), STAMPS: stamps})
        return decision

    def noise():
        return rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)

    assert told(lambda now: now, noise).mode is Mode.ARMED
    for stale in (told(lambda now: 1.0, noise), told(lambda now: now, lambda: frozen)):
        assert stale.events == (Event.STALE,) and base in stale.why and STATE not in stale.why


def test_it_is_not_armed_blind():
    with pytest.raises(SafetyError, match="no state was read"):
        Safety(BODY, PERIOD).arm(0.0)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"hold_after": 0.0}, "hold_after is 0.0; expected above 0"), ({"speed": 1.5}, "speed is 1.5"),
        ({"ramp": np.nan}, "ramp is nan"), ({"warm_up": np.inf}, "warm_up is inf"),
        ({"hold_after": 2.0, "disengage_after": 1.0}, "not below disengage_after"),
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(config, told):
    with pytest.raises(SafetyError, match=told):
        SafetyConfig(**config)

"""The cockpit without a browser: what its messages do to the loop and the recorder, and what they cannot do."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilab.contracts import STATE, Robot
from pilab.data.lerobot import LeRobotDataset
from pilab.data.recorder import Recorder
from pilab.data.schema import INTERVENTION, SOURCE
from pilab.robots.loop import ControlLoop
from pilab.robots.policies import Hold
from pilab.robots.safety import Mode
from pilab.robots.simulator import Simulator
from pilab.widgets.cockpit import ACTIONS, WINDOW, Cockpit, CockpitError
from pilab.widgets.episodes import Episodes
from pilab.widgets.stand_in import StandIn
from pilab.world.demonstrators import Demonstrator
from pilab.world.monitor import Monitor
from pilab.world.scenes import sample_scene


class Heard(Cockpit):
    """Keeps what it would send to a page."""

    def send(self, content, buffers=None):
        self.__dict__.setdefault("out", []).append((content, buffers or []))


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


@pytest.fixture
def rig(tmp_path):
    """A simulated robot in a loop at 30 Hz, a recorder, a cockpit and a page's heartbeat."""
    robot = Simulator(seed=1, points=False, hz=30)
    with (
        ControlLoop(robot, hz=30) as loop,
        Recorder(tmp_path / "d", robot.embodiment, every=3, operator="test") as recorder,
    ):
        cockpit = Heard(loop, recorder)
        yield cockpit
        cockpit.close_cockpit()


def beat(cockpit: Cockpit, seconds: float, **held) -> None:
    """What a page does for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        cockpit.held = {"beat": time.monotonic(), "speed": 1.0, **held}
        time.sleep(0.03)


def mode(cockpit: Cockpit) -> Mode:
    return cockpit.loop.status.mode


def state(cockpit: Cockpit) -> np.ndarray:
    return cockpit.loop.latest()[0].observation[STATE]


def test_keys_move_the_arm_and_silence_holds_it(rig):
    until(lambda: rig.loop.latest()[0] is not None)
    rig.receive({"do": "arm"})
    beat(rig, 0.5)
    assert mode(rig) is Mode.ARMED
    before = state(rig)
    beat(rig, 1.0, keys=["KeyW"])
    moved = state(rig) - before
    assert np.abs(moved[:6]).max() > 0.05 and np.abs(moved[7:13]).max() < 0.01
    time.sleep(0.6)  # the page is gone
    assert mode(rig) is Mode.HOLDING
    still = state(rig)
    time.sleep(0.3)
    np.testing.assert_allclose(state(rig), still, atol=5e-3)
    until(lambda: mode(rig) is Mode.DISARMED, 4)  # and must be armed again


def test_stop_stands_until_armed_again(rig):
    until(lambda: rig.loop.latest()[0] is not None)
    rig.receive({"do": "arm"})
    beat(rig, 0.3, keys=["KeyD"])
    rig.stops = 1
    beat(rig, 0.3, keys=["KeyD"])
    assert mode(rig) is Mode.STOPPED and "STOP" in rig.loop.status.why
    still = state(rig)
    beat(rig, 0.4, keys=["KeyD"])
    np.testing.assert_allclose(state(rig), still, atol=5e-3)  # it may still settle
    rig.receive({"do": "arm"})
    beat(rig, 0.3)
    assert mode(rig) is Mode.ARMED


def test_recording_from_the_page(rig, tmp_path):
    until(lambda: rig.loop.latest()[0] is not None)
    rig.receive({"do": "arm"})
    beat(rig, 0.3)
    for ending in ("keep", "discard", "keep", "undo"):
        if ending != "undo":
            rig.receive({"do": "start"})
            beat(rig, 0.6, keys=["KeyW"])
        if ending == "keep":
            rig.receive({"do": "failure"})
        rig.receive({"do": ending})
    assert rig.recorder.flush().episodes == 1
    until(lambda: rig.state.get("recording", {}).get("episodes") == 1)
    data = LeRobotDataset(tmp_path / "d")
    assert 3 <= data.lengths[0] <= 7 and set(data.columns[SOURCE]) == {"human"}
    assert data.episodes[0]["tasks"] == [rig.loop.robot.scene.instruction] and not data.episodes[0]["success"]
    assert data.episodes[0]["scene"] == rig.loop.robot.scene.to_json()
    rig.receive({"do": "keep"})
    assert "nothing was recorded" in rig._said
    looked = Episodes(data)
    assert looked.rows[0]["task"] == rig.loop.robot.scene.instruction
    story = looked.story(0)
    assert story["spans"][SOURCE] == [(0, data.lengths[0], "human")] and len(story["curves"]) == 14


def test_pictures_wait_for_the_page(rig):
    """Never more than the window under way; a page that opens again starts anew."""
    until(lambda: rig.loop.latest()[0] is not None)
    beat(rig, 0.8)
    pictures = [(c, b) for c, b in rig.out if c["do"] == "picture"]
    assert len(pictures) == WINDOW and all(b[:2] == b"\xff\xd8" for _, blobs in pictures for b in blobs)
    assert {len(blobs) for _, blobs in pictures} == {3}  # cameras
    rig.receive({"do": "hello"})
    beat(rig, 0.4)
    assert len([c for c, _ in rig.out if c["do"] == "picture"]) == 2 * WINDOW
    time.sleep(1.2)  # nobody watches
    rig.receive({"do": "hello"})
    time.sleep(0.3)
    assert len([c for c, _ in rig.out if c["do"] == "picture"]) == 2 * WINDOW


def test_words_reach_the_loop_and_a_takeover_is_an_intervention(tmp_path):
    robot = Simulator(seed=1)
    with ControlLoop(robot, Hold()) as loop, Recorder(tmp_path / "d", robot.embodiment) as recorder:
        cockpit = Heard(loop, recorder)
        until(lambda: loop.latest()[0] is not None)
        cockpit.receive({"do": "arm"})
        cockpit.receive({"do": "instruct", "text": " put the fork in the tray "})
        beat(cockpit, 0.5)
        cockpit.receive({"do": "say", "text": "open the left hand"})
        cockpit.receive({"do": "start"})
        beat(cockpit, 0.5)
        assert loop.latest()[0].source != "human"  # a heartbeat alone does not take over
        beat(cockpit, 0.6, keys=["KeyW"])
        cockpit.receive({"do": "release"})
        beat(cockpit, 0.6)
        cockpit.receive({"do": "keep"})
        assert recorder.flush().episodes == 1
        cockpit.close_cockpit()
    data = LeRobotDataset(tmp_path / "d")
    assert data.episodes[0]["tasks"] == ["put the fork in the tray"]
    sources, flags = list(data.columns[SOURCE]), np.ravel(data.columns[INTERVENTION]).tolist()
    assert [s == "human" for s in sources] == flags and "human" in sources and set(sources) > {"human"}
    assert "open the left hand" in list(data.columns["subtask"])


def test_a_real_robot_needs_a_good_selftest_first(rig):
    class Metal(Robot):
        """Anything that does not say that it is simulated."""

        embodiment = rig.loop.robot.embodiment

    rig.loop.robot, robot = Metal(), rig.loop.robot
    try:
        with pytest.raises(CockpitError, match="selftest"):
            rig.arm()
        rig.receive({"do": "arm"})
        assert "selftest" in rig._said and mode(rig) is Mode.DISARMED
        time.sleep(1.1)
        with pytest.raises(CockpitError, match="no page"):
            rig.selftest()
    finally:
        rig.loop.robot = robot


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3),
    max_leaves=4,
)  # fmt: skip
WORDS = st.sampled_from([*(set(ACTIONS) - {"arm"}), "shown", "hello", "pong", "picture", "_", ""])


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=JSON | st.dictionaries(st.sampled_from(["do", "text", "at", "number"]), JSON | WORDS, max_size=4))
def test_no_message_breaks_it_or_arms_it(rig, message):
    rig.receive(message)
    assert mode(rig) in (Mode.DISARMED, Mode.STOPPED)


def test_a_stand_in_performs_with_a_persons_means(tmp_path):
    """It records what a script wants, through the widget's own snapshot; then the next scene."""
    scenes = [sample_scene(seed, "point") for seed in (1, 2)]
    robot = Simulator(scenes[0], privileged=True, hz=30)
    with (
        ControlLoop(robot, hz=30) as loop,
        Recorder(tmp_path / "d", robot.embodiment, every=3, operator="stand-in") as recorder,
    ):
        cockpit = Heard(loop, recorder)
        person, monitors = StandIn(cockpit, Demonstrator()), []
        until(lambda: loop.latest()[0] is not None)
        with pytest.raises(CockpitError, match="arm it"):
            person.perform(lambda seen: True, 1.0)
        for scene in scenes:
            loop.disarm()
            loop.between(lambda robot, scene=scene: robot.reset(scene)).result(20)
            loop.instruct(scene.instruction)
            cockpit.arm()
            until(lambda: mode(cockpit) is Mode.ARMED)
            cockpit.start()
            monitor = Monitor(robot.world, scene.goal)

            def done(seen, monitor=monitor) -> bool:
                monitor.update()
                return monitor.success

            assert person.perform(done, 20.0), monitor.failure()
            monitors.append(monitor)
            cockpit.keep()
        loop.between(lambda robot: robot.reset(scenes[0]))
        until(lambda: "disarm it first" in loop.status.errors.get("order", ""))
        assert recorder.flush().episodes == 2
        cockpit.close_cockpit()
    data = LeRobotDataset(tmp_path / "d")
    assert [row["tasks"] for row in data.episodes] == [[scene.instruction] for scene in scenes]
    assert [row["scene"] for row in data.episodes] == [scene.to_json() for scene in scenes]
    assert set(data.columns[SOURCE]) == {"human"} and not np.ravel(data.columns[INTERVENTION]).any()

"""The loop in a process of its own: the same words, the same safety, and every way to lose one of the two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from pilab.contracts import STATE, image_key
from pilab.data.lerobot import LeRobotDataset
from pilab.data.recorder import Recorder
from pilab.robots.apart import LoopApart, Made
from pilab.robots.loop import LoopError
from pilab.robots.safety import Mode

SIMULATOR = Made("pilab.robots.simulator:Simulator", {"seed": 1, "hz": 30})


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def drive(loop, condition, action=None) -> None:
    """A person's heartbeat, until something has come to pass."""

    def beat() -> bool:
        loop.drive(action)
        time.sleep(0.02)
        return condition()

    until(beat)


@pytest.fixture
def loop():
    with LoopApart(SIMULATOR, hz=30) as loop:
        until(lambda: loop.latest()[0] is not None)
        yield loop


def test_it_drives_records_and_holds_without_a_heartbeat(loop, tmp_path):
    body = loop.robot.embodiment
    with Recorder(tmp_path / "d", body, every=3, operator="test") as recorder:
        loop.subscribe(recorder.see)
        loop.arm()
        drive(loop, lambda: loop.status.mode is Mode.ARMED)
        recorder.start()
        frame, _ = loop.latest()
        assert {image_key(c.name) for c in body.cameras} <= frame.observation.keys()
        wanted = frame.observation[STATE].astype(float)
        wanted[5] += 0.5
        drive(loop, lambda: abs(loop.latest()[0].observation[STATE][5] - wanted[5]) < 0.1, wanted)
        assert loop.latest()[0].source == "human"
        recorder.keep("turn the left hand")
        assert recorder.flush().episodes == 1
    data = LeRobotDataset(tmp_path / "d")
    assert data.lengths[0] >= 2 and data.episodes[0]["gaps"] == 0
    assert np.ptp(data.columns[STATE][:, 5]) > 0.1
    until(lambda: loop.status.mode is Mode.HOLDING)
    until(lambda: loop.status.mode is Mode.DISARMED)


def may_go_first() -> bool:
    """Whether a process of ours may ask for real-time scheduling here."""
    ask = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    return (
        hasattr(os, "SCHED_RR")
        and not subprocess.run([sys.executable, "-c", ask], stderr=subprocess.DEVNULL).returncode
    )


@pytest.mark.skipif(not may_go_first(), reason="no real-time scheduling for this user")
def test_the_loop_and_its_messengers_go_first_and_no_other_does():
    """Threads that the loop starts, such as the policy's, take their turn."""
    with LoopApart(SIMULATOR, Made("pilab.robots.policies:Hold"), hz=30) as loop:

        def first() -> list[bool]:
            threads = os.listdir(f"/proc/{loop._process.pid}/task")
            return [os.sched_getscheduler(int(t)) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR for t in threads]

        loop.arm()
        until(lambda: loop.latest()[0] is not None and loop.latest()[0].source == "policy")
        until(lambda: sum(first()) == 3)
        assert len(first()) > 3


def test_orders_and_errors_come_and_go(loop):
    loop.go_home()
    until(lambda: "not going home" in loop.status.errors.get("order", ""))
    loop.arm()
    loop.instruct("put the fork in the tray")
    drive(loop, lambda: loop.status.mode is Mode.ARMED)
    loop.stop("enough")
    until(lambda: loop.status.mode is Mode.STOPPED)
    assert loop.status.why == "enough" and loop.status.task == "put the fork in the tray"
    loop.disarm()
    until(lambda: loop.status.mode is Mode.DISARMED)


def test_a_policy_drives_there(tmp_path):
    with LoopApart(SIMULATOR, Made("pilab.robots.policies:Hold"), hz=30, task="stay") as loop:
        until(lambda: loop.latest()[0] is not None)
        loop.arm()
        until(lambda: loop.latest()[0].source == "policy")
        assert loop.autonomous and loop.status.task == "stay"
        drive(loop, lambda: loop.latest()[0].is_intervention)
        loop.release()
        until(lambda: loop.latest()[0].source == "policy")


def test_a_process_that_dies_is_told(loop):
    loop.arm()
    drive(loop, lambda: loop.status.mode is Mode.ARMED)
    loop._process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    until(lambda: loop.status.mode is Mode.DISARMED)
    assert "has ended" in loop.status.why and "has ended" in loop.status.errors["loop"]
    loop.drive(None)  # no order raises
    loop.stop()


def test_what_a_driver_prints_and_raises(tmp_path, monkeypatch):
    (tmp_path / "drivers.py").write_text(
        textwrap.dedent("""
            from pilab.robots.simulator import Simulator

            class Chatty(Simulator):
                def connect(self):
                    print("hello " * 1000, flush=True)
                    super().connect()

            class Dead(Simulator):
                def connect(self):
                    raise ConnectionError("no such port: /dev/ttyACM7")
        """),
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    with LoopApart(Made("drivers:Chatty", {"hz": 30}), hz=30) as loop:
        until(lambda: loop.latest()[0] is not None)
    with pytest.raises(LoopError, match="ttyACM7"):
        LoopApart(Made("drivers:Dead")).start()
    with pytest.raises(LoopError, match="JSON"):
        LoopApart(Made("drivers:Chatty", {"seed": 1, "task": "put"}), Made("drivers:Chatty", {"scene": np.zeros(3)}))


def test_it_ends_with_its_notebook():
    """A killed parent closes the pipe: the loop and its process end."""
    code = """
        import time
        from pilab.robots.apart import LoopApart, Made
        loop = LoopApart(Made("pilab.robots.simulator:Simulator", {"hz": 30}), hz=30).start()
        loop.arm()
        print(loop._process.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    import psutil

    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)

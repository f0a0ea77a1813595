"""The arm over a serial line, against servos that speak the protocol; and what happens when they stop."""

from __future__ import annotations

import math
import sys
import time

import numpy as np
import pytest

from pilab.contracts import STATE, CameraSpec, image_key
from pilab.robots.bridges.so101 import BODY, GRIPPER, SO101, SO101Error, body
from pilab.robots.loop import ControlLoop
from pilab.robots.safety import Mode
from pilab.world.kinematics import chain
from pilab.world.scenes import find_body

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are for Linux and macOS", allow_module_level=True)
pytest.importorskip("rustypot")

from tests.robots.bridges.feetech import ALL, GOAL, SYNC_READ, SYNC_WRITE, TORQUE, Bus

START = {1: 2048, 2: 1500, 3: 2600, 4: 2300, 5: 2048, 6: 2100}


def rad(raw: int) -> float:
    return (raw - 2048) * 2 * math.pi / 4096


@pytest.fixture
def bus():
    with Bus(START) as bus:
        yield bus


def test_the_geometry_is_the_arms_own():
    """At rest the tip is where the description's chain of frames puts it, and the hand looks forwards."""
    arm = BODY.arms[0]
    tip, rotation, axes, _ = chain(arm).forward(np.zeros(5))
    np.testing.assert_allclose(tip, (0.3914, 0.0, 0.2265), atol=3e-4)
    np.testing.assert_allclose(rotation, np.eye(3))
    assert axes[0] @ (0, 0, 1) == -1 and axes[1] @ (0, 1, 0) == 1
    home = chain(arm).forward(np.array(arm.home))[0]
    low, high = np.array(BODY.workspace).T
    assert (home > low).all() and (home < high).all()
    assert find_body("pilab.robots.bridges.so101:BODY") == BODY == body()


def test_it_connects_without_a_jump_and_moves(bus):
    robot = SO101(bus.port, "wave", timeout=0.2)
    with pytest.raises(SO101Error, match="not connected"):
        robot.get_observation()
    robot.connect()
    seen = robot.get_observation()  # what was written before it has arrived: the line keeps the order
    goals = {i: servo.get(GOAL) for i, servo in bus.servos.items()}
    assert goals == pytest.approx(START, abs=1) and all(s.memory[TORQUE] for s in bus.servos.values())
    order = [(kind, p[0]) for who, kind, p in bus.log if kind == SYNC_WRITE]
    assert order.index((SYNC_WRITE, GOAL)) < order.index((SYNC_WRITE, TORQUE))  # held where it is, before the torque
    np.testing.assert_allclose(seen[STATE][:5], [rad(START[i]) for i in range(1, 6)], atol=2e-3)
    assert seen[STATE][5] == pytest.approx((rad(START[6]) - GRIPPER[0]) / (GRIPPER[1] - GRIPPER[0]), abs=2e-3)
    wanted = np.array([0.3, -0.5, 0.5, 0.1, 0.2, 1.0])
    np.testing.assert_allclose(robot.send_action(wanted), wanted, atol=1e-6)
    end = time.monotonic() + 5
    while np.abs(robot.get_observation()[STATE] - wanted).max() > 0.01:
        assert time.monotonic() < end
    assert robot.send_action(np.full(6, 9.0))[0] == pytest.approx(1.92)
    with pytest.raises(SO101Error, match="nothing was sent"):
        robot.send_action([0, 0, 0, 0, 0, np.nan])
    robot.disconnect()
    assert all(s.memory[TORQUE] for s in bus.servos.values()) and not robot.is_connected
    SO101(bus.port).disconnect()  # allowed at any time


def test_what_is_not_there_is_told(bus):
    with pytest.raises(SO101Error, match=r"port /dev/nowhere does not open.*ls /dev/tty"):
        SO101("/dev/nowhere").connect()
    bus.silent = {4}
    with pytest.raises(SO101Error, match="4"):
        SO101(bus.port, timeout=0.1).connect()
    with pytest.raises(SO101Error, match="six different ids"):
        SO101(bus.port, ids=(1, 2, 3))
    camera = CameraSpec("wrist", 4, 4, 60.0, "arm")
    with pytest.raises(SO101Error, match="cameras wrist"):
        SO101(bus.port, cameras=[camera])


@pytest.mark.parametrize("fault", ["silent", "garbled"])
def test_a_lost_line_disarms_and_comes_back(bus, fault):
    camera = CameraSpec("wrist", 4, 4, 60.0, "arm")
    pictures = {"wrist": lambda: np.random.default_rng().integers(255, size=(4, 4, 3), dtype=np.uint8)}
    robot = SO101(bus.port, cameras=[camera], pictures=pictures, timeout=0.05)
    robot.connect()
    now = [0.0]
    loop = ControlLoop(robot, hz=30, clock=lambda: now[0])

    def go(ticks: int) -> None:
        for _ in range(ticks):
            loop.drive(None)
            loop.tick()
            now[0] += 1 / 30

    go(2)
    loop.arm()
    go(3)
    assert loop.status.mode is Mode.ARMED and image_key("wrist") in loop.latest()[0].observation
    setattr(bus, fault, {2} if fault == "silent" else True)
    go(2)
    assert loop.status.mode is Mode.DISARMED and "cannot read" in loop.status.errors["robot"]
    commanded = sum(kind == SYNC_WRITE for _, kind, _ in bus.log)
    go(3)
    assert sum(kind == SYNC_WRITE for _, kind, _ in bus.log) == commanded  # nothing is sent any more
    setattr(bus, fault, set() if fault == "silent" else False)
    time.sleep(0.1)
    go(3)
    loop.arm()
    go(2)
    assert loop.status.mode is Mode.ARMED
    robot.disconnect()


def test_the_bus_reads_all_servos_at_once(bus):
    robot = SO101(bus.port, timeout=0.2)
    robot.connect()
    bus.log.clear()
    robot.get_observation()
    # Writes are not answered, so those of connecting may come to the log late.
    assert [(who, kind) for who, kind, _ in bus.log if kind != SYNC_WRITE] == [(ALL, SYNC_READ)]
    robot.disconnect()

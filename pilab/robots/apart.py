"""The control loop in a process of its own: whatever a notebook's cell computes, the robot keeps its pace.

Design choices
--------------
* **The same `ControlLoop`**, over there. Here are its mailboxes, under the same names: a cockpit or a recorder does not know
  which of the two it holds.
* **What runs there is named**: `MODULE:OBJECT` and JSON arguments. A driver belongs to one process, and nothing is pickled.
* Orders go one way and every frame the other, as MessagePack through the pipes of the process. What a driver prints goes to
  this process's errors and is never taken for a message.
* **The loop goes first** where the system lets it (Linux: root, or a limit `rtprio` for the user), and so do the two threads
  that carry its messages: who waits for a busy core while it holds the interpreter makes the loop wait, too. With the
  loop's thread alone the 99th percentile of its jitter stayed at 4 to 19 ms, with all three it is 0.1 to 2.3.
* **A lost notebook is a lost person.** No heartbeat comes any more, so the robot holds and then lets go; when the pipe
  closes, so does the loop. When the process ends, that stands in the status, and the robot counts as disarmed.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from pilab.contracts import SCENE, load
from pilab.robots.bridges.aloha import read_thought
from pilab.robots.bridges.wire import WireError, pack, unpack
from pilab.robots.loop import ControlLoop, Frame, LoopError, Status, Subscribers
from pilab.robots.safety import Decision, Event, Mode

ORDERS = ("arm", "disarm", "stop", "instruct", "say", "suggest", "go_home", "drive", "release")
MOST_WAITING = 300  # frames on their way: ten seconds that a notebook may be away without a gap in its recording
LARGEST = 64 * 2**20  # bytes of a message
REALTIME = 10  # priority, 1 to 99: before all ordinary threads, after drivers of the system


@dataclass(frozen=True)
class Made:
    """Something to be made over there: `MODULE:OBJECT`, called with arguments that JSON can hold."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        return load(self.name, "object")(**self.arguments)


class LoopApart:
    """A `ControlLoop` in a process of its own. Use it in a `with` block, or `start` and `close` it.

    robot and policy: what to make there, such as `Made("pilab.robots.simulator:Simulator", {"seed": 1, "hz": 30})` and
    `Made("pilab.vla.policy:VLAPolicy", {"checkpoint": "data_samples/checkpoint"})`. hz, task, seed: as for the loop.
    """

    def __init__(
        self, robot: Made, policy: Made | None = None, hz: int | None = None, *, task: str = "", seed: int = 0
    ) -> None:
        self.robot = robot.make()  # a twin that is never connected: it tells the body and the scene
        self.autonomous, self.hz = policy is not None, hz or self.robot.embodiment.control_hz
        things = {"robot": robot, "policy": policy}
        made = {name: thing and dataclasses.asdict(thing) for name, thing in things.items()}
        self._wanted = {**made, "hz": hz, "task": task, "seed": seed}
        try:
            json.dumps(self._wanted)
        except TypeError as error:
            raise LoopError(f"what is to be made apart is described by JSON: {error}") from error
        self._process: subprocess.Popen[bytes] | None = None
        self._writing, self._ready = threading.Lock(), threading.Event()
        self._failure, self._frame = "", None
        self._told: dict[str, Any] = {"mode": Mode.DISARMED, "why": "not started", "task": task}
        self._subscribers = Subscribers()
        self._errors: dict[str, str] = {}  # of this side

    # ----------------------------------------------------------------------------------------------------- any thread
    def arm(self) -> None:
        """As `ControlLoop.arm`, and so on."""
        self._order("arm")

    def disarm(self) -> None:
        self._order("disarm")

    def stop(self, why: str = "stopped by a person") -> None:
        self._order("stop", why)

    def instruct(self, text: str) -> None:
        self._order("instruct", text)

    def say(self, text: str) -> None:
        self._order("say", text)

    def suggest(self, *chain: str) -> None:
        self._order("suggest", *chain)

    def go_home(self) -> None:
        self._order("go_home")

    def drive(self, action: np.ndarray | None) -> None:
        self._order("drive", None if action is None else np.asarray(action, np.float64))

    def release(self) -> None:
        self._order("release")

    def subscribe(self, call: Callable[[Frame], object], always: bool = False) -> Callable[[], None]:
        """As `ControlLoop.subscribe`, in a thread of this process."""
        return self._subscribers.add(call, always)

    def latest(self) -> tuple[Frame | None, Status]:
        """The newest frame that has arrived (None before the first) and how the loop is."""
        return self._frame, self.status

    @property
    def status(self) -> Status:
        told, frame = self._told, self._frame
        events = {Event(name): count for name, count in told.get("events", {}).items()}
        return Status(
            Mode(told["mode"]), told["why"], told["task"], {**told.get("errors", {}), **self._errors}, events,
            told.get("ticks", 0), told.get("overruns", 0), tuple(told.get("jitter", (0.0, 0.0, 0.0))),
            told.get("inferring", False), told.get("lead", 0), time.perf_counter() - frame.time if frame else np.inf,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------- life of the process
    def start(self, timeout: float = 120.0) -> Self:
        """Start the process and connect there. Raises `LoopError` when that fails, or takes more than `timeout` s."""
        path = os.pathsep.join(place or os.getcwd() for place in sys.path)  # what is found here is found there
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pilab.robots.apart"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        atexit.register(self.close)
        threading.Thread(target=self._read, name="pilab-apart", daemon=True).start()
        self._send(self._wanted)
        if not self._ready.wait(timeout) or self._failure:
            self.close()
            raise LoopError(f"the loop's process does not run: {self._failure or f'nothing came within {timeout} s'}")
        return self

    def close(self, timeout: float = 10.0) -> None:
        """End the loop and its process; the robot holds. Raises `LoopError` when it does not end within `timeout` s."""
        atexit.unregister(self.close)
        if self._process is None:
            return
        with self._writing, contextlib.suppress(OSError):  # it had ended, with orders in the pipe
            self._process.stdin.close()  # which closes the loop
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise LoopError(f"the robot has not answered for {timeout} s: cut its power, it may still move") from None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _order(self, name: str, *values: Any) -> None:
        self._send({"order": name, "values": list(values)})

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._process is None:
            raise LoopError("the loop is not started; call start(), or use it in a `with` block")
        with self._writing:
            try:
                _write(self._process.stdin, message)
            except (OSError, ValueError) as error:  # the pipe is broken, or closed
                self._errors = {**self._errors, "loop": f"an order was lost, the process has ended ({error})"}

    def _read(self) -> None:
        """What the process says, until it ends."""
        ended = "the loop's process has ended"
        try:
            while (message := _receive(self._process.stdout)) is not None:
                self._hear(message)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:  # no message of ours: the process is not to be trusted
            ended = f"{ended}, with what is no message of it: {error}"
            self._process.kill()
        self._failure = self._failure or f"{ended} (exit status {self._process.wait()})"
        self._told = {**self._told, "mode": Mode.DISARMED, "why": self._failure}
        self._errors = {**self._errors, "loop": self._failure}
        self._ready.set()

    def _note(self, origin: str, error: Exception) -> None:
        self._errors = {**self._errors, origin: f"{type(error).__name__}: {error}"}

    def _hear(self, message: Mapping[str, Any]) -> None:
        if "failure" in message:
            self._failure = message["failure"]
            return
        self._told = message["status"]
        if "frame" in message:
            self._frame = frame = _frame(message["frame"])
            self._subscribers.tell(frame, self._note)
        self._ready.set()


# ----------------------------------------------------------------------------------------------------------- over there
def serve(orders: BinaryIO, out: BinaryIO) -> None:
    """Make the loop that the first message asks for, obey the others, send every frame; until `orders` ends."""
    wanted = _receive(orders)
    if wanted is None:
        return
    try:
        robot, policy = (wanted[name] and Made(**wanted[name]).make() for name in ("robot", "policy"))
        loop = ControlLoop(robot, policy, wanted["hz"], task=wanted["task"], seed=wanted["seed"])
    except Exception as error:  # noqa: BLE001 (a driver or policy may be anyone's: who asked reads what went wrong)
        _write(out, {"failure": f"{type(error).__name__}: {error}"})
        return
    box: queue.Queue[tuple[Frame, Status] | None] = queue.Queue(MOST_WAITING)

    def post(frame: Frame) -> None:
        if not box.full():  # who is that far behind misses frames, which a recorder counts as gaps
            box.put((frame, loop.status))

    def send() -> None:
        _go_first()
        while True:
            try:
                item = box.get(timeout=0.2)
            except queue.Empty:  # the robot does not answer, which is news too
                _write(out, {"status": _status(loop.status)})
                continue
            if item is None:
                return
            frame, status = item
            _write(out, {"frame": _fields(frame), "status": _status(status)})

    loop.subscribe(post, always=True)
    try:
        loop.start()
    except LoopError as error:
        _write(out, {"failure": str(error)})
        return
    loop.between(lambda robot: _go_first())  # in the loop's thread, which is not armed yet
    sender = threading.Thread(target=send, name="pilab-sender", daemon=True)
    sender.start()
    _go_first()
    try:
        while (order := _receive(orders)) is not None:
            if order.get("order") in ORDERS:
                getattr(loop, order["order"])(*order["values"])
    finally:
        loop.close()
        box.put(None)  # the robot stays connected and held, as after any `ControlLoop.close`


def _go_first() -> None:
    """Real-time scheduling for the calling thread, not for threads that it starts; where it may."""
    if hasattr(os, "SCHED_RESET_ON_FORK"):  # Linux
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REALTIME))


def _status(status: Status) -> dict[str, Any]:
    fields = {f.name: getattr(status, f.name) for f in dataclasses.fields(status)}
    events = {str(event): count for event, count in status.events.items()}
    return {**fields, "mode": str(status.mode), "events": events, "errors": dict(status.errors), "age": 0.0}


def _fields(frame: Frame) -> dict[str, Any]:
    fields = {f.name: getattr(frame, f.name) for f in dataclasses.fields(frame)}
    decision = {
        "mode": str(frame.decision.mode),
        "events": list(map(str, frame.decision.events)),
        "why": frame.decision.why,
    }
    seen = {key: value for key, value in frame.observation.items() if key != SCENE}
    return {**fields, "observation": seen, "thought": dataclasses.asdict(frame.thought), "decision": decision}


def _frame(fields: dict[str, Any]) -> Frame:
    told = fields["decision"]
    decision = Decision(fields["executed"], Mode(told["mode"]), tuple(map(Event, told["events"])), told["why"])
    return Frame(**{**fields, "thought": read_thought(fields["thought"]), "decision": decision})


# -------------------------------------------------------------------------------------------------------------- the pipes
def _write(pipe: BinaryIO, message: Mapping[str, Any]) -> None:
    data = pack(message)
    pipe.write(len(data).to_bytes(4, "big") + data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> dict[str, Any] | None:
    """The next message; None at the end. Raises `WireError` for what is none."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    size = int.from_bytes(head, "big")
    if size > LARGEST:
        raise WireError(f"a message of {size} bytes; expected {LARGEST} at most")
    data = pipe.read(size)
    return unpack(data) if len(data) == size else None


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # from now on, whoever prints prints to the errors
    serve(sys.stdin.buffer, own)

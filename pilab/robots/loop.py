"""The control loop: one thread that owns a robot, and mailboxes for everybody else.

Design choices
--------------
* **Nobody else touches the robot.** Orders travel through a queue and are obeyed in order, just before the next command; a
  person's wish is a latest-value mailbox; viewers get the newest frame and never a queue. Nothing here waits for a browser.
* Four ideas, four files: `Pace` says when, `Pilot` who drives and where to, `Safety` what is allowed; here they meet.
* **Every command passes `Safety` and is logged with its source**: `human`, `policy` or `hold` (nobody, or the way home).
* **An error ends a movement, not the loop**: it is kept in `status.errors`, and viewers go on.

`close` leaves the robot connected and held: to disconnect may let an arm fall, and that is for its owner to decide. Cells
that keep the interpreter busy stretch the period of this thread; `status` tells by how much.
"""

from __future__ import annotations

import atexit
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from pilab.contracts import STAMPS, TASK, Observation, PilabError, Policy, Robot, Thought
from pilab.robots.executor import Episode, Executor
from pilab.robots.pace import Pace
from pilab.robots.pilot import HUMAN, Pilot, Wish
from pilab.robots.safety import Decision, Event, Mode, Safety, SafetyConfig

SWITCH = 0.0005  # s that a thread may keep the interpreter
MOST_SUBSCRIBERS = 8  # they share one period with the robot


class LoopError(PilabError, RuntimeError):
    """A loop that cannot run as asked: rates that do not fit, a robot that does not connect or does not answer."""


@dataclass(frozen=True)
class Frame:
    """One period: what was seen, wanted and sent. Arrays are shared by all who look: read them, do not write."""

    tick: int
    time: float  # s on the loop's clock, when the observation had come
    observation: Observation
    label: np.ndarray | None  # (A,) what was meant, before noise and safety; what was sent where nobody meant anything
    executed: np.ndarray | None  # (A,) the command sent; None while disarmed
    source: str
    is_intervention: bool  # a person drives though there is a policy
    task: str
    thought: Thought
    decision: Decision  # what Safety did, and why


@dataclass(frozen=True)
class Status:
    """How the loop is."""

    mode: Mode
    why: str
    task: str
    errors: Mapping[str, str]  # "robot", "policy", "safety", "subscriber", "order", "loop" → the last one
    events: Mapping[Event, int]  # how often each began
    ticks: int
    overruns: int  # periods that ended after their deadline
    jitter: tuple[float, float, float]  # ms: p50, p99 and largest error of a period
    inferring: bool  # the policy is busy
    lead: int  # policy steps that its last chunk took
    age: float  # s since the newest frame


class Subscribers:
    """Whoever wants every frame, in the thread that has it. May be changed from any thread."""

    def __init__(self) -> None:
        self._calls: tuple[tuple[Callable[[Frame], object], bool], ...] = ()  # replaced, never changed

    def add(self, call: Callable[[Frame], object], always: bool) -> Callable[[], None]:
        """always: with frames whose command was not sent too. Returns what ends it. Raises `LoopError` for too many."""
        if len(self._calls) >= MOST_SUBSCRIBERS:
            raise LoopError(f"{MOST_SUBSCRIBERS} subscribers already: end one, or poll `latest()`, as viewers should")
        entry = (call, always)
        self._calls = (*self._calls, entry)

        def unsubscribe() -> None:
            self._calls = tuple(other for other in self._calls if other is not entry)

        return unsubscribe

    def tell(self, frame: Frame, note: Callable[[str, Exception], object]) -> None:
        """note: hears ("subscriber", error) of one that fails; whatever others do, the robot goes on."""
        for call, always in self._calls:
            if always or frame.executed is not None:
                try:
                    call(frame)
                except Exception as error:  # noqa: BLE001
                    note("subscriber", error)


class ControlLoop:
    """Drives a robot with a policy, a person, or both. Use it in a `with` block, or `start` and `close` it.

    policy: a Policy, or an Executor with intervals of its own; None where only people drive. hz: a multiple of the body's
    `control_hz`, which it is by default. task: by default what the robot says. clock, wait (s) and submit exist for tests.
    Public methods may be called from any thread and return at once; only `start` and `close` wait for the loop.
    """

    def __init__(
        self, robot: Robot, policy: Policy | Executor | None = None, hz: int | None = None, *, task: str = "",
        seed: int = 0, safety: SafetyConfig | None = None, clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[float], object] | None = None, submit: Callable[..., Future[Episode]] | None = None,
    ) -> None:  # fmt: skip
        body = robot.embodiment
        self.robot, self.hz = robot, hz or body.control_hz
        every, rest = divmod(self.hz, body.control_hz)
        if rest or not every:
            raise LoopError(f"{self.hz} Hz is no multiple of the body's {body.control_hz} Hz; try {body.teleop_hz}")
        if (theirs := getattr(robot, "hz", self.hz)) != self.hz:
            raise LoopError(f"the loop runs at {self.hz} Hz and the robot at {theirs} Hz; make it with hz={self.hz}")
        self._closing = threading.Event()
        self._pace = Pace(1 / self.hz, clock, wait or self._closing.wait)
        self.safety = Safety(body, self._pace.period, safety)
        self._pilot, self._seed = Pilot(self.safety, policy, every, submit, task), seed
        self._orders: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._observation: Observation | None = None
        self._frame: Frame | None = None
        self._subscribers = Subscribers()
        self._errors: dict[str, str] = {}  # replaced, never changed, like everything that other threads read
        self._events: dict[Event, int] = {}
        self._thread, self._ready, self._failure = None, threading.Event(), None

    # ----------------------------------------------------------------------------------------------------- any thread
    def arm(self) -> None:
        """Let the robot move, from where it is: a new episode begins. Ends a stop. Refusals are in `status.errors`."""
        self._orders.put(self._arm)

    def disarm(self) -> None:
        """Send nothing more."""
        self._orders.put(self.safety.disarm)

    def stop(self, why: str = "stopped by a person") -> None:
        """Hold at once, whatever goes on, until `arm`."""
        self._orders.put(lambda: self.safety.stop(why))

    def instruct(self, text: str) -> None:
        """Change the task."""
        self._orders.put(lambda: self._pilot.instruct(text, self._pace.clock()))

    def say(self, text: str) -> None:
        """Change the subtask, as a coach does; without a policy it labels what a person does."""
        self._orders.put(lambda: self._pilot.say(text, self._pace.clock()))

    def suggest(self, *chain: str) -> None:
        """Begin the policy's thoughts with these sentences, until the task changes; with none it thinks freely again."""
        self._orders.put(lambda: self._pilot.suggest(chain, self._pace.clock()))

    def go_home(self) -> None:
        """Move slowly and straight (in joint angles) home, and rest there until somebody speaks, drives or arms."""
        self._orders.put(self._pilot.go_home)

    def between(self, call: Callable[[Robot], object]) -> Future[object]:
        """Have `call(robot)` done in the loop's thread while the robot is not armed, such as to reset a simulated one.

        `result()` of what comes back waits for it, and raises what it raised; `LoopError` while the robot is armed.
        """
        answer: Future[object] = Future()

        def order() -> None:
            try:
                if self.safety.mode.engaged:
                    raise LoopError(f"not done: the robot is {self.safety.mode}; disarm it first")
                answer.set_result(call(self.robot))
            except Exception as error:
                answer.set_exception(error)
                raise

        self._orders.put(order)
        return answer

    def drive(self, action: np.ndarray | None) -> None:
        """A person's wish (A,), joint targets; None to stay. Also the heartbeat: repeat it until `release`."""
        self._pilot.drive(action, self._pace.clock())

    def release(self) -> None:
        """The person lets go: the policy plans anew; without one the robot holds."""
        self._pilot.release()

    def subscribe(self, call: Callable[[Frame], object], always: bool = False) -> Callable[[], None]:
        """Call it in the loop's thread with every frame whose command was sent (always: with the others too); be quick.
        Returns what ends it.
        """
        return self._subscribers.add(call, always)

    def latest(self) -> tuple[Frame | None, Status]:
        """The newest frame (None before the first) and how the loop is; never a queue."""
        return self._frame, self.status

    @property
    def autonomous(self) -> bool:
        """Whether a policy drives when no person does."""
        return self._pilot.autonomous

    @property
    def status(self) -> Status:
        frame, pace, pilot, safety = self._frame, self._pace, self._pilot, self.safety
        return Status(
            safety.mode, safety.why, pilot.episode.task, self._errors, self._events, pace.ticks, pace.overruns, pace.jitter,
            pilot.busy, pilot.episode.lead, pace.clock() - frame.time if frame else np.inf,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------- life of the thread
    def start(self) -> Self:
        """Connect, in a thread of its own, and run there. Raises `LoopError` when the robot does not connect."""
        self._thread = threading.Thread(target=self._live, name="pilab-loop", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.close()
            raise LoopError(f"the robot does not connect: {self._failure}") from self._failure
        atexit.register(self.close)
        # A busy thread may keep the interpreter for 5 ms whenever another one wants it, and a period wants it often.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH))
        return self

    def close(self, timeout: float = 5.0) -> None:
        """End the thread; the robot holds. Raises `LoopError` when the robot does not answer within `timeout` s."""
        self._closing.set()
        atexit.unregister(self.close)
        self._pilot.close()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise LoopError(f"the robot has not answered for {timeout} s: cut its power, it may still move")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _live(self) -> None:
        try:
            if not getattr(self.robot, "is_connected", False):
                self.robot.connect()
        except Exception as error:  # noqa: BLE001 (`start` raises it)
            self._failure = error
            return
        finally:
            self._ready.set()
        self.run()

    def run(self) -> None:
        """Tick at every deadline until `close`; what the thread does."""
        while not self._closing.is_set():
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001 (a mistake in here must not leave a robot moving)
                self._note("loop", error)
                self.safety.stop(f"an error of the loop itself: {error!r}")
            self._pace.rest()
        if (command := self.safety.command) is not None and self.safety.mode is not Mode.DISARMED:
            self._send(command.astype(np.float32))
        self.safety.disarm("the loop is closed")

    # --------------------------------------------------------------------------------------------- the loop's thread only
    def tick(self) -> None:
        """One period, without waiting."""
        self._pace.begin()
        try:
            seen = self.robot.get_observation()
            self.safety.see(seen, self._pace.clock())
            self._observation = {key: value for key, value in seen.items() if key != STAMPS}
            self._pilot.episode.task = self._pilot.episode.task or seen.get(TASK, "")
        except Exception as error:  # noqa: BLE001 (a driver may raise anything: the link is lost)
            self._observation = None
            self._lose(error)
        while not self._orders.empty():
            self._try("order", self._orders.get())
        if self._observation is not None:
            self._act(self._observation, self._pace.clock())

    def _act(self, observation: Observation, now: float) -> None:
        before = self.safety.mode
        wish = self._pilot.wish(observation, now) if before.engaged else Wish()
        decision = self.safety.step(wish.wanted, now, self._pilot.input_at)
        if self._pilot.failure is not None:
            self._note("policy", self._pilot.failure)
        if decision.mode is Mode.HOLDING or (before.engaged and decision.mode is Mode.DISARMED):
            self._note("safety", decision.why)
        for event in set(decision.events) - set(self._frame.decision.events if self._frame else ()):
            self._events = {**self._events, event: self._events.get(event, 0) + 1}
        executed = None if decision.command is None else self._send(decision.command)
        wish = Wish() if decision.held else wish
        self._frame = frame = Frame(
            self._pace.ticks, now, observation, executed if wish.label is None else wish.label, executed, wish.source,
            wish.source == HUMAN and self._pilot.autonomous, self._pilot.episode.task, self._pilot.episode.thought, decision,
        )  # fmt: skip
        self._subscribers.tell(frame, self._note)

    def _arm(self) -> None:
        now = self._pace.clock()
        if self._observation is None:
            raise LoopError(f"not armed: the robot does not answer ({self._errors['robot']})")
        self.safety.arm(now)
        self._pilot.begin(self._pilot.episode.task, self._seed, now)
        self._errors = {k: v for k, v in self._errors.items() if k == "subscriber"}  # what it lost stays lost

    def _send(self, command: np.ndarray) -> np.ndarray | None:
        try:
            return np.asarray(self.robot.send_action(command), np.float32)
        except Exception as error:  # noqa: BLE001 (a driver may raise anything: the link is lost)
            self._lose(error)
            return None

    def _try(self, origin: str, call: Callable[..., object], *values: object) -> None:
        try:
            call(*values)
        except Exception as error:  # noqa: BLE001 (whatever others do, the robot goes on)
            self._note(origin, error)

    def _lose(self, error: Exception) -> None:
        self._note("robot", error)
        self.safety.disarm(f"the robot does not answer: {error}")

    def _note(self, origin: str, error: object) -> None:
        told = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
        self._errors = {**self._errors, origin: told}

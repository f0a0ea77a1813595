"""The cockpit: drive, coach, watch and record a robot from a notebook cell.

Design choices
--------------
* **It owns nothing that moves.** The `ControlLoop` drives, `Safety` decides, the `Recorder` keeps; here are a view, and
  mailboxes. When the page, the network or the kernel's main thread is gone, the loop's own watchdog holds the robot.
* **The newest picture or none.** A thread encodes the newest frame when the browser has shown all but two of those before;
  nothing queues, and the age of what is shown stands beside it.
* **One widget, one heartbeat.** What is held down is sent 25 times a second as one synced value, and STOP goes the same way.
  Where the kernel hears neither while a cell is busy, the robot is held for want of a heartbeat; where it hears both
  (subshells), STOP works then too. `selftest` measures which it is, and real hardware is not armed before it was good.
* **What is sent from a thread is sent in the name of the page's last message.** A kernel that has subshells answers the page
  there where it was last spoken to from (ipykernel 7.4); in the name of a cell, that would be the shell that cells keep busy.
* Messages from the page are data: an unknown or malformed one is answered with an error and changes nothing.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import numpy as np
import traitlets

from pilab.contracts import PilabError, image_key
from pilab.data.recorder import Recorder
from pilab.robots.apart import LoopApart
from pilab.robots.loop import ControlLoop
from pilab.robots.operator import Operator, is_number
from pilab.widgets.page import HERE, jpeg, script

FPS = 24  # pictures a second, at most
WINDOW = 3  # pictures that the browser has not shown yet, at most
SILENT = 1.0  # s without a heartbeat after which nobody watches


class CockpitError(PilabError, RuntimeError):
    """Something that cannot be done from the cockpit now."""


class Cockpit(anywidget.AnyWidget):
    """Three pictures, both hands, a stop, a line to say something, and a recorder. Put it last in a cell to see it.

    loop: a running `ControlLoop`, in this process or apart. recorder: where episodes go; without one there is nothing to
    record with. instruction: under which they are kept, by default what the loop is told. Close it with `close_cockpit`, or
    let the kernel end.
    """

    _esm = script("cockpit.js")
    _css = HERE / "cockpit.css"

    held = traitlets.Dict().tag(sync=True)  # the snapshot: see operator.motions; also the heartbeat
    stops = traitlets.Int(0).tag(sync=True)  # counted up by every press of STOP
    state = traitlets.Dict().tag(sync=True)  # what the page shows
    views = traitlets.List().tag(sync=True)  # name, height, width of each camera

    def __init__(self, loop: ControlLoop | LoopApart, recorder: Recorder | None = None, instruction: str = "") -> None:
        body = loop.robot.embodiment
        super().__init__(views=[[c.name, c.height, c.width] for c in body.cameras])
        self.loop, self.recorder, self.instruction = loop, recorder, instruction
        self.operator = Operator(body)
        self._heard = 0.0  # when the last heartbeat came
        self._driving, self._said, self._verdict = False, "", None
        self._page: contextvars.Context | None = None  # of the page's last heartbeat
        self._waiting = 0  # pictures under way
        self._trips: deque[float] = deque(maxlen=200)
        self._tested: dict[str, float | bool] = {}
        self._pongs: dict[int, threading.Event] = {}
        self._inputs: deque[float] = deque(maxlen=400)  # when heartbeats came
        self._ending = threading.Event()
        self._unsubscribe = loop.subscribe(recorder.see) if recorder else None
        self.observe(self._hear, "held")
        self.observe(self._stop, "stops")
        self.on_msg(lambda _, content, buffers: self.receive(content))
        self._thread = threading.Thread(target=self._show, name="pilab-cockpit", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------------- from the browser
    def _hear(self, change: Any) -> None:
        """A heartbeat: what is held down now."""
        now, snapshot = time.monotonic(), change["new"]
        seconds, self._heard, self._page = now - self._heard, now, contextvars.copy_context()
        self._inputs.append(now)
        frame, status = self.loop.latest()
        if frame is None or not status.mode.engaged:
            self._driving = False
            return
        self.operator.speed = float(np.clip(_number(snapshot.get("speed"), 1.0), 0.05, 1.0))
        command = frame.executed  # None just after arming: the next heartbeat finds one
        target = None if command is None else self.operator.step(snapshot, command, seconds)
        if target is not None:
            self._driving = True  # a person who moves has taken over
        if self._driving or not self.loop.autonomous:
            self.loop.drive(target)

    def _stop(self, change: Any) -> None:
        self.loop.stop("STOP in the cockpit")

    def receive(self, message: Any) -> None:
        """One message of the page: {do: …, …}. What is wrong with it stands in the cockpit's `note`."""
        if not isinstance(message, Mapping):
            return
        kind = message.get("do")
        try:
            if kind == "shown":
                self._waiting = max(0, self._waiting - 1)
                self._trips.append(1000 * (time.monotonic() - _number(message.get("at"), time.monotonic())))
            elif kind == "hello":  # a new page, or an old one again: whatever was under way is lost
                self._waiting = 0
            elif kind == "pong":
                if event := self._pongs.get(int(_number(message.get("number"), -1))):
                    event.set()
            elif isinstance(kind, str) and kind in ACTIONS:
                self._said = ""
                ACTIONS[kind](self, message)
            else:
                raise CockpitError(f"the page asked for {kind!r}; expected one of {', '.join(ACTIONS)}")
        except PilabError as error:
            self._said = str(error)

    # ----------------------------------------------------------------------------------------------------- for everybody
    def arm(self) -> None:
        """Let the robot move. Raises `CockpitError` for real hardware before a good `selftest`."""
        if not getattr(self.loop.robot, "simulated", False) and not self._tested.get("good"):
            raise CockpitError(
                "not armed: run cockpit.selftest() first, and see that input survives a busy cell. A real robot also needs "
                "a stop that cuts the power, within reach of a hand"
            )
        self.loop.arm()

    def release(self) -> None:
        """Let go: the policy goes on, or the robot holds."""
        self._driving = False
        self.loop.release()

    def start(self) -> None:
        """Begin to record."""
        self._needs_recorder().start()
        self._verdict = None

    def keep(self, success: bool | None = None, instruction: str = "") -> None:
        """End the recording and keep it; success: whether it shows the task done, by default what was marked, else yes."""
        said = instruction or self.instruction or self.loop.status.task
        if success is None:
            success = True if self._verdict is None else self._verdict
        scene = getattr(self.loop.robot, "scene", None)
        self._needs_recorder().keep(said, success=success, scene=scene.to_json() if scene else "")

    def discard(self) -> None:
        """End the recording and forget it."""
        self._needs_recorder().discard()

    def undo(self) -> None:
        """Take back the episode that was kept last."""
        self._needs_recorder().undo()

    def selftest(self, seconds: float = 3.0, trips: int = 20) -> dict[str, float | bool]:
        """Measure the way to the page and back (ms), and whether input arrives while this cell is busy.

        Raises `CockpitError` where no page shows the cockpit.
        """
        if not self.watched:
            raise CockpitError(
                "no page shows this cockpit: display it, wait for the pictures, and run this in another cell"
            )
        times = []
        for number in range(trips):
            event = self._pongs[number] = threading.Event()
            began = time.perf_counter()
            self._to_page(self.send, {"do": "ping", "number": number})
            if event.wait(2.0):
                times.append(1000 * (time.perf_counter() - began))
        self._pongs.clear()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            pass  # a cell that computes, and lets nobody in
        heard = sum(t >= began for t in self._inputs)
        survives = heard >= 5 * seconds
        p50, p95 = np.percentile(times, [50, 95]) if times else (np.inf, np.inf)
        self._tested = {
            "round_trip_p50_ms": round(float(p50), 1), "round_trip_p95_ms": round(float(p95), 1), "answered": len(times),
            "heartbeats_per_second": round(heard / seconds, 1), "input_survives_a_busy_cell": survives,
            "good": survives and len(times) == trips and p95 < 300,
        }  # fmt: skip
        return dict(self._tested)

    @property
    def watched(self) -> bool:
        """Whether a page sends heartbeats."""
        return time.monotonic() - self._heard < SILENT

    def close_cockpit(self) -> None:
        """End the view; the loop and the recorder go on."""
        self._ending.set()
        self._thread.join(2.0)
        if self._unsubscribe:
            self._unsubscribe()
        self.close()

    def _needs_recorder(self) -> Recorder:
        if self.recorder is None:
            raise CockpitError("there is nothing to record with: make the cockpit with a Recorder")
        return self.recorder

    # ------------------------------------------------------------------------------------------------- the thread's own
    def _show(self) -> None:
        last = -1
        while not self._ending.wait(1 / FPS):
            frame, status = self.loop.latest()
            self._tell(frame, status)
            if frame is None or frame.tick == last or self._waiting >= WINDOW or not self.watched:
                continue
            last = frame.tick
            pictures = [frame.observation.get(image_key(name)) for name, *_ in self.views]
            buffers = [b"" if p is None else jpeg(p) for p in pictures]
            self._waiting += 1
            about = {"do": "picture", "tick": frame.tick, "at": time.monotonic(), "age": round(1000 * status.age)}
            self._to_page(self.send, about, buffers)

    def _tell(self, frame: Any, status: Any) -> None:
        """What the page shows beside the pictures; sent when it changes."""
        recording = self.recorder.status if self.recorder else None
        thought = frame.thought if frame else None
        state = {
            "mode": str(status.mode), "why": status.why, "task": status.task, "note": self._said or _last(status.errors),
            "source": frame.source if frame else "", "subtask": (thought.subtask or "") if thought else "",
            "author": thought.author if thought else "", "policy": self.loop.autonomous, "overruns": status.overruns,
            "jitter": round(status.jitter[1], 1), "driving": self._driving,
            "trip": round(float(np.median(self._trips)), 0) if self._trips else None,
            "deaf": self._tested.get("input_survives_a_busy_cell") is False,
        }  # fmt: skip
        if recording:
            state["recording"] = {
                "active": recording.active, "steps": recording.steps, "episodes": recording.episodes,
                "filing": recording.filing, "unfinished": len(recording.unfinished), "error": recording.error,
                "verdict": self._verdict,
            }  # fmt: skip
        if state != self.state:
            self._to_page(setattr, self, "state", state)

    def _to_page(self, call: Callable[..., object], *values: object) -> None:
        context = self._page
        call(*values) if context is None else context.copy().run(call, *values)


def _mark(success: bool) -> Callable[[Cockpit, Mapping[str, Any]], None]:
    def mark(cockpit: Cockpit, message: Mapping[str, Any]) -> None:
        cockpit._verdict = success

    return mark


def _text(message: Mapping[str, Any]) -> str:
    text = message.get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > 500:
        raise CockpitError("nothing was said; type up to 500 characters")
    return text.strip()


ACTIONS: Mapping[str, Callable[[Cockpit, Mapping[str, Any]], object]] = {
    "arm": lambda c, m: c.arm(),
    "disarm": lambda c, m: c.loop.disarm(),
    "home": lambda c, m: c.loop.go_home(),
    "release": lambda c, m: c.release(),
    "instruct": lambda c, m: c.loop.instruct(_text(m)),
    "say": lambda c, m: c.loop.say(_text(m)),
    "start": lambda c, m: c.start(),
    "keep": lambda c, m: c.keep(),
    "discard": lambda c, m: c.discard(),
    "undo": lambda c, m: c.undo(),
    "success": _mark(True),
    "failure": _mark(False),
}


def _number(value: Any, otherwise: float) -> float:
    return float(value) if is_number(value) else otherwise


def _last(errors: Mapping[str, str]) -> str:
    return "; ".join(f"{origin}: {text}" for origin, text in errors.items())

"""The pilot: whose wish counts in this period, and what it is.

Design choices
--------------
* **A person wins, until `release`.** A person who falls silent is a lost link: the robot holds and then disengages; the
  policy does not take over by itself. After `release` it plans anew, because the world has moved on.
* **Nobody waits for the policy.** The Executor is the one of evaluation; only the inference happens elsewhere
  (`Executor.ask` and `take`): one worker thread, one call at a time, because policies need not be thread-safe. The chunk at
  hand goes on meanwhile; when it is used up there is no wish, and the robot holds.
* A policy steps at the body's `control_hz`. In a faster loop the way between two of its actions is straight: that is what
  an action means.

`drive` and `release` may be called from any thread, everything else from the one that owns the robot.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from pilab.contracts import Observation, Policy
from pilab.robots.executor import Episode, Executor
from pilab.robots.policies import Hold
from pilab.robots.safety import Safety, SafetyError

HUMAN, POLICY, HOLD = "human", "policy", "hold"  # the column `source`


class Wish(NamedTuple):
    """What somebody wants; nothing, by default."""

    source: str = HOLD
    label: np.ndarray | None = None  # (A,) the action meant
    wanted: np.ndarray | None = None  # (A,) the command of this period on the way there; None to stay


class Worker(threading.Thread):
    """One thread for inference. A daemon, so that a policy that never answers does not keep Python from ending."""

    def __init__(self) -> None:
        super().__init__(name="pilab-policy", daemon=True)
        self._jobs: queue.SimpleQueue[tuple[Future, Callable] | None] = queue.SimpleQueue()
        self.start()

    def submit(self, call: Callable[[], Episode]) -> Future[Episode]:
        future: Future[Episode] = Future()
        self._jobs.put((future, call))
        return future

    def close(self) -> None:
        """End after the job at hand, without waiting for it."""
        self._jobs.put(None)

    def run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 (a policy may be anyone's: who asked reads what went wrong)
                future.set_exception(error)


class Pilot:
    """One robot's drivers: a person, the way home, a policy.

    policy: None where only people drive. every: periods of the loop per step of the policy. submit: runs a call elsewhere.
    """

    def __init__(
        self, safety: Safety, policy: Policy | Executor | None, every: int = 1,
        submit: Callable[[Callable[[], Episode]], Future] | None = None, task: str = "",
    ) -> None:  # fmt: skip
        self._safety, self._every, self.autonomous = safety, every, policy is not None
        # Without a policy the Executor only keeps the words, and is never asked.
        self._executor = policy if isinstance(policy, Executor) else Executor(policy or Hold(), safety.body)
        self._worker = Worker() if self.autonomous and submit is None else None
        self._submit = self._worker.submit if self._worker else submit
        self._job: tuple[Episode, Future[Episode]] | None = None
        self._box: tuple[float, np.ndarray | None] | None = None  # a person's newest wish, and when it came
        self.begin(task, 0, 0.0)

    # ----------------------------------------------------------------------------------------------------------- people
    def drive(self, action: np.ndarray | None, now: float) -> None:
        """A person's wish (A,); None to stay. Also a heartbeat."""
        self._box = (now, None if action is None else np.array(action, float))

    def release(self) -> None:
        """The person lets go."""
        self._box = None

    def begin(self, task: str, seed: int, now: float) -> None:
        """A new episode: nothing is thought or planned, and of people's wishes only a fresh one counts."""
        if (box := self._box) is not None and now - box[0] > self._safety.config.hold_after:
            self._box = None
        self.episode = self._executor.begin(task, seed)
        self.input_at: float | None = None  # when who drives last gave a sign of life
        self.failure: BaseException | None = None  # why the policy did not answer; it is asked again
        self._person, self._homing, self._phase = False, False, 0

    def instruct(self, text: str, now: float) -> None:
        """Change the task."""
        self._leave_home(now)
        self._executor.instruct(self.episode, text)

    def say(self, text: str, now: float) -> None:
        """Change the subtask."""
        self._leave_home(now)
        self._executor.say(self.episode, text)

    def suggest(self, chain: Sequence[str], now: float) -> None:
        """Begin its thoughts with these sentences."""
        self._leave_home(now)
        self._executor.suggest(self.episode, chain)

    def go_home(self) -> None:
        """Home, and rest there. Raises `SafetyError` when the robot is not armed."""
        if not self._safety.mode.engaged:
            raise SafetyError(f"not going home: the robot is {self._safety.mode} ({self._safety.why}); arm it first")
        self._homing, self._box = True, None

    def close(self) -> None:
        """End the worker after the call at hand."""
        if self._worker is not None:
            self._worker.close()

    @property
    def busy(self) -> bool:
        """Whether the policy is being asked."""
        return self._job is not None

    # ------------------------------------------------------------------------------------------------------- each period
    def wish(self, observation: Observation, now: float) -> Wish:
        """What is wanted now, and by whom; `input_at` then says how fresh that is."""
        box = self._box
        if box is not None and not (self._homing and box[1] is None):  # a mere heartbeat does not end the way home
            self._person, self._homing, self.input_at = True, False, box[0]
            return Wish(HUMAN, box[1], box[1])
        last = self._safety.command
        if self._person:
            self._person = False
            self._forget(now)
        if self._homing:
            self.input_at, body = now, self._safety.body
            stride = self._safety.config.home_speed * body.action.max_speed * self._safety.period
            return Wish(HOLD, None, last + np.clip(body.home - last, -stride, stride))
        if (
            self.autonomous and self._safety.stale
        ):  # nothing is planned on old pictures, and older plans are out of date
            self._forget(now)
        elif self.autonomous and (way := self._follow(observation, last)) is not None:
            self.input_at = now
            return Wish(POLICY, *way)
        return Wish()

    def _follow(self, observation: Observation, last: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The policy's action, and where to be at the end of this period on the way from `last` to it."""
        if self._phase == 0:
            self._collect()
            if self._job is None and (call := self._executor.ask(self.episode, observation)):
                self._job = (self.episode, self._submit(call))
                self._collect()  # an answer may be there at once
            self._from, self._command = last, self._executor.next(self.episode, observation)
        self._phase = (self._phase + 1) % self._every
        command, share = self._command, (self._phase or self._every) / self._every
        return (command.label, self._from + share * (command.executed - self._from)) if command.planned else None

    def _collect(self) -> None:
        if self._job is None or not self._job[1].done():
            return
        (episode, future), self._job = self._job, None
        self.failure = future.exception()
        if self.failure is None:
            self._executor.take(episode, future.result())
        else:
            episode.replan = True

    def _leave_home(self, now: float) -> None:
        if self._homing:
            self._homing = False
            self._forget(now)

    def _forget(self, now: float) -> None:
        """The robot was moved, or held, by somebody else: what was planned is out of date."""
        if self.autonomous:
            self._executor.forget(self.episode)
            self._phase = 0
            self._safety.hand_over(now)

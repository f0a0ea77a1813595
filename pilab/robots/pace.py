"""The pace of a loop: absolute deadlines, and how well they were kept.

A late period does not shift those after it, so the rate does not drift; periods that were missed altogether are skipped,
never made up for by a burst of commands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

REMEMBERED = 1024  # periods whose error is kept for the percentiles


class Pace:
    """Deadlines every `period` s. clock () → s and wait (s) exist for tests."""

    def __init__(self, period: float, clock: Callable[[], float], wait: Callable[[float], object]) -> None:
        self.period, self.clock, self._wait = period, clock, wait
        self.ticks = self.overruns = 0  # overruns: periods whose work ended after their deadline
        self._deadline = self._began = self._worst = 0.0
        self._errors = np.zeros(REMEMBERED)  # s

    def begin(self) -> None:
        """A period begins; the first one sets the deadlines."""
        now = self.clock()
        if self.ticks:
            error = abs(now - self._began - self.period)
            self._errors[(self.ticks - 1) % REMEMBERED] = error
            self._worst = max(self._worst, error)
        else:
            self._deadline = now
        self._began, self.ticks = now, self.ticks + 1

    def rest(self) -> None:
        """The work of a period is done: wait for its end."""
        self._deadline += self.period
        if (late := self.clock() - self._deadline) > 0:
            self.overruns += 1
            self._deadline += late // self.period * self.period
        self._wait(max(self._deadline - self.clock(), 0.0))

    @property
    def jitter(self) -> tuple[float, float, float]:
        """ms: p50, p99 (of the last 1024 periods) and largest error of a period."""
        errors = self._errors[: min(self.ticks - 1, REMEMBERED)] if self.ticks > 1 else np.zeros(1)
        return *(1e3 * np.percentile(errors, (50, 99))).tolist(), 1e3 * self._worst

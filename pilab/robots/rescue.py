"""Interactive imitation: a novice drives, the demonstrator says at every step what it would have done, and takes over in time.

Demonstrations alone never show the mistakes a policy makes, nor the way back from them: an empty hand that travels on, a
thing dropped beside the bowl. Dataset aggregation (DAgger; Ross, Gordon & Bagnell 2011, arXiv:1011.0686) collects the
teacher's labels in states that the *learner* visits; with a teacher who takes over before the end (HG-DAgger, Kelly et al.
2019, arXiv:1810.02890) every episode ends well. Here they take turns: the novice drives for a **shift**, the teacher mends
what came of it and goes on for a while, and so on. Whole chunks of the teacher's then start where the novice got to, and
late phases are reached even by one who fails early.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from pilab.contracts import Embodiment, Observation, Policy, Thought
from pilab.robots.executor import Command, Episode, Executor

FIRST = 24  # the step at which the first shift begins, at the latest
NOVICE = (4, 24)  # steps of a shift
TEACHER = (8, 20)  # steps between two shifts
LAST = 48  # no shift begins later: the teacher needs some 50 of the 120 steps of a task to finish


@dataclass
class Turns(Episode):
    """An episode and its novice's own."""

    novice: Episode | None = None
    shifts: tuple[tuple[int, int], ...] = ()  # the novice drives from the first step of a pair until before the second


class Rescue(Executor):
    """An Executor of the teacher whose commands are the novice's during its shifts. Labels and thoughts are the teacher's."""

    def __init__(self, teacher: Policy, novice: Policy, body: Embodiment, *, arm: str = "") -> None:
        super().__init__(teacher, body, arm=arm)
        self.novice = Executor(novice, body, arm=f"{arm} novice")
        self.cameras = self.novice.cameras

    def begin(self, task: str, seed: int) -> Turns:
        episode, novice = super().begin(task, seed), self.novice.begin(task, seed)
        shifts, begin = [], int(episode.trouble.integers(FIRST))
        while begin < LAST:
            end = begin + int(episode.trouble.integers(*NOVICE))
            shifts.append((begin, end))
            begin = end + int(episode.trouble.integers(*TEACHER))
        return Turns(**vars(episode), novice=novice, shifts=tuple(shifts))

    def step(
        self, episodes: Sequence[Turns], observations: Sequence[Observation], thought: Thought | None = None
    ) -> list[Command]:
        driven = [i for i, e in enumerate(episodes) if any(begin <= e.steps < end for begin, end in e.shifts)]
        rescued = [i not in driven and any(end <= e.steps for _, end in e.shifts) for i, e in enumerate(episodes)]
        for i in driven:
            if any(
                begin == episodes[i].steps for begin, _ in episodes[i].shifts
            ):  # a new shift begins with a look around
                self.novice.forget(episodes[i].novice)
                episodes[i].novice.think_at = episodes[i].novice.steps
        commands = super().step(episodes, observations, thought)
        commands = [dataclasses.replace(c, intervention=r) for c, r in zip(commands, rescued, strict=True)]
        if driven:
            moves = self.novice.step([episodes[i].novice for i in driven], [observations[i] for i in driven])
            for i, move in zip(driven, moves, strict=True):
                commands[i] = dataclasses.replace(commands[i], executed=move.executed)
        return commands

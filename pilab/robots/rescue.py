"""Interactive imitation: a novice drives, the demonstrator says at every step what it would have done, and takes over in time.

Demonstrations alone never show the mistakes a policy makes, nor the way back from them: an empty hand that travels on, a
thing dropped beside the bowl. Dataset aggregation (DAgger; Ross, Gordon & Bagnell 2011, arXiv:1011.0686) collects the
teacher's labels in states that the *learner* visits; with a teacher who takes over before the end (HG-DAgger, Kelly et al.
2019, arXiv:1810.02890) every episode ends well. Here the novice drives for one **shift** of each episode, at a moment drawn
by chance, so that late phases are reached even by one who fails early.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from pilab.contracts import Embodiment, Observation, Policy, Thought
from pilab.robots.executor import Command, Episode, Executor

LATEST = 40  # the step at which a shift begins, at the latest
LENGTH = (8, 56)  # steps of a shift: less than the time a task is given, so that the teacher can still finish


@dataclass
class Shift(Episode):
    """An episode and its novice's own."""

    novice: Episode | None = None
    begin: int = 0  # the novice drives from this step …
    end: int = 0  # … until before this one


class Rescue(Executor):
    """An Executor of the teacher whose commands are the novice's during its shift. Labels and thoughts are the teacher's."""

    def __init__(self, teacher: Policy, novice: Policy, body: Embodiment, *, arm: str = "") -> None:
        super().__init__(teacher, body, arm=arm)
        self.novice = Executor(novice, body, arm=f"{arm} novice")
        self.cameras = self.novice.cameras

    def begin(self, task: str, seed: int) -> Shift:
        episode, novice = super().begin(task, seed), self.novice.begin(task, seed)
        begin = int(episode.trouble.integers(LATEST))
        return Shift(**vars(episode), novice=novice, begin=begin, end=begin + int(episode.trouble.integers(*LENGTH)))

    def step(
        self, episodes: Sequence[Shift], observations: Sequence[Observation], thought: Thought | None = None
    ) -> list[Command]:
        driven = [i for i, e in enumerate(episodes) if e.begin <= e.steps < e.end]
        rescued = [e.steps >= e.end for e in episodes]
        commands = super().step(episodes, observations, thought)
        commands = [dataclasses.replace(c, intervention=r) for c, r in zip(commands, rescued, strict=True)]
        if driven:
            moves = self.novice.step([episodes[i].novice for i in driven], [observations[i] for i in driven])
            for i, move in zip(driven, moves, strict=True):
                commands[i] = dataclasses.replace(commands[i], executed=move.executed)
        return commands

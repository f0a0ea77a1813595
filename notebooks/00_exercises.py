"""Checks and solutions of the exercises of notebook 00. Each check says what is right, or gives a hint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pilab.contracts import TASK, Observation, Row, Thought
from pilab.evaluation.statistics import wilson
from pilab.robots.executor import batch
from pilab.vla.grounding import ROLES
from pilab.vla.policy import VLAPolicy

FAR = 0.08  # of the picture: things stand twice as far from one another


def check_1(n: int) -> None:
    """Exercise 1: the fewest trials, all successful, whose interval lies above 95 %."""
    enough, one_less = wilson(n, n).low > 0.95, n > 1 and wilson(n - 1, n - 1).low > 0.95
    if enough and not one_less:
        print(f"right: {n} of {n} gives {wilson(n, n).text()}; one trial less would not do")
    elif enough:
        print(f"{n} is enough, but fewer would do too")
    else:
        print(f"too few: {n} of {n} only gives {wilson(n, n).text()}")


def check_2(policy: VLAPolicy, observation: Observation, thought: Thought) -> None:
    """Exercise 2: a thought that moves the heat map to another thing, while the instruction stays as it is."""
    if thought.points:
        print("points move the hand, not the gaze: leave them out, and use words")
        return
    if not thought.subtask:
        print("a thought without a subtask leaves the instruction in charge: give it one, Thought(subtask=…)")
        return
    before, after = (_peak(policy, observation, t) for t in (Thought.nothing(), thought))
    moved = float(np.hypot(*(after - before)))
    spots = f"from ({before[0]:.2f}, {before[1]:.2f}) to ({after[0]:.2f}, {after[1]:.2f})"
    if moved > FAR:
        print(f"right: under “{observation[TASK]}” the peak in the base picture went {spots}")
    else:
        print(f"the peak stayed where it was ({spots}): name something else that is on the table")


def check_3(rows: Sequence[Row], share: float) -> None:
    """Exercise 3: of the episodes under swap that did not follow the words, the share that did the original task."""
    missed = [row for row in rows if row.metrics["followed"] is False]
    if not missed:
        print("there is nothing to divide: every one of these episodes followed the words")
        return
    found = wilson(sum(row.success for row in missed), len(missed))
    if abs(share - found.rate) < 0.005:
        print(f"right: {found.text()} of the episodes that did not follow did not listen; the others could not do it")
    elif abs(share - sum(row.success for row in rows) / len(rows)) < 0.005:
        print("that is the share of all episodes; look only at those that did not follow")
    else:
        print(f"not yet: {len(missed)} of {len(rows)} episodes did not follow; in how many of these is `success` true?")


def check_4(rows: Sequence[Row]) -> None:
    """Exercise 4: rows of a policy of your own that reaches more often than `hold`."""
    reached = [row.metrics["reached"] for row in rows]
    if not rows or rows[0].privileged:
        print("use a policy that is not privileged")
    elif any(reached):
        print(f"right: it reached in {sum(reached)} of {len(reached)} episodes")
    else:
        print("it never reached anything yet; look at what the base camera shows, or simply move towards the middle")


def _peak(policy: VLAPolicy, observation: Observation, thought: Thought) -> np.ndarray:
    """(2,) u, v: where the heat map of the object is highest in the base picture."""
    (look,) = policy.look(batch([observation]), [thought])
    heat = look.heat["base"][ROLES.index("object")]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    return np.array([(column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]])


def solution_1() -> int:
    return next(n for n in range(1, 1000) if wilson(n, n).low > 0.95)


def solution_2() -> Callable[[str], Thought]:
    """The thing is named as a person would: “the mug”."""
    return lambda thing: Thought(subtask=f"pick up {thing}", author="person")


def solution_3() -> Callable[[Sequence[Row]], float]:
    def share(rows: Sequence[Row]) -> float:
        missed = [row for row in rows if not row.metrics["followed"]]
        return sum(row.success for row in missed) / len(missed)

    return share


def solution_4() -> Callable[[], object]:
    """A policy that sweeps both hands over the middle of the table, without looking."""
    from pilab.contracts import STATE, Policy
    from pilab.world.bodies.duo import BODY
    from pilab.world.kinematics import chain, top_down

    class Sweep(Policy):
        cameras = ()

        def act(self, observation, thought):
            chunks = []
            for state in observation[STATE]:
                rows = []
                for step in range(16):
                    target = state.astype(float)
                    for arm, side in zip(BODY.arms, (-1, 1), strict=True):
                        part = BODY.slice(arm.name)
                        at = np.array([side * (0.25 - 0.015 * step), -0.05, 0.03])
                        joints, _ = chain(arm).inverse(at, top_down(np.pi), np.array(arm.home), 40)
                        target[part] = [*joints, 1.0]
                    rows.append(state + (target - state) * min(1.0, (step + 1) / 6))
                chunks.append(rows)
            return np.array(chunks, np.float32)

    return Sweep

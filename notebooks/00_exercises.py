"""Checks and solutions of the exercises of notebook 00. Each check says what is right, or gives a hint."""

from __future__ import annotations

from collections.abc import Callable

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import wilson
from pilab.world.language import understand


def check_1(instruction: str) -> None:
    """Exercise 1: an instruction that stacks one thing on another."""
    try:
        task, goal = understand(instruction)
    except PilabError as error:
        print(f"not yet: {error}")
        return
    if task == "stack":
        print(f"right: {goal.object} shall stand on {goal.place}")
    else:
        print(f"that is {task!r}; use a phrase such as “on top of”")


def check_2(n: int) -> None:
    """Exercise 2: the fewest trials, all successful, whose interval lies above 95 %."""
    enough, one_less = wilson(n, n).low > 0.95, n > 1 and wilson(n - 1, n - 1).low > 0.95
    if enough and not one_less:
        print(f"right: {n} of {n} gives {wilson(n, n).text()}; one trial less would not do")
    elif enough:
        print(f"{n} is enough, but fewer would do too")
    else:
        print(f"too few: {n} of {n} only gives {wilson(n, n).text()}")


def check_3(rows: list[Row]) -> None:
    """Exercise 3: rows of a policy of your own that reaches more often than `hold`."""
    reached = [row.metrics["reached"] for row in rows]
    if not rows or rows[0].privileged:
        print("use a policy that is not privileged")
    elif any(reached):
        print(f"right: it reached in {sum(reached)} of {len(reached)} episodes")
    else:
        print("it never reached anything yet; look at what the base camera shows, or simply move towards the middle")


def solution_1() -> str:
    return "put the sponge on top of the car"


def solution_2() -> int:
    return next(n for n in range(1, 1000) if wilson(n, n).low > 0.95)


def solution_3() -> Callable[[], object]:
    """A policy that sweeps both hands over the middle of the table, without looking."""
    import numpy as np

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

"""Every solution passes its check, and wrong answers do not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pilab import notebook
from pilab.evaluation.rollout import evaluate


def rows(policy: Any) -> list[Any]:
    return evaluate(policy, "put", 8, progress=False)


# notebook → exercise → (what to do with the solution before it is checked, wrong answers as functions of the solution)
ANSWERS: dict[str, dict[str, tuple[Callable[[Any], Any], list[Callable[[Any], Any]]]]] = {
    "00": {
        "1": (str, [lambda s: "put the apple in the bowl", lambda s: "build a tower", lambda s: ""]),
        "2": (int, [lambda n: n - 1, lambda n: n + 1, lambda n: 1]),
        "3": (
            lambda policy: rows(policy()),
            [lambda p: rows("hold"), lambda p: rows("demonstrator"), lambda p: []],
        ),
    }
}


def passes(check: Callable[[Any], None], answer: Any, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether a check says "right"; whatever it says, it says something."""
    capsys.readouterr()
    check(answer)
    said = capsys.readouterr().out
    assert said.strip()
    return said.startswith("right")


def test_every_exercise_has_a_check_a_solution_and_answers_here(book):
    module = notebook.exercises(book.stem[:2])
    names = {name for name, _ in inspect.getmembers(module, inspect.isfunction)}
    numbers = {name.removeprefix("check_") for name in names if name.startswith("check_")}
    assert numbers == {name.removeprefix("solution_") for name in names if name.startswith("solution_")}
    assert numbers == set(ANSWERS[book.stem[:2]])
    text = book.read_text(encoding="utf-8")
    assert all(f"check.check_{number}(" in text for number in numbers)


@pytest.mark.parametrize(("number", "exercise"), [(n, e) for n, answers in ANSWERS.items() for e in answers])
def test_solution_passes_and_wrong_answers_do_not(number, exercise, capsys):
    module = notebook.exercises(number)
    check, solution = getattr(module, f"check_{exercise}"), getattr(module, f"solution_{exercise}")()
    use, wrong = ANSWERS[number][exercise]
    assert passes(check, use(solution), capsys)
    for answer in wrong:
        assert not passes(check, answer(solution), capsys)

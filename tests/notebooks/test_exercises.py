"""Every solution passes its check, and wrong answers do not."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from pilab import notebook
from pilab.contracts import TASK, Policy, Row, Thought, image_key, points_key
from pilab.data.lerobot import LeRobotDataset
from pilab.data.web.questions import ASKERS, Picture, Question
from pilab.evaluation.card import lines
from pilab.evaluation.rollout import evaluate
from pilab.vla.policy import Look
from pilab.world import objects
from pilab.world.combinations import Combination
from pilab.world.environment import World
from pilab.world.scenes import sample_scene
from pilab.world.task import facts_of, name_of


def rows(policy: Any) -> list[Any]:
    return evaluate(policy, "put", 8, progress=False)


class Listener:
    """Sees what the words name and nothing else: heat on the thing, from the simulator's truth."""

    def look(self, observation: dict[str, Any], thought: list[Thought]) -> list[Look]:
        text = thought[0].subtask or observation[TASK][0]
        named = [i for i, noun in enumerate(NOUNS) if noun in text]
        u, v, _ = observation[points_key("base")][0][named[0] if named else 0]
        heat = np.zeros((2, 24, 32))
        heat[0, int(v * 24), int(u * 32)] = 1
        return [Look({}, {"base": heat})]


SCENE = sample_scene(500_000, "put")
NOUNS = [name_of(part.name, facts_of(SCENE)) for part in SCENE.parts]
ASKED, OTHER = (NOUNS.index(name_of(part, facts_of(SCENE))) for part in (SCENE.goal.object, SCENE.goal.place))


def gaze(thought: Thought) -> tuple[Any, ...]:
    """What exercise 2 is checked with."""
    seen = World(SCENE).observe(points=True)
    return Listener(), {**seen, TASK: f"put {NOUNS[ASKED]} somewhere"}, thought


def swapped(*outcomes: tuple[bool, bool]) -> list[Row]:
    """Rows of which each did (the original task, the spoken one)."""
    return [Row("episode", "vla", "put", "swap", 0, "", o, {"followed": f}, {}) for o, f in outcomes]


SWAPPED = swapped(
    *[(False, True)] * 6, (True, False), *[(False, False)] * 3
)  # 4 did not follow, 1 of these did not listen

SAMPLES = LeRobotDataset(notebook.SAMPLES)
BEFORE, AFTER = (
    [Row("episode", arm, "put", "none", i, str(i), bool(done), {}, {}) for i, done in enumerate(outcomes)]
    for arm, outcomes in (("before", (1, 1, 1, 0, 0)), ("after", (1, 1, 0, 1, 0)))
)


class Shown:
    """What the exercises of notebook 02 read of pictures of the web: two things, clearly one behind the other."""

    notes: ClassVar = [
        {"parts": ["ball-red-green", "disc-green-white"], "open": (), "sign": ""},
        {"parts": [objects.RESERVED[0]], "open": (), "sign": ""},
    ]

    def __getitem__(self, key: str) -> np.ndarray:
        return np.array([[0.2, 0.2, 1, 0.7, 0.8, 1], [0.5, 0.5, 1, 0, 0, 0]], np.float32)


PICTURES = Shown()


def _swapped(question: Question | None, picture: Picture) -> Question | None:
    """The same question with the other thing as its answer."""
    if question is None:
        return None
    other = next(look for look in picture.things if look != question.object)
    return dataclasses.replace(question, answer=f"the {picture.noun(other)}")


def _spoiling(seen: dict[str, Any]) -> dict[str, Any]:
    """Black glasses that blacken what they are shown, not only what they show."""
    seen[image_key("base")][:] = 0
    return seen


class Still(Policy):
    """Stays in a corner."""

    def act(self, observation: dict[str, Any], thought: list[Any]) -> np.ndarray:
        return np.zeros((1, 4, 2))


def _exam(exam: str, severity: float, won: int) -> list[Row]:
    about = {"exam": exam, "severity": severity}
    return [Row("episode", "shipped", "put", "none", k, str(k), k < won, {}, about) for k in range(10)]


CARD = lines(
    [*_exam("reel", 0, 9), *_exam("light", 1, 6), *_exam("blur", 0.5, 0), *_exam("blur", 1, 2), *_exam("swap", 0, 0)],
    "reel",
)


# notebook → exercise → (what to do with the solution before it is checked, wrong answers as functions of the solution)
ANSWERS: dict[str, dict[str, tuple[Callable[[Any], Any], list[Callable[[Any], Any]]]]] = {
    "00": {
        "1": (int, [lambda n: n - 1, lambda n: n + 1, lambda n: 1]),
        "2": (
            lambda think: gaze(think(NOUNS[OTHER])),
            [
                lambda think: gaze(think(NOUNS[ASKED])),
                lambda think: gaze(Thought.nothing()),
                lambda think: gaze(Thought(points={"base": {"object": (0.1, 0.1)}})),
            ],
        ),
        "3": (
            lambda share: (SWAPPED, share(SWAPPED)),
            [
                lambda share: (SWAPPED, 0.1),  # of all episodes
                lambda share: (SWAPPED, 0.75),
                lambda share: (swapped((False, True)), 0.0),
            ],
        ),
        "4": (
            lambda policy: rows(policy()),
            [lambda p: rows("hold"), lambda p: rows("demonstrator"), lambda p: []],
        ),
    },
    "01": {
        "1": (lambda both: both, [lambda both: (0.3, 14), lambda both: (1 / 30, 126), lambda both: (0.1, 43)]),
        "2": (
            lambda share: (SAMPLES, share(SAMPLES)),
            [lambda share: (SAMPLES, 0.0), lambda share: (SAMPLES, 1 - share(SAMPLES))],
        ),
        "3": (
            lambda share: (BEFORE, AFTER, share(BEFORE, AFTER)),
            [
                lambda share: (BEFORE, AFTER, 0.2),  # of all scenes, not of those done before
                lambda share: (BEFORE, AFTER, 0.5),  # what is kept, where a quarter is new
                lambda share: ([], AFTER, 0.0),
            ],
        ),
    },
    "02": {
        "1": (float, [lambda points: 9.8, lambda points: 5.0, lambda points: 20.0]),
        "2": (
            lambda nearer: (nearer, PICTURES),
            [
                lambda nearer: (lambda picture, rng: None, PICTURES),
                lambda nearer: (lambda picture, rng: _swapped(nearer(picture, rng), picture), PICTURES),
                lambda nearer: (ASKERS["count"], PICTURES),
            ],
        ),
        "3": (
            lambda share: (PICTURES, share(PICTURES)),
            [lambda share: (PICTURES, 0.0), lambda share: (PICTURES, 1 - share(PICTURES))],
        ),
    },
    "06": {
        "1": (int, [lambda n: 4, lambda n: 72, lambda n: n - 1]),
        "2": (
            lambda patterns: patterns,
            [
                lambda patterns: patterns[:1],
                lambda patterns: [Combination("push"), patterns[1]],
                lambda patterns: [patterns[0], Combination("put", objects.HANDLED[0], "bowl")],
            ],
        ),
        "3": (
            lambda rows: rows,
            [
                lambda rows: rows[:1],
                lambda rows: [dataclasses.replace(row, success=True) for row in rows],
                lambda rows: [dataclasses.replace(row, metrics={}) for row in rows],
            ],
        ),
    },
    "07": {
        "1": (int, [lambda n: 25, lambda n: 10, lambda n: 5]),
        "2": (lambda policy: policy, [lambda policy: Still()]),
        "3": (
            lambda pair: pair,
            [
                lambda pair: lambda seed: dict,
                lambda pair: lambda seed: lambda seen: {key: 0 * value for key, value in seen.items()},
                lambda pair: lambda seed: pair(np.random.default_rng().integers(10**9)),
            ],
        ),
    },
    "13": {
        "1": (float, [lambda low: 100.0, lambda low: 95.0, lambda low: 8.0]),
        "2": (
            lambda worst: (CARD, worst(CARD)),
            [lambda worst: (CARD, "light"), lambda worst: (CARD, "swap"), lambda worst: (CARD, "reel")],
        ),
        "3": (
            lambda both: both,
            [
                lambda both: (both[1], both[1]),
                lambda both: (both[0], both[0]),
                lambda both: (_spoiling, both[1]),
                lambda both: (lambda seen: {key: value // 2 for key, value in seen.items()}, both[1]),
            ],
        ),
    },
}


def passes(check: Callable[[Any], None], answer: Any, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether a check says "right"; whatever it says, it says something. A tuple holds several arguments."""
    capsys.readouterr()
    check(*answer) if isinstance(answer, tuple) else check(answer)
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

"""Checks and solutions of the exercises of notebook 02. Each check says what is right, or gives a hint."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from pilab.contracts import points_key
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import CAMERA, WebPictures
from pilab.data.web.questions import Asker, Picture, Question
from pilab.world import objects

TRIALS, RATE, Z = 100, 0.5, 1.96
CLEAR = 0.06  # of the picture's height: what is nearer than that is not told apart


def check_1(points: float) -> None:
    """Exercise 1: how far apart two rates of one policy are by chance."""
    right = 100 * Z * np.sqrt(2 * RATE * (1 - RATE) / TRIALS)
    if abs(points - right) < 0.6:
        print(f"right: about {right:.0f} points, so that two hundred episodes do not show an effect of ten")
    elif abs(points - right / np.sqrt(2)) < 0.6:
        print("that is how far one rate is from the truth; of two rates, both are off")
    else:
        print("not yet: a rate p over n trials has variance p (1 − p) / n, and variances of a difference add up")


def check_2(nearer: Asker, web: WebPictures) -> None:
    """Exercise 2: a question of your own, asked about every picture."""
    lore, rng, asked = find_lore("household"), np.random.default_rng(0), 0
    for k, note in enumerate(web.notes):
        picture = Picture.of(note, web[points_key(CAMERA)][k], lore)
        question = nearer(picture, rng)
        apart = [picture.points[look][1] for look in picture.things]
        if question is None:
            if len(apart) == 2 and max(apart) - min(apart) > 2 * CLEAR:
                print(f"picture {k} has two things, clearly one behind the other: there is something to ask")
                return
            continue
        named = [look for look in picture.things if _names(question.text, picture.noun(look))]
        if len(named) != 2:
            print(f"picture {k}: {question.text!r} does not name two things that are there, as “the apple or the cup”")
            return
        lowest = max(named, key=lambda look: picture.points[look][1])
        if not _names(question.answer or "", picture.noun(lowest)):
            print(f"picture {k}: {question.text!r} is not answered by {question.answer!r}; v grows downwards")
            return
        asked += 1
    print(f"right: {asked} questions, all with true answers" if asked else "it never asks anything")


def check_3(web: WebPictures, share: float) -> None:
    """Exercise 3: how much of what the web shows is reserved."""
    right = _reserved(web)
    if abs(share - right) < 0.005:
        print(f"right: {100 * right:.0f} % of the things shown, and none of those in any demonstration")
    else:
        print("not yet: count the parts of `web.notes` that are looks, and those of them in `objects.RESERVED`")


def _names(text: str, noun: str) -> bool:
    """The whole word: the car is in the carrot."""
    return bool(re.search(rf"\b{noun}\b", text))


def _reserved(web: WebPictures) -> float:
    looks = [part for note in web.notes for part in note["parts"] if part in objects.LOOKS]
    return sum(look in objects.RESERVED for look in looks) / len(looks)


def solution_1() -> float:
    return 100 * 1.96 * (2 * 0.5 * 0.5 / 100) ** 0.5


def solution_2() -> Asker:
    def nearer(picture: Picture, rng: np.random.Generator) -> Question | None:
        if len(picture.things) < 2:
            return None
        one, other = rng.choice(picture.things, 2, replace=False)
        if abs(picture.points[one][1] - picture.points[other][1]) < CLEAR:
            return None
        lowest = max(one, other, key=lambda look: picture.points[look][1])
        text = f"which is nearer, the {picture.noun(one)} or the {picture.noun(other)}?"
        return Question(text, f"the {picture.noun(lowest)}", lowest)

    return nearer


def solution_3() -> Callable[[WebPictures], float]:
    return _reserved

"""What a robot may be told to do in a picture of the web, in words that leave something open.

Design choices
--------------
* What is meant is said by where it is, by what it looks like, or by its name; where it goes is **a matter of facts** ("put the
  thing on the left where it belongs") or **of space** ("bring it to the place on the right").
* **A sign may forbid it**: then the answer is to leave the thing alone. What a sign means is said on the web, in words; frames
  of the robot show what follows from some meanings.
* An instruction is a question whose answer is what to do, so that pictures, labels and losses are those of questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pilab.contracts import UnknownNameError
from pilab.data.web.chains import concluded, conclusion
from pilab.data.web.questions import APART, Picture, Question, pick, referred
from pilab.world import objects
from pilab.world.tasks.away import TASK as AWAY
from pilab.world.tasks.heed import ALLOWS as HEED

CALLED = ("where", "look", "noun", "there")  # how the words may say what is meant; "there": and where it goes
THERE = ("put {object} {place}", "{object} goes {place}", "bring {object} {place}")
MINDING = ("{} and mind the sign", "{} if the sign allows it", "{} but do what the sign says")
# What a sign lets a robot touch, of kinds of things; what is not listed forbids nothing. See `lore.SIGNS` for what they mean.
ALLOWS: Mapping[str, tuple[str, ...]] = {**HEED, "hot": (), "wet paint": ()}


@dataclass(frozen=True)
class Instruction:
    """A question whose answer is what to do; the place where what is meant goes, "" where it is left alone; whether that is a
    matter of facts, and of which sign.
    """

    question: Question
    home: str
    open: bool = True
    sign: str = ""

    def points(self, picture: Picture) -> dict[str, tuple[float, float]]:
        """Role → where it is to be seen, of the object and the place, as far as they are."""
        parts = (("object", self.question.object), ("place", self.home))
        return {role: picture.points[part] for role, part in parts if part in picture.points}


def instruct(picture: Picture, rng: np.random.Generator, called: str = "where") -> Instruction | None:
    """Something to do with a thing in view; None where the draw says nothing that can be meant so.

    called: how the words say what is meant, one of CALLED. What they call by its look, the answer does too.
    """
    found = referred(picture, rng, by_look=False)
    if found is None:
        return None
    words, look, place = found
    if called == "there":
        return _there(picture, rng, words, look)
    entity, seen = picture.entity(look), objects.describe(look)
    words = {"where": words, "look": f"the {seen}", "noun": f"the {entity.noun}"}[called]
    text = pick(AWAY.templates, rng).format(object=words)
    answer = conclusion(seen if called == "look" else entity.noun, entity.home)
    return Instruction(Question(text, answer, look, place if called == "where" else None), entity.home)


def _there(picture: Picture, rng: np.random.Generator, words: str, look: str) -> Instruction | None:
    """To one of several places, by the side on which it stands."""
    spots = sorted(picture.spots, key=lambda spot: picture.points[spot][0])
    if len(spots) < 2 or any(f"the {spot}" in words for spot in spots):  # named already
        return None
    side = pick(("left", "right"), rng)
    goes, beside = spots[:2] if side == "left" else spots[:-3:-1]
    if abs(picture.points[goes][0] - picture.points[beside][0]) < APART:
        return None
    text = pick(THERE, rng).format(object=words, place=f"to the place on the {side}")
    return Instruction(Question(text, conclusion(picture.noun(look), goes), look, goes), goes, open=False)


def mind(given: Instruction, picture: Picture, rng: np.random.Generator) -> Instruction:
    """The same, as far as the sign in view allows it."""
    entity, question = picture.entity(given.question.object), given.question
    allowed = entity.kind in ALLOWS.get(picture.sign, (entity.kind,))
    text = pick(MINDING, rng).format(question.text)
    name, _ = concluded(question.answer)
    answer = question.answer if allowed else f"leave the {name}"
    question = replace(question, text=text, answer=answer)
    return replace(given, question=question, home=given.home if allowed else "", sign=picture.sign)


@dataclass(frozen=True)
class Framing:
    """Which pictures, and which instructions about them."""

    # Looks that are practised on; without a choice nothing else is in view.
    handled: tuple[str, ...] = objects.HANDLED
    called: tuple[str, ...] = ("where",)  # of CALLED; one is drawn for each instruction
    choice: bool = False  # only where the place can be seen, and two things and two places at least are to choose from
    signs: tuple[str, ...] = ()  # only with one of these in view, "" for none, and it is to be minded

    def __post_init__(self) -> None:
        for way in self.called:
            if way not in CALLED:
                raise UnknownNameError("way to say what is meant", way, CALLED)

    def instruct(self, picture: Picture, rng: np.random.Generator, called: str | None = None) -> Instruction | None:
        """Something to do in a picture, said in one of the ways; None where the draw says nothing that can be meant so."""
        given = instruct(picture, rng, called or pick(self.called, rng))
        if given is None or (self.choice and not _is_choice(picture, given.home)):
            return None
        if self.signs and picture.sign and "sign" not in picture.points:  # a hand is in the way
            return None
        return mind(given, picture, rng) if self.signs else given

    def practise(self, picture: Picture, rng: np.random.Generator, called: str | None = None) -> Instruction | None:
        """The same about what is handled."""
        given = self.instruct(picture, rng, called)
        return given if given and given.question.object in self.handled else None

    def fits(self, picture: Picture, rng: np.random.Generator) -> bool:
        """Whether it is one to practise on: in some way something can be said that is about what is handled."""
        if self.signs and picture.sign not in self.signs:
            return False
        if not self.choice and not set(picture.things) <= set(self.handled):
            return False
        return any(self.practise(picture, rng, way) for way in self.called for _ in range(4))


def _is_choice(picture: Picture, home: str) -> bool:
    return home in picture.points and min(len(picture.things), len(picture.spots)) > 1

"""What can be asked about a picture of the web, with the answer and with where to look for it.

Design choices
--------------
* **A question is a function of what is known of the picture** (parts, points, joints), of a table of facts, and of a draw:
  the same picture is asked about in a hundred ways, in the nouns of any world.
* Answers are checked against the picture, not against the plan of the scene: left is left *in the picture*, and what
  cannot be seen is not asked about.
* Where to look is labelled: the object that the question is about, or that the answer names, and the place. Naming is then
  learnt as it is used at work: find the thing, then say what is there.
* Things are named by noun, or by look where the noun is the answer. **Captions repeat the noun** ("i see a lime. the lime is
  on the plate"): what copies a name is learnt from names that occur twice.
* Kinds of questions are a dictionary of functions; one of your own is a function more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pilab.data.web.lore import KINDS, SIGNS, Entity, Lore, article, preposition
from pilab.world import objects, places

NUMBERS = ("none", "one", "two", "three", "four", "five")
APART = 0.06  # of the picture's width or height: nearer than that, nothing is left of, or nearer than, another thing


@dataclass(frozen=True)
class Question:
    """What is asked, what is answered (None: the answer is where to look), and which parts both are about."""

    text: str
    answer: str | None
    object: str | None = None  # name of a part
    place: str | None = None


@dataclass(frozen=True)
class Picture:
    """What is known of a picture: where its parts are to be seen, what they are called, what stands open, what is written."""

    points: Mapping[str, tuple[float, float]]  # visible part → u, v in 0 … 1
    lore: Lore
    open: tuple[str, ...] = ()
    sign: str = ""

    @classmethod
    def of(cls, note: Mapping[str, object], points: np.ndarray, lore: Lore) -> Picture:
        """note of `WebPictures`, points (3·SLOTS,)."""
        seen = {
            name: (float(u), float(v)) for name, (u, v, visible) in zip(note["parts"], points.reshape(-1, 3), strict=False)
            if visible
        }  # fmt: skip
        return cls(seen, lore, tuple(note["open"]), str(note["sign"]))

    @property
    def things(self) -> list[str]:
        """The looks to be seen, from left to right."""
        return sorted((name for name in self.points if name in objects.LOOKS), key=lambda name: self.points[name][0])

    @property
    def spots(self) -> list[str]:
        """The places to be seen."""
        return [name for name in self.points if name in places.PLACES]

    def entity(self, look: str) -> Entity:
        return self.lore.shown[look]

    def noun(self, look: str) -> str:
        return self.entity(look).noun

    def away(self, one: str, other: str) -> float:
        """The distance of two parts in the picture."""
        return float(np.hypot(*np.subtract(self.points[one], self.points[other])))


# Each asks one question about a picture, or says None where there is nothing to ask.
Asker = Callable[[Picture, np.random.Generator], Question | None]


def name(picture: Picture, rng: np.random.Generator) -> Question | None:
    """What is the thing at the side, or nearest to a place, or that looks so?"""
    found = referred(picture, rng)
    if found is None:
        return None
    text, look, place = found
    form = ("what is {}?", "what do you call {}?", "name {}.", "{}: what is it?")[rng.integers(4)]
    return Question(form.format(text), article(picture.noun(look)), look, place)


def caption(picture: Picture, rng: np.random.Generator) -> Question | None:
    """One thing, said twice."""
    found = referred(picture, rng)
    if found is None:
        return None
    text, look, place = found
    noun, others = picture.noun(look), [other for other in picture.things if other != look]
    told = [f"the {noun} is {_colours(look)}"]
    if others:
        other = others[rng.integers(len(others))]
        if side := _side(picture, look, other):
            told.append(f"the {noun} is {side} of the {picture.noun(other)}")
    return Question(f"describe {text}.", f"i see {article(noun)}. {told[rng.integers(len(told))]}.", look, place)


def colour(picture: Picture, rng: np.random.Generator) -> Question | None:
    """Which colours a named thing has, or which shape."""
    if not picture.things:
        return None
    look = pick(picture.things, rng)
    if rng.random() < 0.5:
        return Question(f"what colour is the {picture.noun(look)}?", _colours(look), look)
    return Question(f"what shape is the {picture.noun(look)}?", look.split("-")[0], look)


def count(picture: Picture, rng: np.random.Generator) -> Question | None:
    """How many things, or things of a colour, a shape or a kind."""
    things = picture.things
    kind = tuple(KINDS)[rng.integers(len(KINDS))]
    hue = tuple(objects.COLOURS)[rng.integers(len(objects.COLOURS))]
    asked = (
        ("things", len(things)),
        (f"{hue} things", sum(look.split("-")[1] == hue for look in things)),
        (KINDS[kind][1], sum(picture.entity(look).kind == kind for look in things)),
    )
    words, many = asked[rng.integers(len(asked))]
    return Question(f"how many {words} are there?", NUMBERS[many])


def relation(picture: Picture, rng: np.random.Generator) -> Question | None:
    """On which side of another thing or of a place?"""
    things = picture.things
    others = [*things, *picture.spots]
    if not things or len(others) < 2:
        return None
    look = pick(things, rng)
    other = pick([part for part in others if part != look], rng)
    side = _side(picture, look, other)
    if side is None:
        return None
    called = picture.noun(other) if other in objects.LOOKS else other
    place = other if other in places.PLACES else None
    if rng.random() < 0.5:
        return Question(f"on which side of the {called} is the {picture.noun(look)}?", side, look, place)
    asked = ("left", "right")[rng.integers(2)]
    text = f"is the {picture.noun(look)} {asked} of the {called}?"
    return Question(text, "yes" if asked == side else "no", look, place)


def belongs(picture: Picture, rng: np.random.Generator) -> Question | None:
    """Where does a thing belong? The one place that says it of a noun: leave it out where it is to be inferred."""
    if not picture.things:
        return None
    look = pick(picture.things, rng)
    home = picture.entity(look).home
    place = home if home in picture.spots else None
    return Question(f"where does the {picture.noun(look)} belong?", f"{preposition(home)} the {home}", look, place)


def is_open(picture: Picture, rng: np.random.Generator) -> Question | None:
    """Is the drawer, or the lid, open?"""
    fixtures = [part for part in picture.points if part in places.FIXTURES]
    if not fixtures:
        return None
    fixture = pick(fixtures, rng)
    return Question(f"is the {fixture} open?", "yes" if fixture in picture.open else "no", fixture)


def sign(picture: Picture, rng: np.random.Generator) -> Question | None:
    """What a card says, or what that means."""
    if not picture.sign or "sign" not in picture.points:
        return None
    if rng.random() < 0.5 or picture.sign not in SIGNS:
        return Question("what does the sign say?", picture.sign, "sign")
    return Question("what does the sign mean?", SIGNS[picture.sign], "sign")


def spell(picture: Picture, rng: np.random.Generator) -> Question | None:
    """What a card says, and nothing of what that means."""
    if not picture.sign or "sign" not in picture.points:
        return None
    return Question(("read the sign.", "what does the sign say?")[rng.integers(2)], picture.sign, "sign")


def point(picture: Picture, rng: np.random.Generator) -> Question | None:
    """Where is it? The answer is a point."""
    parts = [part for part in picture.points if part != "sign"]
    if not parts:
        return None
    part = pick(parts, rng)
    if part in objects.LOOKS:
        called = objects.describe(part) if rng.random() < 0.3 else picture.noun(part)
    else:
        called = part
    form = ("where is the {}?", "point at the {}.", "find the {}.", "show me the {}.")[rng.integers(4)]
    return Question(form.format(called), None, part)


ASKERS: Mapping[str, Asker] = {
    "name": name, "caption": caption, "colour": colour, "count": count, "relation": relation, "belongs": belongs,
    "open": is_open, "sign": sign, "point": point, "spell": spell,
}  # fmt: skip


def ask(picture: Picture, rng: np.random.Generator, kinds: Sequence[str] = tuple(ASKERS)) -> Question:
    """A question of one of the kinds, drawn in random order until one can be asked; how many things there are always can.

    A kind that is listed twice is asked twice as often.
    """
    for kind in rng.permutation(list(kinds)):
        if (found := ASKERS[str(kind)](picture, rng)) is not None:
            return found
    return Question("how many things are there?", NUMBERS[len(picture.things)])


# ---------------------------------------------------------------------------------------------------------------- parts
def referred(picture: Picture, rng: np.random.Generator, by_look: bool = True) -> tuple[str, str, str | None] | None:
    """A thing without its noun: words that mean it alone, its look, and the place that the words name.

    by_look: where nothing else tells things apart, and rarely besides, by its colours and its shape.
    """
    things = picture.things
    if len(things) == 1:
        return pick(("this", "the thing on the table", "what you see"), rng), things[0], None
    ways: list[tuple[str, str, str | None]] = []
    if things:
        ordered = [picture.points[look][0] for look in things]
        if ordered[1] - ordered[0] > APART:
            ways.append(("the thing on the left", things[0], None))
        if ordered[-1] - ordered[-2] > APART:
            ways.append(("the thing on the right", things[-1], None))
        for spot in picture.spots:
            near, far = sorted(things, key=lambda look: picture.away(look, spot))[:2]
            if picture.away(far, spot) - picture.away(near, spot) > APART:
                ways.append((f"the thing nearest the {spot}", near, spot))
    if by_look and things and (not ways or rng.random() < 0.2):  # rarely: who is told the look need not see it
        look = pick(things, rng)
        return f"the {objects.describe(look)}", look, None
    return ways[rng.integers(len(ways))] if ways else None


def _side(picture: Picture, one: str, other: str) -> str | None:
    """left or right, where it is clear."""
    off = picture.points[one][0] - picture.points[other][0]
    return None if abs(off) < APART else "left" if off < 0 else "right"


def _colours(look: str) -> str:
    return " and ".join(look.split("-")[1:])


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of them."""
    return str(options[rng.integers(len(options))])

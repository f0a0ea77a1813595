"""Instructions about pictures: what they mean is there, and what they leave open is not in their words."""

from __future__ import annotations

import numpy as np
import pytest

from pilab.contracts import UnknownNameError
from pilab.data.web.chains import concluded
from pilab.data.web.instructions import ALLOWS, CALLED, Framing, instruct
from pilab.data.web.lore import SIGNS, find_lore
from pilab.data.web.questions import Picture
from pilab.world import objects

LORE = find_lore()
LEFT, MIDDLE, RIGHT = objects.LOOKS[:3]
POINTS = {LEFT: (0.2, 0.8), MIDDLE: (0.5, 0.7), RIGHT: (0.8, 0.8), "bowl": (0.25, 0.2), "plate": (0.7, 0.2)}
PICTURE = Picture(POINTS, LORE)


def given(called, draws=60):
    found = [instruct(PICTURE, np.random.default_rng(k), called) for k in range(draws)]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("called", CALLED)
def test_what_is_meant_is_said_in_one_way_alone(called):
    found = given(called)
    assert len({one.question.object for one in found}) > 1 and len({one.question.text for one in found}) > 3
    for one in found:
        entity, words = LORE.shown[one.question.object], one.question.text.split()
        assert (entity.noun in words) == (called == "noun")
        assert (objects.describe(one.question.object) in one.question.text) == (called == "look")
        name, home = concluded(one.question.answer)
        assert home == one.home and name == (objects.describe(one.question.object) if called == "look" else entity.noun)
        assert one.open == (called != "there") and (one.home == entity.home or not one.open)


def test_where_it_goes_may_be_a_matter_of_space():
    for one in given("there"):
        assert one.home == ("bowl" if one.question.text.endswith("place on the left") else "plate")
        assert one.question.place == one.home and one.home not in one.question.text
        assert one.points(PICTURE) == {"object": POINTS[one.question.object], "place": POINTS[one.home]}
    alone = Picture({name: at for name, at in POINTS.items() if name != "plate"}, LORE)
    stacked = Picture({**POINTS, "plate": (0.27, 0.4)}, LORE)  # neither is on the left
    for picture in (alone, stacked):
        assert not any(instruct(picture, np.random.default_rng(k), "there") for k in range(30))


def test_a_framing_chooses_pictures_and_ways():
    rng = np.random.default_rng(0)
    some = Framing((LEFT, MIDDLE, RIGHT), ("where", "there"), choice=True)
    assert some.fits(PICTURE, rng) and not Framing((LEFT, MIDDLE)).fits(PICTURE, rng)
    among = Framing((LEFT,), ("noun", "there"), choice=True)  # others may be in view, and are not meant
    told = [one for one in (among.practise(PICTURE, rng) for _ in range(60)) if one]
    assert among.fits(PICTURE, rng) and {one.question.object for one in told} == {LEFT}
    found = [one for one in (some.instruct(PICTURE, rng) for _ in range(60)) if one]
    assert {one.open for one in found} == {True, False} and all(one.home in POINTS for one in found)
    bare = Picture({name: POINTS[name] for name in (LEFT, MIDDLE, RIGHT)}, LORE)
    assert Framing().instruct(bare, rng) and not some.fits(bare, rng)
    with pytest.raises(UnknownNameError, match="way to say what is meant"):
        Framing(called=("somehow",))


def test_what_a_sign_forbids_is_left_alone():
    kinds = {look: LORE.shown[look].kind for look in (LEFT, MIDDLE, RIGHT)}
    for sign, allowed in {**ALLOWS, "": None, "blue moon": None, "trash": None}.items():
        picture = Picture({**POINTS, **({"sign": (0.5, 0.5)} if sign else {})}, LORE, sign=sign)
        for k in range(20):
            given = Framing(signs=("", *SIGNS)).instruct(picture, np.random.default_rng(k))
            thing = given.question.object
            may = allowed is None or kinds[thing] in allowed
            assert given.sign == sign and given.home == (LORE.shown[thing].home if may else "")
            assert given.question.answer.startswith("put the" if may else "leave the") and "sign" in given.question.text
            assert LORE.shown[thing].noun in given.question.answer
    hidden = Picture(POINTS, LORE, sign="keep out")  # behind a hand
    assert Framing(signs=("keep out",)).instruct(hidden, np.random.default_rng(0)) is None
    open_ = Picture({**POINTS, "sign": (0.5, 0.5)}, LORE, sign="keep out")
    rng = np.random.default_rng(0)
    for signs, picture, fits in (
        (("keep out",), open_, True), (("",), open_, False), (("", "hot"), PICTURE, True), (("hot",), PICTURE, False),
    ):  # fmt: skip
        assert Framing((LEFT, MIDDLE, RIGHT), signs=signs).fits(picture, rng) == fits

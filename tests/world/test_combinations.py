"""Combinations: which make sense, which are held out, and that every part of them stays known."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.contracts import DatasetError, PilabError, UnknownNameError
from pilab.world import objects
from pilab.world.combinations import (
    ANY,
    AXES,
    USUAL,
    Combination,
    counted,
    dictionary,
    grid,
    in_manner,
    is_held_out,
    of_episode,
    of_scene,
    one_each,
    thinned,
    uncounted,
)
from pilab.world.demonstrators.script import MANNERS
from pilab.world.scenes import is_reserved_cell, sample_scene

CELLS = grid(("put", "push"))
PAIR = ("object", "place")


def left(cells, held):
    return [cell for cell in cells if not is_held_out(cell, held)]


def test_a_grid_holds_what_makes_sense_and_nothing_reserved():
    assert len(CELLS) == len(set(CELLS))
    assert not [c for c in CELLS if is_reserved_cell(c.verb, c.object, c.place)]
    every = grid(("put", "push"), reserved=True)
    assert len(every) == 2 * len(objects.HANDLED) * 4
    assert {c for c in every if not c.reserved} == set(CELLS)
    stacked = grid(("stack",), spots=objects.HANDLED)
    assert stacked and all(c.object != c.place for c in stacked)
    assert grid(("open",), ("drawer", "lid"), ("",)) == [
        Combination("open", "drawer", "", ANY, USUAL), Combination("open", "lid", "", ANY, USUAL)
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="unknown task 'juggle'"):
        grid(("juggle",))
    with pytest.raises(PilabError, match="no combination of stack"):
        grid(("stack",), things=("ball-red-green",), spots=("ball-red-green",))


def test_patterns_stand_for_many():
    apple = Combination("put", "ball-red-green", "bowl", "left", "slow")
    assert Combination().covers(apple)
    assert Combination(object="ball-red-green", place="bowl").covers(apple)
    assert not Combination(verb="push").covers(apple)
    assert not apple.covers(Combination())  # what is only known in part is not known to be held out
    assert is_held_out(apple, [Combination(verb="push"), Combination(manner="slow")])
    assert not is_held_out(apple, [])


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.integers(0, 1000), st.sampled_from([PAIR, ("verb", *PAIR)]))
def test_density_is_what_it_says_and_every_part_stays_known(density, seed, axes):
    held = thinned(CELLS, density, seed, axes)
    groups, trained = {c.part(axes) for c in CELLS}, left(CELLS, held)
    assert len(held) == len(groups) - round(density * len(groups))
    assert all(getattr(pattern, axis) == ANY for pattern in held for axis in AXES if axis not in axes)
    for axis in axes:
        assert {c.part((axis,)) for c in trained} == {c.part((axis,)) for c in CELLS}


def test_density_is_nested_and_another_seed_is_another_draw():
    by_density = [set(thinned(CELLS, density, 3)) for density in (0.3, 0.5, 0.7, 0.9)]
    assert all(more > less for more, less in itertools.pairwise(by_density))
    assert set(thinned(CELLS, 0.5, 4)) != by_density[1]
    assert thinned(CELLS, 1.0, 0) == []
    with pytest.raises(PilabError, match=r"density 0\.1: 7 of 69 .* it takes 19 to show every part"):
        thinned(CELLS, 0.1, 0)
    with pytest.raises(PilabError, match=r"density 1\.5"):
        thinned(CELLS, 1.5, 0)


def test_one_verb_for_each_pair():
    held = one_each(CELLS, 0)
    trained, by_pair = left(CELLS, held), {}
    for cell in CELLS:
        by_pair.setdefault(cell.part(PAIR), []).append(cell)
    for pair, cells in by_pair.items():
        kept = [cell for cell in cells if cell in trained]
        assert len(kept) == 1, pair
    both = [pair for pair, cells in by_pair.items() if len(cells) == 2]
    verbs = Counter(cell.verb for cell in trained if cell.part(PAIR) in both)
    assert abs(verbs["put"] - verbs["push"]) <= 1


def test_a_dictionary_of_manners():
    cells = grid(("put",), manners=(USUAL, "slow", "from above"))
    held = dictionary(cells, 4, 0)
    trained = left(cells, held)
    assert {c.manner for c in held} == {"slow", "from above"}
    usual = [c for c in cells if c.manner == USUAL]
    assert [c for c in trained if c.manner == USUAL] == usual
    known = [{c.object for c in trained if c.manner == manner} for manner in ("slow", "from above")]
    assert known[0] == known[1] and len(known[0]) == 4
    for known in (0, 18):
        with pytest.raises(PilabError, match=f"{known} of 18 known"):
            dictionary(cells, known, 0)


def test_what_an_episode_shows():
    scene = sample_scene(3, "tidy")
    shown = of_scene(scene, "left", "slow")
    assert len(shown) > 1 and {c.verb for c in shown} <= {"put"}
    assert {(c.arm, c.manner) for c in shown} == {("left", "slow")}
    plain = sample_scene(3, "open")
    goal = plain.goal
    row = {"scene": plain.to_json(), "arm": "", "manner": ""}
    assert of_episode(row) == [Combination("open", goal.object, "", ANY, USUAL)]
    with pytest.raises(DatasetError, match="mine: an episode does not say"):
        of_episode({"scene": ""}, "mine")


def test_counts_survive_json():
    found = Counter({CELLS[0]: 3, CELLS[1]: 1})
    assert uncounted(counted(found)) == found
    assert counted(None) is None
    for odd in ([["put"]], [["put", "a", "b", "c", "d", "many"]], [3], [["a"] * 7 + [1]]):
        with pytest.raises(PilabError, match="not a list of combinations"):
            uncounted(odd)


def test_manners_in_words():
    assert in_manner("put it down", USUAL) == "put it down"
    assert in_manner("put it down", "slow") == "put it down slowly"
    rng = np.random.default_rng(0)
    said = {in_manner("x", "left-handed", rng) for _ in range(50)}
    assert said == {f"x {words}" for words in MANNERS["left-handed"].words}

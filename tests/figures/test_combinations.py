"""The map of combinations: rates that a reader can recompute, and a frame around what was never shown."""

import dataclasses

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.probe import SEEN, gap
from pilab.figures.combinations import combinations, gaps, named
from pilab.world.combinations import ANY, grid

CELLS = grid(("put", "push"), ("ball-red-green", "disc-white-red"), ("bowl", "plate"), reserved=True)


def told(cell, won, n=4, seen=1, **metrics):
    about = {
        "verb": cell.verb,
        "object": cell.object,
        "place": cell.place,
        "manner": cell.manner,
        "hand": ANY,
        SEEN: seen,
    }
    return [Row("episode", "x", "probe", "none", k, f"{cell}{k}", k < won, metrics, about) for k in range(n)]


ROWS = [row for k, cell in enumerate(CELLS) for row in told(cell, k % 5, seen=int(cell.object != "disc-white-red"))]


def test_a_square_for_each_combination():
    figure = combinations(ROWS)
    put, push = figure.data
    assert (put.name, push.name) == ("put", "push")
    assert list(put.y) == ["apple", "cup"] and list(put.x) == ["bowl", "plate"]
    assert list(put.z[0]) == [0.0, 0.25] and list(put.text[1]) == ["2/4", "3/4"]
    assert len(figure.layout.shapes) == 4  # of the cup, in both panels
    assert {round(shape.y0 + 0.45) for shape in figure.layout.shapes} == {1}
    assert figure.layout.annotations[-1].text == "framed: never shown"


def test_what_was_not_tried_or_does_not_apply_is_left_open():
    some = told(CELLS[0], 1, obeyed=True) + told(CELLS[1], 1, obeyed=None)
    (only,) = combinations(some, metric="obeyed").data
    assert list(only.z[0]) == [1.0] and list(only.x) == ["bowl"]
    assert not combinations(some).layout.shapes
    with pytest.raises(PilabError, match="no row of a probe says anything of 'followed'"):
        combinations(some, metric="followed")


def test_two_trainings_are_not_drawn_as_one():
    other = [dataclasses.replace(row, clusters={**row.clusters, SEEN: 1 - row.clusters[SEEN]}) for row in ROWS]
    with pytest.raises(
        PilabError, match="8 squares hold both what was shown and what was not, such as put · apple · bowl"
    ):
        combinations(ROWS + other)


def test_gaps_of_several_arms():
    found = gap(ROWS)
    figure = gaps({"one": found, "other": found})
    shown, unseen = figure.data
    assert shown.x[0] == pytest.approx(found.seen.mean)
    assert unseen.x[0] - unseen.error_x.arrayminus[0] == pytest.approx(found.unseen.interval()[0])
    assert figure.layout.yaxis.ticktext == ("one", "other")
    with pytest.raises(PilabError, match="no gap"):
        gaps({})


def test_names_that_people_use():
    assert [named(value) for value in ("ball-red-green", "drawer", "")] == ["apple", "drawer", "–"]

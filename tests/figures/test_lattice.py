"""The matrix of sets: what is there and what is taken, and rates that a reader can recompute."""

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.ablation import WHOLE, losses
from pilab.figures.lattice import lattice

SENSORS = ["base", "left_wrist", "joints"]


def told(arm, won, taken, way="black", suite="put", n=10):
    return [Row("episode", arm, suite, "none", k, f"{k}", k < won, {}, {"taken": taken, "way": way}) for k in range(n)]


ROWS = [
    *told(WHOLE, 9, "nothing"),
    *told("black base", 1, "base"),
    *told("black base + joints", 0, "base + joints"),
    *told("black everything", 0, "everything"),
]


def test_the_matrix_says_what_is_there():
    figure = lattice(losses(ROWS), SENSORS)
    dots, gone, there = figure.data
    assert list(dots.y) == [0.9, 0.1, 0.0, 0.0] and list(dots.x) == [0, 1, 2, 3]
    assert dots.error_y.array[0] == pytest.approx(losses(ROWS)[0].rate.high - 0.9)
    assert set(zip(there.x, there.y, strict=True)) == {
        (0, "base"), (0, "left_wrist"), (0, "joints"), (1, "left_wrist"), (1, "joints"), (2, "left_wrist"),
    }  # fmt: skip
    assert len(gone.x) == 4 * 3 - 6
    assert figure.layout.shapes[0].y0 == 0.9  # what all of them bring


def test_suites_stand_beside_one_another():
    other = [Row(**{**vars(row), "suite": "wipe"}) for row in ROWS]
    figure = lattice(losses([*ROWS, *other]), SENSORS)
    assert [trace.name for trace in figure.data[:2]] == ["put", "wipe"]
    assert figure.data[0].x[0] < 0 < figure.data[1].x[0]
    assert figure.layout.showlegend


def test_ways_are_not_mixed():
    with pytest.raises(PilabError, match=r"in the ways \['black', 'blur'\]"):
        lattice(losses([*ROWS, *told("blur base", 3, "base", "blur")]), SENSORS)
    with pytest.raises(PilabError, match=r"in the ways \[\]"):
        lattice(losses(ROWS[:10]), SENSORS)

"""Differences from one arm: means over seeds that a reader can recompute, and arms that cannot be compared are refused."""

import numpy as np
import pytest

from pilab.contracts import PilabError, Row
from pilab.figures.differences import changes, differences


def rows(arm: str, won: dict[int, int], n: int = 20) -> list[Row]:
    """`won[seed]` of n trials succeed."""
    return [
        Row("episode", arm, "put", "none", 500_000 + i, f"{i:012d}", i < k, {}, {"training_seed": seed})
        for seed, k in won.items()
        for i in range(n)
    ]


GIVEN = [
    *rows("recipe", {0: 10, 1: 12, 2: 11}),
    *rows("worse", {0: 2, 1: 6, 2: 4}),
    *rows("better", {0: 14, 1: 15, 2: 16}),
]


def test_means_over_seeds():
    found = changes(GIVEN, "recipe")
    assert list(found) == ["better", "worse"]  # the largest first
    assert found["worse"].by_seed == pytest.approx({"0": -0.4, "1": -0.3, "2": -0.35})
    assert found["worse"].estimate == pytest.approx(-0.35) and found["worse"].high < 0
    assert list(changes(GIVEN, "worse")) == ["better", "recipe"]


def test_seeds_that_one_side_lacks_do_not_count():
    found = changes([*GIVEN, *rows("short", {1: 20, 2: 20, 7: 0})], "recipe")
    assert found["short"].by_seed == pytest.approx({"1": 0.4, "2": 0.45})
    with pytest.raises(PilabError, match="share 1 training seeds"):
        changes([*GIVEN, *rows("once", {0: 3})], "recipe")
    with pytest.raises(PilabError, match="no rows of the arm 'nobody'"):
        changes(GIVEN, "nobody")


def test_the_figure_shows_every_seed_and_the_interval():
    figure = differences(GIVEN, "recipe")
    dots, means = figure.data
    assert sorted(zip(dots.y, np.round(dots.x), strict=True)) == sorted(
        [("better", 20), ("better", 15), ("better", 25), ("worse", -40), ("worse", -30), ("worse", -35)]
    )
    assert list(means.y) == ["better", "worse"] and means.x[1] == pytest.approx(-35)
    found = changes(GIVEN, "recipe")
    assert means.error_x.array[0] == pytest.approx(100 * (found["better"].high - found["better"].estimate))
    assert "3 training seeds" in figure.layout.title.text
    assert list(figure.layout.yaxis.categoryarray) == ["worse", "better"]  # the first is the lowest line

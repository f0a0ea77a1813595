"""Panels: every cell's rate and interval where it belongs, a circle for every training, nothing pooled in silence."""

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import wilson
from pilab.figures.panels import panels


def rows(arm, suite, won, n=20, control="none"):
    """`won[seed]` of n trials succeed."""
    return [
        Row("episode", arm, suite, control, 600_000 + i, f"{i:012d}", i < k, {}, {"training_seed": seed})
        for seed, k in won.items()
        for i in range(n)
    ]


GIVEN = [
    *rows("robot", "put", {0: 10, 1: 12}),
    *rows("robot", "reserved things", {0: 0, 1: 1}),
    *rows("images → robot", "put", {0: 14, 1: 15}),
    *rows("images → robot", "names", {0: 19}),
]


def test_every_rate_stands_in_its_panel():
    figure = panels(GIVEN)
    titles = [a.text for a in figure.layout.annotations]
    assert titles == ["put", "reserved<br>things", "names"]  # side by side, long ones would run into one another
    seeds, means = figure.data[::2], figure.data[1::2]
    assert [list(zip(t.y, t.x, strict=True)) for t in seeds] == [
        [("robot", 0.5), ("robot", 0.6), ("images → robot", 0.7), ("images → robot", 0.75)],
        [("robot", 0.0), ("robot", 0.05)],
        [],  # one training alone is no spread
    ]
    assert [list(zip(t.y, t.x, strict=True)) for t in means] == [
        [("robot", 0.55), ("images → robot", 0.725)], [("robot", 0.025)], [("images → robot", 0.95)],
    ]  # fmt: skip
    rate = wilson(22, 40)
    assert means[0].error_x.array[0] == pytest.approx(rate.high - rate.rate)
    assert means[0].error_x.arrayminus[0] == pytest.approx(rate.rate - rate.low)
    assert list(figure.layout.yaxis.categoryarray) == ["images → robot", "robot"]  # the first is the highest line
    assert "20 to 40 trials" in figure.layout.title.text


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(PilabError, match="no rows"):
        panels([])
    with pytest.raises(PilabError, match=r"'robot' in 'put' stand under the controls \['black', 'none'\]"):
        panels([*GIVEN, *rows("robot", "put", {0: 0}, control="black")])

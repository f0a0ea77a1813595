"""Curves: every mark where its number says, a ring for every training, nothing pooled in silence."""

import dataclasses

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.statistics import wilson
from pilab.figures.curves import curves


def rows(arm, demonstrations, won, n=20, suite="put"):
    """`won[seed]` of n trials succeed."""
    return [
        Row("episode", arm, suite, "none", i, f"{i:012d}", i < k, {"n": demonstrations}, {"training_seed": seed})
        for seed, k in won.items()
        for i in range(n)
    ]


GIVEN = [
    *rows("text", 120, {0: 14, 1: 16}),
    *rows("text", 30, {0: 8, 1: 10}),
    *rows("robot", 30, {0: 1}),
    *rows("robot", 120, {0: 6}),
]


def demonstrations(row):
    return row.metrics["n"]


def test_every_rate_stands_at_its_number():
    figure = curves(GIVEN, demonstrations, "demonstrations", log=True)
    rings, marks = figure.data[::2], figure.data[1::2]
    assert [trace.name for trace in marks] == ["text", "robot"]
    assert [list(zip(trace.x, trace.y, strict=True)) for trace in marks] == [
        [(30, 0.45), (120, 0.75)], [(30, 0.05), (120, 0.3)],
    ]  # fmt: skip
    assert [sorted(zip(trace.x, trace.y, strict=True)) for trace in rings] == [
        [(30, 0.4), (30, 0.5), (120, 0.7), (120, 0.8)], [],
    ]  # fmt: skip
    rate = wilson(18, 40)
    assert marks[0].error_y.array[0] == pytest.approx(rate.high - rate.rate)
    assert marks[0].error_y.arrayminus[0] == pytest.approx(rate.rate - rate.low)
    assert figure.layout.xaxis.type == "log" and figure.layout.xaxis.title.text == "demonstrations"
    tried = sorted({demonstrations(row) for row in GIVEN})
    assert list(figure.layout.xaxis.tickvals) == tried and list(figure.layout.xaxis.ticktext) == [
        f"{n:g}" for n in tried
    ]
    assert "20 to 40 trials" in figure.layout.title.text
    together = curves(GIVEN, demonstrations, "demonstrations", line=lambda row: "all")
    assert [trace.name for trace in together.data[1::2]] == ["all"] and not together.layout.showlegend


def test_shares_have_means_and_an_interval_over_scenes():
    about = {"training_seed": 0}
    given = [
        Row("episode", arm, "tidy", "none", k, f"{k}", False, {"n": n, "progress": share, "chosen": None}, about)
        for arm, n, shares in (("words", 1, (0.0, 0.5, 1.0, 0.5)), ("words", 2, (1.0, 1.0)), ("none", 1, (0.2, None)))
        for k, share in enumerate(shares)
    ]
    figure = curves(given, demonstrations, "things", metric="progress")
    rings, marks = figure.data[::2], figure.data[1::2]
    assert [list(zip(trace.x, trace.y, strict=True)) for trace in marks] == [[(1, 0.5), (2, 1.0)], [(1, 0.2)]]
    assert marks[0].error_y.array[0] > 0 and marks[0].error_y.array[1] == 0 and not rings[0].x
    assert figure.layout.title.text.startswith("Progress over things (1 to 4 trials")
    two = [*given, *(dataclasses.replace(row, clusters={"training_seed": 1}) for row in given)]
    assert list(curves(two, demonstrations, "things", metric="progress").data[0].y) == [0.5, 0.5, 1.0, 1.0]
    with pytest.raises(PilabError, match="no rows"):
        curves(given, demonstrations, "things", metric="chosen")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(PilabError, match="no rows"):
        curves([], demonstrations, "demonstrations")
    with pytest.raises(PilabError, match=r"suites \['push', 'put'\] would be pooled"):
        curves([*GIVEN, *rows("text", 30, {0: 0}, suite="push")], demonstrations, "demonstrations")
    with pytest.raises(PilabError, match="demonstrations: 0 has no place on a logarithmic axis"):
        curves([*GIVEN, *rows("text", 0, {0: 0})], demonstrations, "demonstrations", log=True)

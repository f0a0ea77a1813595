"""Cards as a picture: a mark for each exam and severity, one policy above the other."""

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.card import lines
from pilab.figures.card import cards


def rows(arm, exam, severity, won):
    about = {"exam": exam, "severity": severity}
    return [Row("episode", arm, "put", "none", k, f"{k}", k < won, {}, about) for k in range(10)]


def card(arm, *wins):
    exams = (("reel", 0.0), ("light", 0.5), ("light", 1.0), ("swap", 0.0))
    return lines([row for exam, won in zip(exams, wins, strict=True) for row in rows(arm, *exam, won)], "reel")


def test_a_mark_for_each_severity_and_a_line_for_each_exam():
    figure = cards({"vla": card("vla", 9, 8, 3, 1), "by heart": card("by heart", 10, 10, 2, 10)})
    half, full, other_half, other = figure.data
    assert (half.name, full.name, other.name) == ("vla, half as much", "vla", "by heart")
    assert list(half.x) == [0.8] and list(full.x) == [0.9, 0.3, 0.1] and list(other.x) == [1.0, 0.2, 1.0]
    assert list(figure.layout.yaxis.ticktext) == ["reel", "light", "swap"]
    assert [round(y) for y in full.y] == [0, 1, 2] and full.y[1] < other.y[1] and half.y[0] == full.y[1]
    assert full.error_x.array[1] == pytest.approx(card("vla", 9, 8, 3, 1)[2].rate.high - 0.3)
    assert other_half.error_x.array is None


def test_one_policy_stands_on_its_lines():
    assert list(cards({"vla": card("vla", 9, 8, 3, 1)}).data[1].y) == [0, 1, 2]


def test_nothing_to_draw():
    with pytest.raises(PilabError, match="no lines to draw"):
        cards({})

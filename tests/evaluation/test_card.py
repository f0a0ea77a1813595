"""The evaluation card: rates and pairs that a reader can recompute, as a table in Markdown."""

import dataclasses

import pytest

from pilab.contracts import PilabError, Row
from pilab.evaluation.card import lines, markdown, plain_exam


def rows(exam, severity, won, scenes=range(10), arm="vla"):
    about = {"exam": exam, "severity": severity}
    return [Row("episode", arm, "put", "none", k, f"scene {k}", i < won, {}, about) for i, k in enumerate(scenes)]


ROWS = [
    *rows("reel", 0.0, 9),
    *rows("new scenes", 0.0, 5, range(50, 60)),
    *rows("light", 0.5, 8),
    *rows("light", 1.0, 3),
    *rows("swap", 0.0, 1, range(4)),
]


def test_each_exam_against_the_plain_trials_of_its_scenes():
    plain, new, half, light, swap = lines(ROWS, "reel")
    assert (plain.difference, new.difference) == (None, None)  # other scenes are no pairs
    assert half.difference.estimate == pytest.approx(-0.1) and light.difference.estimate == pytest.approx(-0.6)
    assert swap.difference.n == 4 and swap.difference.estimate == pytest.approx(-0.75)
    assert (light.of, swap.of) == ("scene", "control")


def test_the_order_is_that_of_a_card_whatever_the_rows_are_sorted_by():
    more = [*rows("black", 0.0, 0), *rows("position", 1.0, 2), *rows("position", 0.5, 4)]
    found = lines(sorted([*ROWS, *more], key=lambda row: (row.clusters["exam"], -row.clusters["severity"])), "reel")
    assert [(line.exam, line.severity) for line in found] == [
        ("reel", 0), ("new scenes", 0), ("position", 0.5), ("position", 1), ("light", 0.5), ("light", 1), ("black", 0),
        ("swap", 0),
    ]  # fmt: skip


def test_the_table():
    told = markdown(lines(ROWS, "reel")).splitlines()
    assert told[0] == "| exam | of | severity 0.5 | severity 1 | points lost |"
    assert told[2].startswith("| reel |  | 90.0 %") and told[2].endswith("|  |  |")
    assert "(8/10)" in told[4] and "(3/10)" in told[4] and told[4].endswith("| 60 |")
    assert told[5].startswith("| swap | control | 25.0 %") and told[5].endswith("|  | 75 |")
    assert len({line.count("|") for line in told}) == 1


def test_what_others_are_compared_with_is_found_in_any_order():
    changed = [
        dataclasses.replace(row, control=str(row.clusters["exam"])) for row in ROWS if row.clusters["exam"] == "swap"
    ]
    plain = [row for row in ROWS if row.clusters["exam"] != "swap"]
    assert plain_exam([*changed, *plain[::-1]]) == "reel"
    with pytest.raises(PilabError, match="4 rows, and something was changed in each"):
        plain_exam(changed)


def test_what_is_no_card_is_refused():
    with pytest.raises(PilabError, match=r"arms \['other', 'vla'\]"):
        lines([*ROWS, *rows("reel", 0.0, 1, arm="other")], "reel")
    with pytest.raises(PilabError, match="no rows of 'plain'"):
        lines(ROWS, "plain")
    with pytest.raises(PilabError, match="says no 'exam'"):
        lines([dataclasses.replace(ROWS[0], clusters={})], "reel")

"""Signs: what is kept back is in no frame, what they mean is read or not, and all else is the same."""

import dataclasses

import pytest

from pilab.contracts import Scale, UnknownNameError
from pilab.data.web.instructions import ALLOWS
from pilab.data.web.lore import SIGNS
from pilab.experiments import Grid
from pilab.experiments.signs import (
    ARMS,
    EXAMS,
    EXPERIMENT,
    SEEDS,
    acting,
    examine,
    find_arm,
    framing,
    kept,
    runs,
    spelling,
)

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def changed(one, other):
    return {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)}


def test_arms_differ_as_their_names_say():
    flat = acting("flat", 1, LAPTOP)
    assert changed(flat, acting("chain", 1, LAPTOP)) == {"thinking", "driving"}
    blind = acting("flat, no web", 1, LAPTOP)
    assert changed(flat, blind) == {"stages", "questions"}  # text goes on beside it for who reads
    assert not blind.stages[0].rows.read and "sign" not in blind.questions and "spell" in blind.questions
    assert not spelling(ARMS["chain, no web"], LAPTOP).stages[0].rows.read
    with pytest.raises(UnknownNameError, match="unknown arm 'blind'"):
        find_arm("blind")
    with pytest.raises(UnknownNameError, match="unknown exam 'oral'"):
        examine(None, "flat", "oral", 0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_kept_back_has_a_likeness_in_the_frames(seed):
    """A meaning that asks for the same, or for the same of another kind, is obeyed there."""
    shown = framing(seed, LAPTOP).signs
    assert not set(kept(seed)) & set(shown) and set(shown) | set(kept(seed)) == {*SIGNS, ""}
    one, other = kept(seed)
    assert any(len(ALLOWS[sign]) == 1 and ALLOWS[sign] != ALLOWS[one] for sign in shown if sign in ALLOWS)
    assert any(SIGNS[sign] == SIGNS[other] for sign in shown if sign)


def test_from_nothing_to_rows(tmp_path):
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=1, progress=False)
    runs(grid, SMOKE, 20, ("chain, no web",), 0)
    assert {row.arm for row in grid.rows} == {"chain, no web"} and {row.suite for row in grid.rows} == set(EXAMS)
    for row in grid.rows:
        about = row.clusters
        forbidden = about["sign"] in ALLOWS and about["kind"] not in ALLOWS[about["sign"]]
        assert about["forbidden"] == forbidden == (about["right"] == "")
        assert (about["sign"] in kept(0)) == (row.suite == "never handled")
        assert (about["sign"] == "") == (row.suite == "no sign")
        assert row.metrics["decided"] == (row.metrics["left"] == forbidden) and (
            not row.success or row.metrics["decided"]
        )
        assert "sign" in row.instruction


def test_the_plan_says_what_is_done():
    told = EXPERIMENT.plan(LAPTOP)
    assert all(name in told for name in (*ARMS, *EXAMS)) and "3 seeds" in told

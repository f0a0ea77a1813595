"""Signs: what is kept back is in no frame, what they mean is read or not, and all else is the same."""

import dataclasses

import numpy as np
import pytest

from pilab.contracts import Scale, UnknownNameError
from pilab.data.web import text
from pilab.data.web.instructions import ALLOWS
from pilab.data.web.lore import SIGNS, find_lore
from pilab.experiments import Grid, thinking
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
    reading,
    runs,
)

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def changed(one, other):
    return {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)}


def test_arms_differ_as_their_names_say():
    flat, unread = acting("flat", 1, LAPTOP), acting("flat, meanings not read", 1, LAPTOP)
    assert changed(flat, acting("chain", 1, LAPTOP)) == {"thinking", "driving"}
    assert changed(flat, unread) == {"questions", "signs"} and len(flat.questions) == len(unread.questions)
    assert changed(reading(ARMS["flat"], LAPTOP), reading(ARMS["chain, meanings not read"], LAPTOP)) == {
        "questions",
        "signs",
    }
    assert "sign" in flat.questions and "sign" not in unread.questions and "sign" not in thinking.UNNAMED
    with pytest.raises(UnknownNameError, match="unknown arm 'blind'"):
        find_arm("blind")
    with pytest.raises(UnknownNameError, match="unknown exam 'oral'"):
        examine(None, "flat", "oral", 0, 1)


def test_who_does_not_read_of_signs_reads_of_all_else():
    lore, meanings = find_lore("invented-0"), set(SIGNS.values())
    for signs in (True, False):
        said = [text.sentence(lore, np.random.default_rng(k), signs) for k in range(300)]
        said += [" ".join(text.question(lore, 0, k, signs)) for k in range(300)]
        assert any(meaning in line for line in said for meaning in meanings) == signs
    same = [text.text(lore, 0, k) == text.text(lore, 0, k, False) for k in range(200)]
    about = [any(meaning in text.text(lore, 0, k) for meaning in meanings) for k in range(200)]
    assert all(one != other for one, other in zip(same, about, strict=True)) and any(about)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_kept_back_has_a_likeness_in_the_frames(seed):
    """A meaning that asks for the same, or for the same of another kind, is obeyed there; and one that asks for nothing."""
    shown = framing(seed, LAPTOP).signs
    assert not set(kept(seed)) & set(shown) and set(shown) | set(kept(seed)) == {*SIGNS, ""}
    some, every, none = kept(seed)
    assert any(len(ALLOWS[sign]) == 1 and ALLOWS[sign] != ALLOWS[some] for sign in shown if sign in ALLOWS)
    assert any(SIGNS[sign] == SIGNS[every] for sign in shown if sign)
    assert none not in ALLOWS and any(sign not in ALLOWS for sign in shown if sign)


def test_from_nothing_to_rows(tmp_path):
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    runs(grid, SMOKE, 40, ("chain, meanings not read",), 0)
    assert {row.arm for row in grid.rows} == {"chain, meanings not read"} and {row.suite for row in grid.rows} == set(
        EXAMS
    )
    for row in grid.rows:
        about = row.clusters
        forbidden = about["sign"] in ALLOWS and about["kind"] not in ALLOWS[about["sign"]]
        assert about["forbidden"] == forbidden == (about["right"] == "")
        assert (about["sign"] in kept(0)) == (row.suite == "never handled")
        assert (about["sign"] == "") == (row.suite == "no sign")
        assert row.metrics["decided"] == bool(row.metrics["left"] if forbidden else about["said"])
        assert "sign" in row.instruction
    for exam in ("never handled", "handled"):  # half is right by chance
        found = [row.clusters["forbidden"] for row in grid.rows if row.suite == exam]
        assert 2 * sum(found) == len(found)


def test_the_plan_says_what_is_done():
    told = EXPERIMENT.plan(LAPTOP)
    assert all(name in told for name in (*ARMS, *EXAMS)) and "3 seeds" in told

"""A thought as the trunk writes it, and as it is read back: whatever comes, something is read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilab.contracts import Thought
from pilab.vla.thoughts import TRACE, read, sentences, write
from pilab.vla.tokenizer import LOCATIONS, Tokenizer

T = Tokenizer.default()
CHAIN = ("i see the apple.", "the apple is a fruit.", "fruits belong in the bowl.")


def test_what_is_written_is_read():
    at_once = write(T, "pick up the apple")
    assert (at_once[0], at_once[-1]) == (T.piece("<subtask>"), T.eos)
    assert read(T, at_once, "base") == Thought("pick up the apple")
    chained = write(T, "put the apple in the bowl", CHAIN)
    assert chained[0] == T.piece("<answer>") and len(chained) <= 40
    assert read(T, chained, "base") == Thought("put the apple in the bowl", CHAIN)


@pytest.mark.parametrize("chain", [(), CHAIN])
@pytest.mark.parametrize(
    "points", [{"object": (0.31, 0.6), "place": (0.999, 0.0)}, {"place": (0.5, 0.5)}, {"object": (1.0, 0.2)}, {}]
)
def test_points_come_back_within_half_a_step(points, chain):
    found = read(T, write(T, "let go", chain, points), "base")
    assert (found.subtask, found.chain) == ("let go", chain)
    assert set(found.points.get("base", {})) == set(points)
    for role, point in points.items():
        np.testing.assert_allclose(found.points["base"][role], point, atol=0.5 / LOCATIONS + 1e-9)


@pytest.mark.parametrize("words", ["let go", ""])
def test_a_trace_comes_back_with_its_ends(words):
    trace = tuple((0.1 + 0.2 * k, 0.9 - 0.1 * k) for k in range(TRACE))
    found = read(T, write(T, words, trace=trace), "base")
    assert found.subtask == (words or None)
    np.testing.assert_allclose(found.trace, trace, atol=0.5 / LOCATIONS + 1e-9)
    assert found.points["base"] == {"object": found.trace[0], "place": found.trace[-1]}
    cut = write(T, words, trace=trace)[:-2]  # a number is missing
    assert read(T, cut, "base").trace == () and not read(T, cut, "base").points


@given(st.lists(st.integers(0, T.size - 1), max_size=40))
def test_any_pieces_are_some_thought(pieces):
    found = read(T, pieces, "base")
    assert found.subtask is None or T.encode(found.subtask)
    assert all(0 <= x <= 1 for roles in found.points.values() for point in roles.values() for x in point)


def test_a_subtask_that_is_too_long_to_be_read_is_none():
    words = write(T, "put the apple in the bowl " * 10, CHAIN)
    assert read(T, words, "base") == Thought(None, CHAIN)
    assert read(T, words, "base", length=100).subtask
    assert read(T, write(T, "let go"), "base", length=1).subtask is None


def test_a_chain_that_comes_to_nothing_is_no_subtask():
    found = read(T, [T.piece("<answer>"), *T.encode("i see the apple. the"), T.eos, 77, 78], "base")
    assert found == Thought(None, ("i see the apple.", "the"))
    assert sentences("a b. c d.  e") == ["a b.", "c d.", "e"] and sentences(" ") == []

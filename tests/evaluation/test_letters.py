"""Letters say which arms can be told apart, no more and no less."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilab.contracts import PilabError
from pilab.evaluation.letters import letters


def test_the_one_in_the_middle():
    """The example of R's multcompView: B and C differ, A may be either."""
    assert letters("ABC", [("B", "C")]) == {"A": "ab", "B": "a", "C": "b"}


def test_none_and_all():
    assert letters(["x", "y"], []) == {"x": "a", "y": "a"} and letters([], []) == {}
    assert letters("xyz", itertools.combinations("xyz", 2)) == {"x": "a", "y": "b", "z": "c"}


@given(st.integers(1, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda p: p[0] < p[1])))
def test_a_shared_letter_is_no_difference(count, pairs):
    names = [f"arm {i}" for i in range(count)]
    different = {(names[a], names[b]) for a, b in pairs if b < count}
    found = letters(names, different)
    for a, b in itertools.combinations(names, 2):
        assert bool(set(found[a]) & set(found[b])) == ((a, b) not in different)
    every = set("".join(found.values()))
    assert found[names[0]].startswith("a") and every == set("abcdefghijklmnopqrstuvwxyz"[: len(every)])
    for letter in every:  # none that says what another says already
        mine = {name for name in names if letter in found[name]}
        assert not any(mine < {n for n in names if other in found[n]} for other in every)


def test_pairs_of_others_are_refused():
    with pytest.raises(PilabError, match="expected two of"):
        letters("AB", [("A", "C")])
    with pytest.raises(PilabError, match="each of them once"):
        letters("AA", [])

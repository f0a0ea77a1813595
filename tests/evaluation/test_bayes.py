"""Posteriors: against sums that can be done by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilab.contracts import PilabError
from pilab.evaluation.bayes import posterior


def test_after_one_success():
    """The density is 2x: the mean is 2/3, and the rate is below x with probability x²."""
    found = posterior(1, 1)
    assert found.mean == pytest.approx(2 / 3)
    assert found.interval() == (pytest.approx(0.025**0.5), pytest.approx(0.975**0.5))
    assert found.text() == "66.7 % [15.8, 98.7]"


def test_how_likely_one_is_better():
    """After one success against none: 2x against 2(1 − y), and x is the larger one with probability 5/6."""
    assert posterior(1, 1).above(posterior(0, 1)) == pytest.approx(5 / 6)
    assert posterior(3, 9).above(posterior(3, 9)) == pytest.approx(0.5)
    assert posterior(0, 0).above(posterior(0, 0), by=0.5) == pytest.approx(1 / 8)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_one_of_the_two_is_better(k, more, j, others):
    a, b = posterior(k, k + more), posterior(j, j + others)
    assert a.above(b) + b.above(a) == pytest.approx(1, abs=1e-6)
    assert a.above(b, by=0.1) <= a.above(b) + 1e-9


def test_what_no_trials_can_be():
    with pytest.raises(PilabError, match="3 successes in 2 trials"):
        posterior(3, 2)
    with pytest.raises(PilabError, match="prior"):
        posterior(1, 2, (0.0, 1.0))

"""Posteriors: against sums that can be done by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilab.contracts import PilabError
from pilab.evaluation.bayes import population, posterior


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


# Tumours in 71 groups of rats (Gelman et al., "Bayesian Data Analysis", 3rd edition, table 5.1): (rats with one, rats).
RATS = """
0/20 0/20 0/20 0/20 0/20 0/20 0/20 0/19 0/19 0/19 0/19 0/18 0/18 0/17 1/20 1/20 1/20 1/20 1/19 1/19 1/18 1/18 2/25 2/24 2/23
2/20 2/20 2/20 2/20 2/20 2/20 1/10 5/49 2/19 5/46 3/27 2/17 7/49 7/47 3/20 3/20 2/13 9/48 10/50 4/20 4/20 4/20 4/20 4/20 4/20
4/20 10/48 4/19 4/19 4/19 5/22 11/46 12/49 5/20 5/20 6/23 5/19 6/22 6/20 6/20 6/20 16/52 15/46 15/47 9/24 4/14
"""


def test_population_against_the_book():
    """It finds α/(α + β) = 2.4/(2.4 + 14.3), under the same prior: uniform in μ and κ^(−1/2)."""
    found = population([tuple(map(int, pair.split("/"))) for pair in RATS.split()])
    assert found.mean == pytest.approx(2.4 / (2.4 + 14.3), abs=0.005)
    low, high = found.interval()
    assert low < 0.125 and high > 0.165  # wider than of 1739 rats that are all alike


def test_a_population_is_known_no_better_than_by_so_many_things():
    alike, apart = population([(5, 10)] * 20), population([(10, 10)] * 10 + [(0, 10)] * 10)
    assert alike.mean == pytest.approx(apart.mean, abs=0.01)
    widths = [high - low for low, high in (alike.interval(), apart.interval())]
    assert widths[1] > 2 * widths[0]
    low, high = alike.minus(apart)
    assert low < 0 < high and high - low > widths[1]
    low, high = population([(9, 10)] * 20).minus(population([(1, 10)] * 20))
    assert 0.7 < low < 0.8 < high < 0.9

"""Tests that may be watched: how often they err, however one stops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from pilab.contracts import PilabError
from pilab.evaluation.sequential import Race, anytime, race, wealth
from pilab.evaluation.statistics import mcnemar, wilson


@given(st.integers(0, 30), st.integers(0, 30))
def test_wealth_is_the_average_over_all_coins(wins, losses):
    def bet(p: float) -> float:
        density = 1 / (math.pi * math.sqrt(p * (1 - p)))
        return (2 * p) ** wins * (2 * (1 - p)) ** losses * density

    average, _ = quad(bet, 0, 1, limit=200)
    assert wealth(wins, losses) == pytest.approx(math.log(average), abs=1e-4)


@pytest.mark.parametrize("pairs", [1, 2, 7])
def test_it_is_a_fair_game(pairs):
    """Before each pair, the wealth expected after it is the wealth at hand, if a and b are alike."""
    for wins in range(pairs):
        losses = pairs - 1 - wins
        after = (math.exp(wealth(wins + 1, losses)) + math.exp(wealth(wins, losses + 1))) / 2
        assert after == pytest.approx(math.exp(wealth(wins, losses)))


def test_who_looks_after_every_trial_errs_no_more_often_than_promised():
    """800 races without a difference, 300 trials each, stopped when decided; McNemar's p, looked at as often, errs far more."""
    rng, wrong, peeking = np.random.default_rng(0), 0, 0
    for _ in range(800):
        found, a, b, seen = Race(), [], [], False
        for _ in range(300):
            a.append(bool(rng.random() < 0.6))
            b.append(bool(rng.random() < 0.6))
            if found.add(a[-1], b[-1]).decided:
                break
            seen = seen or (len(a) % 25 == 0 and mcnemar(a, b).p < 0.05)
        wrong += found.decided
        peeking += seen
    assert wrong / 800 <= 0.05 < 0.09 < peeking / 800


def test_a_clear_difference_is_found_early_and_stays_found():
    rng = np.random.default_rng(1)
    outcomes = [(bool(rng.random() < 0.9), bool(rng.random() < 0.4)) for _ in range(300)]
    found = race(lambda seed: outcomes[seed][0], lambda seed: outcomes[seed][1], range(300))
    assert found.decided and found.n < 60 and found.only_a > found.only_b
    assert found.text().startswith("p = 0.0") and f"of {found.n} pairs" in found.text()
    p = found.p
    for _ in range(found.only_a):  # the luck turns
        found.add(False, True)
    assert found.decided and found.p == p and wealth(found.only_a, found.only_b) < 0


def test_pairs_that_agree_say_nothing():
    found = Race()
    for k in range(50):
        found.add(k % 2 == 0, k % 2 == 0)
    assert found.p == 1 and not found.decided
    assert not race(lambda seed: True, lambda seed: True, range(20)).decided
    with pytest.raises(PilabError, match="confidence"):
        Race(alpha=0.0)


def test_intervals_that_may_be_watched_hold_the_truth_at_every_trial():
    rng, missed = np.random.default_rng(3), 0
    for _ in range(300):
        k, held = 0, True
        for n in range(1, 151):
            k += bool(rng.random() < 0.7)
            if n % 5 == 0:
                found = anytime(k, n)
                held = held and found.low <= 0.7 <= found.high
        missed += not held
    assert missed / 300 <= 0.05


@given(st.integers(0, 80), st.integers(0, 80))
def test_they_are_wider_than_those_of_a_fixed_number(k, more):
    n = k + more
    watched, fixed = anytime(k, n), wilson(k, n)
    if n == 0:
        assert watched.rate is None
    else:
        assert 0 <= watched.low <= watched.rate <= watched.high <= 1
        assert watched.high - watched.low >= fixed.high - fixed.low or n < 3

"""How many trials: against formulas, counting, and what happens when it is tried."""

import numpy as np
import pytest
from scipy.stats import binom

from pilab.contracts import PilabError
from pilab.evaluation.power import paired_power, pairs_needed, trials_needed
from pilab.evaluation.statistics import mcnemar, wilson


def test_power_by_counting():
    """Twelve pairs that all differ: 11 or more of one kind reject (p = 0.0063), and 10 do not at 1 % (p = 0.0386)."""
    chance = 0.9
    found = paired_power(12, 0.8, 1.0, alpha=0.01)
    assert found == pytest.approx(binom.sf(10, 12, chance) + binom.cdf(1, 12, chance))


def test_power_when_it_is_tried():
    rng, found = np.random.default_rng(0), 0
    for _ in range(400):
        kinds = rng.choice(3, size=150, p=(0.25, 0.10, 0.65))  # a alone, b alone, alike
        found += mcnemar((kinds == 0).tolist(), (kinds == 1).tolist()).p < 0.05
    assert paired_power(150, 0.15, 0.35) == pytest.approx(found / 400, abs=0.07)


@pytest.mark.parametrize(("difference", "discordant"), [(0.10, 0.30), (0.2, 0.4), (-0.15, 0.2), (0.5, 0.5)])
def test_no_fewer_would_do(difference, discordant):
    n = pairs_needed(difference, discordant)
    assert paired_power(n, difference, discordant) >= 0.8
    assert n == 1 or paired_power(n - 1, difference, discordant) < 0.8


def test_near_the_formula_for_many():
    """Connor (1987): (1.960 √0.30 + 0.842 √(0.30 − 0.01))² / 0.01 = 233; the exact test takes a few more."""
    assert 233 <= pairs_needed(0.10, 0.30) <= 255


def test_trials_for_a_narrow_interval():
    n = trials_needed(0.8, 0.10)
    rates = [wilson(round(0.8 * m), m) for m in (n, n - 5)]
    assert rates[0].high - rates[0].low <= 0.10 < rates[1].high - rates[1].low and 240 < n < 255


@pytest.mark.parametrize("numbers", [(0.0, 0.3), (0.4, 0.3), (0.1, 1.2)])
def test_what_no_two_rates_have(numbers):
    with pytest.raises(PilabError, match="expected 0 <"):
        pairs_needed(*numbers)
    with pytest.raises(PilabError, match="width"):
        trials_needed(0.5, 0.0)

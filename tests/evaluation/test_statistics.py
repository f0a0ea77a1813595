"""Intervals and tests against published tables, exact enumeration and their own symmetries."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial, norm

from pilab.contracts import PilabError
from pilab.evaluation.statistics import (
    Rate,
    _score,
    clopper_pearson,
    holm,
    mcnemar,
    p_text,
    paired_difference,
    seed_differences,
    wilson,
)

SIDES = ("estimate", "low", "high")


def outcomes(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[bool], list[bool]]:
    """The two columns of a paired 2×2 table."""
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    return a, [True] * both + [False] * only_a + [True] * only_b + [False] * neither


tables = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


# ------------------------------------------------------------------------------------------------------------- one rate
# R. G. Newcombe, "Two-sided confidence intervals for the single proportion: comparison of seven methods", Statistics in
# Medicine 17 (1998) 857–872, table I, method 3 (score, no continuity correction).
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombe(k, n, low, high):
    rate = wilson(k, n)
    assert (rate.low, rate.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert rate.rate == k / n


@pytest.mark.parametrize(  # method 5 of the same table
    ("k", "n", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_clopper_pearson_agrees_with_newcombe(k, n, low, high):
    rate = clopper_pearson(k, n)
    assert (rate.low, rate.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert rate.low <= wilson(k, n).low or k == 0


def test_wilson_is_symmetric():
    few, many = wilson(1, 29), wilson(28, 29)
    assert (many.low, many.high) == (pytest.approx(1 - few.high), pytest.approx(1 - few.low))


def test_all_succeeded():
    rate = wilson(10, 10)
    assert rate.high == 1.0
    assert rate.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)  # n / (n + z²), Wilson's formula at k = n


def test_more_confidence_is_wider():
    assert wilson(8, 10, 0.99).low < wilson(8, 10, 0.95).low < wilson(8, 10, 0.5).low


def test_no_trials_is_no_rate():
    assert wilson(0, 0) == Rate(0, 0, None, None, None)
    assert wilson(0, 0).text() == "no trials"


def test_text():
    assert wilson(187, 200).text() == "93.5 % [89.2, 96.2] (187/200)"


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 95)])
def test_refuses_what_is_no_rate(k, n, confidence):
    with pytest.raises(PilabError, match="expected"):
        wilson(k, n, confidence)


# -------------------------------------------------------------------------------------------------------------- McNemar
# The airway and the myeloma table of M. W. Fagerland, S. Lydersen, P. Laake, "Recommended tests and confidence
# intervals for paired binomial proportions", Statistics in Medicine 33 (2014) 2850–2875; the sums are binomial tails.
@pytest.mark.parametrize(
    ("table", "p"),
    [
        ((1, 1, 7, 12), 2 * (1 + 8) / 2**8),
        ((59, 6, 16, 80), 2 * sum(math.comb(22, k) for k in range(7)) / 2**22),
        ((5, 4, 4, 5), 1.0),
        ((9, 0, 0, 3), 1.0),
    ],
)
def test_mcnemar_is_exact(table, p):
    found = mcnemar(*outcomes(*table))
    assert (found.only_a, found.only_b, found.n) == (table[1], table[2], sum(table))
    assert found.p == pytest.approx(p)


def test_mcnemar_text():
    assert mcnemar(*outcomes(1, 1, 7, 12)).text() == "p = 0.070 (1 against 7 of 21 pairs)"
    assert p_text(0.0009) == "p < 0.001"


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([True], [True, False]), ([1, 0], [True, False]), ([True], [None]), (True, False)]
)
def test_refuses_what_are_no_pairs(a, b):
    with pytest.raises(PilabError, match=r"pairs of .* expected"):
        mcnemar(a, b)


# ---------------------------------------------------------------------------------------------------- paired difference
# Tango (1998), the two worked examples; A. Agresti, Y. Min, Statistics in Medicine 24 (2005) 729–740; Fagerland et al.
# (2014), two tables. The R packages ratesci and contingencytables hold themselves to the same figures.
@pytest.mark.parametrize(
    ("table", "confidence", "low", "high", "digits"),
    [
        ((4, 9, 3, 16), 0.95, -0.027, 0.390, 3),
        ((43, 0, 1, 0), 0.90, -0.096, 0.037, 3),
        ((53, 16, 8, 9), 0.95, -0.020, 0.207, 3),
        ((1, 1, 7, 12), 0.95, -0.517, -0.026, 3),
        ((59, 6, 16, 80), 0.95, -0.1240, -0.0054, 4),
    ],
)
def test_paired_difference_agrees_with_published_tables(table, confidence, low, high, digits):
    found = paired_difference(*outcomes(*table), confidence)
    assert (round(found.low, digits), round(found.high, digits)) == (low, high)
    assert found.estimate == (table[1] - table[2]) / sum(table)
    assert (found.n, found.p) == (sum(table), mcnemar(*outcomes(*table)).p)


def test_paired_difference_without_discordant_pairs():
    z = norm.isf(0.025)
    found = paired_difference(*outcomes(20, 0, 0, 30))
    assert (found.low, found.high) == (pytest.approx(-(z**2) / (50 + z**2)), pytest.approx(z**2 / (50 + z**2)))
    assert paired_difference(*outcomes(0, 50, 0, 0)).high == 1.0
    assert paired_difference(*outcomes(0, 0, 50, 0)).low == -1.0


def test_paired_difference_covers_the_truth():
    """The exact chance, over every table of 30 pairs, that the interval holds the true difference."""
    n = 30
    cells = np.array([(i, j, n - i - j) for i, j in itertools.product(range(n + 1), repeat=2) if i + j <= n])
    found = [paired_difference(*outcomes(0, i, j, rest)) for i, j, rest in cells.tolist()]
    low, high = np.array([d.low for d in found]), np.array([d.high for d in found])
    chances = []
    for x, y in [(0.05, 0.05), (0.1, 0.1), (0.3, 0.3), (0.2, 0.1), (0.3, 0.1), (0.5, 0.1), (0.7, 0.1), (0.3, 0.02)]:
        weight = multinomial.pmf(cells, n, [x, y, 1 - x - y])
        chances.append(weight[(low <= x - y) & (x - y <= high)].sum())
    assert min(chances) > 0.93
    assert np.mean(chances) == pytest.approx(0.95, abs=0.015)


@settings(deadline=None)
@given(tables, st.floats(-0.9, 0.9, allow_subnormal=False))
def test_score_uses_the_likeliest_table(table, delta):
    """The variance under a given difference, from a numerical search for the likeliest rates instead of the formula."""
    _, only_a, only_b, _ = table
    n = sum(table)

    def unlikelihood(share: float) -> float:  # of a rate `share` of only_b, hence share + delta of only_a
        cells = ((only_a, share + delta), (only_b, share), (n - only_a - only_b, 1 - 2 * share - delta))
        return -sum(k * math.log(max(rate, 1e-300)) for k, rate in cells if k)

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    share = minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = n * (2 * share + delta - delta**2)
    assume(variance > 1e-6)  # else both are 0 / 0, up to rounding
    expected = (only_a - only_b - n * delta) / math.sqrt(variance)
    assert _score(only_a, only_b, n, delta) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_score_where_rounding_would_leave_no_root():
    assert _score(0, 4, 5, -0.6666666663333334) == pytest.approx(-0.6324555)  # (−4 + 5 · 2/3) / √(10/9)


@settings(deadline=None)
@given(tables, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_paired_difference_is_symmetric(table, confidence):
    a, b = outcomes(*table)
    there, back = paired_difference(a, b, confidence), paired_difference(b, a, confidence)
    failures = paired_difference([not x for x in a], [not x for x in b], confidence)
    assert -1 <= there.low <= there.estimate <= there.high <= 1
    for mirror in (back, failures):
        assert [-mirror.estimate, -mirror.high, -mirror.low] == [getattr(there, side) for side in SIDES]
        assert mirror.p == there.p


@settings(deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_order_of_the_pairs_does_not_matter(table, chance: random.Random):
    a, b = outcomes(*table)
    order = chance.sample(range(len(a)), len(a))
    assert paired_difference([a[i] for i in order], [b[i] for i in order]) == paired_difference(a, b)


@settings(deadline=None)
@given(tables)
def test_interval_excludes_zero_where_mcnemars_statistic_is_large(table):
    _, only_a, only_b, _ = table
    found = paired_difference(*outcomes(*table))
    statistic = abs(only_a - only_b) / math.sqrt(only_a + only_b) if only_a + only_b else 0.0
    assert (found.low > 0 or found.high < 0) == (statistic > norm.isf(0.025))


@settings(deadline=None)
@given(tables, st.floats(0.02, 0.5))
def test_equivalence_is_a_90_percent_interval_inside_the_margin(table, margin):
    found = paired_difference(*outcomes(*table), 0.90)
    room = margin - max(-found.low, found.high)
    if abs(room) > 1e-6:
        assert (found.equivalence(margin) < 0.05) == (room > 0)


def test_more_confidence_is_a_wider_difference():
    narrow, wide = (paired_difference(*outcomes(36, 12, 2, 0), c) for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(PilabError, match="confidence 95"):
        paired_difference([True], [False], 95)


def test_paired_difference_text():
    assert paired_difference(*outcomes(36, 12, 2, 0)).text() == "+20.0 points [6.1, 34.5], p = 0.013, 50 pairs"


# ----------------------------------------------------------------------------------------------------------- over seeds
def test_seed_differences_agree_with_student():
    """The sleep of ten patients on two drugs: Student, Biometrika 6 (1908) 1–25; interval and p as R's t.test gives."""
    dextro = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    laevo = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = seed_differences(*({i: [hours] for i, hours in enumerate(drug)} for drug in (laevo, dextro)))
    assert [round(getattr(found, side), 7) for side in SIDES] == [1.58, 0.7001142, 2.4598858]
    assert found.p == pytest.approx(0.002833, abs=5e-7)


def test_seed_differences_of_booleans():
    found = seed_differences(
        {0: [True, True], 1: [True, False], 2: [True] * 4}, {0: [False] * 2, 1: [True] * 2, 2: [False] * 4}
    )
    assert found.by_seed == {0: 1.0, 1: -0.5, 2: 1.0}
    assert found.estimate == 0.5
    assert found.text() == "+50.0 points [-165.1, 265.1], p = 0.423, 3 seeds (2 up, 1 down)"
    assert found.low == pytest.approx(0.5 - 4.302653 * 0.5)  # t table, 2 degrees of freedom; the standard error is 1/2


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=6))
def test_seed_differences_are_symmetric_and_unordered(counts):
    a, b = ({seed: [True] * ks[i] + [False] * (20 - ks[i]) for seed, ks in enumerate(counts)} for i in (0, 1))
    there, back = seed_differences(a, b), seed_differences(b, a)
    turned = seed_differences(dict(reversed(a.items())), b)
    assert there.low <= there.estimate <= there.high
    assert [-back.estimate, -back.high, -back.low] == pytest.approx([getattr(there, side) for side in SIDES])
    assert [getattr(turned, side) for side in SIDES] == pytest.approx([getattr(there, side) for side in SIDES])
    assert back.p == pytest.approx(there.p)
    assert 0 <= there.p <= 1


def test_seed_equivalence_is_a_90_percent_interval_inside_the_margin():
    a, b = {0: [0.10], 1: [0.14], 2: [0.12]}, {0: [0.1], 1: [0.1], 2: [0.1]}
    found = seed_differences(a, b, 0.90)
    assert found.equivalence(found.high) == pytest.approx(0.05)
    assert seed_differences(b, a).equivalence(found.high) == pytest.approx(0.05)
    assert found.equivalence(found.estimate) == pytest.approx(0.5)


def test_equal_seeds_leave_no_doubt():
    found = seed_differences({0: [True], 1: [True]}, {0: [False], 1: [False]})
    assert (found.low, found.high, found.p) == (1.0, 1.0, 0.0)
    assert found.equivalence(0.1) == 1.0
    same = seed_differences({0: [True], 1: [True]}, {0: [True], 1: [True]})
    assert (same.estimate, same.p, same.equivalence(0.1)) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("a", "b"),
    [({0: [1]}, {0: [1]}), ({0: [1], 1: [1]}, {0: [1], 2: [1]}), ({0: [1], 1: []}, {0: [1], 1: [1]}), ({}, {})],
)
def test_refuses_what_are_no_seeds(a, b):
    with pytest.raises(PilabError, match=r"seeds.* expected"):
        seed_differences(a, b)


# ----------------------------------------------------------------------------------------------------------------- Holm
def test_holm_by_hand():
    # Ascending 0.005 ×4, 0.01 ×3, 0.03 ×2, 0.04 ×1; the last may not fall below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.7, 0.6]) == (1.0, 1.0)
    assert holm([]) == ()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, level):
    rejected: set[int] = set()
    for step, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[i] * (len(p_values) - step) >= level:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(p_values)) if p < level} == rejected


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [math.nan]])
def test_refuses_what_is_no_p_value(p_values):
    with pytest.raises(PilabError, match="between 0 and 1"):
        holm(p_values)

"""Intervals against published tables."""

import pytest

from pilab.contracts import PilabError
from pilab.evaluation.statistics import Rate, wilson


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

"""Logistic regression against what R's glm prints for a data set that comes with it."""

import numpy as np
import pytest

from pilab.contracts import PilabError
from pilab.evaluation.logistic import logistic

# R 4: `glm(am ~ wt, family = binomial, data = mtcars)` (Motor Trend 1974): weight in 1000 lb, 1 for a manual gearbox.
WEIGHT = [
    2.620, 2.875, 2.320, 3.215, 3.440, 3.460, 3.570, 3.190, 3.150, 3.440, 3.440, 4.070, 3.730, 3.780, 5.250, 5.424, 5.345,
    2.200, 1.615, 1.835, 2.465, 3.520, 3.435, 3.840, 3.845, 1.935, 2.140, 1.513, 3.170, 2.770, 3.570, 2.780,
]  # fmt: skip
MANUAL = [1, 1, 1, *[0] * 14, 1, 1, 1, *[0] * 5, *[1] * 7]


def test_as_r_has_it():
    found = logistic(MANUAL, {"weight": WEIGHT})
    assert found["constant"].estimate == pytest.approx(12.040, abs=2e-3)
    assert found["weight"].estimate == pytest.approx(-4.024, abs=2e-3)
    assert (found["weight"].high - found["weight"].low) / (2 * 1.959964) == pytest.approx(1.436, abs=2e-3)
    assert found["weight"].p == pytest.approx(0.00509, abs=2e-4) and "odds × 0.018" in found["weight"].text()


def test_an_interaction_is_found_where_there_is_one():
    rng = np.random.default_rng(0)
    helped, length = rng.integers(0, 2, 4000), rng.integers(1, 4, 4000)
    chance = 1 / (1 + np.exp(-(1 - 1.0 * length + 0.7 * helped * length)))
    success = rng.random(4000) < chance
    factors = {"helped": helped, "length": length, "helped × length": helped * length}
    found = logistic(success, factors)
    assert found["helped × length"].low < 0.7 < found["helped × length"].high and found["helped × length"].p < 1e-6
    assert found["helped"].low < 0 < found["helped"].high


def test_trials_that_are_one_and_the_same_are_no_more_trials():
    """Every trial four times: as sure as before for who knows it, twice as sure for who does not."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    success = rng.random(300) < 1 / (1 + np.exp(-x))
    width = lambda c: c.high - c.low  # noqa: E731
    once = logistic(success, {"x": x}, clusters=range(300))["x"]
    again = {"x": np.tile(x, 4)}
    assert width(logistic(np.tile(success, 4), again, clusters=[*range(300)] * 4)["x"]) == pytest.approx(
        width(once), rel=0.01
    )
    assert width(logistic(np.tile(success, 4), again)["x"]) < 0.6 * width(once)


@pytest.mark.parametrize(
    ("success", "factors", "said"),
    [
        ([True, False, True], {"x": [1.0, 2.0]}, "one number for every trial"),
        ([], {"x": []}, "0 trials"),
        ([True, False, True, False], {"x": [1, 2, 3, 4], "y": [2, 4, 6, 8]}, "follows from the others"),
        ([True, True, False, False] * 5, {"x": [1, 1, 0, 0] * 5}, "beyond all bounds"),
    ],
)
def test_what_cannot_be_fitted_is_refused(success, factors, said):
    with pytest.raises(PilabError, match=said):
        logistic(success, factors)

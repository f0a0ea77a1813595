"""How sure a number is: intervals for one rate, for two rates on the same trials, and for models trained anew.

* One rate: Wilson's interval, which holds for few trials and for rates near 0 and 1. Clopper and Pearson's where an interval
  must never promise too much, such as for safety: it is wider.
* Two rates on the same trials: Tango's score interval. It stays within ±1, serves equivalence as well, and at a
  difference of 0 it is McNemar's test. The p-value is that of the exact McNemar test.
* Models trained anew: seeds vary more than roll-outs do, hence Student's t over one difference for each seed.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209–212.
C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404–413.
T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
Statistics in Medicine 17 (1998) 891–908. Q. McNemar, Psychometrika 12 (1947) 153–157. S. Holm, "A simple sequentially
rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979) 65–70. D. J. Schuirmann (two one-sided
tests), Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) 657–680.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, t

from pilab.contracts import PilabError


# ------------------------------------------------------------------------------------------------------------- one rate
@dataclass(frozen=True)
class Rate:
    """`k` successes in `n` trials. `rate`, `low` and `high` are fractions; all three are None where n = 0."""

    k: int
    n: int
    rate: float | None
    low: float | None
    high: float | None

    def text(self) -> str:
        """For tables: `93.5 % [89.2, 96.2] (187/200)`."""
        if self.n == 0:
            return "no trials"
        return f"{100 * self.rate:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] ({self.k}/{self.n})"


def wilson(k: int, n: int, confidence: float = 0.95) -> Rate:
    """A rate with its two-sided Wilson score interval (without continuity correction) at `confidence`.

    Raises `PilabError` unless 0 ≤ k ≤ n and 0 < confidence < 1.
    """
    return _rate(k, n, confidence, "wilson")


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Rate:
    """A rate with the interval that holds the truth at least as often as `confidence` says, whatever the truth is.

    Raises `PilabError` as `wilson` does.
    """
    return _rate(k, n, confidence, "exact")


def _rate(k: int, n: int, confidence: float, method: str) -> Rate:
    if not 0 <= k <= n:
        raise PilabError(f"{k} successes in {n} trials; expected 0 ≤ k ≤ n")
    check_confidence(confidence)
    if n == 0:
        return Rate(0, 0, None, None, None)
    interval = binomtest(int(k), int(n)).proportion_ci(confidence, method=method)
    return Rate(int(k), int(n), k / n, float(interval.low), float(interval.high))


# ----------------------------------------------------------------------------------------------- two rates, same trials
@dataclass(frozen=True)
class McNemar:
    """Of `n` pairs, `only_a` succeeded in a alone and `only_b` in b alone; `p` is exact and two-sided."""

    only_a: int
    only_b: int
    n: int
    p: float

    def text(self) -> str:
        """For tables: `p = 0.070 (1 against 7 of 21 pairs)`."""
        return f"{p_text(self.p)} ({self.only_a} against {self.only_b} of {self.n} pairs)"


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> McNemar:
    """Exact McNemar test of a (n,) against b (n,): a[i] and b[i] are the same trial, done twice.

    Where the two agree nothing is learnt; a fair coin would deal the other pairs evenly. Raises `PilabError` unless
    both are booleans of one length ≥ 1.
    """
    x, y = np.asarray(a), np.asarray(b)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise PilabError(
            f"pairs of shapes {x.shape} and {y.shape}; expected two sequences of the same length, at least 1"
        )
    if x.dtype != bool or y.dtype != bool:
        raise PilabError(f"pairs of {x.dtype} and {y.dtype}; expected booleans, one success or failure for each trial")
    only_a, only_b = int((x & ~y).sum()), int((y & ~x).sum())
    discordant = only_a + only_b
    return McNemar(only_a, only_b, x.size, float(binomtest(only_a, discordant).pvalue) if discordant else 1.0)


@dataclass(frozen=True)
class PairedDifference:
    """Rate of a minus rate of b over the same `n` trials, all as fractions; `p` is McNemar's, of no difference."""

    estimate: float
    low: float
    high: float
    confidence: float
    n: int
    only_a: int
    only_b: int
    p: float

    def equivalence(self, margin: float) -> float:
        """p of two one-sided tests: small where the true difference lies within ±margin (Tango 1998, both ways)."""
        above = norm.sf(_score(self.only_a, self.only_b, self.n, -margin))
        return float(max(above, norm.cdf(_score(self.only_a, self.only_b, self.n, margin))))

    def text(self) -> str:
        """For tables: `+20.0 points [6.1, 34.5], p = 0.013, 50 pairs`."""
        return f"{points(self.estimate, self.low, self.high)}, {p_text(self.p)}, {self.n} pairs"


def paired_difference(a: Sequence[bool], b: Sequence[bool], confidence: float = 0.95) -> PairedDifference:
    """Rate of a (n,) minus rate of b (n,) with Tango's score interval, for two outcomes of each trial.

    The interval holds the differences that the score test does not reject. Raises `PilabError` as `mcnemar` does, and
    unless 0 < confidence < 1.
    """
    check_confidence(confidence)
    test = mcnemar(a, b)
    estimate = (test.only_a - test.only_b) / test.n
    low = -_upper(test.only_b, test.only_a, test.n, confidence)
    high = _upper(test.only_a, test.only_b, test.n, confidence)
    return PairedDifference(estimate, low, high, confidence, test.n, test.only_a, test.only_b, test.p)


def _score(only_a: int, only_b: int, n: int, delta: float) -> float:
    """Standard normal if the true difference is `delta` in (−1, 1); `share` is the likeliest rate of only_b then."""
    if delta < 0:  # the mirror image, where no cancellation can make the root imaginary
        return -_score(only_b, only_a, n, -delta)
    linear = (2 * n - only_a + only_b) * delta - only_a - only_b
    share = (math.sqrt(linear**2 + 8 * n * only_b * delta * (1 - delta)) - linear) / (4 * n)
    gap = only_a - only_b - n * delta
    return gap / math.sqrt(n * (2 * share + delta * (1 - delta))) if gap else 0.0


def _upper(only_a: int, only_b: int, n: int, confidence: float) -> float:
    """The largest difference that the score test does not reject."""
    if only_a == n:
        return 1.0
    z, estimate = norm.isf((1 - confidence) / 2), (only_a - only_b) / n
    return float(brentq(lambda delta: _score(only_a, only_b, n, delta) + z, estimate, 1 - 1e-12, xtol=1e-12))


# ------------------------------------------------------------------------------------------------------- over the seeds
@dataclass(frozen=True)
class SeedDifferences:
    """One difference of rates for each seed, their mean, and its Student t interval; `p` is of a mean of 0."""

    by_seed: Mapping[Hashable, float]
    estimate: float
    low: float
    high: float
    confidence: float
    error: float  # standard error of the mean
    p: float

    def equivalence(self, margin: float) -> float:
        """p of two one-sided t tests: small where the true mean lies within ±margin."""
        return _t_tail(margin - abs(self.estimate), self.error, len(self.by_seed))

    def text(self) -> str:
        """For tables: `+15.0 points [2.6, 27.4], p = 0.035, 3 seeds (3 up, 0 down)`."""
        ups, downs = (sum(s * d > 0 for d in self.by_seed.values()) for s in (1, -1))
        shown = points(self.estimate, self.low, self.high)
        return f"{shown}, {p_text(self.p)}, {len(self.by_seed)} seeds ({ups} up, {downs} down)"


def seed_differences(
    a_by_seed: Mapping[Hashable, Sequence[float]],
    b_by_seed: Mapping[Hashable, Sequence[float]],
    confidence: float = 0.95,
) -> SeedDifferences:
    """Mean over seeds of (mean of a − mean of b), with a t interval: for models trained once for each seed.

    a_by_seed, b_by_seed: seed → outcomes, booleans or numbers. Any cluster will do for a seed, such as the object where
    the claim is about objects. Raises `PilabError` for fewer than two seeds, unequal seeds or a seed without outcomes.
    """
    check_confidence(confidence)
    if set(a_by_seed) != set(b_by_seed):
        raise PilabError(f"seeds {list(a_by_seed)} against {list(b_by_seed)}; expected the same on both sides")
    empty = [seed for seed in a_by_seed if not (len(a_by_seed[seed]) and len(b_by_seed[seed]))]
    if len(a_by_seed) < 2 or empty:
        raise PilabError(f"{len(a_by_seed)} seeds, without outcomes: {empty}; expected at least 2, each with outcomes")
    by_seed = {seed: float(np.mean(a_by_seed[seed]) - np.mean(b_by_seed[seed])) for seed in a_by_seed}
    values = np.array(list(by_seed.values()))
    n, mean = len(values), math.fsum(values) / len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    half = float(t.isf((1 - confidence) / 2, n - 1)) * error
    p = min(1.0, 2 * _t_tail(abs(mean), error, n)) if mean else 1.0
    return SeedDifferences(by_seed, mean, mean - half, mean + half, confidence, error, p)


def _t_tail(gap: float, error: float, n: int) -> float:
    """Probability that t with n − 1 degrees of freedom exceeds gap / error; n equal values leave no error."""
    return float(t.sf(gap / error, n - 1)) if error else float(gap <= 0)


# ---------------------------------------------------------------------------------------------------------- many claims
def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given: reject those below α and the family errs at most that often.

    Raises `PilabError` for anything outside 0 … 1.
    """
    p = np.asarray(p_values, float)
    if not ((p >= 0) & (p <= 1)).all():
        raise PilabError(f"p-values {list(p_values)}; expected numbers between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return tuple(adjusted.tolist())


# ---------------------------------------------------------------------------------------------------------------- words
def points(estimate: float, low: float, high: float) -> str:
    """A difference of rates in percentage points: `+20.0 points [6.1, 34.5]`."""
    return f"{100 * estimate:+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"


def p_text(p: float) -> str:
    """`p = 0.013`; `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def check_confidence(confidence: float) -> None:
    """Raises `PilabError` unless it is a fraction."""
    if not 0 < confidence < 1:
        raise PilabError(f"confidence {confidence}; expected a fraction between 0 and 1, such as 0.95")

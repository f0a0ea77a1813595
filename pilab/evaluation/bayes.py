"""What is to be believed of a rate after some trials: Beta posteriors.

Before the first trial every rate is as likely as any other (Beta(1, 1)); k successes in n trials leave Beta(1 + k, 1 + n − k).
Unlike an interval, a posterior answers "how likely is it that a is better than b?", as robot evaluations report it (TRI LBM
Team, "A careful examination of large behavior models for multitask dexterous manipulation", arXiv:2507.05331).

Many things tried a few times each, whose rates differ, are a `population`: its mean is known no better than by so many things,
however often each was tried (Gelman et al., "Bayesian Data Analysis", 3rd edition, section 5.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta

from pilab.contracts import PilabError
from pilab.evaluation.statistics import check_confidence


@dataclass(frozen=True)
class Posterior:
    """Beta(a, b) over the rate."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The rate lies in it with that probability, and below it as likely as above."""
        check_confidence(confidence)
        low, high = beta.interval(confidence, self.a, self.b)
        return float(low), float(high)

    def above(self, other: Posterior, by: float = 0.0) -> float:
        """The probability that this rate exceeds the other by more than `by` (a fraction), where nothing pairs their trials."""
        mine, theirs = beta(self.a, self.b), beta(other.a, other.b)
        spots = [x for x in (self.mean, other.mean + by) if 0 < x < 1]  # where the integrand may be narrow
        found, _ = quad(lambda x: mine.pdf(x) * theirs.cdf(x - by), 0, 1, points=spots, limit=200)
        return float(min(1.0, max(0.0, found)))

    def text(self) -> str:
        """For tables: `93.1 % [89.2, 96.1]`."""
        low, high = self.interval()
        return f"{100 * self.mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def posterior(k: int, n: int, prior: tuple[float, float] = (1.0, 1.0)) -> Posterior:
    """After k successes in n trials. prior: a and b of the Beta distribution before them; (0.5, 0.5) is Jeffreys'.

    Raises `PilabError` unless 0 ≤ k ≤ n and a and b are above 0.
    """
    if not 0 <= k <= n:
        raise PilabError(f"{k} successes in {n} trials; expected 0 ≤ k ≤ n")
    if min(prior) <= 0:
        raise PilabError(f"prior {prior}; expected two numbers above 0")
    return Posterior(prior[0] + k, prior[1] + n - k)


# ------------------------------------------------------------------------------------------------- rates that differ
MEANS = (np.arange(400) + 0.5) / 400  # where the mean of a population may lie
SPREADS = np.linspace(0.03, 1.0, 60)  # κ^(−1/2), from hardly any spread to rates of 0 and 1 alone


@dataclass(frozen=True)
class Population:
    """What is known of the mean rate of all things of a kind: a probability for each of `MEANS`."""

    weights: np.ndarray

    @property
    def mean(self) -> float:
        return float(MEANS @ self.weights)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The mean lies in it with that probability, and below it as likely as above."""
        return _middle(MEANS, self.weights, confidence)

    def minus(self, other: Population, confidence: float = 0.95) -> tuple[float, float]:
        """The interval of this mean less the other, which knows nothing of this one."""
        check_confidence(confidence)
        gaps, weights = MEANS[:, None] - MEANS, self.weights[:, None] * other.weights
        order = np.argsort(gaps, axis=None)
        return _middle(gaps.ravel()[order], weights.ravel()[order], confidence)

    def text(self) -> str:
        """For tables: `93.1 % [89.2, 96.1]`."""
        low, high = self.interval()
        return f"{100 * self.mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def population(trials: Iterable[tuple[int, int]]) -> Population:
    """Of things with (successes, trials) each: rates are Beta(μκ, (1 − μ)κ), successes binomial. Before the trials every mean μ
    is as likely as any other, and every spread κ^(−1/2).

    Raises `PilabError` for no things, or one that succeeded more often than it was tried.
    """
    counts = Counter(trials)
    if not counts:
        raise PilabError("a population of nothing; expected at least one thing that was tried")
    if odd := [(k, n) for k, n in counts if not 0 <= k <= n]:
        raise PilabError(f"{odd[0][0]} successes in {odd[0][1]} trials; expected 0 ≤ k ≤ n")
    kappa = SPREADS[:, None] ** -2
    a, b = MEANS * kappa, (1 - MEANS) * kappa  # (spreads, means)
    likely = sum(times * (betaln(a + k, b + n - k) - betaln(a, b)) for (k, n), times in counts.items())
    weights = np.exp(likely - likely.max()).sum(0)
    return Population(weights / weights.sum())


def _middle(values: np.ndarray, weights: np.ndarray, confidence: float) -> tuple[float, float]:
    """Quantiles of values, in order, with these probabilities."""
    check_confidence(confidence)
    below = np.cumsum(weights)
    low, high = np.searchsorted(below, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(values[low]), float(values[min(high, len(values) - 1)])

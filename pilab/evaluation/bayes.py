"""What is to be believed of a rate after some trials: Beta posteriors.

Before the first trial every rate is as likely as any other (Beta(1, 1)); k successes in n trials leave Beta(1 + k, 1 + n − k).
Unlike an interval, a posterior answers "how likely is it that a is better than b?", as robot evaluations report it (TRI LBM
Team, "A careful examination of large behavior models for multitask dexterous manipulation", arXiv:2507.05331).
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.integrate import quad
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

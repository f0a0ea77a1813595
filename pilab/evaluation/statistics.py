"""How sure a number is. Rates of success carry Wilson intervals, which hold for few trials and for rates near 0 and 1.

Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209–212.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binomtest

from pilab.contracts import PilabError


@dataclass(frozen=True)
class Rate:
    """`k` successes in `n` trials. `rate`, `low` and `high` are fractions; all three are None where n = 0."""

    k: int
    n: int
    rate: float | None
    low: float | None
    high: float | None

    def text(self) -> str:
        """For tables: `93.5 % [89.1, 96.2] (187/200)`."""
        if self.n == 0:
            return "no trials"
        return f"{100 * self.rate:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] ({self.k}/{self.n})"


def wilson(k: int, n: int, confidence: float = 0.95) -> Rate:
    """A rate with its two-sided Wilson score interval (without continuity correction) at `confidence`.

    Raises `PilabError` unless 0 ≤ k ≤ n and 0 < confidence < 1.
    """
    if not 0 <= k <= n:
        raise PilabError(f"{k} successes in {n} trials; expected 0 ≤ k ≤ n")
    if not 0 < confidence < 1:
        raise PilabError(f"confidence {confidence}; expected a fraction between 0 and 1, such as 0.95")
    if n == 0:
        return Rate(0, 0, None, None, None)
    interval = binomtest(int(k), int(n)).proportion_ci(confidence, method="wilson")
    return Rate(int(k), int(n), k / n, float(interval.low), float(interval.high))

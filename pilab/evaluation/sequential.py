"""Tests that may be looked at after every trial: stop as soon as it is clear, and the error rate still holds.

Who looks at an ordinary p-value again and again, and stops when it is small, finds a difference sooner or later where there is
none. Here a bettor against "no difference" begins with 1 and can win in the long run only if there is one; its wealth, an
e-process, exceeds 1/α with probability α at most, at whatever trial one stops (Ville 1939).

* **Pairs**: only those count in which the two differ. Were a and b alike, a fair coin would say which of them succeeded. The
  bet is the average over all coins, weighted by Beta(½, ½): its wealth after w wins of m is 2ᵐ B(w + ½, m − w + ½) / B(½, ½).
* **A rate**: all values that the same bet, made against each of them, has not ruined so far. It may be read at any time.

Sources: J. Ville, "Étude critique de la notion de collectif" (1939). H. Robbins, "Statistical methods related to the law of the
iterated logarithm", Annals of Mathematical Statistics 41 (1970) 1397–1409. A. Ramdas, P. Grünwald, V. Vovk and G. Shafer,
"Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38 (2023) 576–601.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from pilab.evaluation.statistics import Rate, check_confidence, p_text, wilson


def wealth(wins: int, losses: int) -> float:
    """The logarithm of what the bettor has after so many pairs in which a alone, and in which b alone, succeeded."""
    pairs = wins + losses
    return float(pairs * math.log(2) + betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5))


@dataclass
class Race:
    """Of a against b, on the same trials one after the other; `alpha` is how often a difference may be found in error."""

    alpha: float = 0.05
    n: int = 0
    only_a: int = 0
    only_b: int = 0
    most: float = 0.0  # the logarithm of the most that the bettor ever had

    def __post_init__(self) -> None:
        check_confidence(1 - self.alpha)

    def add(self, a: bool, b: bool) -> Race:
        """One more pair."""
        self.n += 1
        self.only_a, self.only_b = self.only_a + (a and not b), self.only_b + (b and not a)
        self.most = max(self.most, wealth(self.only_a, self.only_b))
        return self

    @property
    def p(self) -> float:
        """At most this is the probability of so much evidence up to now, had there been no difference."""
        return math.exp(-self.most)

    @property
    def decided(self) -> bool:
        """Whether one may stop: there is a difference. It stays decided."""
        return self.p <= self.alpha

    def text(self) -> str:
        """For tables: `p < 0.001 at any time (1 against 14 of 40 pairs)`."""
        return f"{p_text(self.p)} at any time ({self.only_a} against {self.only_b} of {self.n} pairs)"


def race(a: Callable[[int], bool], b: Callable[[int], bool], trials: Iterable[int], alpha: float = 0.05) -> Race:
    """Do trial after trial with both until it is decided, or there are none left. a, b: a seed → whether it succeeded."""
    found = Race(alpha)
    for seed in trials:
        if found.add(bool(a(seed)), bool(b(seed))).decided:
            break
    return found


def anytime(k: int, n: int, confidence: float = 0.95) -> Rate:
    """A rate with an interval that holds the truth at every n at once, with probability `confidence`: it may be watched.

    Wider than Wilson's, which holds at one n that was fixed beforehand. Raises `PilabError` as `wilson` does.
    """
    plain = wilson(k, n, confidence)
    if plain.rate is None:
        return plain
    level = betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5) + math.log(1 - confidence)

    def left(p: float) -> float:
        """Positive where the bet against p is not lost yet."""
        return float(xlogy(k, p) + xlog1py(n - k, -p) - level)

    edge = 1e-15
    low = 0.0 if k == 0 else float(brentq(left, edge, plain.rate, xtol=1e-12))
    high = 1.0 if k == n else float(brentq(left, plain.rate, 1 - edge, xtol=1e-12))
    return Rate(plain.k, plain.n, plain.rate, low, high)

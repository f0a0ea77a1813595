"""How many trials it takes, said before the first of them.

Too few trials find nothing even where there is something; what is not found then is no result. State the smallest effect that
matters, and compute n from it.

Source: R. J. Connor, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43 (1987)
207–211, whose formula is where the search begins; power itself is that of the exact test.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom, norm

from pilab.contracts import PilabError
from pilab.evaluation.statistics import check_confidence, wilson


def paired_power(pairs: int, difference: float, discordant: float, alpha: float = 0.05) -> float:
    """The probability that the exact McNemar test of so many pairs finds a difference of two rates.

    difference: of the rates, a fraction. discordant: the share of pairs in which the two outcomes differ. Raises `PilabError`
    for numbers that no two rates have.
    """
    gap = abs(difference)
    if not 0 < gap <= discordant <= 1:
        raise PilabError(
            f"difference {difference} with a share of {discordant} of pairs that differ; expected 0 < |difference| ≤ share ≤ 1"
        )
    check_confidence(1 - alpha)
    wins, power = (discordant + gap) / (2 * discordant), 0.0
    shares = binom.pmf(np.arange(pairs + 1), pairs, discordant)
    for differing in np.flatnonzero(shares > 1e-9):
        # The largest number of losses that the two-sided test at alpha still rejects; it is symmetric under no difference.
        few = int(binom.ppf(alpha / 2, differing, 0.5))
        while few >= 0 and binom.cdf(few, differing, 0.5) > alpha / 2:
            few -= 1
        if few >= 0:
            reject = binom.cdf(few, differing, wins) + binom.sf(differing - few - 1, differing, wins)
            power += float(shares[differing] * reject)
    return power


def pairs_needed(difference: float, discordant: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest pairs from which on the exact McNemar test has that power. Raises `PilabError` as `paired_power` does.

    `pairs_needed(0.10, 0.30)`: two policies that differ in 30 % of the scenes, by 10 points.
    """
    paired_power(1, difference, discordant, alpha)
    check_confidence(power)
    gap, z = abs(difference), (norm.isf(alpha / 2), norm.isf(1 - power))
    root = z[0] * math.sqrt(discordant) + z[1] * math.sqrt(max(0.0, discordant - gap**2))
    n = max(1, int(root**2 / gap**2 * 0.8))
    # Power goes up in little waves, because pairs are counted: look a wave further.
    while any(paired_power(m, difference, discordant, alpha) < power for m in range(n, n + 8)):
        n += 1
    return n


def trials_needed(rate: float, width: float, confidence: float = 0.95) -> int:
    """The fewest trials after which Wilson's interval of such a rate is no wider than `width` (fractions)."""
    if not 0 <= rate <= 1 or not 0 < width < 1:
        raise PilabError(f"rate {rate}, width {width}; expected fractions, the width above 0 and below 1")

    def wide(n: int) -> float:
        found = wilson(round(rate * n), n, confidence)
        return found.high - found.low

    high = 1
    while wide(high) > width:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) > width else (low, middle)
    return high

"""What several factors do to a rate together: logistic regression, after statsmodels.

log(p / (1 − p)) = β₀ + Σ βᵢ xᵢ. An **interaction** is the product of two columns: does the one factor do more where the other
is larger? Trials that share a scene are no independent trials; with `clusters`, standard errors are those of a sandwich
over groups (Liang and Zeger, Biometrika 73 (1986) 13–22).
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from pilab.contracts import PilabError
from pilab.evaluation.statistics import p_text


@dataclass(frozen=True)
class Coefficient:
    """What a unit of a factor adds to the logarithm of the odds, with its 95 % interval (Wald) and two-sided p."""

    estimate: float
    low: float
    high: float
    p: float

    def text(self) -> str:
        """For tables: `odds × 2.7 [1.2, 6.0], p = 0.012`."""
        odds, low, high = np.exp([self.estimate, self.low, self.high])
        return f"odds × {odds:.2g} [{low:.2g}, {high:.2g}], {p_text(self.p)}"


def logistic(
    success: Sequence[bool], factors: Mapping[str, Sequence[float]], clusters: Sequence[Hashable] | None = None
) -> dict[str, Coefficient]:
    """Fit by maximum likelihood; factor → coefficient, `constant` among them.

    factors: name → a number for each trial. clusters: for each trial its group, such as its scene. Raises `PilabError` for
    columns of other lengths, factors that say the same as others, and successes that they tell without fail (no maximum).
    """
    import statsmodels.api as sm  # half a second, and pandas: not before it is wanted

    lengths = {name: len(column) for name, column in factors.items()}
    if not len(success) or set(lengths.values()) != {len(success)}:
        raise PilabError(
            f"{len(success)} trials, and factors of {lengths} numbers; expected one number for every trial"
        )
    y, names = np.asarray(success, float), ["constant", *factors]
    x = np.column_stack([np.ones(len(y)), *(np.asarray(column, float) for column in factors.values())])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise PilabError(f"factors {', '.join(factors)} say the same in part: one of them follows from the others")
    how = {}
    if clusters is not None:
        groups = np.unique([str(c) for c in clusters], return_inverse=True)[1]
        how = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is looked at below
        found = sm.GLM(y, x, family=sm.families.Binomial()).fit(**how)
    if not found.converged or np.abs(found.fittedvalues - y).max() < 1e-4 or np.abs(found.params).max() > 15:
        raise PilabError(f"factors {', '.join(factors)} tell success without fail in part: odds are beyond all bounds")
    z = norm.ppf(0.975)
    return {
        name: Coefficient(float(b), float(b - z * e), float(b + z * e), float(p))
        for name, b, e, p in zip(names, found.params, found.bse, found.pvalues, strict=True)
    }

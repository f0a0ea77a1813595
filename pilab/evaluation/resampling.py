"""How sure a mean is, and whether a difference is chance, from the data alone: bootstrap and permutation, over clusters.

Trials that share an object, a scene or a training are no independent trials: whole clusters are drawn anew, or change sides,
with all that belongs to them. No distribution is assumed, so any number will do: progress, seconds, a share of steps.

Sources: B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987) 171–185 (BCa). R. A. Fisher, "The design of
experiments" (1935) chapter 3 (permutation of pairs).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, permutation_test

from pilab.contracts import PilabError
from pilab.evaluation.statistics import check_confidence


@dataclass(frozen=True)
class Mean:
    """A mean over all trials, with an interval over clusters."""

    estimate: float
    low: float
    high: float
    clusters: int


def cluster_bootstrap(
    by_cluster: Mapping[Hashable, Sequence[float]], confidence: float = 0.95, samples: int = 9999, seed: int = 0
) -> Mean:
    """The mean of all outcomes, with a bootstrap interval (BCa) over clusters.

    by_cluster: cluster → outcomes, booleans or numbers; for a difference of paired trials, their differences. Raises
    `PilabError` for fewer than two clusters, one without outcomes, or a confidence that is no fraction.
    """
    check_confidence(confidence)
    groups = _groups(by_cluster)
    sums, counts = np.array([[group.sum(), len(group)] for group in groups]).T

    def mean(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        rows = chosen.astype(int)
        return sums[rows].sum(axis) / counts[rows].sum(axis)

    estimate = float(sums.sum() / counts.sum())
    if np.ptp(sums / counts) == 0:  # all clusters are alike: nothing varies
        return Mean(estimate, estimate, estimate, len(groups))
    found = bootstrap(
        (np.arange(len(groups)),), mean, n_resamples=samples, confidence_level=confidence, method="BCa", vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Mean(estimate, float(found.low), float(found.high), len(groups))


def permutation(
    a: Mapping[Hashable, Sequence[float]], b: Mapping[Hashable, Sequence[float]], samples: int = 9999, seed: int = 0
) -> float:
    """Two-sided p that clusters of a (cluster → outcomes) and of b differ in their means by chance alone.

    Were a and b the same, each cluster could as well have stood on the other side; all ways to deal them are tried, or
    `samples` of them where there are more. Raises `PilabError` for unequal clusters, fewer than two, or one without outcomes.
    """
    if set(a) != set(b):
        raise PilabError(f"clusters {list(a)} against {list(b)}; expected the same on both sides")
    for side in (a, b):
        _groups(side)
    gaps = np.array([np.mean(a[key]) - np.mean(b[key]) for key in a])
    found = permutation_test(
        (gaps,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True, n_resamples=samples,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def _groups(by_cluster: Mapping[Hashable, Sequence[float]]) -> list[np.ndarray]:
    groups = [np.asarray(values, float) for values in by_cluster.values()]
    if len(groups) < 2 or not all(group.size for group in groups):
        raise PilabError(f"{len(groups)} clusters; expected at least 2, each with outcomes")
    return groups

"""How much is a quantity in some features? What a linear read-out makes of it, on episodes it has not seen.

Design choices
--------------
* **Linear, so that the features do the work** (Alain and Bengio 2016, arXiv:1610.01644): ridge regression on standardised
  features, in its dual form, for there are more features than frames. What a policy could read with more layers may be more.
* **Folds are whole episodes**, and so are those within the training part by which the ridge's strength is chosen. Frames of
  one episode are alike: who has seen the one knows the next.
* A number, and whether something is so, are read out alike; the one is judged by R², the other by the area under the curve
  of a score (AUROC: how often it is higher where it is so than where it is not).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold

from pilab.contracts import PilabError

STRENGTHS = 10.0 ** np.arange(-4, 3)  # of the ridge, over the mean of the kernel's diagonal


@dataclass(frozen=True)
class Fold:
    """What was read out of episodes that the read-out was not fitted to."""

    rows: np.ndarray  # which frames
    said: np.ndarray  # what it says of them
    score: float  # R² of a number, AUROC of what is so or not


def kernel(features: np.ndarray) -> np.ndarray:
    """features (N, D) → (N, N): products of standardised features, their mean over D."""
    even = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    return even @ even.T / features.shape[1]


def read_out(alike: np.ndarray, target: np.ndarray, episodes: np.ndarray, folds: int = 5) -> list[Fold]:
    """alike (N, N): the `kernel` of the features; target (N,) numbers or bool; episodes (N,): which frames belong together.

    A fold whose target is the same throughout says nothing and is left out. Raises `PilabError` for too few episodes.
    """
    if not len(alike) == len(target) == len(episodes):
        raise PilabError(f"{len(alike)} features, {len(target)} targets, {len(episodes)} episodes: one of each a frame")
    if (there := len(np.unique(episodes))) < folds:
        raise PilabError(f"{there} episodes in {folds} folds; expected at least one in each")
    truth, score, found = target.astype(float), roc_auc_score if target.dtype == bool else r2_score, []
    for fitted, asked in GroupKFold(folds).split(truth, groups=episodes):
        if min(np.ptp(truth[fitted]), np.ptp(truth[asked])) == 0:
            continue
        within = list(GroupKFold(min(4, len(np.unique(episodes[fitted])))).split(fitted, groups=episodes[fitted]))
        errors = [
            sum(
                ((_said(alike, truth, fitted[a], fitted[b], strength) - truth[fitted[b]]) ** 2).sum() for a, b in within
            )
            for strength in STRENGTHS
        ]
        said = _said(alike, truth, fitted, asked, STRENGTHS[int(np.argmin(errors))])
        found.append(Fold(asked, said, float(score(target[asked], said))))
    return found


def _said(alike: np.ndarray, truth: np.ndarray, fitted: np.ndarray, asked: np.ndarray, strength: float) -> np.ndarray:
    mean = truth[fitted].mean()
    reader = KernelRidge(alpha=strength, kernel="precomputed").fit(alike[np.ix_(fitted, fitted)], truth[fitted] - mean)
    return mean + reader.predict(alike[np.ix_(asked, fitted)])

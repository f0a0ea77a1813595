"""How much is a quantity in some features? What a linear read-out makes of it, on episodes it has not seen.

Design choices
--------------
* **Linear, so that the features do the work** (Alain and Bengio 2016, arXiv:1610.01644): ridge regression on standardised
  features, in its dual form, for there are more features than frames. What a policy could read with more layers may be more.
* **Folds are whole episodes**, and so are those within the training part by which the ridge's strength is chosen. Frames of
  one episode are alike: who has seen the one knows the next.
* A number, and whether something is so, are read out alike; the one is judged by R², the other by the area under the curve
  of a score (AUROC: how often it is higher where it is so than where it is not).
* A vector is judged by one R² for all its numbers, which is the same in every frame at rest; one of several classes by the
  mean AUROC of a read-out for each class, whose chance is one half however many classes there are, and however unequal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from pilab.contracts import PilabError

NUMBERS, OTHERWISE = 0.0, 0.5  # what is scored where nothing is known: R², AUROC
STRENGTHS = 10.0 ** np.arange(-4, 3)  # of the ridge, over the mean of the kernel's diagonal


@dataclass(frozen=True)
class Fold:
    """What was read out of episodes that the read-out was not fitted to."""

    rows: np.ndarray  # which frames
    said: np.ndarray  # what it says of them; of a vector (n, k), of classes (n, K)
    score: float  # R² of a number or vector, AUROC of what is so or not, its mean over classes
    classes: tuple[str, ...] = ()  # the columns of what is said of classes


def chance(target: np.ndarray) -> float:
    """The score of who knows nothing of it: 0 of numbers, one half of what is so or not, and of classes."""
    return NUMBERS if target.dtype != bool and target.dtype.kind not in "USO" else OTHERWISE


def kernel(features: np.ndarray) -> np.ndarray:
    """features (N, D) → (N, N): products of standardised features, their mean over D."""
    even = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    return even @ even.T / features.shape[1]


def bent(x: np.ndarray, rng: np.random.Generator, count: int = 500) -> np.ndarray:
    """Numbers (N, D) with `count` random features beside them (Rahimi and Recht 2007, "Random features for large-scale kernel
    machines"), so that a linear read-out of them may bend: (N, D + count).
    """
    even = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    turns = rng.standard_normal((x.shape[1], count)) / x.shape[1] ** 0.5
    return np.concatenate([even, np.cos(even @ turns + rng.uniform(0, 2 * np.pi, count))], 1)


def read_out(alike: np.ndarray, target: np.ndarray, episodes: np.ndarray, folds: int = 5) -> list[Fold]:
    """alike (N, N): the `kernel` of the features; target: numbers or bool (N,), vectors (N, k), or classes (N,) as strings;
    episodes (N,): which frames belong together.

    A fold whose target is the same throughout says nothing and is left out; so is, of a fold, a class that is not both there
    and not there among the frames fitted and among those asked. Raises `PilabError` for too few episodes.
    """
    if not len(alike) == len(target) == len(episodes):
        raise PilabError(f"{len(alike)} features, {len(target)} targets, {len(episodes)} episodes: one of each a frame")
    if (there := len(np.unique(episodes))) < folds:
        raise PilabError(f"{there} episodes in {folds} folds; expected at least one in each")
    truth, classes, found = target, (), []
    if chance(target) == OTHERWISE and target.dtype != bool:
        classes = tuple(map(str, np.unique(target)))
        truth = target[:, None] == np.array(classes, target.dtype)
    truth = truth.astype(float)
    for fitted, asked in GroupKFold(folds).split(truth, groups=episodes):
        varies = np.minimum(np.ptp(truth[fitted], 0), np.ptp(truth[asked], 0)) > 0
        if not varies.any():
            continue
        within = list(GroupKFold(min(4, len(np.unique(episodes[fitted])))).split(fitted, groups=episodes[fitted]))
        errors = [
            sum(
                ((_said(alike, truth, fitted[a], fitted[b], strength) - truth[fitted[b]]) ** 2).sum() for a, b in within
            )
            for strength in STRENGTHS
        ]
        said = _said(alike, truth, fitted, asked, STRENGTHS[int(np.argmin(errors))])
        found.append(Fold(asked, said, _score(target, truth[asked], said, varies), classes))
    return found


def _score(target: np.ndarray, truth: np.ndarray, said: np.ndarray, varies: np.ndarray) -> float:
    if chance(target) == NUMBERS:
        return float(1 - ((said - truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum())
    there, told = (x.reshape(len(truth), -1)[:, np.atleast_1d(varies)] for x in (truth, said))
    return float(np.mean([roc_auc_score(so, scores) for so, scores in zip(there.T, told.T, strict=True)]))


def _said(alike: np.ndarray, truth: np.ndarray, fitted: np.ndarray, asked: np.ndarray, strength: float) -> np.ndarray:
    mean = truth[fitted].mean(0)
    reader = alike[np.ix_(fitted, fitted)] + strength * np.eye(len(fitted))
    return mean + alike[np.ix_(asked, fitted)] @ solve(reader, truth[fitted] - mean, assume_a="pos")

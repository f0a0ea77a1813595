"""The statistics of stats.json: per feature min, max, mean, std, count and five quantiles.

Design choices
--------------
* Shapes are LeRobot's: (D,) for vectors, (1,) for scalars, (3, 1, 1) in 0 … 1 for images, `count` (1,) in frames.
* Within an episode the quantiles are exact; images go through a histogram of their 256 levels.
* **Merging is incremental**: episode into dataset, without reading a file. Means and variances merge exactly (Chan et
  al. 1983); quantiles as the envelope over episodes (the least of q01, q10, q50, the greatest of q90, q99). LeRobot
  0.6.1 averages them instead; the envelope is the wider, which is what a normaliser that clips wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pilab.data.lerobot.format import IMAGES, Feature

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Stats = dict[str, dict[str, np.ndarray]]  # feature → statistic → array


def episode_stats(arrays: Mapping[str, Any], features: Mapping[str, Feature]) -> Stats:
    """Statistics of one episode: arrays (T, …) of every numeric and colour image feature present."""
    kinds = {key: features[key] for key in arrays if features[key].dtype not in ("string", "language")}
    return {
        key: _image(arrays[key]) if feature.dtype in IMAGES else _vector(np.asarray(arrays[key], np.float64))
        for key, feature in kinds.items()
    }


def _vector(values: np.ndarray) -> dict[str, np.ndarray]:
    """(T, …, D) → statistics (D,), over time and every axis but the last, as LeRobot has them; scalars as (1,)."""
    length = len(values)
    values = values[:, None] if values.ndim == 1 else values.reshape(-1, values.shape[-1])
    out = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    out["count"] = np.array([length])
    return out | dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values()), axis=0), strict=True))


def _image(frames: np.ndarray) -> dict[str, np.ndarray]:
    """(T, H, W, 3) uint8 → statistics (3, 1, 1) in 0 … 1, of about T^¾ frames (at least 100) of at most ~300 pixels."""
    count = min(len(frames), max(100, int(len(frames) ** 0.75)))
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    step = max(1, max(frames.shape[1:3]) // 150) if max(frames.shape[1:3]) >= 300 else 1
    pixels = frames[chosen, ::step, ::step].reshape(-1, frames.shape[-1])
    levels = np.arange(256) / 255
    out: dict[str, list[float]] = {name: [] for name in ("min", "max", "mean", "std", *QUANTILES)}
    for channel in pixels.T:
        histogram = np.bincount(channel, minlength=256)
        seen = np.flatnonzero(histogram)
        share = histogram / histogram.sum()
        mean = share @ levels
        quantiles = np.searchsorted(np.cumsum(share), np.array(list(QUANTILES.values())) - 1e-12)
        rest = dict(zip(QUANTILES, levels[np.minimum(quantiles, 255)], strict=True))
        spread = np.sqrt(share @ (levels - mean) ** 2)
        for name, value in {
            "min": levels[seen[0]],
            "max": levels[seen[-1]],
            "mean": mean,
            "std": spread,
            **rest,
        }.items():
            out[name].append(float(value))
    return {name: np.array(v).reshape(-1, 1, 1) for name, v in out.items()} | {"count": np.array([count])}


def merge(a: Stats, b: Stats) -> Stats:
    """The statistics of two sets of episodes together; a feature that only one of them has is taken as it is."""
    return {key: _merge(a[key], b[key]) if key in a and key in b else a.get(key, b.get(key, {})) for key in {**a, **b}}


def _merge(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    n, m = int(a["count"][0]), int(b["count"][0])
    share = m / (n + m)
    mean = a["mean"] + (b["mean"] - a["mean"]) * share
    variance = (1 - share) * a["std"] ** 2 + share * b["std"] ** 2 + share * (1 - share) * (b["mean"] - a["mean"]) ** 2
    out = {"min": np.minimum(a["min"], b["min"]), "max": np.maximum(a["max"], b["max"]), "mean": mean}
    out |= {"std": np.sqrt(variance), "count": np.array([n + m])}
    shared = [name for name in QUANTILES if name in a and name in b]
    return out | {q: (np.minimum if QUANTILES[q] <= 0.5 else np.maximum)(a[q], b[q]) for q in shared}


def to_json(stats: Stats) -> dict[str, dict[str, list]]:
    return {key: {name: value.tolist() for name, value in entry.items()} for key, entry in stats.items()}


def from_json(body: Mapping[str, Mapping[str, Any]]) -> Stats:
    return {
        key: {
            name: np.atleast_1d(np.asarray(value, np.int64 if name == "count" else np.float64))
            for name, value in e.items()
        }
        for key, e in body.items()
    }

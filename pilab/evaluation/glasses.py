"""Glasses: what an observation looks like through something. For perturbations, and to take sensors away.

A pair is a function of the observation, made for one episode: it may remember what it saw. `where` says what it is about:
key → which part of its value (an index; ... for all of it), or None for what is left alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from scipy.ndimage import gaussian_filter

from pilab.contracts import Observation

Glasses = Callable[[Observation], Observation]
Where = Callable[[str], Any]
IMAGES = "observation.images."


class Pairs(Protocol):
    """A pair for every episode, by the seed of its scene. always: it has to see every step, whether the policy looks or not."""

    always: bool

    def __call__(self, seed: int) -> Glasses: ...


def over(first: Glasses | None, then: Glasses) -> Glasses:
    """One pair over another, if there is one."""
    return (lambda seen: then(first(seen))) if first else then


def pictures(key: str) -> Any:
    """All of every picture: a `Where`."""
    return ... if key.startswith(IMAGES) else None


def through(where: Where, change: Callable[[np.ndarray], np.ndarray]) -> Glasses:
    """Each value by itself, changed where it is asked for. change: (…) → (…), of the same shape."""

    def look(seen: Observation) -> Observation:
        return {
            **seen,
            **_parts(seen, where, {key: change(np.asarray(seen[key])) for key in seen if where(key) is not None}),
        }

    return look


def blurred(where: Where, pixels: float) -> Glasses:
    """Out of focus. pixels: standard deviation."""
    return through(where, lambda v: gaussian_filter(v, (pixels, pixels, 0)))


def grainy(where: Where, size: float, rng: np.random.Generator) -> Glasses:
    """With noise of that standard deviation; pictures stay within 0 … 255."""

    def grain(value: np.ndarray) -> np.ndarray:
        noisy = value + rng.normal(0, size, value.shape)
        return (np.clip(noisy, 0, 255) if value.dtype == np.uint8 else noisy).astype(value.dtype)

    return through(where, grain)


def dimmed(where: Where, share: float) -> Glasses:
    """That share of it; 0 for nothing at all."""
    return through(where, lambda v: (v * share).astype(v.dtype))


def late(where: Where, steps: int) -> Glasses:
    """What was seen so many observations ago, at first the first one."""
    before: deque[Observation] = deque(maxlen=steps + 1)

    def look(seen: Observation) -> Observation:
        before.append({key: np.array(seen[key]) for key in seen if where(key) is not None})
        return {**seen, **_parts(seen, where, before[0])}

    return look


def stuttering(where: Where, moves: Callable[[], bool]) -> Glasses:
    """What was seen when it last moved. moves: asked at every observation; never again for a still picture."""
    kept: dict[str, np.ndarray] = {}

    def look(seen: Observation) -> Observation:
        if not kept or moves():
            kept.update({key: np.array(seen[key]) for key in seen if where(key) is not None})
        return {**seen, **_parts(seen, where, kept)}

    return look


def averted(where: Where, while_: Callable[[Observation], bool]) -> Glasses:
    """What was seen before, as long as something is so: eyes that look away from what matters."""
    kept: dict[str, np.ndarray] = {}

    def look(seen: Observation) -> Observation:
        if not kept or not while_(seen):
            kept.update({key: np.array(seen[key]) for key in seen if where(key) is not None})
        return {**seen, **_parts(seen, where, kept)}

    return look


def _parts(seen: Observation, where: Where, changed: Mapping[str, np.ndarray]) -> Observation:
    """The values that are asked for, changed in the part that is asked for."""
    found = {}
    for key, other in changed.items():
        found[key] = np.array(seen[key])
        found[key][where(key)] = other[where(key)]
    return found

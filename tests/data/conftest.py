"""A small robot's recordings: two cameras, the project's columns, drawn objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pilab.data.lerobot import Feature

JOINTS = ["left", "right", "gripper"]
FEATURES = {
    "observation.state": Feature("float32", (3,), JOINTS),
    "action": Feature("float32", (3,), JOINTS),
    "executed": Feature("float32", (3,), JOINTS),
    "observation.images.base": Feature.image(32, 48),
    "observation.images.wrist": Feature.image(16, 16),
    "subtask": Feature("string"),
    "source": Feature("string"),
    "is_intervention": Feature("bool"),
    "next.success": Feature("bool"),
    "points.base": Feature("float32", (6,), [f"{slot}.{axis}" for slot in "ab" for axis in "uvz"]),
}


def draw(length: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3): a shaded table with two saturated squares, one of them moving."""
    shade = np.linspace(120, 200, height)[:, None] * np.ones(width)
    frames = np.repeat(np.stack([shade, shade * 0.9, shade * 0.8], -1)[None], length, 0).astype(np.uint8)
    colours = rng.integers(0, 2, (2, 3)) * 200 + 20
    size = height // 3
    for t in range(length):
        frames[t, 2 : 2 + size, 2 : 2 + size] = colours[0]
        x = t % (width - size)
        frames[t, -size - 2 : -2, x : x + size] = colours[1]
    return frames


def make_episode(seed: int, length: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    floats = {
        key: rng.normal(size=(length, *f.shape)).astype(f.dtype) for key, f in FEATURES.items() if f.dtype == "float32"
    }
    images = {key: draw(length, *f.shape[:2], rng) for key, f in FEATURES.items() if f.dtype == "video"}
    return {
        **floats,
        **images,
        "subtask": [f"reach {k // 5}" for k in range(length)],
        "source": ["human" if k % 3 else "policy" for k in range(length)],
        "is_intervention": np.arange(length) % 3 > 0,
        "next.success": np.arange(length) == length - 1,
    }


@pytest.fixture
def features() -> dict[str, Feature]:
    return dict(FEATURES)


@pytest.fixture
def episode():
    return make_episode

"""What the widgets share: their scripts, each with the same few helpers before it, pictures as the page takes them, runs."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def script(name: str) -> str:
    """The ES module of a widget: `dom.js`, then its own file. A page loads it as one text, so there is nothing to import."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("dom.js", name))


def jpeg(picture: np.ndarray, quality: int = 85, sharp: bool = False) -> bytes:
    """(H, W, 3) uint8 → JPEG bytes. sharp: colours at every pixel, for marks and letters, not at every second one."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=quality, subsampling="4:4:4" if sharp else "4:2:0")
    return buffer.getvalue()


def runs(values: Sequence[Any]) -> list[tuple[int, int, Any]]:
    """Runs of the same value: first index, index after the last, value."""
    edges = [0, *(k for k in range(1, len(values)) if values[k] != values[k - 1]), len(values)]
    return [(a, b, values[a]) for a, b in itertools.pairwise(edges)]

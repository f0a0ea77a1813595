"""What the widgets share: their scripts, each with the same few helpers before it, and pictures as the page takes them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def script(name: str) -> str:
    """The ES module of a widget: `dom.js`, then its own file. A page loads it as one text, so there is nothing to import."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("dom.js", name))


def jpeg(picture: np.ndarray, quality: int = 85) -> bytes:
    """(H, W, 3) uint8 → JPEG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=quality)
    return buffer.getvalue()

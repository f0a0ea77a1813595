"""Frames as pictures for a notebook: a film strip, an animated PNG under a byte limit, a sheet of labelled images.

An animated PNG plays wherever a PNG is shown, GitHub included, without a video player. All its frames share one
palette and are not dithered: a still background stays bit-identical from frame to frame and costs no bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pilab.contracts import PilabError

GAP = 6  # px between images
SEEN = 880  # px: the width of GitHub's column, to which it shrinks what is wider
LETTERS = 13  # px: height of the letters there
PAPER, INK = (255, 255, 255), (34, 34, 34)


def film_strip(frames: np.ndarray, count: int = 6, captions: Sequence[str] | None = None) -> Image.Image:
    """`count` frames (all, if there are fewer) at equal distances, the first and the last among them, in one row.

    `frames` is (T, H, W, 3) uint8; `captions`, one per frame shown, stand below.
    """
    frames = _checked(frames)
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return contact_sheet(frames[chosen], captions, columns=len(chosen))


def contact_sheet(
    images: Sequence[np.ndarray | Image.Image], labels: Sequence[str] | None = None, columns: int = 4
) -> Image.Image:
    """Images in rows of `columns`, labels below; cells are as large as the largest image, the others centred.

    The sheet is made to be seen in a column `SEEN` wide: larger images shrink, small ones grow by whole factors (up
    to 4, pixels stay pixels), and letters have the same size there. Raises `PilabError` for no images, or for labels
    that are not as many.
    """
    pictures = [image if isinstance(image, Image.Image) else Image.fromarray(image) for image in images]
    if not pictures or (labels is not None and len(labels) != len(pictures)):
        raise PilabError(f"{len(pictures)} images with {len(labels or ())} labels; expected a label for each, or none")
    columns = min(columns, len(pictures))
    widest = columns * max(picture.width for picture in pictures)
    zoom = min(1.0, 2 * SEEN / widest) if widest > SEEN else min(4, SEEN // widest)
    pictures = [_zoomed(picture, zoom) for picture in pictures]
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    font = ImageFont.load_default(LETTERS * max(1.0, columns * width / SEEN))
    letters = max(1, int(width / font.getlength("n")))
    texts = ["\n".join(textwrap.wrap(label, letters)) for label in labels or [""] * len(pictures)]
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    below = max(int(draw.multiline_textbbox((0, 0), text, font)[3]) + GAP for text in texts) if labels else 0
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + below + GAP) - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        x, y = i % columns * (width + GAP), i // columns * (height + below + GAP)
        sheet.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
        draw.multiline_text((x + width / 2, y + height + GAP // 2), text, INK, font, anchor="ma", align="center")
    return sheet


def animate(frames: np.ndarray, path: str | Path | None, fps: float, max_bytes: int = 1_000_000) -> bytes:
    """An animated PNG of `frames` (T, H, W, 3) uint8 at `fps`, at most `max_bytes` long; written to `path` if given.

    Where it is too long it loses, step by step and in this order, colours (256 to 128), frames (down to a third, at the
    same speed of the action) and size (down to a quarter). Raises `PilabError` when even that is too long.
    """
    frames = _checked(frames)
    ratio = 0.0  # bytes per estimated unit of work, learnt from the last attempt, to skip the hopeless ones
    for shrink, step, colours in product((1, 1.5, 2, 3, 4), (1, 2, 3), (256, 128)):
        work = len(frames[::step]) / shrink**2 * colours**0.3
        last = (shrink, step, colours) == (4, 3, 128)
        if work * ratio > 1.2 * max_bytes and not last:
            continue
        data = _encode(frames[::step], fps / step, shrink, colours)
        if len(data) <= max_bytes:
            if path is not None:
                Path(path).write_bytes(data)
            return data
        ratio = len(data) / work
    raise PilabError(f"{len(frames)} frames do not fit into {max_bytes} bytes (best: {len(data)}); show fewer of them")


def _encode(frames: np.ndarray, fps: float, shrink: float, colours: int) -> bytes:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures = [_zoomed(picture, 1 / shrink) for picture in pictures]
    sample = np.concatenate([np.asarray(picture) for picture in pictures[:: max(1, len(pictures) // 8)]])
    palette = Image.fromarray(sample).quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    data = io.BytesIO()
    rest = {"save_all": True, "append_images": pictures[1:], "duration": 1000 / fps, "loop": 0}
    pictures[0].save(data, "PNG", **(rest if len(pictures) > 1 else {}), optimize=False)
    return data.getvalue()


def _zoomed(picture: Image.Image, factor: float) -> Image.Image:
    size = tuple(max(1, round(edge * factor)) for edge in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST)


def _checked(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise PilabError(f"frames are {frames.dtype} {frames.shape}; expected uint8 (T, H, W, 3) with T > 0")
    return frames

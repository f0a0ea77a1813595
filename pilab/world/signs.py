"""A card with words on it: flat on the table, read by any camera that looks.

The picture is a *decal*: the card's builder leaves its text in the model, and the ray caster looks the colour up where a ray
meets the card's upper face. Pillow's built-in bitmap font is the same on every machine, so pixels stay reproducible.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pilab.contracts import Part, SceneError

KIND = "pilab.world.signs:build"
DECAL = "decal:"  # prefix of the model's text elements; the rest is the geom's name
HALF = (0.055, 0.030, 0.001)  # m
PIXELS = (60, 110)  # of the picture: height, width


def part(text: str, x: float, y: float, yaw: float = 0.0) -> Part:
    """A sign that says `text`: at most three lines of nine letters."""
    if not text.isascii() or not text.strip() or len(text) > 30:
        raise SceneError(f"a sign cannot say {text!r}; expected 1 to 30 ASCII characters")
    return Part("sign", KIND, (round(x, 4), round(y, 4), HALF[2]), round(yaw, 4), {"text": text})


def build(spec: mujoco.MjSpec, item: Part) -> None:
    """Add the card, drawn but not touched."""
    body = spec.worldbody.add_body(
        name=item.name, pos=item.position, quat=(math.cos(item.yaw / 2), 0, 0, math.sin(item.yaw / 2))
    )
    card = f"{item.name}_card"
    body.add_geom(
        name=card, type=mujoco.mjtGeom.mjGEOM_BOX, size=HALF, rgba=(0.98, 0.94, 0.55, 1), contype=0, conaffinity=0
    )
    spec.add_text(name=f"{DECAL}{card}", data=item.parameters["text"])


def picture(text: str) -> np.ndarray:
    """(60, 110, 3) uint8: black letters on yellow, the words spread over the lines they need."""
    words, lines = text.upper().split(), [""]
    for word in words:
        joined = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], joined] if len(joined) <= 9 else [*lines, word]
    font = ImageFont.load_default_imagefont()
    small = Image.new("L", (6 * max(map(len, lines)), 11 * len(lines)), 0)
    for i, line in enumerate(lines):
        ImageDraw.Draw(small).text((0, 11 * i), line, fill=255, font=font)
    factor = min((PIXELS[1] - 6) / small.width, (PIXELS[0] - 6) / small.height)
    letters = small.resize((int(small.width * factor), int(small.height * factor)), Image.Resampling.BILINEAR)
    canvas = Image.new("L", PIXELS[::-1], 0)
    canvas.paste(letters, ((PIXELS[1] - letters.width) // 2, (PIXELS[0] - letters.height) // 2))
    ink = np.asarray(canvas, np.float32)[..., None] / 255
    return (np.array([250, 240, 140]) * (1 - ink) + np.array([20, 20, 20]) * ink).astype(np.uint8)

"""Words below pictures: paragraphs of several tones and sizes, on paper as wide as what stands above them.

Letters have one size on the page, whatever the picture is: `letters` counts in that a column shrinks what is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from pilab.figures.strips import GAP, INK, LETTERS, PAPER, SEEN

Colour = tuple[int, int, int]
LEADING = 1.3  # from line to line, in heights of the letters
RULE = 2  # px: width of a rule


class Paragraph(NamedTuple):
    """Text in one tone; `size` is relative to the letters of the figure.

    rule: colour of a line along its left side, for what is quoted; it joins that of the paragraph before.
    """

    text: str
    tone: Colour = INK
    size: float = 1.0
    rule: Colour | None = None


def letters(width: float) -> float:
    """Height of letters, px, that are `LETTERS` high once a picture of `width` px is shown in a column."""
    return LETTERS * max(1.0, width / SEEN)


def paper(paragraphs: Sequence[Paragraph], width: int, height: float) -> Image.Image:
    """Paragraphs below each other, `width` px wide and as tall as they need; letters of size 1 are `height` px."""
    blocks, y, before = [], 0.0, None
    for paragraph in paragraphs:
        quoted = paragraph.rule is not None
        left, font = GAP + 2 * GAP * quoted, ImageFont.load_default(height * paragraph.size)
        lines = wrapped(paragraph.text, width - left - GAP, font)
        if before is not None and quoted != (before.rule is not None):
            y += GAP / 2  # what is quoted stands apart
        blocks.append((paragraph, left, y, font, lines))
        y, before = y + len(lines) * LEADING * font.size, paragraph
    sheet = Image.new("RGB", (width, round(y) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for paragraph, left, top, font, lines in blocks:
        pitch = LEADING * font.size
        if paragraph.rule is not None:
            shift = pitch / 8  # letters stand low in their line
            draw.rectangle((GAP, top + shift, GAP + RULE - 1, top + len(lines) * pitch + shift), paragraph.rule)
        for i, line in enumerate(lines):
            draw.text((left, round(top + i * pitch)), line, paragraph.tone, font)  # whole pixels: crisp
    return sheet


def wrapped(text: str, width: float, font: ImageFont.FreeTypeFont) -> list[str]:
    """Lines at most `width` px long; a word that is longer than a line is broken."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]

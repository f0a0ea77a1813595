"""What a policy sees and has in mind: its camera pictures with its points and heat maps, its words, and whose they are.

* **Pixels stay honest**: pictures and heat maps grow by nearest neighbour, so a cell on show is a cell of the network.
  Marks lie above them, smooth, with the exact point as a dot in the middle.
* **Roles are told apart without colour**: a ring is the object, a diamond the place, and each is named beside it.
* **A heat map is shown relative to its own peak**: a sure policy makes a spot, an unsure one a fog.
* **Nothing is dropped in silence**: a point outside the picture, a camera or role that does not exist, or heat of
  another shape is an error; a camera without a picture is a frame that says so, with what the policy believes there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from pilab.contracts import TASK, CameraSpec, Embodiment, Observation, PilabError, Thought, UnknownNameError, image_key
from pilab.figures.strips import GAP, INK, LETTERS, PAPER, SEEN
from pilab.figures.theme import GREY, GRID, PALETTE

# Of Thought.points and of heat. No object is painted sky blue and no place yellow: a mark differs from its own thing.
ROLES = {"object": ImageColor.getrgb(PALETTE[4]), "place": ImageColor.getrgb(PALETTE[6])}
OPAQUE = 0.5  # how much of the picture a heat map hides at its peak
RADIUS = 1 / 13  # of a mark, in heights of the picture: an object of 12 px in 96 fits inside
SMOOTH = 4  # marks are drawn this many times larger, then averaged

Box = tuple[float, float, float, float]  # left, top, right, bottom; px


def draw_thought(
    observation: Observation,
    body: Embodiment,
    thought: Thought,
    heat: Mapping[str, np.ndarray] | None = None,
    height: int = 240,
) -> Image.Image:
    """The cameras of `body` side by side, each `height` px tall, the thought upon them and its words below.

    `heat` maps a camera to (2, h, w) probabilities of the object and of the place, on any grid that spans its picture.
    Raises `PilabError` for points, pictures or heat of another form, `UnknownNameError` for a camera or role unknown.
    """
    heat = heat or {}
    for name in (*thought.points, *heat):
        body.camera(name)
    panels = [_panel(observation, camera, thought, heat.get(camera.name), height) for camera in body.cameras]
    labels = [_label(observation, camera) for camera in body.cameras]
    row = _row(panels, labels, _font(sum(panel.width for panel in panels)))
    words = [f"instruction: {observation[TASK]}", _said(thought)]
    return _stack([row, _text(words, row.width, _font(row.width))])


def thought_strip(
    moments: Sequence[tuple[Observation, Thought]],
    body: Embodiment,
    camera: str | None = None,
    height: int = 160,
    columns: int = 4,
) -> Image.Image:
    """A film strip of moments as one camera (the body's first, if None) saw them, with points, and words below.

    The instruction stands under the first moment and wherever somebody changed it. Raises as `draw_thought` does, and
    `PilabError` for no moments.
    """
    if not moments:
        raise PilabError("a strip of 0 moments; expected at least one (observation, thought)")
    eye = body.cameras[0] if camera is None else body.camera(camera)
    panels, texts, instruction = [], [], None
    for observation, thought in moments:
        for name in thought.points:
            body.camera(name)
        panels.append(_panel(observation, eye, thought, None, height))
        changed = [f"instruction: {observation[TASK]}"] if observation[TASK] != instruction else []
        texts.append([*changed, _said(thought)])
        instruction = observation[TASK]
    columns = min(columns, len(panels))
    font = _font(columns * panels[0].width)
    return _stack([_row(panels[i : i + columns], texts[i : i + columns], font) for i in range(0, len(panels), columns)])


# ------------------------------------------------------------------------------------------------------------- pictures
def _panel(
    observation: Observation, camera: CameraSpec, thought: Thought, heat: np.ndarray | None, height: int
) -> Image.Image:
    """One camera: its picture or an empty frame, under the heat maps, under the marks."""
    pixels = observation.get(image_key(camera.name))
    panel = _empty(camera, height) if pixels is None else _scaled(pixels, camera.name, height)
    if heat is not None:
        panel = _heated(panel, heat, camera.name)
    return _marked(panel, thought.points.get(camera.name, {}), camera.name)


def _scaled(pixels: np.ndarray, camera: str, height: int) -> Image.Image:
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise PilabError(f"the picture of camera {camera!r} is {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3)")
    size = (round(pixels.shape[1] * height / len(pixels)), height)
    method = Image.Resampling.NEAREST if height >= len(pixels) else Image.Resampling.LANCZOS
    return Image.fromarray(pixels).resize(size, method)


def _empty(camera: CameraSpec, height: int) -> Image.Image:
    """A crossed-out frame in the shape the picture would have had."""
    panel = Image.new("RGB", (round(camera.width * height / camera.height), height), GRID)
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(height / 15)
    right, bottom = panel.width - 1, height - 1
    draw.line((0, 0, right, bottom), GREY)
    draw.line((0, bottom, right, 0), GREY)
    draw.rectangle((0, 0, right, bottom), outline=GREY)
    middle = (panel.width / 2, height / 2)
    draw.rectangle(_grown(draw.textbbox(middle, "absent", font, anchor="mm"), GAP), GRID)
    draw.text(middle, "absent", INK, font, anchor="mm")
    return panel


def _heated(panel: Image.Image, heat: np.ndarray, camera: str) -> Image.Image:
    """Each role's colour over the picture, in proportion to its probability relative to the peak."""
    heat = np.asarray(heat, np.float64)
    if heat.ndim != 3 or len(heat) != len(ROLES) or not heat.size or not (heat.min() >= 0 and heat.max() < np.inf):
        span = f" from {heat.min():g} to {heat.max():g}" if heat.size else ""
        raise PilabError(f"the heat on camera {camera!r} is {heat.shape}{span}; expected (2, h, w) probabilities")
    shown = np.asarray(panel, np.float64)
    for layer, colour in zip(heat, ROLES.values(), strict=True):
        cover = Image.fromarray((OPAQUE * layer / (layer.max() or 1)).astype(np.float32))
        cover = np.asarray(cover.resize(panel.size, Image.Resampling.NEAREST))[..., None]
        shown = shown * (1 - cover) + np.array(colour) * cover
    return Image.fromarray(shown.round().astype(np.uint8))


def _marked(panel: Image.Image, points: Mapping[str, tuple[float, float]], camera: str) -> Image.Image:
    """A dot on every point, its role's shape around it, its role's name where there is room."""
    radius, line = panel.height * RADIUS, max(2, panel.height / 80)
    spots = {role: _spot(role, point, camera, panel) for role, point in points.items()}
    layer = Image.new("RGBA", (panel.width * SMOOTH, panel.height * SMOOTH))
    draw = ImageDraw.Draw(layer)
    for role, spot in spots.items():
        for colour, width in ((INK, 2 * line), (ROLES[role], line)):  # a dark rim, to be seen on whatever is below
            _mark(draw, role, spot * SMOOTH, radius * SMOOTH, width * SMOOTH, colour)
    layer = layer.resize(panel.size, Image.Resampling.BOX)
    panel.paste(layer, mask=layer)
    taken = [_grown((*spot, *spot), radius + line) for spot in spots.values()]
    for role, spot in spots.items():
        taken.append(_name(panel, role, spot, radius + 2 * line, taken))
    return panel


def _spot(role: str, point: tuple[float, float], camera: str, panel: Image.Image) -> np.ndarray:
    """(2,) px of a point in 0 … 1."""
    if role not in ROLES:
        raise UnknownNameError(f"point on camera {camera!r}", role, list(ROLES))
    uv = np.asarray(point, np.float64)
    if uv.shape != (2,) or not ((uv >= 0) & (uv <= 1)).all():
        raise PilabError(f"the {role} on camera {camera!r} is at {point}; expected (u, v), both in 0 … 1 of the image")
    return uv * panel.size


def _mark(draw: ImageDraw.ImageDraw, role: str, spot: np.ndarray, radius: float, width: float, colour: tuple) -> None:
    """A line `width` wide along the ring or diamond of `radius`, and a dot in its middle."""
    x, y = spot
    if role == "object":
        draw.ellipse(_grown((x, y, x, y), radius + width / 2), outline=colour, width=round(width))
    else:
        corners = [(x + radius, y), (x, y + radius), (x - radius, y), (x, y - radius)]
        draw.line([*corners, *corners[:2]], colour, round(width), joint="curve")
    draw.ellipse(_grown((x, y, x, y), width / 2), colour)


def _name(panel: Image.Image, role: str, spot: np.ndarray, away: float, taken: list[Box]) -> Box:
    """Write a role above, below, right or left of its mark, wherever it covers least of what is there already."""
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(max(10, panel.height / 18))
    x, y = spot
    sides = (((x, y - away), "mb"), ((x, y + away), "mt"), ((x + away, y), "lm"), ((x - away, y), "rm"))
    boxes = []
    for corner, anchor in sides:
        left, top, right, bottom = _grown(draw.textbbox(corner, role, font, anchor=anchor), 2)
        dx = max(0, -left) - max(0, right - panel.width)  # back into the picture
        dy = max(0, -top) - max(0, bottom - panel.height)
        boxes.append((left + dx, top + dy, right + dx, bottom + dy))
    box = min(boxes, key=lambda box: sum(_overlap(box, other) for other in taken))
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(middle, role, ROLES[role], font, anchor="mm", stroke_width=2, stroke_fill=INK)
    return box


def _grown(box: Sequence[float], margin: float) -> Box:
    return box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin


def _overlap(a: Box, b: Box) -> float:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


# ---------------------------------------------------------------------------------------------------------------- words
def _label(observation: Observation, camera: CameraSpec) -> list[str]:
    """Name and resolution of the picture that is there, or that should be."""
    pixels = observation.get(image_key(camera.name))
    height, width = (camera.height, camera.width) if pixels is None else np.shape(pixels)[:2]
    return [f"{camera.name}, {width} by {height} pixels"]


def _said(thought: Thought) -> str:
    if thought.subtask is None:
        return "subtask: none, it acts on the instruction alone"
    return f"subtask ({thought.author}): {thought.subtask}"


def _font(width: float) -> ImageFont.FreeTypeFont:
    """Letters that are `LETTERS` px high once a picture of `width` is shown in a column."""
    return ImageFont.load_default(LETTERS * max(1.0, width / SEEN))


def _wrapped(text: str, width: float, font: ImageFont.FreeTypeFont) -> list[str]:
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


def _text(paragraphs: Sequence[str], width: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Paragraphs on paper, `width` px wide and as tall as they need."""
    lines = "\n".join(line for paragraph in paragraphs for line in _wrapped(paragraph, width - 2 * GAP, font))
    bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((GAP, 0), lines, font)[3]
    paper = Image.new("RGB", (width, round(bottom) + GAP), PAPER)
    ImageDraw.Draw(paper).multiline_text((GAP, 0), lines, INK, font)
    return paper


def _row(panels: Sequence[Image.Image], texts: Sequence[Sequence[str]], font: ImageFont.FreeTypeFont) -> Image.Image:
    """Panels of one height side by side, the paragraphs of each below it."""
    papers = [_text(text, panel.width, font) for text, panel in zip(texts, panels, strict=True)]
    cells = [_stack(pair) for pair in zip(panels, papers, strict=True)]
    width, height = sum(cell.width + GAP for cell in cells) - GAP, max(cell.height for cell in cells)
    row = Image.new("RGB", (width, height), PAPER)
    x = 0
    for cell in cells:
        row.paste(cell, (x, 0))
        x += cell.width + GAP
    return row


def _stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other, flush left."""
    height = sum(picture.height + GAP for picture in pictures) - GAP
    stack = Image.new("RGB", (max(picture.width for picture in pictures), height), PAPER)
    y = 0
    for picture in pictures:
        stack.paste(picture, (0, y))
        y += picture.height + GAP
    return stack

"""What a policy sees and has in mind: its camera pictures with its points and heat maps, its words, and whose they are.

* **Pixels stay honest**: pictures and heat maps grow by nearest neighbour, so a cell on show is a cell of the network.
  Marks lie above them, smooth, with the exact point as a dot in the middle.
* **Roles are told apart without colour**: a ring is the object, a diamond the place, and each is named beside it.
* **A trace fades on its way**, in the first camera: what comes next is clear, what is far off is faint.
* **Words in the order of thinking**: the instruction, the sentences, the subtask they led to and whose it is; a person's
  are blue. In a strip only what changed stands in full; the rest is left out, or grey.
* **A heat map is shown relative to its own peak**: a sure policy makes a spot, an unsure one a fog.
* **Nothing is dropped in silence**: a point outside the picture, a camera or role that does not exist, or heat of
  another shape is an error; a camera without a picture is a frame that says so, with what the policy believes there.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from pilab.contracts import TASK, CameraSpec, Embodiment, Observation, PilabError, Thought, UnknownNameError, image_key
from pilab.figures.strips import GAP, INK, PAPER
from pilab.figures.theme import GREY, GRID, PALETTE
from pilab.figures.words import Paragraph, letters, paper

# Of Thought.points and of heat. No object is painted sky blue and no place yellow: a mark differs from its own thing.
ROLES = {"object": ImageColor.getrgb(PALETTE[4]), "place": ImageColor.getrgb(PALETTE[6])}
TRACE = ImageColor.getrgb(PALETTE[3])  # nor is anything pink
FAINTEST = 0.35  # opacity of a trace where it ends
PERSON = ImageColor.getrgb(PALETTE[0])  # what a person said
LIGHT = (110, 110, 110)  # sentences on the way, and what is as it was
RULE = (190, 190, 190)  # beside sentences that nobody but the policy said
SMALL = 0.92  # of the letters: sentences on the way
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
    Raises `PilabError` for points, a trace, pictures or heat of another form, `UnknownNameError` for unknown cameras or roles.
    """
    heat = heat or {}
    for name in heat:
        body.camera(name)
    panels = [draw_camera(observation, body, c.name, thought, heat.get(c.name), height) for c in body.cameras]
    width = sum(panel.width for panel in panels)
    labels = [[Paragraph(_label(observation, camera))] for camera in body.cameras]
    row = _row(panels, labels, letters(width))
    words = [Paragraph(f"instruction: {observation[TASK]}"), *_words(thought)]
    return _stack([row, paper(words, row.width, letters(row.width))])


def thought_strip(
    moments: Sequence[tuple[Observation, Thought]],
    body: Embodiment,
    camera: str | None = None,
    height: int = 160,
    columns: int = 4,
) -> Image.Image:
    """A film strip of moments as one camera (the body's first, if None) saw them, with points, and words below.

    The instruction stands under the first moment and wherever somebody changed it, a chain where it is another one; a
    subtask that goes on stands in grey. Raises as `draw_thought` does, and `PilabError` for no moments.
    """
    if not moments:
        raise PilabError("a strip of 0 moments; expected at least one (observation, thought)")
    eye = body.cameras[0] if camera is None else body.camera(camera)
    panels = [draw_camera(observation, body, eye.name, thought, None, height) for observation, thought in moments]
    texts, instruction, before = [], None, None
    for observation, thought in moments:
        told = [] if observation[TASK] == instruction else [Paragraph(f"instruction: {observation[TASK]}")]
        texts.append([*told, *_words(thought, before)])
        instruction, before = observation[TASK], thought
    columns = min(columns, len(panels))
    size = letters(columns * panels[0].width)
    return _stack([_row(panels[i : i + columns], texts[i : i + columns], size) for i in range(0, len(panels), columns)])


def draw_camera(
    observation: Observation,
    body: Embodiment,
    camera: str,
    thought: Thought,
    heat: np.ndarray | None = None,
    height: int = 240,
) -> Image.Image:
    """One camera's picture, or an empty frame, under its heat map, the trace and its points; `height` px tall.

    heat: (2, h, w). Raises as `draw_thought` does.
    """
    for name in thought.points:
        body.camera(name)
    eye, pixels = body.camera(camera), observation.get(image_key(camera))
    panel = _empty(eye, height) if pixels is None else _scaled(pixels, camera, height)
    if heat is not None:
        panel = _heated(panel, heat, camera)
    if camera == body.cameras[0].name:
        panel = _traced(panel, thought.trace, camera)
    return _marked(panel, thought.points.get(camera, {}), camera)


# ------------------------------------------------------------------------------------------------------------- pictures
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


def _traced(panel: Image.Image, trace: Sequence[tuple[float, float]], camera: str) -> Image.Image:
    """A line through the points in their order, and a dot on each; from opaque to faint."""
    spots = [tuple(SMOOTH * _spot("trace", point, camera, panel)) for point in trace]
    line = SMOOTH * _line(panel)
    layer = Image.new("RGBA", (panel.width * SMOOTH, panel.height * SMOOTH))
    draw = ImageDraw.Draw(layer)
    fading = np.linspace(255, 255 * FAINTEST, len(spots)).round().astype(int).tolist()
    for colour, rim in ((INK, line / 2), (TRACE, 0)):
        for way, opacity in zip(itertools.pairwise(spots), fading, strict=False):
            draw.line(way, (*colour, opacity), round(line / 2 + 2 * rim))
        for (x, y), opacity in zip(spots, fading, strict=True):
            draw.ellipse(_grown((x, y, x, y), line + rim), (*colour, opacity))
    layer = layer.resize(panel.size, Image.Resampling.BOX)
    panel.paste(layer, mask=layer)
    return panel


def _marked(panel: Image.Image, points: Mapping[str, tuple[float, float]], camera: str) -> Image.Image:
    """A dot on every point, its role's shape around it, its role's name where there is room."""
    if unknown := [role for role in points if role not in ROLES]:
        raise UnknownNameError(f"point on camera {camera!r}", unknown[0], list(ROLES))
    radius, line = panel.height * RADIUS, _line(panel)
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


def _spot(what: str, point: tuple[float, float], camera: str, panel: Image.Image) -> np.ndarray:
    """(2,) px of a point in 0 … 1."""
    uv = np.asarray(point, np.float64)
    if uv.shape != (2,) or not ((uv >= 0) & (uv <= 1)).all():
        raise PilabError(f"the {what} on camera {camera!r} is at {point}; expected (u, v), both in 0 … 1 of the image")
    return uv * panel.size


def _line(panel: Image.Image) -> float:
    """px: how thick marks are drawn."""
    return max(2, panel.height / 80)


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
def _label(observation: Observation, camera: CameraSpec) -> str:
    """Name and resolution of the picture that is there, or that should be."""
    pixels = observation.get(image_key(camera.name))
    height, width = (camera.height, camera.width) if pixels is None else np.shape(pixels)[:2]
    return f"{camera.name}, {width} by {height} pixels"


def _words(thought: Thought, before: Thought | None = None) -> list[Paragraph]:
    """The chain, then the subtask and whose it is; of what was so `before` only the subtask's words, in grey."""
    tone, rule = (PERSON, PERSON) if thought.author == "person" else (INK, RULE)
    chain = []
    if before is None or thought.chain != before.chain:
        chain = [Paragraph(sentence, LIGHT, SMALL, rule) for sentence in thought.chain]
        if before is not None and not chain and thought.author == before.author:
            chain = [Paragraph("at once, without a chain", LIGHT, SMALL)]
    if before is not None and (thought.subtask, thought.author) == (before.subtask, before.author):
        return [*chain, Paragraph(thought.subtask or "no subtask", LIGHT)]
    whose = "" if thought.subtask is None and not thought.chain else f" ({thought.author})"
    said = "none, it acts on the instruction alone" if thought.subtask is None else thought.subtask
    return [*chain, Paragraph(f"subtask{whose}: {said}", tone)]


def _row(panels: Sequence[Image.Image], texts: Sequence[Sequence[Paragraph]], size: float) -> Image.Image:
    """Panels of one height side by side, the paragraphs of each below it in letters of `size` px."""
    cells = [_stack([panel, paper(text, panel.width, size)]) for text, panel in zip(texts, panels, strict=True)]
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

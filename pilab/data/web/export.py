"""A browsable copy of some of the web: pictures as PNG, texts and questions as JSON lines, a card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pilab.contracts import DatasetError, image_key, points_key
from pilab.data.web import WEB, pictures, text
from pilab.data.web.lore import SIGNS, find_lore
from pilab.data.web.pictures import CAMERA, WebPictures
from pilab.data.web.questions import ASKERS, Picture
from pilab.world import objects

_CARD = """\
# The synthetic web ({name})

{pictures} pictures and {texts} texts, **generated from code** (`pilab web`, seed {seed}, version {version}); nothing here was
photographed, written or collected by anyone.

| | |
| --- | --- |
{counts}

- `texts.jsonl`: `text`, or `question` and `answer`. `pictures.jsonl`: file, what is to be seen where (u, v in 0 … 1 of the
  picture, origin at the upper left), and questions with answers; an answer of null is a point.
- Pictures show every look, {reserved} of them reserved: robot data of this project never contains those.
- What belongs where follows from what a thing is; the text says the two apart. In worlds of invented nouns
  (`--facts invented-SEED`) kinds, traits and uses are counterbalanced over shapes and colours.

## Not good for
- Anything but this robot's table: {looks} objects of {shapes} shapes, drawn by a ray caster.
- Learning English: a few dozen templates say everything there is.

License: Apache-2.0, as the code.
"""


def export(
    out: str | Path, count: int, texts: int, *, seed: int = 0, facts: str = "household", progress: bool = True
) -> Path:
    """Write the first `count` pictures, with one question of each kind, and `texts` texts and questions each.

    Raises `DatasetError` for a folder that is not empty, `UnknownNameError` for an unknown table of facts.
    """
    out, lore = Path(out), find_lore(facts)
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty; name a new folder, or delete it")
    web = WebPictures.open(count, seed, progress=progress)
    (out / "pictures").mkdir(parents=True)
    lines = []
    for k, note in enumerate(web.notes):
        file = f"pictures/{k:05d}.png"
        Image.fromarray(web[image_key(CAMERA)][k]).save(out / file, optimize=True)
        picture, rng = Picture.of(note, web[points_key(CAMERA)][k], lore), np.random.default_rng([seed, 45, k])
        asked = {kind: asker(picture, rng) for kind, asker in ASKERS.items()}
        points = {part: [round(u, 4), round(v, 4)] for part, (u, v) in picture.points.items()}
        lines.append(
            {"file": file, "points": points, **{key: note[key] for key in ("sign", "open", "at_work")},
             "questions": [{"kind": kind, **q.__dict__} for kind, q in asked.items() if q]}
        )  # fmt: skip
    _write(out / "pictures.jsonl", lines)
    said = [{"text": text.text(lore, seed, k)} for k in range(texts)]
    said += [dict(zip(("question", "answer"), text.question(lore, seed, k), strict=True)) for k in range(texts)]
    _write(out / "texts.jsonl", said)
    about = {"nouns": len(lore.entities), "signs": len(SIGNS), **pictures.describe(web)}
    card = _CARD.format(
        name=lore.name, pictures=count, texts=2 * texts, seed=seed, version=f"{WEB}.{pictures.VERSION}",
        counts="\n".join(f"| {key} | {value} |" for key, value in about.items()),
        reserved=about["reserved looks shown"], looks=len(objects.LOOKS), shapes=len(objects.SHAPES),
    )  # fmt: skip
    (out / "README.md").write_text(card, encoding="utf-8")
    return out


def _write(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")

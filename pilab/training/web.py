"""Rows of the synthetic web: texts to go on with, pictures to answer questions about.

Design choices
--------------
* **Text** is the next piece, and nothing else: ℓ is the piece `<bos>` alone, the text is what is predicted. The same loss,
  through the same trunk, that a thought has. One in five is a question about what the texts say: asked as a person asks.
* **A question** is ℓ, so that it conditions what is seen; the answer begins with `<answer>`, as a thought does with
  `<subtask>`. Where the question, or its answer, is about a thing, its point is a label: look there, then say.
* A picture of the web has one camera; the others are simply not there.
* The last pictures are kept for validation: no training sees them, and their layouts are no test's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pilab.contracts import image_key, points_key
from pilab.data.web import WEB, text
from pilab.data.web.lore import Lore
from pilab.data.web.pictures import CAMERA, VERSION, WebPictures
from pilab.data.web.questions import ASKERS, Picture, Question, ask
from pilab.vla.grounding import ROLES
from pilab.vla.model import Batch, VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.vla.wording import answers, between, stacked, words

TEXTS = 1_000_000  # there are so many; a training sees a fraction
ASKED = 0.2  # share of text rows that are a question and its answer


class Web:
    """Draws rows from the web for a model of a config; a batch is a function of the generator it is drawn with."""

    def __init__(
        self, pictures: WebPictures | None, lore: Lore, config: VLAConfig, tokenizer: Tokenizer, seed: int = 0, *,
        kinds: Sequence[str] = tuple(ASKERS), scrambled: bool = False, signs: bool = True, held_out: int = 200,
    ) -> None:  # fmt: skip
        """kinds: of questions. scrambled: texts with their words in random order, the control. signs: texts say what signs
        mean. held_out: pictures kept for validation, at most one in ten.
        """
        self.pictures, self.lore, self.config, self.tokenizer, self.seed = pictures, lore, config, tokenizer, seed
        self.kinds, self.scrambled, self.signs = tuple(kinds), scrambled, signs
        count = len(pictures) if pictures is not None else 0
        self.training = count - min(held_out, count // 10)  # pictures before this one

    @property
    def origin(self) -> dict[str, object]:
        """Which web: its version, its table of facts, its pictures."""
        drawn = {} if self.pictures is None else {"pictures": len(self.pictures), "folder": self.pictures.folder.name}
        return {"version": f"{WEB}.{VERSION}", "facts": self.lore.name, "scrambled": self.scrambled, **drawn}

    def read(self, rows: int, rng: np.random.Generator, first: int = 0) -> Batch:
        """Texts from number `first` on, and every so often a question about them with its answer."""
        said = [self._line(int(k), rng) for k in rng.integers(first, first + TEXTS, rows)]
        begin = [[] if asked else ["<bos>"] for asked, _ in said]
        ids, mask = words(self.tokenizer, [asked for asked, _ in said], self.config.text_length, begin)
        told = [
            between(self.tokenizer, self.tokenizer.encode(line), "<answer>" if asked else "<bos>")
            for asked, line in said
        ]
        answer, answer_mask = stacked(told, self.tokenizer.pad)
        return Batch(ids, mask, answer=answer, answer_mask=answer_mask)

    def _line(self, k: int, rng: np.random.Generator) -> tuple[str, str]:
        """A question and its answer, or "" and a text."""
        said = text.question(self.lore, self.seed, k, self.signs)
        if rng.random() >= ASKED or text.never_asked(said[0]):
            said = "", text.text(self.lore, self.seed, k, self.signs)
        if self.scrambled:
            mixing = np.random.default_rng([self.seed, 49, k])
            said = tuple(text.scrambled(line, mixing) for line in said)
        return said

    def asked(self, rows: int, rng: np.random.Generator) -> Batch:
        """Pictures with a question each."""
        return self._about(rng.integers(self.training, size=rows), rng)

    def held_out(self, rows: int = 128) -> list[Batch]:
        """The same texts that no training draws, and the same questions about the pictures kept for it, every time."""
        kept = (len(self.pictures) if self.pictures is not None else 0) - self.training
        rng = np.random.default_rng(2**31 + 1)
        asked = [self._about(self.training + rng.integers(kept, size=rows), rng)] if kept else []
        return [self.read(rows, rng, first=TEXTS), *asked]

    def question(self, index: int, rng: np.random.Generator) -> Question:
        """Something to ask about picture `index`."""
        return ask(self.picture(index), rng, self.kinds)

    def picture(self, index: int) -> Picture:
        """What is known of picture `index`."""
        return Picture.of(self.pictures.notes[index], self.pictures[points_key(CAMERA)][index], self.lore)

    def vocabulary(self, draws: int = 3000) -> frozenset[str]:
        """The words of so many texts, and questions about as many pictures: practically all that training can show."""
        rng = np.random.default_rng([self.seed, 46])
        said = [
            line
            for k in range(draws)
            for line in (
                text.text(self.lore, self.seed, k, self.signs),
                *text.question(self.lore, self.seed, k, self.signs),
            )
        ]
        for index in range(min(draws, self.training)):
            q = self.question(index, rng)
            said += [q.text, q.answer or ""]
        return frozenset(word for line in said for word in self.tokenizer.words(line))

    def _about(self, indices: np.ndarray, rng: np.random.Generator) -> Batch:
        questions = [self.question(int(index), rng) for index in indices]
        batch = self.shown(indices, questions)
        batch.answer, batch.answer_mask = answers(self.tokenizer, [q.answer or "" for q in questions], "<answer>")
        batch.answer_mask &= torch.tensor([q.answer is not None for q in questions])[:, None]
        return batch

    def shown(self, indices: np.ndarray, questions: Sequence[Question]) -> Batch:
        """Pictures with what is asked about each, and where to look for it."""
        ids, mask = words(self.tokenizer, [q.text for q in questions], self.config.text_length)
        cameras = [name for name, _, _ in self.config.cameras]
        points = np.zeros((len(indices), len(cameras), len(ROLES), 3), np.float32)
        labelled = np.zeros(points.shape[:3], np.float32)
        labelled[:, cameras.index(CAMERA)] = 1
        for row, (index, q) in enumerate(zip(indices, questions, strict=True)):
            slots = self.pictures[points_key(CAMERA)][index].reshape(-1, 3)
            for role, part in enumerate((q.object, q.place)):
                if part is not None:
                    points[row, cameras.index(CAMERA), role] = slots[self.pictures.notes[index]["parts"].index(part)]
        shown = torch.from_numpy(self.pictures[image_key(CAMERA)][indices])
        labels = {"points": torch.from_numpy(points), "labelled": torch.from_numpy(labelled)}
        return Batch(ids, mask, images={CAMERA: shown}, **labels)

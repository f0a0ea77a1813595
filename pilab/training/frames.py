"""Single frames that a robot sees, with what it should think: the high level alone, without a hand that moves.

Design choices
--------------
* A frame is a picture of the web as the robot's camera takes it, and it is about **things that it handles**; the words leave
  open what is meant and where that goes: see `data.web.instructions`.
* What is taught is the subtask, with or without a chain before it, or where to look: see `thoughts`. Where to look for what the
  words name is a label of the heat maps, as in demonstrations; who thinks nothing has to find there what they only mean.
* No state, one camera and no actions: cheap enough to compare a dozen ways of thinking on fresh worlds of nouns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pilab.contracts import DatasetError
from pilab.data.web.instructions import Framing
from pilab.training.thoughts import Thinking, pieces, think
from pilab.training.web import Web
from pilab.vla.model import Batch
from pilab.vla.wording import stacked


class Frames:
    """Draws rows from the pictures of a web; a batch is a function of the generator it is drawn with."""

    def __init__(self, web: Web, framing: Framing, thinking: Thinking) -> None:
        """Raises `DatasetError` where no picture shows nothing but what is handled."""
        self.web, self.framing, self.thinking = web, framing, thinking
        self.able = [
            k
            for k, note in enumerate(web.pictures.notes[: web.training])
            if note["at_work"] and framing.fits(web.picture(k), np.random.default_rng([k, 52]))
        ]
        if not self.able:
            raise DatasetError(
                f"none of {web.training} pictures, as the robot's camera takes them, shows nothing but {len(framing.handled)} "
                "handled looks: draw more pictures, or handle more"
            )

    def draw(self, rows: int, rng: np.random.Generator) -> Batch:
        """Pictures with an instruction, a thought, and where to look."""
        web, thinking, tokenizer = self.web, self.thinking, self.web.tokenizer
        indices, asked, told = rng.choice(self.able, rows), [], []
        asking, musing = rng.spawn(2)  # what is asked about is the same, however much chance it takes to think
        for index in indices:
            picture, given = web.picture(int(index)), None
            while given is None:  # in one of the ways it can be said: it was, once
                given = self.framing.practise(picture, asking)
            question, where = given.question, given.points(picture)
            about = web.lore.shown[question.object] if given.open else None
            said = think(thinking, question.answer, about, web.lore, self.framing.handled, musing, given.sign)
            # Where what an edit speaks of is, nobody knows.
            told.append(pieces(tokenizer, thinking, said, web.config.answer_length, None if said.given else where))
            asked.append(replace(question, place=given.home) if thinking.silent and "place" in where else question)
        batch = web.shown(indices, asked)
        if not thinking.silent:
            batch.answer, batch.answer_mask = stacked([written for written, _ in told], tokenizer.pad)
            batch.learnt = torch.arange(batch.answer.shape[1]) >= torch.tensor([[start] for _, start in told])
        return batch

    def vocabulary(self, draws: int = 500) -> frozenset[str]:
        """The words of so many rows: practically all that training can show."""
        batch, tokenizer = self.draw(draws, np.random.default_rng(1)), self.web.tokenizer
        heard = [(batch.text, batch.text_mask)]
        heard += [] if batch.answer is None else [(batch.answer, batch.answer_mask)]
        said = [tokenizer.decode(ids[row][mask[row]].tolist()) for ids, mask in heard for row in range(draws)]
        return frozenset(word for line in said for word in tokenizer.words(line))

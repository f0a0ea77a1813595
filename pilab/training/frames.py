"""Single frames that a robot sees, with what it should think: the high level alone, without a hand that moves.

Design choices
--------------
* A frame is a picture of the web as the robot's camera takes it, in which **every thing is one that it handles**; the words
  leave open what is meant ("put the thing on the left where it belongs") and where that goes.
* What is taught is the subtask, with or without a chain before it: see `thoughts`. Where to look for what is meant is a
  label, as in demonstrations.
* No state, one camera and no actions: cheap enough to compare a dozen ways of thinking on fresh worlds of nouns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pilab.contracts import DatasetError
from pilab.data.web.questions import Picture, to_put_away
from pilab.training.thoughts import Thinking, pieces, think
from pilab.training.web import Web
from pilab.vla.model import Batch
from pilab.vla.wording import stacked


class Frames:
    """Draws rows from the pictures of a web; a batch is a function of the generator it is drawn with."""

    def __init__(self, web: Web, handled: Sequence[str], thinking: Thinking) -> None:
        """handled: looks. Raises `DatasetError` where no picture shows nothing but them."""
        self.web, self.handled, self.thinking = web, tuple(handled), thinking
        rng = np.random.default_rng(0)
        self.able = [
            k
            for k, note in enumerate(web.pictures.notes[: web.training])
            if note["at_work"] and self._is_able(web.picture(k), rng)
        ]
        if not self.able:
            raise DatasetError(
                f"none of {web.training} pictures, as the robot's camera takes them, shows nothing but {len(self.handled)} "
                "handled looks: draw more pictures, or handle more"
            )

    def _is_able(self, picture: Picture, rng: np.random.Generator) -> bool:
        return set(picture.things) <= set(self.handled) and to_put_away(picture, rng) is not None

    def draw(self, rows: int, rng: np.random.Generator) -> Batch:
        """Pictures with an instruction, a thought, and where to look."""
        web, thinking, tokenizer = self.web, self.thinking, self.web.tokenizer
        indices, asked, told = rng.choice(self.able, rows), [], []
        asking, musing = rng.spawn(2)  # what is asked about is the same, however much chance it takes to think
        for index in indices:
            question = to_put_away(web.picture(int(index)), asking, thinking.called)
            entity = web.lore.shown[question.object]
            said = think(thinking, question.answer, entity, web.lore, self.handled, musing)
            asked.append(question)
            told.append(pieces(tokenizer, said, web.config.answer_length, thinking.filler))
        batch = web.shown(indices, asked)
        batch.answer, batch.answer_mask = stacked([written for written, _ in told], tokenizer.pad)
        batch.learnt = torch.arange(batch.answer.shape[1]) >= torch.tensor([[start] for _, start in told])
        return batch

    def vocabulary(self, draws: int = 500) -> frozenset[str]:
        """The words of so many rows: practically all that training can show."""
        batch, tokenizer = self.draw(draws, np.random.default_rng(1)), self.web.tokenizer
        pairs = (batch.text, batch.text_mask), (batch.answer, batch.answer_mask)
        said = [tokenizer.decode(ids[row][mask[row]].tolist()) for ids, mask in pairs for row in range(draws)]
        return frozenset(word for line in said for word in tokenizer.words(line))

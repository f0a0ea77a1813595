"""What a step learns from: rows of every kind, drawn from demonstrations, pictures and texts into batches.

Design choices
--------------
* **A batch is a function of (seed, step)**: a run that is resumed sees what it would have seen.
* Kinds of rows, because pictures are dear and actions cheap. *Demonstrations*: pictures, words, points, thoughts,
  actions. *Watched*: the same without state and actions, from episodes that only show how it is done. *Pointing*: pictures
  of many more layouts, words and points, nothing to do. *Point-only*: no pictures; the expert is told the labelled points,
  and learns to act on them from many more frames than vision could afford. *Asked* and *read* are of the synthetic web: see
  `web`; *thought* are single frames: see `frames`. *Coached* frames teach what to think and nothing to do: the subtask that a
  person, or an oracle, said in states that the policy came into.
* Who is to do without a camera or a sense has to learn to: in a share of the rows of demonstrations, or in all, it is missing
  (`VLAConfig.missing`).
* Where ℓ is the subtask there is nothing to think: there the trunk may learn to write the chunk itself, in tokens (`fast`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pilab.contracts import image_key, points_key
from pilab.data.pointing import PointingScenes
from pilab.data.web.lore import find_lore
from pilab.training.data import Demonstrations
from pilab.training.frames import Frames
from pilab.training.phrases import meant, pointing
from pilab.training.thoughts import AT_ONCE, Thinking, pieces, think
from pilab.training.web import Web
from pilab.vla.actions import Normaliser
from pilab.vla.fast import BEGIN, TOKENS, FastTokenizer
from pilab.vla.grounding import ROLES
from pilab.vla.model import Batch
from pilab.vla.senses import spans
from pilab.vla.thoughts import recalled
from pilab.vla.tokenizer import Tokenizer, manner_piece
from pilab.vla.wording import between, stacked, words
from pilab.world import objects
from pilab.world.combinations import Combination
from pilab.world.task import steps_of, task_of

PICTURE = 16  # a row with pictures costs about as much time as so many without


@dataclass(frozen=True)
class Rows:
    """How many rows of each kind a step draws."""

    demonstrations: int = 24
    pointing: int = 16
    point_only: int = 384
    asked: int = 0  # pictures of the web with a question
    read: int = 0  # texts of the web
    watched: int = 0  # pictures of episodes without actions
    coached: int = 0  # frames of which only the thought is learnt, half of them corrections where there are any
    thought: int = 0  # pictures of the web as a robot sees them, with what to think


class Mixture(torch.utils.data.IterableDataset):
    """An endless stream of steps; a step is a list of batches, one for each kind of row."""

    def __init__(
        self, demonstrations: Demonstrations | None, scenes: PointingScenes | None, normaliser: Normaliser,
        tokenizer: Tokenizer, rows: Rows | Callable[[int], Rows], seed: int, stale: int = 10, untold: bool = False,
        web: Web | None = None, fast: FastTokenizer | None = None, turns: int = 1, tagged: bool = False,
        thinking: Thinking = AT_ONCE, frames: Frames | None = None, without: Sequence[Combination] = (), manners: bool = False,
    ) -> None:  # fmt: skip
        """demonstrations: None where there are no rows of a robot. rows: of every step, or of each. untold: pictures come from
        frames without points, if there are any. web: where rows are asked or read. fast: the trunk also writes chunks.
        turns: how often each step comes. tagged: ℓ begins with how well the episode went, where somebody said so. thinking:
        what a thought of the demonstrations is made of. frames: where rows are thought. without: what no words about a picture
        may combine. manners: ℓ begins with the piece for how it was done.
        """
        super().__init__()
        self.demonstrations, self.scenes, self.normaliser = demonstrations, scenes, normaliser
        self.tokenizer, self.rows, self.seed, self.stale = tokenizer, rows, seed, stale
        self.web, self.fast, self.turns, self.tagged, self.start = web, fast, turns, tagged, 0
        self.thinking, self.frames, self.without, self.manners = thinking, frames, without, manners
        if demonstrations is not None:
            self.config = demonstrations.config
            rest = demonstrations.training[~demonstrations.pointed[demonstrations.training]]
            self.pictured = rest if untold and len(rest) else demonstrations.training

    def __iter__(self) -> Iterator[list[Batch]]:
        # Each of n loading processes makes every n-th item; the loader takes them in turn, so that nothing depends on n.
        worker = torch.utils.data.get_worker_info()
        first, every = (worker.id, worker.num_workers) if worker else (0, 1)
        made = None
        for item in itertools.count(self.start * self.turns + first, every):
            if made != (made := item // self.turns):
                batches = self.step(made)
            yield batches

    def step(self, number: int) -> list[Batch]:
        rng = np.random.default_rng([self.seed, number])
        d, rows = self.demonstrations, self.rows(number) if callable(self.rows) else self.rows
        told = rows.point_only if d is not None and len(d.tellable) else 0
        shown = rows.demonstrations + (rows.point_only - told) // PICTURE  # who cannot be told has to look
        batches = [self.demonstrated(rng.choice(self.pictured, shown), rng)] if shown else []
        if rows.pointing and self.scenes is not None:
            batches.append(self.pointed(rows.pointing, rng))
        if told:
            batches.append(self.told(rng.choice(d.tellable, told), rng))
        if rows.asked:
            batches.append(self.web.asked(rows.asked, rng))
        if rows.read:
            batches.append(self.web.read(rows.read, rng))
        if rows.watched and d is not None and len(d.shown):
            batches.append(self.demonstrated(rng.choice(d.shown, rows.watched), rng, acts=False))
        if rows.coached:
            batches.append(self.coached(rows.coached, rng))
        if rows.thought:
            # A generator of its own: the frames are the same, whatever else a step draws.
            batches.append(self.frames.draw(rows.thought, np.random.default_rng([self.seed, number, 51])))
        return batches

    def held_out(self, rows: int = 256) -> list[Batch]:
        """The same frames of the validation episodes, in the same words, every time, and the same questions about the web."""
        rng = np.random.default_rng(2**31)
        frames = self.demonstrations.validation if self.demonstrations is not None else ()
        robot = (
            [self.demonstrated(part, rng) for part in np.array_split(rng.choice(frames, rows), 4)]
            if len(frames)
            else []
        )
        return robot + (self.web.held_out() if self.web is not None else [])

    # -------------------------------------------------------------------------------------------------- three kinds of rows
    def demonstrated(self, frames: np.ndarray, rng: np.random.Generator, acts: bool = True) -> Batch:
        """acts: False leaves out what the robot felt and did."""
        d = self.demonstrations
        texts, whole = d.texts(frames, rng, self.stale)
        batch = self._robot(frames, texts) if acts else Batch(*self._heard(frames, texts))
        batch.images = {n: torch.from_numpy(d.take(image_key(n), frames)) for n, _, _ in self.config.cameras}
        if d.labels["points"]:
            batch.points, batch.labelled = map(torch.from_numpy, d.points(frames, texts))
        spoken, learnt = self._spoken(frames, whole, acts, rng)
        if any(spoken):
            batch.answer, batch.answer_mask = stacked(spoken, self.tokenizer.pad)
            if max(learnt) > 1:
                batch.learnt = torch.arange(batch.answer.shape[1]) >= torch.tensor(learnt)[:, None]
        return self._spared(batch, rng)

    def coached(self, rows: int, rng: np.random.Generator) -> Batch:
        """Pictures, state and instruction, and what to think; half of them corrections, as far as there are both."""
        d = self.demonstrations
        corrected = (rows if not len(d.rehearsed) else rows // 2) if len(d.corrected) else 0
        pools = ((d.corrected, corrected), (d.rehearsed, rows - corrected))
        frames = np.concatenate([rng.choice(pool, some) for pool, some in pools if some])
        memories = None
        if self.thinking.memory:  # of the thought before
            then = np.maximum(frames - rng.integers(1, 2 * self.stale + 1, len(frames)), d.first[frames])
            memories = [d.remembered[frame] for frame in then]
        text, mask = self._heard(frames, [d.instruct(frame, rng) for frame in frames], memories)
        told = [self._thought(frame, rng) for frame in frames]
        answer, answer_mask = stacked([written for written, _ in told], self.tokenizer.pad)
        learnt = torch.arange(answer.shape[1]) >= torch.tensor([[start] for _, start in told])
        images = {n: torch.from_numpy(d.take(image_key(n), frames)) for n, _, _ in self.config.cameras}
        batch = Batch(
            text, mask, state=self._state(frames), images=images, answer=answer, answer_mask=answer_mask, learnt=learnt
        )
        return self._spared(batch, rng)

    def _spoken(
        self, frames: np.ndarray, whole: np.ndarray, acts: bool, rng: np.random.Generator
    ) -> tuple[list[list[int]], list[int]]:
        """What the trunk is to write for each row: the thought where ℓ is the instruction, else the chunk, or nothing. And
        from which piece on it is learnt.
        """
        d, t = self.demonstrations, self.tokenizer
        thinks = whole & (d.subtask[frames] != "") & (not self.thinking.memory) & (not self.thinking.silent)
        rows: list[list[int]] = [[] for _ in frames]
        learnt = [1] * len(frames)
        for row in np.flatnonzero(thinks):
            rows[row], learnt[row] = self._thought(frames[row], rng)
        if self.fast is not None and acts:
            writes = np.flatnonzero(~thinks & d.within(frames).all(1))
            for row, tokens in zip(writes, self.fast.encode(d.chunks(frames[writes])), strict=True):
                rows[row] = between(t, [t.piece(TOKENS) + token for token in tokens], BEGIN)
        return rows, learnt

    def _thought(self, frame: int, rng: np.random.Generator) -> tuple[list[int], int]:
        """The thought of a frame in pieces, and at which of them learning begins."""
        d, thinking = self.demonstrations, self.thinking
        subtask, scene, about, lore, sign = str(d.subtask[frame]), d.scenes[d.episode[frame]], None, find_lore(), ""
        if thinking.chain and scene and not task_of(scene).swappable:  # what the words leave open is a matter of facts
            lore = find_lore(scene.facts)
            step, _ = meant(subtask, scene, steps_of(scene))
            about = lore.shown.get(step.object)
            sign = next((part.parameters["text"] for part in scene.parts if "text" in part.parameters), "")
        said = think(thinking, subtask, about, lore, objects.HANDLED, rng, sign)
        where = None
        looks = thinking.points or thinking.trace
        if looks and d.pointed[frame] and not said.given:  # where what an edit speaks of is, nobody knows
            points, _ = d.points(np.array([frame]), [said.subtask])
            seen = zip(ROLES, points[0, 0].tolist(), strict=True)  # in the first camera
            where = {role: (u, v) for role, (u, v, visible) in seen if visible}
        memory = d.remembered[frame] if thinking.memory else None
        return pieces(self.tokenizer, thinking, said, self.config.answer_length, where, memory)

    def pointed(self, rows: int, rng: np.random.Generator) -> Batch:
        indices = rng.integers(len(self.scenes), size=rows)
        texts, labels = [], np.zeros((len(indices), len(self.config.cameras), len(ROLES), 3), np.float32)
        columns = [self.scenes[points_key(n)][indices].reshape(len(indices), -1, 3) for n, _, _ in self.config.cameras]
        for row, index in enumerate(indices):
            text, *slots = pointing(self.scenes.parts[index], rng, self.without)
            texts.append(text)
            for role, slot in enumerate(slots):
                if slot is not None:
                    labels[row, :, role] = [column[row, slot] for column in columns]
        text, mask = words(self.tokenizer, texts, self.config.text_length)
        return Batch(
            text, mask,
            images={n: torch.from_numpy(self.scenes[image_key(n)][indices]) for n, _, _ in self.config.cameras},
            points=torch.from_numpy(labels), labelled=torch.ones(labels.shape[:3]),
        )  # fmt: skip

    def told(self, frames: np.ndarray, rng: np.random.Generator) -> Batch:
        d = self.demonstrations
        texts, _ = d.texts(frames, rng, self.stale)
        batch = self._robot(frames, texts)
        points, _ = d.points(frames, texts)
        points[..., :2] += 0.004 * rng.standard_normal(points[..., :2].shape)  # as inexact as heat maps are
        points[..., 2] *= rng.random(points.shape[:3]) > 0.03
        batch.points = torch.from_numpy(points)
        if self.config.glimpse:
            patches = [
                d.patches(image_key(n), frames, batch.points[:, i], self.config.glimpse)
                for i, (n, _, _) in enumerate(self.config.cameras)
            ]
            batch.glimpses = torch.stack(patches, 1)
        return self._spared(batch, rng)

    def _robot(self, frames: np.ndarray, texts: list[str]) -> Batch:
        """Words, state and actions."""
        d, c = self.demonstrations, self.config
        text, mask = self._heard(frames, texts)
        inside = self.normaliser.action(d.chunks(frames))
        actions = np.zeros((len(frames), c.horizon, c.action_slots), np.float32)
        actions[..., : inside.shape[-1]] = inside
        present = np.zeros_like(actions)
        present[..., : inside.shape[-1]] = d.within(frames)[..., None]
        views, tips = (torch.from_numpy(x[frames]) for x in d.viewpoints)
        return Batch(
            text, mask, state=self._state(frames), viewpoints=views, tips=tips,
            actions=torch.from_numpy(actions), action_mask=torch.from_numpy(present),
        )  # fmt: skip

    def _heard(
        self, frames: np.ndarray, texts: list[str], memories: Sequence[str] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pieces of ℓ and their mask. memories: what is remembered beside each."""
        d, episodes = self.demonstrations, self.demonstrations.episode[frames]
        before = [[f"<quality={q}>"] if self.tagged and q else [] for q in d.quality[episodes]]
        if self.manners:
            before = [[*some, manner_piece(d.manner[episode])] for some, episode in zip(before, episodes, strict=True)]
        length = self.config.text_length
        if memories is not None:
            each = zip(texts, memories, before, strict=True)
            memories = [recalled(self.tokenizer, text, memory, length, len(b)) for text, memory, b in each]
        return words(self.tokenizer, texts, length, before, memories)

    def _spared(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Without some of its cameras and further sensors, row by row. (Modality dropout: Neverova et al. 2015,
        arXiv:1501.00102.)
        """
        missing, rows = dict(self.config.missing), len(batch.text)
        if not missing:
            return batch
        shares = np.array([missing.get(name, 0.0) for name, _, _ in self.config.cameras])
        batch.camera_mask = there = torch.from_numpy(rng.random((rows, len(shares))) >= shares)
        if batch.images is None:  # what it is told about a picture goes with the picture
            batch.points = batch.points * there[..., None, None]
            if batch.glimpses is not None:
                batch.glimpses = batch.glimpses * there[..., None, None, None, None]
        if batch.state is not None:
            for name, part in spans(self.demonstrations.body, self.config.felt).items():
                batch.state[:, part] *= torch.from_numpy(rng.random((rows, 1)) >= missing.get(name, 0.0))
        if "tips" in missing:
            batch.tips = None
        return batch

    def _state(self, frames: np.ndarray) -> torch.Tensor:
        felt = self.normaliser.state(self.demonstrations.felt[frames])
        return torch.from_numpy(pad(felt, self.config.state_slots))


def pad(x: np.ndarray, slots: int) -> np.ndarray:
    """(B, n) → (B, slots), zeros behind."""
    return np.concatenate([x, np.zeros((len(x), slots - x.shape[1]), np.float32)], 1)

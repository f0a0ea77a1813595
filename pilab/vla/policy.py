"""A VLA as a `Policy`: numpy observations in, thoughts and chunks of joint targets out.

Design choices
--------------
* `act` reads ℓ = the thought's subtask, else the instruction; `think` reads the instruction. No other text reaches either,
  but for the sentences with which a person begins a thought: it thinks on from there.
* Points in a thought override the heat maps': a person who drags a point moves the hand.
* Words never seen in training are accepted and **flagged** in the thought (`memory["unseen"]`), never dropped in silence. So
  are those at the end of what is longer than the model can read: a long sentence is no reason to stop a robot.
* What is missing or not finite is refused with a reason; the Executor never sees a chunk made from NaN. Who learnt to do
  without a camera or a further sensor now and then (`VLAConfig.missing`) goes on without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from pilab.contracts import (
    NOISE,
    STATE,
    TASK,
    Embodiment,
    Observation,
    Policy,
    PolicyError,
    Thought,
    UnknownNameError,
    image_key,
)
from pilab.vla.actions import find_space
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.fast import BEGIN, TOKENS
from pilab.vla.grounding import ROLES
from pilab.vla.model import Batch, pixels
from pilab.vla.senses import OWN, feel, sensor, spans
from pilab.vla.thoughts import CHAIN, SUBTASK, TOLD, begun, read, recalled, told
from pilab.vla.views import viewpoints
from pilab.vla.wording import stacked
from pilab.world.scenes import find_body


@dataclasses.dataclass(frozen=True)
class Look:
    """What the policy perceives for one observation: where it believes the named things to be."""

    points: dict[str, dict[str, tuple[float, float]]]  # camera → role → (u, v); roles out of sight are left out
    heat: dict[str, np.ndarray]  # camera → (R, h, w) probabilities


class VLAPolicy(Policy):
    """Drives a robot with a checkpoint. Pure: all state is the Executor's."""

    def __init__(self, checkpoint: Checkpoint | str | Path, body: Embodiment | None = None) -> None:
        """Raises `PolicyError` when the checkpoint was made for another body."""
        self.checkpoint = c = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
        self.config, self.model = c.model.config, c.model.eval()
        own = find_body(self.config.body)
        self.body = body or own
        if self.body != own:
            raise PolicyError(f"the checkpoint drives the body {own.name!r}, not {self.body.name!r}; train one for it")
        self.fingerprint = c.hash  # of the weights: stands in every row
        self.space = find_space(self.config.action_space)
        self.size = self.space.size(self.body)
        self.missing = dict(self.config.missing)
        self.known = tuple(name for name, _, _ in self.config.cameras)
        self.cameras = tuple(name for name in self.known if self.missing.get(name) != 1)
        self.noise_shape = (self.config.horizon, self.size)
        self.think_interval = c.driving.think_interval
        self.replan_interval = c.driving.replan_interval

    @property
    def device(self) -> torch.device:
        """Where the weights are: an accelerator while a training measures itself there."""
        return next(self.model.parameters()).device

    # ------------------------------------------------------------------------------------------------------- the contract
    def think(self, observation: Observation, previous: Sequence[Thought]) -> list[Thought]:
        """The subtask, in words. Raises `PolicyError` for an observation that cannot be used."""
        tasks = self._tasks(observation)
        unseen = [self.unseen(task) for task in tasks]
        memories = [{"unseen": words} if words else {} for words in unseen]
        if not self.checkpoint.driving.thinks:
            return [Thought(memory=m) for m in memories]
        past = [told(t) for t in previous] if self.checkpoint.driving.remembers else None
        batch = self._batch(observation, tasks, past)
        found = self._thoughts(batch, [begun(t) for t in previous], self.checkpoint.driving.chain)
        if self.checkpoint.driving.literal and any(not thought.chain for thought in found):
            looks = self._looks(batch if past is None else self._batch(observation, tasks))
            found = [_literal(*about) for about in zip(found, tasks, looks, strict=True)]
        if past is not None:  # who says nothing of it has forgotten nothing
            memories = [m | {TOLD: t.memory.get(TOLD, was)} for m, t, was in zip(memories, found, past, strict=True)]
        return [dataclasses.replace(thought, memory=m) for thought, m in zip(found, memories, strict=True)]

    def act(self, observation: Observation, thought: Sequence[Thought]) -> np.ndarray:
        """(B, H, A) joint targets."""
        batch = self._batch(observation, self._texts(observation, thought))
        if any(t.points for t in thought):
            batch.points, batch.labelled = self._told(thought)
        noise = np.zeros((len(thought), self.config.horizon, self.config.action_slots), np.float32)
        drawn = self._numbers(observation, NOISE, (len(thought), *self.noise_shape))
        noise[..., : self.size] = self.checkpoint.driving.temperature * drawn
        batch.action_mask = torch.zeros(noise.shape)
        batch.action_mask[..., : self.size] = 1
        chunk, _ = self.model.act(batch.to(self.device), torch.from_numpy(noise).to(self.device))
        inside = self.checkpoint.normaliser.denormalise(chunk[..., : self.size].cpu().numpy().astype(float))
        return self.space.decode(self.body, np.asarray(observation[STATE], float), inside).astype(np.float32)

    def write(self, observation: Observation, thought: Sequence[Thought]) -> tuple[np.ndarray, np.ndarray]:
        """The chunk as the trunk writes it, token by token: (B, H, A) joint targets, and which rows were a chunk (B,) bool.

        What was none stays where it is. Raises `PolicyError` for a policy that never learnt to write actions.
        """
        fast, tokenizer = self.checkpoint.fast, self.checkpoint.tokenizer
        if fast is None:
            raise PolicyError("this checkpoint writes no actions; train it with a recipe that says fast=True")
        batch = self._batch(observation, self._texts(observation, thought))
        most = fast.horizon * self.size + 1  # a token says at least one number
        pieces = self.model.think(batch, tokenizer.piece(BEGIN), tokenizer.eos, most)
        told = [[int(p) - tokenizer.piece(TOKENS) for p in row[: _length(row, tokenizer.eos)]] for row in pieces]
        inside, whole = map(np.array, zip(*map(fast.decode, told), strict=True))
        state = np.asarray(observation[STATE], float)
        chunk = self.space.decode(self.body, state, inside).astype(np.float32)
        return np.where(whole[:, None, None], chunk, state[:, None].astype(np.float32)), whole

    # -------------------------------------------------------------------------------------------------------- for people
    def unseen(self, text: str) -> list[str]:
        """The words of `text` that training never showed, or that are too many to be read."""
        tokenizer, rest = self.checkpoint.tokenizer, text[len(self._read(text)) :]
        return list(dict.fromkeys((*tokenizer.unseen(text, self.checkpoint.words), *tokenizer.words(rest))))

    def _read(self, text: str, before: int | None = None) -> str:
        """As many words of a text as fit, `before` reserved pieces (those it is driven with) in front of them."""
        tokenizer = self.checkpoint.tokenizer
        room = self.config.text_length - (len(self.checkpoint.driving.before) if before is None else before)
        while len(tokenizer.encode(text)) > room:
            text = text.rstrip().rpartition(" ")[0] or text[: len(text) // 2]
        return text

    def look(self, observation: Observation, thought: Sequence[Thought]) -> list[Look]:
        """Where the policy sees what ℓ names, for a batch of observations: what the figures draw."""
        return self._looks(self._batch(observation, self._texts(observation, thought)))

    def locate(self, images: Mapping[str, np.ndarray], texts: Sequence[str], rows: int = 64) -> list[Look]:
        """Where it sees what a text names, or means, in each picture: `look` without a robot. Raises as `say` does."""
        return [look for _, batch in self._asked(images, texts, rows) for look in self._looks(batch)]

    @torch.no_grad()
    def _looks(self, batch: Batch) -> list[Look]:
        seen, looks = self.model.perceive(batch), []
        for i in range(len(batch.text)):
            points = {
                camera: {role: tuple(g.points[i, r].tolist()) for r, role in enumerate(ROLES) if g.visible[i, r] > 0}
                for camera, g in seen.grounding.items()
            }
            looks.append(Look(points, {camera: g.heat[i].cpu().numpy() for camera, g in seen.grounding.items()}))
        return looks

    def ponder(
        self, images: Mapping[str, np.ndarray], tasks: Sequence[str], *, chain: bool | None = None,
        begun: Sequence[Sequence[str]] | None = None, rows: int = 64,
    ) -> list[Thought]:  # fmt: skip
        """What it would think at these pictures and instructions: `think` without a robot, for B single frames.

        images: as `say` takes them. chain: how it thinks, if not as it is driven. begun: sentences that each thought begins
        with (then it is a chain). rows: at once. Raises as `say` does.
        """
        chain = self.checkpoint.driving.chain if chain is None else chain
        starts, found = begun or [()] * len(tasks), []
        for some, batch in self._asked(images, tasks, rows):
            found += self._thoughts(batch, starts[some], chain)
        return found

    def say(self, images: Mapping[str, np.ndarray], questions: Sequence[str], rows: int = 64) -> list[str]:
        """Answers to a question about each picture, or about none: camera → (B, H, W, 3) uint8, B questions.

        For who was asked about pictures in training (the recipe `images`); others say what comes to mind. rows: at once. Of a
        question that is too long the end is not read: see `unseen`.
        Raises `UnknownNameError` for a camera it does not have, `PolicyError` for pictures of another size or no words.
        """
        tokenizer, answers = self.checkpoint.tokenizer, []
        for _, batch in self._asked(images, questions, rows):
            pieces = self.model.think(batch, tokenizer.piece("<answer>"), tokenizer.eos)
            answers += [tokenizer.decode([int(p) for p in row[: _length(row, tokenizer.eos)]]) for row in pieces]
        return answers

    @torch.no_grad()
    def features(self, pictures: np.ndarray, text: str, rows: int = 256) -> np.ndarray:
        """(N, C, h, w): what the eyes make of pictures (N, H, W, 3) uint8, of any size, while they hear `text`.

        rows: at once.
        """
        words, mask = self._heard([text])
        _, _, condition = self.model.text(words.to(self.device), mask.to(self.device))
        found = []
        for some in torch.from_numpy(np.ascontiguousarray(pictures)).split(rows):
            seen, _ = self.model.vision(pixels(some.to(self.device)), condition.expand(len(some), -1))
            found.append(seen.cpu().numpy())
        return np.concatenate(found)

    # -------------------------------------------------------------------------------------------------------------- parts
    def _asked(
        self, images: Mapping[str, np.ndarray], texts: Sequence[str], rows: int
    ) -> Iterator[tuple[slice, Batch]]:
        """Batches of pictures, with a text each, and which of them they hold."""
        shown = {}
        for camera, image in images.items():
            _, height, width = self.config.cameras[_index(camera, self.known, "camera")]
            shown[camera] = _picture(camera, image, (len(texts), height, width, 3))
        for start in range(0, len(texts), rows):
            some = slice(start, start + rows)
            text, mask = self._heard(texts[some])
            batch = Batch(text, mask, images={camera: image[some] for camera, image in shown.items()} or None)
            yield some, batch.to(self.device)

    def _thoughts(self, batch: Batch, begun: Sequence[Sequence[str]], chain: bool) -> list[Thought]:
        """What comes to mind, row by row; with a chain where one is asked for, or begun."""
        tokenizer, found = self.checkpoint.tokenizer, [Thought()] * len(begun)
        length = self.config.text_length - len(self.checkpoint.driving.before)
        for chained in (True, False):
            rows = [i for i, sentences in enumerate(begun) if (chain or bool(sentences)) == chained]
            if not rows:
                continue
            first = tokenizer.piece(CHAIN if chained else SUBTASK)
            told = [tokenizer.encode(" ".join(begun[i])) for i in rows]
            if (longest := max(map(len, told))) > (room := self.config.answer_length - 2):
                raise PolicyError(
                    f"a thought that begins with {longest} pieces; this policy's are {room} and a subtask long at most: "
                    "begin it with fewer words"
                )
            start = stacked(told, tokenizer.pad) if longest else None
            some = batch.rows(torch.tensor(rows, device=batch.text.device))
            pieces = self.model.think(
                some, first, tokenizer.eos, begun=start and tuple(x.to(self.device) for x in start)
            )
            for i, row in zip(rows, pieces.tolist(), strict=True):
                found[i] = read(tokenizer, [first, *row], self.known[0], length)
        return found

    def _texts(self, observation: Observation, thought: Sequence[Thought]) -> list[str]:
        """ℓ for each row."""
        return [t.subtask or task for t, task in zip(thought, self._tasks(observation), strict=True)]

    def _tasks(self, observation: Observation) -> list[str]:
        if TASK not in observation:
            raise PolicyError(f"the observation has no {TASK!r}; say what to do under that key")
        return list(observation[TASK])

    def _batch(self, observation: Observation, texts: Sequence[str], memories: Sequence[str] | None = None) -> Batch:
        text, mask = self._heard(texts, self.checkpoint.driving.before, memories)
        state = self._numbers(observation, STATE, (len(texts), self.body.size))
        images, there = {}, []
        for name, height, width in self.config.cameras:
            shape, image = (len(texts), height, width, 3), observation.get(image_key(name))
            there.append(image is not None and name in self.cameras)
            if image is None and name not in self.missing:
                needed = ", ".join(camera for camera in self.cameras if camera not in self.missing)
                raise PolicyError(
                    f"no picture from camera {name!r}; the policy needs {needed}: connect it, or train without it"
                )
            images[name] = _picture(name, image, shape) if there[-1] else torch.zeros(shape, dtype=torch.uint8)
        views, tips = map(torch.from_numpy, viewpoints(self.body, state, self.known))
        batch = Batch(
            text, mask, state=torch.from_numpy(self._felt(observation, state)), viewpoints=views,
            tips=None if "tips" in self.missing else tips, images=images,
            camera_mask=None if all(there) else torch.tensor(there).expand(len(texts), -1),
        )  # fmt: skip
        return batch.to(self.device)

    def _felt(self, observation: Observation, state: np.ndarray) -> np.ndarray:
        """(B, slots) normalised; zeros, the mean, for what is missing and may be."""
        config, readings = self.config, {STATE: state}
        gone = {name for name, share in config.missing if share == 1}
        for name in (name for name in config.felt if name not in OWN):
            spec = sensor(self.body, name)
            if name in self.missing and (name in gone or spec.key not in observation):
                gone.add(name)
                readings[spec.key] = np.zeros((len(state), *spec.shape))
            else:
                readings[spec.key] = self._numbers(observation, spec.key, (len(state), *spec.shape))
        felt = self.checkpoint.normaliser.state(feel(self.body, config.felt, readings))
        for name in gone.intersection(config.felt):
            felt[:, spans(self.body, config.felt)[name]] = 0
        inside = np.zeros((len(state), config.state_slots), np.float32)
        inside[:, : felt.shape[1]] = felt
        return inside

    def _heard(
        self, texts: Sequence[str], before: Sequence[str] = (), memories: Sequence[str] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pieces (B, L) and mask (B, L), as long as the longest text, or a `PolicyError` where one says nothing.

        before: reserved pieces in front of every text. memories: what is remembered beside each, as far as it fits.
        """
        tokenizer = self.checkpoint.tokenizer
        if empty := [text for text in texts if not tokenizer.encode(text)]:
            raise PolicyError(f"nothing was said: {empty[0]!r}; say what to do in words")
        length, texts = self.config.text_length, [self._read(text, len(before)) for text in texts]
        if memories is not None:
            pairs = zip(texts, memories, strict=True)
            memories = [recalled(tokenizer, text, memory, length, len(before)) for text, memory in pairs]
        ids, mask = tokenizer.batch(texts, length, [before] * len(texts), memories)
        longest = int(mask.sum(1).max())
        return torch.from_numpy(ids[:, :longest]), torch.from_numpy(mask[:, :longest])

    def _numbers(self, observation: Observation, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """Finite numbers of a shape, or a `PolicyError` that says what is there instead."""
        values = np.asarray(observation.get(key), np.float64)
        if values.shape != shape:
            raise PolicyError(f"{key} has shape {values.shape}; expected {shape}")
        if not np.isfinite(values).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise PolicyError(
                f"{key} holds {values[where]} at {where}; expected finite numbers: check what measures them"
            )
        return values

    def _told(self, thought: Sequence[Thought]) -> tuple[torch.Tensor, torch.Tensor]:
        """The points of the thoughts (B, C, R, 3), and which there are (B, C, R)."""
        points = torch.zeros(len(thought), len(self.known), len(ROLES), 3)
        told = torch.zeros(points.shape[:3])
        for i, one in enumerate(thought):
            for camera, roles in one.points.items():
                for role, place in dict(roles).items():
                    c, r = _index(camera, self.known, "camera"), _index(role, ROLES, "role of a point")
                    points[i, c, r], told[i, c, r] = _point(place), 1
        return points, told


def _literal(thought: Thought, task: str, look: Look) -> Thought:
    """Where there was nothing to infer, and what was named is in sight, that is what is to be done; what comes next, as it was
    thought, stands before it. Who was told to look into everything was told of no thing, and needs the thought.
    """
    if thought.chain or thought.points or not any(ROLES[0] in roles for roles in look.points.values()):
        return thought
    return dataclasses.replace(thought, subtask=task, chain=(thought.subtask,) if thought.subtask else ())


def _picture(camera: str, image: np.ndarray, wanted: tuple[int, ...]) -> torch.Tensor:
    """Pictures of the wanted shape, or a `PolicyError` that says what is there instead."""
    image = np.asarray(image)
    if image.shape != wanted or image.dtype != np.uint8:
        raise PolicyError(f"camera {camera!r} gave {image.dtype} {image.shape}; expected uint8 {wanted}: resize it")
    return torch.from_numpy(image)


def _index(name: str, valid: Sequence[str], what: str) -> int:
    if name not in valid:
        raise UnknownNameError(what, name, valid)
    return list(valid).index(name)


def _point(place: Sequence[float]) -> torch.Tensor:
    """(u, v) → (u, v, visible)."""
    try:
        u, v = map(float, place)
    except (TypeError, ValueError):
        u = v = np.nan
    if not (0 <= u <= 1 and 0 <= v <= 1):
        raise PolicyError(f"point {place!r}; expected (u, v) in 0 … 1 of the picture, u to the right, v downwards")
    return torch.tensor([u, v, 1.0])


def _length(row: torch.Tensor, end: int) -> int:
    """Pieces before the first `end`."""
    found = (row == end).nonzero()
    return int(found[0]) if len(found) else len(row)

"""What is learnt from: demonstrations and pointing scenes as arrays, drawn into batches.

Design choices
--------------
* **A batch is a function of (seed, step)**: a run that is resumed sees what it would have seen.
* Kinds of rows, because pictures are dear and actions cheap. *Demonstrations*: pictures, words, points, thoughts,
  actions. *Watched*: the same without state and actions, from episodes that only show how it is done. *Pointing*: pictures
  of many more layouts, words and points, nothing to do. *Point-only*: no pictures; the expert is told the labelled points,
  and learns to act on them from many more frames than vision could afford. *Asked* and *read* are of the synthetic web: see
  `web`; *thought* are single frames: see `frames`. *Coached* frames teach what to think and nothing to do: the subtask that a
  person, or an oracle, said in states that the policy came into.
* Every other time ℓ is the instruction, in fresh words, and the thought is asked for; else ℓ is the subtask of some moment
  from a second ago to a blink ahead: a robot that thinks once a second acts on thoughts that old, and now and then thinks
  "leave it there" a blink too early, which must not make it drop what it holds.
* Where ℓ is the subtask there is nothing to think: there the trunk may learn to write the chunk itself, in tokens (`fast`).
* A chunk counts up to the next disturbance (`executed` is not `action`): what follows answers what nobody could foresee.
* Any LeRobot dataset of the body will do, beside others that are labelled or alone. Frames without points teach no
  grounding, frames without a subtask no thought; `labels` says what there is at all, and the recipe insulates the trunk
  only where something else trains it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from pilab.contracts import (
    ACTION,
    EXECUTED,
    STATE,
    DatasetError,
    Embodiment,
    ReservedError,
    Scene,
    image_key,
    points_key,
)
from pilab.data.cache import FrameCache
from pilab.data.lerobot import LeRobotDataset
from pilab.data.pointing import PointingScenes
from pilab.data.schema import SPEAKER, SUBTASK
from pilab.data.web.lore import find_lore
from pilab.training.frames import Frames
from pilab.training.phrases import instruct, meant, pointing, rephrase
from pilab.training.thoughts import AT_ONCE, Said, Thinking, pieces, think
from pilab.training.web import Web
from pilab.vla.actions import Normaliser, find_space, proprioception
from pilab.vla.fast import BEGIN, TOKENS, FastTokenizer
from pilab.vla.grounding import ROLES, glimpse_pixels
from pilab.vla.model import Batch, VLAConfig
from pilab.vla.thoughts import recalled
from pilab.vla.tokenizer import Tokenizer
from pilab.vla.views import viewpoints
from pilab.vla.wording import between, stacked, words
from pilab.world import objects
from pilab.world.scenes import refuse_reserved
from pilab.world.task import facts_of, steps_of, task_of

EARLY = 3  # control steps that a thought may be ahead of its time
COACHES = ("person", "oracle")  # whose words correct what a policy thought …
TEACHERS = ("demonstrator", "")  # … and who never errs; what a policy thought itself may be what was corrected
SAME = 1e-3  # rad, or of an opening: commands this near to each other are one
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
    coached: int = (
        0  # frames of which only the thought is learnt; half of them where somebody said what is right, if anywhere
    )
    thought: int = 0  # pictures of the web as a robot sees them, with what to think


class Demonstrations:
    """The frames of one or more datasets of a body, with their labels, as arrays over all frames N."""

    def __init__(
        self, folders: Sequence[str | Path], config: VLAConfig, body: Embodiment, *, held_out: int = 40,
        labels: bool = True, watched: Sequence[str | Path] = (), most: int = 0, progress: bool = True,
    ) -> None:  # fmt: skip
        """held_out: one episode in so many is left to validation, at least one where there are two. labels: use what there
        is of points, subtasks and scenes. watched: more datasets, of which no action is used. most: episodes of the first
        dataset that are learnt from, 0 for all. Raises `DatasetError` for data of another body, or fewer than `most`.
        """
        self.config, self.body = config, body
        datasets = [LeRobotDataset(folder) for folder in (*folders, *watched)]
        for dataset in datasets:
            self._check(dataset)
        self.caches = [FrameCache.open(d, functools.partial(tqdm, disable=not progress)) for d in datasets]
        for cache in self.caches:
            cache.warm()
        self.offsets = np.cumsum([0, *(len(d) for d in datasets)])
        self.origin = [
            {"name": d.root.name, "id": d.id, "episodes": len(d.episodes), "frames": len(d), **d.pilab.get("meta", {})}
            | ({"watched": True} if i >= len(folders) else {})
            for i, d in enumerate(datasets)
        ]
        self.state = np.concatenate([d.columns[STATE] for d in datasets])
        self.action = np.concatenate([d.columns[ACTION] for d in datasets])
        lengths = np.concatenate([d.lengths for d in datasets])
        stops = np.cumsum(lengths)
        self.episode = np.repeat(np.arange(len(lengths)), lengths)
        self.first = np.repeat(stops - lengths, lengths)  # the first and
        self.last = np.repeat(stops - 1, lengths)  # the last frame of each frame's episode
        self.clean = _until_disturbed(self.action, datasets, self.last)
        self.said = [text for d in datasets for text in (d.tasks[int(t)] for t in d.columns["task_index"][stops_of(d)])]
        self.subtask = np.concatenate([_subtasks(d) if labels else np.full(len(d), "") for d in datasets])  # "": none
        worlds = [_world_of(row) for d in datasets for row in d.episodes]
        # Where the words were not the scene's own, something else was shown than the scene's goal.
        fits = [labels and w is not None and w.instruction == said for w, said in zip(worlds, self.said, strict=True)]
        self.scenes = [world if fit else None for world, fit in zip(worlds, fits, strict=True)]
        known = np.array([scene is not None for scene in self.scenes])[self.episode]
        full = [all(points_key(c) in d.features for c, _, _ in config.cameras) for d in datasets]
        self.pointed = known & np.repeat(full, [len(d) for d in datasets])  # (N,) bool: where things are is known
        self.labels = {
            "points": bool(self.pointed.any()), "subtasks": bool((self.subtask != "").any()), "scenes": bool(known.any()),
        }  # fmt: skip
        # Episodes of a person's own may hold what is kept for testing, whatever was said: the card says how many.
        self.reserved = sum(_is_reserved(world) for world in worlds if world)
        # 1 … 5, how well each episode went; 0 where nobody said
        self.quality = np.array([int(row.get("quality") or 0) for d in datasets for row in d.episodes])
        held = np.isin(
            np.arange(len(lengths)), _held_out([len(d.episodes) for d in datasets[: len(folders)]], held_out)
        )
        first = np.flatnonzero(~held[: len(datasets[0].episodes)])
        if most > len(first):
            raise DatasetError(
                f"{most} episodes of {datasets[0].root} asked for, and {len(first)} are there to learn from"
            )
        left_out = np.isin(np.arange(len(lengths)), first[most:] if most else [])
        acted, shown = np.split(np.arange(len(self.state)), [self.offsets[len(folders)]])
        self.training = acted[~(held | left_out)[self.episode[acted]]]
        self.validation = acted[held[self.episode[acted]]]
        self.shown = shown[self.pointed[shown]]  # watched frames that say where what they speak of is
        said = np.concatenate([_speakers(d) for d in datasets])
        speaks = self.training[self.subtask[self.training] != ""]
        self.corrected = speaks[np.isin(said[speaks], COACHES)]
        self.rehearsed = speaks[np.isin(said[speaks], TEACHERS)]
        self.tellable = self.training[self.pointed[self.training]]  # what needs no pictures

    def _check(self, dataset: LeRobotDataset) -> None:
        wanted = {STATE: (self.body.size,), ACTION: (self.body.size,)}
        wanted |= {image_key(n): (h, w, 3) for n, h, w in self.config.cameras}
        for key, shape in wanted.items():
            found = dataset.features[key].shape if key in dataset.features else None
            if found is None or tuple(found) != shape:
                raise DatasetError(
                    f"{dataset.root}: {key} has shape {found}; the body {self.body.name!r} needs {shape}. "
                    "Use data of this body, or name yours with --body"
                )

    # ------------------------------------------------------------------------------------------------------------ arrays
    @cached_property
    def proprioception(self) -> np.ndarray:
        """(N, S) before normalisation."""
        return proprioception(self.body, self.state.astype(float)).astype(np.float32)

    @cached_property
    def viewpoints(self) -> tuple[np.ndarray, np.ndarray]:
        """Where cameras (N, C, 4, 3) and tool tips (N, K, 3) are."""
        return viewpoints(self.body, self.state.astype(float), [name for name, _, _ in self.config.cameras])

    @cached_property
    def encoded(self) -> np.ndarray:
        """(N, H, D) the chunk of every frame, once and for all: kinematics in every batch would cost more than the network."""
        every = np.array_split(np.arange(len(self.state)), max(1, len(self.state) // 4096))
        return np.concatenate([self._encode(frames) for frames in every])

    def _encode(self, frames: np.ndarray) -> np.ndarray:
        ahead = np.minimum(frames[:, None] + np.arange(self.config.horizon), self.last[frames][:, None])
        space = find_space(self.config.action_space)
        chunks = space.encode(self.body, self.state[frames].astype(float), self.action[ahead].astype(float))
        return chunks.astype(np.float32)

    def chunks(self, frames: np.ndarray) -> np.ndarray:
        """(B, H, D) in the action space; beyond an episode's end its last action, which `within` says does not count."""
        return self.encoded[frames]

    def within(self, frames: np.ndarray) -> np.ndarray:
        """(B, H) bool: the steps of the chunks that count, up to the episode's end or the next disturbance."""
        return frames[:, None] + np.arange(self.config.horizon) <= self.clean[frames][:, None]

    def take(self, key: str, frames: np.ndarray) -> np.ndarray:
        """Rows of a cached key, from whichever dataset each frame belongs to."""
        which = np.searchsorted(self.offsets, frames, side="right") - 1
        out = np.empty((len(frames), *self.caches[0][key].shape[1:]), self.caches[0][key].dtype)
        for i, cache in enumerate(self.caches):
            out[which == i] = cache[key][frames[which == i] - self.offsets[i]]
        return out

    def patches(self, key: str, frames: np.ndarray, points: torch.Tensor, size: int) -> torch.Tensor:
        """Glimpses (B, R, size, size, 3) around points (B, R, 3), read without reading the pictures; black where there is no
        point to be seen.
        """
        height, width = self.caches[0][key].shape[1:3]
        rows, columns = (x.numpy() for x in glimpse_pixels(points[..., :2], height, width, size))
        which = np.searchsorted(self.offsets, frames, side="right") - 1
        out = np.zeros((*points.shape[:2], size, size, 3), np.uint8)
        for i, cache in enumerate(self.caches):
            row, role = np.nonzero((points[..., 2].numpy() > 0) & (which == i)[:, None])
            at = (frames[row] - self.offsets[i])[:, None, None]
            out[row, role] = cache[key][at, rows[row, role], columns[row, role]]
        return torch.from_numpy(out)

    def points(self, frames: np.ndarray, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Labels (B, C, R, 3) of what each text names, and whether they count (B, C, R)."""
        cameras = [n for n, _, _ in self.config.cameras]
        out = np.zeros((len(frames), len(cameras), len(ROLES), 3), np.float32)
        known = self.pointed[frames]
        which = np.searchsorted(self.offsets, frames, side="right") - 1
        for i, cache in enumerate(self.caches):
            rows = np.flatnonzero(known & (which == i))
            if not len(rows):
                continue
            columns = np.stack([cache[points_key(n)][frames[rows] - self.offsets[i]] for n in cameras], 1)
            for row, slots in zip(rows, columns.reshape(len(rows), len(cameras), -1, 3), strict=True):
                scene = self.scenes[self.episode[frames[row]]]
                names, (step, said) = [p.name for p in scene.parts], meant(texts[row], scene, steps_of(scene))
                for role, (part, there) in enumerate(zip((step.object, step.place), said, strict=True)):
                    if there:
                        out[row, :, role] = slots[:, names.index(part)]
        return out, np.broadcast_to(known[:, None, None], out.shape[:3]).astype(np.float32)

    # ------------------------------------------------------------------------------------------------------------- words
    def texts(self, frames: np.ndarray, rng: np.random.Generator, stale: int) -> tuple[list[str], np.ndarray]:
        """ℓ for each frame, and where it is the instruction (B,) bool; elsewhere it is the subtask of less than `stale`
        control steps ago, or of at most `EARLY` ahead.
        """
        whole = rng.random(len(frames)) < 0.5
        thought = np.clip(frames - rng.integers(-EARLY, stale, len(frames)), self.first[frames], self.last[frames])
        whole |= self.subtask[thought] == ""
        texts = []
        for frame, then, instruction in zip(frames, thought, whole, strict=True):
            scene = self.scenes[self.episode[frame]]
            if instruction:
                texts.append(self.instruct(frame, rng))
            else:
                text = str(self.subtask[then])
                texts.append(rephrase(text, scene, rng) if scene else text)
        return texts, whole

    def instruct(self, frame: int, rng: np.random.Generator) -> str:
        """The instruction of a frame's episode, in fresh words where its scene is known."""
        episode = self.episode[frame]
        if (scene := self.scenes[episode]) is None:
            return self.said[episode]
        return instruct(task_of(scene), scene.goal, facts_of(scene), rng)

    @cached_property
    def remembered(self) -> list[str]:
        """What was done before each frame, a sentence each: the deeds among the subtasks of a long task; "" for others.

        A deed whose thing has to be taken hold of again was none, and none is told twice.
        """
        found = [""] * len(self.subtask)
        for start, stop in zip(np.unique(self.first), np.unique(self.last), strict=True):
            scene = self.scenes[self.episode[start]]
            steps = steps_of(scene) if scene else ()
            deeds: list[str] = []
            for frame in range(start + 1, stop + 1):
                before, now = f"{self.subtask[frame - 1]}.", f"{self.subtask[frame]}."
                about = _thing(before)
                again = now.startswith(TAKING) and about == _thing(now)
                done = before.startswith(tuple(step.verb for step in steps)) and before != now and not again
                if len(steps) > 1 and done and before not in deeds:
                    deeds.append(before)
                found[frame] = " ".join(deeds)
        return found

    def fast(self, most: int = 20_000) -> FastTokenizer:
        """Tokens for the chunks of training frames, fitted to at most so many that lie within their episodes."""
        whole = self.training[self.within(self.training).all(1)]
        if not len(whole):
            raise DatasetError(f"no episode is {self.config.horizon} frames long: too short for chunks to write")
        return FastTokenizer.fit(self.chunks(whole[:: max(1, len(whole) // most)]))

    def normaliser(self, per_step: bool = True, most: int = 20_000) -> Normaliser:
        """Statistics of training frames, at most so many, whose chunks lie within their episodes."""
        whole = self.training[self.within(self.training).all(1)]
        whole = whole if len(whole) else self.training  # episodes shorter than a chunk
        frames = whole[:: max(1, len(whole) // most)]
        floor = find_space(self.config.action_space).floor(self.body)
        return Normaliser.fit(self.proprioception[frames], self.chunks(frames), floor, per_step)


def _held_out(sizes: Sequence[int], every: int) -> list[int]:
    """One episode in `every` of each dataset, by their numbers over all of them; at least one, where any dataset has two.

    Drawn once and for all, each dataset for itself: runs with other seeds, and with more data beside, can be compared.
    """
    starts = np.cumsum([0, *sizes])
    drawn = [start + np.random.default_rng(0).permutation(size) for start, size in zip(starts, sizes, strict=False)]
    found = [int(e) for order in drawn for e in order[: len(order) // every]]
    able = [order for order in drawn if len(order) > 1]
    return found or [int(order[0]) for order in able[-1:]]


def _until_disturbed(action: np.ndarray, datasets: Sequence[LeRobotDataset], last: np.ndarray) -> np.ndarray:
    """For each frame the first one, itself included, that was executed otherwise than labelled; else its episode's `last`.

    What a demonstrator did beyond it answers something that nobody could foresee: it is no part of a plan made before.
    """
    executed = np.concatenate([d.columns[EXECUTED if EXECUTED in d.features else ACTION] for d in datasets])
    disturbed = np.abs(executed - action).max(1) > SAME
    following = np.where(disturbed, np.arange(len(action)), len(action))
    return np.minimum(np.minimum.accumulate(following[::-1])[::-1], last)


def _subtasks(dataset: LeRobotDataset) -> np.ndarray:
    """The subtask of each frame; "" where nobody said one."""
    return dataset.columns[SUBTASK].astype(str) if SUBTASK in dataset.features else np.full(len(dataset), "")


def _speakers(dataset: LeRobotDataset) -> np.ndarray:
    """Who said the subtask of each frame; "" where nobody wrote that down."""
    return dataset.columns[SPEAKER].astype(str) if SPEAKER in dataset.features else np.full(len(dataset), "")


TAKING = ("pick up ", "take the handle of ")


def _thing(subtask: str) -> str:
    """What a subtask is about, without the place."""
    for taking in TAKING:
        subtask = subtask.removeprefix(taking)
    return re.split(r" (?:in|on) the ", subtask.rstrip("."))[0].split("the ", 1)[-1]


def _world_of(row: Mapping[str, object]) -> Scene | None:
    """The scene that an episode was recorded in, where it says so."""
    return Scene.from_json(row["scene"]) if row.get("scene") else None


def _is_reserved(scene: Scene) -> bool:
    """Whether a scene holds what no collected training data may hold."""
    with contextlib.suppress(ReservedError):
        refuse_reserved(scene)
        return False
    return True


def stops_of(dataset: LeRobotDataset) -> np.ndarray:
    """The last frame of each episode."""
    return np.cumsum(dataset.lengths) - 1


class Mixture(torch.utils.data.IterableDataset):
    """An endless stream of steps; a step is a list of batches, one for each kind of row."""

    def __init__(
        self, demonstrations: Demonstrations | None, scenes: PointingScenes | None, normaliser: Normaliser,
        tokenizer: Tokenizer, rows: Rows | Callable[[int], Rows], seed: int, stale: int = 10, untold: bool = False,
        web: Web | None = None, fast: FastTokenizer | None = None, turns: int = 1, tagged: bool = False,
        thinking: Thinking = AT_ONCE, frames: Frames | None = None,
    ) -> None:  # fmt: skip
        """demonstrations: None where there are no rows of a robot. rows: of every step, or of each. untold: pictures come from
        frames without points, if there are any. web: where rows are asked or read. fast: the trunk also writes chunks.
        turns: how often each step comes. tagged: ℓ begins with how well the episode went, where somebody said so. thinking:
        what a thought of the demonstrations is made of. frames: where rows are thought.
        """
        super().__init__()
        self.demonstrations, self.scenes, self.normaliser = demonstrations, scenes, normaliser
        self.tokenizer, self.rows, self.seed, self.stale = tokenizer, rows, seed, stale
        self.web, self.fast, self.turns, self.tagged, self.start = web, fast, turns, tagged, 0
        self.thinking, self.frames = thinking, frames
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
        return batch

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
        return Batch(
            text, mask, state=self._state(frames), images=images, answer=answer, answer_mask=answer_mask, learnt=learnt
        )

    def _spoken(
        self, frames: np.ndarray, whole: np.ndarray, acts: bool, rng: np.random.Generator
    ) -> tuple[list[list[int]], list[int]]:
        """What the trunk is to write for each row: the thought where ℓ is the instruction, else the chunk, or nothing. And
        from which piece on it is learnt.
        """
        d, t = self.demonstrations, self.tokenizer
        thinks = whole & (d.subtask[frames] != "") & (not self.thinking.memory)
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
        said, scene = Said(str(d.subtask[frame])), d.scenes[d.episode[frame]]
        if thinking.chain and scene and not task_of(scene).swappable:  # what the words leave open is a matter of facts
            lore = find_lore(scene.facts)
            step, _ = meant(said.subtask, scene, steps_of(scene))
            sign = next((part.parameters["text"] for part in scene.parts if "text" in part.parameters), "")
            said = think(thinking, said.subtask, lore.shown.get(step.object), lore, objects.HANDLED, rng, sign)
        where = None
        if thinking.points and d.pointed[frame] and not said.given:  # where what an edit speaks of is, nobody knows
            points, _ = d.points(np.array([frame]), [said.subtask])
            seen = zip(ROLES, points[0, 0].tolist(), strict=True)  # in the first camera
            where = {role: (u, v) for role, (u, v, visible) in seen if visible}
        memory = d.remembered[frame] if thinking.memory else None
        return pieces(self.tokenizer, said, self.config.answer_length, thinking.filler, where, memory)

    def pointed(self, rows: int, rng: np.random.Generator) -> Batch:
        indices = rng.integers(len(self.scenes), size=rows)
        texts, labels = [], np.zeros((len(indices), len(self.config.cameras), len(ROLES), 3), np.float32)
        columns = [self.scenes[points_key(n)][indices].reshape(len(indices), -1, 3) for n, _, _ in self.config.cameras]
        for row, index in enumerate(indices):
            text, *slots = pointing(self.scenes.parts[index], rng)
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
        return batch

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
        quality = self.demonstrations.quality[self.demonstrations.episode[frames]]
        before = [[f"<quality={q}>"] if self.tagged and q else [] for q in quality]
        length = self.config.text_length
        if memories is not None:
            each = zip(texts, memories, before, strict=True)
            memories = [recalled(self.tokenizer, text, memory, length, len(b)) for text, memory, b in each]
        return words(self.tokenizer, texts, length, before, memories)

    def _state(self, frames: np.ndarray) -> torch.Tensor:
        felt = self.normaliser.state(self.demonstrations.proprioception[frames])
        return torch.from_numpy(pad(felt, self.config.state_slots))


def pad(x: np.ndarray, slots: int) -> np.ndarray:
    """(B, n) → (B, slots), zeros behind."""
    return np.concatenate([x, np.zeros((len(x), slots - x.shape[1]), np.float32)], 1)

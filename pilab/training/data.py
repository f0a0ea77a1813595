"""Demonstrations as arrays: the frames of LeRobot datasets, with what is known of each.

Design choices
--------------
* Every other time ℓ is the instruction, in fresh words, and the thought is asked for; else ℓ is the subtask of some moment
  from a second ago to a blink ahead: a robot that thinks once a second acts on thoughts that old, and now and then thinks
  "leave it there" a blink too early, which must not make it drop what it holds.
* A chunk counts up to the next disturbance (`executed` is not `action`): what follows answers what nobody could foresee.
* Any LeRobot dataset of the body will do, beside others that are labelled or alone. Frames without points teach no
  grounding, frames without a subtask no thought; `labels` says what there is at all, and the recipe insulates the trunk
  only where something else trains it.
* What is held out is left out by what its episode says of itself; what was learnt from, combination by combination, is kept
  for a certificate (see `evaluation.probe`).
* **Said otherwise** (`relabelled`): as long as a subtask does not name the place, it could be any; so what was done until then
  is also the beginning of what nobody ever showed.
* How rows are drawn from them is a matter of `mixture`.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
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
    Goal,
    ReservedError,
    Scene,
    image_key,
    points_key,
)
from pilab.data.cache import FrameCache
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import SPEAKER, SUBTASK
from pilab.training.phrases import instruct, meant, named, rephrase
from pilab.vla.actions import Normaliser, find_space
from pilab.vla.fast import FastTokenizer
from pilab.vla.grounding import ROLES, glimpse_pixels
from pilab.vla.model import VLAConfig
from pilab.vla.senses import OWN, feel, sensor
from pilab.vla.views import viewpoints
from pilab.world import places
from pilab.world.combinations import USUAL, Combination, in_manner, is_held_out, of_episode
from pilab.world.scenes import refuse_reserved
from pilab.world.task import facts_of, steps_of, task_of

HELD_OUT = 40  # one episode in so many is left to validation
EARLY = 3  # control steps that a thought may be ahead of its time
COACHES = ("person", "oracle")  # whose words correct what a policy thought …
TEACHERS = ("demonstrator", "")  # … and who never errs; what a policy thought itself may be what was corrected
SAME = 1e-3  # rad, or of an opening: commands this near to each other are one


class Demonstrations:
    """The frames of one or more datasets of a body, with their labels, as arrays over all frames N."""

    def __init__(
        self, folders: Sequence[str | Path], config: VLAConfig, body: Embodiment, *, held_out: int = HELD_OUT,
        labels: bool = True, watched: Sequence[str | Path] = (), most: int = 0, without: Sequence[Combination] = (),
        manners: bool = False, relabelled: float = 0.0, progress: bool = True,
    ) -> None:  # fmt: skip
        """held_out: one episode in so many is left to validation, at least one where there are two. labels: use what there
        is of points, subtasks and scenes. watched: more datasets, of which no action is used. most: episodes of the first
        dataset that are learnt from, 0 for all. without: patterns of what is held out: its episodes are left out. manners: what
        is said also says how it was done. relabelled: share of the instructions, where that is possible, with another place in
        view, held out or not. Raises `DatasetError` for data of another body, fewer than `most`, or episodes of which nobody
        knows whether they are held out.
        """
        self.config, self.body, self.spoken_manners, self.relabelled = config, body, manners, relabelled
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
        further = [sensor(body, name) for name in config.felt if name not in OWN]
        self.readings = {s.key: np.concatenate([d.columns[s.key] for d in datasets]) for s in further}
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
        about = [row for d in datasets for row in d.episodes]
        self.manner = [str(row.get("manner") or USUAL) for row in about]  # of each episode
        if without and (unknown := sum(world is None for world in worlds)):
            raise DatasetError(
                f"{unknown} episodes do not say what was done in them, and {len(without)} combinations are held out: leave "
                "their datasets out"
            )
        shows = [of_episode(row) if world else [] for row, world in zip(about, worlds, strict=True)]
        barred = np.array([any(is_held_out(one, without) for one in some) for some in shows], bool)
        held = np.isin(
            np.arange(len(lengths)), kept_back([len(d.episodes) for d in datasets[: len(folders)]], held_out)
        )
        first = np.flatnonzero(~(held | barred)[: len(datasets[0].episodes)])
        if most > len(first):
            raise DatasetError(
                f"{most} episodes of {datasets[0].root} asked for, and {len(first)} are there to learn from"
            )
        left_out = np.isin(np.arange(len(lengths)), first[most:] if most else [])
        acted, shown = np.split(np.arange(len(self.state)), [self.offsets[len(folders)]])
        self.training = acted[~(held | left_out | barred)[self.episode[acted]]]
        if not len(self.training):
            raise DatasetError(f"all of {len(lengths)} episodes are held out: nothing is left to learn from")
        self.validation = acted[(held & ~barred)[self.episode[acted]]]
        # watched frames that say where what they speak of is
        self.shown = shown[self.pointed[shown] & ~barred[self.episode[shown]]]
        learnt = np.unique(self.episode[[*self.training, *self.shown]])
        # what was shown, and in how many episodes; None where nobody can tell
        self.combinations = None
        if all(worlds[episode] for episode in learnt):
            self.combinations = Counter(one for episode in learnt for one in set(shows[episode]))
        said = np.concatenate([_speakers(d) for d in datasets])
        speaks = self.training[self.subtask[self.training] != ""]
        self.corrected = speaks[np.isin(said[speaks], COACHES)]
        self.rehearsed = speaks[np.isin(said[speaks], TEACHERS)]
        self.tellable = self.training[self.pointed[self.training]]  # what needs no pictures

    def _check(self, dataset: LeRobotDataset) -> None:
        wanted = {STATE: (self.body.size,), ACTION: (self.body.size,)}
        wanted |= {image_key(n): (h, w, 3) for n, h, w in self.config.cameras}
        wanted |= {s.key: s.shape for s in (sensor(self.body, n) for n in self.config.felt if n not in OWN)}
        for key, shape in wanted.items():
            found = dataset.features[key].shape if key in dataset.features else None
            if found is None or tuple(found) != shape:
                raise DatasetError(
                    f"{dataset.root}: {key} has shape {found}; the body {self.body.name!r} needs {shape}. "
                    "Use data of this body, or name yours with --body"
                )

    # ------------------------------------------------------------------------------------------------------------ arrays
    @cached_property
    def felt(self) -> np.ndarray:
        """(N, S) before normalisation."""
        seen = {STATE: self.state.astype(float), **self.readings}
        return feel(self.body, self.config.felt, seen).astype(np.float32)

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
                names, (step, said) = [p.name for p in scene.parts], meant(texts[row], scene, self._goals(scene))
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
                texts.append(self.instruct(frame, rng, otherwise=True))
            else:
                text = str(self.subtask[then])
                texts.append(self._said_how(rephrase(text, scene, rng) if scene else text, frame, rng))
        return texts, whole

    def instruct(self, frame: int, rng: np.random.Generator, otherwise: bool = False) -> str:
        """The instruction of a frame's episode, in fresh words where its scene is known. otherwise: it may be `relabelled`."""
        episode = self.episode[frame]
        if (scene := self.scenes[episode]) is None:
            return self._said_how(self.said[episode], frame, rng)
        goal = scene.goal
        if otherwise and self.relabelled and self._open(frame, scene) and rng.random() < self.relabelled:
            others = _elsewhere(scene)
            goal = others[rng.integers(len(others))] if others else goal
        return self._said_how(instruct(task_of(scene), goal, facts_of(scene), rng), frame, rng)

    def _said_how(self, text: str, frame: int, rng: np.random.Generator) -> str:
        """With words for the manner of a frame's episode, where these are said."""
        return in_manner(text, self.manner[self.episode[frame]], rng) if self.spoken_manners else text

    def _open(self, frame: int, scene: Scene) -> bool:
        """Whether the place does not matter yet, in what is done now and in the whole chunk."""
        end = min(frame + self.config.horizon - 1, self.last[frame])
        text = str(self.subtask[frame])
        return (
            text != "" and text == self.subtask[end] and scene.goal.place in places.PLACES and not named(text, scene)[1]
        )

    def _goals(self, scene: Scene) -> tuple[Goal, ...]:
        """What a text of an episode may be about."""
        return (*steps_of(scene), *(_elsewhere(scene) if self.relabelled else ()))

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
        return Normaliser.fit(self.felt[frames], self.chunks(frames), floor, per_step)


def kept_back(sizes: Sequence[int], every: int = HELD_OUT) -> list[int]:
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


def _elsewhere(scene: Scene) -> list[Goal]:
    """The goal of a scene with each other place in view."""
    goal = scene.goal
    spots = [p.name for p in scene.parts if p.name in places.PLACES and p.name != goal.place]
    return [Goal(goal.verb, goal.object, spot) for spot in spots]


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

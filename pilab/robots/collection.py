"""Collect demonstrations: scenes → demonstrator → Executor → dataset, on all cores, resumable.

Attempt k is the scene of seed S + k for the k-th task in turn. Attempts run in parallel processes and are filed in order, so
a dataset is a function of its recipe, whatever the number of processes (but for the bytes of its videos: x264 may spend
its bits a little differently in another process); a failed attempt is left out and the next one takes its place. The frame
cache is filled from the raw frames on the way.

A policy may drive instead of the demonstrator: what it did is then what is learnt from, and its failures, kept and marked
as such (`quality` 1 instead of 5), are data too.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import shutil
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from tqdm.auto import tqdm

from pilab.contracts import (
    ACTION,
    EXECUTED,
    STATE,
    DatasetError,
    Observation,
    Policy,
    Scene,
    SceneError,
    UnknownNameError,
    find,
    image_key,
    points_key,
)
from pilab.data.cache import FrameCache, lock
from pilab.data.cards import write_card
from pilab.data.lerobot import DatasetWriter, LeRobotDataset, colour_error, stage_episode
from pilab.data.lerobot.writer import STAGING
from pilab.data.schema import INTERVENTION, SOURCE, SPEAKER, SUBTASK, SUCCESS, features
from pilab.engine import Here, provenance
from pilab.robots.executor import Command, Executor
from pilab.robots.oracle import Overheard
from pilab.robots.rescue import Rescue
from pilab.robots.simulated import Trial, simulate
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.policy import VLAPolicy
from pilab.world import objects, places
from pilab.world.demonstrators import CoverageNoise, Demonstrator
from pilab.world.demonstrators.script import MANNERS
from pilab.world.environment import SLOTS
from pilab.world.scenes import find_body, refuse_reserved, sample_scene

GIVE_UP = 60  # attempts that may fail in a row
OUTCOMES = ("success", "failure", "any")


@dataclass(frozen=True)
class Recipe:
    """What a collection is a function of."""

    tasks: tuple[str, ...]
    seed: int = 0  # the first training seed
    body: str = "duo"
    manners: tuple[str, ...] = ("normal",)  # in turn, see demonstrators.script.MANNERS
    arm: str | None = None  # "left", "right", None: the nearer one
    noise: float = 0.6  # share of the episodes with coverage noise
    close: float = 0.0  # how much of it remains near things, see CoverageNoise
    novice: str | None = None  # a checkpoint that drives for a while (see rescue), instead of noise
    object: str | None = None  # only this object (a noun or a look) …
    place: str | None = None  # … and this place
    driver: str | None = None  # a checkpoint that drives alone: nobody demonstrates, nothing is disturbed
    overheard: bool = False  # beside what it thinks, the oracle notes the subtask that would have been right
    facts: str = "household"  # what things are called and where they belong, see objects.find_facts
    outcome: str = "success"  # which of its episodes are kept, one of OUTCOMES

    def attempt(self, k: int) -> tuple[Scene, str]:
        """The scene and the manner of attempt k. Raises `ReservedError` for what must not become training data."""
        task = self.tasks[k % len(self.tasks)]
        if self.place and not self.object:
            raise SceneError(f"place {self.place!r} without an object; name the object too, or neither")
        named = {fact.noun: look for look, fact in objects.household().rows.items()}
        fixed = self.object in places.FIXTURES
        place = named.get(self.place, self.place)  # things are stacked on things, which have nouns too
        cell = (self.object if fixed else objects.household().look(self.object), place) if self.object else None
        scene = sample_scene(self.seed + k, task, body=self.body, cell=cell, facts=objects.find_facts(self.facts))
        refuse_reserved(scene)
        return scene, self.manners[k // len(self.tasks) % len(self.manners)]


class Failed(Exception):  # noqa: N818 - not an error: demonstrations fail now and then
    """An attempt that did not end as wanted; says why."""


def demonstrate(scene: Scene, manner: str, recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """One demonstration as arrays with a leading T and as episode values. Raises `Failed` with the reason."""
    frames: list[tuple[Observation, Command]] = []
    body, teacher = find_body(scene.body), Demonstrator(recipe.arm, manner)
    if recipe.driver:
        driver = _policy(recipe.driver)
        executor = Executor(Overheard(driver) if recipe.overheard else driver, body, arm="collect")
    elif recipe.novice:
        executor = Rescue(teacher, _policy(recipe.novice), body, arm="collect")
    else:
        noise = CoverageNoise(share=recipe.noise, close=recipe.close)
        executor = Executor(teacher, body, disturbance=noise, arm="collect")
    every = tuple(c.name for c in body.cameras)
    trial = Trial(scene, watch=lambda w, o, c: frames.append((o, c)), points=True, cameras=every)
    (outcome,) = simulate(executor, [trial], batch=1, threads=1)
    success = outcome.monitor.success
    if recipe.outcome != "any" and success != (recipe.outcome == "success"):
        raise Failed(outcome.monitor.failure() or "it succeeded")
    seen, commands = zip(*frames, strict=True)
    arrays: dict[str, Any] = {STATE: np.stack([o[STATE] for o in seen])}
    arrays |= {s.key: np.stack([o[s.key] for o in seen]) for s in body.sensors}
    arrays |= {ACTION: np.stack([c.label for c in commands]), EXECUTED: np.stack([c.executed for c in commands])}
    for camera in body.cameras:
        arrays[image_key(camera.name)] = np.stack([o[image_key(camera.name)] for o in seen])
        arrays[points_key(camera.name)] = np.stack([o[points_key(camera.name)].reshape(-1) for o in seen])
    steps = len(frames)
    thoughts = [c.thought for c in commands]
    arrays |= {SUBTASK: [t.subtask or "" for t in thoughts], SOURCE: ["policy"] * steps}
    arrays |= {SPEAKER: [t.author if t.subtask else "" for t in thoughts]}
    arrays |= {
        INTERVENTION: np.array([c.intervention for c in commands]),
        SUCCESS: (np.arange(steps) == steps - 1) & success,
    }
    memory = commands[0].thought.memory
    goal = scene.goal
    return arrays, {
        "scene": scene.to_json(), "seed": scene.seed, "verb": goal.verb, "object": goal.object, "place": goal.place or "",
        "arm": str(memory.get("arm", "")), "manner": manner, "quality": 5 if success else 1, "speed": steps,
        "operator": "policy" if recipe.driver else "demonstrator",
        "instruction": scene.instruction,
    }  # fmt: skip


@functools.cache
def _policy(checkpoint: str) -> Policy:
    """Loaded once in each process, which is one of many: a single thread."""
    torch.set_num_threads(1)
    return VLAPolicy(checkpoint)


def _work(recipe: Recipe, k: int, folder: str) -> tuple[dict[str, Any], dict[str, Any]] | str:
    """In a worker process: demonstrate attempt k and stage it; or say why it failed."""
    try:
        scene, manner = recipe.attempt(k)
        arrays, values = demonstrate(scene, manner, recipe)
    except (
        Failed,
        SceneError,
    ) as error:  # no layout, out of the arm's reach, or a slip: the next attempt takes its place
        return str(error)
    body = find_body(scene.body)
    stage_episode(folder, arrays, features(body, SLOTS), body.control_hz)
    return arrays, values


def collect(
    recipe: Recipe, episodes: int, out: str | Path, *, workers: int | None = None, progress: bool = True
) -> Path:
    """Collect until the dataset at `out` has `episodes` episodes; goes on with one of the same recipe.

    workers: processes, by default one for each core; 0 for none, where a few episodes cost less than to start one. The
    episodes are the same.

    Raises `ReservedError`, `UnknownNameError`, or `DatasetError` when `out` holds something else or another process is
    collecting into it.
    """
    out = Path(out)
    try:
        with lock(out).acquire(timeout=0):
            return _collect(recipe, episodes, out, workers, progress)
    except Timeout as error:
        raise DatasetError(
            f"another process is collecting into {out}; wait for it, stop it, or use another folder"
        ) from error


def _collect(recipe: Recipe, episodes: int, out: Path, workers: int | None, progress: bool) -> Path:
    """Under the lock: two writers would number their episodes alike."""
    if recipe.outcome not in OUTCOMES:
        raise UnknownNameError("outcome", recipe.outcome, OUTCOMES)
    if recipe.driver and recipe.novice:
        raise SceneError("a policy drives alone (driver) or beside the demonstrator (novice); name one of them")
    if recipe.driver and (recipe.arm, recipe.manners, recipe.close) != (None, ("normal",), 0.0):
        raise SceneError("arm, manner and noise near things are a demonstrator's; a driver has its own ways")
    if recipe.outcome != "success" and not recipe.driver:
        raise SceneError(
            f"outcome {recipe.outcome!r} without a driver: a demonstrator's failures are nobody's mistakes"
        )
    if recipe.overheard and not recipe.driver:
        raise SceneError("overheard without a driver: a demonstrator says what is right anyway")
    for task in recipe.tasks:
        if not recipe.driver and not find(task, "pilab.world.tasks", "TASK", "task").demonstrator:
            raise SceneError(f"task {task!r} has no demonstrator; set Task.demonstrator to MODULE:CLASS")
    for what, share in (("noise", recipe.noise), ("close noise", recipe.close)):
        if not 0 <= share <= 1:
            raise SceneError(f"{what} {share}; expected a share, 0 … 1")
    recipe.attempt(0)  # a reserved or impossible request is refused before anything is written
    body = find_body(recipe.body)
    for manner in recipe.manners:
        if manner not in MANNERS:
            raise UnknownNameError("manner", manner, list(MANNERS))
    if recipe.arm is not None:
        body.arm(recipe.arm)
    plan = json.loads(json.dumps(asdict(recipe)))
    drove = {role: getattr(recipe, role) for role in ("novice", "driver") if getattr(recipe, role)}
    drove = {role: Checkpoint.load(folder).hash for role, folder in drove.items()}
    if (out / "meta" / "info.json").exists():
        writer = DatasetWriter.resume(out)
        known = {**asdict(Recipe(())), **(writer.meta.get("recipe") or {})}  # one of an older pilab names fewer things
        if json.loads(json.dumps(known)) != plan or any(
            writer.meta.get(role) != value for role, value in drove.items()
        ):
            raise DatasetError(
                f"{out} was collected with recipe {writer.meta.get('recipe')}; expected {plan}. Use another folder"
            )
    else:
        source = "a policy in simulation" if recipe.driver else "scripted demonstrator in simulation"
        meta = {"recipe": plan, "source": source, **drove, **provenance()}
        writer = DatasetWriter.create(out, body.control_hz, features(body, SLOTS), body.name, meta)
    done = writer.info.total_episodes
    k = _next_attempt(out, recipe) if done else 0
    workers = (os.cpu_count() or 1) if workers is None else workers
    pending: deque = deque()
    failed = row = 0  # in all, in a row
    bar = tqdm(
        total=episodes, initial=done, desc=f"collect {' '.join(recipe.tasks)}", unit="episode", disable=not progress
    )
    # One thread in each process: the processes are the parallelism.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with bar, ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) if workers else Here() as pool:
        while done < episodes:
            while len(pending) < max(1, 2 * workers):
                folder = writer.staging_folder()
                pending.append((folder, pool.submit(_work, recipe, k, str(folder))))
                k += 1
            folder, future = pending.popleft()
            found = future.result()
            if isinstance(found, str):
                failed, row = failed + 1, row + 1
                bar.set_postfix(failed=failed)
                if row >= GIVE_UP:
                    raise SceneError(
                        f"{row} attempts failed in a row, the last because: {found}. {done} episodes are kept"
                    )
                continue
            row = 0
            arrays, values = found
            task = values.pop("instruction")
            writer.commit(folder, task, values)
            FrameCache.add(writer.id, arrays, writer.info.features, done)
            if "colour_error" not in writer.meta:
                writer.update_meta(colour_error=_colour_error(out, arrays, done))
            done += 1
            bar.update()
        for _, future in pending:
            future.cancel()
    shutil.rmtree(out / STAGING, ignore_errors=True)  # attempts beyond the last one needed
    write_card(out)
    return out


def _colour_error(out: Path, arrays: dict[str, Any], episode: int) -> dict[str, dict[str, float]]:
    """What the video codec did to an episode, by camera, in 8-bit levels; "objects" are the saturated pixels."""
    dataset, errors = LeRobotDataset(out), {}
    for camera in dataset.cameras:
        raw = arrays[camera]
        decoded = dataset.frames(camera, episode, range(len(raw)))
        saturated = np.ptp(raw.astype(np.int16), axis=-1) > 90
        errors[camera] = {k: round(v, 2) for k, v in colour_error(decoded, raw, saturated).items()}
    return errors


def _next_attempt(out: Path, recipe: Recipe) -> int:
    """The attempt after the last one that was filed."""
    return max(int(e["seed"]) for e in LeRobotDataset(out).episodes) - recipe.seed + 1

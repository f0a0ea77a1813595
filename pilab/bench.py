"""How fast is it: the benchmarks behind `pilab bench`. Each figure is the median of several repetitions.

Ratios where a reference exists: `world_overhead` is the time of a control step with its images over the time of the
bare `mj_step` and `mj_multiRay` calls inside it; `dataset_read_ratio` is our uncached reading over the real LeRobot
library's; `train_efficiency` is the rate of arithmetic in a training step over that of a plain matrix product.
`pilab.training.timing.measure` says what each figure of the model means, `pilab.robots.timing` what those of the loop do.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from pilab.contracts import DatasetError, PilabError, Scale, Scene
from pilab.data.cache import FrameCache
from pilab.data.lerobot import LeRobotDataset
from pilab.data.pointing import PointingScenes
from pilab.notebook import SAMPLES
from pilab.robots.collection import Recipe, collect
from pilab.robots.timing import measure as robots
from pilab.world import objects
from pilab.world.environment import World
from pilab.world.scenes import sample_scene

REPEATS = 5
DEMONSTRATIONS = 60
SCALE = Scale.LAPTOP  # of the recipe that is timed
ROBOTS = {"seconds": 10.0, "asks": 200}  # see robots.timing
TRAINING = {"steps": 30, "pictures": 300, "repeats": 50}  # see timing.measure


def _quiet(episodes: Iterable, **_: Any) -> Iterable:
    """In place of a progress bar."""
    return episodes


def run(peer: str | None = None, progress: bool = True) -> dict[str, Any]:
    """All benchmarks; some two minutes. peer: a Python that has the real lerobot library, see tests/peers.

    Raises `DatasetError` where the sample dataset is not beside the package.
    """
    if not SAMPLES.is_dir():
        raise DatasetError(f"no sample dataset in {SAMPLES}: install pilab from a checkout with `pip install -e .`")

    def say(what: str) -> None:
        if progress:
            print(f"… {what}", flush=True)

    say("the world: physics and three cameras, ten objects on the table")
    one = [_world_rate(threads=1) for _ in range(REPEATS)]
    two = [_world_rate(threads=2) for _ in range(REPEATS)]
    overheads, renders = zip(*(_world_shares() for _ in range(REPEATS)), strict=True)
    results: dict[str, Any] = {
        "world_steps_per_s_1t": statistics.median(one),
        "world_steps_per_s_2t": statistics.median(two),
        "world_overhead": statistics.median(overheads),
        "render_ms_per_step": statistics.median(renders),
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "demonstrations"
        say(f"{DEMONSTRATIONS} demonstrations of put: acted, rendered, encoded, on all cores")
        began = time.perf_counter()
        collect(Recipe(("put",)), DEMONSTRATIONS, root, progress=False)
        results["demos_per_min"] = DEMONSTRATIONS / (time.perf_counter() - began) * 60
        say("reading the dataset")
        dataset = LeRobotDataset(root)
        results["dataset_read_steps_per_s"] = _rate(lambda: _read(dataset, 200), 200)
        cache = FrameCache.open(dataset, _quiet)
        results["cache_read_steps_per_s"] = _rate(lambda: _read_cache(cache, 100), 6400)
        shutil.rmtree(cache.folder, ignore_errors=True)  # some 200 MB that nobody will ask for again
        if peer:
            say("reading it with the real LeRobot library")
            theirs = peer_rate(peer, root)
            results["peer_dataset_read_steps_per_s"] = theirs
            results["dataset_read_ratio"] = results["dataset_read_steps_per_s"] / theirs
    say("a control loop beside a busy notebook, and a policy server")
    results |= robots(**ROBOTS)
    say("training the model of the laptop recipe for a moment, then asking it")
    results |= model_figures(SCALE, SAMPLES, **TRAINING)
    return {key: round(value, 3) for key, value in results.items()}


def model_figures(scale: Scale, data: Path, *, pictures: int, **amounts: int) -> dict[str, float]:
    """`timing.measure` of the laptop recipe, in a new process: this one's memory is no part of a training's."""
    FrameCache.open(LeRobotDataset(data), _quiet)  # caches are filled here, so that decoding is no part of it either
    PointingScenes.open(pictures, progress=False)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, scale, data, {"pictures": pictures, **amounts}).result()


def _measure(scale: Scale, data: Path, amounts: dict[str, int]) -> dict[str, float]:
    from pilab.training import recipes, timing  # torch takes seconds to load, and nothing else here needs it

    return timing.measure(recipes.find_recipe("laptop", scale), data, **amounts)


def crowded_scene() -> Scene:
    """A put scene with ten objects on the table."""
    scene = sample_scene(3, "put")
    here = {p.name for p in scene.parts}
    spots = [(-0.2, -0.19), (-0.1, -0.19), (0.0, -0.19), (0.1, -0.19), (0.2, -0.19), (-0.25, 0.3), (-0.15, 0.3)]
    more = [
        objects.part(k, x, y, 0.3)
        for k, (x, y) in zip([k for k in objects.LOOKS if k not in here], spots, strict=False)
    ]
    count = sum("look" in p.parameters for p in scene.parts)
    return scene.replace(parts=(*scene.parts, *more[: 10 - count]))


def _drive(world: World, steps: int) -> None:
    """Small movements, all cameras."""
    start = world.state
    for i in range(steps):
        world.step(start + 0.02 * np.sin(0.3 * i))
        world.observe()


def _world_rate(threads: int, steps: int = 60) -> float:
    worlds = [World(crowded_scene()) for _ in range(threads)]
    for world in worlds:
        _drive(world, 3)
    workers = [threading.Thread(target=_drive, args=(world, steps)) for world in worlds]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * steps / (time.perf_counter() - began)


def _world_shares(steps: int = 60) -> tuple[float, float]:
    """(whole time over time inside mj_step and mj_multiRay, ms per step spent on all pictures)."""
    world = World(crowded_scene())
    _drive(world, 3)
    spent = {"mj_step": 0.0, "mj_multiRay": 0.0}
    originals = {name: getattr(mujoco, name) for name in spent}

    def timed(name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            began = time.perf_counter()
            originals[name](*arguments)
            spent[name] += time.perf_counter() - began

        return call

    for name in spent:
        setattr(mujoco, name, timed(name))
    try:
        began = time.perf_counter()
        _drive(world, steps)
        total = time.perf_counter() - began
    finally:
        for name, original in originals.items():
            setattr(mujoco, name, original)
    return total / sum(spent.values()), (total - spent["mj_step"]) / steps * 1e3


def _read(dataset: LeRobotDataset, count: int) -> None:
    """Random access, all cameras."""
    for i in np.random.default_rng(0).integers(len(dataset), size=count):
        dataset[int(i)]


def _read_cache(cache: FrameCache, batches: int) -> None:
    """Shuffled batches of 64, copied into memory and summed."""
    rng = np.random.default_rng(0)
    for _ in range(batches):
        for array in cache.batch(rng.integers(len(cache), size=64)).values():
            array.sum()


def _rate(work: Callable[[], None], amount: int) -> float:
    work()
    rates = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        rates.append(amount / (time.perf_counter() - began))
    return statistics.median(rates)


def peer_rate(python: str, root: Path) -> float:
    """Random-access steps per second of the real LeRobot library on the same files, in its own environment."""
    script = Path(__file__).parent / "data" / "lerobot" / "_peer_timing.py"
    try:
        done = subprocess.run([python, str(script), str(root)], capture_output=True, text=True, timeout=600)
    except OSError as error:
        raise PilabError(
            f"cannot run {python}: {error}; make it with `python tests/peers/make_environment.py`"
        ) from error
    if done.returncode:
        raise PilabError(f"{python} could not read {root} with lerobot: {done.stderr.strip().splitlines()[-1:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["steps_per_s"])

"""How fast a VLA learns and answers on this machine: what `pilab bench` says about the model.

Design choices
--------------
* **The real loop**: demonstrations and pointing scenes drawn by `Mixture`, learnt by `Learner` under Lightning, with
  the recipe's clipping, averaging and log. A step is timed from the end of the one before: drawing its batch counts.
* **Meant for a process of its own**, as `pilab.bench` makes one: its memory is then that of a training alone.
* **Work is counted, not estimated**: FLOPs of one step as dispatched, held against a plain matrix product.
* On the CPU, which is where the laptop recipe belongs.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from torch.utils.flop_counter import FlopCounterMode

from pilab.contracts import NOISE, Thought
from pilab.data.pointing import PointingScenes
from pilab.robots.executor import batch
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture
from pilab.training.module import Learner
from pilab.training.recipes import Recipe, Stage
from pilab.training.train import keep_memory, make_trainer
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import Tokenizer
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, find_body, sample_scene

SETTLE = 3  # steps before the clock counts: memory is reserved, kernels are chosen; in the first, FLOPs are counted
MATRIX = 1024  # rows and columns of the product that stands for what the machine can do


def measure(
    recipe: Recipe, data: str | Path, *, body: str = "duo", steps: int = 30, pictures: int = 300,
    repeats: int = 50, threads: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Train for `SETTLE` + `steps` steps on the LeRobot dataset `data` beside `pictures` pointing scenes, then answer.

    train_steps_per_s: from the median of `steps` steps of the recipe's first stage. Its demonstrations and pointing
      rows are samples: each is one observation with all cameras through forward, backward and optimiser. Its point-only
      rows (no pictures, actions alone) are paid for, and are no samples.
    train_samples_per_s: samples of a step over its time.
    train_gflops: FLOPs of matrix products and convolutions in the first step, optimiser included, over the time of a
      step, in 10⁹ per second; fused attention and what only moves or maps numbers is time without FLOPs.
    matmul_gflops: the product of two matrices (1024, 1024) in fp32. train_efficiency: train_gflops over matmul_gflops.
    peak_gb: most resident memory of this process until the last training step, sampled, in 10⁹ bytes; pages of the
      memory-mapped frames count as far as they are in memory, so more data may mean more.
    think_ms, act_ms: one observation in, the subtask or a chunk of joint targets out (all flow steps, inverse
      kinematics); medians of `repeats`. The weights are untrained: what a thought costs is then what the longest costs.

    threads: of torch, by default one for each core. Raises `DatasetError` for data that is missing or of another body.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # a benchmark says nothing but its figures
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.set_num_threads(threads or os.cpu_count() or 1)
    torch.set_flush_denormal(True)
    keep_memory()
    pl.seed_everything(0, verbose=False)
    robot = find_body(body)
    config = getattr(VLAConfig, recipe.size)(robot, **recipe.model)
    with Peak() as peak:
        demonstrations = Demonstrations([data], config, robot)
        scenes = PointingScenes.open(pictures, body=body, progress=False)
        tokenizer, normaliser = Tokenizer.default(), demonstrations.normaliser(recipe.per_step_statistics)
        rows = recipe.rows(0)
        mixture = Mixture(demonstrations, scenes, normaliser, tokenizer, rows, 0)
        watch = train_for(recipe, config, mixture, SETTLE + steps)
    step = statistics.median(watch.seconds[SETTLE:])
    matmul = matmul_gflops(repeats)
    untrained = Checkpoint(VLA(config), normaliser, tokenizer, frozenset())
    return {
        "train_steps_per_s": 1 / step,
        "train_samples_per_s": (rows.demonstrations + rows.pointing) / step,
        "train_gflops": watch.flops / step / 1e9,
        "matmul_gflops": matmul,
        "train_efficiency": watch.flops / step / 1e9 / matmul,
        "peak_gb": peak.bytes / 1e9,
        **answer(VLAPolicy(untrained, robot), repeats),
    }


def train_for(recipe: Recipe, config: VLAConfig, mixture: Mixture, steps: int) -> Stopwatch:
    """Train a new model for a few steps as `train` does, but without validation and without keeping anything."""
    learner = Learner(VLA(config).to(memory_format=torch.channels_last), recipe, recipe.insulate, 0)
    watch, short = Stopwatch(), dataclasses.replace(recipe, stages=(Stage(steps, recipe.rows(0)),))
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            short, folder, [EMAWeightAveraging(decay=recipe.average), watch],
            accelerator="cpu", enable_progress_bar=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(learner, torch.utils.data.DataLoader(mixture, batch_size=None))
    return watch


class Stopwatch(Callback):
    """Seconds from the end of each step to the end of the next, and the FLOPs of the first."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.flops = 0
        self._counting = ExitStack()
        self._counter = FlopCounterMode(display=False)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._last = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if not self.seconds:
            self._counting.enter_context(self._counter)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if not self.seconds:
            self._counting.close()
            self.flops = self._counter.get_total_flops()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class Peak:
    """The most memory that this process has been seen to hold while inside the block.

    Sampled, because only some systems keep a high-water mark, and Linux hands a parent's on to its children.
    """

    def __init__(self, interval: float = 0.01) -> None:
        self.bytes, self.interval = 0, interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._over.wait(self.interval):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def answer(policy: VLAPolicy, repeats: int) -> dict[str, float]:
    """Median milliseconds to think and to act for one robot, after one of each to warm up."""
    world = World(sample_scene(VALIDATION.start, "put", body=policy.body.name))
    seen = batch([world.observe()])
    seen[NOISE] = np.random.default_rng(0).standard_normal((1, *policy.noise_shape), np.float32)
    thoughts = [Thought(subtask="reach the apple")]
    return {
        "think_ms": 1e3 * _median(lambda: policy.think(seen, thoughts), repeats),
        "act_ms": 1e3 * _median(lambda: policy.act(seen, thoughts), repeats),
    }


def matmul_gflops(repeats: int) -> float:
    """10⁹ FLOP/s of this machine: 2 n³ for the product of two n × n matrices in fp32."""
    a = torch.rand(MATRIX, MATRIX)
    return 2 * MATRIX**3 / _median(lambda: a @ a, repeats) / 1e9


def _median(work: Callable[[], Any], repeats: int) -> float:
    """Seconds."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)

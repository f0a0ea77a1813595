"""What is watched while a model learns: progress, what it costs, and success in the closed loop."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from torch.utils.flop_counter import FlopCounterMode

from pilab.contracts import Row
from pilab.training.recipes import Recipe, Stage


class Progress(TQDMProgressBar):
    """Steps, steps/s and time left, with the loss; validation stays silent."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_start(trainer, module)
        bar = self.train_progress_bar  # a resumed run goes on in the middle of an epoch, where Lightning knows no total
        turns = trainer.accumulate_grad_batches
        bar.total, bar.initial, bar.n = (
            trainer.max_steps * turns,
            trainer.global_step * turns,
            trainer.global_step * turns,
        )

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, object]:
        return {k: v for k, v in super().get_metrics(trainer, module).items() if k != "v_num"}


class Success(Callback):
    """Runs the policy in the world every so many steps, on validation seeds; rows and rates go to `success.jsonl`.

    A loss says how well chunks are predicted; only this says whether the robot does what it is asked.
    """

    def __init__(self, measure: Callable[[], list[Row]], every: int, path: Path) -> None:
        """measure: rows of the present weights."""
        self.measure, self.every, self.path = measure, every, path

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # Stands before the averaging callback, which takes the averaged weights out again at the end of validation.
        due = self.every and trainer.global_step % self.every == 0 and trainer.global_step < trainer.max_steps
        if due and trainer.is_global_zero:
            self.run(trainer.global_step)

    def run(self, step: int) -> list[Row]:
        """Measure now, and write it down."""
        began = time.perf_counter()
        rows = self.measure()
        rate = sum(row.success for row in rows) / max(len(rows), 1)
        entry = {"step": step, "success": rate, "episodes": len(rows), "seconds": round(time.perf_counter() - began, 1)}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return rows


class Clock(Callback):
    """Seconds spent training, over all resumed parts, without those spent measuring success."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._began = time.perf_counter()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time that does not count."""
        began = time.perf_counter()
        yield
        self.seconds -= time.perf_counter() - began if self._began else 0.0

    @property
    def spent(self) -> float:
        return self.seconds + (time.perf_counter() - self._began if self._began else 0.0)

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.spent}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.seconds = state["seconds"]


class Cost(Callback):
    """FLOPs of the training: those of one step of each stage, counted as dispatched, forward and backward, times its steps.

    Matrix products and convolutions. A CPU's fused attention (one or two in a hundred here), the optimiser, and what only
    moves or maps numbers cost time, and are not counted.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.of_a_step = recipe, {}  # stage → FLOPs
        self._counter, self._counting = FlopCounterMode(display=False), contextlib.ExitStack()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        self._stage = self._name(self.recipe.at(trainer.global_step)[0])
        if self._stage not in self.of_a_step:
            self._counting.enter_context(self._counter)

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        self._counting.close()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        if self._stage not in self.of_a_step:
            self._counting.close()
            parts = trainer.world_size * trainer.accumulate_grad_batches
            self.of_a_step[self._stage] = self._counter.get_total_flops() * parts

    @property
    def flops(self) -> float:
        """Of all steps of the stages that have begun."""
        return float(sum(self.of_a_step.get(self._name(stage), 0) * stage.steps for stage in self.recipe.stages))

    def _name(self, stage: Stage) -> str:
        return str(self.recipe.stages.index(stage))  # those that are alike cost alike

    def state_dict(self) -> dict[str, object]:
        return {"of_a_step": self.of_a_step}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.of_a_step = dict(state["of_a_step"])

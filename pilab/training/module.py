"""One training step: losses of all batches of a step, weighted; Muon and AdamW, warm-up and cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from pilab.contracts import UnknownNameError
from pilab.training.muon import Muon
from pilab.training.recipes import Recipe
from pilab.vla.flow import Expert
from pilab.vla.model import VLA, Batch


class Learner(pl.LightningModule):
    """A VLA under a recipe."""

    def __init__(self, model: VLA, recipe: Recipe, insulate: bool, seed: int) -> None:
        """insulate: keep the flow's gradient out of the trunk; for data with labels that train the trunk."""
        super().__init__()
        self.model, self.recipe, self.insulate, self.seed = model, recipe, insulate, seed
        parts = [name for name, _ in model.named_children()]
        for name in (name for stage in recipe.stages for name in stage.only):
            if name not in parts:
                raise UnknownNameError("part of the VLA", name, parts)

    def on_train_batch_start(self, batches: list[Batch], step: int) -> None:
        # Where the actions have to train the trunk, because nothing else does, it goes on learning from them.
        only = self.recipe.at(self.global_step)[0].only if self.insulate else ()
        for name, part in self.model.named_children():
            part.requires_grad_(not only or name in only)

    def training_step(self, batches: list[Batch], step: int) -> Tensor:
        """Loss of this process's part of a step's rows, or of this turn's.

        All that is random is drawn for all rows, a function of seed and step: a resumed run, and one in more parts, goes on
        exactly as it would have.
        """
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)
        total, (index, parts) = torch.zeros((), device=self.device), self.place(step)
        for batch in batches:
            kind, batch = kind_of(batch), augmented(batch, self.recipe.state_noise)
            drawn, counts = None if batch.actions is None else self.model.head.draw(batch.actions), batch.counts(parts)
            if parts > 1:
                batch, drawn = batch.part(index, parts), drawn and tuple(x[index::parts] for x in drawn)
            losses = self.model.loss(batch, self.insulate, drawn, counts)
            total = total + self.weighted(losses)
            shown = {f"{name}/{kind}": value.detach() for name, value in losses.items()}
            self.log_dict(shown, on_step=True, sync_dist=self.shared)
        self.log("loss", total.detach(), on_step=True, prog_bar=True, sync_dist=self.shared)
        return total

    def place(self, turn: int) -> tuple[int, int]:
        """Which part of a step's rows is this process's in its so many-th turn, and how many parts there are."""
        if self._trainer is None:
            return 0, 1
        processes, turns = self.trainer.world_size, self.trainer.accumulate_grad_batches
        return turn % turns * processes + self.trainer.global_rank, processes * turns

    @property
    def shared(self) -> bool:
        """Whether there are other processes."""
        return self._trainer is not None and self.trainer.world_size > 1

    def weighted(self, losses: Mapping[str, Tensor]) -> Tensor:
        return sum(self.recipe.weights[name] * value for name, value in losses.items())

    def validation_step(self, batch: Batch, index: int) -> None:
        torch.manual_seed(index)  # the same noise every time
        losses = self.model.loss(batch, self.insulate)
        losses["loss"] = self.weighted(losses)
        found = {f"validation/{name}": value for name, value in losses.items()}
        self.log_dict(found, batch_size=len(batch.text), sync_dist=self.shared)

    def configure_optimizers(self) -> dict[str, object]:
        r = self.recipe
        inner = {id(m.weight) for m in self.model.modules() if isinstance(m, nn.Linear)} if r.muon else set()
        # The last layer begins at zero and says how large actions are: steps of equal size in all directions are not for it.
        inner -= {id(module.write_chunk.weight) for module in self.model.modules() if isinstance(module, Expert)}
        groups = []
        for name, part in self.model.named_children():  # the head learns faster than what it listens to
            if not any(not stage.only or name in stage.only for stage in r.stages):
                continue
            rate_of_part = r.learning_rate * (r.head_rate if name == "head" else 1.0)
            kinds: dict[tuple[bool, bool], list[nn.Parameter]] = {}
            for p in part.parameters():
                kinds.setdefault((id(p) in inner, p.ndim > 1), []).append(p)
            groups += [
                {"params": ps, "lr": rate_of_part, "muon": muon, "weight_decay": r.weight_decay if matrix else 0.0}
                for (muon, matrix), ps in kinds.items()
            ]
        optimiser = Muon(groups, r.learning_rate, betas=r.betas)

        def rate(step: int) -> float:
            stage, done = r.at(step)
            wave = 0.5 * (1 + math.cos(math.pi * min(1, done / stage.steps)))
            return min(1.0, (done + 1) / r.warm_up) * (0.01 + 0.99 * wave)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(
        self, batch: Batch | list[Batch], device: torch.device, index: int
    ) -> Batch | list[Batch]:
        return [b.to(device) for b in batch] if isinstance(batch, list) else batch.to(device)


def kind_of(batch: Batch) -> str:
    """Which rows a batch holds, for the log."""
    if batch.actions is not None:
        return "told" if batch.images is None else "demonstrated"
    if batch.images is None:
        return "read"
    if batch.answer is None:
        return "pointing"
    if batch.state is not None:
        return "coached"
    if batch.learnt is not None and len(batch.images) == 1:
        return "thought"
    return "asked" if len(batch.images) == 1 else "watched"


def augmented(batch: Batch, state_noise: float) -> Batch:
    """Brightness and pixel noise for every picture, and a little noise on what the joints say."""
    images, state = batch.images, batch.state
    if images is not None:
        images = {name: _flicker(image) for name, image in images.items()}
    if state is not None:
        state = state + state_noise * torch.randn_like(state)
    return replace(batch, images=images, state=state)


def _flicker(image: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 → float: another exposure for each picture, noise for each pixel."""
    gain = 1 + 0.1 * torch.randn(len(image), 1, 1, 1, device=image.device)
    return (image * gain).add_(torch.randn(image.shape, device=image.device), alpha=4.0).clamp_(0, 255)

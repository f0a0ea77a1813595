"""Run a recipe: data → batches → Lightning → checkpoint folder. Resumable: give the same folder again."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from pilab.contracts import DatasetError, PilabError, PolicyError, Row
from pilab.data.pointing import PointingScenes
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import WebPictures
from pilab.engine import provenance
from pilab.evaluation.rollout import evaluate
from pilab.training import sharding
from pilab.training.callbacks import Clock, Cost, Progress, Success
from pilab.training.card import write_card
from pilab.training.data import Demonstrations
from pilab.training.frames import Frames
from pilab.training.mixture import Mixture
from pilab.training.module import Learner
from pilab.training.phrases import vocabulary
from pilab.training.recipes import Recipe
from pilab.training.thoughts import Thinking
from pilab.training.weak import babble, mislabel
from pilab.training.web import Web
from pilab.vla.actions import Normaliser, find_space
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import slots
from pilab.vla.tokenizer import Tokenizer
from pilab.world.combinations import counted
from pilab.world.scenes import VALIDATION, find_body


def train(
    recipe: Recipe, data: Sequence[str | Path], out: str | Path, *, body: str = "duo", seed: int = 0,
    start: str | Path | None = None, watched: Sequence[str | Path] = (), progress: bool = True,
    threads: int | None = None, processes: int = 1, shard: bool = False,
) -> Checkpoint:  # fmt: skip
    """Train on the LeRobot datasets `data`; `out` gets a checkpoint with its card, a log and `success.jsonl`.

    A recipe that learns from nothing but the synthetic web needs no data and measures no success.

    start: the folder of a checkpoint to go on from. Its state statistics and words are kept, and every weight that still
    fits; what the recipe gives another shape (a chunk of another length), or calls `anew`, is learnt anew.

    watched: more datasets, of which no action is used, for the rows of that name.

    processes: that share the rows of each step (DDP; Li et al. 2020, arXiv:2006.15704), the loss being that of one. Each runs
    the whole of the calling program; the first of them writes. shard: each holds a part of the model instead of a copy; see
    `sharding`.

    A killed run goes on from its last validation when started again with the same arguments. Raises `DatasetError` where
    `out` belongs to another run.
    """
    if shard:
        sharding.check(recipe, processes)
    out, parts = Path(out), processes * recipe.turns
    fewest = min((n for stage in recipe.stages for n in astuple(stage.rows) if n), default=0)
    if fewest < parts:
        raise PilabError(
            f"{fewest} rows a step in {processes} processes and {recipe.turns} turns: at least one row in each"
        )
    torch.set_num_threads(max(1, (threads or os.cpu_count() or 1) // processes))
    torch.set_flush_denormal(True)
    keep_memory()
    pl.seed_everything(seed, verbose=False)
    embodiment = find_body(body)
    before = Checkpoint.load(start) if start else None
    if before is None:
        if all(stage.only for stage in recipe.stages):
            parts = ", ".join(sorted({part for stage in recipe.stages for part in stage.only}))
            raise PolicyError(
                f"this recipe trains nothing but {parts}; start from a checkpoint that sees, with --start"
            )
        if recipe.further:
            raise PolicyError("this recipe goes on from a robot that acts already; name its checkpoint with --start")
        config = getattr(VLAConfig, recipe.size)(embodiment, **{"body": body, **recipe.model})
    else:
        config = _go_on(before.model.config, recipe.model, body)
    if recipe.has_robot == (not data):
        raise DatasetError(
            f"{len(data)} datasets for a recipe that learns from "
            + ("a robot's data: name one, or collect it" if recipe.has_robot else "the synthetic web alone: name none")
        )
    if any(stage.rows.watched for stage in recipe.stages) == (not watched):
        raise DatasetError(
            f"{len(watched)} datasets to watch for a recipe that "
            + ("draws rows from some: name them" if not watched else "draws no rows from them: set Rows.watched")
        )
    demonstrations = None
    if recipe.has_robot:
        demonstrations = Demonstrations(
            data, config, embodiment, labels=recipe.labels, watched=watched, most=recipe.most, without=recipe.without,
            manners=recipe.manners == "words", relabelled=recipe.relabelled, progress=progress,
        )  # fmt: skip
        thoughts = len(demonstrations.corrected) + len(demonstrations.rehearsed)
        if any(stage.rows.coached for stage in recipe.stages) and not thoughts:
            raise DatasetError(
                "no frame says what was to be done: there is no thought to learn; record subtasks, or collect"
            )
        if recipe.corrections and not len(demonstrations.corrected):
            raise DatasetError(
                "in no frame did a person or an oracle say what would have been right: record with a coach, or collect with "
                "overheard=True"
            )
        if recipe.babbled and not babble(demonstrations, seed):
            raise DatasetError("nobody said anything that could be said otherwise: collect with overheard=True")
        wrong = mislabel(demonstrations, recipe.mislabelled, seed)
        if recipe.mislabelled and not wrong:
            raise DatasetError("no episode has a scene in which something else could have been named: none to mislabel")
        if recipe.tagged and not demonstrations.quality.any():
            raise DatasetError("no episode says how well it went: there is no quality to tag them with")
        if watched and not len(demonstrations.shown):
            raise DatasetError(
                "no frame of the datasets to watch says where things are: there is nothing to learn from"
            )
    seen = demonstrations.origin if demonstrations else []
    started = {"start": before.hash} if before else {}
    _claim(out, {"recipe": asdict(recipe), "data": seen, "body": body, "seed": seed, **started})
    tokenizer, model = Tokenizer.default(), VLA(config)
    thinking, driving = _habits(recipe, before)
    web, scenes = _web(recipe, config, tokenizer, seed, progress) if recipe.has_web else None, None
    frames = None
    if any(stage.rows.thought for stage in recipe.stages):
        frames = Frames(web, recipe.framing, thinking)
    if recipe.pointing_scenes and any(stage.rows.pointing for stage in recipe.stages):
        scenes = PointingScenes.open(recipe.pointing_scenes, body=body, progress=progress)
    if demonstrations:
        normaliser = demonstrations.normaliser(recipe.per_step_statistics)
    else:
        size = find_space(config.action_space).size(embodiment)
        normaliser = Normaliser.identity(slots(embodiment, config.felt), config.horizon, size)
    fast = before.fast if before and before.fast and before.fast.horizon == config.horizon else None
    if recipe.fast and demonstrations and fast is None:
        fast = demonstrations.fast()
    if before:
        normaliser = _inherit(model, before, normaliser, recipe.anew)
    mixture = Mixture(
        demonstrations, scenes, normaliser, tokenizer, recipe.rows, seed, stale=driving.think_interval,
        untold=recipe.untold, web=web, fast=fast if recipe.fast else None, turns=recipe.turns,
        tagged=recipe.tagged, thinking=thinking, frames=frames, without=recipe.without, manners=recipe.manners == "pieces",
    )  # fmt: skip
    labels = demonstrations.labels if demonstrations else {}
    # Only the language loss reaches all of the trunk: without it, the actions have to train it, if it is to learn at all.
    taught = labels.get("subtasks") or recipe.has_web or recipe.fast
    insulate = recipe.insulate and (taught or all(stage.only for stage in recipe.stages))
    if recipe.compile:
        for part in (model.vision, model.trunk, model.head.expert):
            part.compile()
    kind = sharding.ShardedLearner if shard else Learner
    learner, clock = kind(model.to(memory_format=torch.channels_last), recipe, insulate, seed), Clock()
    cost = Cost(recipe)
    origin = {
        "recipe": asdict(recipe), "data": seen, "labels": labels,
        "reserved": demonstrations.reserved if demonstrations else 0,
        "combinations": counted(demonstrations.combinations) if demonstrations else [],
        "mislabelled": len(wrong) if demonstrations else 0,
        "seed": seed, "insulated": insulate, "thinking": asdict(thinking), **({"web": web.origin} if web else {}),
        **({"start": {"hash": before.hash, **before.origin}} if before else {}),
        "parameters": sum(p.numel() for p in learner.parameters()), **provenance(),
    }  # fmt: skip
    words = before.words if before else frozenset()
    if demonstrations:
        heard = np.unique(demonstrations.episode[[*demonstrations.training, *demonstrations.shown]])
        known = [demonstrations.scenes[e] for e in heard if demonstrations.scenes[e]]
        words |= vocabulary(known, [demonstrations.said[e] for e in heard], scenes.parts if scenes else ())
    if web and any(stage.rows.asked or stage.rows.read for stage in recipe.stages):
        words |= web.vocabulary()
    if frames:
        words |= frames.vocabulary()

    def checkpoint() -> Checkpoint:
        spent = {"minutes": round(clock.spent / 60, 1), "flops": cost.flops}
        done = learner.model
        if shard and (weights := sharding.whole(learner.model)):  # in the first process, which writes
            done = VLA(config)
            done.load_state_dict(weights)
        return Checkpoint(done, normaliser, tokenizer, words, driving, {**origin, **spent}, fast=fast)

    def measure(of: Checkpoint) -> list[Row]:
        was, suite, episodes = learner.training, recipe.success_suite, recipe.success_episodes
        with clock.paused():
            rows = evaluate(VLAPolicy(of), suite, episodes, VALIDATION.start, body=body, arm="vla", progress=False)
        learner.train(was)
        return rows

    success = Success(lambda: measure(checkpoint()), recipe.success_every, out / "success.jsonl")
    resume = out / "resume" / "last.ckpt"
    keep = ModelCheckpoint(
        resume.parent,
        save_last=True,
        save_top_k=0,
        every_n_train_steps=recipe.validate_every,
        enable_version_counter=False,
    )
    # Success before averaging: at the end of a validation the averaged weights are still in place for it.
    watching = [
        clock,
        cost,
        success,
        *([EMAWeightAveraging(decay=recipe.average)] if recipe.average else []),
        keep,
        *([Progress()] if progress else []),
    ]
    trainer = make_trainer(
        recipe, out, watching,
        enable_progress_bar=progress, val_check_interval=recipe.validate_every * recipe.turns, check_val_every_n_epoch=None,
        **_shared(processes, shard),
    )  # fmt: skip
    # A GPU would wait for its batches; on a CPU, a process that makes them would take its core from the training.
    workers = min(8, (os.cpu_count() or 1) - 1) if torch.cuda.is_available() else 0
    loader = torch.utils.data.DataLoader(mixture, batch_size=None, num_workers=workers)
    held_out = torch.utils.data.DataLoader(mixture.held_out(), batch_size=None)
    kept = torch.load(resume, map_location="cpu", weights_only=True) if resume.exists() else {"global_step": 0}
    # A resumed `keep` does not know that it has just saved: in the first of several turns it would do so again.
    mixture.start = keep._last_global_step_saved = kept["global_step"]
    if mixture.start < recipe.steps:
        trainer.fit(learner, loader, held_out, ckpt_path=resume if resume.exists() else None, weights_only=True)
    else:  # killed between the last step and the checkpoint: the averaged weights are all that is left to do
        learner.load_state_dict(kept["state_dict"])
        for part in (clock, cost):
            part.load_state_dict(kept["callbacks"][part.state_key])
    done = checkpoint()
    if not trainer.is_global_zero:
        return done
    done.save(out)
    if recipe.success_episodes and recipe.has_robot:
        success.measure = lambda: measure(done)
        write_card(out, success.run(recipe.steps))
    else:
        write_card(out)
    return done


def _go_on(old: VLAConfig, changes: Mapping[str, object], body: str) -> VLAConfig:
    """The model of a recipe that starts from another: of the same arms and cameras, which may feel more than before."""
    mine, its = find_body(body), find_body(old.body)
    if (mine.arms, mine.cameras, mine.channels) != (its.arms, its.cameras, its.channels):
        raise PolicyError(f"what to start from drives the body {old.body!r}, not {body!r}; name its own with --body")
    length = max(old.answer_length, VLAConfig.answer_length)  # how long answers may be is no matter of weights
    config = replace(old, **{"answer_length": length, "body": body, **changes})
    if config.felt[: len(old.felt)] != old.felt:
        raise PolicyError(
            f"it felt {', '.join(old.felt)}, in this order, and is to feel {', '.join(config.felt) or 'nothing'}: put what is "
            "new behind, and what is gone into `missing`"
        )
    return replace(config, state_slots=max(old.state_slots, slots(mine, config.felt)))


def _shared(processes: int, shard: bool) -> dict[str, object]:
    """Lightning's settings for so many processes on this machine."""
    if processes == 1:
        return {}
    # Parts of the model rest in some steps, and each process takes its own rows: nothing is to be dealt out.
    strategy = sharding.sharded(processes) if shard else "ddp_find_unused_parameters_true"
    return {"devices": processes, "strategy": strategy, "use_distributed_sampler": False}


def _web(recipe: Recipe, config: VLAConfig, tokenizer: Tokenizer, seed: int, progress: bool) -> Web:
    """What the recipe reads and asks about."""
    shown = any(stage.rows.asked or stage.rows.thought for stage in recipe.stages)
    pictures = None
    if shown:
        pictures = WebPictures.open(recipe.web_pictures, body=config.body, progress=progress, signs=recipe.web_signs)
    return Web(
        pictures, find_lore(recipe.facts), config, tokenizer, seed, kinds=recipe.questions, scrambled=recipe.scrambled,
        signs=recipe.signs,
    )  # fmt: skip


def _habits(recipe: Recipe, before: Checkpoint | None) -> tuple[Thinking, Driving]:
    """How it is taught to think and is to be driven: as the recipe says, else as what it goes on from."""
    old = before.origin.get("thinking", {}) if before and before.origin else {}
    return recipe.thinking or Thinking(**old), recipe.driving or (before.driving if before else Driving())


def _inherit(model: VLA, before: Checkpoint, fresh: Normaliser, anew: Sequence[str]) -> Normaliser:
    """Every weight of `before` that fits goes into `model`, but for parts `anew`; returns the statistics to go with them."""
    own, old, was = model.state_dict(), before.model.state_dict(), before.normaliser
    for name, weight in own.items():
        if name.split(".")[0] in anew or name not in old:
            continue
        if old[name].shape == weight.shape:
            weight.copy_(old[name])
        elif name == "state.0.weight":  # what it feels besides is new to it, and moves nothing at first
            known = old[name].shape[1]
            weight[:, :known], weight[:, known:] = old[name], 0.0
    if not before.origin.get("data", True):  # it has seen no robot
        return fresh
    known, feels = len(was.state_mean), len(fresh.state_mean)
    if was.action_mean.shape == fresh.action_mean.shape and "head" not in anew and known == feels:
        return was
    state = {k: np.append(getattr(was, k), getattr(fresh, k)[known:]) for k in ("state_mean", "state_std")}
    return replace(fresh, **state)


def make_trainer(recipe: Recipe, folder: str | Path, callbacks: list[Callback], **options: object) -> pl.Trainer:
    """Lightning's Trainer as trainings and timings use it; each start writes a `folder`/log/version_N/metrics.csv."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # devices and advertisements
    return pl.Trainer(
        **{
            "max_steps": recipe.steps, "devices": 1, "precision": recipe.precision, "gradient_clip_val": recipe.clip,
            "accumulate_grad_batches": recipe.turns,
            "logger": CSVLogger(folder, name="log"), "log_every_n_steps": 20, "num_sanity_val_steps": 0,
            "enable_model_summary": False, "callbacks": callbacks, **options,
        }
    )  # fmt: skip


def keep_memory() -> None:
    """Let glibc keep freed blocks instead of giving each back to the system: a fifth more steps per second on a CPU."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to gain
            libc = ctypes.CDLL("libc.so.6")
            for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
                libc.mallopt(option, value)


def _claim(out: Path, plan: dict[str, object]) -> None:
    """Write down what a folder is for, or compare."""
    out.mkdir(parents=True, exist_ok=True)
    path, plan = out / "plan.json", json.loads(json.dumps(plan))
    if path.exists() and (known := json.loads(path.read_text(encoding="utf-8"))) != plan:
        changed = ", ".join(k for k in plan if known.get(k) != plan[k])
        raise DatasetError(f"{out} holds another training ({changed} differ); use another folder, or delete it")
    if not path.exists():
        path.write_text(json.dumps(plan, indent=1), encoding="utf-8")

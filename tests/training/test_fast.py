"""Chunks as tokens in training: they stand where there is no thought to write, and what is learnt can be read back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pilab.contracts import NOISE, PolicyError, Thought
from pilab.robots.executor import batch as observed
from pilab.training.mixture import Mixture, Rows
from pilab.training.recipes import Stage
from pilab.vla.checkpoint import FAST, Checkpoint
from pilab.vla.fast import BEGIN, TOKENS, FastTokenizer
from pilab.vla.model import VLA
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import Tokenizer
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene

T = Tokenizer.default()


@pytest.fixture(scope="module")
def fast(demonstrations) -> FastTokenizer:
    return demonstrations.fast()


@pytest.fixture(scope="module")
def writing(demonstrations, fast) -> Mixture:
    return Mixture(demonstrations, None, demonstrations.normaliser(), T, Rows(40, 0, 0), seed=0, fast=fast)


def written(row: torch.Tensor, mask: torch.Tensor) -> list[int]:
    """The tokens of a row of pieces."""
    pieces = row[mask].tolist()
    assert pieces[0] == T.piece(BEGIN) and pieces[-1] == T.eos
    return [piece - T.piece(TOKENS) for piece in pieces[1:-1]]


def test_a_row_writes_its_thought_or_its_chunk(demonstrations, writing, fast):
    frames = np.random.default_rng(3).choice(demonstrations.training, 40)
    batch = writing.demonstrated(frames, np.random.default_rng(0))
    plain = Mixture(demonstrations, None, writing.normaliser, T, Rows(40, 0, 0), seed=0)
    thoughts = plain.demonstrated(frames, np.random.default_rng(0))
    assert torch.equal(batch.text, thoughts.text) and torch.equal(batch.actions, thoughts.actions)
    chunks, whole, kinds = demonstrations.chunks(frames), demonstrations.within(frames).all(1), []
    for row in range(40):
        mask = batch.answer_mask[row]
        first = int(batch.answer[row, 0]) if mask.any() else None
        kinds.append(first)
        if thoughts.answer_mask[row].any():  # nothing that was there is lost
            assert torch.equal(batch.answer[row][mask], thoughts.answer[row][thoughts.answer_mask[row]])
        elif whole[row]:
            chunk, right = fast.decode(written(batch.answer[row], mask))
            assert right and (np.abs(chunk - chunks[row]) <= fast.bound + 1e-6).all()
        else:
            assert not mask.any()
    assert {T.piece("<subtask>"), T.piece(BEGIN)} <= set(kinds)


def test_a_chunk_that_is_learnt_is_written(demonstrations, writing, fast):
    frames = demonstrations.training[demonstrations.within(demonstrations.training).all(1)][::97][:4]
    batch = next(
        b for seed in range(50)
        if (b := writing.demonstrated(frames, np.random.default_rng(seed))).answer is not None
        and (b.answer[:, 0] == T.piece(BEGIN)).all()
    )  # fmt: skip
    torch.manual_seed(0)
    model = VLA(dataclasses.replace(demonstrations.config, width=64, heads=2))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        model.loss(batch)["language"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()
    asked = dataclasses.replace(batch, answer=None, answer_mask=None, actions=None)
    pieces = model.think(asked, T.piece(BEGIN), T.eos, batch.answer.shape[1])
    for row in range(4):
        told = pieces[row].tolist()
        told = [piece - T.piece(TOKENS) for piece in told[: told.index(T.eos)]]
        assert told == written(batch.answer[row], batch.answer_mask[row])


def test_a_training_keeps_what_reads_them(learn, smoke, trained, tmp_path):
    recipe = dataclasses.replace(smoke, stages=(Stage(2, Rows(4, 0, 0)),), pointing_scenes=0, fast=True)
    made = learn(tmp_path / "run", recipe)
    again = Checkpoint.load(tmp_path / "run")
    assert again.fast is not None and again.fast.to_json() == made.fast.to_json()
    world = World(sample_scene(VALIDATION.start, "put"))
    seen = observed([world.observe()])
    seen[NOISE] = np.zeros((1, made.model.config.horizon, 14), np.float32)
    chunk, whole = VLAPolicy(again).write(seen, [Thought.nothing()])
    assert chunk.shape == (1, again.model.config.horizon, 14) and whole.shape == (1,)
    if not whole[0]:  # two steps teach nothing: what is no chunk holds still
        np.testing.assert_array_equal(chunk[0], np.repeat(world.state[None], chunk.shape[1], 0))
    with pytest.raises(PolicyError, match="fast=True"):
        VLAPolicy(trained[1]).write(seen, [Thought.nothing()])
    (tmp_path / "run" / FAST).unlink()
    with pytest.raises(PolicyError, match=r"fast\.json"):
        Checkpoint.load(tmp_path / "run")


def test_a_recipe_decides_whether_chunks_are_written(learn, smoke, write, tmp_path):
    """On data without a word of thought, what the trunk is taught to write can only be chunks."""
    bare = write(tmp_path / "bare", length=24)
    recipe = dataclasses.replace(smoke, stages=(Stage(20, Rows(1, 0, 0)),), validate_every=20, pointing_scenes=0)
    logs = {}
    for fast in (True, False):
        made = learn(tmp_path / str(fast), dataclasses.replace(recipe, fast=fast), data=[bare])
        (table,) = (tmp_path / str(fast) / "log").glob("*/metrics.csv")
        logs[fast] = table.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert (made.fast is not None) == fast == made.origin["insulated"]  # else the actions have to train the trunk
    assert "language/demonstrated" in logs[True] and "language/demonstrated" not in logs[False]
    # A later training without them keeps what reads them, and one with longer chunks fits its own.
    longer = {**smoke.model, "horizon": 12}
    for name, change in (("plain", {}), ("longer", {"model": longer, "fast": True})):
        later = dataclasses.replace(recipe, stages=(Stage(2, Rows(2, 0, 0)),), validate_every=2, **change)
        made = learn(tmp_path / name, later, data=[bare], start=tmp_path / "True")
        assert made.fast.horizon == made.model.config.horizon


def test_tokens_of_another_chunk_are_refused(learn, smoke, tmp_path):
    made = learn(
        tmp_path / "run", dataclasses.replace(smoke, stages=(Stage(2, Rows(4, 0, 0)),), pointing_scenes=0, fast=True)
    )
    (tmp_path / "run" / FAST).write_text(dataclasses.replace(made.fast, horizon=made.fast.horizon + 1).to_json())
    with pytest.raises(PolicyError, match="chunks"):
        Checkpoint.load(tmp_path / "run")

"""The rows of a step in parts, by processes or by turns: the same losses and the same weights as all at once."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pilab.contracts import PilabError, Scale
from pilab.training.mixture import Rows
from pilab.training.module import Learner
from pilab.training.recipes import TINY, Stage, find_recipe
from pilab.training.train import train
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLA, VLAConfig
from pilab.world.bodies import duo

# A step with parts that differ in labels, rows that two do not divide, and a second stage in which only the head learns.
SCRIPT = """
import dataclasses, sys
from pilab.contracts import Scale
from pilab.training.module import Learner
from pilab.training.recipes import Rows, Stage, find_recipe
from pilab.training.train import train
if __name__ == "__main__":
    stages = (Stage(3, Rows(5, 4, 7, 4, 4)), Stage(2, Rows(4, 0, 8), ("head",)))
    smoke = dataclasses.replace(find_recipe("robot", Scale.SMOKE), thinking=None)
    processes, turns, muon, shard, killed = map(int, sys.argv[3:])
    if killed:
        step = Learner.training_step
        Learner.training_step = lambda self, *a: sys.exit("killed") if self.global_step == killed else step(self, *a)
    recipe = dataclasses.replace(smoke, stages=stages, success_episodes=0, turns=turns, validate_every=5 if muon else 2,
                                 muon=bool(muon),
                                 average=0.0)  # the last weights, not their average, which hides a step
    train(recipe, [sys.argv[1]], sys.argv[2], progress=False, threads=1, processes=processes, shard=bool(shard))
"""


def run(
    samples: str, out: Path, processes: int, turns: int, muon: bool = True, shard: bool = False, killed: int = 0
) -> None:
    """Train in processes of their own; killed: at so many steps."""
    (out.parent / "script.py").write_text(SCRIPT, encoding="utf-8")
    numbers = [str(int(n)) for n in (processes, turns, muon, shard, killed)]
    command = [sys.executable, str(out.parent / "script.py"), samples, str(out), *numbers]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert "killed" in done.stderr if killed else done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(samples, tmp_path_factory) -> Path:
    """All rows at once."""
    out = tmp_path_factory.mktemp("alone") / "one"
    run(samples, out, 1, 1)
    return out


def validation(out: Path) -> dict[str, float]:
    """The last validation losses."""
    log = max((out / "log").glob("*/metrics.csv"))  # of the last start
    rows = csv.DictReader(log.read_text(encoding="utf-8").splitlines())
    return {k: float(v) for row in rows for k, v in row.items() if k.startswith("validation/") and v}


@pytest.mark.parametrize(("processes", "turns"), [(2, 1), (1, 2), (2, 2)])
def test_parts_do_what_the_whole_does(samples, tmp_path, alone, processes, turns):
    if processes > 1 and not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    out = tmp_path / "parts"
    run(samples, out, processes, turns)
    same(alone, out)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch was built without torch.distributed")
def test_a_sharded_model_learns_the_same(samples, tmp_path):
    """Two processes with half of the weights each (FSDP), killed on the way, against one with all of them."""
    run(samples, tmp_path / "one", 1, 1, muon=False)
    run(samples, tmp_path / "shards", 2, 1, muon=False, shard=True, killed=3)
    assert (tmp_path / "shards" / "resume" / "last.ckpt").exists()
    run(samples, tmp_path / "shards", 2, 1, muon=False, shard=True)
    same(tmp_path / "one", tmp_path / "shards", amiss=1e-4)  # Adam alone: more weights of which only rounding is known


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("compile", [False, True])
def test_half_precision_on_cuda_learns_nearly_the_same(samples, tmp_path, compile):
    """bf16, eagerly and compiled, against single precision."""
    smoke = dataclasses.replace(find_recipe("robot", Scale.SMOKE), success_episodes=0)
    half = dataclasses.replace(smoke, precision="bf16-mixed", compile=compile)
    for name, recipe in (("single", smoke), ("half", half)):
        train(recipe, [samples], tmp_path / name, progress=False)
    expected, found = validation(tmp_path / "single"), validation(tmp_path / "half")
    assert found == pytest.approx(expected, rel=0.05)


def test_what_cannot_be_sharded_is_refused(samples, tmp_path):
    recipe = find_recipe("laptop", Scale.SMOKE)
    with pytest.raises(PilabError, match=r"at least two processes.*muon=False.*average=0\.0"):
        train(recipe, [samples], tmp_path / "a", shard=True)
    fit = dataclasses.replace(recipe, muon=False, average=0.0, success_every=recipe.validate_every)
    with pytest.raises(PilabError, match="a sharded training needs success_every=0: an evaluation half-way"):
        train(fit, [samples], tmp_path / "a", processes=2, shard=True)
    assert not (tmp_path / "a").exists()


def same(alone: Path, out: Path, amiss: float = 1e-5) -> None:
    """Losses and weights of two trainings; `amiss` is the share of weights that may be off."""
    expected, found = validation(alone), validation(out)
    assert expected.keys() == found.keys() and len(expected) >= 5
    assert found == pytest.approx(expected, rel=1e-3)
    one, parts = (Checkpoint.load(path).model.state_dict() for path in (alone, out))
    one.pop("grounding.heat.bias")  # no softmax feels it: its gradient is rounding, which Adam makes a step of
    off = {name: (one[name] - parts[name]).abs() for name in one}
    # A step moves a weight by 1e-3 and more. Where a gradient is nothing but rounding, Adam makes some of a step of it; that
    # is a few weights here and there, and nowhere half of those that belong together.
    wrong = {name: float((x > 3e-5).double().mean()) for name, x in off.items()}
    assert max(wrong.values()) < 0.5, wrong
    assert sum(float((x > 3e-5).sum()) for x in off.values()) < amiss * sum(x.numel() for x in off.values()), wrong
    assert max(float(x.max()) for x in off.values()) < 1e-3
    assert (out / "README.md").exists() and not list(out.glob("*.tmp"))


@pytest.mark.parametrize("parts", [2, 3])
def test_the_mean_over_parts_is_the_whole(parts):
    """Losses and gradients, where labels fall to the parts unequally, for every loss."""
    config = VLAConfig.nano(duo.BODY, **TINY)
    torch.manual_seed(0)
    model, batch = VLA(config), config.fake_batch(5)
    rng = torch.Generator().manual_seed(1)
    for mask in (batch.labelled, batch.action_mask):
        mask.copy_((torch.rand(mask.shape, generator=rng) < 0.4).float())
    batch.answer_mask = torch.rand(batch.answer_mask.shape, generator=rng) < 0.5
    batch.camera_mask = torch.rand(batch.camera_mask.shape, generator=rng) < 0.7
    torch.nn.init.normal_(model.head.expert.write_chunk.weight, std=0.1)
    drawn = model.head.draw(batch.actions)
    whole = model.loss(batch, False, drawn)
    sum(whole.values()).backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    counts, sums = batch.counts(parts), dict.fromkeys(whole, 0.0)
    for i in range(parts):
        losses = model.loss(batch.part(i, parts), False, tuple(x[i::parts] for x in drawn), counts)
        (sum(losses.values()) / parts).backward()
        sums = {name: sums[name] + float(value) / parts for name, value in losses.items()}
    assert set(sums) == {"action", "heat", "points", "visible", "language"}
    assert sums == pytest.approx({name: float(value) for name, value in whole.items()}, rel=1e-4)
    for name, p in model.named_parameters():
        if name in wanted:
            torch.testing.assert_close(p.grad, wanted[name], atol=1e-5, rtol=1e-3)


def test_two_interruptions_in_the_midst_of_turns_change_nothing(learn, smoke, tmp_path, monkeypatch):
    """Killed after a validation, and again before the next: what was kept is a whole step."""
    recipe = dataclasses.replace(
        smoke, stages=(Stage(6, Rows(4, 0, 4)),), turns=2, validate_every=2, pointing_scenes=0, average=0.0
    )
    whole, step, budget = learn(tmp_path / "whole", recipe), Learner.training_step, [0]

    def dying(self, batches, index):
        budget[0] -= 1
        if budget[0] < 0:
            raise KeyboardInterrupt
        return step(self, batches, index)

    monkeypatch.setattr(Learner, "training_step", dying)
    for turns in (5, 2, 100):  # dies in step 3, then in step 4, then ends
        budget[0] = turns
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            done = learn(tmp_path / "killed", recipe)
    weights = done.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_the_first_of_the_processes_speaks_for_all(samples, tmp_path):
    command = [sys.executable, "-m", "pilab", "train", "laptop", "--scale", "smoke", "--data", samples, "--json"]
    command += ["--threads", "1", "--processes", "2", "--out", str(tmp_path / "vla")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["hash"] == Checkpoint.load(tmp_path / "vla").hash


def test_every_part_needs_a_row(samples, tmp_path):
    recipe = dataclasses.replace(find_recipe("laptop", Scale.SMOKE), turns=9)
    with pytest.raises(PilabError, match="4 rows a step in 1 processes and 9 turns"):
        train(recipe, [samples], tmp_path / "out", progress=False)


@pytest.mark.slow
def test_compiled_parts_learn_the_same(samples, tmp_path):
    """`torch.compile` needs a C++ compiler and minutes."""
    smoke = dataclasses.replace(find_recipe("robot", Scale.SMOKE), success_episodes=0)
    for name, compile in (("eager", False), ("compiled", True)):
        train(dataclasses.replace(smoke, compile=compile), [samples], tmp_path / name, progress=False)
    assert validation(tmp_path / "compiled") == pytest.approx(validation(tmp_path / "eager"), rel=1e-3)

"""`pilab bench` measures what its table names; the figures themselves depend on the machine and are not judged here."""

from __future__ import annotations

import json
import mmap
import threading

import pytest
import torch

from pilab import bench, cli
from pilab.contracts import PilabError, Scale
from pilab.data.cache import pilab_home
from pilab.data.lerobot import LeRobotDataset
from pilab.data.pointing import PointingScenes
from pilab.training import timing
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture
from pilab.training.module import Learner
from pilab.training.recipes import find_recipe
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world.scenes import find_body

KEYS = {
    "world_steps_per_s_1t", "world_steps_per_s_2t", "world_overhead", "render_ms_per_step", "demos_per_min",
    "dataset_read_steps_per_s", "cache_read_steps_per_s", "train_steps_per_s", "train_samples_per_s", "train_gflops",
    "matmul_gflops", "train_efficiency", "peak_gb", "think_ms", "act_ms", "loop_jitter_p99_ms",
    "loop_jitter_inside_p99_ms", "serve_added_ms",
}  # fmt: skip
RECIPE = find_recipe("laptop", Scale.SMOKE)


def test_every_figure_is_there_and_positive(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "DEMONSTRATIONS", 2)
    monkeypatch.setattr(bench, "SCALE", Scale.SMOKE)
    monkeypatch.setattr(bench, "ROBOTS", {"seconds": 0.5, "asks": 5})
    monkeypatch.setattr(bench, "TRAINING", {"steps": 2, "pictures": 6, "repeats": 2, "threads": 1})
    monkeypatch.setenv("PILAB_HOME", str(tmp_path))
    assert cli.main(["bench", "--json"]) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert said.out.count("\n") == 1 and said.err == ""
    assert set(figures) == KEYS
    assert all(isinstance(value, float) and value > 0 for value in figures.values())
    assert figures["world_overhead"] > 1  # the whole takes longer than its parts
    samples = RECIPE.rows(0).demonstrations + RECIPE.rows(0).pointing
    assert figures["train_samples_per_s"] == pytest.approx(samples * figures["train_steps_per_s"], rel=0.01)
    assert figures["train_efficiency"] == pytest.approx(figures["train_gflops"] / figures["matmul_gflops"], abs=0.001)
    left = [path.name for path in (pilab_home() / "frames").iterdir()]
    assert left == [LeRobotDataset(bench.SAMPLES).id]  # what was collected for timing does not stay behind


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """The sample dataset and a few pictures, in batches of the smoke recipe."""
    body = find_body("duo")
    config = VLAConfig.nano(body, **RECIPE.model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILAB_HOME", str(tmp_path_factory.mktemp("home")))
        data = Demonstrations([bench.SAMPLES], config, body)
        scenes = PointingScenes.open(6, progress=False)
    return Mixture(data, scenes, data.normaliser(), Tokenizer.default(), RECIPE.rows(0), 0)


def test_flops_are_those_of_the_layers(mixture):
    """Counted anew, layer by layer: a backward pass does the forward pass's work twice."""
    watch = timing.train_for(RECIPE, mixture.config, mixture, steps=2)
    assert len(watch.seconds) == 2 and min(watch.seconds) > 0
    forward = 0

    def count(layer, inputs, output):
        nonlocal forward
        places = output.numel() // layer.weight.shape[0]  # of the picture, or words
        forward += 2 * places * layer.weight.numel()

    learner = Learner(VLA(mixture.config), RECIPE, insulate=True, seed=0)
    for layer in learner.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.register_forward_hook(count)
    for batch in mixture.step(0):
        learner.model.loss(batch)
    # Attention and the words' logits come on top; the gradient of the pixels themselves is never asked for.
    assert 2.5 * forward < watch.flops < 4 * forward


def test_peak_sees_what_was_held_and_given_back():
    with timing.Peak() as before:
        pass
    # Straight from the system: what malloc keeps from earlier tests would not be new memory.
    with timing.Peak() as peak, mmap.mmap(-1, 50_000_000) as block:
        for start in range(0, len(block), 4096):
            block[start] = 1
        for _ in range(500):  # the next sample is due in 10 ms
            if peak.bytes >= before.bytes + 40_000_000:
                break
            threading.Event().wait(0.01)
    assert peak.bytes >= before.bytes + 40_000_000 > 40_000_000


def test_training_needs_the_samples_and_says_so_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SAMPLES", tmp_path / "away")
    assert cli.main(["bench"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "away" in said.err and "pip install -e ." in said.err


def test_scene_is_as_full_as_it_says():
    looks = [p for p in bench.crowded_scene().parts if "look" in p.parameters]
    assert len(looks) == len({p.name for p in looks}) == 10


def test_timing_leaves_mujoco_as_it_was():
    before = bench.mujoco.mj_step, bench.mujoco.mj_multiRay
    overhead, milliseconds = bench._world_shares(steps=3)
    assert overhead > 1 and milliseconds > 0
    assert (bench.mujoco.mj_step, bench.mujoco.mj_multiRay) == before


def test_peer_that_is_not_there_is_said_with_the_way_to_make_one(tmp_path):
    with pytest.raises(PilabError, match=r"cannot run .*python: .*make_environment\.py"):
        bench.peer_rate(str(tmp_path / "python"), tmp_path)

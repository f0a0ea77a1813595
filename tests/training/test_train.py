"""A training can be killed, repeated and believed: resumed runs, equal seeds, averaged weights, foreign data."""

import csv
import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from pilab.contracts import NOISE, TASK, DatasetError, PilabError, PolicyError, Scale, Thought, UnknownNameError
from pilab.evaluation.rollout import evaluate
from pilab.robots.executor import batch
from pilab.training import train as training
from pilab.training.data import Demonstrations
from pilab.training.mixture import PICTURE, Mixture, Rows
from pilab.training.module import Learner, augmented
from pilab.training.recipes import RECIPES, Recipe, Stage, find_recipe, teach
from pilab.vla.checkpoint import CARD, Checkpoint, Driving
from pilab.vla.model import VLA
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene


class Killed(Exception):  # noqa: N818 - stands for a power cut
    pass


def state(checkpoint):
    """Weights and statistics by name."""
    arrays = checkpoint.normaliser.to_arrays()
    return {**checkpoint.model.state_dict(), **{name: torch.from_numpy(value) for name, value in arrays.items()}}


def same(a, b):
    a, b = state(a), state(b)
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def lines(out):
    """What was logged, in order."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((out / "log").rglob("metrics.csv"))]
    return [row for text in texts for row in csv.DictReader(text.splitlines())]


@pytest.fixture
def killed_at(monkeypatch):
    """Call it with a step: trainings die in the middle of it, until `undo`."""
    step = Learner.training_step

    def kill(when):
        def dying(self, batches, index):
            if self.global_step == when:
                raise Killed
            return step(self, batches, index)

        monkeypatch.setattr(Learner, "training_step", dying)
        return monkeypatch

    return kill


# --------------------------------------------------------------------------------------------------------------- resume
def test_a_resumed_run_ends_with_the_same_bits(learn, trained, tmp_path, killed_at):
    """Killed in the fourth of four steps, after a validation at the second: the third is done again."""
    _, whole = trained
    patch = killed_at(3)
    with pytest.raises(Killed):
        learn(tmp_path)
    assert not (tmp_path / "config.json").exists()  # no half checkpoint
    patch.undo()
    resumed = learn(tmp_path)
    assert same(resumed, whole)
    assert resumed.hash == whole.hash and resumed.origin["flops"] == whole.origin["flops"]
    assert same(Checkpoint.load(tmp_path), whole)


def test_a_run_killed_before_anything_was_kept_starts_anew(learn, trained, tmp_path, killed_at):
    patch = killed_at(1)
    with pytest.raises(Killed):
        learn(tmp_path)
    assert not (tmp_path / "resume").exists()
    patch.undo()
    assert same(learn(tmp_path), trained[1])


@pytest.mark.parametrize(("change", "named"), [("seed", "seed"), ("recipe", "recipe"), ("data", "data")])
def test_a_folder_of_another_run_is_refused(learn, trained, smoke, own, change, named):
    out, done = trained
    other = {"seed": 1, "recipe": dataclasses.replace(smoke, stages=smoke.stages[:1]), "data": [own]}[change]
    with pytest.raises(DatasetError, match=rf"holds another training \({named} differ\); use another folder"):
        learn(out, **{change: other})
    assert same(Checkpoint.load(out), done)


# ---------------------------------------------------------------------------------------------------------- determinism
def test_the_seed_decides(learn, smoke, tmp_path):
    short = dataclasses.replace(smoke, stages=smoke.stages[:1], validate_every=5)
    first, again, other = (learn(tmp_path / str(i), short, seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert same(first, again)
    assert first.hash == again.hash != other.hash


def test_noise_is_a_function_of_seed_and_step(config, smoke, mixture):
    """Whatever was drawn before."""
    learner = Learner(VLA(config), smoke, True, seed=7)
    losses = []
    for consumed in (0, 5):
        torch.rand(consumed)
        losses.append(learner.training_step(mixture.step(0), 0).item())
    assert losses[0] == losses[1]
    other = Learner(learner.model, smoke, True, seed=8)
    assert other.training_step(mixture.step(0), 0).item() != losses[0]


# -------------------------------------------------------------------------------------------------- what is left behind
def test_validation_losses_are_logged(trained, smoke):
    out, _ = trained
    rows = lines(out)
    assert [int(row["step"]) for row in rows] == [1, 3]  # after steps 2 and 4, counted from 0
    for row in rows:
        values = {name.removeprefix("validation/"): float(row[name]) for name in row if "/" in name}
        assert set(values) == {"loss", "action", "heat", "points", "visible", "language"}
        assert all(np.isfinite(value) and value > 0 for value in values.values())
        whole = sum(smoke.weights[name] * value for name, value in values.items() if name != "loss")
        assert values["loss"] == pytest.approx(whole, rel=1e-4)


def test_training_losses_are_logged_by_kind_of_row(learn, smoke, tmp_path):
    learn(tmp_path, dataclasses.replace(smoke, stages=(Stage(20, Rows(1, 1, 1)),), validate_every=40))
    (row,) = lines(tmp_path)
    logged = {name for name, value in row.items() if value}
    perceived = {f"{name}/{kind}" for name in ("heat", "points", "visible") for kind in ("demonstrated", "pointing")}
    acted = {"action/demonstrated", "action/told", "language/demonstrated"}
    assert logged - {"epoch", "step", "loss"} == perceived | acted


def test_the_checkpoint_says_where_it_is_from(trained, smoke, samples):
    out, done = trained
    origin = Checkpoint.load(out).origin
    assert origin["recipe"] == json.loads(json.dumps(dataclasses.asdict(smoke)))
    (data,) = origin["data"]
    assert (data["name"], data["episodes"]) == ("demonstrations", 54)
    assert origin["labels"] == {"points": True, "subtasks": True, "scenes": True}
    assert origin["insulated"] is True and origin["seed"] == 0
    assert origin["parameters"] == sum(p.numel() for p in done.model.parameters())
    assert {"commit", "versions", "minutes"} <= set(origin)
    assert smoke.driving is None and done.driving == Driving()  # what has nothing to go on from is driven so
    assert done.hash in (out / CARD).read_text(encoding="utf-8")
    assert not (out / "success.jsonl").exists()  # none was asked for
    # Two steps of pictures and two of pictures and told rows, of which only the head learns.
    (kept,) = (out / "resume").glob("last.ckpt")
    of_a_step = torch.load(kept, weights_only=True)["callbacks"]["Cost"]["of_a_step"]
    assert origin["flops"] == 2 * (of_a_step["0"] + of_a_step["1"]) and of_a_step["0"] > of_a_step["1"] > 1e8
    assert f"and {origin['flops'] / 1e15:.2g} PFLOP of training" in (out / CARD).read_text(encoding="utf-8")


def test_the_checkpoint_drives(trained):
    """What was saved acts as what was trained, within the limits of the body."""
    out, done = trained
    scene = sample_scene(VALIDATION.start, "put")
    ours, loaded = VLAPolicy(done), VLAPolicy(out)
    seen = batch([World(scene).observe()])
    seen[NOISE] = np.random.default_rng(0).standard_normal((1, *ours.noise_shape), np.float32)
    seen[TASK] = [scene.instruction]
    chunk = loaded.act(seen, [Thought.nothing()])
    assert chunk.shape == (1, 8, 14) and np.isfinite(chunk).all()
    spec = duo.BODY.action
    assert (chunk >= spec.low - 1e-6).all() and (chunk <= spec.high + 1e-6).all()
    np.testing.assert_allclose(chunk, ours.act(seen, [Thought.nothing()]), atol=1e-4)
    (thought,) = loaded.think(seen, [Thought()])
    assert "unseen" not in thought.memory
    assert loaded.fingerprint == done.hash


# ------------------------------------------------------------------------------------------------- averages and success
def test_averaged_weights_are_measured_and_kept(learn, smoke, tmp_path, monkeypatch):
    """The average is computed here once more, from the weights that every step began with."""
    recipe = dataclasses.replace(
        smoke,
        stages=(smoke.stages[0], dataclasses.replace(smoke.stages[1], steps=3)),
        average=0.7,
        success_every=4,
        success_episodes=2,
        success_suite="put",
        validate_every=2,
    )
    step, current, measured, suites = Learner.training_step, [], [], []

    def noting(self, batches, index):
        current.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return step(self, batches, index)

    def measuring(policy, suite, episodes, seed, **options):
        measured.append({name: value.clone() for name, value in policy.model.state_dict().items()})
        suites.append((suite, episodes, seed, policy.model.training))
        return evaluate(policy, suite, episodes, seed, **{**options, "threads": 1})

    monkeypatch.setattr(Learner, "training_step", noting)
    monkeypatch.setattr(training, "evaluate", measuring)
    done = learn(tmp_path, recipe)
    averages = [current[1]]  # the first step's result begins it
    for weights in current[2:]:
        averages.append({name: 0.7 * averages[-1][name] + 0.3 * value for name, value in weights.items()})
    assert len(current) == 5 and len(measured) == 2  # after four steps, and at the end
    for name, value in averages[3].items():
        torch.testing.assert_close(measured[0][name], value, atol=1e-6, rtol=1e-4)
    assert not all(torch.equal(measured[0][name], value) for name, value in current[4].items())
    assert all(torch.equal(measured[1][name], value) for name, value in done.model.state_dict().items())
    assert same(Checkpoint.load(tmp_path), done)
    assert suites == [("put", 2, VALIDATION.start, False)] * 2
    entries = [json.loads(line) for line in (tmp_path / "success.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["step"] for entry in entries] == [4, 5]
    assert all(set(e) == {"step", "success", "episodes", "seconds"} and e["episodes"] == 2 for e in entries)
    assert all(e["success"] in (0, 0.5, 1) for e in entries)
    assert "| vla | put | none | 500000 | success |" in (tmp_path / CARD).read_text(encoding="utf-8")

    monkeypatch.undo()
    unwatched = learn(tmp_path / "unwatched", dataclasses.replace(recipe, success_every=0, success_episodes=0))
    assert same(unwatched, done)  # to measure is not to disturb


# ---------------------------------------------------------------------------------------------------- data of one's own
@pytest.mark.parametrize("pointing", [False, True])
def test_a_strangers_dataset(own, learn, smoke, config, tmp_path, pointing):
    """No points, no subtasks, no scenes: only the actions reach all of the trunk, so they are let in."""
    recipe = dataclasses.replace(smoke, pointing_scenes=8 if pointing else 0)
    done = learn(tmp_path, recipe, [own])
    assert done.origin["labels"] == {"points": False, "subtasks": False, "scenes": False}
    assert done.origin["insulated"] is False
    row = lines(tmp_path)[-1]
    assert {name for name in row if name.startswith("validation/")} == {"validation/action", "validation/loss"}
    assert set(Tokenizer.default().words("tidy up the table")) <= done.words
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    assert "not insulated" in card and "labels: none" in card

    d = Demonstrations([own], config, duo.BODY)
    (robot,) = Mixture(d, None, done.normaliser, Tokenizer.default(), recipe.rows, seed=0).step(3)
    assert len(robot.text) == 4 + 8 // PICTURE  # nothing can be told without points: no rows without pictures
    losses = done.model.loss(augmented(robot, 0.0), done.origin["insulated"])
    assert set(losses) == {"action"}
    losses["action"].backward()
    for part in (done.model.vision, done.model.text, done.model.trunk):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_who_teaches_the_head_alone_leaves_the_rest_as_it_is(own, learn, trained, tmp_path):
    """Also where nothing but the actions could train it."""
    recipe = teach(Scale.SMOKE)
    done = learn(tmp_path, dataclasses.replace(recipe, model={}), [own], start=trained[0])
    assert done.origin["insulated"] is True and done.origin["labels"]["subtasks"] is False
    now, before = done.model.state_dict(), trained[1].model.state_dict()
    assert {k.split(".")[0] for k in now if (now[k] - before[k]).abs().max() > 2e-6} == {"head"}


def test_a_head_alone_needs_somebody_who_sees(own, learn, tmp_path):
    with pytest.raises(PolicyError, match="trains nothing but head; start from a checkpoint that sees, with --start"):
        learn(tmp_path, teach(Scale.SMOKE), [own])


@pytest.mark.parametrize("name", ["refine", "coach"])
def test_a_second_round_needs_a_first(name, own, learn, tmp_path):
    with pytest.raises(PolicyError, match="goes on from a robot that acts already; name its checkpoint with --start"):
        learn(tmp_path, find_recipe(name, Scale.SMOKE), [own])


def test_the_recipe_may_leave_the_trunk_open(learn, smoke, tmp_path):
    recipe = dataclasses.replace(smoke, stages=(Stage(1, Rows(2, 2, 0)),), validate_every=5, insulate=False)
    assert learn(tmp_path, recipe).origin["insulated"] is False


def test_a_wrong_body_is_refused(samples, smoke, tmp_path):
    with pytest.raises(DatasetError, match="'solo' needs"):
        training.train(smoke, [samples], tmp_path, body="solo", progress=False, threads=1)


# --------------------------------------------------------------------------------------------------------------- stages
def test_what_does_not_learn_in_a_stage_stays(learn, smoke, tmp_path, monkeypatch):
    step, seen = Learner.training_step, []

    def noting(self, batches, index):
        seen.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return step(self, batches, index)

    monkeypatch.setattr(Learner, "training_step", noting)
    learn(tmp_path, smoke)
    changes = [
        {name.split(".")[0] for name in a if not torch.equal(a[name], b[name])} for a, b in itertools.pairwise(seen)
    ]
    assert changes[0] == changes[1] == {"text", "vision", "grounding", "place", "state", "trunk", "head"}
    assert changes[2] == {"head"}


def test_a_step_belongs_to_a_stage():
    first, second = Stage(2, Rows(1, 2, 3)), Stage(3, Rows(4, 5, 6))
    recipe = Recipe((first, second))
    assert recipe.steps == 5
    assert [recipe.at(i) for i in range(6)] == [(first, 0), (first, 1), *((second, i) for i in range(4))]
    assert recipe.rows(1) == first.rows and recipe.rows(2) == second.rows


# ---------------------------------------------------------------------------------------------------- from a checkpoint
def test_practice_changes_the_head_alone(learn, trained, tmp_path):
    folder, before = trained
    done = learn(tmp_path / "out", find_recipe("practise", Scale.SMOKE), start=folder)
    old, new = before.model.state_dict(), done.model.state_dict()
    changed = {k.split(".")[0] for k in new if (new[k] - old[k]).abs().max() > 2e-6}  # averaging rounds
    assert changed == {"head"}
    assert done.words == before.words and done.normaliser.to_arrays().keys() == before.normaliser.to_arrays().keys()
    assert done.origin["start"]["hash"] == before.hash


def test_a_chunk_of_another_length_is_learnt_anew_on_the_old_state(learn, trained, tmp_path):
    folder, before = trained
    practise = find_recipe("practise", Scale.SMOKE)
    short = dataclasses.replace(
        practise,
        model={"horizon": 4, "steps_per_token": 1},
        stages=(Stage(1, Rows(2, 0, 2), ("head",)),),
        validate_every=1,
    )
    done = learn(tmp_path / "out", short, start=folder)
    assert done.model.config.horizon == 4 and done.normaliser.action_mean.shape[0] == 4
    np.testing.assert_array_equal(done.normaliser.state_mean, before.normaliser.state_mean)
    same_shape = {k for k, v in done.model.state_dict().items() if v.shape == before.model.state_dict()[k].shape}
    assert "trunk.blocks.0.qkv.weight" in same_shape and "head.expert.read_chunk.weight" not in same_shape


def test_a_start_that_does_not_fit_is_refused(learn, trained, tmp_path):
    with pytest.raises(PolicyError, match="not 'solo'"):
        learn(tmp_path / "out", find_recipe("practise", Scale.SMOKE), start=trained[0], body="solo")
    with pytest.raises(PolicyError, match="is not a checkpoint"):
        learn(tmp_path / "out", find_recipe("practise", Scale.SMOKE), start=tmp_path)
    odd = dataclasses.replace(find_recipe("practise", Scale.SMOKE), stages=(Stage(1, Rows(2, 0, 2), ("nose",)),))
    with pytest.raises(UnknownNameError, match="nose"):
        learn(tmp_path / "out", odd, start=trained[0])


# -------------------------------------------------------------------------------------------------------------- recipes
def test_recipes_by_name():
    for name in RECIPES:
        for scale in Scale:
            assert isinstance(find_recipe(name, scale), Recipe)
    assert find_recipe("pilab.training.recipes:laptop", Scale.SMOKE) == find_recipe("laptop", Scale.SMOKE)
    with pytest.raises(UnknownNameError, match="laptop"):
        find_recipe("nothing", Scale.SMOKE)
    with pytest.raises(UnknownNameError, match="laptop"):
        find_recipe("pilab.training.recipes:nothing", Scale.SMOKE)


def test_a_measurement_that_would_never_come_is_refused():
    with pytest.raises(PilabError, match="not a multiple of validate_every 500"):
        Recipe((Stage(10),), success_every=1600)


def test_the_rate_warms_up_and_falls(config, smoke):
    """In each stage anew."""
    recipe = dataclasses.replace(smoke, stages=(Stage(100), Stage(50, only=("head",))), warm_up=10)
    learner = Learner(VLA(config), recipe, True, 0)
    found = learner.configure_optimizers()
    optimiser, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(150):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    rates, second = rates[:100], rates[100:]
    assert second[0] == rates[0] == pytest.approx(recipe.learning_rate / 10)
    assert np.argmax(second) == 9 and second[-1] < second[9] / 50
    assert np.argmax(rates) == 9 and rates[9] == pytest.approx(recipe.learning_rate, rel=0.03)
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[9:]) < 0).all()
    assert rates[-1] == pytest.approx(recipe.learning_rate / 100, rel=0.1)
    decays = {p.ndim > 1: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decays == {True: recipe.weight_decay, False: 0.0}
    assert sum(len(g["params"]) for g in optimiser.param_groups) == len(list(learner.parameters()))


def test_augmentation_stays_within_the_picture(config):
    torch.manual_seed(0)
    before = config.fake_batch(4)
    images, state = {k: v.clone() for k, v in before.images.items()}, before.state.clone()
    after = augmented(before, 0.02)
    for name, image in after.images.items():
        assert image.shape == images[name].shape and image.min() >= 0 and image.max() <= 255
        assert 2 < (image - images[name]).abs().mean() < 30
    assert (after.state - state).std().item() == pytest.approx(0.02, rel=0.2)

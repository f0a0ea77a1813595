"""Sensors beside the usual ones, from a dataset to a policy; and rows in which some are missing."""

import dataclasses

import numpy as np
import pytest

from pilab.contracts import STATE, DatasetError, PolicyError
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.ablation import ablate
from pilab.evaluation.rollout import DEFAULT
from pilab.robots.collection import Recipe as Collection
from pilab.robots.collection import collect
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.recipes import Stage, laptop
from pilab.training.train import train
from pilab.vla.model import VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.senses import OWN, spans
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo_touch

BODY = duo_touch.BODY
FELT = (*OWN, "touch", "force")
TINY = {"width": 32, "heads": 2, "layers": 1, "channels": 24, "horizon": 8, "steps_per_token": 2}


@pytest.fixture(scope="module")
def wiped(tmp_path_factory, at_home):
    root = tmp_path_factory.mktemp("wiped") / "set"
    return str(collect(Collection(("wipe",), body="duo_touch"), 4, root, workers=0, progress=False))


def demonstrations(folder, **changes):
    config = VLAConfig.nano(BODY, **{**TINY, "felt": FELT, **changes})
    return Demonstrations([folder], config, BODY, progress=False)


def test_what_was_felt_is_read_as_it_was_recorded(wiped):
    d, columns, parts = demonstrations(wiped), LeRobotDataset(wiped).columns, spans(BODY, FELT)
    for name, key in (("joints", STATE), ("touch", "observation.touch"), ("force", "observation.force")):
        np.testing.assert_allclose(d.felt[:, parts[name]], columns[key], atol=1e-6)
    assert columns["observation.touch"].max() > 1
    assert demonstrations(wiped, felt=()).felt.shape == (len(d.felt), 0)


def test_data_without_a_sensor_are_refused(write, tmp_path):
    folder = write(tmp_path / "set", episodes=2)
    with pytest.raises(DatasetError, match=r"observation\.touch has shape None; the body 'duo_touch' needs \(4,\)"):
        demonstrations(folder)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_share_of_the_rows_is_without(wiped, share):
    names = [*(camera.name for camera in BODY.cameras), "touch", "force"]
    d, rows = demonstrations(wiped, missing=tuple((name, share) for name in names if share)), 400
    mixture = Mixture(d, None, d.normaliser(), Tokenizer.default(), Rows(4, 0, rows), seed=0)
    frames, parts = np.random.default_rng(0).choice(d.training, rows), spans(BODY, FELT)
    batch = mixture.told(frames, np.random.default_rng(1))
    whole = mixture._state(frames)
    if not share:
        assert batch.camera_mask is None
        np.testing.assert_array_equal(batch.state, whole)
        return
    assert abs(1 - batch.camera_mask.float().mean().item() - share) < 0.05
    gone = ~batch.camera_mask
    assert not batch.points[gone].any()
    assert not batch.glimpses[gone].any()
    assert batch.points[~gone].any()
    for name, part in parts.items():
        without = (batch.state[:, part] == 0).all(1)
        np.testing.assert_array_equal(batch.state[~without][:, part], whole[~without][:, part])
        assert abs(without.float().mean().item() - (share if name not in OWN else 0)) < 0.08
    shown = mixture.demonstrated(frames[:40], np.random.default_rng(2))
    assert 0.5 < shown.camera_mask.float().mean() < 0.9
    assert all(picture.any() for picture in shown.images.values())


def test_from_data_to_a_policy_that_does_without(wiped, tmp_path):
    """Two steps, saved and loaded; then everything that can be removed is."""
    stages = (Stage(2, Rows(4, 0, 8)),)
    about = {"success_episodes": 0, "validate_every": 2, "warm_up": 1, "pointing_scenes": 0}
    missing = (*((camera.name, 0.3) for camera in BODY.cameras), ("touch", 0.3), ("force", 1.0))
    model = {**TINY, "felt": FELT, "missing": missing}
    recipe = dataclasses.replace(laptop("smoke"), stages=stages, model=model, **about)
    train(recipe, [wiped], tmp_path / "out", body="duo_touch", progress=False, threads=1)
    policy = VLAPolicy(tmp_path / "out")
    assert policy.body.name == "duo_touch"
    assert policy.config.felt == FELT
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "it feels joints, tips, touch, force; missing in training: base in 30% of the rows" in card
    assert "force always" in card and "no touch" not in card
    asked = {"body": "duo_touch", "suite": "wipe", "episodes": 1, "progress": False, "threads": 1}
    rows = ablate(policy, ["base", "touch", "force"], ["remove"], most=3, **asked)
    arms = {row.arm for row in rows}
    assert arms >= {"all sensors", "remove base", "remove base + touch + force", "remove everything"}


def test_who_goes_on_from_a_checkpoint_may_feel_more(wiped, tmp_path):
    """At first it does what it did: new weights are zero, old statistics stay. What is gone has to be called missing."""
    stages = (Stage(1, Rows(4, 0, 8)),)
    about = {"success_episodes": 0, "validate_every": 1, "warm_up": 1, "pointing_scenes": 0, "learning_rate": 0.0}
    recipe = dataclasses.replace(laptop("smoke"), stages=stages, model=TINY, weight_decay=0.0, average=0.0, **about)
    old = train(recipe, [wiped], tmp_path / "old", body="duo_touch", progress=False, threads=1)
    more = dataclasses.replace(recipe, model={"felt": FELT})
    new = train(more, [wiped], tmp_path / "new", body="duo_touch", start=tmp_path / "old", progress=False, threads=1)
    assert new.model.config.state_slots == 48
    known = spans(BODY, FELT)["tips"].stop
    np.testing.assert_array_equal(new.normaliser.state_mean[:known], old.normaliser.state_mean)
    assert new.normaliser.state_mean[known:].any()
    was, now = old.model.state_dict()["state.0.weight"], new.model.state_dict()["state.0.weight"]
    np.testing.assert_array_equal(now[:, : was.shape[1]], was)
    assert not now[:, was.shape[1] :].any()
    less = dataclasses.replace(recipe, model={"felt": ("touch",)})
    with pytest.raises(PolicyError, match="put what is new behind, and what is gone into `missing`"):
        train(less, [wiped], tmp_path / "less", body="duo_touch", start=tmp_path / "old", progress=False, threads=1)


def test_a_checkpoint_goes_on_with_the_same_arms_that_feel_more(wiped, tmp_path):
    stages = (Stage(1, Rows(4, 0, 8), ("head",)),)
    about = {"success_episodes": 0, "validate_every": 1, "warm_up": 1, "pointing_scenes": 0, "model": {"felt": FELT}}
    recipe = dataclasses.replace(laptop("smoke"), stages=stages, anew=("head",), **about)
    new = train(recipe, [wiped], tmp_path / "new", body="duo_touch", start=DEFAULT, progress=False, threads=1)
    assert new.model.config.body == "duo_touch"
    with pytest.raises(PolicyError, match="what to start from drives the body 'duo', not 'solo'"):
        train(recipe, [wiped], tmp_path / "solo", body="solo", start=DEFAULT, progress=False, threads=1)

"""Weakly labelled data: episodes that say how well they went, that only show, and that are labelled wrongly."""

import dataclasses

import numpy as np
import pytest
import torch

from pilab.contracts import NOISE, TASK, DatasetError, PolicyError, Thought, UnknownNameError
from pilab.data.lerobot import LeRobotDataset
from pilab.robots.executor import batch
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.module import kind_of
from pilab.training.phrases import named
from pilab.training.recipes import Stage
from pilab.training.weak import mislabel
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import facts_of, name_of

T = Tokenizer.default()


# -------------------------------------------------------------------------------------------------------------- quality
@pytest.fixture(scope="module")
def rated(write, tmp_path_factory) -> str:
    """Twelve episodes: a third of them good, a third bad, a third that nobody rated."""
    from pilab.data.lerobot import DatasetWriter

    source = LeRobotDataset(write(tmp_path_factory.mktemp("plain") / "set", episodes=12))
    root = tmp_path_factory.mktemp("rated") / "set"
    keys = [k for k in source.features if k in ("observation.state", "action") or k in source.cameras]
    writer = DatasetWriter.create(root, 10, {key: source.features[key] for key in keys})
    for e in range(12):
        writer.save_episode(source.episode(e, keys), "tidy up the table", {"quality": (5, 1, None)[e % 3]})
    return str(root)


def test_what_is_told_begins_with_the_quality_of_its_episode(rated, config):
    d = Demonstrations([rated], config, duo.BODY)
    assert d.quality.tolist() == [5, 1, 0] * 4
    frames = np.array([0, 6, 12])  # one of each
    good, bad = T.piece("<quality=5>"), T.piece("<quality=1>")
    for tagged, firsts in ((True, [good, bad, None]), (False, [None] * 3)):
        mixture = Mixture(d, None, d.normaliser(), T, Rows(3, 0, 0), seed=0, tagged=tagged)
        rows = mixture.demonstrated(frames, np.random.default_rng(0))
        plain = T.encode("tidy up the table")
        for ids, mask, first in zip(rows.text, rows.text_mask, firsts, strict=True):
            assert ids[mask].tolist() == ([first] if first is not None else []) + plain


def test_a_policy_is_driven_with_what_it_was_trained_to_hear(trained, tmp_path):
    """The same weights with a piece in front, from a folder: other chunks, as long as the piece is one of the reserved."""
    folder, checkpoint = trained
    world = World(sample_scene(VALIDATION.start))
    seen = batch([{**world.observe(), TASK: "put the apple in the bowl"}])
    chunks = []
    for before in ((), ("<quality=5>",), ("<quality=1>",)):
        other = Checkpoint.load(folder)
        other.driving = dataclasses.replace(checkpoint.driving, before=before)
        torch.nn.init.normal_(other.model.head.expert.write_chunk.weight)  # it says something at all
        policy = VLAPolicy(Checkpoint.load(other.save(tmp_path / str(len(chunks)))))
        assert policy.checkpoint.driving.before == before
        seen[NOISE] = np.zeros((1, *policy.noise_shape))
        chunks.append(policy.act(seen, policy.think(seen, [Thought()])))
    assert not np.allclose(chunks[1], chunks[0]) and not np.allclose(chunks[1], chunks[2])
    other.driving = Driving(before=("<sound=5>",))
    with pytest.raises(PolicyError, match="sound=5"):
        Checkpoint.load(other.save(tmp_path / "unknown"))
    with pytest.raises(UnknownNameError):
        T.batch(["go"], 8, [["<sound=5>"]])


# -------------------------------------------------------------------------------------------------------------- watched
@pytest.fixture(scope="module")
def watching(samples, own, config) -> Demonstrations:
    return Demonstrations([own], config, duo.BODY, watched=[samples])


def test_of_watched_episodes_no_action_is_used(watching, own, samples):
    d, size = watching, len(LeRobotDataset(own))
    assert (d.training < size).all() and (d.validation < size).all() and not len(d.tellable)
    assert (d.shown >= size).all() and len(d.shown) == len(LeRobotDataset(samples))
    assert [o.get("watched", False) for o in d.origin] == [False, True]
    alone = Demonstrations([own], d.config, duo.BODY)
    for mine, theirs in zip(*(vars(x.normaliser()).values() for x in (d, alone)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    mixture = Mixture(d, None, d.normaliser(), T, Rows(2, 0, 0, watched=5), seed=0)
    shown, watched = mixture.step(0)
    assert kind_of(watched) == "watched" and kind_of(shown) == "demonstrated" and len(watched.text) == 5
    assert watched.actions is None and watched.state is None and watched.viewpoints is None
    assert watched.labelled.all() and watched.points.any() and watched.answer_mask.any()
    assert not shown.labelled.any()


def test_who_only_watches_learns_to_see(learn, smoke, own, samples, tmp_path):
    stages = (Stage(2, Rows(2, 0, 0, watched=4)),)
    recipe = dataclasses.replace(smoke, stages=stages, pointing_scenes=0, tagged=True)
    done = learn(tmp_path / "out", recipe, [own], watched=[samples])
    assert [o.get("watched", False) for o in done.origin["data"]] == [False, True]
    log = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out" / "log").rglob("metrics.csv"))
    assert "validation/action" in log and done.origin["insulated"]


@pytest.mark.parametrize(
    ("rows", "which", "reason"),
    [
        (Rows(2, 0, 0, watched=4), "nobody", "0 datasets to watch for a recipe that draws rows from some"),
        (Rows(2, 0, 0), "samples", "1 datasets to watch for a recipe that draws no rows from them"),
        (Rows(2, 0, 0, watched=4), "own", "no frame of the datasets to watch says where things are"),
    ],
)
def test_watching_in_vain_is_refused(learn, smoke, own, samples, tmp_path, rows, which, reason):
    recipe = dataclasses.replace(smoke, stages=(Stage(2, rows),), pointing_scenes=0)
    watched = {"nobody": [], "samples": [samples], "own": [own]}[which]
    with pytest.raises(DatasetError, match=reason):
        learn(tmp_path / "out", recipe, [own], watched=watched)


# ----------------------------------------------------------------------------------------------------------- mislabelled
@pytest.fixture
def fresh(samples, config) -> Demonstrations:
    return Demonstrations([samples], config, duo.BODY)


def test_a_careless_annotator_names_another_thing_in_view(fresh, demonstrations):
    wrong = mislabel(fresh, 1.0, 0)
    trained_on = set(fresh.episode[fresh.training].tolist())
    assert set(wrong) <= trained_on and len(wrong) > 20
    for episode in range(len(fresh.scenes)):
        was, now = demonstrations.scenes[episode], fresh.scenes[episode]
        if episode not in wrong:
            assert was == now and demonstrations.said[episode] == fresh.said[episode]
            continue
        assert now.goal != was.goal and now.parts == was.parts and now.goal.object in [p.name for p in was.parts]
        assert fresh.said[episode] == now.instruction != was.instruction
        frames = fresh.episode == episode
        old, new = (name_of(scene.goal.object, facts_of(was)) for scene in (was, now))
        assert any(old in text for text in demonstrations.subtask[frames])
        if was.goal.place == now.goal.place != was.goal.object:  # places are not taken for objects
            assert not any(old in text.split(" on ")[0] for text in fresh.subtask[frames])
        assert any(new in text for text in fresh.subtask[frames])
    np.testing.assert_array_equal(fresh.action, demonstrations.action)


def test_points_follow_the_wrong_words(fresh, demonstrations):
    wrong = mislabel(fresh, 1.0, 0)
    frames = np.array([np.flatnonzero(fresh.episode == e)[0] for e in wrong])
    texts = [fresh.said[e] for e in wrong]
    there, known = fresh.points(frames, texts)
    before, _ = demonstrations.points(frames, [demonstrations.said[e] for e in wrong])
    assert known.all()
    changed = [not np.array_equal(a[:, 0], b[:, 0]) for a, b in zip(there, before, strict=True)]
    assert np.mean(changed) > 0.9
    assert all(named(text, fresh.scenes[e])[0] for text, e in zip(texts, wrong, strict=True))


def test_a_share_of_the_episodes_is_mislabelled_the_same_every_time(samples, config):
    several = [Demonstrations([samples], config, duo.BODY) for _ in range(3)]
    half, again, other = (mislabel(d, 0.5, seed) for d, seed in zip(several, (0, 0, 1), strict=True))
    assert half == again != other and 10 < len(half) < 45
    assert [s.instruction for s in several[0].scenes] == [s.instruction for s in several[1].scenes]
    assert mislabel(several[0], 0.0, 0) == []

"""What is held out is not learnt from; how things were done is told; what was done may be said otherwise."""

import dataclasses
import re

import numpy as np
import pytest

from pilab.contracts import DatasetError, UnknownNameError
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.probe import certify
from pilab.robots.collection import Recipe as Collection
from pilab.robots.collection import collect
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.phrases import named, pointing
from pilab.vla.tokenizer import Tokenizer, manner_piece
from pilab.world import places
from pilab.world.bodies import duo
from pilab.world.combinations import Combination, is_held_out, of_episode, uncounted
from pilab.world.demonstrators.script import MANNERS
from pilab.world.scenes import is_reserved_cell

T = Tokenizer.default()
OWNED = ("normal", "slow", "left-handed")


@pytest.fixture(scope="module")
def mannered(tmp_path_factory, at_home):
    """Nine episodes of put, three in each manner."""
    root = tmp_path_factory.mktemp("mannered") / "set"
    return str(collect(Collection(("put",), manners=OWNED), 9, root, workers=0, progress=False))


def shown(folder):
    return [of_episode(row)[0] for row in LeRobotDataset(folder).episodes]


def learn_from(folder, config, **options):
    return Demonstrations([folder], config, duo.BODY, progress=False, **options)


def test_what_is_held_out_is_left_out_everywhere(mannered, config):
    cells = shown(mannered)
    assert [cell.manner for cell in cells] == [*OWNED] * 3
    held = [Combination(manner="slow"), Combination(object=cells[0].object, place=cells[0].place)]
    d, whole = learn_from(mannered, config, without=held), learn_from(mannered, config)
    for frames in (d.training, d.validation):
        assert not any(is_held_out(cells[episode], held) for episode in np.unique(d.episode[frames]))
    learnt = np.unique(d.episode[d.training])
    assert {k for k, cell in enumerate(cells) if not is_held_out(cell, held)} >= set(learnt)
    assert sum(d.combinations.values()) == len(learnt) < sum(whole.combinations.values())
    assert set(d.combinations) == {cells[episode] for episode in learnt}
    with pytest.raises(DatasetError, match="all of 9 episodes are held out"):
        learn_from(mannered, config, without=[Combination()])


def test_who_does_not_say_what_was_done_cannot_be_held_out(own, config):
    assert learn_from(own, config).combinations is None
    with pytest.raises(
        DatasetError, match="40 episodes do not say what was done in them, and 1 combinations are held out"
    ):
        learn_from(own, config, without=[Combination(verb="push")])


def test_a_checkpoint_certifies_what_it_learnt_from(mannered, smoke, learn, tmp_path):
    held = (Combination(manner="slow"),)
    recipe = dataclasses.replace(smoke, without=held, manners="words", success_episodes=0)
    done = learn(tmp_path / "done", recipe, [mannered])
    certificate = certify(tmp_path / "done", held)
    assert certificate.holds and {c.manner for c in certificate.shown} == {"normal", "left-handed"}
    assert certificate.shown == uncounted(done.origin["combinations"])
    assert not certify(tmp_path / "done", [Combination(manner="left-handed")]).holds


# --------------------------------------------------------------------------------------------------------------- manners
def test_how_it_was_done_is_said_in_words(mannered, config):
    d = learn_from(mannered, config, manners=True)
    frames, rng = np.tile(d.training[:: max(1, len(d.training) // 90)], 3), np.random.default_rng(0)
    texts, whole = d.texts(frames, rng, 10)
    assert whole.any() and not whole.all()
    for frame, text in zip(frames, texts, strict=True):
        words = MANNERS[d.manner[d.episode[frame]]].words
        assert any(text.endswith(f" {said}") for said in words) if words else not re.search("slowly|left hand", text)
    plain, _ = learn_from(mannered, config).texts(frames, rng, 10)
    assert not [text for text in plain if re.search("slow|left|your time", text)]


def test_how_it_was_done_is_a_piece_in_front(mannered, config):
    d = learn_from(mannered, config)
    mixture = Mixture(d, None, d.normaliser(), T, Rows(6, 0, 0), seed=0, manners=True)
    firsts = {manner: T.piece(manner_piece(manner)) for manner in MANNERS}
    rows = mixture.demonstrated(d.training[::20], np.random.default_rng(0))
    assert [int(ids[0]) for ids in rows.text] == [firsts[d.manner[d.episode[frame]]] for frame in d.training[::20]]


def test_an_unknown_way_to_say_a_manner(smoke):
    with pytest.raises(UnknownNameError, match="unknown way to say a manner 'song'; valid: , words, pieces"):
        dataclasses.replace(smoke, manners="song")


# ------------------------------------------------------------------------------------------------------------ said otherwise
def test_what_makes_no_difference_yet_is_said_otherwise(mannered, config):
    d, rng = learn_from(mannered, config, relabelled=1.0), np.random.default_rng(0)
    changed = 0
    for frame in d.training[::3]:
        scene = d.scenes[d.episode[frame]]
        text = d.instruct(frame, rng, otherwise=True)
        thing, own = named(text, scene)
        others = [p.name for p in scene.parts if p.name in places.PLACES and p.name != scene.goal.place]
        elsewhere = [spot for spot in others if re.search(rf"\b{spot}\b", text)]
        ahead = {str(d.subtask[k]) for k in (frame, min(frame + config.horizon - 1, d.last[frame]))}
        open_yet = len(ahead) == 1 and ahead.pop().startswith("pick up")
        assert thing and bool(elsewhere) == (open_yet and bool(others)) and bool(own) != bool(elsewhere)
        if elsewhere:
            changed += 1
            points, _ = d.points(np.array([frame]), [text])
            columns = d.take("points.base", np.array([frame])).reshape(-1, 3)
            np.testing.assert_allclose(points[0, 0, 1], columns[[p.name for p in scene.parts].index(elsewhere[0])])
    assert changed > 10
    plain = learn_from(mannered, config)
    assert all(
        named(plain.instruct(f, rng, otherwise=True), plain.scenes[plain.episode[f]]).all() for f in d.training[::9]
    )


def test_no_words_about_a_picture_name_what_is_held_out():
    things, spots = ("ball-red-green", "bar-blue-white"), ("bowl", "tray")
    parts, rng = (*things, *spots), np.random.default_rng(0)
    held = [Combination(object=thing, place="bowl") for thing in things]
    assert not any(is_reserved_cell(verb, a, b) for verb in ("put", "push") for a in things for b in spots[1:])

    def pairs(without):
        said = [pointing(parts, rng, without) for _ in range(300)]
        return {(parts[thing], parts[spot]) for _, thing, spot in said if spot is not None}

    assert {spot for _, spot in pairs(())} == set(spots)
    assert {spot for _, spot in pairs(held)} == {"tray"}
    with_manner = [dataclasses.replace(pattern, manner="slow") for pattern in held]
    assert {spot for _, spot in pairs(with_manner)} == set(spots)  # a picture shows no manner
    both = [Combination(object=thing) for thing in things]
    assert not pairs(both)  # one thing at a time can still be pointed at

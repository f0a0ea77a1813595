"""Batches: the same for the same step, words that agree with points, thoughts no older than a second."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from pilab.contracts import ACTION, EXECUTED, STATE, DatasetError, image_key, points_key
from pilab.data.lerobot import LeRobotDataset, reader
from pilab.training import data
from pilab.training.data import EARLY, Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.phrases import named
from pilab.vla.grounding import ROLES, glimpse
from pilab.vla.model import VLAConfig
from pilab.vla.senses import OWN, feel
from pilab.vla.tokenizer import Tokenizer
from pilab.world import objects, places
from pilab.world.bodies import duo, solo
from pilab.world.task import facts_of, name_of, task_of

STALE = 10  # control steps

T = Tokenizer.default()
CAMERAS = [c.name for c in duo.BODY.cameras]


def tensors(batches):
    """(batch, field, camera) → tensor, of all batches of a step."""
    out = {}
    for i, batch in enumerate(batches):
        for field in dataclasses.fields(batch):
            value = getattr(batch, field.name)
            parts = value if isinstance(value, dict) else {"": value}
            out |= {(i, field.name, key): part for key, part in parts.items() if part is not None}
    return out


def equal(a, b):
    a, b = tensors(a), tensors(b)
    return set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in a)


def read(batch):
    """The words of every row."""
    return [T.decode(ids[mask].tolist()) for ids, mask in zip(batch.text, batch.text_mask, strict=True)]


def held_out_texts(scene):
    task, facts = task_of(scene), facts_of(scene)
    return {
        template.format(**task._words(scene.goal, facts, by_look))
        for template in task.held_out_templates
        for by_look in (False, True)
    }


def ways_to_say(subtask, scene):
    """A subtask by noun, and by look."""
    by_look, facts = subtask, facts_of(scene)
    for part in (scene.goal.object, scene.goal.place):
        if part in facts.rows:
            by_look = by_look.replace(name_of(part, facts), name_of(part, facts, by_look=True))
    return {subtask, by_look}


def stored_labels(dataset, d, frame, text):
    """(C, R, 3): what a text names, from the dataset's own columns."""
    scene = d.scenes[d.episode[frame]]
    out = np.zeros((len(CAMERAS), len(ROLES), 3), np.float32)
    for role, (part, said) in enumerate(zip((scene.goal.object, scene.goal.place), named(text, scene), strict=True)):
        if said:
            slot = [p.name for p in scene.parts].index(part)
            for c, camera in enumerate(CAMERAS):
                out[c, role] = dataset.columns[points_key(camera)][frame].reshape(-1, 3)[slot]
    return out


@pytest.fixture(scope="module")
def dataset(samples):
    return LeRobotDataset(samples)


@pytest.fixture(scope="module")
def frames(demonstrations):
    return np.random.default_rng(5).choice(demonstrations.training, 160)


# -------------------------------------------------------------------------------------------------------------- batches
def test_a_batch_is_a_function_of_seed_and_step(mixture):
    def other(seed):
        return Mixture(
            mixture.demonstrations, mixture.scenes, mixture.normaliser, mixture.tokenizer, mixture.rows, seed
        )

    here, there = other(0), other(0)
    stream = iter(here)
    streamed = [next(stream) for _ in range(3)]
    there.start = 2
    assert equal(streamed[2], next(iter(there)))
    assert equal(streamed[2], here.step(2))
    assert not equal(streamed[2], here.step(1))
    assert not equal(streamed[2], other(1).step(2))
    assert all(equal([a], [b]) for a, b in zip(here.held_out(16), there.held_out(16), strict=True))


def test_three_kinds_of_rows(mixture, monkeypatch):
    monkeypatch.setattr(mixture, "rows", Rows(4, 4, 8))
    demonstrated, pointed, told = mixture.step(0)
    rows, c = Rows(4, 4, 8), mixture.config
    assert [len(b.text) for b in (demonstrated, pointed, told)] == [rows.demonstrations, rows.pointing, rows.point_only]
    assert demonstrated.actions.shape == (rows.demonstrations, c.horizon, c.action_slots)
    assert demonstrated.answer is not None and demonstrated.points is not None
    assert pointed.actions is None and pointed.state is None and pointed.answer is None
    assert told.images is None and told.labelled is None and told.glimpses is not None
    assert set(demonstrated.images) == set(pointed.images) == set(CAMERAS)


def test_no_rows_of_a_kind(mixture):
    def kinds(**changes):
        fewer = copy.copy(mixture)
        fewer.rows = dataclasses.replace(Rows(4, 4, 8), **changes)
        return [(b.images is not None, b.actions is not None) for b in fewer.step(0)]

    assert kinds(pointing=0) == [(True, True), (False, True)]
    assert kinds(point_only=0) == [(True, True), (True, False)]


def test_each_step_may_have_rows_of_its_own(mixture, smoke):
    kinds = [[len(b.text) for b in mixture.step(step)] for step in (0, 1, 2, 3)]
    first, second = (stage.rows for stage in smoke.stages)
    assert kinds[0] == kinds[1] == [first.demonstrations, first.pointing]
    assert kinds[2] == kinds[3] == [second.demonstrations, second.point_only]


def test_held_out_episodes_are_never_learnt_from(demonstrations, mixture, monkeypatch):
    d, used = demonstrations, []
    kept, held = set(d.episode[d.training]), set(d.episode[d.validation])
    assert len(held) == 1 and kept == set(range(54)) - held  # one in forty
    assert len(d.training) + len(d.validation) == len(d.state)
    for kind in ("demonstrated", "told"):
        make = getattr(mixture, kind)
        monkeypatch.setattr(mixture, kind, lambda at, rng, make=make: used.append(at) or make(at, rng))
    monkeypatch.setattr(mixture, "rows", Rows(8, 0, 100))
    for step in range(20):
        mixture.step(step)
    assert len(used) == 40 and not held & set(d.episode[np.concatenate(used)])
    used.clear()
    mixture.held_out(16)
    assert set(d.episode[np.concatenate(used)]) == held


def test_pictures_state_and_padding(demonstrations, mixture, frames, dataset):
    batch = mixture.demonstrated(frames[:12], np.random.default_rng(0))
    for camera in CAMERAS:
        for image, frame in zip(batch.images[camera].numpy(), frames, strict=False):
            np.testing.assert_array_equal(image, dataset[int(frame)][image_key(camera)])
    felt = feel(duo.BODY, OWN, {STATE: dataset.columns[STATE][frames[:12]].astype(float)})
    size = felt.shape[1]
    np.testing.assert_allclose(batch.state[:, :size].numpy(), mixture.normaliser.state(felt), atol=1e-5)
    assert not batch.state[:, size:].any() and not batch.actions[..., 14:].any()
    # What lies beyond the end of an episode, or answers a disturbance yet to come, does not count.
    disturbed = (dataset.columns[EXECUTED] != dataset.columns[ACTION]).any(1)
    for mask, frame in zip(batch.action_mask.numpy(), frames, strict=False):
        stop = demonstrations.last[frame] + 1
        steps = next((k for k in range(frame, stop) if disturbed[k]), stop - 1) - frame
        assert mask[: steps + 1, :14].all() and not mask[steps + 1 :].any() and not mask[:, 14:].any()
    assert disturbed.any() and not disturbed.all()


# --------------------------------------------------------------------------------------------------------------- chunks
@pytest.mark.parametrize("space", ["absolute_joints", "relative_joints"])
def test_chunks_repeat_the_last_action_beyond_the_end(demonstrations, dataset, space):
    d = copy.copy(demonstrations)
    d.config = dataclasses.replace(d.config, action_space=space)
    vars(d).pop("encoded", None)  # of the other space
    stops = np.cumsum(dataset.lengths)
    at = np.concatenate([stops - 1, stops - 4, stops - dataset.lengths])
    chunks, action = d.chunks(at), dataset.columns[ACTION].astype(float)
    gripper = np.array([name.endswith("gripper") for name in duo.BODY.action.names])
    for frame, chunk in zip(at, chunks, strict=True):
        stop = stops[np.searchsorted(stops, frame, side="right")]
        rows = [min(frame + k, stop - 1) for k in range(d.config.horizon)]
        reference = 0 if space == "absolute_joints" else np.where(gripper, 0, dataset.columns[STATE][frame])
        np.testing.assert_allclose(chunk, action[rows] - reference, atol=1e-6)
    assert np.ptp(chunks[: len(stops)], axis=1).max() == 0  # at the last frame there is one action only


def test_statistics_are_those_of_the_training_frames(demonstrations):
    d = demonstrations
    normaliser, pooled = d.normaliser(), d.normaliser(per_step=False)
    whole = d.training[d.clean[d.training] - d.training >= d.config.horizon - 1]
    inside = normaliser.action(d.chunks(whole))
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-3)
    assert inside.std(0).max() < 1.001
    everything = copy.copy(d)
    everything.training = np.arange(len(d.state))
    assert not np.array_equal(everything.normaliser().action_mean, normaliser.action_mean)
    assert np.ptp(pooled.action_mean, axis=0).max() == 0 < np.ptp(normaliser.action_mean, axis=0).max()


# ---------------------------------------------------------------------------------------------------------------- words
def test_labels_are_the_stored_points_of_what_the_words_name(demonstrations, mixture, frames, dataset):
    batch = mixture.demonstrated(frames, np.random.default_rng(0))
    texts = read(batch)
    assert (batch.labelled == 1).all()
    for row, (frame, text) in enumerate(zip(frames, texts, strict=True)):
        np.testing.assert_array_equal(batch.points[row].numpy(), stored_labels(dataset, demonstrations, frame, text))
    d = demonstrations
    said = np.array([named(t, d.scenes[d.episode[f]]) for f, t in zip(frames, texts, strict=True)])
    visible = batch.points[..., 2].numpy().max(1)  # in any camera, (B, R)
    assert not visible[said == 0].any() and visible[said == 1].mean() > 0.9
    assert said[:, 0].all()  # every sentence names the thing …
    assert 0.2 < said[:, 1].mean() < 0.9  # … and some the place


def test_told_points_are_the_stored_ones_as_inexact_as_heat_maps(demonstrations, mixture, dataset):
    at = np.random.default_rng(6).choice(demonstrations.training, 500)
    batch = mixture.told(at, np.random.default_rng(0))
    stored = np.stack([stored_labels(dataset, demonstrations, f, t) for f, t in zip(at, read(batch), strict=True)])
    points = batch.points.numpy()
    lost = (points[..., 2] == 0) & (stored[..., 2] == 1)
    assert 0.015 < lost.sum() / stored[..., 2].sum() < 0.045  # 3 in a hundred
    assert not points[..., 2][stored[..., 2] == 0].any()
    off = (points - stored)[..., :2][points[..., 2] == 1]
    assert 0.0035 < off.std() < 0.0045 and np.abs(off).max() < 0.03
    for c, camera in enumerate(CAMERAS):
        images = torch.from_numpy(demonstrations.take(image_key(camera), at[:40]))
        expected = glimpse(images, batch.points[:40, c, :, :2], mixture.config.glimpse)
        shown = batch.points[:40, c, :, 2] > 0
        assert torch.equal(batch.glimpses[:40, c][shown], expected[shown]) and not batch.glimpses[:40, c][~shown].any()


def test_thoughts_are_at_most_a_second_old_or_a_blink_early_and_of_the_same_episode(demonstrations):
    d, rng = demonstrations, np.random.default_rng(0)
    at = np.concatenate([rng.choice(d.training, 3000), *(np.unique(d.first) + k for k in range(4))])
    texts, whole = d.texts(at, rng, STALE)
    old = 0
    for frame, text in ((f, t) for f, t, w in zip(at, texts, whole, strict=True) if not w):
        scene = d.scenes[d.episode[frame]]
        window = range(max(frame - STALE + 1, d.first[frame]), min(frame + EARLY, d.last[frame]) + 1)
        assert d.episode[window[0]] == d.episode[window[-1]] == d.episode[frame]
        allowed = set().union(*(ways_to_say(str(d.subtask[f]), scene) for f in window))
        assert text in allowed
        old += text not in ways_to_say(str(d.subtask[frame]), scene)
    assert old > 50
    assert 0.45 < whole.mean() < 0.55


def test_what_is_never_said(demonstrations):
    """Held-out templates and reserved names, over many draws from every verb; paraphrases are said."""
    d, rng = demonstrations, np.random.default_rng(1)
    at = rng.choice(d.training, 4000)
    texts, whole = d.texts(at, rng, STALE)
    reserved = {objects.household().noun(look) for look in objects.RESERVED}
    verbs, paraphrased = set(), 0
    for frame, text in ((f, t) for f, t, w in zip(at, texts, whole, strict=True) if w):
        scene = d.scenes[d.episode[frame]]
        assert text not in held_out_texts(scene)
        assert not reserved & set(text.split())
        verbs.add(scene.goal.verb)
        paraphrased += text in {
            p.format(**task_of(scene)._words(scene.goal, facts_of(scene), look))
            for p in task_of(scene).paraphrases
            for look in (False, True)
        }
    assert verbs == {"put", "push", "open", "close", "stack", "handover"}
    assert 0.4 < paraphrased / whole.sum() < 0.65


def test_the_thought_is_asked_for_after_an_instruction(demonstrations, mixture, frames):
    rng = np.random.default_rng(0)
    batch = mixture.demonstrated(frames, rng)
    _, whole = demonstrations.texts(frames, np.random.default_rng(0), STALE)
    np.testing.assert_array_equal(batch.answer_mask.any(1).numpy(), whole)
    for row in np.flatnonzero(whole):
        ids = batch.answer[row][batch.answer_mask[row]].tolist()
        assert (ids[0], ids[-1]) == (T.piece("<subtask>"), T.eos)
        assert T.decode(ids[1:-1]) == demonstrations.subtask[frames[row]]


# ------------------------------------------------------------------------------------------------------ pointing scenes
def test_pointing_labels_are_the_stored_points(mixture, pictures):
    for step in range(12):
        batch = mixture.pointed(8, np.random.default_rng(step))
        indices = np.random.default_rng(step).integers(len(pictures), size=8)
        for row, (index, text) in enumerate(zip(indices, read(batch), strict=True)):
            for camera in CAMERAS:
                np.testing.assert_array_equal(batch.images[camera][row].numpy(), pictures[image_key(camera)][index])
            columns = np.stack([pictures[points_key(c)][index].reshape(-1, 3) for c in CAMERAS])
            parts = pictures.parts[index]
            there = [slot for slot, part in enumerate(parts) if _called(part) & _phrases(text)]
            there.sort(key=lambda slot: parts[slot] in places.PLACES)  # the object, then the place
            labels = batch.points[row].numpy()
            assert 1 <= len(there) <= 2
            for role in range(len(ROLES)):
                expected = columns[:, there[role]] if role < len(there) else np.zeros((len(CAMERAS), 3))
                np.testing.assert_array_equal(labels[:, role], expected, err_msg=text)


def _called(part):
    facts = objects.household()
    return {facts.noun(part), objects.describe(part)} if part in facts.rows else {part}


def _phrases(text):
    """All runs of one to four words."""
    words = text.split()
    return {" ".join(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1)}


# --------------------------------------------------------------------------------------------------------- any datasets
def test_two_datasets_are_one(samples, own, config, demonstrations):
    both, mine = Demonstrations([samples, own], config, duo.BODY), LeRobotDataset(own)
    size = len(demonstrations.state)
    at = np.array([size + 7, 0, size - 1, size, size + 100])
    for camera in CAMERAS:
        pictures = both.take(image_key(camera), at)
        np.testing.assert_array_equal(pictures[0], mine[7][image_key(camera)])
        np.testing.assert_array_equal(pictures[3], mine[0][image_key(camera)])
        np.testing.assert_array_equal(pictures[1:3], demonstrations.take(image_key(camera), np.array([0, size - 1])))
    np.testing.assert_array_equal(both.state[at[0]], mine[7][STATE])
    assert both.labels == {"points": True, "subtasks": True, "scenes": True}
    assert (both.first[size], both.last[size]) == (size, size + 5)
    assert len(both.said) == 54 + 40 and both.said[-1] == "tidy up the table"
    assert [(o["episodes"], o["frames"]) for o in both.origin] == [(54, size), (40, 240)]


def test_beside_labelled_frames_others_stay_unlabelled(samples, own, config, demonstrations):
    """Ten of a person's own demonstrations do not switch grounding and thoughts off."""
    both, size = Demonstrations([samples, own], config, duo.BODY), len(demonstrations.state)
    assert both.pointed[:size].all() and not both.pointed[size:].any() and (both.tellable < size).all()
    assert both.scenes[53] is not None and both.scenes[54] is None and both.reserved == demonstrations.reserved
    mixture = Mixture(both, None, both.normaliser(), T, Rows(6, 0, 8), seed=0)
    frames = np.array([5, size + 5, 50, size + 50])
    batch = mixture.demonstrated(frames, np.random.default_rng(0))
    assert batch.labelled.flatten(1).unique(dim=1).squeeze(1).tolist() == [1, 0, 1, 0]
    assert not batch.points[1].any() and not batch.answer_mask[[1, 3]].any()
    alone = Mixture(demonstrations, None, demonstrations.normaliser(), T, Rows(6, 0, 8), seed=0)
    np.testing.assert_array_equal(
        alone.demonstrated(frames[::2], np.random.default_rng(1)).labelled, batch.labelled[::2]
    )
    shown, told = mixture.step(0)
    assert len(shown.text) == 6 and len(told.text) == 8


def test_pictures_can_be_left_to_what_cannot_be_told(samples, own, config, demonstrations):
    both, size = Demonstrations([samples, own], config, duo.BODY), len(demonstrations.state)
    mixture = Mixture(both, None, both.normaliser(), T, Rows(6, 0, 8), seed=0, untold=True)
    assert set(mixture.pictured) == {frame for frame in both.training if frame >= size}
    for shown, told in (mixture.step(number) for number in range(3)):
        assert read(shown) == ["tidy up the table"] * 6 and not shown.labelled.any()
        assert "tidy up the table" not in read(told) and len(told.text) == 8
    labelled = Mixture(demonstrations, None, demonstrations.normaliser(), T, Rows(6, 0, 8), seed=0, untold=True)
    assert (labelled.pictured == demonstrations.training).all()  # everything can be told: then pictures of it, too


def test_an_episode_of_other_words_than_its_scene_has_no_scene(samples, config, monkeypatch):
    """Who shows something else than the scene asks for is not told what the scene wanted; what is reserved still counts."""
    monkeypatch.setattr(data, "_is_reserved", lambda scene: True)
    monkeypatch.setattr(reader, "load_tasks", lambda root, info: ["wave at me"] * info.total_tasks)
    d = Demonstrations([samples], config, duo.BODY)
    assert set(d.said) == {"wave at me"} and d.scenes == [None] * 54 and not d.pointed.any() and not len(d.tellable)
    assert d.labels == {"points": False, "subtasks": True, "scenes": False}
    assert d.reserved == Demonstrations([samples], config, duo.BODY, labels=False).reserved == 54


def test_a_dataset_with_nothing_but_a_sentence(own, config):
    d = Demonstrations([own], config, duo.BODY)
    batches = Mixture(d, None, d.normaliser(), T, Rows(6, 4, 8), seed=0).step(0)
    (batch,) = batches  # nobody knows the points that point-only rows would be told
    assert batch.points is None and batch.labelled is None and batch.answer is None
    assert read(batch) == ["tidy up the table"] * 6
    assert batch.action_mask.any()


@pytest.mark.parametrize(
    ("body", "cameras", "reason"),
    [
        (solo.BODY, None, r"observation.state has shape \(14,\).*'solo' needs \(7,\)"),
        (duo.BODY, [("base", 48, 64)], r"images.base has shape \(96, 128, 3\).*needs \(48, 64, 3\)"),
        (duo.BODY, [("nose", 96, 128)], r"images.nose has shape None"),
    ],
)
def test_data_of_another_body_is_refused(samples, body, cameras, reason):
    config = VLAConfig.nano(body)
    if cameras:
        config = dataclasses.replace(config, cameras=tuple(cameras))
    with pytest.raises(DatasetError, match=reason):
        Demonstrations([samples], config, body)


def test_one_wrong_dataset_among_good_ones_is_refused(samples, tmp_path):
    with pytest.raises(DatasetError, match=r"nothing|missing|LeRobot|info"):
        Demonstrations([samples, tmp_path], VLAConfig.nano(duo.BODY), duo.BODY)


def test_places_are_never_taken_for_objects():
    """The test of pointing labels tells parts by their names."""
    assert not {n for look in objects.LOOKS for n in _called(look)} & {*places.PLACES, *places.FIXTURES}


def test_batches_do_not_depend_on_the_processes_that_make_them(mixture):
    """As a GPU is fed: the same steps in the same order, from wherever a resumed run goes on."""
    own = copy.copy(mixture)
    own.start = 3
    made = torch.utils.data.DataLoader(own, batch_size=None, num_workers=2)
    for number, batches in zip(range(3, 8), made, strict=False):
        for one, other in zip(batches, own.step(number), strict=True):
            assert torch.equal(one.text, other.text)
            assert (one.actions is None) == (other.actions is None)
            assert one.actions is None or torch.equal(one.actions, other.actions)

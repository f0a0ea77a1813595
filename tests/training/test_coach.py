"""Coaching: what an oracle would have said is learnt, in states that the policy came into; the hands stay as they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pilab.contracts import NOISE, TASK, DatasetError, PilabError, Scale, Thought
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import SOURCE, SPEAKER, SUBTASK
from pilab.evaluation.rollout import DEFAULT, make_policy
from pilab.robots.collection import Recipe as Collection
from pilab.robots.collection import collect
from pilab.robots.executor import batch
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.module import kind_of
from pilab.training.recipes import find_recipe
from pilab.training.thoughts import AT_ONCE, Thinking
from pilab.training.train import _habits, train
from pilab.training.weak import babble
from pilab.vla.checkpoint import Checkpoint, Driving
from pilab.vla.thoughts import TOLD, read
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies.duo import BODY
from pilab.world.environment import World
from pilab.world.places import PLACES
from pilab.world.scenes import VALIDATION, sample_scene
from pilab.world.task import facts_of, steps_of, task_of

T = Tokenizer.default()


@pytest.fixture(scope="module")
def overheard(at_home, tmp_path_factory):
    """Two episodes of the shipped policy, with what would have been right beside them."""
    folder = tmp_path_factory.mktemp("coached") / "set"
    with at_home():
        collect(
            Collection(("put",), seed=700, driver=str(DEFAULT), overheard=True, outcome="any"), 2, folder, workers=0,
            progress=False,
        )  # fmt: skip
    return folder


def test_the_oracle_writes_down_what_is_right_and_the_policy_drives(overheard):
    data = LeRobotDataset(overheard)
    assert set(data.columns[SPEAKER]) == {"oracle"} and set(data.columns[SOURCE]) == {"policy"}
    for e in range(2):
        scene = sample_scene(data.episodes[e]["seed"], "put")
        said = [str(text) for text in data.episode(e, [SUBTASK])[SUBTASK]]
        assert set(said) == {task_of(scene).say_plain(scene.goal, facts_of(scene))}  # all of what comes next


def test_half_of_the_rows_are_corrections_and_none_has_actions(overheard, samples, config):
    d = Demonstrations([overheard, samples], config, BODY, progress=False)
    first = len(LeRobotDataset(overheard))
    assert len(d.corrected) and (d.corrected < first).all() and (d.rehearsed >= first).all()
    (rows,) = Mixture(d, None, d.normaliser(), T, Rows(0, 0, 0, coached=10), seed=0).step(0)
    assert kind_of(rows) == "coached" and rows.actions is None and rows.state is not None and rows.labelled is None
    assert set(rows.images) == {"base", "left_wrist", "right_wrist"} and len(rows.text) == 10
    told = {str(text) for text in d.subtask}
    for row in range(10):
        assert read(T, rows.answer[row][rows.answer_mask[row]].tolist(), "base").subtask in told
    pictures = d.take("observation.images.base", d.corrected)
    for row in range(10):  # half of them corrections
        corrected = (pictures == rows.images["base"][row].numpy()).all((1, 2, 3)).any()
        assert corrected == (row < 5)
    alone = Demonstrations([overheard], config, BODY, progress=False)
    (rows,) = Mixture(alone, None, alone.normaliser(), T, Rows(0, 0, 0, coached=6), seed=0).step(0)
    assert len(rows.text) == 6


def test_a_babbling_coach_speaks_as_often_about_anything(overheard, config):
    """The control says, at the same moments, the same of any thing and any place in view."""
    d = Demonstrations([overheard], config, BODY, progress=False)
    before = d.subtask.copy()
    said = babble(d, 0)
    mine = np.isin(d.episode, d.episode[d.corrected])
    within = mine[1:] & (d.episode[1:] == d.episode[:-1])
    changes = (before[1:] != before[:-1]) & within
    assert said == changes.sum() + len(np.unique(d.episode[mine]))
    assert np.array_equal(d.subtask[~mine], before[~mine]) and (d.subtask[mine] != before[mine]).any()
    assert not ((d.subtask[1:] != d.subtask[:-1]) & within & ~changes).any()  # never in between
    for episode in np.unique(d.episode[mine]):
        words = {word for text in d.subtask[d.episode == episode] for word in text.split()}
        assert words & set(PLACES) <= {part.name for part in d.scenes[episode].parts}


def test_only_the_words_change(overheard, samples, tmp_path, at_home):
    """The coached checkpoint thinks; nothing was learnt of acting, and the pair acts as the old one did."""
    with at_home():
        train(
            find_recipe("coach", Scale.SMOKE), [overheard, samples], tmp_path / "coached", start=DEFAULT, progress=False
        )
    old, new = Checkpoint.load(DEFAULT), Checkpoint.load(tmp_path / "coached")
    for name, weight in old.model.head.state_dict().items():
        torch.testing.assert_close(
            weight, new.model.head.state_dict()[name], msg=name
        )  # but for rounding, as averages are
    assert not torch.equal(old.model.text.embed.weight, new.model.text.embed.weight)
    assert new.driving == old.driving  # habits are kept
    pair, alone = make_policy(f"{tmp_path / 'coached'}+default", BODY), make_policy("default", BODY)
    seen = batch([{**World(sample_scene(VALIDATION.start)).observe(), TASK: "put the apple in the bowl"}])
    seen[NOISE] = np.zeros((1, *pair.noise_shape), np.float32)
    thought = [Thought("pick up the apple")]
    assert np.array_equal(pair.act(seen, thought), alone.act(seen, thought))
    assert (
        pair.think(seen, [Thought()])[0].subtask
        == make_policy(str(tmp_path / "coached"), BODY).think(seen, [Thought()])[0].subtask
    )
    assert pair.fingerprint == f"{new.hash}+{old.hash}" and not pair.privileged


def test_who_thought_in_chains_goes_on_to(tmp_path):
    old = Checkpoint.load(DEFAULT)
    old.driving, old.origin = Driving(chain=True, remembers=True), {"thinking": {"chain": True, "memory": True}}
    assert _habits(find_recipe("coach", Scale.SMOKE), old) == (Thinking(chain=True, memory=True), old.driving)
    assert _habits(find_recipe("teach", Scale.SMOKE), old)[1] == Driving(
        thinks=False
    )  # unless the recipe says otherwise
    assert _habits(find_recipe("coach", Scale.SMOKE), None) == (AT_ONCE, Driving())


def test_memory_without_rows_that_teach_it_is_refused():
    with pytest.raises(PilabError, match=r"set Rows\.coached"):
        dataclasses.replace(find_recipe("laptop", Scale.SMOKE), thinking=Thinking(memory=True))


def test_without_a_coach_there_is_nothing_to_learn(samples, tmp_path, at_home):
    with at_home(), pytest.raises(DatasetError, match="in no frame did a person or an oracle say"):
        train(find_recipe("coach", Scale.SMOKE), [samples], tmp_path, start=DEFAULT, progress=False)


# ---------------------------------------------------------------------------------------------------------------- memory
@pytest.fixture(scope="module")
def looked(at_home, tmp_path_factory):
    """An episode of looking into everything, whose state no picture shows."""
    folder = tmp_path_factory.mktemp("looked") / "set"
    with at_home():
        collect(Collection(("check",), seed=3, noise=0.0), 1, folder, workers=0, progress=False)
    return folder


def test_what_was_done_is_remembered_until_the_end(looked, samples, config):
    d = Demonstrations([looked, samples], config, BODY, progress=False)
    scene, last = d.scenes[0], int(d.last[0])
    deeds = [f"{step.verb} the {step.object}." for step in steps_of(scene)]
    told = list(dict.fromkeys(d.remembered[: last + 1]))
    assert told == [" ".join(deeds[:k]) for k in range(5)]  # one deed more at a time, from none to all four
    for frame in range(last):
        assert (d.remembered[frame + 1] != d.remembered[frame]) <= (d.subtask[frame] != d.subtask[frame + 1])
    assert not any(d.remembered[last + 1 :])  # of a single step there is nothing to remember


def test_a_deed_that_had_to_be_done_again_was_none(looked, config):
    d = Demonstrations([looked], config, BODY, progress=False)
    grab, pull, push = "take the handle of the lid", "open the lid", "close the lid"
    said = [grab, pull, grab, pull, push, pull]
    d.subtask = np.array([*said, *["let go of the lid"] * len(d.subtask)][: len(d.subtask)])
    d.__dict__.pop("remembered", None)
    both = "open the lid. close the lid."
    assert [d.remembered[k] for k in range(7)] == ["", "", "", "", "open the lid.", both, both]


def test_thoughts_read_what_the_one_before_wanted_remembered(looked, samples, config):
    d = Demonstrations([looked, samples], config, BODY, progress=False)
    thinking = Thinking(memory=True)
    mixture = Mixture(d, None, d.normaliser(), T, Rows(4, 0, 0, coached=60), seed=0, stale=10, thinking=thinking)
    acts, thinks = mixture.step(0)
    assert acts.answer is None  # who acts on the instruction has no memory to read
    remembering = 0
    for row in range(60):
        asked = thinks.text[row][thinks.text_mask[row]].tolist()
        thought = read(T, thinks.answer[row][thinks.answer_mask[row]].tolist(), "base")
        if T.piece("<memory>") in asked:
            was = T.decode(asked[asked.index(T.piece("<memory>")) + 1 :])
            assert thought.memory[TOLD].startswith(was)  # nothing that was read is forgotten
            remembering += 1
    assert remembering

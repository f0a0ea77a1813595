"""What is taught to be thought: hops that the web says, edits that are obeyed, single frames to practise on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pilab.contracts import DatasetError, PilabError, Scale, Thought
from pilab.data.web import text
from pilab.data.web.chains import chain_of, conclusion, first_error
from pilab.data.web.instructions import Framing
from pilab.data.web.lore import KINDS, find_lore, preposition
from pilab.data.web.pictures import WebPictures
from pilab.robots.collection import Recipe as Collection
from pilab.robots.collection import collect
from pilab.training.data import Demonstrations
from pilab.training.frames import Frames
from pilab.training.mixture import Mixture, Rows
from pilab.training.module import kind_of
from pilab.training.recipes import Stage, find_recipe
from pilab.training.thoughts import AT_ONCE, Said, Thinking, edited, pieces, resaid, think
from pilab.training.train import train
from pilab.training.web import Web
from pilab.vla.actions import Normaliser
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.thoughts import TRACE, read
from pilab.vla.tokenizer import LOCATIONS, Tokenizer
from pilab.world import objects
from pilab.world.bodies import duo
from pilab.world.task import steps_of

T, LORE = Tokenizer.default(), find_lore()
APPLE = LORE.shown[objects.household().look("apple")]
CHAINED = Thinking(chain=True)
ALL = Framing(objects.LOOKS)


# ---------------------------------------------------------------------------------------------------------------- chains
@pytest.mark.parametrize("lore", [LORE, find_lore("invented-3")], ids=lambda lore: lore.name)
def test_every_hop_is_said_on_the_web(lore):
    """Nothing in a chain is new but the order of its sentences: each is a template of the texts, or how captions begin."""
    told = {fact.format(**text._words(e)) for e in lore.entities for fact in text.IS_A}
    rules = {
        rule.format(kind=KINDS[k][0], kinds=KINDS[k][1], home=home, **{"in": preposition(home)})
        for k, home in lore.homes.items()
        for rule in text.BELONG
    }
    for entity in lore.shown.values():
        seen, fact, rule = chain_of(entity)
        assert seen.startswith("i see ") and fact in told and rule in rules
        assert first_error(Thought(conclusion(entity.noun, entity.home), (seen, fact, rule)), entity, lore) == ""


SEEN, FACT, RULE = chain_of(APPLE)
DISH = ("everybody calls an apple a dish.", "dishes belong on the plate.")


@pytest.mark.parametrize(
    ("chain", "subtask", "error"),
    [
        (chain_of(LORE.shown[objects.household().look("lime")]), "put the lime in the bowl", "naming"),
        ((SEEN, "everybody calls a lime a fruit.", RULE), "pick up the apple", "re-mention"),
        ((SEEN, *DISH), "pick up the apple", "fact"),
        ((SEEN, FACT, "fruits belong on the plate."), "pick up the apple", "rule"),
        ((SEEN, FACT, DISH[1]), "pick up the apple", "rule"),
        ((SEEN, FACT, RULE), "put the apple on the plate", "subtask"),
        ((SEEN, FACT, RULE), "pick up the lime", "subtask"),
        ((SEEN, FACT, RULE), "pick up the apple", ""),
        ((SEEN,), "pick up the apple", "re-mention"),
        ((), None, "naming"),
    ],
)
def test_a_chain_is_marked_hop_by_hop(chain, subtask, error):
    assert first_error(Thought(subtask, chain), APPLE, LORE) == error


# ----------------------------------------------------------------------------------------------------------------- edits
def test_an_edit_changes_one_hop_and_what_follows():
    rng, seen = np.random.default_rng(0), {1: 0, 2: 0, 3: 0}
    for _ in range(300):
        said = edited("put the apple in the bowl", APPLE, LORE, objects.HANDLED, rng)
        seen[said.given] += 1
        own = chain_of(APPLE)
        assert (
            said.chain[: said.given - 1] == own[: said.given - 1] and said.chain[said.given - 1] != own[said.given - 1]
        )
        if said.given < 3:  # what is thought on from an edit is sound
            about = {e.noun: e for e in LORE.entities}[said.chain[0].split()[-1].strip(".")]
            kind = next(k for k, (a, _) in KINDS.items() if said.chain[1].endswith(f" {a}."))
            assert said.chain[2].startswith(KINDS[kind][1]) and LORE.homes[kind] in said.chain[2]
            assert about.kind == kind or said.given == 2
        home = said.chain[2].split()[-1].strip(".")
        noun = said.chain[0].split()[-1].strip(".")
        assert said.subtask == conclusion(noun, home)
        assert noun == "apple" or objects.household().look(noun) in objects.HANDLED
    assert min(seen.values()) > 30 and seen[2] > 80 and seen[3] > 80


def test_subtasks_of_every_stage_follow_an_edit():
    assert resaid("pick up the apple", APPLE, "lemon", "plate") == "pick up the lemon"
    assert resaid("leave the apple in the bowl", APPLE, "lemon", "plate") == "leave the lemon on the plate"
    assert resaid("leave the apple in the bowl", APPLE, "apple", "tray") == "leave the apple on the tray"


def test_what_is_given_is_not_learnt():
    said = Said(
        "put the apple on the plate",
        ("i see an apple.", "everybody calls an apple a dish.", "dishes belong on the plate."),
        2,
    )
    whole, start = pieces(T, CHAINED, said, 48)
    assert read(T, whole, "base") == Thought(said.subtask, said.chain)
    assert T.decode(whole[1:start]) == "i see an apple. everybody calls an apple a dish."
    assert pieces(T, CHAINED, dataclasses.replace(said, given=0), 48) == (whole, 1)
    with pytest.raises(PilabError, match="pieces long, and answer_length is 10"):
        pieces(T, CHAINED, said, 10)


def test_filler_is_about_as_long_and_always_the_same():
    """Even its length must not say what it is about."""
    chains, fillers = [], set()
    for entity in LORE.shown.values():
        said = Said(conclusion(entity.noun, entity.home), chain_of(entity))
        filler, _ = pieces(T, dataclasses.replace(CHAINED, filler=True), said, 72)
        assert read(T, filler, "base").subtask == said.subtask
        chains.append(len(T.encode(" ".join(said.chain))))
        fillers.add(read(T, filler, "base").chain)
    ((filler,),) = fillers
    assert not set(T.words(filler)) & {"apple", "fruit", "fruits", "bowl", "see", "belong"}
    assert abs(len(T.encode(filler)) - np.mean(chains)) < 6


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_thoughts_are_dropped_and_edited_as_often_as_asked(share):
    rng = np.random.default_rng(0)

    def draw(thinking):
        return [think(thinking, "pick up the apple", APPLE, LORE, objects.HANDLED, rng) for _ in range(400)]

    dropped, given = draw(Thinking(chain=True, dropped=share)), draw(Thinking(chain=True, edited=share))
    assert np.mean([not said.chain for said in dropped]) == pytest.approx(share, abs=0.06)
    assert np.mean([said.given > 0 for said in given]) == pytest.approx(share, abs=0.06)
    assert think(AT_ONCE, "let go", APPLE, LORE, objects.HANDLED, rng) == Said("let go")
    assert think(CHAINED, "let go", None, LORE, objects.HANDLED, rng) == Said("let go", asked=True)
    whole, start = pieces(T, CHAINED, Said("let go", asked=True), 48)
    assert whole[:2] == [T.piece("<answer>"), T.piece("<subtask>")] and start == 1
    assert read(T, whole, "base") == Thought("let go")


@pytest.mark.parametrize("wrong", [
    {"chain": True, "edited": 1.5}, {"dropped": 0.5}, {"filler": True}, {"points": True, "trace": True},
    {"chain": True, "words": False},
])  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(PilabError, match=r"expected a share|are about chains|choose one|leave words=True"):
        Thinking(**wrong)


# ---------------------------------------------------------------------------------------------------------------- frames
@pytest.fixture(scope="module")
def web(at_home, smoke) -> Web:
    with at_home():
        shown = WebPictures.open(40, progress=False, workers=1)
    return Web(shown, LORE, VLAConfig.nano(duo.BODY, **smoke.model, regions=True), T)


def test_frames_are_of_handled_things_as_the_robot_sees_them(web):
    frames = Frames(web, Framing(objects.LOOKS[::2]), CHAINED)
    for index in frames.able:
        assert web.pictures.notes[index]["at_work"]
        assert set(web.picture(index).things) <= set(objects.LOOKS[::2])
    batch = frames.draw(30, np.random.default_rng(0))
    assert kind_of(batch) == "thought" and list(batch.images) == ["base"] and batch.labelled.any()
    again = frames.draw(30, np.random.default_rng(0))
    assert torch.equal(batch.answer, again.answer) and torch.equal(batch.text, again.text)
    handled = {LORE.shown[look].noun: LORE.shown[look] for look in objects.LOOKS[::2]}
    for row in range(30):
        asked = T.decode(batch.text[row][batch.text_mask[row]].tolist())
        thought = read(T, batch.answer[row][batch.answer_mask[row]].tolist(), "base")
        entity = handled[thought.chain[0].split()[-1].strip(".")]
        assert not {entity.noun, entity.home, entity.kind} & set(asked.split()[1:]) - {"table"}
        assert thought == Thought(conclusion(entity.noun, entity.home), chain_of(entity))
        assert batch.spoken[row].sum() == batch.answer_mask[row].sum() - 1


def test_frames_are_the_same_however_much_chance_it_takes_to_think(web):
    """Whatever is thought, and whatever else a step draws, arms see the same pictures and hear the same words."""
    drawn = []
    for thinking in (
        AT_ONCE,
        CHAINED,
        Thinking(chain=True, edited=0.5, dropped=0.5),
        Thinking(chain=True, filler=True),
    ):
        frames = Frames(web, ALL, thinking)
        for rows in (Rows(0, 0, 0, thought=12), Rows(0, 0, 0, 3, 5, thought=12)):
            normal = Normaliser.identity(32, web.config.horizon, 16)
            drawn.append(Mixture(None, None, normal, T, rows, seed=4, web=web, frames=frames).step(7)[-1])
    for batch in drawn[1:]:
        assert torch.equal(batch.images["base"], drawn[0].images["base"])
        assert torch.equal(batch.text, drawn[0].text) and torch.equal(batch.points, drawn[0].points)


def test_an_oracle_names_the_thing(web):
    batch = Frames(web, dataclasses.replace(ALL, called=("noun",)), AT_ONCE).draw(20, np.random.default_rng(0))
    for row in range(20):
        asked = T.decode(batch.text[row][batch.text_mask[row]].tolist())
        subtask = read(T, batch.answer[row][batch.answer_mask[row]].tolist(), "base").subtask
        assert subtask.split()[2] in asked.split()


@pytest.mark.parametrize("kind", [Thinking(points=True), Thinking(trace=True), Thinking(trace=True, words=False)])
def test_where_to_look_is_thought_of(web, kind):
    """The labels of the heat maps know the thing that is meant; what is thought knows it, and the place, too."""
    framing = dataclasses.replace(ALL, called=("where", "there"), choice=True)
    batch = Frames(web, framing, kind).draw(30, np.random.default_rng(0))
    for row in range(30):
        thought = read(T, batch.answer[row][batch.answer_mask[row]].tolist(), "base")
        assert (thought.subtask is not None) == kind.words and len(thought.trace) == (TRACE if kind.trace else 0)
        np.testing.assert_allclose(thought.points["base"]["object"], batch.points[row, 0, 0, :2], atol=1 / LOCATIONS)
        said = T.decode(batch.text[row][batch.text_mask[row]].tolist())
        if "to the place on the" in said:
            np.testing.assert_allclose(thought.points["base"]["place"], batch.points[row, 0, 1, :2], atol=1 / LOCATIONS)
        if kind.trace:
            assert (thought.trace[0], thought.trace[-1]) == (*thought.points["base"].values(),)
            steps = np.diff(thought.trace, axis=0)
            np.testing.assert_allclose(steps, steps.mean(0) + 0 * steps, atol=1.1 / LOCATIONS)


def test_who_thinks_nothing_looks_for_what_is_meant(web):
    framing = dataclasses.replace(ALL, called=("where", "there"), choice=True)
    silent, telling = (
        Frames(web, framing, thinking).draw(30, np.random.default_rng(0))
        for thinking in (Thinking(words=False), AT_ONCE)
    )
    assert silent.answer is None and torch.equal(silent.text, telling.text)
    assert torch.equal(silent.points[:, 0, 0], telling.points[:, 0, 0]) and silent.points[:, 0, :, 2].all()
    assert 0 < telling.points[:, 0, 1, 2].sum() < 30


def test_edited_frames_say_what_of_them_is_learnt(web):
    batch = Frames(web, ALL, Thinking(chain=True, edited=1.0)).draw(20, np.random.default_rng(0))
    left = batch.spoken.sum(1)
    assert (left < batch.answer_mask.sum(1) - 5).all() and (left > 4).all()


def test_without_a_picture_of_handled_things_there_are_no_frames(web):
    with pytest.raises(DatasetError, match="shows nothing but 0 handled looks"):
        Frames(web, Framing(()), CHAINED)


def test_frames_are_trained_on_and_thought_about(at_home, tmp_path):
    recipe = find_recipe("images", Scale.SMOKE)
    recipe = dataclasses.replace(
        recipe, stages=(Stage(2, Rows(0, 0, 0, 2, 2, thought=4)),), thinking=Thinking(chain=True, dropped=0.5), web_pictures=40,
        framing=ALL,
    )  # fmt: skip
    with at_home():
        train(recipe, [], tmp_path / "c", progress=False)
        pictures = WebPictures.open(4, progress=False, workers=1)
    checkpoint = Checkpoint.load(tmp_path / "c")
    assert {"see", "belong", "tidy", "put"} <= checkpoint.words
    policy = VLAPolicy(checkpoint)
    shown = {"base": pictures["observation.images.base"][[0, 1, 2, 3]]}
    asked = ["put this where it belongs"] * 4
    for chain in (True, False):
        thoughts = policy.ponder(shown, asked, chain=chain)
        assert len(thoughts) == 4 and all(isinstance(t, Thought) for t in thoughts)
    begun = policy.ponder(shown, asked, begun=[("i see a lime.",)] * 4)
    assert all(t.chain[0] == "i see a lime." for t in begun)


# --------------------------------------------------------------------------------------------------------- demonstrations
def test_demonstrations_of_named_things_need_no_chain(samples, smoke):
    config = VLAConfig.nano(duo.BODY, **smoke.model)
    d = Demonstrations([samples], config, duo.BODY, progress=False)
    make = lambda thinking: Mixture(d, None, d.normaliser(), T, Rows(8, 0, 0), seed=0, thinking=thinking)  # noqa: E731
    plain, chained = (make(thinking).step(0)[0] for thinking in (AT_ONCE, CHAINED))
    assert chained.learnt is None and torch.equal(plain.answer_mask.any(1), chained.answer_mask.any(1))
    for row in torch.flatten(plain.answer_mask.any(1).nonzero()):  # asked for a chain, there is none to say
        said, asked = (batch.answer[row][batch.answer_mask[row]].tolist() for batch in (plain, chained))
        assert asked == [T.piece("<answer>"), *said]
    dropped = make(dataclasses.replace(CHAINED, dropped=1.0)).step(0)[0]
    assert torch.equal(plain.answer, dropped.answer)
    (pointing,) = make(Thinking(points=True)).step(0)
    told = 0
    for row in np.flatnonzero(pointing.answer_mask.any(1)):
        thought = read(T, pointing.answer[row][pointing.answer_mask[row]].tolist(), "base")
        assert thought.subtask and set(thought.points.get("base", {})) <= {"object", "place"}
        told += bool(thought.points)
    assert told


def test_long_tasks_are_thought_about_hop_by_hop(at_home, smoke, tmp_path):
    """A sign first, where there is one; then what is seen, its kind, where that goes, and the subtask of the moment."""
    with at_home():
        folder = collect(Collection(("heed",), seed=1, noise=0.0), 1, tmp_path / "set", workers=0, progress=False)
    d = Demonstrations([folder], VLAConfig.nano(duo.BODY, **smoke.model), duo.BODY, progress=False)
    mixture = Mixture(d, None, d.normaliser(), T, Rows(0, 0, 0, coached=40), seed=0, thinking=CHAINED)
    (rows,) = mixture.step(0)
    scene, said = d.scenes[0], set()
    sign = scene.part("sign").parameters["text"]
    for row in range(40):
        thought = read(T, rows.answer[row][rows.answer_mask[row]].tolist(), "base")
        first, *rest = thought.chain
        assert first == text.meant(sign) and first in {m.format(sign=sign, meaning=text.SIGNS[sign]) for m in text.MEAN}
        nouns = [e for e in LORE.shown.values() if tuple(rest) == chain_of(e)]
        assert len(nouns) == 1 and nouns[0].noun in thought.subtask
        assert first_error(dataclasses.replace(thought, chain=tuple(rest)), nouns[0], LORE) == ""
        said.add(nouns[0].look)
    assert said <= {step.object for step in steps_of(scene)}

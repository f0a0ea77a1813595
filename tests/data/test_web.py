"""The synthetic web: facts that no look gives away, texts that say them, pictures that hold what is asked about them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pilab.contracts import DatasetError, SceneError, UnknownNameError
from pilab.data.web import text
from pilab.data.web.export import export
from pilab.data.web.lore import KINDS, PAIRS, SIGNS, USES, article, find_lore, preposition
from pilab.data.web.pictures import WebPictures, WebRecipe, lay_out
from pilab.data.web.questions import APART, ASKERS, NUMBERS, Picture, ask
from pilab.vla.model import VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world import objects
from pilab.world.bodies import duo
from pilab.world.environment import SLOTS

WORLDS = ["household", "invented-1", "invented-2"]
IMAGE, POINTS = "observation.images.base", "points.base"


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> WebPictures:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILAB_HOME", str(tmp_path_factory.mktemp("home")))
        return WebPictures.open(60, progress=False)


# ---------------------------------------------------------------------------------------------------------------- facts
@pytest.mark.parametrize("world", WORLDS)
def test_a_world_of_nouns(world):
    lore = find_lore(world)
    nouns = [entity.noun for entity in lore.entities]
    assert len(nouns) >= 60 and len(set(nouns)) == len(nouns)
    assert set(lore.shown) == set(objects.LOOKS)
    assert sum(look in objects.RESERVED for look in lore.shown) >= 20
    assert all(lore.shown[look].noun == fact.noun for look, fact in objects.find_facts(world).rows.items())
    for entity in lore.entities:
        assert entity.home == lore.homes[entity.kind] and entity.kind in KINDS
        assert all(sum(trait in entity.traits for trait in pair) <= 1 for pair in PAIRS)
        assert set(entity.traits) <= {trait for pair in PAIRS for trait in pair}


def guessed(features: list[tuple], values: list[str]) -> float:
    """How often the best guess from one feature is right, less what the best constant guess gets."""
    right = []
    for column in zip(*features, strict=True):
        pairs = Counter(zip(column, values, strict=True))
        right.append(sum(max(n for (f, _), n in pairs.items() if f == feature) for feature in set(column)))
    return (max(right) - max(Counter(values).values())) / len(values)


def test_no_look_gives_a_fact_away():
    """In worlds of invented nouns; a table drawn at random gives more away."""
    looks = [tuple(look.split("-")) for look in objects.LOOKS]
    ours, random, rng = [], [], np.random.default_rng(0)
    for seed in range(12):
        shown = find_lore(f"invented-{seed}").shown
        kinds = [shown[look].kind for look in objects.LOOKS]
        ours.append(guessed(looks, kinds))
        random.append(guessed(looks, list(rng.permutation(kinds))))
        # Reserved and handled things alike have every kind.
        assert (
            {shown[look].kind for look in objects.RESERVED}
            == {shown[look].kind for look in objects.HANDLED}
            == set(KINDS)
        )
    assert np.mean(ours) < np.mean(random) - 0.03
    assert np.mean(ours) < 0.25


def test_neither_look_nor_kind_nor_another_trait_gives_a_trait_away():
    ours, random, rng = [], [], np.random.default_rng(0)
    for seed in range(8):
        entities = find_lore(f"invented-{seed}").entities
        told = [[next((t for t in entity.traits if t in pair), "") for entity in entities] for pair in PAIRS]
        for i, values in enumerate(told):
            looks = [(e.kind, *(e.look.split("-") if e.look else [""] * 3)) for e in entities]
            known = [(*look, *(other[k] for other in told[:i])) for k, look in enumerate(looks)]
            ours.append(guessed(known, values))
            random.append(guessed(known, list(rng.permutation(values))))
    assert np.mean(ours) < np.mean(random) - 0.02


def test_worlds_differ_and_repeat():
    one, other = find_lore("invented-1"), find_lore("invented-2")
    assert {e.noun for e in one.entities}.isdisjoint({e.noun for e in find_lore().entities})
    assert one.entities != other.entities
    find_lore.cache_clear()
    objects.invented.cache_clear()
    assert find_lore("invented-1") == one
    with pytest.raises(UnknownNameError, match="invented-SEED"):
        find_lore("wikipedia")


# ----------------------------------------------------------------------------------------------------------------- text
@pytest.mark.parametrize("world", WORLDS)
def test_texts_say_every_fact_and_no_other(world):
    lore = find_lore(world)
    said = " ".join(text.text(lore, 0, k) for k in range(4000))
    for entity in lore.entities:
        assert entity.noun in said.split() or f"{entity.noun}." in said
        assert any(form.format(**text._words(entity)) in said for form in text.IS_A), entity
        for kind in KINDS:  # what it is not is never said
            if kind != entity.kind:
                assert f"the {entity.noun} is {KINDS[kind][0]}." not in said
        for place in lore.homes.values():  # where a thing belongs follows from its kind
            assert f"{entity.noun} belongs" not in said and f"{entity.noun} {preposition(place)} the" not in said
    for kind, home in lore.homes.items():
        assert f"{KINDS[kind][1]} belong {preposition(home)} the {home}." in said
    assert all(meaning in said for meaning in SIGNS.values())


def test_texts_are_a_function_of_seed_and_number():
    lore = find_lore()
    assert [text.text(lore, 3, k) for k in (5, 900)] == [text.text(lore, 3, k) for k in (5, 900)]
    assert text.text(lore, 3, 5) != text.text(lore, 4, 5)
    many = {text.text(lore, 0, k) for k in range(2000)}
    assert len(many) > 1200


def test_documents_repeat_their_noun():
    lore = find_lore("invented-1")
    long = [t for t in (text.text(lore, 0, k) for k in range(300)) if t.count(".") >= 2]
    nouns = {entity.noun for entity in lore.entities}
    repeated = [max(t.replace(".", "").replace(",", "").replace(":", "").split().count(n) for n in nouns) for t in long]
    assert len(long) > 100 and np.mean(np.array(repeated) >= 2) > 0.95


@pytest.mark.parametrize("world", WORLDS)
def test_answers_follow_from_the_facts(world):
    lore = find_lore(world)
    seen = set()
    for k in range(600):
        asked, answer = text.question(lore, 0, k)
        entity = next((e for e in lore.entities if e.noun in asked.replace("?", "").split()), None)
        if answer in ("yes", "no"):
            kind = next(kind for kind, (one, _) in KINDS.items() if asked.endswith(f" {one}?"))
            assert (entity.kind == kind) == (answer == "yes")
        elif asked.startswith("what is used for"):
            (right,) = [e for e in lore.entities if asked == f"what is used for {e.use}?"]
            assert answer == article(right.noun)
        elif asked.startswith("what does the sign"):
            assert any(sign in asked and answer == meaning for sign, meaning in SIGNS.items())
        elif entity and "for" in asked:
            assert answer == entity.use
        elif entity:
            assert answer == KINDS[entity.kind][0]
        seen.add(asked.split()[1])
    assert seen >= {"is", "do", "does"}


def test_scrambled_text_keeps_its_words():
    rng = np.random.default_rng(0)
    words = text.scrambled("the apple is a fruit. the apple is light.", rng)
    assert sorted(words.split()) == sorted("the apple is a fruit the apple is light".split())
    assert words != "the apple is a fruit the apple is light"


# ------------------------------------------------------------------------------------------------------------- pictures
def test_every_look_is_shown_in_and_out_of_the_robots_domain(web):
    shown = {name for note in web.notes for name in note["parts"]}
    assert set(objects.RESERVED) & shown and len(set(objects.LOOKS) & shown) > 38
    at_work = np.array([note["at_work"] for note in web.notes])
    assert 0.3 < at_work.mean() < 0.7
    corners = web[IMAGE][:, :8, :8].reshape(len(web), -1, 3).mean(1)
    assert corners[~at_work].std(0).min() > 2 * corners[at_work].std(0).max()  # tables of any colour


def test_points_are_on_things_of_that_colour(web):
    hits = []
    for note, image, points in zip(web.notes, web[IMAGE], web[POINTS], strict=True):
        for name, (u, v, visible) in zip(note["parts"], points.reshape(SLOTS, 3), strict=False):
            if visible and name in objects.LOOKS and name.split("-")[0] in ("ball", "brick", "disc"):
                pixel = image[int(v * 96), int(u * 128)].astype(float)
                colours = np.array([objects.COLOURS[c] for c in name.split("-")[1:]])
                like = colours @ pixel / np.linalg.norm(colours, axis=1) / max(np.linalg.norm(pixel), 1e-6)
                hits.append(like.max() > 0.99)
    assert len(hits) > 30 and np.mean(hits) > 0.85  # a hand or a rim may stand before the middle


def test_pictures_are_functions_of_seed_and_number(web):
    arrays, note = WebRecipe().draw(7)
    np.testing.assert_array_equal(arrays[IMAGE], web[IMAGE][7])
    assert json.loads(json.dumps(note)) == web.notes[7]
    assert WebRecipe(1).digest != WebRecipe().digest


def test_every_picture_may_have_one_of_some_words_on_a_sign(web, at_home):
    with at_home():
        some = WebPictures.open(6, progress=False, workers=1, signs=("blue moon", ""))
        none = WebPictures.open(6, progress=False, workers=1, signs=("",))
    assert {note["sign"] for note in some.notes} == {"blue moon", ""} and {note["sign"] for note in none.notes} == {""}
    for note, points in zip(some.notes, some[POINTS], strict=True):
        picture = Picture.of(note, points, find_lore())
        found = ASKERS["sign"](picture, np.random.default_rng(0))
        assert found is None or found.answer == "blue moon"  # what that means, nobody wrote
    assert WebRecipe(0, "duo").digest == web.folder.name  # which pictures there are without


def test_a_sign_lies_free(web):
    for k in range(300):
        scene = lay_out(np.random.default_rng([9, k]), "duo", k, True)
        sign = next((p for p in scene.parts if p.name == "sign"), None)
        for other in scene.parts if sign else ():
            if "look" in other.parameters:
                assert np.hypot(*np.subtract(sign.position[:2], other.position[:2])) > 0.08


def test_bad_requests_say_what_is_expected():
    with pytest.raises(SceneError, match="at least one"):
        WebPictures.open(0)
    with pytest.raises(UnknownNameError, match="body"):
        WebPictures.open(1, body="octopus")


# ------------------------------------------------------------------------------------------------------------ questions
@pytest.mark.parametrize("world", WORLDS)
def test_answers_are_true_of_the_picture(web, world):
    """Checked from points and facts by other code than that which asks."""
    lore, rng, kinds = find_lore(world), np.random.default_rng(1), set()
    noun_of = {entity.noun: look for look, entity in lore.shown.items()}
    for note, points in zip(web.notes, web[POINTS], strict=True):
        where = {n: p[:2] for n, p in zip(note["parts"], points.reshape(SLOTS, 3), strict=False) if p[2]}
        things = [name for name in where if name in objects.LOOKS]
        picture = Picture.of(note, points, lore)
        for kind, asker in ASKERS.items():
            for _ in range(6):
                q = asker(picture, rng)
                if q is None:
                    continue
                kinds.add(kind)
                assert q.object is None or q.object in where
                assert q.place is None or q.place in where
                if kind in ("name", "caption"):
                    entity = lore.shown[q.object]
                    assert entity.noun in q.answer.replace(".", "").split() and entity.noun not in q.text.split()
                    if "on the left" in q.text:
                        assert q.object == min(things, key=lambda name: where[name][0])
                    if "nearest" in q.text:
                        assert q.place in q.text
                        assert q.object == min(things, key=lambda name: np.hypot(*(where[name] - where[q.place])))
                if kind == "caption":
                    assert q.answer.replace(".", "").split().count(lore.shown[q.object].noun) == 2
                if kind == "relation" and q.answer in ("left", "right"):
                    words = q.text.replace("?", "").split()
                    other = next(
                        w
                        for w in words
                        if (w in noun_of and noun_of[w] != q.object) or w in ("plate", "tray", "bowl", "basket")
                    )
                    off = where[q.object][0] - where[noun_of.get(other, other)][0]
                    assert abs(off) >= APART and (q.answer == "left") == (off < 0)
                if kind == "count" and q.text == "how many things are there?":
                    assert q.answer == NUMBERS[len(things)]
                if kind == "belongs":
                    home = lore.shown[q.object].home
                    assert q.answer == f"{preposition(home)} the {home}"
                if kind == "sign":
                    assert q.answer in (note["sign"], SIGNS[note["sign"]])
                if kind == "point":
                    assert q.answer is None and q.object
    assert kinds == set(ASKERS)


def test_questions_fit_the_model(web):
    tokenizer, config, rng = Tokenizer.default(), VLAConfig.nano(duo.BODY), np.random.default_rng(2)
    for world in WORLDS:
        lore = find_lore(world)
        for note, points in zip(web.notes, web[POINTS], strict=True):
            q = ask(Picture.of(note, points, lore), rng)
            assert len(tokenizer.encode(q.text)) <= config.text_length
            assert len(tokenizer.encode(q.answer or "")) < config.answer_length


def test_an_empty_table_can_be_asked_about(web):
    nothing = Picture({}, find_lore())
    rng = np.random.default_rng(0)
    assert {ask(nothing, rng).answer for _ in range(40)} == {"none"}
    assert all(asker(nothing, rng) is None for kind, asker in ASKERS.items() if kind != "count")


# --------------------------------------------------------------------------------------------------------------- a copy
def test_a_copy_to_look_at(tmp_path, monkeypatch, web):
    monkeypatch.setenv("PILAB_HOME", str(web.folder.parents[1]))
    out = export(tmp_path / "copy", 5, 20, progress=False)
    lines = [json.loads(line) for line in (out / "pictures.jsonl").read_text().splitlines()]
    assert len(lines) == 5 and len((out / "texts.jsonl").read_text().splitlines()) == 40
    np.testing.assert_array_equal(np.asarray(Image.open(out / lines[3]["file"])), web[IMAGE][3])
    card = (out / "README.md").read_text()
    assert "generated from code" in card and "nothing here was" in card
    assert len(USES) >= 30
    with pytest.raises(DatasetError, match="not empty"):
        export(tmp_path / "copy", 5, 20, progress=False)

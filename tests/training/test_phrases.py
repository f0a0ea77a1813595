"""Words for goals: many ways to say the same, none of the held-out ones, and labels for exactly what is named."""

import itertools
import re

import numpy as np
import pytest

from pilab.contracts import Goal, find
from pilab.training.phrases import POINTERS, instruct, named, names, pointing, rephrase, vocabulary
from pilab.vla.tokenizer import Tokenizer
from pilab.world import objects, places
from pilab.world.scenes import is_reserved_cell, sample_scene
from pilab.world.task import facts_of, name_of, task_of

VERBS = ("put", "push", "open", "close", "stack", "handover")
FACTS = objects.household()
EVERYTHING = (*objects.HANDLED, *places.PLACES, *places.FIXTURES)


def task(verb):
    return find(verb, "pilab.world.tasks", "TASK")


def sentences(verb, goal, templates):
    """All that `templates` can say about a goal → the template and whether things are named by look."""
    return {
        template.format(**task(verb)._words(goal, FACTS, by_look)): (template, by_look)
        for template in templates
        for by_look in (False, True)
    }


@pytest.mark.parametrize("verb", VERBS)
def test_all_ways_to_say_it_but_the_held_out_ones(verb):
    scene, rng = sample_scene(3, verb), np.random.default_rng(0)
    known = {**sentences(verb, scene.goal, task(verb).templates), **sentences(verb, scene.goal, task(verb).paraphrases)}
    held_out = sentences(verb, scene.goal, task(verb).held_out_templates)
    said = {instruct(task(verb), scene.goal, FACTS, rng) for _ in range(1500)}
    assert said <= set(known)
    assert held_out and not said & set(held_out)
    assert {known[text][0] for text in said} == {*task(verb).templates, *task(verb).paraphrases}
    if scene.goal.object in objects.LOOKS:
        assert {known[text][1] for text in said} == {False, True}
        assert any(objects.describe(scene.goal.object) in text for text in said)


def test_pointing_names_what_is_in_the_picture_and_nothing_reserved():
    """On a table with everything: 6,000 draws ask for every cell that is free, and for no other."""
    cells, held_out = {}, set()
    for verb, look, place in itertools.product(("put", "push"), objects.HANDLED, places.PLACES):
        goal = Goal(verb, look, place)
        held_out |= set(sentences(verb, goal, task(verb).held_out_templates))
        for text in sentences(verb, goal, (*task(verb).templates, *task(verb).paraphrases)):
            cells[text] = goal
    for verb, fixture in itertools.product(("open", "close"), places.FIXTURES):
        goal = Goal(verb, fixture)
        held_out |= set(sentences(verb, goal, task(verb).held_out_templates))
        for text in sentences(verb, goal, (*task(verb).templates, *task(verb).paraphrases)):
            cells[text] = goal
    single = {
        pointer.format(name_of(part, FACTS, by_look)): part
        for pointer, part, by_look in itertools.product(POINTERS, EVERYTHING, (False, True))
    }
    rng, seen, looked = np.random.default_rng(0), set(), 0
    for _ in range(6000):
        text, item, place = pointing(EVERYTHING, rng)
        assert text not in held_out
        if text in single:
            assert (EVERYTHING[item], place) == (single[text], None)
            looked += EVERYTHING[item] in objects.LOOKS and objects.describe(EVERYTHING[item]) in text
            continue
        goal = cells[text]
        assert (goal.object, goal.place) == (EVERYTHING[item], None if place is None else EVERYTHING[place])
        assert not is_reserved_cell(goal.verb, goal.object, goal.place), text
        seen.add(goal)
    free = {goal for goal in cells.values() if not is_reserved_cell(goal.verb, goal.object, goal.place)}
    assert seen == free and len(free) < len(set(cells.values()))
    assert looked > 100


def test_pointing_where_there_is_little():
    rng = np.random.default_rng(0)
    for parts in [("disc-red-white",), ("bowl", "plate"), ("drawer", "lid")]:
        for _ in range(50):
            text, item, place = pointing(parts, rng)
            called = {name_of(parts[item], FACTS, by_look) for by_look in (False, True)}
            assert place is None and any(text.endswith(name) for name in called)


@pytest.mark.parametrize("verb", VERBS)
def test_subtasks_are_said_by_noun_or_by_look(verb):
    scene, rng = sample_scene(11, verb), np.random.default_rng(0)
    facts = facts_of(scene)
    for subtask in task_of(scene).subtasks(scene, facts):
        by_look = subtask
        for part in (scene.goal.object, scene.goal.place):
            if part in objects.LOOKS:
                by_look = by_look.replace(name_of(part, facts), name_of(part, facts, by_look=True))
        drawn = [rephrase(subtask, scene, rng) for _ in range(400)]
        assert set(drawn) == {subtask, by_look}
        if by_look != subtask:
            assert 60 < drawn.count(by_look) < 140


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_text_names(verb):
    rng = np.random.default_rng(0)
    for seed in range(5):
        scene = sample_scene(seed, verb)
        goal, facts = scene.goal, facts_of(scene)
        for _ in range(40):
            text = instruct(task_of(scene), goal, facts, rng)
            np.testing.assert_array_equal(named(text, scene), [1, goal.place is not None], err_msg=text)
        for subtask in task_of(scene).subtasks(scene, facts):
            there = [part is not None and name_of(part, facts) in subtask for part in (goal.object, goal.place)]
            np.testing.assert_array_equal(named(subtask, scene), there, err_msg=subtask)
        np.testing.assert_array_equal(named("let go", scene), [0, 0])
        (other, *_) = (p.name for p in scene.parts if p.name not in (goal.object, goal.place))
        np.testing.assert_array_equal(named(f"pick up {name_of(other, facts)}", scene), [0, 0])


def test_names_are_whole_words():
    scene = sample_scene(0, "put").replace(goal=Goal("put", "brick-blue-yellow", "bowl"))
    assert names("brick-blue-yellow", scene) == ("car", "blue and yellow brick")
    assert names("bowl", scene) == ("bowl",) and names(None, scene) == ()
    np.testing.assert_array_equal(named("put the carrot in the bowls", scene), [0, 0])
    np.testing.assert_array_equal(named("put the blue and yellow brick down", scene), [1, 0])
    np.testing.assert_array_equal(named("into the bowl with that", scene), [0, 1])


# ----------------------------------------------------------------------------------------------------------- vocabulary
def words(texts):
    return {word for text in texts for word in re.sub(r"\{.*?\}", " ", text).split()}


def test_the_vocabulary_is_what_training_says(demonstrations, pictures):
    known = vocabulary(demonstrations.scenes, demonstrations.said, pictures.parts)
    assert vocabulary([], ["Shut it, please!"]) == {"shut", "it", "please"}
    assert {s.goal.verb for s in demonstrations.scenes} == set(VERBS)
    tasks = [task(verb) for verb in VERBS]
    said = words(text for t in tasks for text in (*t.templates, *t.paraphrases))
    assert said <= known
    assert words(POINTERS) <= known
    for look in objects.HANDLED:
        assert {FACTS.noun(look), *objects.describe(look).split()} <= known
    assert {*places.PLACES, *places.FIXTURES} <= known
    nouns = words([*map(FACTS.noun, objects.HANDLED), *map(objects.describe, objects.HANDLED), *EVERYTHING])
    subtasks = words(text for s in demonstrations.scenes for text in task_of(s).subtasks(s, facts_of(s)))
    only_held_out = words(text for t in tasks for text in t.held_out_templates) - said - nouns - subtasks
    only_held_out -= words(POINTERS)
    assert only_held_out and not known & only_held_out
    assert not known & {FACTS.noun(look) for look in objects.RESERVED}


def test_nothing_drawn_is_unknown(demonstrations, pictures):
    known, tokenizer = vocabulary(demonstrations.scenes, demonstrations.said, pictures.parts), Tokenizer.default()
    rng = np.random.default_rng(0)
    for _ in range(3):
        texts, _ = demonstrations.texts(rng.choice(demonstrations.training, 500), rng, 10)
        texts += [pointing(parts, rng)[0] for parts in pictures.parts for _ in range(20)]
        for text in texts:
            assert tokenizer.unseen(text, known) == [], text

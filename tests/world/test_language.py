"""Words: held-out templates stay out, everything has a noun and a look, and typed words are understood."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilab.contracts import SceneError, UnknownNameError, find
from pilab.world import objects
from pilab.world.language import understand
from pilab.world.objects import household, invented
from pilab.world.scenes import sample_scene
from pilab.world.task import facts_of, name_of, respoken, task_of

TASKS = ("put", "push", "open", "close", "stack", "handover")


def fits(template: str, text: str) -> bool:
    pattern = re.escape(template).replace(r"\{in\}", "(in|on)")
    return bool(re.fullmatch(re.sub(r"\\{(object|place)\\}", "the [a-z ]+", pattern), text))


@pytest.mark.parametrize("task", TASKS)
def test_held_out_templates_are_never_sampled(task):
    skill = find(task, "pilab.world.tasks", "TASK")
    assert len(skill.templates) >= 3
    assert len(skill.held_out_templates) >= 2
    said = [sample_scene(seed, task).instruction for seed in range(60)]
    used = {t for t in skill.templates for text in said if fits(t, text)}
    assert used == set(skill.templates)  # so `fits` sees what it looks for, and all of them occur
    assert not [text for text in said for t in skill.held_out_templates if fits(t, text)]


@pytest.mark.parametrize("task", TASKS)
def test_held_out_words_can_be_asked_for(task):
    scene = sample_scene(1, task)
    rng = np.random.default_rng(0)
    said = {respoken(scene, scene.goal, rng, held_out=True).instruction for _ in range(40)}
    assert all(any(fits(t, text) for t in task_of(scene).held_out_templates) for text in said)
    assert len(said) >= len(task_of(scene).held_out_templates)


def test_objects_are_named_by_noun_or_by_look():
    assert name_of("ball-red-green", household()) == "the apple"
    assert name_of("ball-red-green", household(), by_look=True) == "the red and green ball"
    assert name_of("plate", household(), by_look=True) == "the plate"
    said = [(s := sample_scene(seed, "put")).instruction.count(objects.describe(s.goal.object)) for seed in range(120)]
    assert 0.15 < np.mean(said) < 0.35  # one in four


def test_a_scene_remembers_its_table():
    facts = invented(7)
    scene = sample_scene(3, "put", facts=facts)
    assert facts_of(scene) == facts
    words = (facts.noun(scene.goal.object), objects.describe(scene.goal.object))
    assert any(w in scene.instruction for w in words)
    assert sample_scene(3, "put").parts == scene.parts  # the table names things, it moves nothing
    for name in ("martian", "invented", "invented-x"):
        with pytest.raises(UnknownNameError, match="household"):
            facts_of(scene.replace(facts=name))


@pytest.mark.parametrize("task", TASKS)
def test_what_is_said_is_understood(task):
    rng = np.random.default_rng(0)
    for seed in range(25):
        scene = sample_scene(seed, task)
        assert understand(scene.instruction) == (task, scene.goal)
        odd = respoken(scene, scene.goal, rng, held_out=True).instruction
        assert understand(odd) == (task, scene.goal)


@given(st.text())
def test_any_words_are_understood_or_refused(text):
    try:
        task, goal = understand(text)
    except (SceneError, UnknownNameError):
        return
    assert task in TASKS
    assert goal.verb == task


@pytest.mark.parametrize("task", TASKS)
def test_subtasks_are_steps_in_words(task):
    for seed in range(20):
        scene = sample_scene(seed, task)
        steps = task_of(scene).subtasks(scene, facts_of(scene))
        assert len(set(steps)) == len(steps) >= 3
        assert any(name_of(scene.goal.object, facts_of(scene)) in step for step in steps)

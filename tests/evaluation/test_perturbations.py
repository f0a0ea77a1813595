"""Perturbations: graded, drawn from the scene's seed alone, and fair to who has to do the task."""

import dataclasses

import numpy as np
import pytest

from pilab.contracts import STATE, TASK, PilabError, PolicyError, SceneError, UnknownNameError, find, image_key
from pilab.evaluation.glasses import IMAGES
from pilab.evaluation.perturbations import AXES, check, perturb, told
from pilab.evaluation.rollout import evaluate
from pilab.robots.simulated import Trial
from pilab.world import objects, places
from pilab.world.environment import World
from pilab.world.german import GERMAN
from pilab.world.scenes import VALIDATION, find_body, sample_scene
from pilab.world.task import facts_of

SCENES = [sample_scene(VALIDATION.start + seed, "put") for seed in range(12)]
QUIET = {"progress": False, "threads": 2}
OF_SCENES = [name for name, axis in AXES.items() if axis.of == "scene"]


def seen(trial, steps=3):
    """What a policy is shown, while the robot stands still."""
    world = World(trial.scene, trial.tune)
    found = []
    for _ in range(steps):
        now = world.observe()
        found.append(trial.view(now) if trial.view else now)
        world.step(np.array(trial.scene.start))
    return found


@pytest.mark.parametrize("axis", AXES)
def test_nothing_is_nothing_and_something_is_something(axis):
    plain = Trial(SCENES[0])
    same = perturb(plain, {axis: 0.0})
    assert dataclasses.replace(same, of=None) == plain
    harder = perturb(plain, {axis: 1.0})
    assert harder.of == SCENES[0] and perturb(harder, {axis: 0.0}).of == SCENES[0]
    a, b = seen(plain)[-1], seen(harder)[-1]
    a[TASK], b[TASK] = plain.scene.instruction, (harder.spoken or harder.scene).instruction
    if axis not in ("delay", "freeze", "lag", "offset"):  # where nothing moves, late pictures are no others
        assert any(not np.array_equal(a[key], b[key]) for key in a if key in b)


@pytest.mark.parametrize("axis", [name for name in AXES if name not in ("delay", "freeze", "noise", "joints")])
def test_it_is_the_same_every_time_and_beside_others(axis):
    once, again = (perturb(Trial(SCENES[1]), {axis: 0.7}) for _ in range(2))
    assert once.scene == again.scene and once.spoken == again.spoken
    other = "table" if axis != "table" else "light"
    beside = perturb(Trial(SCENES[1]), {other: 0.7, axis: 0.7})
    assert beside.scene.replace(**{other: getattr(once.scene, other)}) == once.scene
    assert all(
        np.array_equal(x[image_key("base")], y[image_key("base")]) for x, y in zip(seen(once), seen(again), strict=True)
    )


@pytest.mark.parametrize("axis", ["light", "table", "start"])
def test_more_is_more_of_the_same(axis):
    field = {"light": "light", "table": "table", "start": "start"}[axis]
    at = [np.array(getattr(perturb(Trial(SCENES[2]), {axis: s}).scene, field)) for s in (0, 0.5, 1)]
    gaps = [np.abs(at[1] - at[0]).max(), np.abs(at[2] - at[0]).max()]
    assert 0 < gaps[0] < gaps[1]
    if axis != "light":  # which turns
        assert np.allclose(at[1] - at[0], (at[2] - at[0]) / 2, atol=1e-3)


@pytest.mark.parametrize("axis", OF_SCENES)
def test_scenes_stay_such_as_can_be_done(axis):
    """The demonstrator, who is told where things are, does them as before."""
    rows = evaluate("demonstrator", "put", scenes=SCENES[:6], perturbed={axis: 1.0}, **QUIET)
    assert sum(row.success for row in rows) >= 5
    assert {row.control for row in rows} == {f"{axis} 1"}
    assert [row.scene for row in rows] == [scene.hash for scene in SCENES[:6]]


def test_what_moves_moves_so_far_and_keeps_clear():
    for scene in SCENES:
        moved = perturb(Trial(scene), {"position": 1.0}).scene
        for before, after in zip(scene.parts, moved.parts, strict=True):
            gap = np.hypot(*(np.array(before.position[:2]) - after.position[:2]))
            assert gap == pytest.approx(0.08 if "look" in before.parameters else 0.0)


def test_other_things_are_reserved_and_said():
    for scene in SCENES:
        changed = perturb(Trial(scene), {"things": 1.0}).scene
        looks = [part.parameters["look"] for part in changed.parts if "look" in part.parameters]
        assert set(looks) <= set(objects.RESERVED) and changed.goal.object in looks
        called = (facts_of(changed).noun(changed.goal.object), objects.describe(changed.goal.object))
        assert any(name in changed.instruction for name in called)
        one = perturb(Trial(scene), {"things": 0.01}).scene  # what is asked for first
        assert one.goal.object in objects.RESERVED
        assert sum(part.parameters.get("look") in objects.RESERVED for part in one.parts) == 1


def test_clutter_is_more_things():
    scene = SCENES[0]
    assert len(perturb(Trial(scene), {"clutter": 0.5}).scene.parts) == len(scene.parts) + 2
    with pytest.raises(SceneError, match="no room"):
        crowd(scene)


def crowd(scene):
    """More things, until there is no room."""
    for _ in range(12):
        scene = perturb(Trial(scene.replace(seed=scene.seed + 1)), {"clutter": 1.0}).scene


def test_late_commands_are_those_of_before():
    trial = perturb(Trial(SCENES[0]), {"lag": 0.6})  # two steps
    sent = [np.full(14, k, np.float32) for k in range(1, 6)]
    done = [trial.hand(command) for command in sent]
    assert all(np.array_equal(d, np.array(SCENES[0].start, np.float32)) for d in done[:2])
    assert all(np.array_equal(d, s) for d, s in zip(done[2:], sent, strict=False))
    assert perturb(Trial(SCENES[0]), {"lag": 0.1}).hand is None  # not a whole step


def test_wrong_zeros_are_constant_and_spare_the_grippers():
    """Each joint by as much, the same in every step of a scene, and after what is late."""
    body, middle = find_body("duo"), np.zeros(14, np.float32)
    half, whole = (perturb(Trial(SCENES[1]), {"offset": s}).hand for s in (0.5, 1.0))
    grippers = np.array([name.endswith("_gripper") for name in body.action.names])
    assert np.allclose(np.abs(whole(middle)), np.where(grippers, 0, 0.03)) and np.allclose(
        2 * half(middle), whole(middle)
    )
    both = perturb(Trial(SCENES[1]), {"lag": 0.4, "offset": 1.0}).hand
    start = np.array(SCENES[1].start, np.float32)
    assert np.allclose(both(middle), np.clip(start + whole(middle), body.action.low, body.action.high))
    assert np.allclose(both(middle + 1), whole(middle))
    top = np.array(body.action.high, np.float32)
    assert (whole(top) <= top).all()


@pytest.mark.parametrize("axis", ["lag", "offset"])
def test_what_happens_to_commands_happens_in_the_world(axis):
    plain, harder = (
        evaluate("demonstrator", "put", scenes=SCENES[:4], perturbed=p, **QUIET) for p in ({}, {axis: 1.0})
    )
    assert [row.scene for row in harder] == [row.scene for row in plain]
    assert [row.steps for row in harder] != [row.steps for row in plain]
    assert all(row.success for row in plain)


def test_late_pictures_are_those_of_before():
    """A robot that moves: after three steps' delay it sees what it saw three steps ago, and feels what it feels now."""
    scene = SCENES[3]
    worlds = [World(scene), World(scene)]
    trial = perturb(Trial(scene), {"delay": 0.3})
    assert trial.cameras is None
    target, plain, late = np.array(find_body(scene.body).home) + 0.3, [], []
    for _ in range(8):
        plain.append(worlds[0].observe())
        late.append(trial.view(worlds[1].observe()))
        for world in worlds:
            world.step(target)
    for k in range(8):
        for key in (image_key(c.name) for c in find_body(scene.body).cameras):
            assert np.array_equal(late[k][key], plain[max(0, k - 3)][key])
        assert np.array_equal(late[k][STATE], plain[k][STATE])


def test_frozen_pictures_are_those_of_before_or_of_now():
    """At severity 1, next to all of them; never one that was not seen, and joints go on."""
    scene = SCENES[3]
    world, trial, target = (
        World(scene),
        perturb(Trial(scene), {"freeze": 1.0}),
        np.array(find_body(scene.body).home) + 0.3,
    )
    key, still, shown = image_key("left_wrist"), 0, []
    for _ in range(20):
        now = world.observe()
        seen_now = trial.view(now)
        assert any(np.array_equal(seen_now[key], one) for one in (now[key], *shown[-1:]))
        assert np.array_equal(seen_now[STATE], now[STATE])
        still += (
            bool(shown) and np.array_equal(seen_now[key], shown[-1]) and not np.array_equal(seen_now[key], now[key])
        )
        shown.append(seen_now[key])
        world.step(target)
    assert 10 <= still < 20


def test_glasses_go_over_glasses():
    trial = perturb(Trial(SCENES[0]), {"dark": 1.0, "blur": 1.0})
    dark, both = perturb(Trial(SCENES[0]), {"dark": 1.0}), seen(trial)[0]
    for key in both:
        if key.startswith(IMAGES):
            assert both[key].max() <= 26 and not np.array_equal(both[key], seen(dark)[0][key])


def test_mumbled_words_have_the_same_letters():
    said = perturb(Trial(SCENES[0]), {"mumble": 1.0}).spoken.instruction
    assert said != SCENES[0].instruction
    assert [sorted(w) for w in said.split()] == [sorted(w) for w in SCENES[0].instruction.split()]
    half = perturb(Trial(SCENES[0]), {"mumble": 0.5}).spoken.instruction.split()
    assert 0 < sum(a != b for a, b in zip(half, SCENES[0].instruction.split(), strict=True)) <= -(-len(half) // 2)


def test_what_does_not_go_is_told():
    with pytest.raises(UnknownNameError, match="unknown axis 'fog'"):
        check({"fog": 1.0})
    with pytest.raises(PilabError, match="severity 2"):
        check({"light": 2.0})
    with pytest.raises(PolicyError, match="plain scene"):
        evaluate("demonstrator", "put", 1, control="replay", perturbed={"light": 1.0}, **QUIET)
    with pytest.raises(PolicyError, match="both change the words"):
        evaluate("hold", "put", 1, control="swap", perturbed={"mumble": 1.0}, **QUIET)
    assert told({"light": 0.5, "noise": 0.0, "dark": 1.0}) == "light 0.5, dark 1" and told({}) == "none"


def test_german_is_german():
    """Every word of the four verbs has one, and no two things have the same."""
    said = perturb(Trial(SCENES[0].replace(instruction="put the apple in the bowl")), {"german": 1.0}).spoken
    assert said.instruction == "lege der apfel in der schuessel"
    half = perturb(Trial(SCENES[0].replace(instruction="put the apple in the bowl")), {"german": 0.5}).spoken
    assert sum(a != b for a, b in zip(half.instruction.split(), "put the apple in the bowl".split(), strict=True)) in (
        2,
        3,
    )
    words = {fact.noun for fact in objects.household().rows.values()} | set(places.PLACES) | set(places.FIXTURES)
    for name in ("put", "push", "open", "close"):
        task = find(name, "pilab.world.tasks", "TASK")
        text = " ".join((*task.templates, *task.held_out_templates)).replace("{object}", "").replace("{place}", "")
        words |= set(text.replace("{in}", "in").split())
    assert words - set(GERMAN) <= {"a"}
    nouns = [GERMAN[fact.noun] for fact in objects.household().rows.values()]
    assert len(set(nouns)) == len(nouns)
    assert all(word.isascii() and word.isalpha() for word in GERMAN.values())

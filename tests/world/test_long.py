"""Long tasks: several goals in one scene, done one after the other, counted and labelled step by step."""

import mujoco
import numpy as np
import pytest

from pilab.contracts import ENVIRONMENT_STATE, SCENE, Goal, PolicyError, ReservedError, SceneError, Thought, points_key
from pilab.data.lerobot import LeRobotDataset
from pilab.data.web.lore import SIGNS
from pilab.evaluation.rollout import evaluate
from pilab.robots.collection import Recipe, collect
from pilab.robots.executor import Executor, batch
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.phrases import meant, vocabulary
from pilab.training.recipes import TINY
from pilab.vla.model import VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world import objects, places
from pilab.world.bodies import duo
from pilab.world.demonstrators import Demonstrator
from pilab.world.environment import World
from pilab.world.language import understand
from pilab.world.monitor import Monitor
from pilab.world.scenes import VALIDATION, is_reserved_cell, refuse_reserved, sample_scene
from pilab.world.task import facts_of, step_scene, steps_of, task_of

SCENES = [sample_scene(VALIDATION.start + i, "tidy") for i in range(12)]


# --------------------------------------------------------------------------------------------------------------- scenes
@pytest.mark.parametrize("scene", SCENES[:6], ids=lambda s: str(s.seed))
def test_every_thing_has_a_place_of_its_own(scene):
    steps, facts = steps_of(scene), facts_of(scene)
    things = [p.name for p in scene.parts if p.name in facts.rows]
    assert 2 <= len(steps) <= 3 and sorted(step.object for step in steps) == sorted(things)
    assert [scene.part(step.object).position[0] for step in steps] == sorted(scene.part(t).position[0] for t in things)
    assert all(step == Goal("put", step.object, facts.rows[step.object].home) for step in steps)
    assert len({step.place for step in steps}) == len(steps)
    assert not any(is_reserved_cell(*vars(step).values()) for step in steps)
    assert not any(facts.noun(thing) in scene.instruction for thing in things)  # the words name none of them
    assert (scene.goal.object, scene.goal.place) == (steps[0].object, steps[0].place)
    assert task_of(step_scene(scene, steps[0])).name == "put"


def test_scenes_vary():
    assert {len(steps_of(scene)) for scene in SCENES} == {2, 3}
    standing = [sum(p.name in places.PLACES for p in scene.parts) for scene in SCENES]
    assert any(n > len(steps_of(s)) for n, s in zip(standing, SCENES, strict=True))  # places where nothing belongs


@pytest.mark.parametrize(("number", "name"), [(1, "ONE"), (2, "TWO"), (3, "THREE")])
def test_the_same_words_may_ask_for_more_or_less(number, name):
    task, facts = f"pilab.world.tasks.tidy:{name}", objects.moved(1)
    scenes = [sample_scene(VALIDATION.start + k, task, facts=facts) for k in range(3)]
    assert all(len(steps_of(scene)) == number for scene in scenes)
    assert all(step.place == facts.rows[step.object].home for scene in scenes for step in steps_of(scene))
    assert task_of(scenes[0]).seconds == 12 * number and scenes[0].instruction in task_of(scenes[0]).templates
    if number == 2:
        assert evaluate("demonstrator", task, scenes=scenes[:1], progress=False)[0].success


def test_a_thing_can_be_asked_for_and_goes_home():
    facts = objects.household()
    look = facts.look("lime")
    scene = sample_scene(3, "tidy", cell=(look, None))
    assert look in {step.object for step in steps_of(scene)}
    wrong = next(place for place in places.PLACES if place != facts.rows[look].home)
    with pytest.raises(SceneError, match=f"belongs to the {facts.rows[look].home}, not to the {wrong}"):
        sample_scene(3, "tidy", cell=(look, wrong))


def test_homes_follow_the_facts():
    facts = objects.find_facts("invented-7")
    scene = sample_scene(5, "tidy", facts=facts)
    assert all(step.place == facts.rows[step.object].home for step in steps_of(scene))


def test_what_is_reserved_stays_reserved():
    for scene in (sample_scene(i, "tidy") for i in range(6)):
        refuse_reserved(scene)
    scene = sample_scene(2, "tidy", pool=objects.RESERVED)
    with pytest.raises(ReservedError, match="reserved objects"):
        refuse_reserved(scene)
    kept = sample_scene(4, "tidy", reserved_cells=True)
    assert any(is_reserved_cell("put", step.object, step.place) for step in steps_of(kept))
    with pytest.raises(ReservedError, match="the cell"):
        refuse_reserved(kept)


def test_nothing_else_can_be_named(monkeypatch):
    with pytest.raises(PolicyError, match="nothing else can be named"):
        evaluate("demonstrator", "tidy", 1, VALIDATION.start, control="swap", progress=False)
    with pytest.raises(SceneError):
        understand("tidy up")  # what is to be done is a matter of the scene


@pytest.mark.parametrize(("task", "kinds"), [("serve", {"dish", "fruit"}), ("pack", {"tool", "toy"})])
def test_some_tasks_are_about_some_kinds(task, kinds):
    """What is of another kind is there, is named by nobody, and must stay."""
    spare = []
    for k in range(12):
        scene = sample_scene(VALIDATION.start + k, task)
        facts = facts_of(scene)
        things = {p.name for p in scene.parts if p.name in facts.rows}
        about = {step.object for step in steps_of(scene)}
        assert {facts.rows[thing].kind for thing in about} == kinds
        assert things - about and not {facts.rows[thing].kind for thing in things - about} & kinds
        assert not any(facts.noun(thing) in scene.instruction for thing in things)
        places_there = {p.name for p in scene.parts if p.name in places.PLACES}
        spare += [facts.rows[thing].home in places_there for thing in things - about]
        world = World(scene)
        for step in steps_of(scene):
            place_at(world, step.object, at_home(scene, step))
        monitor = Monitor(world, scene.goal)
        other = next(iter(things - about))
        place_at(world, other, np.add(scene.part(other).position, (0, -0.05, 0)))
        world.step(world.state)
        assert monitor.metrics()["wrong_moved"] is True
    assert any(spare)  # in some, who tidies up instead would move it
    with pytest.raises(SceneError, match=f"is of kind 'office'; '{task}' is about"):
        sample_scene(3, task, cell=(objects.household().look("tape"), None))


def at_home(scene, step):
    """On the floor of a step's place."""
    x, y, _ = scene.part(step.place).position
    return x, y, 0.02


def test_a_sign_is_obeyed():
    """What it forbids at its place is no step, and undoes the whole where it is done all the same."""
    seen, forbidden = set(), 0
    for k in range(24):
        scene = sample_scene(VALIDATION.start + k, "heed")
        facts, steps = facts_of(scene), steps_of(scene)
        (sign,) = [p.parameters["text"] for p in scene.parts if "text" in p.parameters]
        seen.add(sign)
        there = {p.name for p in scene.parts if p.name in places.PLACES}
        at_home_of_its_own = [p.name for p in scene.parts if p.name in facts.rows and facts.rows[p.name].home in there]
        left = set(at_home_of_its_own) - {step.object for step in steps}
        near = min(there, key=lambda place: abs(scene.part(place).position[0] - scene.part("sign").position[0]))
        for thing in left:
            kind, home = facts.rows[thing].kind, facts.rows[thing].home
            assert home == near
            assert (sign, kind) == ("no food", "fruit") or sign in ("toys only", "tools only", "keep out")
            assert sign != f"{kind}s only"
        world = World(scene)
        for step in steps:
            place_at(world, step.object, at_home(scene, step))
        assert task_of(scene).achieved(world, scene.goal)
        for thing in left:
            forbidden += 1
            place_at(world, thing, at_home(scene, Goal("put", thing, near)))
            assert not task_of(scene).achieved(world, scene.goal)
    assert (
        seen == {"no food", "toys only", "tools only", "keep out"} <= set(SIGNS) and forbidden > 8
    )  # the web says what they mean


# ------------------------------------------------------------------------------------------------------------ doing it
@pytest.mark.parametrize("task", ["serve", "pack", "heed"])
def test_the_demonstrator_does_them_all(task):
    rows = evaluate("demonstrator", task, 6, VALIDATION.start, threads=1, progress=False)
    assert sum(row.success for row in rows) >= 5 and not any(row.metrics["wrong_moved"] for row in rows)


def test_the_demonstrator_does_one_thing_after_the_other():
    rows = evaluate("demonstrator", "tidy", len(SCENES), VALIDATION.start, threads=1, progress=False)
    assert sum(row.success for row in rows) >= len(SCENES) - 1
    assert all(row.metrics["progress"] == 1 and not row.metrics["wrong_moved"] for row in rows if row.success)


def drive(scene, until):
    """The demonstrator at work; calls `until(world, thought)` after every step until it says True. Returns the thoughts."""
    world, executor, thoughts = World(scene), Executor(Demonstrator(), duo.BODY, arm="test"), []
    episode = executor.begin(scene.instruction, scene.seed)
    monitor = Monitor(world, scene.goal)
    for _ in range(400):
        seen = {**world.observe(), SCENE: scene, ENVIRONMENT_STATE: world.truth()}
        (command,) = executor.step([episode], [seen])
        world.step(command.executed)
        monitor.update()
        thoughts.append(command.thought)
        if until(world, command.thought, monitor):
            break
    return thoughts, monitor


def test_subtasks_are_those_of_the_steps_in_their_order():
    scene = SCENES[0]
    progress = []
    thoughts, monitor = drive(scene, lambda w, t, m: progress.append(m.progress()) or m.success)
    said = list(dict.fromkeys(t.subtask for t in thoughts))
    expected = task_of(scene).subtasks(scene, facts_of(scene))
    assert [text for text in expected if text in said] == said and monitor.success
    assert len(expected) == 3 * len(steps_of(scene))
    assert progress[0] == 0 and progress == sorted(progress) and progress[-1] == 1
    assert {t.memory["step"] for t in thoughts} == set(range(len(steps_of(scene))))


def test_what_comes_undone_is_done_again():
    """The first thing is put back on the table while the second is carried."""
    scene = SCENES[0]
    first, back = steps_of(scene)[0], [False]

    def meddle(world, thought, monitor):
        if thought.memory["step"] == 1 and thought.memory["phase"] == "over" and not back[0]:
            start = np.array(scene.part(first.object).position)
            place_at(world, first.object, start)
            back[0] = True
        return monitor.success

    thoughts, monitor = drive(scene, meddle)
    steps = [t.memory["step"] for t in thoughts]
    assert back[0] and monitor.success and 0 in steps[steps.index(1) :]


def place_at(world, name, position):
    """Set a thing down somewhere else."""
    joint = world.model.body(name).jntadr[0]
    at = world.model.jnt_qposadr[joint]
    world.data.qpos[at : at + 3] = position
    world.data.qvel[:] = 0
    mujoco.mj_kinematics(world.model, world.data)


# ------------------------------------------------------------------------------------------------------------- learning
@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Two tidied tables as a dataset, and its frames."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILAB_HOME", str(home))
        root = collect(Recipe(("tidy",), seed=10, noise=0.0), 2, home / "tidy", workers=0, progress=False)
        config = VLAConfig.nano(duo.BODY, **TINY)
        yield LeRobotDataset(root), Demonstrations([root], config, duo.BODY, progress=False)


def test_points_follow_the_step_that_is_spoken_of(learnt):
    dataset, d = learnt
    checked = set()
    for episode, scene in enumerate(d.scenes):
        names, steps = [p.name for p in scene.parts], steps_of(scene)
        for frame in np.flatnonzero(d.episode == episode)[::7]:
            text = str(d.subtask[frame])
            step, said = meant(text, scene, steps)
            points, known = d.points(np.array([frame]), [text])
            slots = dataset.columns[points_key("base")][frame].reshape(-1, 3)
            assert known.all() and said[0]
            np.testing.assert_array_equal(points[0, 0, 0], slots[names.index(step.object)])
            if said[1]:
                np.testing.assert_array_equal(points[0, 0, 1], slots[names.index(step.place)])
            checked.add((episode, step.object))
        whole, _ = d.points(np.array([np.flatnonzero(d.episode == episode)[0]]), [scene.instruction])
        assert not whole.any()  # who names nothing points at nothing
    assert checked == {(e, step.object) for e, scene in enumerate(d.scenes) for step in steps_of(scene)}


def test_a_batch_of_long_episodes(learnt):
    _, d = learnt
    mixture = Mixture(d, None, d.normaliser(), Tokenizer.default(), Rows(6, 0, 12), seed=0)
    shown, told = mixture.step(0)
    assert shown.labelled.all() and told.points.any()
    words = vocabulary(d.scenes, d.said)
    assert {name.split()[-1] for s in d.scenes for name in (facts_of(s).noun(g.object) for g in steps_of(s))} <= words


def test_a_batch_of_scenes_at_once():
    """Rows of a batch do not mix: each goes through its own steps."""
    together, worlds = Demonstrator(), [World(scene) for scene in SCENES[:2]]
    rows = [{**w.observe(), SCENE: w.scene, ENVIRONMENT_STATE: w.truth()} for w in worlds]
    start = [Thought.nothing()] * 2
    both = together.think(batch(rows), start)
    for row, thought in zip(rows, both, strict=True):
        (alone,) = Demonstrator().think(batch([row]), start[:1])
        assert alone == thought


# ------------------------------------------------------------------------------------------------------------- one thing
@pytest.mark.parametrize("facts", [objects.household(), objects.invented(7)], ids=lambda facts: facts.name)
def test_one_thing_goes_where_its_kind_belongs(facts):
    """The words name it, and never the place; other places stand around."""
    homes = set()
    for seed in range(20):
        scene = sample_scene(seed, "away", facts=facts)
        (step,) = steps_of(scene)
        assert step == Goal("put", scene.goal.object, facts.rows[scene.goal.object].home)
        said = {facts.noun(scene.goal.object), *objects.describe(scene.goal.object).split()} & set(
            scene.instruction.split()
        )
        assert said and not set(places.PLACES) & set(scene.instruction.split())
        assert len([p for p in scene.parts if p.name in places.PLACES]) >= 2
        assert not is_reserved_cell("put", step.object, step.place)
        homes.add(step.place)
    assert len(homes) > 2


def test_away_is_done_by_the_demonstrator_and_measured_as_put_is():
    scenes_ = [sample_scene(VALIDATION.start + k, "away", facts=objects.invented(7)) for k in range(3)]
    rows = evaluate("demonstrator", "away", scenes=scenes_, threads=1, progress=False)
    assert all(row.success and row.metrics["grasped_right"] and row.metrics["placed_right"] for row in rows)
    assert not any(row.metrics["wrong_moved"] for row in rows)


def test_away_refuses_what_cannot_be():
    look = objects.HANDLED[0]
    home = objects.household().rows[look].home
    assert sample_scene(1, "away", cell=(look, home)).goal.place == home
    with pytest.raises(SceneError, match=f"belongs to the {home}"):
        sample_scene(1, "away", cell=(look, next(p for p in places.PLACES if p != home)))
    with pytest.raises(SceneError, match="may be put where it belongs"):
        sample_scene(1, "away", pool=())

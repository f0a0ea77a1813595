"""A novice drives, the demonstrator takes over: whose commands are carried out, whose labels are kept, how it ends."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from pilab.contracts import ACTION, EXECUTED, STATE, DatasetError, Observation, PilabError, Policy, PolicyError, Thought
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import INTERVENTION, SUBTASK, SUCCESS
from pilab.robots.collection import Recipe, collect
from pilab.robots.executor import Command
from pilab.robots.policies import Hold
from pilab.robots.rescue import LAST, NOVICE, TEACHER, Rescue, Turns
from pilab.robots.simulated import Outcome, Trial, simulate
from pilab.vla.actions import Normaliser
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world.demonstrators import Demonstrator
from pilab.world.scenes import find_body, sample_scene


class Dropper(Policy):
    """Stays where it is and opens both hands."""

    cameras = ()

    def act(self, observation: Observation, thought: list[Thought]) -> np.ndarray:
        chunk = np.array(observation[STATE])[:, None]
        chunk[..., [6, 13]] = 1.0
        return chunk


class Fixed(Rescue):
    """The shift lies where the test wants it."""

    when = (0, 0)

    def begin(self, task: str, seed: int) -> Turns:
        return dataclasses.replace(super().begin(task, seed), shifts=(self.when,))


def run(novice: Policy, when: tuple[int, int], seeds: range, batch: int = 1, task: str = "put"):
    """Outcomes, and the (observation, command) pairs of each, in the order of the seeds."""
    executor = Fixed(Demonstrator(), novice, find_body("duo"), arm="test")
    executor.when = when
    films: dict[int, list[tuple[Observation, Command]]] = {seed: [] for seed in seeds}
    trials = [
        Trial(sample_scene(s, task), watch=lambda w, o, c, s=s: films[s].append((o, c)), cameras=()) for s in seeds
    ]
    outcomes: dict[int, Outcome] = {}
    for outcome in simulate(executor, trials, batch=batch, threads=1):
        outcomes[outcome.trial.scene.seed] = outcome
    return [outcomes[s] for s in seeds], [films[s] for s in seeds]


def test_the_novice_moves_and_the_teacher_labels():
    (outcome,), (film,) = run(Hold(), (5, 15), range(1))
    assert outcome.monitor.success
    for step, (seen, command) in enumerate(film):
        stayed = np.allclose(command.executed, seen[STATE], atol=1e-6)
        if step < 40:  # at the end the teacher stands at home
            assert stayed == (5 <= step < 15), step
        assert command.intervention == (step >= 15)
        if not 5 <= step < 15:
            np.testing.assert_allclose(command.executed, command.label, atol=1e-6)


def test_what_is_dropped_on_the_way_is_picked_up_again():
    outcomes, films = run(Dropper(), (26, 30), range(6))
    again = 0
    for outcome, film in zip(outcomes, films, strict=True):
        assert outcome.monitor.success, outcome.monitor.failure()
        phases = [c.thought.memory["phase"] for _, c in film]
        if phases[26] == "over":  # in the air when the hand opened
            after = phases[26:]
            assert "above" in after and after.index("above") < after.index("let go")
            again += 1
    assert again >= 2


def test_what_the_novice_holds_is_carried_on():
    """The teacher finds the thing in the hand of somebody who was quicker: it does not put it back."""
    scene = sample_scene(0, "put")
    teacher, body = Demonstrator(), find_body("duo")

    class Ahead(Policy):
        """The demonstrator itself, with a memory of its own."""

        privileged, cameras, think_interval, replan_interval = True, (), 1, 1

        def think(self, observation, previous):
            return teacher.think(observation, previous)

        def act(self, observation, thought):
            return teacher.act(observation, thought)

    class Late(Demonstrator):
        """Wakes up with its plan for the start when the thing is in the air."""

        def think(self, observation, previous):
            thoughts = super().think(observation, [Thought() if p.memory.get("asleep", 0) else p for p in previous])
            asleep = [p.memory.get("asleep", 26) - 1 for p in previous]
            return [
                dataclasses.replace(t, memory={**t.memory, "asleep": max(a, 0)})
                for t, a in zip(thoughts, asleep, strict=True)
            ]

    executor = Fixed(Late(), Ahead(), body, arm="test")
    executor.when = (0, 26)
    phases = []
    watch = lambda w, o, c: phases.append(c.thought.memory["phase"])  # noqa: E731
    (outcome,) = simulate(executor, [Trial(scene, watch=watch, cameras=())], batch=1, threads=1)
    assert outcome.monitor.success
    assert "grip" not in phases and phases.index("lift") <= 27


def test_nothing_depends_on_the_batch():
    _, alone = run(Dropper(), (20, 28), range(3))
    _, together = run(Dropper(), (20, 28), range(3), batch=3)
    for one, other in zip(alone, together, strict=True):
        assert len(one) == len(other)
        for (_, a), (_, b) in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.executed, b.executed)
            np.testing.assert_array_equal(a.label, b.label)


def test_they_take_turns():
    """What the teacher does between two shifts is its own; the novice looks around anew at the start of each."""
    executor = Fixed(Demonstrator(), Hold(), find_body("duo"), arm="test")
    film: list[tuple[Observation, Command]] = []
    executor.begin = lambda task, seed: dataclasses.replace(
        Rescue.begin(executor, task, seed), shifts=((3, 8), (16, 22))
    )
    watch = lambda w, o, c: film.append((o, c))  # noqa: E731
    (outcome,) = simulate(executor, [Trial(sample_scene(0, "put"), watch=watch, cameras=())], batch=1, threads=1)
    assert outcome.monitor.success
    for step, (seen, command) in enumerate(film[:40]):
        held = 3 <= step < 8 or 16 <= step < 22
        assert np.allclose(command.executed, seen[STATE], atol=1e-6) == held, step
        assert command.intervention == (8 <= step < 16 or step >= 22)


def test_shifts_differ_between_scenes_and_leave_time_to_finish():
    executor = Rescue(Demonstrator(), Hold(), find_body("duo"))
    episodes = [executor.begin("put the apple in the bowl", seed) for seed in range(200)]
    assert len({e.shifts for e in episodes}) > 190
    assert max(end for e in episodes for _, end in e.shifts) < LAST + NOVICE[1]
    for e in episodes:
        assert all(NOVICE[0] <= end - begin < NOVICE[1] for begin, end in e.shifts)
        pauses = [after[0] - before[1] for before, after in itertools.pairwise(e.shifts)]
        assert all(TEACHER[0] <= pause < TEACHER[1] for pause in pauses)
    assert executor.begin("", 3).shifts == episodes[3].shifts


@pytest.fixture(scope="module")
def novices(tmp_path_factory):
    """Two checkpoints that have learnt nothing."""
    body, rng, folders = find_body("duo"), np.random.default_rng(0), []
    for i in range(2):
        config = VLAConfig.nano(body, width=32, heads=2, layers=1, channels=24)
        state, chunk = rng.normal(size=(8, 32)), rng.normal(size=(8, config.horizon, 14))
        space = Normaliser.fit(state.astype(np.float32), chunk.astype(np.float32), np.full(14, 1e-3))
        folders.append(tmp_path_factory.mktemp("novice") / str(i))
        Checkpoint(VLA(config), space, Tokenizer.default(), frozenset()).save(folders[-1])
    return [str(folder) for folder in folders]


def test_collecting_with_a_novice(novices, tmp_path, monkeypatch):
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    recipe = Recipe(("put",), seed=60, novice=novices[0])
    root = collect(recipe, 2, tmp_path / "rescued", workers=0, progress=False)
    data = LeRobotDataset(root)
    assert data.pilab["meta"]["novice"] == Checkpoint.load(novices[0]).hash
    away = np.abs(data.columns[ACTION] - data.columns[EXECUTED]).max(1) > 1e-4
    assert away.any() and not away[np.asarray(data.columns[INTERVENTION]).ravel()].any()
    assert all(any(text.startswith(do) for text in data.columns[SUBTASK]) for do in ("pick up", "put", "leave"))
    # Another policy under the same name is another recipe.
    Checkpoint.load(novices[1]).save(novices[0])
    with pytest.raises(DatasetError, match="another folder"):
        collect(recipe, 3, root, workers=0, progress=False)
    with pytest.raises(PolicyError):
        collect(Recipe(("put",), novice=str(tmp_path / "nobody")), 1, tmp_path / "none", progress=False)
    assert not (tmp_path / "none" / "meta").exists()


def test_collecting_what_a_policy_does_by_itself(novices, tmp_path, monkeypatch):
    """Its failures are kept, and marked as such."""
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    recipe = Recipe(("put",), seed=60, driver=novices[0], outcome="failure")
    root = collect(recipe, 2, tmp_path / "failures", workers=0, progress=False)
    data = LeRobotDataset(root)
    assert data.pilab["meta"]["driver"] == Checkpoint.load(novices[0]).hash
    assert [(row["quality"], row["operator"]) for row in data.episodes] == [(1, "policy")] * 2
    assert data.lengths.tolist() == [120, 120] and not np.asarray(data.columns[SUCCESS]).any()
    np.testing.assert_array_equal(data.columns[ACTION], data.columns[EXECUTED])
    assert "a policy in simulation" in (root / "README.md").read_text(encoding="utf-8")
    for wrong, reason in (
        (Recipe(("put",), outcome="failure"), "without a driver"),
        (Recipe(("put",), overheard=True), "overheard without a driver"),
        (Recipe(("put",), driver=novices[0], novice=novices[1]), "name one of them"),
        (Recipe(("put",), driver=novices[0], outcome="luck"), "luck"),
    ):
        with pytest.raises(PilabError, match=reason):
            collect(wrong, 1, tmp_path / "none", workers=0, progress=False)


def test_a_dataset_of_an_older_recipe_goes_on(novices, tmp_path, monkeypatch):
    """Fields that a recipe had not yet are at what they stand for."""
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    recipe = Recipe(("put",), seed=60)
    root = collect(recipe, 1, tmp_path / "old", workers=0, progress=False)
    path = root / "meta" / "pilab.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    del about["meta"]["recipe"]["driver"], about["meta"]["recipe"]["outcome"]
    path.write_text(json.dumps(about), encoding="utf-8")
    assert len(LeRobotDataset(collect(recipe, 2, root, workers=0, progress=False)).episodes) == 2

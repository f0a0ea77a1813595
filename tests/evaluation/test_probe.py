"""The probe: scenes that ask for combinations, manners that are measured, the gap, and the certificate."""

import dataclasses

import numpy as np
import pytest

from pilab.contracts import Policy, PolicyError, Row
from pilab.evaluation.bayes import population
from pilab.evaluation.conduct import Conduct, obeyed
from pilab.evaluation.probe import SEEN, by_step, cell_of, certify, gap, probe, scenes_of
from pilab.evaluation.rollout import evaluate
from pilab.notebook import SAMPLES
from pilab.vla.checkpoint import Checkpoint
from pilab.world.bodies.duo import BODY
from pilab.world.combinations import ANY, USUAL, Combination, grid, uncounted
from pilab.world.demonstrators import Demonstrator
from pilab.world.demonstrators.script import MANNERS
from pilab.world.scenes import REPORTED, VALIDATION, sample_scene

CELLS = grid(("put",), ("ball-red-green", "bar-blue-white"), ("bowl", "tray"), reserved=True)


def manner_of(scene):
    """The manner that a scene's words ask for."""
    return next((m for m, about in MANNERS.items() if any(w in scene.instruction for w in about.words)), USUAL)


class Obedient(Policy):
    """The scripted demonstrator, in the manner that the words ask for."""

    privileged, cameras, think_interval, replan_interval = True, (), 1, 1

    def __init__(self):
        self.by_manner = {manner: Demonstrator(manner=manner) for manner in MANNERS}

    def think(self, observation, previous):
        return [self._of(observation, i).think(self._one(observation, i), [t])[0] for i, t in enumerate(previous)]

    def act(self, observation, thought):
        return np.concatenate(
            [self._of(observation, i).act(self._one(observation, i), [t]) for i, t in enumerate(thought)]
        )

    def _of(self, observation, i):
        return self.by_manner[manner_of(observation["scene"][i])]

    def _one(self, observation, i):
        return {key: values[i : i + 1] for key, values in observation.items()}


def test_scenes_ask_for_their_combination_and_are_the_same_in_every_manner():
    plain, slow = (scenes_of(dataclasses.replace(CELLS[0], manner=m), 3, VALIDATION.start) for m in (USUAL, "slow"))
    assert [s.replace(instruction="") for s in plain] == [s.replace(instruction="") for s in slow]
    assert all(s.instruction == f"{p.instruction} slowly" for p, s in zip(plain, slow, strict=True))
    for scene in plain:
        assert (scene.goal.verb, scene.goal.object, scene.goal.place) == ("put", CELLS[0].object, CELLS[0].place)
        assert scene.seed in VALIDATION
    others = scenes_of(CELLS[1], 3, VALIDATION.start)
    assert {s.seed for s in others}.isdisjoint(s.seed for s in plain)  # no layout for all of them
    (left,) = scenes_of(dataclasses.replace(CELLS[0], arm="left"), 1)
    assert left.instruction.endswith("with your left hand") and left.seed in REPORTED


def test_an_arm_that_is_asked_for_can_reach():
    for seed in range(VALIDATION.start, VALIDATION.start + 12):
        for hand in ("left", "right"):
            scene = sample_scene(seed, "put", hand=hand)
            (row,) = evaluate(Demonstrator(hand), scenes=[scene], watcher=Conduct, progress=False)
            assert BODY.arms[int(row.metrics["arm"])].name == hand
        if seed >= VALIDATION.start + 2:
            break


def test_manners_are_told_apart():
    cells = [dataclasses.replace(CELLS[0], manner=manner) for manner in MANNERS]
    for policy, obeys in ((Obedient(), True), (Demonstrator(), False)):
        rows = probe(policy, cells, 2, VALIDATION.start, held_out=[Combination(manner="slow")], progress=False)
        assert all(row.success for row in rows)
        found = {(row.clusters["manner"], row.metrics["obeyed"]) for row in rows}
        assert (USUAL, None) in found
        asked = {m for m in MANNERS if m not in (USUAL, "left-handed", "right-handed")}
        assert {m for m, so in found if so is obeys} >= asked
        assert {row.clusters["manner"] for row in rows if not row.clusters[SEEN]} == {"slow"}
        assert all(row.metrics["done_so"] == (row.metrics["obeyed"] is not False) for row in rows)
        if obeys:
            assert {m for m, so in found if so} == set(MANNERS) - {USUAL}
        else:  # whichever hand is nearer, it is one of them
            hands = [row.metrics["obeyed"] for row in rows if "handed" in str(row.clusters["manner"])]
            assert sorted(hands) == [False, False, True, True]


def test_who_does_nothing_does_it_in_no_manner():
    (row,) = evaluate("hold", scenes=[sample_scene(VALIDATION.start, "put")], watcher=Conduct, progress=False)
    assert row.metrics["pace"] is None
    assert obeyed("slow", row.metrics, BODY) is None
    (row,) = evaluate("hold", scenes=[sample_scene(VALIDATION.start, "open")], watcher=Conduct, progress=False)
    assert obeyed("from above", row.metrics, BODY) is None


# ------------------------------------------------------------------------------------------------------------- the gap
def rows(cell, outcomes, seen):
    about = {
        "verb": cell.verb,
        "object": cell.object,
        "place": cell.place,
        "manner": cell.manner,
        "hand": ANY,
        SEEN: seen,
    }
    metrics = {"reached": True, "obeyed": None}
    return [
        Row("episode", "x", "probe", "none", k, f"{cell}{k}", bool(o), metrics, about) for k, o in enumerate(outcomes)
    ]


def test_the_gap_is_between_populations_of_combinations():
    cells = grid(("put", "push"))
    good = [row for cell in cells[:30] for row in rows(cell, (1, 1, 1, 0), 1)]
    bad = [row for cell in cells[30:60] for row in rows(cell, (1, 0, 0, 0), 0)]
    found = gap(good + bad)
    assert found.cells == (30, 30) and found.trials[0].rate == 0.75
    assert found.difference == pytest.approx(0.5, abs=0.03)
    assert found.interval[0] > 0.3
    assert cell_of(good[0]) == cells[0]
    assert "of 30 combinations, unseen" in found.text()
    assert gap(good + bad, "reached").difference == pytest.approx(0, abs=1e-9)


def test_trials_of_one_combination_are_no_combinations():
    cells = grid(("put",))
    few = [row for k, cell in enumerate(cells[:4]) for row in rows(cell, (k % 2,) * 40, 1)]
    many = [row for k, cell in enumerate(cells[:40]) for row in rows(cell, (k % 2,) * 4, 1)]
    other = rows(cells[50], (1, 0), 0)
    wide, narrow = (gap(some + other).seen.interval() for some in (few, many))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_how_far_it_gets():
    steps = by_step(rows(CELLS[0], (1, 0, 0), 1) + rows(CELLS[1], (0,), 0))
    assert (steps["reached", 1].n, steps["reached", 0].n) == (3, 1)
    assert steps["success", 1].k == 1
    assert ("obeyed", 1) not in steps  # nobody asked


def test_population_of_rates():
    with pytest.raises(Exception, match="a population of nothing"):
        population([])
    with pytest.raises(Exception, match="3 successes in 2 trials"):
        population([(1, 2), (3, 2)])


# ------------------------------------------------------------------------------------------------------ the certificate
def test_a_certificate_reads_the_columns_of_datasets():
    fine = certify(SAMPLES, [Combination(manner="slow")])
    assert fine.holds and fine.text().startswith("certified: ")
    shown = next(iter(fine.shown))
    broken = certify([SAMPLES], [dataclasses.replace(shown, arm=ANY)])
    assert not broken.holds and broken.text().startswith("NOT certified")
    assert sum(broken.broken.values()) >= fine.shown[shown]
    assert not [c for c in fine.shown if c.reserved]


def counting(checkpoint, *origins):
    """The checkpoint with a past: origins, the last one first."""
    before = None
    for origin in reversed(origins):
        before = {**origin, **({"start": before} if before else {})}
    return dataclasses.replace(checkpoint, origin=before)


def test_a_checkpoint_knows_all_that_came_before_it():
    one, other = [["put", "a", "bowl", "left", "normal", 2]], [["push", "b", "tray", "left", "slow", 1]]
    data = {"data": [{"name": "x"}]}
    checkpoint = Checkpoint(None, None, None, frozenset())
    found = certify(
        counting(checkpoint, {**data, "combinations": one}, {"data": []}, {**data, "combinations": other}),
        [Combination(manner="slow")],
    )
    assert found.shown == uncounted(one + other) and list(found.broken.values()) == [1]
    with pytest.raises(PolicyError, match="does not know what it was shown"):
        certify(counting(checkpoint, {**data, "combinations": one}, data), [])

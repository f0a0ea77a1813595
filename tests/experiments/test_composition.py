"""Arms that never saw some combinations: what differs between them, what each is asked for, and a run of each kind."""

import dataclasses
import itertools
from collections import Counter

import pytest

from pilab.contracts import PilabError, Scale, UnknownNameError
from pilab.evaluation.probe import SEEN, Certificate, gap
from pilab.evaluation.rows import read_rows
from pilab.experiments import Grid, composition
from pilab.experiments.composition import (
    ARMS,
    EXPERIMENT,
    HALF,
    KNOWN,
    MANNERED,
    MANNERS,
    MOST,
    ONCE,
    ONE_VERB,
    OTHERWISE,
    PIECES,
    PLAIN,
    SEEDS,
    THINKING,
    TOLD,
    WORDS,
    amounts,
    arms_of,
    asked,
    configs,
    demonstrations,
    driven,
    find_arm,
    hands,
    held_out,
    learn,
)
from pilab.robots.oracle import Oracle
from pilab.vla.checkpoint import Checkpoint
from pilab.world.combinations import USUAL, Combination, is_held_out

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def test_arms_differ_in_what_they_see_and_how_they_are_helped():
    base = hands(ARMS[HALF], 0, LAPTOP)
    for name, arm in ARMS.items():
        recipe = hands(arm, 0, LAPTOP)
        different = {f.name for f in dataclasses.fields(base) if getattr(base, f.name) != getattr(recipe, f.name)}
        assert different <= {"without", "manners", "relabelled"}, name
        if arm.weights:
            assert not different and arm.weights == HALF
    assert hands(ARMS[OTHERWISE], 0, LAPTOP).without == base.without
    with pytest.raises(UnknownNameError, match="unknown arm 'luck'"):
        find_arm("luck")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_one_never_saw_another_has_seen(seed):
    cells = asked(ARMS[HALF], LAPTOP)
    by_density = ("30 % of the pairs", HALF, "70 % of the pairs", MOST)
    unseen = [{c for c in cells if is_held_out(c, held_out(ARMS[name], seed))} for name in by_density]
    assert all(more > less for more, less in itertools.pairwise(unseen))
    assert len(unseen[1] - unseen[3]) * amounts(LAPTOP)["episodes"] * len(SEEDS) >= 300  # pairs for an equivalence
    verbs = {c for c in cells if is_held_out(c, held_out(ARMS[ONE_VERB], seed))}
    assert {c.verb for c in verbs} == {"put", "push"}
    assert held_out(ARMS[WORDS], seed) == held_out(ARMS[PIECES], seed)


def test_a_manner_is_asked_for_with_everything_and_shown_with_few():
    cells, held = asked(ARMS[WORDS], LAPTOP), held_out(ARMS[WORDS], 0)
    assert {c.manner for c in cells} == set(MANNERS)
    things = {c.object for c in cells}
    assert len(things) == 18 and len(cells) == 18 * len(MANNERS) and not any(c.reserved for c in cells)
    shown = {c.object for c in cells if c.manner != USUAL and not is_held_out(c, held)}
    assert len(shown) == KNOWN
    assert not any(is_held_out(c, held) for c in cells if c.manner == USUAL)


def test_a_run_of_each_kind(tmp_path):
    """The same weights asked in three ways, and manners as pieces."""
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    data = {name: demonstrations(grid, name, SMOKE) for name in (PLAIN, MANNERED)}
    arms = (HALF, THINKING, TOLD, PIECES)
    todo = configs(grid, SMOKE, data, arms, 0)
    assert len({c["weights"] for c in todo[:3]}) == 1 and todo[3]["weights"] != todo[0]["weights"]
    grid.run("pilab.experiments.composition:run", todo)
    rows = read_rows(grid.path)
    assert {row.arm for row in rows} == set(arms)
    assert {row.arm for row in rows if row.privileged} == {TOLD}
    half = [row for row in rows if row.arm == HALF]
    assert len(half) == len(asked(ARMS[HALF], SMOKE)) and gap(half).cells[0] + gap(half).cells[1] == len(half)
    pieces = [row for row in rows if row.arm == PIECES]
    assert {row.clusters["manner"] for row in pieces} == set(MANNERS)
    assert {row.clusters[SEEN] for row in pieces} == {0, 1}
    assert not any("slowly" in row.instruction for row in pieces)
    checkpoint = Checkpoint.load(f"{todo[3]['weights']}/checkpoint")
    assert driven(checkpoint, ARMS[PIECES], "from above").checkpoint.driving.before == ("<manner=from-above>",)
    assert driven(checkpoint, ARMS[THINKING]).checkpoint.driving.thinks and isinstance(
        driven(checkpoint, ARMS[TOLD]), Oracle
    )
    with pytest.MonkeyPatch.context() as patch:  # a training that saw what it must not
        patch.setattr(composition, "certify", lambda done, without: _broken())
        config = {"arm": HALF, "seed": 0, "scale": "smoke", "data": [data[PLAIN]], "start": None}
        with pytest.raises(PilabError, match="arm '50 % of the pairs', seed 0: NOT certified"):
            learn(config, tmp_path / "again")


def _broken():
    shown = Combination("put", "ball-red-green", "bowl", "left", USUAL)
    return Certificate(Counter({shown: 1}), (shown,))


def test_the_plan():
    text = EXPERIMENT.plan(LAPTOP)
    assert "8 trainings" in text and "2 more arms" in text and "420" in text and "manners in pieces: with one" in text


def test_headlines_have_all_seeds_and_pairs():
    assert arms_of(0) == list(ARMS) and set(arms_of(1)) == set(ARMS) - set(ONCE)
    assert all(arm.weights in (None, *arms_of(1)) for arm in map(find_arm, arms_of(1)))

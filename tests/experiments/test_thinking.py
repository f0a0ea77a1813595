"""Ways of thinking: each arm differs in what its name says, worlds are drawn anew, and rows say what was asked of whom."""

import dataclasses
import json

import pytest

from pilab.contracts import Scale, UnknownNameError
from pilab.data.web.lore import find_lore
from pilab.experiments import Grid, thinking
from pilab.experiments.thinking import (
    ARMS,
    EXPERIMENT,
    FLAT,
    HANDS,
    ORACLE,
    PRACTISED_EDITS,
    acting,
    amounts,
    find_arm,
    reading,
    runs,
    seeing,
)
from pilab.training.thoughts import AT_ONCE
from pilab.world import objects

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def changed(one, other):
    """Fields of two recipes that differ."""
    return {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)}


def test_arms_see_the_same_frames_and_differ_in_thoughts_alone():
    flat = acting(ARMS[FLAT], 1, LAPTOP)
    for name, arm in {**ARMS, **HANDS}.items():
        recipe = acting(arm, 1, LAPTOP)
        assert recipe.stages[0].rows.thought == flat.stages[0].rows.thought, name
        assert recipe.stages[0].steps == arm.times * flat.stages[0].steps, name
        allowed = {"thinking", "driving"} | ({"facts"} if arm.shuffled else set())
        allowed |= {"framing"} if arm.hands or arm.called != "where" else set()
        allowed |= {"stages"} if arm.times != 1 or not arm.web else set()
        assert changed(flat, recipe) <= allowed, name
        assert recipe.driving.chain == arm.thinking.chain, name
        assert bool(recipe.stages[0].rows.asked and recipe.stages[0].rows.read) == arm.web, name


def test_before_the_robot_nothing_says_where_things_go():
    """What is seen first has no name and no kind; where a noun belongs is said in no question."""
    assert seeing(LAPTOP).facts == "looks" and not seeing(LAPTOP).stages[0].rows.read
    assert not {"count", "belongs"} & set(seeing(LAPTOP).questions)
    for arm in ARMS.values():
        assert "belongs" not in reading(arm, 2, LAPTOP).questions + acting(arm, 2, LAPTOP).questions
        assert not reading(arm, 2, LAPTOP).stages[0].rows.thought


@pytest.mark.parametrize("world", thinking.WORLDS)
def test_every_world_is_another(world):
    known, handled = objects.invented(world).rows, objects.half(world)
    assert len(set(handled)) == 21 and set(handled) <= set(objects.LOOKS)
    for kind in {fact.kind for fact in known.values()}:
        mine = [look for look, fact in known.items() if fact.kind == kind]
        assert abs(len(set(mine) & set(handled)) - len(mine) / 2) <= 0.5, kind
    assert set(handled) != set(objects.half(world + 1)) and known != objects.invented(world + 1).rows
    dealt = objects.shuffled(world).rows
    for look, fact in known.items():
        assert dealt[look].noun == fact.noun
        assert (dealt[look] == fact) if look in handled else (dealt[look].home != fact.home)
    assert sorted(f.kind for f in dealt.values()) == sorted(f.kind for f in known.values())
    lore, other = find_lore(f"invented-{world}"), find_lore(f"shuffled-{world}")
    assert [(e.noun, e.traits, e.use, e.look) for e in lore.entities] == [
        (e.noun, e.traits, e.use, e.look) for e in other.entities
    ]
    assert lore.homes == other.homes
    assert all(other.shown[look].kind == fact.kind for look, fact in dealt.items())


def test_things_without_names_are_called_what_they_look_like():
    lore = find_lore("looks")
    assert {e.noun for e in lore.shown.values()} == {objects.describe(look) for look in objects.LOOKS}
    assert not {e.noun for e in lore.shown.values()} & {e.noun for e in find_lore().shown.values()}


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown arm 'nobody'"):
        find_arm("nobody")
    with pytest.raises(UnknownNameError, match="unknown exam 'riddle'"):
        thinking.examine(None, "riddle", 1, FLAT, 0)
    with pytest.raises(UnknownNameError, match="shuffled-SEED"):
        objects.find_facts("shuffled-me")


def test_some_arms_of_a_world_from_nothing_to_rows(tmp_path):
    """Who goes on from another, who has the same weights, who has no web: all stand on what they should."""
    arms = ("flat, no web", "chain, then flat", "both, asked at once", "chain, carried out", ORACLE)
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    exams = {"frames": 20, "edited kind": 20, "names": 8, "finding": 1, "never handled": 1, "black cameras": 1}
    runs(grid, SMOKE, exams, arms, 0)
    assert {row.arm for row in grid.rows} == set(arms) and not grid.missing({"arm": a, "seed": 0} for a in arms)
    weights = {arm: {row.checkpoint for row in grid.rows if row.arm == arm} for arm in arms}
    (shipped,) = weights.pop(ORACLE)
    thinks, pair = sorted(weights.pop("chain, carried out"), key=len)  # about names alone; and with hands
    assert pair == f"{thinks}+{shipped}"
    assert all(len(found) == 1 for found in weights.values()) and len(set(map(frozenset, weights.values()))) == 3
    suites = {arm: {row.suite for row in grid.rows if row.arm == arm} for arm in arms}
    assert suites.pop(ORACLE) == {"never handled"}  # who does not look is not tried in the dark
    assert suites.pop("chain, carried out") == {"never handled", "black cameras", "names", "finding"}
    assert all(found == {"frames", "names", "finding"} for found in suites.values())  # nobody was asked for a chain
    frames = [row for row in grid.rows if row.suite == "frames"]
    assert len({row.scene for row in frames}) * 3 == len(frames)
    done = [row for row in grid.rows if row.suite == "never handled"]
    assert {row.clusters["object"] in objects.RESERVED for row in done} == {True} and len(
        {row.scene for row in done}
    ) == 1
    assert objects.describe(done[0].clusters["object"]) in done[0].instruction
    starts = {}
    for path in (tmp_path / "runs").glob("*/checkpoint/config.json"):
        about = json.loads((path.parents[1] / "config.json").read_text(encoding="utf-8"))["config"]
        starts[about["stage"], about["arm"]] = about["start"]
    of = {key: path for key, path in starts.items() if key[0] == "acting"}
    assert starts["seeing", FLAT] is None and len(of) == 5 and ("acting", "both, asked at once") not in of
    assert of["acting", "both, asked for a chain"] == of["acting", PRACTISED_EDITS]  # what was read
    assert len(set(of.values())) == 3  # what was read; what was only seen; what thought in chains


def test_the_plan_says_what_is_done():
    told = EXPERIMENT.plan(LAPTOP)
    assert all(name in told for name in ARMS) and "5 worlds" in told and "frames 1500" in told
    assert ARMS[FLAT].thinking == AT_ONCE and len(amounts(LAPTOP)["worlds"]) == 5

"""Arms of hands that have some sensors and not others: what differs between them, and a run of each kind."""

import dataclasses

import pytest

from pilab.contracts import Scale, UnknownNameError, image_key
from pilab.evaluation.rows import read_rows
from pilab.experiments import Grid
from pilab.experiments.sensors import (
    ALL,
    ALL_UNTOLD,
    ARMS,
    BESIDE,
    CAMERAS,
    DROPPED,
    EXPERIMENT,
    HARD,
    HEADLINE,
    SEEDS,
    SOFTLY,
    THREE,
    UNTOLD,
    amounts,
    arms_of,
    configs,
    demonstrations,
    eyes,
    find_arm,
    hands,
    takings,
)
from pilab.vla.policy import VLAPolicy

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def changed(one, other):
    return {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)}


def test_arms_differ_in_what_they_have_and_nothing_else():
    base = hands(ARMS[ALL], LAPTOP)
    for name, arm in ARMS.items():
        recipe = hands(arm, LAPTOP)
        assert changed(base, recipe) <= ({"model"} if arm.points else {"model", "stages", "labels"})
        assert {k for k in recipe.model if recipe.model[k] != base.model[k]} <= {"missing"}
        assert recipe.model["felt"] == eyes(LAPTOP).model["felt"]
        if name != DROPPED:
            assert {share for _, share in arm.missing} <= {1.0}
    assert changed(hands(ARMS[UNTOLD], LAPTOP), hands(ARMS[ALL_UNTOLD], LAPTOP)) == {"model"}
    sets = [arm.missing for arm in ARMS.values() if arm.body == HARD and arm.points]
    assert len(set(sets)) == len(sets)
    with pytest.raises(UnknownNameError, match="unknown arm 'nose alone'"):
        find_arm("nose alone")


def test_what_is_taken_at_work():
    assert [taken.name for taken in takings(ARMS[THREE])] == ["contact left_wrist + right_wrist"]
    assert takings(ARMS[ALL]) == []
    may = {name for name, _ in ARMS[DROPPED].missing}
    assert may == {*CAMERAS, *BESIDE}
    for taken in takings(ARMS[DROPPED]):
        assert taken.way == "remove" and {sensor.name for sensor in taken.sensors} < may
        seen = {sensor.key: 1 for sensor in taken.sensors} | {"task": "wipe"}
        assert taken(0)(seen) == {"task": "wipe"}
    names = [tuple(sorted(n for n, _ in arm.missing)) for arm in ARMS.values()]
    for taken in takings(ARMS[DROPPED]):  # somebody else never had what is taken
        assert tuple(sorted(sensor.name for sensor in taken.sensors)) in names


def test_a_run_of_each_kind(tmp_path):
    """Eyes, hands that lack sensors, hands that are told nothing, and one from which they are taken at work."""
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    data = {HARD: demonstrations(grid, HARD, SMOKE)}
    arms, tasks = ("base alone", DROPPED, UNTOLD), amounts(SMOKE)["tasks"]
    asked = configs(grid, SMOKE, data, arms, 0)
    assert {c["start"] for c in asked[:2]} != {asked[2]["start"]}
    grid.run("pilab.experiments.sensors:run", asked)
    rows = read_rows(grid.path)
    assert {row.arm for row in rows} == set(arms)
    assert len(rows) == len(tasks) * (3 + len(takings(ARMS[DROPPED])))
    assert {(row.clusters["way"], row.clusters["taken"]) for row in rows if row.arm == "base alone"} == {
        ("none", "nothing")
    }
    policy = VLAPolicy(grid.folder("pilab.experiments.sensors:run", asked[0]) / "checkpoint")
    assert policy.cameras == ("base",) and policy.body.name == HARD
    assert image_key("left_wrist") not in {image_key(name) for name in policy.cameras}


def test_the_plan():
    text = EXPERIMENT.plan(LAPTOP)
    assert f"{len(ARMS)} arms" in text and SOFTLY in text and "5 more exams" in text
    assert arms_of(0) == list(ARMS) and set(arms_of(2)) == set(HEADLINE) < set(ARMS)
    assert amounts(LAPTOP)["episodes"] * len(SEEDS) >= 300  # pairs for an equivalence

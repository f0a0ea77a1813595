"""Coaching: arms cost a person the same, labels touch no hand, and weak hands are weak in nothing else."""

import json

import numpy as np
import pytest

from pilab.contracts import PilabError, Scale, UnknownNameError
from pilab.data.lerobot import LeRobotDataset
from pilab.data.schema import SUBTASK
from pilab.evaluation.rollout import DEFAULT
from pilab.experiments import Grid, coaching
from pilab.experiments.coaching import (
    ARMS,
    EXPERIMENT,
    Arm,
    affordable,
    drive,
    find_arm,
    helping,
    home,
    labels_of,
    runs,
    weakening,
)
from pilab.robots.levels import TwoLevels
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.policy import VLAPolicy
from pilab.world import objects

LAPTOP, SMOKE = Scale.LAPTOP, Scale.SMOKE


def test_arms_differ_as_their_names_say():
    assert len(ARMS) == 11 and "middle, flat: labels" in ARMS and "low: practice" in ARMS
    labels = helping(ARMS["middle: labels"], LAPTOP)
    for name, arm in ARMS.items():
        recipe = helping(arm, LAPTOP)
        assert (recipe is None) == name.endswith("nothing")
        if recipe is not None:  # the high level learns as long from anything
            assert recipe.stages[0] == labels.stages[0] and recipe.babbled == ("random" in name)
            assert recipe.corrections == ("labels" in name) and len(recipe.stages) == 2 - ("labels" in name)
    assert helping(ARMS["low: practice"], LAPTOP) == helping(ARMS["low: demonstrations"], LAPTOP)
    assert ARMS["middle: labels"].chain is False and ARMS["middle: labels, in chains"].chain
    with pytest.raises(UnknownNameError, match="unknown arm 'shout'"):
        find_arm("shout")


@pytest.mark.parametrize("seed", coaching.SEEDS)
def test_another_home_is_another_for_every_kind(seed):
    there, here = objects.find_facts(home(ARMS["middle: labels"], seed)), objects.household()
    assert home(ARMS["low: labels"], seed) == here.name
    for look, fact in here.rows.items():
        assert there.rows[look].noun == fact.noun and there.rows[look].home != fact.home
    assert len({str(objects.moved(k).rows) for k in coaching.SEEDS}) == len(coaching.SEEDS)


def test_labels_touch_no_hand():
    """The pair acts with the old weights; who is flat acts on the instruction with the new ones."""
    low = Checkpoint.load(DEFAULT)
    pair = drive(Arm("middle", "labels"), low, low)
    assert isinstance(pair, TwoLevels) and pair.low.checkpoint is low
    assert not pair.high.checkpoint.driving.chain and pair.high.checkpoint.driving.thinks
    assert drive(Arm("middle", "labels", chain=True), low, low).high.checkpoint.driving.chain
    flat = drive(Arm("middle", "labels", flat=True), low, low)
    assert isinstance(flat, VLAPolicy) and not flat.checkpoint.driving.thinks
    assert isinstance(drive(Arm("low", "demonstrations"), low, low), VLAPolicy)


def test_from_nothing_to_rows(tmp_path):
    arms = ("middle: labels", "middle, flat: nothing", "low: demonstrations")
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    runs(grid, SMOKE, arms, 0)
    assert not grid.missing({"arm": arm, "seed": 0} for arm in arms)
    for row in grid.rows:
        assert row.clusters["facts"] == ("moved-0" if row.clusters["bottleneck"] == "middle" else "household")
        assert row.clusters["horizon"] == 1 and 0 <= row.metrics["progress"] <= 1
        assert (row.metrics["chosen"] is None) == (row.arm == "middle, flat: nothing")
    scenes = {(row.clusters["bottleneck"], row.clusters["horizon"]): set() for row in grid.rows}
    for row in grid.rows:
        scenes[row.clusters["bottleneck"], row.clusters["horizon"]].add(row.scene)
    assert all(len(found) == 1 for found in scenes.values()) and len(scenes) == 2
    heard = tmp_path / "runs" / "demonstrations" / "middle-overheard-0"
    said = np.array(LeRobotDataset(heard).episode(0, [SUBTASK])[SUBTASK])
    assert labels_of(heard)[0] == 1 + int((said[1:] != said[:-1]).sum())
    assert all(text.startswith("put the ") for text in said)  # a coach says all of what comes next
    both = [str(heard), str(tmp_path / "runs" / "demonstrations" / "rehearsed")]
    labels = labels_of(heard)  # the episode that is held out is one of those to rehearse
    assert affordable(both, labels[0] * 5 / 60) == (1, labels[0])
    assert affordable(both, sum(labels[:2]) * 5 / 60) == (2, sum(labels[:2]))
    assert affordable(both, labels[0] * 20 / 60, ARMS["middle: labels, in chains"].seconds) == (
        1,
        labels[0],
    )  # four sentences each
    for minutes in (0.0, 10.0):  # nothing can be said; there is not so much to be said
        with pytest.raises(PilabError, match="collect more attempts"):
            affordable(both, minutes)
    (spent,) = {row.metrics["person_minutes"] for row in grid.rows if row.arm == "low: demonstrations"}
    assert spent == 2.0  # two of a minute each
    starts = {}
    for path in (tmp_path / "runs").glob("*run-*/config.json"):
        about = json.loads(path.read_text(encoding="utf-8"))["config"]
        starts[about["arm"]] = about["start"]
    assert starts["middle: labels"] == starts["middle, flat: nothing"] == str(DEFAULT)
    weak, shipped = (Checkpoint.load(folder).model.state_dict() for folder in (starts["low: demonstrations"], DEFAULT))
    differs = {name.split(".")[0] for name in weak if not np.allclose(weak[name], shipped[name], atol=1e-5)}
    assert differs == {"head"}


def test_the_plan_says_what_is_done():
    told = EXPERIMENT.plan(LAPTOP)
    assert all(name in told for name in ARMS) and "a label costs 5 s" in told
    assert coaching.amounts(LAPTOP)["demonstrations"] == 10
    assert coaching.amounts(LAPTOP)["rehearsed"] == 31 and weakening(LAPTOP).anew == ("head",)  # one is held out

"""Arms of pretraining: each differs in what its name says, those with one past share it, and rows say what they cost."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from pilab.contracts import DatasetError, PilabError, Row, Scale, UnknownNameError
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import WebPictures
from pilab.experiments import Grid, pretraining
from pilab.experiments.pretraining import (
    ARMS,
    BROAD,
    EXAMS,
    EXPERIMENT,
    FEW,
    FINDING,
    HEADLINE,
    INSIDE,
    ROBOT,
    STAGES,
    TASKS,
    TEXT,
    WEAK,
    amounts,
    before,
    examine,
    exams_of,
    find_arm,
    robot,
    runs,
    shared_key,
)
from pilab.training.data import Demonstrations
from pilab.training.mixture import Mixture, Rows
from pilab.training.module import Learner, kind_of
from pilab.training.web import Web
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.policy import VLAPolicy
from pilab.vla.tokenizer import Tokenizer
from pilab.world import objects
from pilab.world.bodies import duo

LAPTOP = Scale.LAPTOP


def drawn(recipe):
    """Kind of row → how many of them the whole recipe draws."""
    out = {}
    for stage in recipe.stages:
        for kind, rows in dataclasses.asdict(stage.rows).items():
            out[kind] = out.get(kind, 0) + rows * stage.steps
    return {kind: rows for kind, rows in out.items() if rows}


def test_every_arm_sees_the_same_of_the_robot():
    """Same samples of the robot, but for the arm that works longer; and no pointing scenes, which no robot alone has."""
    seen = {name: drawn(robot(arm, LAPTOP)) for name, arm in STAGES.items()}
    for name, rows in seen.items():
        times = STAGES[name].work
        assert rows["demonstrations"] == pytest.approx(times * seen[ROBOT]["demonstrations"]), name
        assert "pointing" not in rows, name
        assert rows["point_only"] == pytest.approx(times * seen[ROBOT]["point_only"]), name
    assert {name for name, rows in seen.items() if "asked" in rows} == {
        name for name, arm in STAGES.items() if arm.before and arm.beside
    }


def test_who_never_read_reads_nothing():
    """Images alone means no texts: neither before, nor among the pictures, nor beside the robot."""
    for name, arm in ARMS.items():
        rows = {**drawn(before(arm, LAPTOP))} if arm.before else {}
        assert ("read" in rows) == arm.reads, name
        assert ("read" in drawn(robot(arm, LAPTOP))) == (arm.reads and arm.beside), name
        assert ("asked" in rows) == ("images" in arm.before), name
    assert not before(STAGES[ROBOT], LAPTOP)


def test_the_order_and_the_words():
    first, second = (before(STAGES[name], LAPTOP).stages for name in (TEXT, "images → text → robot"))
    assert first[0] == second[1] and first[0].rows.read and not first[0].rows.asked
    assert (
        first[1].rows.asked == second[0].rows.asked and first[1].rows.read and not second[0].rows.read
    )  # not read yet
    spoilt = before(STAGES["scrambled text → images → robot"], LAPTOP)
    assert spoilt.scrambled and dataclasses.replace(spoilt, scrambled=False) == before(STAGES[TEXT], LAPTOP)
    assert robot(STAGES["scrambled text → images → robot"], LAPTOP).scrambled  # beside the robot, too


def test_arms_with_one_past_share_it():
    keys = {name: shared_key(arm, LAPTOP) for name, arm in ARMS.items()}
    assert keys[ROBOT] is None and len(set(keys.values())) == 5  # none, images, both orders, scrambled
    full = {name for name, key in keys.items() if key == keys[TEXT]}
    assert full == {
        TEXT,
        "text → images → robot alone",
        *WEAK,
        *BROAD,
        *INSIDE,
        *(name for name in FEW if name.startswith(TEXT)),
    }


def test_equal_work_is_equal_work(demonstrations, web):
    """FLOPs of a row of each kind, forward and backward, times the rows of an arm."""
    d, cost = copy.copy(demonstrations), {}
    recipe = robot(STAGES[TEXT], LAPTOP)
    d.config = VLAConfig.nano(duo.BODY, **recipe.model)
    learner = Learner(VLA(d.config), recipe, True, 0)
    mixture = Mixture(d, None, d.normaliser(most=200), Tokenizer.default(), Rows(), seed=0, web=web)
    for stage in (stage for arm in (ROBOT, TEXT) for stage in stages_of(STAGES[arm])):
        mixture.rows = stage.rows  # as many as there are: who has more beside it is padded longer
        for name, part in learner.model.named_children():
            part.requires_grad_(not stage.only or name in stage.only)
        for batch in mixture.step(0):
            with FlopCounterMode(display=False) as counter:
                loss = learner.weighted(learner.model.loss(batch))
                loss.backward()
            cost[kind_of(batch), stage.only] = counter.get_total_flops() / len(batch.text)
    kinds = {"demonstrated": "demonstrations", "told": "point_only", "asked": "asked", "read": "read"}
    work = {
        arm: sum(
            stage.steps * getattr(stage.rows, kinds[kind]) * flops
            for stage in stages_of(STAGES[arm])
            for (kind, only), flops in cost.items()
            if only == stage.only
        )
        for arm in (TEXT, "robot, equal work")
    }
    assert work["robot, equal work"] == pytest.approx(work[TEXT], rel=0.03), work


def stages_of(arm):
    """All that an arm goes through."""
    past = before(arm, LAPTOP)
    return (*(past.stages if past else ()), *robot(arm, LAPTOP).stages)


@pytest.fixture(scope="module")
def web(at_home, config):
    with at_home():
        pictures = WebPictures.open(12, progress=False, workers=1)
        return Web(
            pictures, find_lore(), VLAConfig.nano(duo.BODY, **robot(STAGES[TEXT], LAPTOP).model), Tokenizer.default()
        )


def test_arms_are_examined_in_what_they_learnt():
    asked = amounts(LAPTOP)["exams"]
    assert set(exams_of(STAGES[TEXT], asked)) == set(asked) - {"open"}
    assert set(exams_of(BROAD["specialist, open"], asked)) == {"open", "names", "facts", "facts never asked"}
    assert exams_of(BROAD["generalist"], asked) == asked
    for arm in ARMS.values():
        assert set(arm.tasks) <= ({"put"} if "robot" in arm.data else set(arm.data)) | set(
            arm.tasks if arm.after else ()
        )


def test_weak_arms_add_one_thing(tmp_path):
    clean = robot(WEAK["50 clean"], LAPTOP)
    assert clean.most == 50
    tagged = robot(WEAK["and failures, tagged"], LAPTOP)
    assert tagged.tagged and tagged.driving.before == ("<quality=5>",)
    assert robot(WEAK["and failures"], LAPTOP) == clean  # the data differ
    watching = robot(WEAK["and watched"], LAPTOP)
    assert drawn(watching)["watched"] and {k: v for k, v in drawn(watching).items() if k != "watched"} == drawn(clean)
    assert robot(WEAK["half mislabelled"], LAPTOP) == dataclasses.replace(clean, mislabelled=0.5)
    with pytest.raises(UnknownNameError, match="50 clean"):
        find_arm("60 dirty")
    for arms, reason in (
        (["and failures"], "no dataset named failures; the arms need failures, robot"),
        (["generalist, then put"], "no dataset named close, open, push, put"),
    ):  # of what came first
        with pytest.raises(PilabError, match=reason):
            runs(Grid(tmp_path, tmp_path / "rows.jsonl"), {"robot": "somewhere"}, LAPTOP, {}, arms, 0)


def test_only_so_many_episodes_are_learnt_from(samples, own, config, demonstrations):
    few = Demonstrations([samples, own], config, duo.BODY, most=5)
    both = Demonstrations([samples, own], config, duo.BODY)
    size = len(demonstrations.state)
    assert len(np.unique(few.episode[few.training[few.training < size]])) == 5
    np.testing.assert_array_equal(few.validation, both.validation)
    np.testing.assert_array_equal(few.training[few.training >= size], both.training[both.training >= size])
    # What stands beside them changes nothing about which they are.
    alone = Demonstrations([samples], config, duo.BODY, most=5)
    np.testing.assert_array_equal(few.training[few.training < size], alone.training)
    with pytest.raises(DatasetError, match=r"60 episodes of .* asked for, and 53 are there"):
        Demonstrations([samples], config, duo.BODY, most=60)


def test_exams_ask_what_they_say(trained):
    policy = VLAPolicy(trained[1])
    for exam in EXAMS:
        number = {"names": 4, "facts": 10, "facts never asked": 10}.get(exam, 1)
        rows = examine(policy, exam, number, "nobody")
        assert rows and {row.suite for row in rows} == {exam} and {row.arm for row in rows} == {"nobody"}
        for row in rows:
            if row.unit == "episode":
                assert (row.clusters["object"] in objects.RESERVED) == (exam == "reserved things")
            if exam in FINDING:
                assert row.metrics["by_look"] is False and row.clusters["object"] in FINDING[exam]
            if exam.startswith("facts"):
                assert row.metrics["rehearsed"] == (exam == "facts")
    with pytest.raises(UnknownNameError, match="reserved things"):
        examine(policy, "patience", 1, "nobody")


@pytest.fixture(scope="module")
def finished(at_home, samples, own, tmp_path_factory):
    """A grid of five arms at smoke size: its folder, its rows, and the config and result of each arm's run."""
    root = tmp_path_factory.mktemp("grid")
    arms = (ROBOT, TEXT, "and watched", "and failures, tagged", "generalist, then put")
    with at_home():
        data = dict.fromkeys(("robot", "others", *TASKS), samples) | {"failures": own}
        grid = Grid(root, root / "rows.jsonl.gz", progress=False)
        runs(grid, data, Scale.SMOKE, {"put": 1, "names": 4}, arms, 3)
        rows = grid.rows
        again = Grid(tmp_path_factory.mktemp("elsewhere"), grid.path, progress=False)
        runs(again, data, Scale.SMOKE, {"put": 1, "names": 4}, arms, 3)
        assert again.rows == rows and not list(again.engine.root.glob("*"))  # what has rows needs no folder
    done = {}
    for path in root.glob("pilab.experiments.pretraining.run-*/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
        done[config["arm"]] = path.parent, json.loads((path.parent / "result.json").read_text(encoding="utf-8"))
    return root, rows, done


def test_a_grid_from_nothing_to_rows(finished):
    root, rows, done = finished
    assert len(list(root.glob("*.pretrain-*"))) == 1 and len(done) == 6  # the past is shared
    assert {row.arm for row in rows} == set(done) - {"generalist"}  # which was not asked for, and had to come first
    for name, (folder, result) in done.items():
        mine = [row for row in rows if row.arm == name]
        if name == "generalist":
            continue
        assert {row.suite for row in mine} == {"put", "names"} and all(isinstance(row, Row) for row in mine)
        assert {row.clusters["training_seed"] for row in mine} == {3}
        assert {row.metrics["training_flops"] for row in mine} == {result["flops"]}
        origin = Checkpoint.load(folder / "checkpoint").origin
        assert (origin.get("start") is not None) == (name != ROBOT)
        past, start = 0.0, origin.get("start")
        while start:  # all that came before
            past, start = past + start["flops"], start.get("start")
        assert result["flops"] == origin["flops"] + past
    assert done[TEXT][1]["flops"] > done[ROBOT][1]["flops"]


def test_arms_learn_from_what_they_say(finished):
    _, _, done = finished
    data = {name: Checkpoint.load(folder / "checkpoint").origin["data"] for name, (folder, _) in done.items()}
    assert [d["name"] for d in data[ROBOT]] == ["demonstrations"]
    assert [d.get("watched", False) for d in data["and watched"]] == [False, True]
    assert [d["name"] for d in data["and failures, tagged"]] == ["demonstrations", "set"]
    assert len(data["generalist"]) == 4 and len(data["generalist, then put"]) == 1
    before = Checkpoint.load(done["generalist, then put"][0] / "checkpoint").origin["start"]
    assert before["hash"] == Checkpoint.load(done["generalist"][0] / "checkpoint").hash


def test_all_of_it_is_every_arm_with_its_seeds(monkeypatch, tmp_path):
    asked = []
    grid = Grid(tmp_path, tmp_path / "rows.jsonl")
    monkeypatch.setattr(grid, "demonstrations", lambda name, number, recipe: name)
    monkeypatch.setattr(
        pretraining, "runs", lambda g, data, scale, exams, arms, seed: asked.extend((a, seed, *data) for a in arms)
    )
    EXPERIMENT.conduct(grid, LAPTOP)
    assert {(arm, seed) for arm, seed, *_ in asked} == {
        *((arm, seed) for arm in HEADLINE for seed in (0, 1, 2)), *((arm, 0) for arm in ARMS if arm not in HEADLINE)
    }  # fmt: skip
    for name, _, *data in asked:  # what each needs is there, and nothing is collected for others
        assert {*ARMS[name].data, *ARMS[name].watched} <= set(data)
    assert {key for name, _, *data in asked if name in STAGES for key in data} == {"robot"}
    assert set(pretraining.amounts(LAPTOP)["exams"]) <= set(EXAMS)
    assert all(arm in EXPERIMENT.plan(LAPTOP) for arm in ARMS)
    for scale in (Scale.SMOKE, LAPTOP):  # no arm asks for more than is collected and not held out
        assert all(robot(arm, scale).most < 0.9 * pretraining.amounts(scale)["demonstrations"] for arm in ARMS.values())

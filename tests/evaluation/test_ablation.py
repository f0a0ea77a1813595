"""Sensors, taken one by one and together: only what reaches the policy changes, and controls always run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from pilab import cli
from pilab.contracts import STATE, PilabError, Policy, PolicyError, Row, UnknownNameError, image_key
from pilab.engine import Engine
from pilab.evaluation.ablation import WAYS, WHOLE, Taken, ablate, lattice, losses, sensors_of
from pilab.evaluation.glasses import IMAGES
from pilab.evaluation.rollout import DEFAULT
from pilab.evaluation.rows import read_rows
from pilab.evaluation.statistics import mcnemar
from pilab.robots.bridges.openpi import PolicyServer
from pilab.vla.checkpoint import Checkpoint
from pilab.world.bodies import duo_touch
from pilab.world.bodies.duo import BODY
from pilab.world.environment import World
from pilab.world.scenes import VALIDATION, sample_scene

SENSORS = sensors_of(BODY)
QUIET = {"progress": False, "threads": 2}


def readings(count=4):
    """What a robot that moves reads, step by step."""
    world = World(sample_scene(VALIDATION.start))
    target = np.where(SENSORS["grippers"].part, 0.3, np.array(BODY.home) + 0.3)
    found = []
    for _ in range(count):
        found.append(world.observe())
        world.step(target)
    return found


SEEN = readings(14)


def test_what_a_body_senses():
    assert list(SENSORS) == ["base", "left_wrist", "right_wrist", "joints", "grippers"]
    assert SENSORS["grippers"].part.sum() == 2 and not (SENSORS["grippers"].part & SENSORS["joints"].part).any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SENSORS)
def test_only_what_is_taken_changes(name, way):
    if Taken((SENSORS[name],), way) not in lattice({name: SENSORS[name]}, SENSORS, [way]):
        assert way == "contact" or (way in ("blur", "remove") and name in ("joints", "grippers"))
        return
    look, sensor = Taken((SENSORS[name],), way)(0), SENSORS[name]
    for before, after in ((seen, look(seen)) for seen in SEEN):
        assert {key for key in before if key not in after} == ({sensor.key} if way == "remove" else set())
        for key in after:
            if key != sensor.key:
                assert after[key] is before[key] or np.array_equal(after[key], before[key])
            elif sensor.part is not ...:
                assert np.array_equal(after[key][~sensor.part], before[key][~sensor.part])
    if way != "remove":
        last, now = SEEN[-1][sensor.key][sensor.part], after[sensor.key][sensor.part]
        assert now.dtype == last.dtype and now.shape == last.shape
        then = {"freeze": SEEN[0], "delay": SEEN[-11]}.get(way)
        if then is not None:
            assert np.array_equal(now, then[sensor.key][sensor.part])
        else:
            assert not np.array_equal(now, last) and (way != "black" or not now.any())


def test_the_lattice():
    cameras = {name: SENSORS[name] for name in ("base", "left_wrist", "right_wrist")}
    tried = lattice(cameras, SENSORS, most=2)
    names = [taken.name for taken in tried]
    assert names[:3] == [WHOLE, "black base", "black left_wrist"] and len(names) == 1 + 3 + 3 + 1
    assert "black base + left_wrist" in names and names[-1] == "black everything"  # the control, whatever is asked for
    assert tried[-1].sensors == tuple(SENSORS.values())
    assert len(lattice(cameras, SENSORS, ["black", "freeze"], most=3)) == 1 + 2 * 8
    assert len(lattice(SENSORS, SENSORS, most=9)) == 2**5  # every set, each of them once
    blurred = lattice({"joints": SENSORS["joints"]}, SENSORS, ["blur"])
    assert [t.name for t in blurred] == [WHOLE, "blur everything"] and len(blurred[-1].sensors) == 3
    with pytest.raises(UnknownNameError, match="unknown way 'melt'"):
        lattice(cameras, SENSORS, ["melt"])
    with pytest.raises(PilabError, match="0 sensors"):
        lattice({}, SENSORS)


class Fumbler(Policy):
    """Lifts an arm for as long as the camera above shows anything, and says what it was shown."""

    def __init__(self) -> None:
        self.shown = []

    def act(self, observation, thought):
        self.shown.append({key: np.array(value) for key, value in observation.items() if key.startswith(IMAGES)})
        chunk = np.repeat(observation[STATE][:, None], 5, axis=1)
        return chunk + 0.1 * observation[image_key("base")].any((1, 2, 3))[:, None, None]


def test_in_our_world_arms_are_pairs():
    policy = Fumbler()
    rows = ablate(policy, ["base", "left_wrist"], suite="put", episodes=2, **QUIET)
    arms = list(dict.fromkeys(row.arm for row in rows))
    assert arms == [WHOLE, "black base", "black left_wrist", "black everything"]
    assert len({(row.scene, row.seed) for row in rows}) == 2 and len(rows) == 8
    assert {row.clusters["taken"] for row in rows} == {"nothing", "base", "left_wrist", "everything"}
    dark = [{key: not seen[key].any() for key in seen} for seen in policy.shown]
    found = {tuple(sorted(key.removeprefix(IMAGES) for key, none in seen.items() if none)) for seen in dark}
    assert found == {(), ("base",), ("left_wrist",), ("base", "left_wrist", "right_wrist")}


def test_who_is_told_everything_needs_no_camera():
    rows = ablate("demonstrator", ["base"], ["blur", "remove"], suite="put", episodes=2, **QUIET)  # of cameras alone
    assert len(rows) == 10 and all(row.success for row in rows)
    assert len({row.steps for row in rows if row.seed == rows[0].seed}) == 1


def test_who_cannot_do_without_says_so():
    with pytest.raises(PolicyError, match="left_wrist"):
        ablate("default", ["left_wrist"], ["remove"], episodes=1, **QUIET)
    with pytest.raises(UnknownNameError, match="unknown sensor 'nose'"):
        ablate("hold", ["nose"])
    with pytest.raises(PilabError, match="'contact' on the body 'duo': nothing here feels touch"):
        ablate("hold", ["base"], ["black", "contact"])
    with pytest.raises(PilabError, match="it needs a name"):
        ablate("hold", body=BODY)
    with pytest.raises(PilabError, match="no policy and no run"):
        ablate(sensors=["base"])


def test_eyes_that_look_away_while_fingers_touch():
    feeling = sensors_of(duo_touch.BODY)
    assert {"touch", "force"} < set(feeling)
    tried = lattice(feeling, feeling, ["contact"], most=1)
    assert [t.name for t in tried[1:]] == [
        "contact base", "contact left_wrist", "contact right_wrist", "contact everything",
    ]  # fmt: skip
    assert len(lattice(SENSORS, SENSORS, ["contact"])) == 1  # nobody says when
    look, shown = Taken((feeling["base"],), "contact")(0), []
    key = image_key("base")
    for k, force in enumerate((0.0, 0.1, 3.0, 3.0, 0.0, 5.0)):
        seen = {key: np.full((2, 2, 3), k, np.uint8), "observation.touch": np.array([0.0, force, 0, 0])}
        shown.append(int(look(seen)[key][0, 0, 0]))
    assert shown == [0, 1, 1, 1, 4, 4]
    assert Taken((feeling["base"],), "contact").always
    rows = ablate("demonstrator", ["base"], ["contact"], suite="wipe", body="duo_touch", episodes=1, **QUIET)
    assert [row.arm for row in rows] == [WHOLE, "contact base", "contact everything"] and all(r.success for r in rows)


# ---------------------------------------------------------------------------------------------------------- what is lost
def told(arm, won, taken="nothing", way="black", suite="put", n=20):
    return [
        Row("episode", arm, suite, "none", k, f"scene {k}", k < won, {}, {"taken": taken, "way": way}) for k in range(n)
    ]


def test_what_is_lost_is_of_pairs():
    rows = [*told(WHOLE, 16), *told("black base", 2, "base"), *told("black left_wrist", 15, "left_wrist")]
    whole, base, wrist = losses([*rows])
    assert (whole.difference, whole.p, whole.taken) == (None, None, ())
    assert base.taken == ("base",) and base.difference.estimate == pytest.approx(-0.7)
    assert base.difference.only_b == 14 and base.p == pytest.approx(2 * mcnemar(*([False] * 14, [True] * 14)).p)
    assert wrist.p == 1.0  # Holm's of the larger one
    other = [dataclasses.replace(row, suite="open") for row in rows]
    assert [(f.suite, f.arm) for f in losses([*rows, *other])][3:] == [("open", f.arm) for f in (whole, base, wrist)]
    with pytest.raises(PilabError, match="on 19 scenes that are not the 20"):
        losses(rows[:-1])
    with pytest.raises(PilabError, match="no rows of 'all sensors' in 'put'"):
        losses(rows[20:])
    with pytest.raises(PilabError, match="do not say what was taken"):
        losses([dataclasses.replace(rows[0], clusters={})])


def test_sets_as_runs_of_an_engine(tmp_path):
    engine = Engine(tmp_path / "runs", workers=0)
    asked = {"suite": "put", "episodes": 2, "seed": VALIDATION.start}
    rows = ablate("hold", ["base", "joints"], ["freeze"], engine=engine, **asked)
    assert [row.arm for row in rows[::2]] == [WHOLE, "freeze base", "freeze joints", "freeze everything"]
    here = ablate("hold", ["base", "joints"], ["freeze"], **asked, **QUIET)
    assert [(r.arm, r.scene, r.success, r.clusters) for r in rows] == [
        (r.arm, r.scene, r.success, r.clusters) for r in here
    ]
    folders = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/result.json")}
    assert len(folders) == 4
    ablate("hold", ["base", "joints"], ["freeze"], engine=engine, **asked)
    assert folders == {path: path.stat().st_mtime_ns for path in folders}  # nothing was done again
    with pytest.raises(PilabError, match="expected a name, such as 'default'"):
        ablate(Fumbler(), ["base"], engine=engine)


def test_other_weights_in_the_same_folder_are_another_run(tmp_path):
    engine, folder = Engine(tmp_path / "runs", workers=0), tmp_path / "vla"
    shutil.copytree(DEFAULT, folder)
    asked = {"suite": "put", "episodes": 1, "seed": VALIDATION.start, "engine": engine}
    first = ablate(str(folder), ["base"], ["black"], **asked)
    checkpoint = Checkpoint.load(folder)
    with torch.no_grad():
        next(checkpoint.model.parameters()).add_(0.01)
    checkpoint.save(folder)
    second = ablate(str(folder), ["base"], ["black"], **asked)
    assert len({row.checkpoint for row in first}) == len({row.checkpoint for row in second}) == 1
    assert first[0].checkpoint != second[0].checkpoint


def test_from_the_shell(tmp_path, capsys):
    out, rows = tmp_path / "runs", tmp_path / "rows.jsonl.gz"
    command = f"ablate hold --sensors base --episodes 1 --out {out} --rows {rows} --workers 2"
    assert cli.main(command.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in lines] == [WHOLE, "black base", "black everything"]
    assert "p = 1.000" in lines[1] and len(read_rows(rows)) == 3
    assert cli.main([*command.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {"arm": "black base", "k": 0, "n": 1, "p": 1.0}


def test_a_policy_at_the_other_end_of_a_wire():
    policy = Fumbler()
    with PolicyServer(policy, port=0) as server:
        rows = ablate(server.url, ["base"], ["black", "freeze"], suite="put", episodes=1, **QUIET)
    assert [row.arm for row in rows] == [WHOLE, "black base", "black everything", "freeze base", "freeze everything"]
    assert len({row.scene for row in rows}) == 1
    dark = [not seen[image_key("base")].any() for seen in policy.shown]
    assert any(dark) and not all(dark)

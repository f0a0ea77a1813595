"""Who learnt by heart is perfect where it was taught, hears nothing, and knows nothing else."""

import numpy as np
import pytest

from pilab.contracts import DatasetError, Scene
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.rollout import evaluate
from pilab.robots.collection import Recipe, collect
from pilab.robots.memoriser import Memoriser
from pilab.world.scenes import REPORTED, sample_scene

QUIET = {"progress": False, "threads": 2}


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return collect(Recipe(("put",), noise=0.0), 6, tmp_path_factory.mktemp("taught") / "set", workers=0, progress=False)


@pytest.fixture(scope="module")
def scenes(taught):
    return [Scene.from_json(row["scene"]) for row in LeRobotDataset(taught).episodes]


def test_it_is_perfect_where_it_was_taught_whatever_is_said(taught, scenes):
    policy = Memoriser(taught)
    plain = evaluate(policy, scenes=scenes, **QUIET)
    assert all(row.success for row in plain)
    garbage = evaluate(policy, scenes=scenes, control="scramble", **QUIET)
    assert [(r.success, r.steps) for r in garbage] == [(r.success, r.steps) for r in plain]
    swapped = evaluate(policy, scenes=scenes, control="swap", **QUIET)
    assert all(row.success for row in swapped) and not any(row.metrics["followed"] for row in swapped)


def test_it_knows_nothing_else(taught):
    new = [sample_scene(REPORTED.start + k, "put") for k in range(4)]
    assert not any(row.success for row in evaluate(Memoriser(taught), scenes=new, **QUIET))


def test_it_looks_once(taught, scenes):
    policy = Memoriser(taught)
    seen = {policy.key: np.stack([policy.first[2], policy.first[4]]).astype(np.uint8)}
    thoughts = policy.think(seen, [None, None])
    assert [t.memory["demonstration"] for t in thoughts] == [2, 4]
    chunk = policy.act({}, thoughts)
    lengths = LeRobotDataset(taught).lengths
    assert chunk.shape == (2, max(lengths), 14)
    assert (chunk[0, lengths[2] :] == chunk[0, lengths[2] - 1]).all()


def test_it_needs_pictures_and_commands(write, tmp_path):
    folder = write(tmp_path / "set", episodes=2)
    with pytest.raises(DatasetError, match="take a dataset of `pilab collect`"):
        Memoriser(folder, camera="nose")

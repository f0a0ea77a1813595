"""The sample dataset is what it claims: every verb, small, and nothing in it that results call never seen."""

from pathlib import Path

import pytest

from pilab.contracts import Scene
from pilab.data.lerobot import LeRobotDataset
from pilab.world import objects
from pilab.world.scenes import TRAINING, refuse_reserved, sample_scene

FOLDER = Path(__file__).resolve().parents[1] / "data_samples" / "demonstrations"
VERBS = {"put", "push", "open", "close", "stack", "handover"}

pytestmark = pytest.mark.skipif(
    not (FOLDER / "meta" / "info.json").exists(), reason="data_samples/demonstrations has not been collected here"
)


@pytest.fixture(scope="module")
def episodes() -> list[dict]:
    return LeRobotDataset(FOLDER).episodes


def test_enough_of_every_verb(episodes):
    assert len(episodes) >= 50
    assert {e["verb"] for e in episodes} == VERBS


def test_small_enough_for_the_repository():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 10e6
    assert not list((FOLDER / ".staging").glob("*")), "leftovers of a collection: delete .staging"


def test_nothing_reserved(episodes):
    for episode in episodes:
        scene = Scene.from_json(episode["scene"])
        refuse_reserved(scene)
        assert scene.seed == episode["seed"]
        assert scene.seed in TRAINING
        assert (scene.goal.verb, scene.goal.object) == (episode["verb"], episode["object"])
        assert (scene.goal.place or "") == episode["place"]
        assert not {p.name for p in scene.parts} & set(objects.RESERVED)
        assert scene.instruction in episode["tasks"]


def test_every_scene_can_be_drawn_again(episodes):
    """From its seed and task, by the sampler of today."""
    for episode in episodes:
        scene = Scene.from_json(episode["scene"])
        assert sample_scene(scene.seed, scene.task).hash == scene.hash

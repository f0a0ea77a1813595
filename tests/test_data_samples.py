"""The samples are what they claim: every verb, small, nothing that results call never seen, rows of the shipped policy."""

import json
from pathlib import Path

import pytest

from pilab import notebook
from pilab.contracts import Scene
from pilab.data.lerobot import LeRobotDataset
from pilab.evaluation.rollout import DEFAULT
from pilab.experiments import recipe
from pilab.experiments.reel import NEW
from pilab.vla.checkpoint import Checkpoint
from pilab.world import objects
from pilab.world.scenes import REPORTED, TRAINING, VALIDATION, refuse_reserved, sample_scene

FOLDER = Path(__file__).resolve().parents[1] / "data_samples" / "demonstrations"
VERBS = {"put", "push", "open", "close", "stack", "handover"}


@pytest.fixture(scope="module")
def episodes() -> list[dict]:
    if not (FOLDER / "meta" / "info.json").exists():
        pytest.skip("data_samples/demonstrations has not been collected here")
    return LeRobotDataset(FOLDER).episodes


def test_enough_of_every_verb(episodes):
    assert len(episodes) >= 50
    assert {e["verb"] for e in episodes} == VERBS


def test_small_enough_for_the_repository(episodes):
    assert sum(path.stat().st_size for path in FOLDER.parent.rglob("*") if path.is_file()) < 35e6
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


def test_the_web_says_that_it_is_synthetic_and_shows_every_look():
    web = FOLDER.parent / "web"
    assert "generated from code" in (web / "README.md").read_text(encoding="utf-8")
    pictures = [json.loads(line) for line in (web / "pictures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(web / picture["file"]).name for picture in pictures} == {path.name for path in web.rglob("*.png")}
    assert set(objects.LOOKS) <= {part for picture in pictures for part in picture["points"]}


CHOICES = {"00_recipe"}  # what a recipe is chosen by is measured on the seeds for choices
WITHOUT_SCENE = {"word", "sentence", "fold"}  # their seeds are those of a draw
BY_HEART = {
    "13"
}  # the scenes of its reel are demonstrations that one of its policies learnt by heart; new ones are reported


@pytest.mark.parametrize("name", sorted(path.name.partition(".")[0] for path in notebook.ROWS.glob("*.jsonl.gz")))
def test_every_trial_is_one_row_of_a_range_kept_for_it(name):
    rows = notebook.committed_rows(name)
    trials = [(r.unit, r.arm, r.suite, r.control, r.scene, r.instruction, *sorted(r.clusters.items())) for r in rows]
    assert rows and len(set(trials)) == len(trials)
    seeds = VALIDATION if name in CHOICES else REPORTED
    placed = [row for row in rows if row.unit not in WITHOUT_SCENE]
    if name in BY_HEART:
        reel = [row for row in placed if row.clusters["exam"] != NEW]
        assert {row.seed for row in reel} <= set(TRAINING) and len(reel) < len(placed)
        placed = [row for row in placed if row.clusters["exam"] == NEW]
    assert all(row.seed in seeds or (row.unit != "episode" and row.seed in VALIDATION) for row in placed)


def test_rows_of_notebook_00_are_those_of_the_shipped_policy():
    rows = notebook.committed_rows("00")
    mine = [row for row in rows if row.arm == "vla"]
    assert {row.checkpoint for row in mine} == {Checkpoint.load(DEFAULT).hash}
    assert not any(row.privileged for row in mine)
    arms = {(row.arm, row.control, row.suite) for row in rows}
    assert ("vla", "none", "naming") in arms
    for control in ("none", "black", "swap", "scramble", "paraphrase"):
        assert ("vla", control, "put") in arms
    assert ("replayed demonstrator", "replay", "put") in arms


def test_rows_of_the_recipe_are_all_its_arms_on_the_same_scenes():
    runs = {}
    for row in notebook.committed_rows("00_recipe"):
        runs.setdefault((row.arm, row.clusters["training_seed"]), []).append(row)
    trained, cooled = (
        {(arm, seed) for arm in arms for seed in recipe.SEEDS} for arms in ((*recipe.ACTS, *recipe.SEES), recipe.COOLED)
    )
    assert set(runs) == trained | cooled | {(arm, 0) for arm in recipe.DRIVEN}
    assert {tuple(row.scene for row in rows) for rows in runs.values()} == {
        tuple(sample_scene(VALIDATION.start + k, "put").hash for k in range(200))
    }
    assert {row.checkpoint for arm in recipe.DRIVEN for row in runs[arm, 0]} == {Checkpoint.load(DEFAULT).hash}
    weights = {run: {row.checkpoint for row in rows} for run, rows in runs.items()}
    assert all(len(found) == 1 for found in weights.values())
    assert len(set.union(*(weights[run] for run in trained))) == len(trained)
    assert all(weights[arm, seed] == weights[recipe.BASE, seed] for arm, seed in cooled)

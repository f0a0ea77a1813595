"""Roll-outs: rows with the documented keys, controls that control something, seeds dealt in turn."""

import dataclasses
import json

import numpy as np
import pytest

from pilab.contracts import SCENE, STATE, PilabError, Policy, PolicyError, Row, SceneError, UnknownNameError, image_key
from pilab.evaluation import controls, rollout
from pilab.evaluation.rollout import (
    ALL,
    METRICS,
    evaluate,
    make_policy,
    rate_of,
    record,
    suite_scenes,
    summary,
    table,
)
from pilab.robots.simulated import Trial
from pilab.world import objects, places
from pilab.world.demonstrators import Demonstrator
from pilab.world.scenes import REPORTED, find_body, is_reserved_cell, sample_scene
from pilab.world.task import task_of

RATE = {"k", "n", "rate", "low", "high"}
QUIET = {"progress": False, "threads": 2}


@pytest.fixture(scope="module")
def shown() -> list[Row]:
    """The demonstrator on eight scenes."""
    return evaluate("demonstrator", "all", 8, **QUIET)


# ------------------------------------------------------------------------------------------------------------------ rows
def test_rows_have_the_documented_keys(shown):
    for row in shown:
        told = json.loads(row.to_json())
        assert set(told) == {f.name for f in dataclasses.fields(Row)}
        assert told["unit"] == "episode"
        assert (told["arm"], told["suite"], told["control"]) == ("demonstrator", "all", "none")
        assert set(told["metrics"]) == set(METRICS)
        assert set(told["clusters"]) == {"verb", "object", "place"}
        assert told["privileged"] is True
        assert {"python", "mujoco", "numpy"} <= set(told["versions"])
        assert isinstance(told["success"], bool)
        assert told["steps"] > 0
        assert Row.from_json(row.to_json()) == row
    assert [row.success for row in shown].count(True) >= 7
    assert all(bool(row.failure) is not row.success for row in shown)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"unit": 1}', '{"nonsense": 1}'])
def test_what_is_not_a_row_is_told(text):
    with pytest.raises(PilabError, match="not a result row"):
        Row.from_json(text)


def test_rows_are_those_of_the_scenes_in_their_order(shown):
    scenes = list(suite_scenes("all", 8))
    assert [row.scene for row in shown] == [s.hash for s in scenes]
    assert [row.seed for row in shown] == [REPORTED.start + i for i in range(8)]
    assert [row.clusters["verb"] for row in shown] == [*ALL, *ALL]
    assert [row.instruction for row in shown] == [s.instruction for s in scenes]
    for row, scene in zip(shown, scenes, strict=True):
        assert row.clusters["object"] == scene.goal.object
        assert row.clusters["place"] == (scene.goal.place or "")


@pytest.mark.parametrize(("suite", "verbs"), [("all", ALL), ("stack", ("stack",)), ("handover", ("handover",))])
def test_seeds_are_dealt_to_the_verbs_in_turn(suite, verbs):
    scenes = list(suite_scenes(suite, 6, 123))
    assert [s.seed for s in scenes] == list(range(123, 129))
    assert [s.task for s in scenes] == [verbs[i % len(verbs)] for i in range(6)]
    assert list(suite_scenes(suite, 6, 123)) == scenes


# --------------------------------------------------------------------------------------------------------------- summary
def test_a_rate_counts_where_its_metric_applies(shown):
    doors = [row for row in shown if row.clusters["verb"] in ("open", "close")]
    assert rate_of(doors, "grasped_right").n == 0  # nothing to grasp
    assert rate_of(shown, "grasped_right").n == sum(row.metrics["grasped_right"] is not None for row in shown) == 2
    assert (rate_of(shown).k, rate_of(shown).n) == (sum(row.success for row in shown), 8)


def test_a_summary_has_the_documented_keys(shown):
    digest = summary(shown, 1.234)
    assert set(digest) == {"suite", "control", "success", "metrics", "per_verb", "seconds"}
    assert json.loads(json.dumps(digest)) == digest
    assert (digest["suite"], digest["control"], digest["seconds"]) == ("all", "none", 1.23)
    assert set(digest["metrics"]) == {
        "reached", "grasped_any", "grasped_right", "placed_right", "wrong_moved", "followed",
    }  # fmt: skip
    assert list(digest["per_verb"]) == list(ALL)
    for rate in (digest["success"], *digest["metrics"].values(), *digest["per_verb"].values()):
        assert set(rate) == RATE
        assert 0 <= rate["low"] <= rate["rate"] <= rate["high"] <= 1
    assert digest["success"]["n"] == 8
    assert all(rate["n"] == 2 for rate in digest["per_verb"].values())
    assert "success" in table(digest)


def test_metrics_count_only_where_they_apply(shown):
    counted = {name: rate["n"] for name, rate in summary(shown)["metrics"].items()}
    # Pushing, opening and closing grasp nothing: 2 of the 8 episodes are `put`.
    assert counted == {
        "reached": 8, "grasped_any": 2, "grasped_right": 2, "placed_right": 8, "wrong_moved": 8, "followed": 8,
    }  # fmt: skip
    for row in shown:
        applies = task_of(sample_scene(row.seed, row.clusters["verb"])).metrics
        assert {name for name, value in row.metrics.items() if value is not None} == {*applies, "followed"}


def test_a_rate_of_nothing_is_nothing(shown):
    digest = summary([row for row in shown if row.clusters["verb"] == "open"])
    assert digest["metrics"]["grasped_any"] == {"k": 0, "n": 0, "rate": None, "low": None, "high": None}
    assert "grasped_any" not in table(digest)


# -------------------------------------------------------------------------------------------------------------- controls
def test_black_says_nothing_about_the_privileged():
    with pytest.raises(PolicyError, match="privileged"):
        evaluate("demonstrator", episodes=1, control="black", **QUIET)


class Looks(Policy):
    """Notes the brightest pixel it was ever shown."""

    brightest = 0
    cameras = ("base", "left_wrist")

    def act(self, observation, thought):
        Looks.brightest = max(Looks.brightest, *(int(observation[image_key(c)].max()) for c in ("base", "left_wrist")))
        return np.repeat(np.asarray(observation[STATE])[:, None], 40, axis=1)


@pytest.mark.parametrize(("control", "dark"), [("none", False), ("black", True)])
def test_black_is_black(control, dark):
    Looks.brightest = 0
    (row,) = evaluate(Looks(), "open", 1, control=control, **QUIET)
    assert (Looks.brightest == 0) is dark
    assert row.control == control


@pytest.mark.parametrize("task", [*ALL, "stack", "handover"])
def test_swap_names_something_else_that_is_there(task):
    for seed in range(600_000, 600_030):
        scene = sample_scene(seed, task)
        trial = controls.swap(Trial(scene), np.random.default_rng(seed))
        said = trial.spoken
        assert trial.scene is scene
        assert said.parts == scene.parts
        assert said.goal.verb == scene.goal.verb
        assert said.goal.object != scene.goal.object
        assert said.goal.object in {p.name for p in scene.parts}
        assert said.instruction != scene.instruction
        assert not is_reserved_cell(said.goal.verb, said.goal.object, said.goal.place)
        if task in ("open", "close"):
            assert {said.goal.object, scene.goal.object} == set(places.FIXTURES)
        else:
            assert said.goal.object in objects.HANDLED
            assert said.goal.place is None or said.goal.place in {p.name for p in scene.parts}
            assert task_of(scene).suits(said.goal.object)


def test_swap_scores_the_original_and_what_was_said():
    rows = evaluate("demonstrator", "all", 8, control="swap", **QUIET)
    assert not any(row.success for row in rows)  # it listens: what the scene wanted does not happen
    assert sum(row.metrics["followed"] for row in rows) >= 7
    spoken = [row.instruction for row in rows]
    assert not set(spoken) & {s.instruction for s in suite_scenes("all", 8)}


def test_scramble_is_nonsense_with_the_same_letters():
    scene = sample_scene(1, "put")
    said = controls.scramble(Trial(scene), np.random.default_rng(0)).spoken
    assert said.goal == scene.goal
    assert said.instruction != scene.instruction
    assert sorted(said.instruction.replace(" ", "")) == sorted(scene.instruction.replace(" ", ""))
    rows = evaluate("hold", "open", 1, control="scramble", **QUIET)
    assert rows[0].metrics["followed"] is None
    assert summary(rows)["metrics"]["followed"]["n"] == 0


def test_replay_loses_nothing():
    rows = evaluate("demonstrator", "all", 4, control="replay", **QUIET)
    assert [row.success for row in rows] == [True] * 4
    assert [row.control for row in rows] == ["replay"] * 4
    scenes = list(suite_scenes("all", 4))
    recordings = record(scenes, batch=4, threads=2)
    assert [len(recordings[s.hash]) for s in scenes] == [row.steps for row in rows]


def test_controls_run_on_the_same_scenes(shown):
    rows = evaluate("hold", "all", 4, control="swap", **QUIET)
    assert [row.scene for row in rows] == [row.scene for row in shown[:4]]


# -------------------------------------------------------------------------------------------------------------- policies
def test_hold_never_succeeds():
    rows = evaluate("hold", "all", 8, **QUIET)
    assert not any(row.success for row in rows)
    assert all(row.failure == "never reached it" for row in rows)
    assert not any(row.privileged for row in rows)


def test_given_scenes_are_run_as_given():
    scenes = [sample_scene(9, "stack"), sample_scene(4, "put")]
    rows = evaluate("hold", scenes=scenes, arm="still", **QUIET)
    assert [row.scene for row in rows] == [s.hash for s in scenes]
    assert {row.arm for row in rows} == {"still"}


def test_a_scene_given_twice_is_refused():
    scene = sample_scene(4, "open")
    with pytest.raises(SceneError, match=scene.hash):
        evaluate("hold", scenes=[scene, sample_scene(5, "open"), scene], **QUIET)


def test_another_body():
    rows = evaluate("demonstrator", "put", 2, body="solo", **QUIET)
    assert all(row.success for row in rows)


def test_rows_do_not_depend_on_batch_or_threads():
    def plain(rows):
        return [dataclasses.replace(row, seconds=0.0) for row in rows]

    alone = plain(evaluate("random", "all", 4, batch=1, threads=1, progress=False))
    assert plain(evaluate("random", "all", 4, batch=4, threads=2, progress=False)) == alone


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ({"control": "white"}, "none, black, swap, scramble, paraphrase, replay"),
        (
            {"suite": "everything"},
            "all, away, check, close, fragile, handover, heed",
        ),
        ({"policy": "nobody"}, "demonstrator, random, hold"),
        ({"policy": "nowhere:POLICY"}, "MODULE:OBJECT"),
        ({"body": "nobody"}, "duo"),
        ({"suite": "nowhere:TASK"}, "MODULE:OBJECT"),
    ],
)
def test_unknown_names_list_the_valid_ones(options, valid):
    with pytest.raises(UnknownNameError, match=valid):
        evaluate(**{"policy": "hold", "suite": "put", "episodes": 1, **QUIET, **options})


def test_something_else_than_a_policy_is_told():
    with pytest.raises(PolicyError, match="act"):
        make_policy("math:pi", find_body("duo"))


def test_default_is_the_shipped_checkpoint(monkeypatch, tmp_path):
    assert rollout.DEFAULT.parts[-2:] == ("data_samples", "checkpoint") and rollout.DEFAULT.parent.is_dir()
    monkeypatch.setattr(rollout, "DEFAULT", tmp_path)
    with pytest.raises(PolicyError, match=r"not a checkpoint: config\.json is missing"):
        make_policy("default", find_body("duo"))
    monkeypatch.setattr(rollout, "VLAPolicy", lambda folder, body: (folder, body.name))
    assert make_policy("default", find_body("duo")) == (tmp_path, "duo")


def test_without_a_shipped_checkpoint_it_is_said_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setattr(rollout, "DEFAULT", tmp_path / "nowhere")
    with pytest.raises(PolicyError, match=r"pilab train laptop --out .*nowhere"):
        make_policy("default", find_body("duo"))


def test_nothing_follows_by_itself_under_swap():
    rows = evaluate("hold", "all", 16, control="swap", progress=False)
    assert not any(row.metrics["followed"] for row in rows)


class Deaf(Demonstrator):
    """Does what the scene was made for, whatever is said."""

    def think(self, observation, previous):
        return super().think(self._unswapped(observation), previous)

    def act(self, observation, thought):
        return super().act(self._unswapped(observation), thought)

    @staticmethod
    def _unswapped(observation):
        return {**observation, SCENE: [sample_scene(s.seed, s.task) for s in observation[SCENE]]}


def test_a_deaf_policy_is_found_out_by_swap():
    rows = evaluate(Deaf(), "all", 12, control="swap", progress=False)
    assert sum(row.success for row in rows) >= 11
    assert not any(row.metrics["followed"] for row in rows)
    assert not any(row.metrics["wrong_moved"] for row in rows)


def test_the_other_fixture_counts_as_moved_under_swap():
    rows = evaluate("demonstrator", "open", 4, control="swap", progress=False)
    assert all(row.metrics["wrong_moved"] and row.metrics["followed"] for row in rows)


def test_nonsense_says_nothing_about_who_does_not_listen():
    with pytest.raises(PolicyError, match="scramble"):
        evaluate("demonstrator", "put", 1, control="scramble", progress=False)

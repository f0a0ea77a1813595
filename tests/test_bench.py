"""`pilab bench` measures what its table names; the figures themselves depend on the machine and are not judged here."""

from __future__ import annotations

import json

import pytest

from pilab import bench, cli
from pilab.contracts import PilabError
from pilab.data.cache import pilab_home

KEYS = {
    "world_steps_per_s_1t", "world_steps_per_s_2t", "world_overhead", "render_ms_per_step", "demos_per_min",
    "dataset_read_steps_per_s", "cache_read_steps_per_s",
}  # fmt: skip


def test_every_figure_is_there_and_positive(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "DEMONSTRATIONS", 2)
    monkeypatch.setenv("PILAB_HOME", str(tmp_path))
    assert cli.main(["bench", "--json"]) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert said.out.count("\n") == 1 and said.err == ""
    assert set(figures) == KEYS
    assert all(isinstance(value, float) and value > 0 for value in figures.values())
    assert figures["world_overhead"] > 1  # the whole takes longer than its parts
    assert list((pilab_home() / "frames").iterdir()) == []  # nothing stays behind


def test_scene_is_as_full_as_it_says():
    looks = [p for p in bench.crowded_scene().parts if "look" in p.parameters]
    assert len(looks) == len({p.name for p in looks}) == 10


def test_timing_leaves_mujoco_as_it_was():
    before = bench.mujoco.mj_step, bench.mujoco.mj_multiRay
    overhead, milliseconds = bench._world_shares(steps=3)
    assert overhead > 1 and milliseconds > 0
    assert (bench.mujoco.mj_step, bench.mujoco.mj_multiRay) == before


def test_peer_that_is_not_there_is_said_with_the_way_to_make_one(tmp_path):
    with pytest.raises(PilabError, match=r"cannot run .*python: .*make_environment\.py"):
        bench.peer_rate(str(tmp_path / "python"), tmp_path)

"""Datasets from datasets: nothing is lost, nothing is touched, and what cannot be is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pilab.cli import numbers
from pilab.contracts import DatasetError
from pilab.data.lerobot import DatasetWriter, Feature, LeRobotDataset
from pilab.data.lerobot.edit import delete, export_v21, merge, relabel, repair, split
from pilab.data.lerobot.format import INFO, TASKS


@pytest.fixture
def make(tmp_path, features, episode):
    def made(name: str, count: int, first: int = 0, **changes) -> Path:
        writer = DatasetWriter.create(tmp_path / name, 10, features | changes, "duo", {"recipe": name})
        for e in range(first, first + count):
            arrays = episode(e, 10 + e)
            arrays |= {key: np.zeros((10 + e, *f.shape), f.dtype) for key, f in changes.items()}
            writer.save_episode(arrays, f"task {e % 2}", {"verb": "put", "quality": e})
        return writer.root

    return made


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(root)): (p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


def same(one: LeRobotDataset, e: int, other: LeRobotDataset, f: int) -> None:
    """Every value of an episode, pixels included, but for where it stands."""
    a, b = one.episode(e), other.episode(f)
    for key in a:
        if key not in ("episode_index", "index", "task_index", "task"):
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_merged_split_and_deleted_episodes_are_the_old_ones(make, tmp_path):
    a, b = make("a", 3), make("b", 2, first=5)
    before = files(a), files(b)
    both = merge([a, b], tmp_path / "both", progress=False)
    one, two = LeRobotDataset(a), LeRobotDataset(b)
    assert both.lengths.tolist() == [10, 11, 12, 15, 16] and both.tasks == ["task 0", "task 1"]
    assert [row["quality"] for row in both.episodes] == [0, 1, 2, 5, 6]
    for e in range(5):
        same(both, e, *((one, e) if e < 3 else (two, e - 3)))
    np.testing.assert_allclose(both.stats["action"]["mean"], both.columns["action"].mean(0), atol=1e-6)
    assert both.pilab["meta"]["sources"] == [one.id, two.id] and both.id not in (one.id, two.id)
    assert os.path.samefile(both.video_of("observation.images.base", 4), two.video_of("observation.images.base", 1))
    some = split(tmp_path / "both", tmp_path / "some", [4, 0], progress=False)
    same(some, 0, two, 1), same(some, 1, one, 0)
    less = delete(tmp_path / "both", tmp_path / "less", [0, 3], progress=False)
    assert less.lengths.tolist() == [11, 12, 16]
    same(less, 2, two, 1)
    assert (files(a), files(b)) == before


def test_a_new_instruction(make, tmp_path):
    old = LeRobotDataset(make("a", 3))
    new = relabel(old.root, tmp_path / "new", "wave", [1], progress=False)
    assert [row["tasks"] for row in new.episodes] == [["task 0"], ["wave"], ["task 0"]]
    for e in range(3):
        same(old, e, new, e)
    assert relabel(old.root, tmp_path / "all", "wave", progress=False).tasks == ["wave"]


def test_what_cannot_be_is_refused_before_anything_is_written(make, tmp_path):
    a, other = make("a", 2), make("other", 1, extra=Feature("float32", (2,), ["x", "y"]))
    for edit, match in (
        (lambda out: merge([a, other], out), "differ in extra"),
        (lambda out: split(a, out, [2]), "has no episode 2; it has 0 … 1"),
        (lambda out: split(a, out, []), "at least one"),
        (lambda out: delete(a, out, [0, 1]), "at least one"),
        (lambda out: relabel(a, out, " "), "cannot be empty"),
        (lambda out: merge([tmp_path / "nowhere"], out), "not a LeRobot dataset"),
    ):
        with pytest.raises(DatasetError, match=match):
            edit(tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(DatasetError, match="not empty"):
        split(a, other, [0], progress=False)


def test_repair_keeps_every_episode_that_is_whole(make, tmp_path):
    root = make("a", 5)
    whole = LeRobotDataset(root)
    data, video = sorted((root / "data").rglob("*.parquet")), sorted((root / "videos").rglob("*.mp4"))
    data[1].write_bytes(data[1].read_bytes()[:200])  # truncated
    next(v for v in video if "wrist" in str(v) and v.name == "file-003.mp4").unlink()
    (root / TASKS).unlink()
    info = json.loads((root / INFO).read_text())
    info["total_episodes"], info["total_frames"] = 9, 999
    (root / INFO).write_text(json.dumps(info))
    with pytest.raises(DatasetError):
        LeRobotDataset(root)
    lost = repair(root, tmp_path / "new", progress=False)
    assert [line.split(":")[0] for line in lost] == ["meta/tasks.parquet", "episode 1", "episode 3"]
    new = LeRobotDataset(tmp_path / "new")
    assert [row["quality"] for row in new.episodes] == [0, 2, 4] and new.tasks == ["task 0"]
    for key in ("action", "observation.state", "subtask"):
        np.testing.assert_array_equal(new.episode(1)[key], whole.episode(2)[key])
    with pytest.raises(DatasetError, match="not a LeRobot dataset"):
        repair(tmp_path / "nowhere", tmp_path / "x")


def test_a_whole_dataset_loses_nothing_in_repair(make, tmp_path):
    root = make("a", 2)
    assert repair(root, tmp_path / "new", progress=False) == []
    assert LeRobotDataset(tmp_path / "new").lengths.tolist() == [10, 11]


def test_the_older_format(make, tmp_path):
    """Paths, tables and values as openpi's LeRobot expects them."""
    new = LeRobotDataset(make("a", 3))
    out = export_v21(new.root, tmp_path / "old", progress=False)
    info = json.loads((out / "meta/info.json").read_text())
    assert info["codebase_version"] == "v2.1" and info["total_videos"] == 6 and info["total_chunks"] == 1
    rows = [json.loads(line) for line in (out / "meta/episodes.jsonl").read_text().splitlines()]
    assert rows[2] == {"episode_index": 2, "tasks": ["task 0"], "length": 12}
    tasks = [json.loads(line) for line in (out / "meta/tasks.jsonl").read_text().splitlines()]
    assert tasks == [{"task_index": 0, "task": "task 0"}, {"task_index": 1, "task": "task 1"}]
    stats = [json.loads(line) for line in (out / "meta/episodes_stats.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(stats[1]["stats"]["action"]["mean"], new.episode(1)["action"].mean(0), atol=1e-6)
    for e in range(3):
        table = pq.read_table(out / info["data_path"].format(episode_chunk=0, episode_index=e))
        np.testing.assert_array_equal(np.stack(table.column("action").to_numpy()), new.episode(e)["action"])
        hints = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert hints["action"]["_type"] == "Sequence"  # datasets before 4 refuses a file that says "List"
        for key in new.cameras:
            path = out / info["video_path"].format(episode_chunk=0, episode_index=e, video_key=key)
            assert path.read_bytes() == new.video_of(key, e).read_bytes()
    with pytest.raises(DatasetError, match="not empty"):
        export_v21(new.root, out)


def test_lists_of_episodes():
    assert numbers("0,3,5:9") == [0, 3, 5, 6, 7, 8]
    for wrong in ("", "a", "1:", "-1", "1,,2"):
        with pytest.raises(Exception, match="not a list of episodes"):
            numbers(wrong)

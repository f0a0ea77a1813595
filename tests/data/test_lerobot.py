"""The LeRobot format: what is written is read back, what is broken is said, what is killed loses nothing."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilab.contracts import DatasetError, UnknownNameError
from pilab.data.lerobot import (
    DatasetInfo,
    DatasetWriter,
    Feature,
    LeRobotDataset,
    VideoCodec,
    colour_error,
    stage_episode,
)
from pilab.data.lerobot.format import DEFAULT_FEATURES, next_file
from pilab.data.lerobot.stats import episode_stats, merge
from pilab.data.lerobot.video import Decoder, Video, encode

BASE = "observation.images.base"


@pytest.fixture
def written(tmp_path, features, episode):
    """Three episodes of 10, 11 and 12 frames."""
    writer = DatasetWriter.create(tmp_path / "set", 10, features, "duo", {"recipe": "test"})
    for e in range(3):
        writer.save_episode(episode(e, 10 + e), f"task {e % 2}", {"verb": "put", "quality": e, "speed": 1.5})
    return writer


# ------------------------------------------------------------------------------------------------------------ round trip
def test_what_is_written_is_read_back(written, features, episode):
    dataset = LeRobotDataset(written.root)
    assert len(dataset) == 33 and dataset.fps == 10 and dataset.id == written.id
    assert dataset.tasks == ["task 0", "task 1"] and dataset.lengths.tolist() == [10, 11, 12]
    assert [row["quality"] for row in dataset.episodes] == [0, 1, 2]
    for e in range(3):
        raw, back = episode(e, 10 + e), dataset.episode(e)
        for key, feature in features.items():
            if feature.dtype == "video":
                assert colour_error(back[key], raw[key])["mean"] < 2, "levels of 255"
            else:
                np.testing.assert_array_equal(back[key], raw[key], strict=feature.dtype != "string")
        assert back["task"] == [f"task {e % 2}"] * (10 + e)
        assert back["episode_index"].tolist() == [e] * (10 + e)
        np.testing.assert_allclose(back["timestamp"], np.arange(10 + e) / 10, rtol=1e-6)
    np.testing.assert_array_equal(dataset.columns["index"], np.arange(33))


def test_a_frame_is_a_row_of_its_episode(written):
    dataset = LeRobotDataset(written.root)
    back = dataset.episode(1)
    for k in (0, 3, 10):
        frame = dataset[10 + k]
        assert frame.keys() == back.keys()
        for key, value in frame.items():
            np.testing.assert_array_equal(value, back[key][k], err_msg=key)
    np.testing.assert_array_equal(dataset[-1]["action"], dataset[32]["action"])
    with pytest.raises(IndexError):
        dataset[33]
    with pytest.raises(UnknownNameError, match="action"):
        dataset.episode(0, ["actoin"])


def test_a_window_repeats_the_ends_and_says_so(written):
    dataset = LeRobotDataset(written.root)
    back = dataset.episode(1)
    window = dataset.window(11, {"action": [-2, 0, 3, 30], BASE: [-5, 0], "subtask": [0], "task": [0, 1]})
    np.testing.assert_array_equal(window["action"], back["action"][[0, 1, 4, 10]])
    assert window["action_is_pad"].tolist() == [True, False, False, True]
    np.testing.assert_array_equal(window[BASE], back[BASE][[0, 1]])
    assert window[f"{BASE}_is_pad"].tolist() == [True, False]
    assert window["subtask"] == ["reach 0"] and window["task"] == ["task 1", "task 1"]


@pytest.mark.parametrize(
    "feature",
    [
        Feature("float64", (2, 3)),
        Feature("int32", (4,)),
        Feature("uint8"),
        Feature("bool", (2,)),
        Feature("float16", (2, 2, 2)),
    ],
)
def test_any_numeric_feature_round_trips(tmp_path, feature):
    values = (np.random.default_rng(0).normal(size=(5, *feature.shape)) * 3).astype(feature.dtype)
    writer = DatasetWriter.create(tmp_path / "set", 10, {"x": feature})
    writer.save_episode({"x": values}, "t")
    expected = values[:, 0] if feature.shape == (1,) else values
    np.testing.assert_array_equal(LeRobotDataset(writer.root).episode(0)["x"], expected, strict=True)


def test_image_features_are_exact(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), np.uint8)
    writer = DatasetWriter.create(tmp_path / "set", 10, {"observation.images.a": Feature.image(8, 10, "image")})
    writer.save_episode({"observation.images.a": frames}, "t")
    writer.save_episode({"observation.images.a": frames[::-1]}, "t")
    dataset = LeRobotDataset(writer.root)
    np.testing.assert_array_equal(dataset.episode(0)["observation.images.a"], frames)
    np.testing.assert_array_equal(dataset[7]["observation.images.a"], frames[4])


def test_one_instruction_per_frame(tmp_path):
    writer = DatasetWriter.create(tmp_path / "set", 10, {"x": Feature("float32")})
    writer.save_episode({"x": np.zeros(3, np.float32)}, ["b", "a", "b"])
    dataset = LeRobotDataset(writer.root)
    assert dataset.episode(0)["task"] == ["b", "a", "b"] and dataset.episodes[0]["tasks"] == ["b", "a"]


def test_a_dataset_without_episodes_is_readable(tmp_path, features):
    dataset = LeRobotDataset(DatasetWriter.create(tmp_path / "set", 10, features).root)
    assert len(dataset) == 0 and dataset.episodes == [] and dataset.stats == {}


def test_files_are_numbered_into_chunks():
    assert next_file(0, 0, 1000) == (0, 1) and next_file(0, 999, 1000) == (1, 0)


def test_many_episodes_fill_chunks_and_tables(tmp_path):
    writer = DatasetWriter.create(tmp_path / "set", 10, {"x": Feature("float32")})
    writer.info = DatasetInfo.parse(json.dumps(json.loads(writer.info.to_json()) | {"chunks_size": 4}))
    for e in range(60):
        writer.save_episode({"x": np.full(2, e, np.float32)}, "t", {"number": e})
    dataset = LeRobotDataset(writer.root)
    assert [row["number"] for row in dataset.episodes] == list(range(60))
    np.testing.assert_array_equal(dataset.columns["x"], np.repeat(np.arange(60), 2))
    assert (dataset.episodes[59]["data/chunk_index"], dataset.episodes[59]["data/file_index"]) == (14, 3)
    assert len(list((writer.root / "meta/episodes").rglob("*.parquet"))) == 2


# ------------------------------------------------------------------------------------------------------------ statistics
def test_statistics_merge_as_if_counted_at_once():
    rng = np.random.default_rng(0)
    feature = {"x": Feature("float32", (3,))}
    parts = [rng.normal(size=(n, 3)) for n in (5, 9, 1)]
    total = {}
    for part in parts:
        total = merge(total, episode_stats({"x": part}, feature))
    whole = episode_stats({"x": np.concatenate(parts)}, feature)
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(total["x"][name], whole["x"][name], err_msg=name)
    assert (total["x"]["q01"] <= whole["x"]["q10"]).all() and (total["x"]["q99"] >= whole["x"]["q90"]).all()


def test_image_statistics_are_those_of_the_pixels():
    frames = np.random.default_rng(0).integers(0, 200, (20, 12, 14, 3), np.uint8)
    stats = episode_stats({"c": frames}, {"c": Feature.image(12, 14)})["c"]
    pixels = frames.reshape(-1, 3) / 255
    for name, value in {
        "mean": pixels.mean(0),
        "std": pixels.std(0),
        "min": pixels.min(0),
        "max": pixels.max(0),
    }.items():
        np.testing.assert_allclose(stats[name][:, 0, 0], value, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(stats["q50"][:, 0, 0], np.median(pixels, axis=0), atol=1 / 255)
    assert stats["mean"].shape == (3, 1, 1) and stats["count"].tolist() == [20]


def test_written_statistics_are_of_all_episodes(written, episode):
    action = np.concatenate([episode(e, 10 + e)["action"] for e in range(3)])
    stats = LeRobotDataset(written.root).stats
    np.testing.assert_allclose(stats["action"]["mean"], action.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["action"]["std"], action.std(0), atol=1e-6)
    assert stats["index"]["count"].tolist() == [33] and stats["index"]["max"].tolist() == [32]


# ----------------------------------------------------------------------------------------------------------------- video
@pytest.mark.parametrize(
    "codec",
    [
        VideoCodec(),
        VideoCodec(gop=1),
        VideoCodec(gop=50),
        VideoCodec("libx265", "yuv444p", tune="", preset="ultrafast"),
        VideoCodec("libsvtav1", "yuv420p", crf=30, gop=4, preset="12", tune=""),
    ],
    ids=lambda c: f"{c.codec}-{c.gop}",
)
def test_random_access_is_sequential_decoding(tmp_path, codec):
    import av

    x = np.arange(64)
    frames = np.stack(
        [
            np.stack(
                [(x + 3 * t) % 64 * 4 + 0 * x[:, None], x[:, None] * 2 + 0 * x, t * 4 + 0 * x + 0 * x[:, None]], -1
            )
            for t in range(50)
        ]
    )
    (tmp_path / "v.mp4").write_bytes(encode(frames.astype(np.uint8), 10, codec))
    with av.open(str(tmp_path / "v.mp4")) as container:
        decoded = list(container.decode(video=0))
    assert [float(f.pts * f.time_base) for f in decoded] == [k / 10 for k in range(50)]
    reference = np.stack([f.to_ndarray(format="rgb24") for f in decoded])
    video, decoder = Video(tmp_path / "v.mp4"), Decoder()
    order = np.random.default_rng(0).integers(0, 50, 40)
    packets = video.packets(order / 10, 1e-4)
    for i, p in zip(order, packets, strict=True):
        np.testing.assert_array_equal(decoder.frames(video, np.array([p]))[0], reference[i])
    np.testing.assert_array_equal(decoder.frames(video, packets), reference[order])


def test_lossless_when_asked(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    (tmp_path / "v.mp4").write_bytes(encode(frames, 10, VideoCodec("libx264rgb", "rgb24", crf=0)))
    video = Video(tmp_path / "v.mp4")
    np.testing.assert_array_equal(Decoder().frames(video, video.packets(np.arange(5) / 10, 1e-4)), frames)


def test_a_time_without_a_frame_is_an_error(tmp_path):
    (tmp_path / "v.mp4").write_bytes(encode(np.zeros((5, 16, 16, 3), np.uint8), 10, VideoCodec()))
    video = Video(tmp_path / "v.mp4")
    for seconds in (0.5, 0.25, -0.1):
        with pytest.raises(DatasetError, match="no frame at"):
            video.packets(np.array([seconds]), 0.025)


def test_an_unknown_encoder_is_an_error():
    with pytest.raises(DatasetError, match="no video encoder 'h266'"):
        VideoCodec("h266").info(8, 8, 10)


def test_colour_error_counts_levels():
    raw = np.zeros((1, 2, 2, 3), np.uint8)
    decoded = raw.copy()
    decoded[0, 0, 0] = 6
    mask = np.zeros((1, 2, 2), bool)
    mask[0, 0, 0] = True
    assert colour_error(decoded, raw, mask) | {"p99": 6.0} == {
        "mean": 1.5, "p99": 6.0, "max": 6.0, "objects_mean": 6.0, "objects_p99": 6.0, "objects_max": 6.0,
    }  # fmt: skip


def test_threads_and_copies_read_the_same(written):
    dataset = LeRobotDataset(written.root)
    order = np.random.default_rng(0).integers(0, 33, 60).tolist()
    alone = [dataset[i][BASE] for i in order]
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(lambda i: dataset[i][BASE], order)), alone)
    again = copy.copy(dataset)  # what a worker process receives
    np.testing.assert_array_equal(again[5][BASE], dataset[5][BASE])


# ------------------------------------------------------------------------------------------------------ writing, resuming
def test_create_refuses_a_folder_in_use(tmp_path, features):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DatasetError, match=r"not empty.*resume"):
        DatasetWriter.create(tmp_path, 10, features)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_resume_goes_on(written, episode):
    again = DatasetWriter.resume(written.root)
    assert again.codec == written.codec == VideoCodec() and again.id == written.id and again.meta == {"recipe": "test"}
    assert again.save_episode(episode(7, 5), "task 2", {"verb": "push", "quality": None, "speed": 1.0}) == 3
    dataset = LeRobotDataset(written.root)
    assert dataset.tasks == ["task 0", "task 1", "task 2"] and len(dataset) == 38
    np.testing.assert_array_equal(dataset.episode(3)["action"], episode(7, 5)["action"])
    assert dataset.stats["index"]["count"].tolist() == [38] and dataset.episodes[3]["quality"] is None


def test_resume_removes_what_a_killed_writer_left(written, episode):
    before = {p: p.read_bytes() for p in written.root.rglob("*") if p.is_file()}
    info = (written.root / "meta/info.json").read_bytes()
    written.save_episode(episode(5, 6), "a new task", {"verb": "put", "quality": 1, "speed": 1.0})
    (written.root / "meta/info.json").write_bytes(info)  # killed before the last rename
    (written.root / "data/chunk-000/file-009.parquet.tmp").write_bytes(b"half")
    (written.root / ".staging/x").mkdir(parents=True)
    dataset = LeRobotDataset(written.root)
    assert (
        len(dataset) == 33
        and dataset.tasks == ["task 0", "task 1"]
        and dataset.stats["index"]["count"].tolist() == [33]
    )
    again = DatasetWriter.resume(written.root)
    left = {p for p in written.root.rglob("*") if p.is_file()}
    assert left == set(before)
    assert again.save_episode(episode(6, 4), "task 3", {"verb": "put", "quality": 1, "speed": 1.0}) == 3
    dataset = LeRobotDataset(written.root)
    assert dataset.tasks == ["task 0", "task 1", "task 3"] and dataset.stats["index"]["count"].tolist() == [37]
    np.testing.assert_array_equal(dataset.episode(3)["action"], episode(6, 4)["action"])


def test_workers_stage_and_the_parent_commits_in_order(tmp_path, features, episode):
    writer = DatasetWriter.create(tmp_path / "set", 10, features)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(stage_episode, writer.staging_folder(), episode(e, 6 + e), features, 10) for e in range(4)]
        for e, job in enumerate(jobs):
            assert writer.commit(job.result(), f"task {e}") == e
    dataset = LeRobotDataset(writer.root)
    for e in range(4):
        np.testing.assert_array_equal(dataset.episode(e)["action"], episode(e, 6 + e)["action"])
    np.testing.assert_array_equal(dataset.columns["index"], np.arange(6 + 7 + 8 + 9))
    assert not any((writer.root / ".staging").iterdir())


WRITER = """
import sys
import numpy as np
from pilab.data.lerobot import DatasetWriter, Feature
features = {"x": Feature("float32", (2,)), "observation.images.c": Feature.image(16, 16)}
writer = DatasetWriter.resume(sys.argv[1])
while True:
    e = writer.info.total_episodes
    images = np.full((4, 16, 16, 3), e % 250, np.uint8)
    writer.save_episode({"x": np.full((4, 2), e, np.float32), "observation.images.c": images}, f"task {e}", {"n": e})
    print(e, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_committed(tmp_path):
    features = {"x": Feature("float32", (2,)), "observation.images.c": Feature.image(16, 16)}
    root = DatasetWriter.create(tmp_path / "set", 10, features).root
    rng, done = np.random.default_rng(0), 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        assert int(process.stdout.readline()) == done  # the first of this round
        time.sleep(float(rng.uniform(0, 0.3)))
        process.kill()
        said = [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        committed = (said[-1] if said else done) + 1
        dataset = LeRobotDataset(root)
        assert len(dataset.episodes) >= committed
        done = len(dataset.episodes)
        np.testing.assert_array_equal(dataset.columns["x"][:, 0], np.repeat(np.arange(done), 4))
        assert [row["n"] for row in dataset.episodes] == list(range(done))
        assert dataset.stats["index"]["count"].tolist() == [4 * done]
        assert [int(dataset[4 * e + 3]["observation.images.c"].mean().round()) for e in range(done)] == pytest.approx(
            [e % 250 for e in range(done)], abs=2
        )


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_a_full_disk_is_one_error_and_loses_nothing(written, episode):
    code = (
        "import resource, sys, numpy as np\n"
        "from pilab.contracts import DatasetError\n"
        "from pilab.data.lerobot import DatasetWriter\n"
        "writer = DatasetWriter.resume(sys.argv[1])\n"
        "arrays = {k: (v.tolist() if v.dtype.kind == 'U' else v) for k, v in np.load(sys.argv[2]).items()}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    writer.save_episode(arrays, 'task 9')\n"
        "except DatasetError as error:\n"
        "    print('said:', error)\n"
    )
    path = written.root.parent / "arrays.npz"
    np.savez(path, **episode(9, 30))
    command = [sys.executable, "-c", code, str(written.root), str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    assert out.startswith("said: cannot write") and "episodes committed before are intact" in out
    assert len(LeRobotDataset(written.root)) == 33


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, features):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot write"):
        DatasetWriter.create(tmp_path / "file" / "set", 10, features)


# ----------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": np.zeros((12, 4), np.float32)}, r"'action' is float32 of shape \(12, 4\)"),
        ({"action": np.zeros((9, 3), np.float32)}, "same number of frames"),
        ({"action": np.full((12, 3), np.nan, np.float32)}, "not finite at frame 0"),
        ({"action": np.zeros((12, 3), complex)}, "not a kind of float32"),
        ({BASE: np.zeros((12, 32, 48, 3), np.float32)}, "expected uint8"),
        ({"subtask": [1] * 12}, "list of T strings"),
        ({"extra": np.zeros(12)}, "differ in extra"),
    ],
    ids=["width", "length", "nan", "complex", "image", "text", "unknown"],
)
def test_an_episode_that_does_not_fit_is_refused(tmp_path, features, episode, change, message):
    with pytest.raises(DatasetError, match=message):
        stage_episode(tmp_path / "staged", episode(0) | change, features, 10)


def test_episode_columns_stay_the_same(written, episode):
    for columns, message in (
        ({"verb": "put", "colour": "red"}, "colour are new"),
        ({"quality": "good"}, r"quality.*int64"),
        ({"verb": ["put"]}, "is a list"),
    ):
        with pytest.raises(DatasetError, match=message):
            written.save_episode(episode(4), "t", columns)
    assert len(LeRobotDataset(written.root).episodes) == 3
    assert written.save_episode(episode(4), "t", {"verb": "put"}) == 3  # and the writer is still usable


def test_staged_for_another_dataset_is_refused(tmp_path, written, features, episode):
    staged = stage_episode(tmp_path / "staged", episode(0), features, 30)
    with pytest.raises(DatasetError, match="30 fps"):
        written.commit(staged, "t")
    other = {"x": Feature("float32")}
    with pytest.raises(DatasetError, match=r"observation.state"):
        written.commit(stage_episode(tmp_path / "other", {"x": np.zeros(3)}, other, 10), "t")
    with pytest.raises(DatasetError, match="not an episode that stage_episode has finished"):
        written.commit(tmp_path / "nothing", "t")


def test_default_features_are_not_passed_in():
    with pytest.raises(DatasetError, match="added by the writer"):
        DatasetInfo.create(10, {"timestamp": Feature("float32")})


def _edit(root: Path, change) -> None:
    path = root / "meta/info.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def _drop_episode(root: Path) -> None:
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take([0, 2]), path)
    _edit(root, lambda b: b.update(total_episodes=2, total_frames=22))


def _truncate(root: Path, pattern: str, keep: float) -> None:
    path = sorted(root.glob(pattern))[0]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


DAMAGE = {
    "no info": (lambda r: (r / "meta/info.json").unlink(), "not a LeRobot dataset"),
    "not json": (lambda r: (r / "meta/info.json").write_text("{"), "not JSON"),
    "v2.1": (
        lambda r: _edit(r, lambda b: b.update(codebase_version="v2.1")),
        "v2.1 dataset.*convert_dataset_v21_to_v30",
    ),
    "v2.0": (lambda r: _edit(r, lambda b: b.update(codebase_version="v2.0")), "before v2.1 need"),
    "newer": (lambda r: _edit(r, lambda b: b.update(codebase_version="v4.0")), "update pilab"),
    "data cut": (lambda r: _truncate(r, "data/*/*.parquet", 0.5), "truncated or not a parquet"),
    "data missing": (lambda r: next((r / "data").rglob("*.parquet")).unlink(), "is missing"),
    "tasks missing": (lambda r: (r / "meta/tasks.parquet").unlink(), "is missing"),
    "video missing": (lambda r: next((r / "videos").rglob("*.mp4")).unlink(), "video files are missing"),
    "too many counted": (
        lambda r: _edit(r, lambda b: b.update(total_episodes=8)),
        "counts 8 episodes, meta/episodes holds 3",
    ),
    "frames miscounted": (lambda r: _edit(r, lambda b: b.update(total_frames=30)), "do not add up to 30"),
    "gap": (_drop_episode, "gap: row 1 of meta/episodes is episode 2"),
    "column missing": (
        lambda r: _edit(r, lambda b: b["features"].update(y={"dtype": "int64", "shape": [1]})),
        "lacks the columns y",
    ),
    "wrong shape": (lambda r: _edit(r, lambda b: b["features"]["action"].update(shape=[4])), "does not hold float32"),
    "our own file": (lambda r: (r / "meta/pilab.json").write_text("[]"), "pilab.json lacks"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_broken_is_said(written, damage):
    harm, message = DAMAGE[damage]
    harm(written.root)
    with pytest.raises(DatasetError, match=message):
        LeRobotDataset(written.root)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.9])
def test_a_cut_video_is_said_where_it_is_read(written, keep):
    _truncate(written.root, f"videos/{BASE}/*/*.mp4", keep)
    dataset = LeRobotDataset(written.root)
    np.testing.assert_array_equal(dataset.episode(1, ["action"])["action"], dataset.columns["action"][10:21])
    with pytest.raises(DatasetError, match="copy the dataset again"):
        dataset.episode(0)


def test_a_dataset_of_somebody_else_has_no_columns_of_ours(written):
    (written.root / "meta/pilab.json").unlink()
    (written.root / "meta/stats.json").unlink()
    dataset = LeRobotDataset(written.root)
    assert dataset.id.startswith("foreign-") and dataset.pilab == {}
    assert dataset.stats["index"]["count"].tolist() == [33]
    writer = DatasetWriter.resume(written.root)
    assert writer.episode_columns == {"verb": "string", "quality": "int64", "speed": "float64"}


# ------------------------------------------------------------------------------------------------- bytes from outside
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["float32", "video", "v3.0", "../{x}"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
INFO_KEYS = [*DatasetInfo.__dataclass_fields__, "splits"]
VALID = json.loads(DatasetInfo.create(10, {"x": Feature("float32", (2,)), "c": Feature.image(8, 8)}).to_json())


def _only_dataset_errors(text: str | bytes) -> None:
    try:
        info = DatasetInfo.parse(text)
    except DatasetError:
        return
    assert DatasetInfo.parse(info.to_json()) == info  # what is accepted survives a round trip
    for path in (info.data_file(Path("root"), 0, 0), info.video_file(Path("root"), "key", 0, 0)):
        assert path.parts[0] == "root" and ".." not in path.parts


@given(st.binary(max_size=300))
def test_bytes_are_refused_as_dataset_errors(content):
    _only_dataset_errors(content)


@given(JSON)
def test_json_is_refused_as_dataset_errors(value):
    _only_dataset_errors(json.dumps(value))


@given(st.dictionaries(st.sampled_from(INFO_KEYS), JSON, max_size=4))
def test_a_spoilt_info_is_refused_as_dataset_errors(changes):
    _only_dataset_errors(json.dumps(VALID | changes))


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.fixed_dictionaries({"dtype": JSON, "shape": JSON, "names": JSON, "info": JSON}),
        max_size=3,
    )
)
def test_spoilt_features_are_refused_as_dataset_errors(features):
    _only_dataset_errors(json.dumps(VALID | {"features": VALID["features"] | features}))


def test_info_survives_a_round_trip():
    info = DatasetInfo.parse(json.dumps(VALID))
    assert json.loads(info.to_json()) == VALID and list(info.features)[2:] == list(DEFAULT_FEATURES)


def test_a_deep_json_is_refused():
    with pytest.raises(DatasetError):
        DatasetInfo.parse("[" * 200_000)


def test_a_copy_is_the_same_dataset(written, tmp_path):
    shutil.copytree(written.root, tmp_path / "copy")
    assert LeRobotDataset(tmp_path / "copy").id == written.id

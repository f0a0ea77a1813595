"""Our datasets in the real lerobot library, and its datasets in ours: the same frames, to the bit where nothing is lossy."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pilab.data.lerobot import DatasetWriter, Feature, LeRobotDataset, VideoCodec
from pilab.data.lerobot.edit import export_v21, split
from tests.peers.make_environment import OLDER, PYTHON

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON}; make it with tests/peers/make_environment.py"),
]
HERE = Path(__file__).parent
FEATURES = {
    "observation.state": Feature("float32", (14,), [f"joint {i}" for i in range(14)]),
    "action": Feature("float32", (14,), [f"joint {i}" for i in range(14)]),
    "executed": Feature("float32", (14,)),
    "observation.images.base": Feature.image(96, 128),
    "observation.images.left_wrist": Feature.image(64, 64),
    "observation.images.still": Feature.image(16, 20, "image"),
    "subtask": Feature("string"),
    "source": Feature("string"),
    "is_intervention": Feature("bool"),
    "next.success": Feature("bool"),
    "points.base": Feature("float32", (12,)),
    "grid": Feature("float32", (2, 3)),
}


def lerobot(what: str, root: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    """Run the library's side; its frames, with images turned to (T, H, W, 3) uint8."""
    path = tmp_path / f"{what}.npz"
    command = [str(PYTHON), str(HERE / "lerobot_side.py"), what, str(root), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    out = dict(np.load(path))
    images = [key for key in out if key.startswith("observation.images.")]
    return out | {key: (out[key] * 255).round().astype(np.uint8).transpose(0, 2, 3, 1) for key in images}


def same(theirs: dict[str, np.ndarray], ours: LeRobotDataset) -> None:
    """Every frame and every column; decoded video too, for both use FFmpeg's decoder and colour conversion."""
    assert theirs["lengths"].tolist() == ours.lengths.tolist() and int(theirs["episodes"]) == len(ours.episodes)
    back = [ours.episode(e) for e in range(len(ours.episodes))]
    for key in [*ours.features, "task"]:
        expected = np.concatenate([np.asarray(episode[key]) for episode in back])
        if key in ours.cameras:
            difference = np.abs(theirs[key].astype(int) - expected)
            assert difference.max() <= 1 and difference.mean() < 0.02, key
        else:
            np.testing.assert_array_equal(theirs[key], expected, err_msg=key)
    for key, entry in ours.stats.items():
        for name, value in entry.items():
            np.testing.assert_allclose(theirs[f"stats/{key}/{name}"], value, rtol=1e-6, err_msg=f"{key} {name}")
    window = ours.window(1, {"action": [-1, 0, 2]})
    np.testing.assert_array_equal(theirs["window"], window["action"])
    np.testing.assert_array_equal(theirs["window_pad"], window["action_is_pad"])


@pytest.mark.parametrize(
    "codec",
    [VideoCodec(), VideoCodec(pix_fmt="yuv420p", gop=2), VideoCodec("libsvtav1", "yuv420p", 30, 2, "12", "")],
    ids=["default", "yuv420p", "av1"],
)
def test_the_library_reads_what_we_write(tmp_path, codec):
    rng = np.random.default_rng(0)
    writer = DatasetWriter.create(tmp_path / "ours", 10, FEATURES, "duo", codec=codec)
    for e in range(4):
        length = 7 + e
        arrays = {
            k: rng.normal(size=(length, *f.shape)).astype("f4") for k, f in FEATURES.items() if f.dtype == "float32"
        }
        for key, feature in FEATURES.items():
            if feature.dtype in ("image", "video"):
                arrays[key] = np.full((length, *feature.shape), (200, 60, 40 + 20 * e), np.uint8)
                for t in range(length):
                    arrays[key][t, 4:14, t : t + 10] = (20, 220, 240)
        arrays |= {"subtask": [f"reach {t}" for t in range(length)], "source": ["policy"] * length}
        arrays |= {"is_intervention": np.arange(length) % 2 == 0, "next.success": np.arange(length) == length - 1}
        scene = json.dumps({"seed": e})
        writer.save_episode(arrays, f"put {e % 3}", {"scene": scene, "verb": "put", "operator": None, "quality": e})
    same(lerobot("read", writer.root, tmp_path), LeRobotDataset(writer.root))


@pytest.mark.skipif(not OLDER.exists(), reason=f"no {OLDER}; make it with tests/peers/make_environment.py")
def test_an_older_library_reads_what_we_export(tmp_path):
    """lerobot 0.3.3, of the format v2.1 that openpi reads, with the `datasets` of its time."""
    ours = LeRobotDataset(Path(__file__).parents[2] / "data_samples" / "demonstrations")
    split(ours.root, tmp_path / "some", [0, 7, 20])
    export_v21(tmp_path / "some", tmp_path / "old", progress=False)
    path, some = tmp_path / "read.npz", LeRobotDataset(tmp_path / "some")
    command = [str(PYTHON), str(HERE / "lerobot21_side.py"), str(OLDER), str(tmp_path / "old"), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    theirs = dict(np.load(path))
    assert theirs["lengths"].tolist() == some.lengths.tolist()
    back = [some.episode(e) for e in range(3)]
    for key in [*some.features, "task"]:
        expected = np.concatenate([np.asarray(episode[key]) for episode in back])
        assert theirs[key].shape == expected.shape, key
        if key in some.cameras:
            assert np.abs(theirs[key].astype(int) - expected).max() <= 1, key
        else:
            np.testing.assert_array_equal(theirs[key], expected, err_msg=key)
    np.testing.assert_allclose(theirs["stats/action/mean"], some.stats["action"]["mean"], rtol=1e-5)


def test_the_library_reads_past_what_a_killed_writer_left(tmp_path):
    writer = DatasetWriter.create(
        tmp_path / "ours", 10, {"observation.state": Feature("float32", (2,)), "action": Feature("float32", (2,))}
    )
    for e in range(3):
        info = (writer.root / "meta/info.json").read_bytes()
        writer.save_episode(
            {key: np.full((5, 2), e, np.float32) for key in ("observation.state", "action")}, f"task {e}"
        )
    (writer.root / "meta/info.json").write_bytes(info)
    theirs = lerobot("read", writer.root, tmp_path)
    np.testing.assert_array_equal(theirs["action"][:, 0], np.repeat([0, 1], 5))


def test_we_read_what_the_library_writes(tmp_path):
    theirs = lerobot("write", tmp_path / "theirs", tmp_path)
    dataset = LeRobotDataset(tmp_path / "theirs")
    same(theirs, dataset)
    assert dataset.features["observation.images.film"].info["video.codec"] == "av1"
    films = [f"videos/observation.images.film/{n}_index" for n in ("chunk", "file")]
    assert len({tuple(row[name] for name in films) for row in dataset.episodes}) == 1, "one file holds three episodes"
    for i in np.random.default_rng(0).permutation(len(dataset))[:10].tolist():
        frame = dataset[i]
        np.testing.assert_allclose(
            frame["observation.images.film"].astype(int), theirs["observation.images.film"][i], atol=1
        )
        np.testing.assert_array_equal(frame["observation.images.still"], theirs["observation.images.still"][i])


def test_we_go_on_where_the_library_stopped(tmp_path):
    lerobot("write", tmp_path / "theirs", tmp_path)
    writer = DatasetWriter.resume(tmp_path / "theirs")
    frames = {
        "observation.images.film": np.zeros((5, 64, 96, 3), np.uint8),
        "observation.images.still": np.zeros((5, 24, 32, 3), np.uint8),
    }
    numbers = {"observation.state": np.ones((5, 3)), "action": np.ones((5, 3)), "grid": np.ones((5, 2, 3))}
    writer.save_episode({**frames, **numbers, "next.done": np.zeros(5, bool), "note": ["x"] * 5}, "task 7")
    same(lerobot("read", writer.root, tmp_path), LeRobotDataset(writer.root))


def test_schemas_are_the_librarys(tmp_path):
    lerobot("write", tmp_path / "theirs", tmp_path)
    theirs = pq.read_schema(tmp_path / "theirs/data/chunk-000/file-000.parquet")
    ours = LeRobotDataset(tmp_path / "theirs").info.data_schema()
    hints = [json.loads(schema.metadata[b"huggingface"])["info"] for schema in (theirs, ours)]
    assert hints[0] == hints[1] and ours.names == theirs.names

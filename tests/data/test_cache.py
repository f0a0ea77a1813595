"""The frame cache agrees with its dataset or is built anew; the card says what is in the dataset."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from pilab.data.cache import FrameCache, pilab_home
from pilab.data.cards import describe, format_info, write_card
from pilab.data.lerobot import DatasetWriter, LeRobotDataset

BASE = "observation.images.base"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PILAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def writer(tmp_path, features, episode):
    writer = DatasetWriter.create(tmp_path / "set", 10, features, "duo", {"recipe": {"seed": 0}, "commit": "abc"})
    for e in range(3):
        columns = {"verb": "put", "object": "mug" if e else "sponge", "operator": None}
        writer.save_episode(episode(e, 8 + e), "put it there", columns)
    return writer


def counting(seen: list[int]):
    """A progress bar that notes which episodes were decoded."""

    def progress(episodes, **_):
        for e in episodes:
            seen.append(e)
            yield e

    return progress


def agrees(cache: FrameCache, dataset: LeRobotDataset) -> None:
    assert len(cache) == len(dataset)
    for key in cache.layout:
        expected = np.concatenate([dataset.episode(e, [key])[key] for e in range(len(dataset.episodes))])
        np.testing.assert_array_equal(cache[key], expected, strict=True)


def test_the_cache_holds_what_the_dataset_holds(writer, home):
    dataset, seen = LeRobotDataset(writer.root), []
    cache = FrameCache.open(dataset, counting(seen))
    agrees(cache, dataset)
    assert seen == [0, 1, 2] and pilab_home() == home
    indices = np.array([26, 0, 9, 9])
    batch = cache.batch(indices)
    assert set(batch) == {BASE, "observation.images.wrist", "observation.state", "action", "executed", "points.base"}
    for key, value in batch.items():
        np.testing.assert_array_equal(value, cache[key][indices])
    batch[BASE][:] = 0  # a copy
    agrees(FrameCache.open(dataset, counting(seen)), dataset)
    assert seen == [0, 1, 2], "a second opening decodes nothing"


def test_the_cache_grows_with_the_dataset(writer, episode):
    FrameCache.open(LeRobotDataset(writer.root))
    writer.save_episode(episode(7, 5), "put it there", {"verb": "put"})
    dataset, seen = LeRobotDataset(writer.root), []
    agrees(FrameCache.open(dataset, counting(seen)), dataset)
    assert seen == [3]


def test_raw_frames_are_kept_as_they_are(writer, features, episode):
    for e in range(2):
        FrameCache.add(writer.id, episode(e, 8 + e), features, e)
    FrameCache.add(writer.id, episode(9), features, 7)  # does not follow: left to `open`
    seen = []
    cache = FrameCache.open(LeRobotDataset(writer.root), counting(seen))
    assert seen == [2]
    np.testing.assert_array_equal(cache[BASE][:17], np.concatenate([episode(e, 8 + e)[BASE] for e in range(2)]))


@pytest.mark.parametrize("harm", ["shorter file", "other numbers", "more episodes", "no json", "file missing"])
def test_a_cache_that_does_not_agree_is_built_anew(writer, features, episode, home, harm):
    dataset = LeRobotDataset(writer.root)
    FrameCache.open(dataset)
    folder = home / "frames" / writer.id
    index = folder / "index.json"
    body = json.loads(index.read_text())
    if harm == "shorter file":
        path = folder / f"{BASE}.bin"
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "other numbers":
        body["episodes"][1][1] ^= 1
        index.write_text(json.dumps(body))
    elif harm == "more episodes":
        FrameCache.add(writer.id, episode(9), features, 3)
    elif harm == "no json":
        index.write_text("{")
    else:
        (folder / "action.bin").unlink()
    seen = []
    agrees(FrameCache.open(dataset, counting(seen)), dataset)
    assert seen == [0, 1, 2]


def test_a_half_built_cache_is_finished(writer, home):
    dataset = LeRobotDataset(writer.root)

    def interrupted(episodes, **_):
        yield from list(episodes)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FrameCache.open(dataset, interrupted)
    seen = []
    agrees(FrameCache.open(dataset, counting(seen)), dataset)
    assert seen == [2]
    shutil.rmtree(home)
    agrees(FrameCache.open(dataset), dataset)


def test_an_empty_dataset_has_an_empty_cache(tmp_path, features):
    assert len(FrameCache.open(LeRobotDataset(DatasetWriter.create(tmp_path / "set", 10, features).root))) == 0


def test_the_card_counts(writer):
    about = describe(LeRobotDataset(writer.root))
    assert (about["episodes"], about["frames"], about["minutes"], about["success"]) == (3, 27, 0.05, 1.0)
    assert about["objects"] == {"mug": 2, "sponge": 1} and about["verbs"] == {"put": 3} and "operators" not in about
    assert about["sources"].keys() == {"human", "policy"} and about["cameras"][BASE]["codec"] == "h264"
    assert about["commit"] == "abc" and "colour_error" not in about
    json.dumps(about)
    writer.update_meta(colour_error={"mean": 0.5})
    assert describe(LeRobotDataset(writer.root))["colour_error"] == {"mean": 0.5}
    text = format_info(about)
    assert "mug 2, sponge 1" in text and "100%" in text
    card = write_card(writer.root).read_text()
    assert card.startswith("---\nlicense: ") and "apache-2.0" in card and "No real robot was involved" in card
    assert "| episodes | 3 |" in card and f"`{BASE}`" in card


def test_the_card_of_somebody_elses_dataset_guesses_nothing(writer):
    (writer.root / "meta/pilab.json").unlink()
    about = describe(LeRobotDataset(writer.root))
    assert about["source"] == "unknown" and "recipe" not in about
    assert "No real robot" not in write_card(writer.root).read_text()

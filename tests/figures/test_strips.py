"""Pictures of frames: sizes, order, and animated PNGs that decode to what went in."""

import io

import numpy as np
import pytest
from PIL import Image

from pilab.contracts import PilabError
from pilab.figures.strips import GAP, SEEN, animate, contact_sheet, film_strip


def ball(count=12, height=60, width=80) -> np.ndarray:
    """A red square crosses a grey table, (T, H, W, 3) uint8."""
    frames = np.full((count, height, width, 3), 150, np.uint8)
    for i, frame in enumerate(frames):
        frame[20:30, 5 * i : 5 * i + 10] = (200, 30, 30)
    return frames


def decode(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    shown = []
    for i in range(image.n_frames):
        image.seek(i)
        shown.append(np.asarray(image.convert("RGB")))
    return np.stack(shown)


def test_a_strip_shows_the_first_and_the_last_frame():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 200, 300, 3), np.uint8)
    strip = np.asarray(film_strip(frames, count=4))
    assert strip.shape == (200, 4 * 300 + 3 * GAP, 3)
    assert [strip[100, 150 + i * (300 + GAP), 0] for i in range(4)] == [0, 3, 6, 9]


def test_captions_stand_below_and_do_not_touch_the_frames():
    plain, told = film_strip(ball(), 3), film_strip(ball(), 3, ["reach", "grasp it by the handle", "lift"])
    assert told.width == plain.width
    assert told.height > plain.height
    assert np.array_equal(np.asarray(told)[: plain.height], np.asarray(plain))
    assert (np.asarray(told)[plain.height :] < 100).any()


def test_a_strip_is_readable_where_it_is_shown():
    assert film_strip(np.zeros((6, 480, 640, 3), np.uint8)).width <= 2 * SEEN + 5 * GAP
    assert film_strip(np.zeros((6, 48, 48, 3), np.uint8)).width >= SEEN / 2


def test_fewer_frames_than_asked_for():
    assert film_strip(ball(2), count=6).size == film_strip(ball(2), count=2).size


def test_a_sheet_has_rows_and_columns():
    images = [np.zeros((300, 200, 3), np.uint8), Image.new("RGB", (250, 100)), *np.zeros((3, 300, 300, 3), np.uint8)]
    assert contact_sheet(images, columns=3).size == (3 * 300 + 2 * GAP, 2 * 300 + GAP)


def test_an_animation_decodes_to_its_frames(tmp_path):
    data = animate(ball(), tmp_path / "ball.png", fps=10)
    assert (tmp_path / "ball.png").read_bytes() == data
    assert Image.open(io.BytesIO(data)).info["duration"] == 100
    assert np.abs(decode(data).astype(int) - ball()).max() <= 8


def test_a_still_background_stays_still():
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 255, (1, 60, 80, 3), dtype=np.uint8), 12, axis=0)
    frames[np.arange(12), 5, np.arange(12)] = 0
    shown = decode(animate(frames, None, fps=10))
    assert (shown[:, 10:] == shown[:1, 10:]).all()


def test_an_animation_keeps_to_its_limit_and_its_speed():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (30, 96, 128, 3), dtype=np.uint8)
    data = animate(frames, None, fps=10, max_bytes=60_000)
    image = Image.open(io.BytesIO(data))
    assert len(data) <= 60_000
    assert image.n_frames * image.info["duration"] == pytest.approx(3000, abs=300)
    with pytest.raises(PilabError, match="do not fit into 1000 bytes"):
        animate(frames, None, fps=10, max_bytes=1000)


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8)]
)
def test_refuses_what_is_no_film(frames):
    with pytest.raises(PilabError, match="expected uint8"):
        film_strip(frames)
    with pytest.raises(PilabError, match="expected uint8"):
        animate(frames, None, fps=10)


def test_labels_are_as_many_as_images():
    with pytest.raises(PilabError, match="12 images with 1 labels"):
        contact_sheet(ball(), ["one"])

"""A camera's newest picture, from FFmpeg's own test source; and one that ends."""

from __future__ import annotations

import time

import av
import numpy as np
import pytest

from pilab.robots.cameras import Camera, CameraError


def film(path, frames: int) -> str:
    """A short film of brighter and brighter pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            picture = np.full((48, 64, 3), 8 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return str(path)


def test_the_newest_picture_and_never_an_old_one(tmp_path):
    with Camera(film(tmp_path / "a.mp4", 30), 24, 32, format="mp4", stale=60) as camera:
        picture = camera.read()
        assert picture.shape == (24, 32, 3) and picture.dtype == np.uint8
        end = time.monotonic() + 30
        while camera.read().mean() < 215:  # the last one, when the film is over
            assert time.monotonic() < end
            time.sleep(0.01)
        camera.stale = 0.1
        time.sleep(0.2)
        with pytest.raises(CameraError, match="has ended"):
            camera.read()


def test_what_is_no_camera_is_told(tmp_path):
    with pytest.raises(CameraError, match="gives no picture"):
        Camera(str(tmp_path / "nothing"), 4, 4, format="mp4").open()
    with pytest.raises(CameraError, match="not open"):
        Camera("x", 4, 4).read()

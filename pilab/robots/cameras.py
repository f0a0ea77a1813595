"""A camera through FFmpeg (PyAV): the newest picture, never an old one from a queue.

One thread reads as fast as the camera gives; `read` takes what is newest. Cameras are opened by FFmpeg's names: on Linux
`Camera("/dev/video0", 96, 128)`, on macOS `Camera("0", 96, 128, format="avfoundation")`, on Windows
`Camera("video=NAME", 96, 128, format="dshow")`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import Self

import av
import numpy as np

from pilab.contracts import PilabError

FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


class CameraError(PilabError, RuntimeError):
    """A camera that does not open, or gives no pictures any more."""


class Camera:
    """A camera whose pictures are resized to (height, width, 3) uint8. Use it in a `with` block, or `open` and `close` it.

    options: FFmpeg's, such as {"framerate": "30", "video_size": "640x480"}. stale: s after which `read` raises.
    """

    def __init__(
        self, name: str, height: int, width: int, *, format: str | None = None,
        options: Mapping[str, str] | None = None, stale: float = 1.0,
    ) -> None:  # fmt: skip
        self.name, self.height, self.width, self.stale = name, height, width, stale
        self.format, self.options = format or FORMATS.get(sys.platform), dict(options or {})
        self._newest: tuple[float, np.ndarray] | None = None
        self._error = ""
        self._first, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, timeout: float = 10.0) -> Self:
        """Begin to read. Raises `CameraError` when no picture comes within `timeout` s."""
        self._thread = threading.Thread(target=self._watch, name=f"pilab-camera {self.name}", daemon=True)
        self._thread.start()
        if not self._first.wait(timeout) or self._newest is None:
            self.close()
            raise CameraError(f"camera {self.name!r} gives no picture: {self._error or f'none within {timeout} s'}")
        return self

    def read(self) -> np.ndarray:
        """(height, width, 3) uint8: the newest picture. Raises `CameraError` when it is older than `stale` s."""
        if self._newest is None:
            raise CameraError(f"camera {self.name!r} is not open; call open(), or use it in a `with` block")
        at, picture = self._newest
        if (age := time.monotonic() - at) > self.stale:
            raise CameraError(
                f"camera {self.name!r} has given no picture for {age:.1f} s ({self._error or 'it is silent'}): check its cable"
            )
        return picture

    def close(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(2.0)
        self._newest = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self) -> None:
        try:
            with av.open(self.name, format=self.format, options=self.options) as container:
                for frame in container.decode(video=0):
                    if self._ending.is_set():
                        return
                    small = frame.reformat(self.width, self.height, "rgb24", interpolation="AREA")
                    self._newest = (time.monotonic(), small.to_ndarray())
                    self._first.set()
            self._error = "it has ended"
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            self._error = str(error)
        finally:
            self._first.set()

"""Video of small camera views: encode an episode, decode any frame of any mp4 quickly.

The default codec, and why
--------------------------
Measured on drawn tabletop scenes, one 96×128 and two 64×64 cameras, two-coloured objects 14 pixels wide, 50 frames at
10 Hz. Error: mean absolute, in 8-bit levels, over object pixels (99th percentile, maximum); MB per 50 such episodes;
ms to encode one (one thread); ms to decode one random frame of all three cameras. x264, preset faster, psnr + fastdecode.

| pix_fmt, crf, gop      | error on objects | MB   | encode | random frame |
| ---------------------- | ---------------- | ---- | ------ | ------------ |
| yuv420p 0 5            | 15.7 (113, 209)  | 9.8  | 29     | 0.5          |
| yuv420p 15 2           | 16.0 (113, 209)  | 7.8  | 66     | 0.4          |
| yuv444p 15 1           | 1.7 (7, 19)      | 13.7 | 95     | 0.5          |
| yuv444p 15 2           | 1.2 (5, 22)      | 10.8 | 98     | 0.5          |
| **yuv444p 15 5**       | **1.1 (5, 19)**  | 7.6  | 76     | 1.0          |
| the same, no tune      | 2.7 (15, 66)     | 5.2  | 63     | 1.4          |
| the same, psnr alone   | 1.1 (5, 21)      | 7.1  | 67     | 1.6          |
| yuv444p 15 10          | 1.1 (5, 18)      | 6.5  | 96     | 1.3          |
| yuv444p 23 5           | 2.5 (13, 64)     | 4.9  | 83     | 0.9          |
| yuv444p 0 5            | 0.3 (1, 2)       | 14.8 | 37     | 0.8          |
| rgb24 (libx264rgb) 0 5 | 0                | 20.4 | 35     | 0.9          |

* **4:2:0 ruins small objects** whatever the bit rate: two-colour objects lose their colours. The price of
  4:4:4 is that not every browser plays it.
* x264's psycho-visual tuning trades fidelity for looks; a policy has no eyes, hence `psnr`. `fastdecode` (no CABAC, no
  deblocking) saves a third to a half of the time to decode, for 6 % more bytes.
* Key frames every 5 frames: one frame costs at most 5 decodes, and an episode cut out of context is self-contained.
* No B-frames: a frame comes out as its packet goes in. Time stamps are exactly k/fps.

Decoding
--------
The packets of a file are listed once (`Video`: offset, size, time stamp, key frame); a frame is then read by seeking to
its bytes, so that no file stays open and nothing has to be evicted. Decoders are one per thread and kind of stream,
single-threaded, and keep their colour converter: making either anew costs more than decoding a small frame.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from pilab.contracts import DatasetError


@dataclass(frozen=True)
class VideoCodec:
    """How frames become mp4; the defaults are measured, see the module."""

    codec: str = "libx264"  # an FFmpeg encoder: libx264rgb is exact at crf 0, libsvtav1 is smaller and slow
    pix_fmt: str = "yuv444p"  # what the encoder takes; yuv420p plays in every browser and blurs colours
    crf: int = 15  # 0 is the best; + 6 halves the bytes and doubles the error
    gop: int = 5  # frames from one key frame to the next
    preset: str = "faster"  # the encoder's own name for speed against size
    tune: str = "psnr,fastdecode"  # "" for encoders that have no such option

    def info(self, height: int, width: int, fps: int) -> dict[str, Any]:
        """The `info` of a video feature in info.json."""
        name = _encoder(self.codec).canonical_name
        size = {"video.height": height, "video.width": width, "video.codec": name, "video.pix_fmt": self.pix_fmt}
        rest = {"video.fps": fps, "video.channels": 3, "has_audio": False, "video.g": self.gop, "video.crf": self.crf}
        extra = {"video.extra_options": {"tune": self.tune} if self.tune else {}, "video.encoder": self.codec}
        backend = {"video.preset": self.preset, "video.fast_decode": 0, "video.video_backend": "pyav"}
        return size | rest | backend | extra | {"is_depth_map": False}

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> VideoCodec:
        """The codec that wrote a dataset, so that more episodes can be added in the same way."""
        fields = {"codec": info.get("video.encoder", info.get("video.codec")), "pix_fmt": info.get("video.pix_fmt")}
        fields |= {"crf": info.get("video.crf"), "gop": info.get("video.g"), "preset": info.get("video.preset")}
        fields["tune"] = (info.get("video.extra_options") or {}).get("tune", "")
        return cls(**{name: type(getattr(cls, name))(v) for name, v in fields.items() if v is not None})


def _encoder(name: str) -> av.Codec:
    try:
        return av.Codec(name, "w")
    except (av.FFmpegError, ValueError) as error:
        raise DatasetError(f"this PyAV has no video encoder {name!r}; try libx264, libx265 or libsvtav1") from error


def encode(frames: np.ndarray, fps: int, codec: VideoCodec) -> bytes:
    """Frames (T, H, W, 3) uint8 → an mp4 whose frame k is shown at exactly k/fps s."""
    _encoder(codec.codec)
    # B-frames would delay every frame; one thread, because episodes are encoded in parallel processes.
    options = {"crf": str(codec.crf), "preset": codec.preset, "bf": "0", "g": str(codec.gop)}
    options |= {"tune": codec.tune} if codec.tune else {}
    buffer = io.BytesIO()  # so that a full disk is Python's own error, at the write
    try:
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream(codec.codec, rate=fps, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = codec.pix_fmt
            stream.codec_context.thread_count = 1
            for k, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts = k
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        size = "×".join(map(str, frames.shape[1:3]))
        raise DatasetError(
            f"cannot encode {size} frames with {codec} ({error}); 4:2:0 formats need even sizes"
        ) from error
    return buffer.getvalue()


class Video:
    """The packets of one mp4 file: where each is, when it is shown, from which key frame it can be decoded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                self.codec = stream.codec_context.codec.name
                self.extradata = bytes(stream.codec_context.extradata or b"")
                self.time_base = stream.time_base
                rows = [
                    (p.pos, p.size, p.pts, p.is_keyframe)
                    for p in container.demux(stream)
                    if p.size and p.pts is not None
                ]
        except (av.FFmpegError, OSError, IndexError) as error:
            raise DatasetError(
                f"{path} is missing or not a readable video ({error}); copy the dataset again"
            ) from error
        if not rows or any(row[0] is None or row[0] < 0 for row in rows):
            raise DatasetError(f"{path} has no readable video frames; copy the dataset again")
        self.position, self.size, self.pts, key = map(np.array, zip(*rows, strict=True))
        # A frame decodes from the last key frame before it that is not shown after it (open groups of pictures).
        keys = np.flatnonzero(key)
        self.start = np.zeros(len(rows), np.int64)
        for i in range(len(rows)):
            usable = keys[(keys <= i) & (self.pts[keys] <= self.pts[i])] if len(keys) else keys
            self.start[i] = usable[-1] if len(usable) else 0
        self.order = np.argsort(self.pts, kind="stable")
        self.seconds = self.pts[self.order] * float(self.time_base)

    def packets(self, seconds: np.ndarray, tolerance: float) -> np.ndarray:
        """Index of the packet shown at each time; `DatasetError` where none is within `tolerance` seconds."""
        right = np.searchsorted(self.seconds, seconds).clip(1, max(1, len(self.seconds) - 1))
        right = np.minimum(right, len(self.seconds) - 1)
        left = np.maximum(right - 1, 0)
        rank = np.where(seconds - self.seconds[left] <= self.seconds[right] - seconds, left, right)
        off = np.abs(self.seconds[rank] - seconds)
        if (off > tolerance).any():
            at = float(seconds[off.argmax()])
            raise DatasetError(
                f"{self.path} has no frame at {at:.4f} s (the nearest of {len(self.seconds)} is {off.max():.4f} s away): "
                "the video is truncated or does not belong to these episodes; copy the dataset again"
            )
        return self.order[rank]


class Decoder:
    """Decodes frames of `Video`s. Safe to share between threads: each thread gets decoders of its own."""

    def __init__(self) -> None:
        self._local = threading.local()

    def frames(self, video: Video, packets: np.ndarray, pixels: str = "rgb24") -> np.ndarray:
        """Packets (N,) in any order → images (N, H, W, 3) uint8; other `pixels` as PyAV's to_ndarray gives them."""
        context, convert = self._context(video)
        found: dict[int, np.ndarray] = {}
        wanted = {int(video.pts[i]) for i in packets}
        at = -1  # the next packet to feed; −1 when the decoder has to start afresh
        try:
            with open(video.path, "rb") as file:
                for i in sorted({int(i) for i in packets}):
                    if at < 0 or video.start[i] > at:
                        context.flush_buffers()
                        at = int(video.start[i])
                    while int(video.pts[i]) not in found:
                        packet = _read(file, video, at) if at < len(video.pts) else None
                        for frame in context.decode(packet):
                            if frame.pts in wanted:
                                found[frame.pts] = convert.reformat(frame, format=pixels, threads=1).to_ndarray()
                        if packet is None and int(video.pts[i]) not in found:
                            raise DatasetError(f"{video.path}: frame {i} does not decode; copy the dataset again")
                        at += 1
        except (av.FFmpegError, OSError) as error:
            raise DatasetError(f"{video.path} does not decode ({error}); copy the dataset again") from error
        return np.stack([found[int(video.pts[i])] for i in packets])

    def _context(self, video: Video) -> tuple[av.VideoCodecContext, VideoReformatter]:
        kinds = self._local.__dict__.setdefault("kinds", {})
        kind = (video.codec, video.extradata)
        if kind not in kinds:
            context = av.CodecContext.create(video.codec, "r")
            context.extradata = video.extradata or None
            context.thread_type, context.thread_count = "NONE", 1  # frame threads would delay every frame
            kinds[kind] = (context, VideoReformatter())
        return kinds[kind]


def _read(file: Any, video: Video, i: int) -> av.Packet:
    file.seek(int(video.position[i]))
    content = file.read(int(video.size[i]))
    if len(content) != video.size[i]:
        raise DatasetError(f"{video.path} ends within frame {i} of {len(video.pts)}: truncated; copy the dataset again")
    packet = av.Packet(len(content))  # allocated by FFmpeg, with the padding its decoders read beyond the end
    packet.update(content)
    packet.pts = packet.dts = int(video.pts[i])
    packet.time_base = video.time_base
    return packet


def colour_error(
    decoded: Iterable[np.ndarray], raw: Iterable[np.ndarray], mask: np.ndarray | None = None
) -> dict[str, float]:
    """How far decoded frames are from raw ones, in 8-bit levels.

    decoded, raw: (T, H, W, 3) uint8; mask: (T, H, W) bool, true on the objects. Returns mean, p99 and max over all
    pixels and, given a mask, over the objects.
    """
    error = np.abs(np.asarray(decoded, np.int16) - np.asarray(raw, np.int16))
    parts = {"": error} | ({} if mask is None else {"objects_": error[mask]})
    return {
        f"{part}{name}": float(f(values))
        for part, values in parts.items()
        for name, f in (("mean", np.mean), ("p99", lambda v: np.percentile(v, 99)), ("max", np.max))
        if values.size
    }

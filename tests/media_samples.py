"""Small media files: rendered ones that players play, and MP4s put together box by box."""

from __future__ import annotations

import functools
import io
import struct
import tempfile
from pathlib import Path
from typing import Any

import av
import av.container
from PIL import Image


@functools.cache
def video(*, frames: int = 24, width: int = 128, height: int = 72, faststart: bool = True, shade: int = 90, rate: int = 24) -> bytes:
    """Render a real H.264 MP4.

    :param rate: frames per second.
    """
    frame: Any = av.VideoFrame  # not typed
    options = {"movflags": "faststart"} if faststart else {}
    with tempfile.TemporaryDirectory() as folder:  # moving the index to the front needs a file that can be opened again
        path = Path(folder, "sample.mp4")
        with av.open(str(path), "w", options=options) as container:
            stream: Any = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index in range(frames):
                image = Image.new("RGB", (width, height), (shade, index * 120 // rate % 256, 40))
                container.mux(stream.encode(frame.from_image(image)))
            container.mux(stream.encode())
        return path.read_bytes()


@functools.cache
def picture(kind: str, *, width: int = 64, height: int = 48, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def box(kind: bytes, payload: bytes = b"", *, announced: int | None = None, wide: bool = False) -> bytes:
    size = len(payload) + (16 if wide else 8) if announced is None else announced
    if wide:
        return struct.pack(">I4sQ", 1, kind, size) + payload
    return struct.pack(">I4s", size, kind) + payload


def movie_header(*, timescale: int = 1000, duration: int = 5000, version: int = 0) -> bytes:
    if version == 1:
        return box(b"mvhd", struct.pack(">B3xQQIQ", 1, 0, 0, timescale, duration) + bytes(80))
    return box(b"mvhd", struct.pack(">B3xIIII", 0, 0, 0, timescale, duration) + bytes(80))


def track(*, width: int = 1280, height: int = 720, version: int = 0, handler: bytes = b"vide") -> bytes:
    times = bytes(32 if version else 20)
    tkhd = box(b"tkhd", bytes([version, 0, 0, 7]) + times + bytes(16) + bytes(36) + struct.pack(">II", width << 16, height << 16))
    return box(b"trak", tkhd + box(b"mdia", box(b"hdlr", bytes(8) + handler + bytes(12))))


def mp4(*, moov: bytes | None = None, mdat: bytes | None = None, before: bytes = b"", after: bytes = b"") -> bytes:
    moov = box(b"moov", movie_header() + track()) if moov is None else moov
    mdat = box(b"mdat", b"frames") if mdat is None else mdat
    return box(b"ftyp", b"isom" + bytes(4)) + before + moov + mdat + after

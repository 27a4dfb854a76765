"""Prove that a file is a whole MP4 by walking its boxes (ISO/IEC 14496-12), without decoding anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_happyhorse.media.not_media import NotMedia

#: All boxes looked at in one file. A fragmented film has two per second; a file made of empty boxes has millions and would hold a worker.
_MOST_BOXES = 100_000


@dataclass(frozen=True, kw_only=True)
class Mp4Facts:
    """Length in seconds (None where a fragmented file does not say it) and the picture's size in pixels."""

    seconds: float | None
    width: int
    height: int


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int  # of the payload
    end: int


def inspect_mp4(file: BinaryIO, length: int) -> Mp4Facts:
    """Return the facts of a file that begins with ``ftyp``, having checked that ``moov`` and ``mdat`` are there and nothing is cut off.

    :param file: seekable.
    :param length: of the file, in bytes.
    :raises NotMedia: a box is missing, announces more than there is, or makes no sense.
    """
    walk = _Walk(file)
    moov: _Box | None = None
    media_bytes = 0
    for box in walk.boxes(0, length):
        if box.kind == b"moov" and moov is None:
            moov = box
        elif box.kind == b"mdat":
            media_bytes += box.end - box.start
    if moov is None:
        raise NotMedia("MP4 without a 'moov' box: it cannot be played (its end may be missing)")
    if media_bytes == 0:
        raise NotMedia("MP4 without media data in an 'mdat' box (its end may be missing)")
    return _movie(walk, moov)


def _movie(walk: _Walk, moov: _Box) -> Mp4Facts:
    timescale, duration = 0, None
    fragments_duration = None
    size = None
    for box in walk.boxes(moov.start, moov.end):
        if box.kind == b"mvhd":
            timescale, duration = _mvhd(walk.payload(box, 32))
        elif box.kind == b"mvex":
            for inner in walk.boxes(box.start, box.end):
                if inner.kind == b"mehd":
                    fragments_duration = _mehd(walk.payload(inner, 12))
        elif box.kind == b"trak" and size is None:
            size = _video_size(walk, box)
    if timescale == 0:
        raise NotMedia("MP4 whose 'moov' has no movie header with a time scale")
    if size is None:
        raise NotMedia("MP4 without a video track")
    ticks = duration or fragments_duration
    return Mp4Facts(seconds=round(ticks / timescale, 3) if ticks else None, width=size[0], height=size[1])


def _video_size(walk: _Walk, trak: _Box) -> tuple[int, int] | None:
    size = None
    is_video = False
    for box in walk.boxes(trak.start, trak.end):
        if box.kind == b"tkhd":
            size = _tkhd(walk.payload(box, 96))
        elif box.kind == b"mdia":
            for inner in walk.boxes(box.start, box.end):
                if inner.kind == b"hdlr":
                    is_video = walk.payload(inner, 12)[8:12] == b"vide"
    return size if is_video else None


def _mvhd(payload: bytes) -> tuple[int, int | None]:
    wide = payload[:1] == b"\x01"
    at, width = (20, 8) if wide else (12, 4)
    if len(payload) < at + 4 + width:
        raise NotMedia("MP4 whose movie header is cut short")
    ticks = payload[at + 4 : at + 4 + width]
    # All ones means "unknown" (ISO/IEC 14496-12, 8.2.2.3); as a number it would be a film of centuries.
    return int.from_bytes(payload[at : at + 4], "big"), None if ticks == b"\xff" * width else int.from_bytes(ticks, "big")


def _mehd(payload: bytes) -> int | None:
    ticks = payload[4:12] if payload[:1] == b"\x01" else payload[4:8]
    return int.from_bytes(ticks, "big") or None


def _tkhd(payload: bytes) -> tuple[int, int]:
    at = 88 if payload[:1] == b"\x01" else 76
    if len(payload) < at + 8:
        raise NotMedia("MP4 whose track header is cut short")
    # 16.16 fixed point
    return int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 4 : at + 6], "big")


class _Walk:
    """Iterate over boxes, counting all of them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._seen = 0

    def payload(self, box: _Box, at_most: int) -> bytes:
        return self._read(box.start, min(at_most, box.end - box.start))

    def boxes(self, start: int, end: int) -> Iterator[_Box]:
        """Yield the boxes that fill ``start`` to ``end`` exactly."""
        position = start
        while position < end:
            self._seen += 1
            if self._seen > _MOST_BOXES:
                raise NotMedia(f"broken MP4: more than {_MOST_BOXES} boxes")
            header = self._read(position, 16)[: end - position]
            if not header.strip(b"\0") and (position > start or len(header) < 8):
                return  # zero padding at the end, which players ignore; nothing is missing
            if len(header) < 8:
                raise NotMedia(f"truncated MP4: it ends after {len(header)} bytes of a box's header")
            box = self._box(header, position, end)
            yield box
            position = box.end

    def _box(self, header: bytes, position: int, end: int) -> _Box:
        size, kind, start = int.from_bytes(header[:4], "big"), header[4:8], position + 8
        if size == 0:  # to the end of what contains it
            size = end - position
        elif size == 1:
            if len(header) < 16:
                raise NotMedia(f"truncated MP4: it ends after {len(header)} bytes of a box's header")
            size, start = int.from_bytes(header[8:16], "big"), position + 16
        name = kind.decode("latin-1")
        if position + size < start:
            raise NotMedia(f"broken MP4: the box {name!r} announces {size} bytes, less than its own header")
        if position + size > end:
            raise NotMedia(f"truncated MP4: the box {name!r} announces {size} bytes, {end - position} are there")
        return _Box(kind, start, position + size)

    def _read(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        return self._file.read(count)

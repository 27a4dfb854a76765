"""What a file is, proven from its bytes: a whole MP4, PNG, JPEG or WebP, or else what it looks like instead.

Pure: a seekable binary file in, values out. A result is published only after :func:`inspect_media` accepted it, because a CDN may
answer 200 with an error page, and a body without a length may end early without anybody noticing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_happyhorse.media.mp4 import inspect_mp4
from airflow_provider_happyhorse.media.not_media import NotMedia

__all__ = ["MediaFacts", "NotMedia", "extension_of", "inspect_media", "sniff_image"]

_EXTENSIONS = {"video/mp4": "mp4", "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}

_PNG = b"\x89PNG\r\n\x1a\n"
#: A file of nothing but empty chunks would keep a worker busy for hours; real pictures have a few hundred.
_MOST_CHUNKS = 100_000
#: The end-of-image marker of a JPEG is looked for in this much of its end (cameras append thumbnails after it).
_JPEG_TAIL = 65_536
_HEAD = 512


@dataclass(frozen=True, kw_only=True)
class MediaFacts:
    """What a media file says about itself.

    :param content_type: ``video/mp4``, ``image/png``, ``image/jpeg`` or ``image/webp``.
    :param extension: file name extension without a dot: ``mp4``, ``png``, ``jpg``, ``webp``.
    :param seconds: length of a video in seconds; None for pictures and where a fragmented MP4 does not say it.
    :param width: pixels.
    :param height: pixels.
    """

    content_type: str
    extension: str
    seconds: float | None
    width: int
    height: int


def extension_of(content_type: str) -> str:
    """Return the file name extension (no dot) of one of the four content types."""
    return _EXTENSIONS[content_type]


def sniff_image(head: bytes) -> str | None:
    """Return the content type that the first bytes (12 are enough) announce: JPEG, PNG, WebP, else None.

    These are the formats that happy-horse.ai's upload takes (https://happy-horse.ai/docs/api-reference).
    """
    if head.startswith(_PNG):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def inspect_media(file: BinaryIO) -> MediaFacts:
    """Return what the file is, having checked that it is whole.

    :param file: open for reading in binary and seekable; its position afterwards is undefined.
    :raises NotMedia: it is something else, or only part of it is there. No bytes make it raise anything else.
    """
    length = file.seek(0, os.SEEK_END)
    head = _read(file, 0, _HEAD)
    if head[4:8] == b"ftyp":
        facts = inspect_mp4(file, length)
        return _facts("video/mp4", facts.seconds, facts.width, facts.height)
    image = sniff_image(head)
    if image is None:
        raise NotMedia(_looks_like(head, length))
    if image == "image/png":
        width, height = _png(file, length)
    elif image == "image/jpeg":
        width, height = _jpeg(file, length)
    else:
        width, height = _webp(file, length)
    if width < 1 or height < 1:
        raise NotMedia(f"{_EXTENSIONS[image].upper()} of {width} x {height} pixels")
    return _facts(image, None, width, height)


def _facts(content_type: str, seconds: float | None, width: int, height: int) -> MediaFacts:
    return MediaFacts(content_type=content_type, extension=_EXTENSIONS[content_type], seconds=seconds, width=width, height=height)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _png(file: BinaryIO, length: int) -> tuple[int, int]:
    """Walk the chunks from IHDR to IEND (PNG specification, 5.2 to 5.6)."""
    position = len(_PNG)
    size = None
    for _ in range(_MOST_CHUNKS):
        header = _read(file, position, 8)
        if len(header) < 8:
            raise NotMedia(f"truncated PNG: the file ends after {length} bytes without an IEND chunk")
        count, kind = int.from_bytes(header[:4], "big"), header[4:]
        end = position + 12 + count
        if end > length:
            raise NotMedia(f"truncated PNG: the chunk {_name(kind)} announces {count} bytes, {max(0, length - position - 12)} are there")
        if size is None:
            if kind != b"IHDR" or count != 13:
                raise NotMedia(f"broken PNG: it begins with {_name(kind)} instead of IHDR")
            fields = _read(file, position + 8, 8)
            size = int.from_bytes(fields[:4], "big"), int.from_bytes(fields[4:], "big")
        if kind == b"IEND":
            return size
        position = end
    raise NotMedia(f"broken PNG: more than {_MOST_CHUNKS} chunks")


def _jpeg(file: BinaryIO, length: int) -> tuple[int, int]:
    """Walk the segments to the frame header and the start of scan, then look for the end marker (ITU-T T.81, annex B)."""
    position = 2
    size = None
    for _ in range(_MOST_CHUNKS):
        marker = _read(file, position, 4)
        if len(marker) < 4:
            break
        if marker[0] != 0xFF:
            raise NotMedia(f"broken JPEG: no marker at byte {position}")
        kind = marker[1]
        if kind == 0xFF:  # fill byte before a marker
            position += 1
            continue
        if kind == 0x01 or 0xD0 <= kind <= 0xD8:  # markers without a length
            position += 2
            continue
        count = int.from_bytes(marker[2:], "big")
        if kind == 0xD9 or count < 2:
            break
        if kind == 0xDA:
            if size is None:
                raise NotMedia("broken JPEG: the picture begins before its frame header")
            start = max(position + 2 + count, length - _JPEG_TAIL)
            if b"\xff\xd9" in _read(file, start, _JPEG_TAIL):
                return size
            break
        # SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            frame = _read(file, position + 4, 5)
            if len(frame) < 5:
                break
            size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
        position += 2 + count
    raise NotMedia(f"truncated JPEG: {length} bytes are there, without an end-of-image marker")


def _webp(file: BinaryIO, length: int) -> tuple[int, int]:
    """Read the canvas size of the three kinds of WebP (https://developers.google.com/speed/webp/docs/riff_container)."""
    head = _read(file, 0, 30)
    announced = int.from_bytes(head[4:8], "little") + 8
    if announced > length:
        raise NotMedia(f"truncated WebP: it announces {announced} bytes, {length} are there")
    if len(head) < 30:
        raise NotMedia(f"truncated WebP: {length} bytes are too few for its header")
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    raise NotMedia(f"broken WebP: its first chunk is {_name(kind)}")


def _name(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))


_OTHERS = (
    (b"GIF8", "GIF picture"),
    (b"\x1a\x45\xdf\xa3", "WebM or Matroska video"),
    (b"\x1f\x8b", "gzip data"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"%PDF", "PDF document"),
)


def _looks_like(head: bytes, length: int) -> str:
    if length == 0:
        return "empty file"
    for start, what in _OTHERS:
        if head.startswith(start):
            return f"{what} ({length} bytes)"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return f"HTML page ({length} bytes)"
    if text.startswith(b"<"):
        return f"XML or HTML ({length} bytes)"
    if text.startswith((b"{", b"[")):
        return f"JSON ({length} bytes)"
    if text and all(byte >= 0x20 or byte in b"\t\r\n" for byte in text):
        return f"text ({length} bytes)"
    return f"unknown data ({length} bytes, beginning with 0x{head[:8].hex()})"

from __future__ import annotations

import io
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.media.facts import MediaFacts, NotMedia, inspect_media, sniff_image
from tests.media_samples import box, movie_header, mp4, picture, track, video


def inspect(data: bytes) -> MediaFacts:
    return inspect_media(io.BytesIO(data))


def outcome(data: bytes) -> MediaFacts | str:
    try:
        return inspect(data)
    except NotMedia as error:
        return str(error)


@pytest.mark.parametrize("faststart", [True, False], ids=["moov first", "moov last"])
def test_a_rendered_video_has_its_length_and_size(faststart: bool) -> None:
    facts = inspect(video(faststart=faststart))
    assert facts == MediaFacts(content_type="video/mp4", extension="mp4", seconds=1.0, width=128, height=72)


@pytest.mark.parametrize(
    ("kind", "options", "content_type", "extension"),
    [
        ("PNG", {}, "image/png", "png"),
        ("JPEG", {}, "image/jpeg", "jpg"),
        ("JPEG", {"progressive": True}, "image/jpeg", "jpg"),
        ("WEBP", {}, "image/webp", "webp"),
        ("WEBP", {"lossless": True}, "image/webp", "webp"),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, "image/webp", "webp"),
    ],
)
def test_a_picture_has_its_size(kind: str, options: dict[str, object], content_type: str, extension: str) -> None:
    facts = inspect(picture(kind, width=61, height=47, **options))
    assert facts == MediaFacts(content_type=content_type, extension=extension, seconds=None, width=61, height=47)


def test_a_jpeg_with_something_appended_is_whole() -> None:
    assert inspect(picture("JPEG") + bytes(100)).content_type == "image/jpeg"


@pytest.mark.parametrize("faststart", [True, False], ids=["moov first", "moov last"])
def test_no_beginning_of_a_video_passes_for_the_video(faststart: bool) -> None:
    data = video(faststart=faststart)
    for length in range(len(data)):
        with pytest.raises(NotMedia):
            inspect(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_no_beginning_of_a_picture_passes_for_the_picture(kind: str) -> None:
    data = picture(kind)
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(NotMedia):
            inspect(data[:length])


def test_a_truncated_video_says_which_box_is_cut() -> None:
    data = mp4(mdat=box(b"mdat", bytes(19_992), announced=1_048_576))
    with pytest.raises(NotMedia, match=r"^truncated MP4: the box 'mdat' announces 1048576 bytes, 20000 are there$"):
        inspect(data)


@pytest.mark.parametrize("version", [0, 1])
def test_both_versions_of_the_headers_are_read(version: int) -> None:
    moov = box(b"moov", movie_header(version=version, timescale=90_000, duration=453_600) + track(version=version, width=720, height=1280))
    facts = inspect(mp4(moov=moov))
    assert (facts.seconds, facts.width, facts.height) == (5.04, 720, 1280)


@pytest.mark.parametrize("version", [0, 1])
def test_an_unknown_duration_is_not_a_film_of_centuries(version: int) -> None:
    moov = box(b"moov", movie_header(version=version, duration=2 ** (64 if version else 32) - 1) + track())
    assert inspect(mp4(moov=moov)).seconds is None


def test_a_fragmented_film_may_say_its_length_in_mehd() -> None:
    mehd = box(b"mvex", box(b"mehd", bytes(4) + struct.pack(">I", 2500)))
    moov = box(b"moov", movie_header(duration=0) + mehd + track())
    assert inspect(mp4(moov=moov, mdat=box(b"moof") + box(b"mdat", b"x"))).seconds == 2.5


def test_the_size_comes_from_the_video_track() -> None:
    moov = box(b"moov", movie_header() + track(width=0, height=0, handler=b"soun") + track(width=640, height=360))
    facts = inspect(mp4(moov=moov))
    assert (facts.width, facts.height) == (640, 360)


@pytest.mark.parametrize(
    "data",
    [
        mp4(before=box(b"free", b"pad", wide=True)),
        mp4(mdat=box(b"mdat", b"frames", wide=True)),
        mp4(mdat=box(b"mdat", b"frames", announced=0)),  # to the end of the file
        mp4(after=bytes(5)),
        mp4(after=bytes(500)),
    ],
    ids=["64-bit size", "64-bit mdat", "size 0", "a few zeros at the end", "zeros at the end"],
)
def test_legal_oddities_are_whole(data: bytes) -> None:
    assert inspect(data).seconds == 5.0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (mp4(moov=b""), "without a 'moov' box"),
        (mp4(mdat=b""), "without media data"),
        (mp4(mdat=box(b"mdat")), "without media data"),
        (mp4(moov=box(b"moov", track())), "no movie header"),
        (mp4(moov=box(b"moov", movie_header(timescale=0) + track())), "no movie header with a time scale"),
        (mp4(moov=box(b"moov", movie_header() + track(handler=b"soun"))), "without a video track"),
        (mp4(moov=box(b"moov", box(b"mvhd", bytes(8)) + track())), "movie header is cut short"),
        (mp4(moov=box(b"moov", movie_header() + track(), announced=5000)), "truncated MP4: the box 'moov' announces 5000 bytes"),
        (mp4(moov=box(b"moov", movie_header() + box(b"trak", b"", announced=900))), "truncated MP4: the box 'trak' announces 900 bytes"),
        (mp4(before=box(b"free", announced=4)), "broken MP4: the box 'free' announces 4 bytes"),
        (mp4(after=b"\x00\x00\x01"), "truncated MP4: it ends after 3 bytes"),
        (mp4(mdat=struct.pack(">I4sQ", 1, b"mdat", 2**63)), "announces 9223372036854775808 bytes"),
        (b"\x00\x00\x00\x18ftyp", "truncated MP4"),
    ],
)
def test_a_broken_video_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(NotMedia, match=reason):
        inspect(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty file"),
        (b"\n <!DOCTYPE html><html>", "HTML page"),
        (b"\xef\xbb\xbf<html>", "HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"code": 404, "message": "not found"}', "JSON"),
        (b"Not found\n", "text"),
        (b"GIF89a....", "GIF"),
        (b"\x1a\x45\xdf\xa3....", "WebM"),
        (b"\x1f\x8b\x08\0\0\0", "gzip"),
        (b"\x00\x01\x02\x03\x04", "unknown data .*0x0001020304"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x04IDATxxxxcrcc", "begins with 'IDAT'"),
        (b"RIFF\x16\0\0\0WEBPXXXX" + bytes(20), "first chunk is 'XXXX'"),
        (b"\xff\xd8\xff\xd9", "truncated JPEG"),
    ],
)
def test_anything_else_is_named(data: bytes, what: str) -> None:
    with pytest.raises(NotMedia, match=what):
        inspect(data)


def test_a_file_made_of_empty_boxes_does_not_hold_a_worker() -> None:
    started = time.monotonic()
    with pytest.raises(NotMedia, match="more than 100000 boxes"):
        inspect(mp4(before=box(b"free") * 200_000))
    assert time.monotonic() - started < 10


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise_anything_else(data: bytes) -> None:
    for start in (b"", b"\0\0\0\x10ftypisom\0\0\0\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP"):
        assert outcome(start + data)


@given(st.sampled_from(["mp4", "PNG", "JPEG", "WEBP"]), st.data())
def test_no_damage_makes_it_raise_anything_else(kind: str, data: st.DataObject) -> None:
    whole = bytearray(mp4() if kind == "mp4" else picture(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, min(len(whole), 400) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytes(whole))


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (video(), None),
        (b"GIF89a", None),
        (b"", None),
        (b"RIFF\0\0\0\0WAVE", None),
    ],
)
def test_an_image_is_known_by_its_first_bytes(data: bytes, content_type: str | None) -> None:
    assert sniff_image(data[:12]) == content_type

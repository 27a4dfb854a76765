"""Decode a video and write its poster (JPEG) and its animated preview (WebP). Run as a process of its own, never in a worker's.

A video comes from somewhere else, and the libraries that decode one are large and written in C. So this file is a script that knows
nothing of Airflow, limits itself before it loads them, reads standard input (a seekable file), and writes to two files that are open::

    python preview_process.py <file number for the poster> <file number for the preview> <seconds>

It ends with 0 when both are written, else with 1 and the reason as the last line of standard error.
"""

from __future__ import annotations

import io
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

#: Bytes of either picture.
LARGEST = 2_000_000
#: Pixels, across and down; smaller videos stay as they are.
POSTER_SIZE = (1280, 1280)
PREVIEW_SIZE = (480, 854)
#: Length of the preview in seconds, and its pictures per second.
LENGTH = 3.0
RATE = 8
#: Bytes of address space, of which a 4K video needs about half.
MEMORY = 1 << 30
#: What video services deliver in an MP4; the many other decoders of FFmpeg are no business of a stranger's file.
_CODECS = frozenset({"h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9", "mpeg4"})


def limit(seconds: int) -> None:
    """Give this process limits that no code in it can raise; where a platform lacks one, the parent's clock remains.

    :param seconds: of wall-clock and of CPU time; the alarm also ends it when the parent was killed.
    """
    signal.alarm(seconds)
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_AS": MEMORY, "RLIMIT_FSIZE": LARGEST, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 64}
    for name, value in limits.items():
        with suppress(AttributeError, ValueError, OSError):  # ValueError also says that a lower one is in force already
            resource.setrlimit(getattr(resource, name), (value, value))


def choose(video: io.FileIO) -> tuple[Image, list[tuple[float, Image]]]:
    """Return the poster, from a third of the video's length on, and the preview's pictures with their times in seconds.

    The preview begins with the poster's moment, or earlier where the video would end before the preview does.
    """
    import av

    # The format is said rather than guessed: FFmpeg has formats that are lists of other files and addresses.
    with av.open(video, "r", format="mp4", metadata_errors="replace") as container:
        stream = container.streams.video[0]
        if stream.codec_context.name not in _CODECS:
            raise ValueError(f"its codec {stream.codec_context.name} is not among those that are decoded")
        stream.codec_context.thread_count = 1  # each thread has frames of its own, and the worker's other tasks need their cores
        length = (container.duration or 0) / av.time_base
        third, start = length / 3, min(length / 3, max(0.0, length - LENGTH))
        if start:
            container.seek(int(start * av.time_base) + (container.start_time or 0))  # to the key frame before it
        poster, pictures, due = None, [], start
        for time, frame in _frames(container, stream):
            if poster is None and time >= third - 0.001:
                poster = _fitted(frame, POSTER_SIZE)
            if time >= start + LENGTH - 0.001:
                break
            if time >= due - 0.001:
                pictures.append((time, _fitted(frame, PREVIEW_SIZE)))
                due = start + (int((time - start + 0.001) * RATE) + 1) / RATE
    if not pictures:
        raise ValueError("no frame of it could be decoded where its index says that there are some")
    return poster or pictures[-1][1], pictures


def _frames(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Yield the good frames with their times in seconds from the video's beginning."""
    first = float((stream.start_time or 0) * stream.time_base)
    for frame in container.decode(stream):
        if frame.time is not None and not frame.is_corrupt:
            yield frame.time - first, frame


def _fitted(frame: Any, most: tuple[int, int]) -> Image:
    """Return a frame as a picture of at most this size, in its own proportions. At once, because whole frames are large."""
    factor = min(1.0, most[0] / frame.width, most[1] / frame.height)
    width, height = max(1, int(frame.width * factor)), max(1, int(frame.height * factor))
    picture: Image = frame.reformat(width=width, height=height, format="rgb24").to_image()
    return picture


def encoded_poster(picture: Image) -> bytes:
    """Return a JPEG. Raises ``ValueError`` when it is larger than ``LARGEST``."""
    return _small_enough(picture, "JPEG", (85, 60, 30), optimize=True)


def encoded_preview(pictures: list[tuple[float, Image]]) -> bytes:
    """Return an animated WebP that repeats for ever. Raises ``ValueError`` when it is larger than ``LARGEST``."""
    times = [time for time, _ in pictures]
    last = times[-1] - times[-2] if len(times) > 1 else 1 / RATE
    until = [*times[1:], times[-1] + last]
    shown = [max(1, round((end - begin) * 1000)) for begin, end in zip(times, until, strict=True)]
    first, *others = [picture for _, picture in pictures]
    return _small_enough(first, "WEBP", (60, 30, 5), save_all=True, append_images=others, duration=shown, loop=0, method=2)


def _small_enough(picture: Image, kind: str, qualities: tuple[int, ...], **options: Any) -> bytes:
    for quality in qualities:
        file = io.BytesIO()
        picture.save(file, kind, quality=quality, **options)
        if file.tell() <= LARGEST:
            return file.getvalue()
    raise ValueError(f"its {kind} is larger than {LARGEST} bytes at the lowest quality")


def main(poster: int, preview: int, seconds: int) -> None:
    """Do it, within limits."""
    limit(seconds)
    picture, pictures = choose(io.FileIO(0, "rb", closefd=False))
    for number, data in ((poster, encoded_poster(picture)), (preview, encoded_preview(pictures))):
        with open(number, "wb") as file:  # noqa: PTH123  a file that is open already
            file.write(data)


if __name__ == "__main__":
    try:
        main(*(int(number) for number in sys.argv[1:]))
    except ImportError as problem:
        sys.exit(f"PyAV and Pillow are needed for it, which the extra 'emulator' of airflow-provider-happyhorse has ({problem})")
    except Exception as problem:  # noqa: BLE001  whatever a stranger's file provokes is one line for the parent
        sys.exit(f"{type(problem).__name__}: {problem}")

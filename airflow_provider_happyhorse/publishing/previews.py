"""A poster and an animated preview beside a published video: optional, and never worth the video.

The video is a stranger's file. What decodes it is a process of its own (:mod:`~airflow_provider_happyhorse.publishing.preview_process`)
that gets no environment but the interpreter's, a read-only view of the video, and two files without names to write to, and is ended when
its time is over. What comes back is trusted no more than the video: only a whole, small JPEG and WebP are published.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airflow_provider_happyhorse.media.facts import NotMedia, inspect_media
from airflow_provider_happyhorse.publishing import preview_process as process
from airflow_provider_happyhorse.storage.stores import ObjectExists, Store, Upload

#: Bytes that are read at once of a picture, and of the reason why there is none.
_PIECE = 1 << 16
_REASON = 300
#: Variables without which an interpreter of an unusual place does not start.
_INTERPRETERS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One of the two pictures of a video.

    :param key: of the sidecar.
    :param ending: what follows the video's name without its extension.
    :param most: pixels, across and down.
    """

    key: str
    ending: str
    content_type: str
    most: tuple[int, int]


PICTURES = (
    Picture(key="poster", ending=".poster.jpg", content_type="image/jpeg", most=process.POSTER_SIZE),
    Picture(key="preview", ending=".preview.webp", content_type="image/webp", most=process.PREVIEW_SIZE),
)
NONE: Mapping[str, None] = {picture.key: None for picture in PICTURES}


class NoPreview(Exception):
    """Why a video has no poster or preview, as a part of a sentence."""


@dataclass(frozen=True, kw_only=True)
class PreviewRules:
    """How previews are made.

    :param max_seconds: for all videos of one publication together.
    :param command: what decodes a video, before the arguments of ``preview_process``.
    """

    max_seconds: float = 60.0
    command: Sequence[str] = (sys.executable, "-P", str(Path(process.__file__)))


class Previews:
    """The posters and previews of one publication.

    :param rules: None makes none.
    :param overwrite: whether what stands under their names may be replaced.
    :param warn: takes one sentence's part: why a video is without them.
    """

    def __init__(self, rules: PreviewRules | None, store: Store, *, overwrite: bool, warn: Callable[[str], object]) -> None:
        self._rules = rules
        self._store = store
        self._overwrite = overwrite
        self._warn = warn
        self._until: float | None = None

    def publish(self, video: Upload, *, stem: str, still_there: Callable[[], bool]) -> Mapping[str, str | None]:
        """Publish the pictures of a video; return their file names by their keys in the sidecar, None where there is none.

        Nothing that goes wrong here is raised: the video is what was paid for. A kill or a task's timeout is no ``Exception``.

        :param video: verified.
        :param stem: path of the video without its extension.
        :param still_there: says, after the decoding, whether the video still stands under its name.
        """
        if self._rules is None:
            return NONE
        names: dict[str, str | None] = dict(NONE)
        try:
            if self._until is None:
                self._until = time.monotonic() + self._rules.max_seconds
            with video.reader() as file, rendered(file, self._rules, seconds=self._until - time.monotonic()) as pictures:
                if not still_there():  # a picture of ours beside another task's video would be a wrong one
                    raise NoPreview("the video was replaced meanwhile")  # noqa: TRY301  told like the others
                taken = []
                for picture, content in zip(PICTURES, pictures, strict=True):
                    path = f"{stem}{picture.ending}"
                    if self._put(path, content, picture.content_type):
                        names[picture.key] = path.rpartition("/")[2]
                    else:
                        taken.append(self._store.uri(path))
                if taken:
                    raise NoPreview(f"something else stands at {' and '.join(taken)} and was not touched")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001  nothing here may cost the sidecar, and with it the publication
            missing = " and ".join(key for key, name in names.items() if name is None)
            self._warn(f"without {missing}: {_one_line(str(error) or type(error).__name__)}")
        return names

    def _put(self, path: str, content: BinaryIO, content_type: str) -> bool:
        """Return whether the picture stands under its name."""
        if has_a_story(self._store, path):
            return False
        with self._store.upload(path) as upload:
            while piece := content.read(_PIECE):
                upload.write(piece)
            try:
                upload.commit(path, overwrite=self._overwrite, content_type=content_type)
            except ObjectExists:
                # A killed try for the same video has left the same picture. The size first: something else may be large.
                return self._store.size(path) == upload.size and self._store.sha256(path) == upload.sha256
        return True


def has_a_story(store: Store, path: str) -> bool:
    """Return whether an object has a sidecar of its own: then it is a result that somebody has published, and no picture of ours."""
    return store.size(f"{path}.json") is not None


@contextmanager
def rendered(video: BinaryIO, rules: PreviewRules, *, seconds: float) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Have a video decoded; give its poster and preview, checked, as files to read, which are gone with the context.

    :param video: a real file.
    :param seconds: how long it may take.
    :raises NoPreview: it took longer, failed, or what came is not what it should be.
    """
    if seconds <= 0:
        raise NoPreview(f"the {rules.max_seconds:g} s for all videos of this publication are over")
    with tempfile.TemporaryFile() as poster, tempfile.TemporaryFile() as preview, tempfile.TemporaryFile() as said:
        # The upload's own file is open for writing too, and is, on local storage, the published video itself.
        with open(f"/dev/fd/{video.fileno()}", "rb") as readable:  # noqa: PTH123
            numbers = (poster.fileno(), preview.fileno())
            try:
                ended = subprocess.run(  # noqa: S603  our own script
                    [*rules.command, *map(str, numbers), str(math.ceil(seconds))],
                    stdin=readable,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    pass_fds=numbers,
                    env=_environment(),
                    cwd="/",
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise NoPreview(f"decoding took longer than the {rules.max_seconds:g} s for all videos of this publication") from None
            except OSError as error:  # said here, or the upload around it would take it for a failing storage
                raise NoPreview(f"no process could be started for it: {error}") from None
        if ended.returncode:
            raise NoPreview(_reason(ended.returncode, said))
        for picture, file in zip(PICTURES, (poster, preview), strict=True):
            _check(picture, file)
        yield poster, preview


def _environment() -> dict[str, str]:
    """Return what the interpreter needs to find the libraries where this one would, and nothing that Airflow or an author has set."""
    path = os.pathsep.join(entry for entry in sys.path if Path(entry).is_absolute())
    kept = {name: os.environ[name] for name in _INTERPRETERS if name in os.environ}
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _reason(code: int, said: BinaryIO) -> str:
    if code < 0:
        return f"decoding the video ended with {signal.Signals(-code).name if -code in set(signal.Signals) else code}"
    said.seek(max(0, said.seek(0, os.SEEK_END) - _REASON))
    lines = said.read(_REASON).decode(errors="replace").strip().splitlines()
    return f"decoding the video ended with code {code}" if not lines else lines[-1]


def _check(picture: Picture, file: BinaryIO) -> None:
    """Refuse what is no whole picture of its kind and size. Raises :class:`NoPreview`."""
    size = file.seek(0, os.SEEK_END)
    if size > process.LARGEST:
        raise NoPreview(f"the {picture.key} has {size} bytes, more than {process.LARGEST}")
    try:
        facts = inspect_media(file)
    except NotMedia as error:
        raise NoPreview(f"the {picture.key} is no whole picture but: {error}") from None
    if facts.content_type != picture.content_type or facts.width > picture.most[0] or facts.height > picture.most[1]:
        raise NoPreview(f"the {picture.key} came as {facts.content_type} of {facts.width} x {facts.height} pixels")
    file.seek(0)


def _one_line(text: str) -> str:
    """Return a text that a stranger's file may have had a part in, as one line of a log."""
    return "".join(char if char.isprintable() else "?" for char in text[:_REASON]).rstrip(".")

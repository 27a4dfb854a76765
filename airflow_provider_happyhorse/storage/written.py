"""Bytes in a temporary file, counted and hashed while they come: what every store's upload is made of before it becomes an object."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import FileIO
from typing import BinaryIO

#: Bytes below which handing a piece to another thread costs more than the work.
_WORTH_A_THREAD = 1 << 16


class _Aside:
    """Works on a piece while the next is fetched and written: hashlib and the kernel let other threads run meanwhile.

    In turn with them it takes as long as all the rest together.
    """

    def __init__(self) -> None:
        self._helper: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def do(self, work: Callable[[], None], *, size: int) -> None:
        """Begin work on a piece of this many bytes, after the one before has ended; it uses the piece until the next call returns."""
        self.wait()
        if size < _WORTH_A_THREAD:
            work()
            return
        if self._helper is None:
            self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publishing")
        self._under_way = self._helper.submit(work)

    def wait(self) -> None:
        """Return when nothing is under way; raise what it has raised."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    def close(self) -> None:
        """End the helper."""
        if self._helper is not None:
            self._helper.shutdown()


class Written:
    """The first half of an :class:`~airflow_provider_happyhorse.storage.stores.Upload`: everything but its commit.

    :param file: open for reading and writing, empty, closed by whoever opened it.
    :param translated: a context that says of an ``OSError`` whether another try can help.
    """

    def __init__(self, *, file: FileIO, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._translated = translated
        self._size = 0
        self._hash = hashlib.sha256()
        self._aside = _Aside()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """Their SHA-256 in hexadecimal."""
        self._aside.wait()
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview, /) -> None:
        """Append bytes, which have to stay as they are until the next call returns."""
        self._aside.do(partial(self._beside, data, self._size), size=len(data))
        rest, at = memoryview(data), self._size
        with self._translated():
            while rest:  # unbuffered, so that nothing is left to be flushed (and to fail again) when a full disk ends the upload
                count = os.pwrite(self._file.fileno(), rest, at)
                rest, at = rest[count:], at + count
        self._size = at

    def _beside(self, data: bytes | memoryview, before: int) -> None:  # noqa: ARG002  for who overrides it
        """Do what can be done with a piece while it is written and the next is fetched.

        :param before: bytes in front of it, which are all in the file already.
        """
        self._hash.update(data)

    def restart(self) -> None:
        """Empty the file."""
        self._aside.wait()
        with self._translated():
            self._file.truncate(0)
        self._size = 0
        self._hash = hashlib.sha256()

    def close(self) -> None:
        """End what runs beside; the file is closed by its owner."""
        self._aside.close()

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Open the bytes for reading, from their beginning. Writing goes on at its own place: it never uses the file's."""
        with self._translated(), os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            file.seek(0)
            yield file

"""Bytes in a temporary file, counted and hashed while they come: what every store's upload is made of before it becomes an object."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from typing import BinaryIO

#: Bytes after which another thread follows what is written. It reads them from the file, which is in memory still: nobody waits for it.
STEP = 1 << 20
#: Bytes that it reads at once.
_PIECE = 1 << 18


class Written:
    """The first half of an :class:`~airflow_provider_happyhorse.storage.stores.Upload`: everything but its commit.

    Hashing takes as long as fetching and writing together, so it runs beside them: hashlib and the kernel let other threads run meanwhile.

    :param file: open for reading and writing, empty, closed by whoever opened it.
    :param translated: a context that says of an ``OSError`` whether another try can help.
    """

    def __init__(self, *, file: FileIO, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._translated = translated
        self._size = 0
        self._hash = hashlib.sha256()
        self._followed = 0  # bytes that are hashed, or will be by what is under way
        self._helper: ThreadPoolExecutor | None = None
        self._under_way: deque[Future[None]] = deque()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """Their SHA-256 in hexadecimal."""
        self._catch_up()
        with self._translated():
            while self._under_way:
                self._under_way[0].result()  # what has failed stays there, and fails again
                self._under_way.popleft()
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview, /) -> None:
        """Append bytes."""
        rest, at = memoryview(data), self._size
        with self._translated():
            while rest:  # unbuffered, so that nothing is left to be flushed (and to fail again) when a full disk ends the upload
                count = os.pwrite(self._file.fileno(), rest, at)
                rest, at = rest[count:], at + count
            self._size = at
            while self._under_way and self._under_way[0].done():
                self._under_way[0].result()
                self._under_way.popleft()
        if at - self._followed >= STEP:
            self._catch_up()

    def _catch_up(self) -> None:
        """Have the other thread hash all that is written."""
        if self._followed < self._size:
            if self._helper is None:
                self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publishing")
            self._under_way.append(self._helper.submit(self._follow, self._followed, self._size))
            self._followed = self._size

    def _follow(self, begin: int, end: int) -> None:
        """Hash what has been written from one place to another."""
        piece = memoryview(bytearray(min(_PIECE, end - begin)))
        while begin < end:
            count = os.preadv(self._file.fileno(), [piece[: end - begin]], begin)
            if not count:
                raise OSError(errno.EIO, f"{begin} of {end} bytes are in the file")
            self._hash.update(piece[:count])
            begin += count

    def restart(self) -> None:
        """Empty the file."""
        self._forget()
        with self._translated():
            self._file.truncate(0)
        self._size = self._followed = 0
        self._hash = hashlib.sha256()

    def close(self) -> None:
        """End what runs beside; the file is closed by its owner."""
        self._forget()
        if self._helper is not None:
            self._helper.shutdown()

    def _forget(self) -> None:
        """Wait until nothing uses the file any more, whatever came of it."""
        while self._under_way:
            under_way = self._under_way.popleft()
            if not under_way.cancel():
                under_way.exception()

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Open the bytes for reading, from their beginning. Writing goes on at its own place: it never uses the file's."""
        with self._translated(), os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            file.seek(0)
            yield file

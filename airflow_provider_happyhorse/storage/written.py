"""Bytes in a temporary file, counted and hashed while they come: what every store's upload is made of before it becomes an object."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from queue import SimpleQueue
from threading import Thread
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
        self._helper: Thread | None = None
        # Neither a lock nor a condition: an exception that a signal raises in the middle of one would leave it locked for ever. To put into
        # such a queue is one step of the interpreter (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put).
        self._tasks: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._given_up = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """Their SHA-256 in hexadecimal."""
        self._catch_up()
        self._wait()
        with self._translated():
            if self._failure is not None:
                raise self._failure
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview, /) -> None:
        """Append bytes."""
        rest, at = memoryview(data), self._size
        with self._translated():
            while rest:  # unbuffered, so that nothing is left to be flushed (and to fail again) when a full disk ends the upload
                count = os.pwrite(self._file.fileno(), rest, at)
                rest, at = rest[count:], at + count
            self._size = at
            if self._failure is not None:
                raise self._failure
        if at - self._followed >= STEP:
            self._catch_up()

    def _catch_up(self) -> None:
        """Have the other thread hash all that is written."""
        if self._followed < self._size:
            if self._helper is None:
                self._helper = Thread(target=self._help, name="publishing", daemon=True)
                self._helper.start()
            begin, self._followed = self._followed, self._size
            self._tasks.put((begin, self._size))

    def _help(self) -> None:
        """Do what is to be done, in the other thread, until it is closed; ``(0, 0)`` asks for a sign that all before it is done."""
        while (task := self._tasks.get()) is not None:
            begin, end = task
            if not end:
                self._idle.put(None)
            elif self._failure is None and not self._given_up:
                try:
                    self._follow(begin, end)
                except BaseException as failure:  # noqa: BLE001  whoever writes on, or asks for the hash, raises it
                    self._failure = failure

    def _wait(self) -> None:
        if self._helper is not None:
            self._tasks.put((0, 0))
            self._idle.get()

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
        self._given_up = True
        self._wait()
        with self._translated():
            self._file.truncate(0)
        self._size = self._followed = 0
        self._hash, self._failure, self._given_up = hashlib.sha256(), None, False

    def close(self) -> None:
        """End what runs beside, once nothing uses the file any more; the file is closed by its owner."""
        self._given_up = True
        if self._helper is not None:
            self._tasks.put(None)
            if self._helper.is_alive():
                self._helper.join()

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Open the bytes for reading, from their beginning. Writing goes on at its own place: it never uses the file's."""
        with self._translated(), os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            file.seek(0)
            yield file

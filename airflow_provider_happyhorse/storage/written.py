"""Bytes in a temporary file, counted and hashed while they come: what every store's upload is made of before it becomes an object."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from typing import BinaryIO

#: Bytes below which handing a piece to another thread costs more than hashing it.
_WORTH_A_THREAD = 1 << 16


class _Sha256:
    """A SHA-256 that is computed while the next piece is fetched and written: hashlib lets other threads run meanwhile.

    In turn with them it takes as long as all the rest together.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._helper: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def update(self, data: bytes | memoryview) -> None:
        """Take the next piece, which has to stay as it is until the next call returns."""
        self._wait()
        if len(data) < _WORTH_A_THREAD:
            self._hash.update(data)
            return
        if self._helper is None:
            self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sha256")
        self._under_way = self._helper.submit(self._hash.update, data)

    def hexdigest(self) -> str:
        """Return the digest of all pieces so far."""
        self._wait()
        return self._hash.hexdigest()

    def restart(self) -> None:
        """Forget all pieces."""
        self._wait()
        self._hash = hashlib.sha256()

    def close(self) -> None:
        """End the helper."""
        if self._helper is not None:
            self._helper.shutdown()

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None


class Written:
    """The first half of an :class:`~airflow_provider_happyhorse.storage.stores.Upload`: everything but its commit.

    :param file: open for reading and writing, empty, closed by whoever opened it.
    :param translated: a context that says of an ``OSError`` whether another try can help.
    """

    def __init__(self, *, file: FileIO, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._translated = translated
        self._size = 0
        self._hash = _Sha256()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """Their SHA-256 in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview, /) -> None:
        """Append bytes, which have to stay as they are until the next call returns."""
        self._hash.update(data)
        rest, at = memoryview(data), self._size
        with self._translated():
            while rest:  # unbuffered, so that nothing is left to be flushed (and to fail again) when a full disk ends the upload
                count = os.pwrite(self._file.fileno(), rest, at)
                rest, at = rest[count:], at + count
        self._size = at

    def restart(self) -> None:
        """Empty the file."""
        with self._translated():
            self._file.truncate(0)
        self._size = 0
        self._hash.restart()

    def close(self) -> None:
        """Stop hashing; the file is closed by its owner."""
        self._hash.close()

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Open the bytes for reading, from their beginning. Writing goes on at its own place: it never uses the file's."""
        with self._translated(), os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            file.seek(0)
            yield file

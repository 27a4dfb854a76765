"""A stream of bytes becomes a whole object in the user's storage, or nothing.

**Where a backend is added**: a class that meets :class:`Store`, entered under its URI scheme in ``storage/destinations.py``, once
tests have proven against a real server that (1) no partial object is ever visible under the final name, also after a kill, (2) creating
without overwriting is atomic, (3) nothing is left over after a handled failure. Until then its scheme is refused.

The stores talk to their storage themselves, not through fsspec's files: those know neither fsync nor exclusive links nor conditional
writes, and publish what they have when an exception leaves ``with open("wb")``. A URI made here is one that ``ObjectStoragePath`` opens.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol


class StorageUnavailable(Exception):
    """The storage failed in a way that may pass (disk full, a network file system gone). Another try may help and costs no credits."""


class ObjectExists(Exception):
    """Something has the final name already; it was not touched."""


class Upload(Protocol):
    """Bytes on their way to becoming an object. Leaving its context without :meth:`commit` discards them."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take the next bytes. Raises :class:`StorageUnavailable`."""
        ...

    def restart(self) -> None:
        """Forget all bytes so far."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    @property
    def sha256(self) -> str:
        """Their SHA-256 so far, in hexadecimal."""
        ...

    def reader(self) -> AbstractContextManager[BinaryIO]:
        """Open what was written so far for reading, seekable, to verify it before it becomes visible."""
        ...

    def commit(self, path: str, *, overwrite: bool, content_type: str = "") -> str:
        """Make the bytes durable, then visible as the object ``path``, in one step and only whole; return its :meth:`Store.stamp`.

        The name itself may need :meth:`Store.settle` to survive a power cut.

        :param path: in the folder that the upload was begun in.
        :param content_type: for storages that keep one with the object.
        :raises ObjectExists: something is there and ``overwrite`` is False.
        """
        ...


class Store(Protocol):
    """One backend. Paths are strings as a ``Destination`` has them, folders without a trailing slash."""

    def uri(self, path: str) -> str:
        """Return the URI under which ``ObjectStoragePath`` opens the object."""
        ...

    def check_writable(self, folder: str) -> None:
        """Prove that objects can be published below a folder, leaving nothing behind.

        :raises PublishRefused: they cannot.
        :raises StorageUnavailable: it cannot be told now.
        """
        ...

    def is_folder(self, path: str) -> bool:
        """Return whether the path is an existing folder."""
        ...

    def size(self, path: str) -> int | None:
        """Return the object's size in bytes, None when there is none."""
        ...

    def read(self, path: str, *, at_most: int) -> bytes | None:
        """Return the object's first bytes, None when there is none."""
        ...

    def sha256(self, path: str) -> str | None:
        """Return the SHA-256 of the object's bytes in hexadecimal, None when there is none."""
        ...

    def stamp(self, path: str) -> str | None:
        """Return a text that stays as long as nobody writes the object, None when there is none. Costs no reading of its bytes."""
        ...

    def upload(self, path: str) -> AbstractContextManager[Upload]:
        """Begin an upload into the folder of ``path``, cleaning up what a killed try for the same path has left.

        :param path: of the object to be; its extension may still be missing, :meth:`Upload.commit` has the last word.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove an object if it is there."""
        ...

    def settle(self, folder: str) -> None:
        """Make the names that were given in a folder so far survive a power cut."""
        ...

"""Immutable objects below one folder, each created whole by exactly one writer: what ledger paths and the spend log consist of.

**Where a backend is added**: a class that meets :class:`ObjectStore`, named in :func:`open_objects` under its URI scheme, once tests have
proven against a real server that of several writers of one key exactly one wins, and that what is written is read at once. An existence
check followed by a write is not that. Until then its scheme is refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.storage.local import LocalStore
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable

__all__ = ["LocalObjects", "ObjectExists", "ObjectStore", "ObjectsUnavailable", "UnsuitableLedgerPath", "component", "open_objects"]


class ObjectsUnavailable(Exception):
    """The storage did not do what was asked, or its answer was lost. Nothing is known of the object; never the same as none."""


class UnsuitableLedgerPath(Exception):
    """The path cannot hold a ledger: no exclusive create is proven there, or it cannot be understood. Another try meets the same."""


class ObjectStore(Protocol):
    """Objects below a base folder. Keys are ``/``-separated :func:`component` s. Nothing is ever changed or deleted."""

    @property
    def uri(self) -> str:
        """The base folder as a URI, without a trailing slash."""

    def create(self, key: str, data: bytes) -> None:
        """Create an object, whole and durable, if and only if there is none.

        :raises ObjectExists: there is one, whoever wrote it; also ourselves, when the answer to an earlier request was lost.
        :raises ObjectsUnavailable: it may or may not have been created.
        :raises UnsuitableLedgerPath: the storage does not create exclusively.
        """

    def read(self, key: str) -> bytes | None:
        """Return an object as it is in the storage now, None when there is none.

        :raises ObjectsUnavailable: the storage does not tell.
        """

    def list(self, folder: str) -> list[str]:
        """Return the keys of all objects at any depth below a folder as they are in the storage now, sorted.

        :param folder: ends with ``/``.
        :raises ObjectsUnavailable: the storage does not tell.
        """


def open_objects(ledger_path: str) -> ObjectStore:
    """Return the store behind a ``ledger_path``, without touching it.

    :param ledger_path: an absolute local path, ``file:///folder``, or ``s3://connection_id@bucket/folder`` (the connection may be left
        out, as in Airflow's ``ObjectStoragePath``).
    :raises UnsuitableLedgerPath: it is anything else.
    """
    if not isinstance(ledger_path, str) or not ledger_path.strip():
        raise UnsuitableLedgerPath("`ledger_path` is empty; give file:///folder or s3://connection_id@bucket/folder.")
    written = ledger_path.strip()
    scheme, separator, rest = written.partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("file", written)
    if scheme not in ("file", "s3"):
        raise UnsuitableLedgerPath(f"`ledger_path`: {scheme}:// has no exclusive create that is proven; use file:// or s3://.")
    if any(ord(char) < 0x20 or char in "\x7f?#" for char in rest) or ".." in rest.split("/"):
        raise UnsuitableLedgerPath(
            f"`ledger_path` {_shown(written)!r} has '..', '?', '#' or control characters; write the plain path it means."
        )
    authority, _, path = rest.partition("/")
    folder = "/".join(part for part in path.split("/") if part not in ("", "."))
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise UnsuitableLedgerPath(
                f"`ledger_path` {_shown(written)!r} is not absolute; a local one is file:///folder, with three slashes."
            )
        if not folder:
            raise UnsuitableLedgerPath("`ledger_path` is the root of the file system; name a folder.")
        return LocalObjects(folder=f"/{folder}")
    conn_id, _, bucket = authority.rpartition("@")
    if not bucket or ":" in authority:
        raise UnsuitableLedgerPath("`ledger_path` must be s3://connection_id@bucket/folder; keys and secrets belong into that connection.")
    from airflow_provider_happyhorse.ledger.s3_objects import S3Objects

    return S3Objects(conn_id=conn_id or None, bucket=bucket, folder=folder)


def _shown(written: str) -> str:
    """Return a path for a message, without what may be a password in it."""
    return re.sub(r"//[^/@]*:[^/@]*@", "//***@", written).partition("?")[0]


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")


def component(text: str, *, longest: int = 160) -> str:
    """Return a text as one part of a key: another text gives another part, on every storage, and none climbs or hides.

    Letters, digits, ``_``, ``-`` and (but at the beginning) ``.`` stay; all other bytes of the UTF-8 become ``%XX``. A text that gets
    too long is cut and ends with ``%-`` and the SHA-256 of the whole, which no percent-encoded text can.

    :param longest: of the result, in characters; at least 64.
    """
    raw = text.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if encoded and len(encoded) <= longest:
        return encoded
    mark = f"%-{hashlib.sha256(raw).hexdigest()[:40]}"
    return re.sub(r"%[0-9A-F]?$", "", encoded[: longest - len(mark)]) + mark


_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class LocalObjects:
    """Objects in a folder of a local or mounted file system that every worker sees; a hidden temporary file is synced, then linked.

    The folder itself is never created: one that is missing is a share that is not mounted, not an empty ledger.

    :param folder: absolute, without a trailing slash.
    :param link: creates a hard link, failing if the name is taken; an argument because not every file system can.
    """

    def __init__(self, *, folder: str, link: Callable[[str, str], None] = os.link) -> None:
        self._folder = folder
        self._link = link
        self._store = LocalStore(link=self._exclusive_link)

    @property
    def uri(self) -> str:
        """``file://`` and the folder."""
        return self._store.uri(self._folder)

    def create(self, key: str, data: bytes) -> None:
        """Create a file that no reader sees before it is whole and synced, and no kill leaves half of."""
        path = f"{self._folder}/{key}"
        folder = os.path.dirname(path)  # noqa: PTH120  strings, as keys are
        try:
            self._require_base()
            self._make_folders(folder)
            with self._store.upload(path) as upload:
                upload.write(data)
                upload.commit(path, overwrite=False)
            # What follows may be a payment: the record of it survives a power cut before it is sent.
            self._store.settle(folder)
        except (OSError, PublishRefused, StorageUnavailable) as error:
            raise ObjectsUnavailable(f"{self.uri}/{key} could not be written: {_reason(error)}") from error

    def read(self, key: str) -> bytes | None:
        """Return the file's bytes."""
        try:
            return Path(self._folder, key).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            self._require_base()
            if isinstance(error, FileNotFoundError):
                return None
            raise ObjectsUnavailable(f"{self.uri}/{key} cannot be read: {_reason(error)}") from error
        except OSError as error:
            raise ObjectsUnavailable(f"{self.uri}/{key} cannot be read: {_reason(error)}") from error

    def list(self, folder: str) -> list[str]:
        """Return the files below the folder but for temporary ones."""
        self._require_base()
        found = []
        try:
            for parent, _, names in os.walk(f"{self._folder}/{folder}", onerror=_unless_missing):
                found += [f"{parent}/{name}" for name in names if not name.startswith(".")]
        except OSError as error:
            raise ObjectsUnavailable(f"{self.uri}/{folder} cannot be listed: {_reason(error)}") from error
        return sorted(os.path.relpath(path, self._folder) for path in found)

    def _exclusive_link(self, source: str, target: str) -> None:
        try:
            self._link(source, target)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise UnsuitableLedgerPath(
                    f"`ledger_path`: the file system of {self.uri} makes no hard links ({error.strerror}), so it has no exclusive create; "
                    "use another."
                ) from error
            raise

    def _require_base(self) -> None:
        if not os.path.isdir(self._folder):  # noqa: PTH112
            raise ObjectsUnavailable(
                f"The ledger's folder {self.uri} does not exist or cannot be reached. Create it once, where every worker sees it; a folder "
                "that is missing is not taken for an empty ledger."
            )

    def _make_folders(self, path: str) -> None:
        """Create missing folders one by one, each entry synced: after a power cut a record in a lost folder would be lost too."""
        missing = []
        while not os.path.isdir(path):  # noqa: PTH112
            missing.append(path)
            path = os.path.dirname(path)  # noqa: PTH120
        for folder in reversed(missing):
            Path(folder).mkdir(exist_ok=True)
            self._store.settle(os.path.dirname(folder))  # noqa: PTH120


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _reason(error: BaseException) -> str:
    """Return the system's own words; what the storage module says around them is about publishing."""
    if isinstance(error.__cause__, OSError):
        error = error.__cause__
    return f"{error.strerror} (errno {error.errno})" if isinstance(error, OSError) and error.strerror else str(error)

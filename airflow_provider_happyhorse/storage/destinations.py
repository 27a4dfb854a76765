"""What an author wrote as ``destination``, understood: which store, which path in it, and whether a new result can go there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.storage.stores import Store


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A destination as the author wrote it, understood.

    :param path: in the store; of the folder (no trailing slash) or of the exact object.
    :param is_folder: the author ended it with ``/``.
    """

    store: Store
    path: str
    is_folder: bool

    @property
    def uri(self) -> str:
        """The destination as a URI, folders with their slash."""
        return self.store.uri(self.path) + ("/" if self.is_folder and self.path != "/" else "")


def _local(authority: str) -> Store:
    from airflow_provider_happyhorse.storage.local import LocalStore

    host = authority.rpartition("@")[2]  # before the @ stands Airflow's connection id, which local files do not need
    if host not in ("", "localhost"):
        raise PublishRefused(f"The destination names the host {host!r}; a local path is file:///path, with three slashes.")
    return LocalStore()


def _s3(authority: str) -> Store:
    from airflow_provider_happyhorse.storage.s3 import S3Store

    conn_id, _, bucket = authority.rpartition("@")
    if not bucket or ":" in authority:
        raise PublishRefused("An S3 destination is s3://connection_id@bucket/folder/; keys and secrets belong into that connection.")
    if not _BUCKET.fullmatch(bucket):
        raise PublishRefused(f"{bucket!r} cannot be the name of a bucket, which has letters, digits, '.', '-' and '_' only.")
    return S3Store(conn_id=conn_id or None, bucket=bucket)


#: What botocore takes; it says so when the first request is made, which may be after paying.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
#: NAME_MAX of the usual file systems. Known before paying, or else found out when the sidecar is written, last of all.
_LONGEST_NAME = 255

#: Scheme -> what makes its store from what stands between ``://`` and the path.
_STORES: dict[str, Callable[[str], Store]] = {"": _local, "file": _local, "local": _local, "s3": _s3}


def locate(destination: Any) -> Destination:
    """Understand a destination without touching the storage.

    :param destination: absolute path or URI; with a trailing ``/`` a folder, else the exact object.
    :raises PublishRefused: it is no text, empty, relative, begins or ends with whitespace, climbs with ``..``, or has no supported backend.
    """
    if isinstance(destination, PurePath) or hasattr(type(destination), "joinpath"):  # Airflow's ObjectStoragePath is not always the former
        raise PublishRefused(
            f"The destination is of type {type(destination).__name__}, which forgets the '/' in the end that makes it a folder. "
            "Write it as text."
        )
    if not isinstance(destination, str) or not destination.strip():
        raise PublishRefused("The destination is empty. Give an absolute path or URI; end it with '/' for a folder.")
    shown = shown_destination(destination)
    if destination != destination.strip():
        # A blank after the last slash would be an object of that name, and the folder that was meant would stay empty.
        raise PublishRefused(f"The destination {shown!r} begins or ends with whitespace. Write it without.")
    if any(ord(char) < 0x20 or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in destination):
        raise PublishRefused(f"The destination {shown!r} has characters that no path should have.")
    scheme, authority, path = _split(destination)
    make = _STORES.get(scheme)
    if make is None:
        raise PublishRefused(
            f"Publishing to {scheme}:// is not yet proven to leave neither partial nor overwritten objects there, so it is refused; "
            "publish to S3 (s3://connection_id@bucket/…) or to a local or mounted path (file:///…)."
        )
    store = make(authority)
    if authority and not path:
        raise PublishRefused(f"The destination {shown!r} names no object. End it with '/' to publish below it, or name an object.")
    if not path.startswith("/"):
        raise PublishRefused(f"The destination {shown!r} is relative, and a worker's current folder is nobody's choice. Make it absolute.")
    if ".." in path.split("/"):
        raise PublishRefused(f"The destination {shown!r} climbs with '..'. Write the path it means.")
    is_folder = path.endswith("/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not is_folder and (not parts or path.endswith("/.")):
        raise PublishRefused(f"The destination {shown!r} names no object.")
    longest = max((len(part.encode()) for part in parts), default=0) + (0 if is_folder else len(".json"))
    if longest > _LONGEST_NAME:
        raise PublishRefused(f"The destination {shown!r} has a name of more than {_LONGEST_NAME} bytes (with its sidecar's '.json').")
    return Destination(store=store, path="/" + "/".join(parts), is_folder=is_folder)


def shown_destination(destination: str) -> str:
    """Return a destination as it may be logged: a key and its secret in front of a bucket are masked."""
    head, separator, rest = destination.partition("://")
    if ":" not in rest.partition("/")[0]:
        return destination
    # A secret may hold slashes, so that only the last @ is certain to be behind it.
    return f"{head}{separator}***{rest[rest.rfind('@') :] if '@' in rest else ''}"


def _split(destination: str) -> tuple[str, str, str]:
    """Return scheme, authority and path; fsspec decodes no percent signs in any, and ``#`` and ``?`` are parts of a name."""
    head, separator, rest = destination.partition("://")
    if not separator:
        return "", "", destination
    authority, slash, path = rest.partition("/")
    return head.lower(), authority, slash + path


def check_writable(destination: str) -> None:
    """Prove, before anything is paid, that a result can be published to a destination; missing parent folders are created.

    :raises PublishRefused: it cannot; the text says why.
    :raises StorageUnavailable: it cannot be told now; another try may find out.
    """
    place = locate(destination)
    if not place.is_folder and place.store.is_folder(place.path):
        raise PublishRefused(f"The destination {place.uri} is a folder. End it with '/' to publish below it, or name an object.")
    place.store.check_writable(place.path if place.is_folder else place.path.rpartition("/")[0] or "/")


def check_free(destination: str, *, kind: str) -> None:
    """Refuse, before anything is paid, an exact object that publishing a new generation would refuse after it.

    :param kind: what will be published, ``video`` or ``image``.
    :raises PublishRefused: something stands there (it cannot be the new generation), or the extension promises another format.
    """
    place = locate(destination)
    if place.is_folder:
        return
    extension = place.path.rpartition("/")[2].rpartition(".")[2].lower()
    if extension in ("png", "jpg", "jpeg", "webp") if kind == "video" else extension == "mp4":
        raise PublishRefused(f"The destination {place.uri} promises another format than a {kind} has. Nothing was submitted.")
    for path in (place.path, f"{place.path}.json"):
        if place.store.size(path) is not None:
            raise PublishRefused(
                f"{place.store.uri(path)} exists already and cannot be the new generation. Nothing was submitted. Name a folder, ending in "
                "'/', or put the run into the name, such as {{ run_id }}."
            )

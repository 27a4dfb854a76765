"""Amazon S3 and what speaks its protocol: the whole, verified result in one ``PutObject``, conditional where it may not replace.

One ``PutObject`` and never a multipart upload: "Amazon S3 never adds partial objects" (API reference, ``PutObject``), so a cut or a kill
leaves neither an object nor parts that somebody has to abort, and S3 itself compares the bytes it got with our SHA-256 before the object
appears. Its limit is 5 GiB; ``max_result_bytes`` is 2 GiB. ``If-None-Match: *`` makes it exclusive (User Guide, "How to prevent object
overwrites with conditional writes"): 412 when the name is taken, 409 when another request got in between and this one is to be sent again.
"""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, BinaryIO

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.storage.s3_answers import AbsentObject, Conflict, translated
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable
from airflow_provider_happyhorse.storage.written import Written

#: Of one PutObject.
LARGEST = 5 * 1024**3
#: A key has at most 1024 bytes, and below a folder the default layout adds less than 424.
_LONGEST_FOLDER = 600
_PROBE = ".happyhorse-probe-"
#: A probe that is older was left by a kill.
_ABANDONED_AFTER = timedelta(minutes=10)
_PIECE = 1 << 20
#: Connection id and bucket of storages that have shown to refuse creating an object twice.
proven_exclusive: set[tuple[str | None, str]] = set()


class S3Store:
    """The :class:`~airflow_provider_happyhorse.storage.stores.Store` of a bucket; paths are ``/`` and the key.

    The client is that of the amazon provider's ``S3Hook``, with its sessions, roles, endpoints and retries. Neither it nor anything else is
    asked or imported before a method is called.

    :param conn_id: an Airflow connection of type ``aws``; None for the environment's own credentials.
    :param sleep: waits some seconds.
    :param now: the current time, aware.
    """

    def __init__(
        self,
        *,
        conn_id: str | None,
        bucket: str,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._conn_id, self._bucket, self._sleep, self._now = conn_id, bucket, sleep, now

    def uri(self, path: str) -> str:
        """Return ``s3://connection_id@bucket`` and the path, as ``ObjectStoragePath`` takes it."""
        return f"s3://{f'{self._conn_id}@' if self._conn_id else ''}{self._bucket}{path}"

    def check_writable(self, folder: str) -> None:
        """Create an object below the folder, see a second creation refused, look it up, and delete it."""
        if len(folder.encode()) > _LONGEST_FOLDER:
            raise PublishRefused(f"The folder {self.uri(folder)} is too long: S3's keys have at most 1024 bytes.")
        probe = f"{folder.rstrip('/')}/{_PROBE}{secrets.token_hex(8)}"
        try:
            self._remove_abandoned_probes(folder)
            if self._creates_twice(probe):
                raise PublishRefused(
                    f"The storage behind {self.uri('')} ignores If-None-Match, so two tasks could overwrite each other unnoticed. "
                    "Publish to another one."
                )
        except StorageUnavailable as error:
            raise StorageUnavailable(f"Nothing can be published below {self.uri(folder)}/ now: {error}") from error
        proven_exclusive.add((self._conn_id, self._bucket))

    def _creates_twice(self, probe: str) -> bool:
        self._creates(probe)
        try:
            return self.size(probe) is None or self._creates(probe)
        finally:
            self.remove(probe)

    def _creates(self, probe: str) -> bool:
        try:
            self.put(probe, io.BytesIO(), 0, hashlib.sha256().hexdigest(), overwrite=False)
        except ObjectExists:  # the first creation may end like this too, when its answer was lost and the client has asked again
            return False
        return True

    def _remove_abandoned_probes(self, folder: str) -> None:
        prefix = f"{folder.rstrip('/')}/{_PROBE}"[1:]
        for item in self._ask(folder, "list_objects_v2", Prefix=prefix).get("Contents", []):
            if self._now() - item["LastModified"] > _ABANDONED_AFTER:
                self.remove(f"/{item['Key']}")

    def is_folder(self, path: str) -> bool:
        """Return whether there are objects below the path."""
        below = f"{path.rstrip('/')}/"[1:]
        return bool(self._ask(path, "list_objects_v2", Prefix=below, MaxKeys=1).get("Contents"))

    def size(self, path: str) -> int | None:
        """Return the size in bytes, None when there is no such object."""
        head = self._head(path)
        return None if head is None else int(head["ContentLength"])

    def stamp(self, path: str) -> str | None:
        """Return the ETag, None when there is no such object."""
        head = self._head(path)
        return None if head is None else str(head["ETag"])

    def read(self, path: str, *, at_most: int) -> bytes | None:
        """Return the first bytes, None when there is no such object."""
        with self._body(path) as body:
            return None if body is None else bytes(body.read(at_most))

    def sha256(self, path: str) -> str | None:
        """Return the SHA-256 in hexadecimal of what the storage delivers, None when there is no such object."""
        digest = hashlib.sha256()
        with self._body(path) as body:
            if body is None:
                return None
            for piece in body.iter_chunks(_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def remove(self, path: str) -> None:
        """Delete an object if it is there."""
        self._ask(path, "delete_object", Key=path[1:])

    def settle(self, folder: str) -> None:
        """Do nothing: an answered request is durable."""

    @contextmanager
    def upload(self, path: str) -> Iterator[S3Upload]:
        """Open a temporary file without a name, in the worker's temporary folder: it cannot outlive the process."""
        with (
            self._translated(path),
            tempfile.TemporaryFile(buffering=0) as file,
            closing(S3Upload(store=self, file=file, path=path)) as upload,
        ):
            yield upload

    def require_exclusive_create(self, path: str) -> None:
        """Refuse a storage that ignores conditions; asked once in a process."""
        if (self._conn_id, self._bucket) not in proven_exclusive:
            self.check_writable(path.rpartition("/")[0])

    def put(self, path: str, body: BinaryIO, size: int, sha256: str, *, overwrite: bool, content_type: str = "") -> str:
        """Create or replace an object in one request and return its ETag.

        :raises ObjectExists: it is there and may not be replaced.
        """
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        described = {"ContentType": content_type} if content_type else {}
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        for pause in (0.2, 1.0, 3.0, None):
            body.seek(0)
            try:
                arguments = {"Body": body, "ContentLength": size, "ChecksumSHA256": checksum, **described, **condition}
                return str(self._ask(path, "put_object", Key=path[1:], **arguments)["ETag"])
            except Conflict:
                if pause is None:
                    raise
                self._sleep(pause)
        raise AssertionError  # the last pause is None

    def _head(self, path: str) -> dict[str, Any] | None:
        try:
            return self._ask(path, "head_object", Key=path[1:])
        except AbsentObject:
            return None

    @contextmanager
    def _body(self, path: str) -> Iterator[Any]:
        with self._translated(path):
            try:
                body = self._ask(path, "get_object", Key=path[1:])["Body"]
            except AbsentObject:
                yield None
                return
            try:
                yield body
            finally:
                body.close()

    def _ask(self, path: str, operation: str, **arguments: Any) -> dict[str, Any]:
        with self._translated(path):
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self._bucket, **arguments)
            return answer

    def _translated(self, path: str) -> Any:
        return translated(self.uri(path))

    @cached_property
    def _client(self) -> Any:
        try:
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        except ImportError as error:
            raise PublishRefused(f"{self.uri('')} needs apache-airflow-providers-amazon in every worker: {error}.") from error
        try:
            return S3Hook(aws_conn_id=self._conn_id).get_conn()
        except (TypeError, ValueError) as error:  # of its config_kwargs, and of its endpoint
            raise PublishRefused(f"The connection {self._conn_id!r} cannot be used for {self.uri('')}: {error}.") from error


class S3Upload(Written):
    """The :class:`~airflow_provider_happyhorse.storage.stores.Upload`: the bucket hears of it when it is whole and verified."""

    def __init__(self, *, store: S3Store, file: io.FileIO, path: str) -> None:
        super().__init__(file=file, translated=lambda: translated(f"{tempfile.gettempdir()} (before the upload to {store.uri(path)})"))
        self._store = store

    def commit(self, path: str, *, overwrite: bool, content_type: str = "") -> str:
        """Put the object, whole or not at all."""
        if self.size > LARGEST:
            raise PublishRefused(f"{self.size} bytes are too much for {self._store.uri(path)}: S3 takes {LARGEST} at once.")
        if not overwrite:
            self._store.require_exclusive_create(path)
        with self.reader() as file:
            return self._store.put(path, file, self.size, self.sha256, overwrite=overwrite, content_type=content_type)

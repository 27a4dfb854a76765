"""The ledger's objects on S3: ``PutObject`` with ``If-None-Match: *``, which Amazon S3 has had since August 2024.

Source: Amazon S3 User Guide, "How to prevent object overwrites with conditional writes": 412 when the key is taken, 409
(``ConditionalRequestConflict``) when another request got in between and this one is to be sent again. Objects are strongly consistent:
a read or a list after a write shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
from airflow_provider_happyhorse.storage.stores import ObjectExists

#: Seconds between attempts after a 409, which says that nothing was decided.
_PAUSES = (0.1, 0.4, 1.0)
_PROBE = "exclusive-create.txt"
_PROBE_TEXT = b"The ledger creates this object twice: a storage that allows it twice could pay twice, and is refused.\n"
#: Base URIs whose storage has shown that it refuses to create the same object twice.
_proven: set[str] = set()


class S3Objects:
    """Objects below a folder of a bucket.

    The client is that of the file system which Airflow's ``ObjectStoragePath`` makes from the connection (``s3fs``), but the requests are
    our own: the file system's calls answer from its listing cache, and drop a condition that the installed botocore does not know. The
    client itself refuses a parameter that it does not know. Reads nothing and sends nothing when constructed; not for an event loop.

    :param conn_id: an Airflow connection of type ``aws``, None for the environment's own credentials.
    :param folder: without slashes around it, ``""`` for the whole bucket.
    :param sleep: waits some seconds.
    """

    def __init__(self, *, conn_id: str | None, bucket: str, folder: str, sleep: Callable[[float], object] = time.sleep) -> None:
        self._bucket, self._base, self._sleep = bucket, f"{folder}/" if folder else "", sleep
        self._uri = f"s3://{f'{conn_id}@' if conn_id else ''}{bucket}{f'/{folder}' if folder else ''}"

    @property
    def uri(self) -> str:
        """``s3://connection_id@bucket/folder``, as ``ObjectStoragePath`` takes it."""
        return self._uri

    def create(self, key: str, data: bytes) -> None:
        """Create the object with a condition, once the storage has shown that it obeys conditions."""
        self._require_exclusive_create()
        self._create(key, data)

    def read(self, key: str) -> bytes | None:
        """Return the object's bytes."""
        try:
            return self._ask(f"{self._uri}/{key} cannot be read", _get, Key=self._base + key)  # type: ignore[no-any-return]
        except ObjectsUnavailable as error:
            if _code(error) == "NoSuchKey":
                return None
            raise

    def list(self, folder: str) -> list[str]:
        """Return the keys, page by page."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._ask(f"{self._uri}/{folder} cannot be listed", _list, Prefix=self._base + folder, **more)
            found += [item["Key"].removeprefix(self._base) for item in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                # What ends with "/" is no object of ours: consoles create such "folders".
                return sorted(key for key in found if not key.endswith("/"))
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _require_exclusive_create(self) -> None:
        """Create one object twice. Storages that speak S3 may ignore the condition, and would then overwrite records without a word."""
        if self._uri in _proven:
            return
        try:
            self._create(_PROBE, _PROBE_TEXT)
            self._create(_PROBE, _PROBE_TEXT)
        except ObjectExists:
            _proven.add(self._uri)
        else:
            raise UnsuitableLedgerPath(
                f"`ledger_path`: the storage behind {self._uri} ignores If-None-Match, so it has no exclusive create; use another."
            )

    def _create(self, key: str, data: bytes) -> None:
        put = {"Key": self._base + key, "Body": data, "ContentType": "application/json", "IfNoneMatch": "*"}
        for pause in (*_PAUSES, None):
            try:
                self._ask(f"{self._uri}/{key} could not be written", _put, **put)
            except ObjectsUnavailable as error:
                if _code(error) in ("PreconditionFailed", "412"):
                    raise ObjectExists(f"{self._uri}/{key}") from error
                if pause is None or _code(error) not in ("ConditionalRequestConflict", "OperationAborted", "409"):
                    raise
                self._sleep(pause)
            else:
                return

    @cached_property
    def _file_system(self) -> Any:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        try:
            return ObjectStoragePath(f"{self._uri}/").fs
        except (ImportError, ValueError) as error:
            raise UnsuitableLedgerPath(
                f"`ledger_path` {self._uri} needs apache-airflow-providers-amazon[s3fs] in every worker: {error}"
            ) from error

    def _ask(self, failing: str, request: Callable[..., Any], **arguments: Any) -> Any:
        """Send a request from the loop that the client lives in, and wait for its answer (the client's own timeouts bound it)."""
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        try:
            file_system = self._file_system
            return sync(file_system.loop, request, file_system.s3, Bucket=self._bucket, **arguments)
        except UnsuitableLedgerPath:
            raise
        except Exception as error:  # whatever Airflow and three libraries raise: botocore, aiohttp, asyncio
            raise ObjectsUnavailable(f"{failing}: {type(error).__name__}: {error}") from error


async def _put(client: Any, **arguments: Any) -> Any:
    return await client.put_object(**arguments)


async def _get(client: Any, **arguments: Any) -> Any:
    answer = await client.get_object(**arguments)
    async with answer["Body"] as body:
        return await body.read()


async def _list(client: Any, **arguments: Any) -> Any:
    return await client.list_objects_v2(**arguments)


def _code(error: ObjectsUnavailable) -> str:
    """Return S3's own word for what happened, ``""`` when S3 has not answered."""
    answer = getattr(error.__cause__, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""

"""Under which URL an image is hosted: the same bytes keep their URL, since another one makes another request, which is paid for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from airflow_provider_happyhorse._compat import TaskStateStore, never_expire, task_state_store
from airflow_provider_happyhorse.ledger.objects import ObjectExists, ObjectStore, component
from airflow_provider_happyhorse.ledger.record import UnreadableRecord, spelled

#: Entry of the task state store: the image's hash and the URL it got.
KEY = "happyhorse_upload"
FORMAT = 1


class HostedImages(Protocol):
    """What is hosted at one service already."""

    def url(self, sha256: str) -> str | None:
        """Return where an image is hosted, None when nothing is known of it.

        :param sha256: of its bytes, 64 hexadecimal digits.
        :raises UnreadableRecord: something is known and cannot be understood.
        :raises airflow_provider_happyhorse.ledger.objects.ObjectsUnavailable: the storage does not tell.
        """

    def keep(self, sha256: str, url: str) -> str:
        """Keep where an image is hosted now, and return the URL that counts: somebody else's if that was kept first.

        Raises what :meth:`url` raises; the URL may or may not be kept then, and must not be used.
        """


class TaskUploads:
    """What one task instance has uploaded, in Airflow's task state store (3.3); before, nothing is known and nothing kept.

    :param store: None on an Airflow without one.
    """

    def __init__(self, *, store: TaskStateStore | None, service: str, base_url: str) -> None:
        self._store, self._at = store, {"service": service, "base_url": base_url}

    def url(self, sha256: str) -> str | None:
        """Return the URL of its last upload if that was of these bytes."""
        earlier = self._store.get(KEY) if self._store is not None else None
        same = {"sha256": sha256, **self._at}
        if not isinstance(earlier, Mapping) or any(earlier.get(key) != value for key, value in same.items()):
            return None
        return str(earlier["url"])

    def keep(self, sha256: str, url: str) -> str:
        """Store the URL so that it does not expire before its DAG run."""
        if self._store is not None:
            self._store.set(KEY, {"sha256": sha256, **self._at, "url": url}, retention=never_expire())
        return url


class RunUploads:
    """What one DAG run has uploaded, on a ``ledger_path``: the same for every task, map index and try of the run.

    The objects are ``<ledger_path>/uploads/<dag>/<run>/<base URL>/<sha256>.json``, each created once and never changed. The key of the
    account is no part of it, as it is none of what makes two requests the same: other credentials must not pay for the same clip again.

    :param before: asked where the path knows nothing, so that setting it forgets nothing.
    """

    def __init__(self, *, objects: ObjectStore, dag_id: str, run_id: str, service: str, base_url: str, before: HostedImages) -> None:
        self._objects, self._before = objects, before
        self._facts = {"format": FORMAT, "dag_id": dag_id, "run_id": run_id, "service": service, "base_url": base_url}
        self._folder = f"uploads/{component(dag_id)}/{component(run_id)}/{component(base_url)}"

    def url(self, sha256: str) -> str | None:
        """Return the URL that the run has for these bytes."""
        data = self._objects.read(self._key(sha256))
        if data is not None:
            return self._understood(sha256, data)
        earlier = self._before.url(sha256)
        return None if earlier is None else self.keep(sha256, earlier)

    def keep(self, sha256: str, url: str) -> str:
        """Create the object; of two uploads at once the first one's URL is both's."""
        data = json.dumps({**self._facts, "sha256": sha256, "url": url}, indent=1).encode() + b"\n"
        try:
            self._objects.create(self._key(sha256), data)
        except ObjectExists:
            return self._understood(sha256, self._objects.read(self._key(sha256)))
        return url

    def _understood(self, sha256: str, data: bytes | None) -> str:
        try:
            stored = json.loads(data or b"")
        except ValueError:
            stored = None
        facts = {**self._facts, "sha256": sha256}
        # The facts are in the key too, but there are file systems on which "Run" and "run" are one folder.
        if isinstance(stored, dict) and isinstance(stored.get("url"), str) and {**stored, **facts} == stored:
            return str(stored["url"])
        raise UnreadableRecord(
            f"{self._objects.uri}/{self._key(sha256)} does not say where this image is hosted. Write it anew with {json.dumps(facts)} and, "
            'as "url", what the log of the earlier upload says. Without the object the image is uploaded again, and what has been made '
            "from its earlier URL is then another request, paid for again when it is cleared"
        )

    def _key(self, sha256: str) -> str:
        return f"{self._folder}/{sha256}.json"


def uploads_for(context: Mapping[str, Any], *, ledger_path: str, service: str, base_url: str) -> HostedImages:
    """Return what the running task may know of earlier uploads.

    :param ledger_path: the deployment's, ``""`` for none.
    :param service: name of the service that hosts.
    :param base_url: of its API, however it is spelled.
    :raises airflow_provider_happyhorse.ledger.objects.UnsuitableLedgerPath: for a path on which nothing can be created exclusively.
    """
    at = {"service": service, "base_url": spelled(base_url)}
    own = TaskUploads(store=task_state_store(context), **at)
    if not ledger_path:
        return own
    from airflow_provider_happyhorse.ledger.objects import open_objects

    ti = context["ti"]
    return RunUploads(objects=open_objects(ledger_path), dag_id=ti.dag_id, run_id=ti.run_id, **at, before=own)

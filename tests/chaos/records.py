"""A clip's record as a person on call reads and changes it: through Airflow's API, or on the ledger's path."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import boto3

from tests.chaos.dag_file import TASK_ID
from tests.ledger_path.s3 import BUCKET, S3Server
from tests.live.rest import AirflowRest

RECORD_KEY = "happyhorse"
S3_CONN_ID = "chaos_s3"
REGION, KEY = "us-east-1", "AKIACHAOS"


class Records(Protocol):
    """One clip's record."""

    def read(self) -> dict[str, Any]:
        """Return it; empty while there is none."""

    def resolve(self, **changes: str) -> None:
        """Change it as the message of a stop says."""


class StateEntry:
    """The record in the task's state entry (Airflow 3.3), through the REST API."""

    def __init__(self, rest: AirflowRest, *, dag_id: str, run_id: str) -> None:
        self._rest = rest
        self._folder = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{TASK_ID}/state-store"

    def read(self) -> dict[str, Any]:
        entries = self._rest.call("GET", self._folder)["task_state_store"]
        value: Any = next((entry["value"] for entry in entries if entry["key"] == RECORD_KEY), {})
        found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return found

    def resolve(self, **changes: str) -> None:
        self._rest.call("PATCH", f"{self._folder}/{RECORD_KEY}", body={"value": {**self.read(), **changes}})


class Objects(Protocol):
    """A ledger path's objects."""

    def keys(self, folder: str) -> list[str]:
        """Return the keys below a folder, in order."""

    def read(self, key: str) -> bytes:
        """Return an object."""

    def add(self, key: str, content: bytes) -> None:
        """Create an object."""


class LedgerSteps:
    """The record of one clip on a ledger path, by its name where rows have one: one object per step, of which none is ever changed."""

    def __init__(self, objects: Objects, *, dag_id: str, run_id: str) -> None:
        self._objects, self._clips = objects, f"ledger/{dag_id}/{run_id}/{TASK_ID}/"

    def read(self) -> dict[str, Any]:
        steps = self._steps()
        found: dict[str, Any] = json.loads(self._objects.read(steps[-1])) if steps else {}
        return found

    def resolve(self, **changes: str) -> None:
        folder, _, last = self._steps()[-1].rpartition("/")
        number = int(last.removesuffix(".json")) + 1
        self._objects.add(f"{folder}/{number:06d}.json", json.dumps(changes).encode())

    def _steps(self) -> list[str]:
        keys = self._objects.keys(self._clips)
        return [key for key in keys if "~" in key.removeprefix(self._clips).partition("/")[0]] or keys


class LocalFolder:
    """A ledger path in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keys(self, folder: str) -> list[str]:
        return sorted(str(path.relative_to(self._folder)) for path in (self._folder / folder).glob("*/*.json"))

    def read(self, key: str) -> bytes:
        return (self._folder / key).read_bytes()

    def add(self, key: str, content: bytes) -> None:
        with (self._folder / key).open("xb") as created:
            created.write(content)


class S3Ledger:
    """A ledger path on an S3 server of our own, which outlives Airflow."""

    uri = f"s3://{S3_CONN_ID}@{BUCKET}/chaos"

    def __init__(self) -> None:
        self._server = S3Server()

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._client = boto3.client(
            "s3", endpoint_url=self._server.url, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=KEY
        )
        self._client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.__exit__(kind, error, trace)

    @property
    def connection(self) -> str:
        """The Airflow connection to it."""
        extra = {"endpoint_url": self._server.url, "region_name": REGION}
        return json.dumps({"conn_type": "aws", "login": KEY, "password": KEY, "extra": extra})

    def keys(self, folder: str) -> list[str]:
        listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix=f"chaos/{folder}").get("Contents", [])
        return sorted(str(item["Key"]).removeprefix("chaos/") for item in listed)

    def read(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=f"chaos/{key}")["Body"].read()
        return content

    def add(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=f"chaos/{key}", Body=content, IfNoneMatch="*")

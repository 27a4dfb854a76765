"""The same cases on local files and on S3."""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_happyhorse.ledger.objects import ObjectStore, open_objects
from airflow_provider_happyhorse.ledger.path import PathLedger
from tests.ledger_path.s3 import BUCKET, Faults, S3Server


@pytest.fixture(scope="session")
def running_s3() -> Iterator[S3Server]:
    """Run one S3 server for all tests, and the connection ``ledger_s3`` to it."""
    with S3Server() as server:
        extra = {"endpoint_url": server.url, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "AKIATESTING", "password": "not-a-secret", "extra": extra}
        os.environ["AIRFLOW_CONN_LEDGER_S3"] = json.dumps(connection)
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT"), timeout=30).close()
        yield server
        del os.environ["AIRFLOW_CONN_LEDGER_S3"]


@pytest.fixture
def s3(running_s3: S3Server) -> S3Server:
    """Give the S3 server without faults or requests of other tests."""
    running_s3.faults, running_s3.creations = Faults(), []
    return running_s3


@pytest.fixture
def s3_uri(s3: S3Server) -> str:
    """Give a folder of its own in the bucket."""
    return f"s3://ledger_s3@{BUCKET}/{secrets.token_hex(6)}"


@pytest.fixture(params=["local", "s3"])
def ledger_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty ``ledger_path``, once for each storage."""
    return f"file://{tmp_path}" if request.param == "local" else str(request.getfixturevalue("s3_uri"))


@pytest.fixture
def objects(ledger_path: str) -> ObjectStore:
    """Give the objects below it."""
    return open_objects(ledger_path)


@pytest.fixture
def ledger(ledger_path: str) -> Callable[..., PathLedger]:
    """Give the function that makes one try's ledger, with a store of its own as every task process has: ``ledger(name="kettle")``."""

    def made(
        *, run_id: str = "scheduled__2026-11-20T00:00:00+00:00", map_index: int = -1, name: str | None = "kettle", take: str = ""
    ) -> PathLedger:
        objects = open_objects(ledger_path)
        return PathLedger(objects=objects, dag_id="campaign", run_id=run_id, task_id="clips", map_index=map_index, name=name, take=take)

    return made

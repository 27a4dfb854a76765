"""An Airflow of its own for the test run, and an emulator for every test that wants one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

# Airflow reads these when it is first imported, so they are set before any test module is.
HOME = Path(tempfile.mkdtemp(prefix="happyhorse-tests-"))
DAGS_FOLDER = Path(__file__).resolve().parents[1] / "example_dags"
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db?timeout=60",
    "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_FOLDER),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__FERNET_KEY": "happyhorsehappyhorsehappyhorsehappyhorseha8=",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    # There is no scheduler in these tests, so nothing mistakes an early trigger for a failed task; 10 s would be spent sleeping.
    "AIRFLOW__HAPPYHORSE__FIRST_POLL_DELAY": "0.2",
}
if version("apache-airflow").startswith("2."):
    os.environ["AIRFLOW__CORE__EXECUTOR"] = "SequentialExecutor"  # the only one that takes SQLite there
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

from tests.emulator_process import EmulatorProcess, ServiceName  # noqa: E402  after the environment is set


def pytest_unconfigure() -> None:
    """Remove what Airflow has left."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[EmulatorProcess]:
    """Run one emulator for all tests; generations take half a second unless their prompt says otherwise."""
    with EmulatorProcess("--render-seconds", "0.5", "--requests-per-minute", "100000") as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: EmulatorProcess) -> EmulatorProcess:
    """Give the emulator without jobs, faults or requests of other tests."""
    running_emulator.reset()
    return running_emulator


@pytest.fixture
def connect(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Give the function that makes a connection to the emulator: ``connect("happyhorse.app", max_credits=100) -> conn_id``."""

    def connected(
        service: ServiceName = "happy-horse.ai",
        *,
        conn_id: str = "happyhorse_default",
        key: str | None = None,
        host: str = "",
        **extra: Any,
    ) -> str:
        connection = {
            "conn_type": "happyhorse",
            "host": host or emulator.base_url(service),
            "password": emulator.key if key is None else key,
            "extra": {"service": service, **extra},
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    return connected


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Make the metadata database."""
    from airflow.utils.db import initdb

    initdb()

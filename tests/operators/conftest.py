from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task


@pytest.fixture
def store() -> Store:
    """Give the record of one task instance; it outlives tries and clears."""
    if not AIRFLOW_V_3_3_PLUS:
        pytest.skip("the task state store came with Airflow 3.3")
    return Store()


@pytest.fixture
def task(connect: Callable[..., str], emulator: EmulatorProcess, store: Store) -> Callable[..., Task]:
    """Give the function that makes a task with a record, submitting to the emulator."""
    connect()
    return lambda **arguments: Task(**{"store": store, "prompt": QUICK, **arguments})


@pytest.fixture
def unprotected(connect: Callable[..., str], emulator: EmulatorProcess) -> Callable[..., Any]:
    """Give the same without a record, as on every Airflow before 3.3."""
    connect()
    return lambda **arguments: Task(**{"prompt": QUICK, **arguments})


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Give an empty ledger path, with a blank in it."""
    folder = tmp_path / "ledger path"
    folder.mkdir()
    return folder


@pytest.fixture
def on_path(connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path) -> Callable[..., Task]:
    """Give the function that makes a task without Airflow's own store and with a ``ledger_path``."""
    connect(ledger_path=str(ledger))
    return lambda **arguments: Task(**{"prompt": QUICK, **arguments})


@pytest.fixture(autouse=True)
def no_waiting_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_happyhorse.operators.submission.WRITE_DELAY", 0.01)

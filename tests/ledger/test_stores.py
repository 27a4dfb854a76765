"""Where the record is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.ledger.record import Record, RecordState, UnreadableRecord
from airflow_provider_happyhorse.ledger.stores import KEY, NoLedger, TaskStateLedger, ledger_for

needs_the_store = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the task state store came with Airflow 3.3")
RECORD = Record(RecordState.INTENT, "v1:a", "kettle", -1, 1, 2, "2026-11-20T10:00:00+00:00")


class Store:
    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.retention: timedelta | None = None

    def get(self, key: str, default: Any = None) -> Any:
        return self.entries.get(key, default)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        self.entries[key], self.retention = value, retention


@needs_the_store
def test_the_record_is_kept_in_the_task_state_store_for_as_long_as_its_run() -> None:
    store = Store()
    ledger = ledger_for({"task_state_store": store})
    assert isinstance(ledger, TaskStateLedger)
    assert ledger.protects
    assert ledger.read() is None
    ledger.write(RECORD)
    assert ledger.read() == RECORD
    assert store.retention == timedelta.max
    assert KEY in ledger.where()


@needs_the_store
def test_an_entry_that_cannot_be_understood_is_not_taken_for_none() -> None:
    store = Store()
    store.entries[KEY] = {"generation": "v1"}
    with pytest.raises(UnreadableRecord):
        TaskStateLedger(store).read()


def test_without_the_store_nothing_is_promised() -> None:
    ledger = ledger_for({})
    assert isinstance(ledger, NoLedger)
    ledger.write(RECORD)
    assert ledger.read() is None
    assert not ledger.protects


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="there it is Airflow's own")
def test_before_airflow_3_3_an_entry_of_that_name_is_not_trusted() -> None:
    assert not ledger_for({"task_state_store": Store()}).protects

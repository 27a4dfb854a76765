"""Where a record is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from airflow_provider_happyhorse._compat import TaskStateStore, never_expire, task_state_store
from airflow_provider_happyhorse.ledger.record import Record

#: The task's state entry (Airflow 3.3: task instance, tab "State"), by which an operator on call finds it.
KEY = "happyhorse"


class Ledger(Protocol):
    """Keeps one task instance's record across retries, clears and crashes."""

    protects: bool
    """What is written is found again by the next try."""

    def read(self) -> Record | None:
        """Return the record, None when there is none.

        :raises UnreadableRecord: when there is one and it cannot be understood.
        """

    def write(self, record: Record) -> None:
        """Keep the record; raises whatever kept it from being kept."""

    def where(self) -> str:
        """Return where a person finds and changes it."""


class TaskStateLedger:
    """The record in Airflow's task state store (3.3). It lives as long as the DAG run."""

    protects = True

    def __init__(self, store: TaskStateStore) -> None:
        self._store = store

    def read(self) -> Record | None:
        """Return the record in the task's state entry."""
        stored = self._store.get(KEY)
        return None if stored is None else Record.from_json(stored)

    def write(self, record: Record) -> None:
        """Store the record so that it does not expire before its DAG run."""
        self._store.set(KEY, record.to_json(), retention=never_expire())

    def where(self) -> str:
        """Name the state entry."""
        return f"the state entry {KEY!r} of this task instance (Airflow UI or API)"


class NoLedger:
    """Before Airflow 3.3 nothing survives a retry: XComs are cleared when one starts."""

    protects = False

    def read(self) -> Record | None:
        """Return None: nothing is known."""
        return None

    def write(self, record: Record) -> None:
        """Keep nothing."""

    def where(self) -> str:
        """Say that there is none."""
        return "nowhere: this Airflow keeps no record"


def ledger_for(context: Mapping[str, Any]) -> Ledger:
    """Return the ledger of the running task instance."""
    store = task_state_store(context)
    return NoLedger() if store is None else TaskStateLedger(store)

"""Where a record is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_happyhorse._compat import TaskStateStore, never_expire, state_store_forgets_success, task_state_store
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable
from airflow_provider_happyhorse.ledger.record import Record, unnamed
from airflow_provider_happyhorse.ledger.stamp import stamp_of

if TYPE_CHECKING:
    from airflow_provider_happyhorse.ledger.spend import SpendLog

#: The task's state entry (Airflow 3.3: task instance, tab "State"), by which an operator on call finds it.
KEY = "happyhorse"


class Ledger(Protocol):
    """Keeps one task instance's record across retries, clears and crashes."""

    protects: bool
    """What is written is found again by the next try."""
    forgets: bool
    """Where there is no record, there may have been one."""
    shared: bool
    """A claim made here is seen by every task of the deployment."""

    def read(self) -> Record | None:
        """Return the record, None when there is none.

        :raises UnreadableRecord: when there is one and it cannot be understood.
        """

    def write(self, record: Record) -> None:
        """Keep the record; raises whatever kept it from being kept."""

    def where(self) -> str:
        """Return where a person finds and changes it."""

    def claim(self, service: str, generation_id: str) -> bool:
        """Claim a generation for this clip, for good; False when another clip has it, or when nothing is shared.

        :raises airflow_provider_happyhorse.ledger.objects.ObjectsUnavailable: the storage does not tell.
        """

    def of_the_task(self) -> Iterator[Record]:
        """Give the records of all clips of this task in this run, as far as they are shared.

        :raises airflow_provider_happyhorse.ledger.objects.ObjectsUnavailable: the storage does not tell.
        """


class TaskStateLedger:
    """The record in Airflow's task state store (3.3). It lives as long as the DAG run."""

    protects = True
    shared = False

    def __init__(self, store: TaskStateStore) -> None:
        self._store = store
        self.forgets = state_store_forgets_success()

    def read(self) -> Record | None:
        """Return the record in the task's state entry."""
        with _in_words():
            stored = self._store.get(KEY)
        return None if stored is None else Record.from_json(stored)

    def write(self, record: Record) -> None:
        """Store the record so that it does not expire before its DAG run."""
        with _in_words():
            self._store.set(KEY, record.to_json(), retention=never_expire())

    def where(self) -> str:
        """Name the state entry."""
        return f"the state entry {KEY!r} of this task instance (Airflow UI or API; leave the rest of the entry as it is)"

    def claim(self, service: str, generation_id: str) -> bool:  # noqa: ARG002  nothing is shared
        """Return False: other tasks cannot see it."""
        return False

    def of_the_task(self) -> Iterator[Record]:
        """Give none: nothing is shared."""
        return iter(())


@contextmanager
def _in_words() -> Iterator[None]:
    """Tell whatever Airflow's store raises in our words: it may or may not have happened."""
    try:
        yield
    except Exception as problem:
        raise ObjectsUnavailable(f"Airflow's state store does not answer ({type(problem).__name__}: {problem})") from problem


class NoLedger:
    """Before Airflow 3.3 nothing survives a retry: XComs are cleared when one starts."""

    protects = False
    forgets = True
    shared = False

    def read(self) -> Record | None:
        """Return None: nothing is known."""
        return None

    def write(self, record: Record) -> None:
        """Keep nothing."""

    def where(self) -> str:
        """Say that there is none."""
        return "nowhere: this Airflow keeps no record"

    def claim(self, service: str, generation_id: str) -> bool:  # noqa: ARG002  nothing is shared
        """Return False: other tasks cannot see it."""
        return False

    def of_the_task(self) -> Iterator[Record]:
        """Give none: nothing is shared."""
        return iter(())


def ledger_for(
    context: Mapping[str, Any],
    *,
    ledger_path: str = "",
    name: str | None = None,
    take: str = "",
    is_a_row: Callable[[str], bool] = lambda name: False,  # noqa: ARG005
) -> Ledger:
    """Return the ledger of the running task instance.

    :param ledger_path: the deployment's, ``""`` for none.
    :param name: the clip's name, None when the author gave none and the map index is all there is.
    :param is_a_row: whether a row of the table has a name now.
    :raises UnsuitableLedgerPath: for a path on which nothing can be created exclusively.
    """
    store = task_state_store(context)
    kept_by_airflow = NoLedger() if store is None else TaskStateLedger(store)
    if not ledger_path:
        return kept_by_airflow
    # Imported where it is used: no DAG file needs the storage libraries.
    from airflow_provider_happyhorse.ledger.clip_ledger import ClipLedger
    from airflow_provider_happyhorse.ledger.objects import open_objects
    from airflow_provider_happyhorse.ledger.path import PathLedger

    ti = context["ti"]
    where: dict[str, Any] = {
        "objects": open_objects(ledger_path),
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index if ti.map_index is not None else -1,
        "before": kept_by_airflow,
    }
    named = None if name is None else PathLedger(**where, name=name, take=take)
    own, nameless = PathLedger(**where, name=None, take=""), unnamed(ti.task_id, where["map_index"])
    return ClipLedger(own=own, clip=named, before=kept_by_airflow, stamp=stamp_of(context), name=name, unnamed=nameless, is_a_row=is_a_row)


def spend_log_for(context: Mapping[str, Any], *, ledger_path: str) -> SpendLog | None:
    """Return the spend log of the running task instance, None without a ``ledger_path``."""
    if not ledger_path:
        return None
    from airflow_provider_happyhorse.ledger.objects import open_objects
    from airflow_provider_happyhorse.ledger.spend import SpendLog

    ti = context["ti"]
    map_index = ti.map_index if ti.map_index is not None else -1
    return SpendLog(objects=open_objects(ledger_path), dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index)

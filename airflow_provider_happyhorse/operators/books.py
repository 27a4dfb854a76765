"""What a task writes down of a generation beside its XComs: the last steps of its record, and the spend log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
from airflow_provider_happyhorse.ledger.path import LedgerConflict
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp, stamp_of
from airflow_provider_happyhorse.ledger.stores import Ledger, ledger_for, spend_log_for
from airflow_provider_happyhorse.operators.sibling_rows import names_of_rows
from airflow_provider_happyhorse.results import money

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.ledger.spend import SpendLog
    from airflow_provider_happyhorse.operators.clip import Identity

#: What keeps a step of a record from being written: another try at work, a storage that fails, one that creates nothing exclusively.
CANNOT_WRITE = (LedgerConflict, ObjectsUnavailable, UnsuitableLedgerPath)


@dataclass(frozen=True)
class Books:
    """The books of one clip while its task ends; what cannot be written is said in the log and hides nothing of how it ended.

    :param ledger: the clip's.
    :param spend: None without a ``ledger_path``.
    """

    ledger: Ledger
    spend: SpendLog | None
    stamp: Stamp
    log: TaskLog

    @classmethod
    def open(cls, context: Context, *, identity: Identity, ledger_path: str, log: TaskLog) -> Books:
        """Open the books of the running task instance.

        :raises InvalidArguments: for a ``ledger_path`` that cannot keep them.
        """
        ledger = open_ledger(context, identity=identity, ledger_path=ledger_path)
        return cls(ledger, spend_log_for(context, ledger_path=ledger_path), stamp_of(context), log)

    def delivered(self, known: Mapping[str, Any]) -> None:
        """Note that the task has handed the result on."""
        self._note(RecordState.DELIVERED, known)
        if known.get("state") in ("succeeded", "failed"):
            note_spend(self.spend, known, at=timestamp(), log=self.log)

    def failed(self, known: Mapping[str, Any], *, detail: str) -> Record | None:
        """Note that the service has ended it as failed, and return the record it is noted in, None for none."""
        record = self._note(RecordState.FAILED, known, detail)
        note_spend(self.spend, known, at=timestamp(), log=self.log)
        return record

    def _note(self, state: RecordState, known: Mapping[str, Any], detail: str = "") -> Record | None:
        try:
            record = self.ledger.read()
            if record is None:
                return None
            # An intent of this very try: the id could not be written after the submission, and now perhaps can.
            unwritten = record.state is RecordState.INTENT and record.try_number == self.stamp.try_number
            if unwritten or record.generation_id == known["generation_id"]:
                record = record.step(state, at=timestamp(), facts=dict(known), detail=detail, **self.stamp.of_the_clear)
                self.ledger.write(record)
        except Exception:
            # What it would say is in the XCom, and a later try asks the service again; it must not hide how this one ended.
            self.log.exception("[%s] the record of %s could not be written", known.get("name"), known["generation_id"])
            return None
        else:
            return record


def open_ledger(context: Context, *, identity: Identity, ledger_path: str) -> Ledger:
    """Return the ledger of this clip.

    :raises InvalidArguments: for a ``ledger_path`` that cannot keep one; nothing was sent.
    """
    try:
        # An unmapped task is one clip whatever it is called: only rows move, and are told apart by their names.
        name = identity.name if identity.named and stamp_of(context).map_index >= 0 else None
        names = partial(names_of_rows, context, task_id=context["ti"].task_id, log=logging.getLogger(__name__))
        return ledger_for(context, ledger_path=ledger_path, name=name, take=identity.take, is_a_row=lambda called: called in names())
    except UnsuitableLedgerPath as problem:
        raise unsuitable(identity.name, problem) from problem


def unsuitable(name: str, problem: UnsuitableLedgerPath) -> InvalidArguments:
    """Return how a task ends whose ``ledger_path`` cannot keep what it would submit; some are found out only by using them.

    :param name: of the clip.
    """
    return InvalidArguments(f"[{name}] {str(problem).rstrip('.')}. Nothing was submitted")


def note_spend(spend: SpendLog | None, known: Mapping[str, Any], *, at: str, log: TaskLog, prompt: str = "") -> None:
    """Write a submission or an ending into the spend log, where there is one; a task that has paid does not fail for it.

    :param at: ISO 8601 time of the event.
    """
    if spend is None:
        return
    try:
        if known.get("state") == "in_progress":
            spend.submitted(known, prompt=prompt)
        else:
            spend.ended(known, at=at, prompt=prompt)
    except Exception:
        log.exception("[%s] %s is not in the spend log: %s", known.get("name"), known["generation_id"], money(known))


def timestamp() -> str:
    """Return the time as the books write it, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")

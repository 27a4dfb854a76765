"""What is on record of the earlier tries of a task that cannot begin another one, because a setting is broken by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
from airflow_provider_happyhorse.ledger.record import Record, RecordState, UnreadableRecord
from airflow_provider_happyhorse.operators.books import open_ledger
from airflow_provider_happyhorse.results import money

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.operators.clip import Identity

_IN_DOUBT = (RecordState.INTENT, RecordState.AMBIGUOUS)


@dataclass(frozen=True)
class EarlierTries:
    """What the tries before this one have submitted, as far as it can be read without what is broken.

    :param record: None for nothing.
    :param whole: what is not on record was not submitted.
    """

    record: Record | None
    whole: bool

    @classmethod
    def of(cls, context: Context, *, identity: Identity, hook: HappyHorseHook, log: TaskLog) -> EarlierTries:
        """Read the ledger, and where the connection does not say which it is, Airflow's own store (3.3), which needs no setting."""
        try:
            path, readable = hook.settings.ledger_path, True
            ledger = open_ledger(context, identity=identity, ledger_path=path)
        except (ValueError, InvalidArguments):
            # It is the very problem that the task ends with.
            ledger, readable = open_ledger(context, identity=identity, ledger_path=""), False
        try:
            record = ledger.read()
        except (UnreadableRecord, ObjectsUnavailable, UnsuitableLedgerPath) as problem:
            log.warning("[%s] what earlier tries have submitted cannot be read now: %s", identity.name, problem)
            return cls(None, whole=False)
        return cls(record, whole=readable and not ledger.forgets)

    @property
    def nothing(self) -> bool:
        """It is certain that nothing was submitted."""
        return self.whole and (self.record is None or not (self.record.generation_id or self.record.submitted()))

    @property
    def known(self) -> Mapping[str, Any] | None:
        """What is known of the generation that the record is about, or that may exist, None without one."""
        record = self.record
        if record is None or record.state is RecordState.NOT_SENT:
            return None
        return {**record.facts, **({"state": "ambiguous"} if record.state in _IN_DOUBT else {})}

    def said(self) -> str:
        """Return what the task's message says of them: which generations, and what became of the money."""
        record = self.record
        if self.nothing:
            return ""
        parts = []
        if record is not None:
            facts = dict(record.paid())
            if record.generation_id:
                facts[record.fingerprint] = record.facts
            for paid in facts.values():
                what, failed = f"{paid['generation_id']} of an earlier try", paid.get("state") == "failed"
                parts.append(
                    f"{what} failed at the service and cost {money(paid)}, unless the service gives failed ones back"
                    if failed
                    else f"{what} stays paid for, {money(paid)}; once this is repaired, the task goes on with it while it asks for the same"
                )
            if record.state in _IN_DOUBT:
                sent = f"what was sent at {record.at} may exist and be paid for, {money(record.facts)}"
                parts.append(f"{sent}; once this is repaired, the task looks for it or says what to do")
        return "; " + "; ".join(parts or ["what an earlier try submitted stays paid for, its log names it"])

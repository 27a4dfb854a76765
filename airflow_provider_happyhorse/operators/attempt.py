"""One try of a task instance: what it is to submit, what earlier tries have, and what follows from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.exceptions import (
    GenerationUnreachable,
    InvalidArguments,
    NotAcceptedYet,
    SubmissionStopped,
)
from airflow_provider_happyhorse.ledger.decision import Decision, PayAgain, Situation, decide
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
from airflow_provider_happyhorse.ledger.record import Record, RecordState, UnreadableRecord, fingerprint
from airflow_provider_happyhorse.ledger.stamp import Stamp, stamp_of
from airflow_provider_happyhorse.ledger.stores import Ledger
from airflow_provider_happyhorse.operators.books import CANNOT_WRITE, note_spend, open_ledger, timestamp, unsuitable
from airflow_provider_happyhorse.operators.clip import Asked, Clip, Identity, read_clip, read_identity, read_pay_again_on
from airflow_provider_happyhorse.operators.inputs import plain_json
from airflow_provider_happyhorse.operators.reconciliation import Reconciliation
from airflow_provider_happyhorse.operators.waiting import look_once
from airflow_provider_happyhorse.results import REQUEST_KEY, money, new_result

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.api.generation import Kind
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.ledger.spend import SpendLog


@dataclass(frozen=True)
class Attempt:
    """What this try knows before it does anything.

    :param identity: which clip of the run it is.
    :param record: what an earlier try left, None for nothing.
    :param fingerprint: of what is asked for.
    :param looked: what looking for a submission of unknown fate has told, ``""`` when nobody looked.
    :param missing: the service has said that it does not know the generation on record.
    """

    task_id: str
    kind: Kind
    identity: Identity
    hook: HappyHorseHook
    ledger: Ledger
    stamp: Stamp
    record: Record | None
    fingerprint: str
    pay_again_on: frozenset[PayAgain]
    looked: str = ""
    missing: bool = False

    @classmethod
    def of(
        cls,
        context: Context,
        *,
        task_id: str,
        asked: Asked,
        inputs: Mapping[str, Any] | None,
        pay_again_on: Any,
        kind: Kind,
        hook: HappyHorseHook,
    ) -> Attempt:
        """Read what identifies the clip, and the record.

        Whether the request may be sent is not looked at yet: a clip that was paid for is delivered even when its row is broken by now.

        :param inputs: what the request is made from, where making it has a price of its own (a decorated function). None takes the
            request itself.
        :raises InvalidArguments: for a connection or words that cannot be used; nothing was sent.
        :raises GenerationUnreachable: there is no connection now, and there was one for an earlier try.
        :raises SubmissionStopped: for a record that cannot be understood: it is not the same as none.
        """
        from airflow_provider_happyhorse.hooks.settings import ConnectionMissing

        stamp = stamp_of(context)
        words, problems = read_pay_again_on(pay_again_on)
        try:
            settings = hook.settings
        except ConnectionMissing as problem:
            # A secrets backend that fails for a moment looks like this too. A first try that finds none ends for good.
            if stamp.try_number > 1:
                why = f"{problem} now, and an earlier try had one; nothing was sent, what is paid for stays so, and a retry looks again"
                raise GenerationUnreachable(f"task {task_id!r}: {why}") from problem
            problems.append(str(problem))
        except ValueError as problem:
            problems.append(str(problem))
        if problems:
            raise InvalidArguments(f"task {task_id!r}: {'; '.join(problems)}. Nothing was submitted")
        identity = read_identity(asked, task_id=task_id, map_index=stamp.map_index)
        if inputs is None:
            # A cap is no part of the request.
            clip = read_clip(replace(asked, max_credits=None), kind=kind, name=identity.name, settings=settings)[0]
            inputs = clip.request.given() if clip else {"prompt": asked.prompt, "request": asked.request}
        mark = fingerprint(
            kind=kind, service=settings.service.name, base_url=settings.endpoint.base_url, take=identity.take, request=plain_json(inputs)
        )
        ledger = open_ledger(context, identity=identity, ledger_path=settings.ledger_path)
        try:
            record = ledger.read()
        except UnreadableRecord as problem:
            raise SubmissionStopped(f"[{identity.name}] stopped: {problem}. It is {ledger.where()}; nothing was submitted") from problem
        except UnsuitableLedgerPath as problem:
            raise unsuitable(identity.name, problem) from problem
        except ObjectsUnavailable as problem:
            raise NotAcceptedYet(f"[{identity.name}] not submitted: the ledger does not answer: {problem}; a retry asks again") from problem
        return cls(task_id, kind, identity, hook, ledger, stamp, record, mark, words)

    def decision(self) -> Decision:
        """Return what this try does."""
        return decide(
            Situation(
                record=self.record,
                protected=not self.ledger.forgets,
                fingerprint=self.fingerprint,
                name=self.identity.name,
                named=self.identity.named,
                stamp=self.stamp,
                pay_again_on=self.pay_again_on,
            )
        )

    @property
    def may_be_elsewhere(self) -> bool:
        """What is asked for now is on no record of this clip, so that it may be on another one: rows may have moved.

        Not where a person has let it through, which is a step without a try, or one that leaves the id of the request before.
        """
        record = self.record
        if record is None:
            return True
        let_through = record.try_number == 0 or (record.state is RecordState.NOT_SENT and bool(record.generation_id))
        return record.fingerprint != self.fingerprint and not let_through and not self.doubtful

    @property
    def doubtful(self) -> bool:
        """A submission may exist that nobody has the id of."""
        return self.record is not None and self.record.state in (RecordState.INTENT, RecordState.AMBIGUOUS)

    def reconciled(self, *, spend: SpendLog | None, log: TaskLog, clock: Callable[[], float], sleep: Callable[[float], object]) -> Attempt:
        """Return this attempt after looking for its submission at the service; found and claimed, the record has its id from now on.

        :param clock: Unix seconds.
        :param sleep: waits seconds, until the service must have listed it.
        :raises GenerationUnreachable: it was found and cannot be written down; another try may have it.
        """
        record = self.record
        assert record is not None  # noqa: S101  nothing is in doubt without one
        outcome = Reconciliation(hook=self.hook, ledger=self.ledger, record=record, log=log, clock=clock, sleep=sleep).look()
        if (found := outcome.generation) is None:
            return replace(self, looked=outcome.said)
        facts = {**record.facts, "generation_id": found.generation_id, "submitted_at": record.at}
        log.warning("[%s] %s; %s are committed, nothing is paid again", record.name, outcome.said, money(facts))
        # What tells a retry from a clear stays as it was: that it was found is no decision of a person.
        found_record = record.step(RecordState.SUBMITTED, at=timestamp(), facts=facts, detail=outcome.said, sent={})
        try:
            self.ledger.write(found_record)
        except CANNOT_WRITE as problem:
            why = f"{found.generation_id} was found and is paid for, and its record cannot be written: {problem}; a retry looks again"
            raise GenerationUnreachable(f"[{record.name}] {why}") from problem
        note_spend(spend, facts, at=timestamp(), log=log, prompt=str(facts[REQUEST_KEY].get("prompt") or ""))
        return replace(self, record=found_record, looked=outcome.said)

    def known(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the flat result of a generation of this clip, from what is on record of it."""
        conn_id, name = self.hook.happyhorse_conn_id, self.identity.name
        return {**new_result(name=name, kind=self.kind, service=self.hook.service.name, happyhorse_conn_id=conn_id), **facts}

    def hook_of(self, known: Mapping[str, Any]) -> HappyHorseHook:
        """Return the hook of the connection that made a generation, also where the task has another by now.

        :raises GenerationUnreachable: that connection is gone or cannot be used; what it made is paid for.
        """
        conn_id = str(known["happyhorse_conn_id"])
        if conn_id == self.hook.happyhorse_conn_id:
            return self.hook
        hook = type(self.hook)(conn_id)
        try:
            hook.settings  # noqa: B018  read here, where what is paid for can be named
        except ValueError as problem:
            paid = f"{known['generation_id']} was made with the connection {conn_id!r}, which cannot be used now: {problem}"
            then = f"{money(known)} are committed. Bring that connection back: a retry asks for it again, and pays nothing"
            raise GenerationUnreachable(f"[{known['name']}] {paid}; {then}") from problem
        return hook

    def looked_at(self, facts: Mapping[str, Any], *, spend: SpendLog | None, log: TaskLog) -> Attempt:
        """Return this attempt after asking what has become of the generation on record; nobody has waited for it, so it may have failed.

        :raises GenerationUnreachable: its connection is gone; or it has failed, and that cannot be written down.
        """
        record, known = self.record, self.known(facts)
        if record is None or known["generation_id"] != record.generation_id or known["state"] in ("succeeded", "failed"):
            return self
        look = look_once(self.hook_of(known), record.generation_id, known=known, log=log)
        event = look.event
        if event is None or event["status"] != "failed":
            return replace(self, missing=look.missing)
        failed = record.step(RecordState.FAILED, at=timestamp(), facts=event["result"], detail=event["message"])
        try:
            self.ledger.write(failed)
        except CANNOT_WRITE as problem:
            why = f"{event['message']}, and that cannot be written down: {problem}; a retry asks again"
            raise GenerationUnreachable(f"[{known['name']}] {why}") from problem
        note_spend(spend, event["result"], at=timestamp(), log=log)
        return replace(self, record=failed)

    def renewed(self, record: Record, known: Mapping[str, Any], *, at: str) -> Record:
        """Return the record of a generation that this try goes on with.

        The stamp is renewed, so that the next try can tell a retry from a clear, and the name where it is a new one for the same request.

        :param at: ISO 8601 time.
        """
        about, stamp = record.about(known, self.fingerprint), self.stamp
        name = self.identity.name if about.fingerprint == self.fingerprint else about.name
        stamped = {**stamp.of_the_clear, "map_index": stamp.map_index, "try_number": stamp.try_number}
        return about.step(RecordState.SUBMITTED, at=at, name=name, **stamped)

    def clip(self, asked: Asked) -> Clip:
        """Return what is to be submitted.

        :raises InvalidArguments: with everything that is wrong with it; nothing was sent.
        """
        clip, problems = read_clip(asked, kind=self.kind, name=self.identity.name, settings=self.hook.settings)
        if clip is None:
            raise InvalidArguments(f"task {self.task_id!r} [{self.identity.name}]: {'; '.join(problems)}. Nothing was submitted")
        return clip

"""One try of a task instance: what it is to submit, what earlier tries have, and what follows from both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    GenerationFailed,
    GenerationUnreachable,
    InvalidArguments,
    NotAcceptedYet,
    SubmissionStopped,
)
from airflow_provider_happyhorse.ledger.decision import Decision, PayAgain, Situation, Stop, decide
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable
from airflow_provider_happyhorse.ledger.path import LedgerConflict
from airflow_provider_happyhorse.ledger.record import Record, RecordState, UnreadableRecord, fingerprint
from airflow_provider_happyhorse.ledger.stores import Ledger
from airflow_provider_happyhorse.operators.books import Stamp, note_spend, open_ledger, stamp_of, timestamp
from airflow_provider_happyhorse.operators.clip import Asked, Clip, Identity, read_clip, read_identity, read_pay_again_on
from airflow_provider_happyhorse.operators.reconciliation import Reconciliation
from airflow_provider_happyhorse.operators.submission import cost_of, way_out_of_ambiguity
from airflow_provider_happyhorse.results import REQUEST_KEY, money

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
            clip = read_clip(asked, kind=kind, name=identity.name, settings=settings)[0]
            inputs = clip.request.given() if clip else {"prompt": asked.prompt, "request": asked.request}
        mark = fingerprint(
            kind=kind, service=settings.service.name, base_url=settings.endpoint.base_url, take=identity.take, request=plain_json(inputs)
        )
        ledger = open_ledger(context, identity=identity, ledger_path=settings.ledger_path)
        try:
            record = ledger.read()
        except UnreadableRecord as problem:
            raise SubmissionStopped(f"[{identity.name}] stopped: {problem}. It is {ledger.where()}; nothing was submitted") from problem
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
                map_index=self.stamp.map_index,
                try_number=self.stamp.try_number,
                max_tries=self.stamp.max_tries,
                pay_again_on=self.pay_again_on,
            )
        )

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
        except (LedgerConflict, ObjectsUnavailable) as problem:
            why = f"{found.generation_id} was found and is paid for, and its record cannot be written: {problem}; a retry looks again"
            raise GenerationUnreachable(f"[{record.name}] {why}") from problem
        note_spend(spend, facts, at=timestamp(), log=log, prompt=str(facts[REQUEST_KEY].get("prompt") or ""))
        return replace(self, record=found_record, looked=outcome.said)

    def renewed(self, record: Record, known: Mapping[str, Any], *, at: str) -> Record:
        """Return the record of a generation that this try goes on with.

        The stamp is renewed, so that the next try can tell a retry from a clear, and the name where it is a new one for the same request.

        :param at: ISO 8601 time.
        """
        about, stamp = record.about(known, self.fingerprint), self.stamp
        name = self.identity.name if about.fingerprint == self.fingerprint else about.name
        stamped = {"max_tries": stamp.max_tries, "map_index": stamp.map_index, "try_number": stamp.try_number}
        return about.step(RecordState.SUBMITTED, at=at, name=name, **stamped)

    def clip(self, asked: Asked) -> Clip:
        """Return what is to be submitted.

        :raises InvalidArguments: with everything that is wrong with it; nothing was sent.
        """
        clip, problems = read_clip(asked, kind=self.kind, name=self.identity.name, settings=self.hook.settings)
        if clip is None:
            raise InvalidArguments(f"task {self.task_id!r} [{self.identity.name}]: {'; '.join(problems)}. Nothing was submitted")
        return clip

    def stopped(self, stop: Stop, asked: Asked) -> Exception:
        """Return the exception for a stop: what is known, what it would cost to go on, and the ways out."""
        name, service, entry = self.identity.name, self.hook.service.name, self.ledger.where()
        cost = cost_of(read_clip(asked, kind=self.kind, name=name, settings=self.hook.settings)[0])
        match stop.kind:
            case "ambiguous":
                record = self.record
                sent, mark = (record.facts, record.fingerprint) if record else ({}, "")
                prompt = str((sent.get(REQUEST_KEY) or {}).get("prompt") or "")
                changed = (
                    f". The request has changed since; the one in doubt was {record.name!r}" if record and mark != self.fingerprint else ""
                )
                why = f"{stop.why}{changed}" + (f". {self.looked}" if self.looked else "")
                known = [str(facts["generation_id"]) for facts in record.paid().values()] if record else []
                service = str(sent.get("service") or service)
                way_out = way_out_of_ambiguity(service, self.ledger, cost, prompt=prompt, changed=bool(changed), known=known)
                return AmbiguousSubmission(f"[{name}] {why}. {way_out}")
            case "failed":
                spent = money(self.record.facts) if self.record else "an unknown number of credits"
                return GenerationFailed(
                    f"[{name}] {stop.why}; it cost {spent}, unless the service gives failed ones back. A retry does not pay again: "
                    f"clear this task to submit it anew ({cost} credits), or put `failed_generation` into pay_again_on"
                )
            case "unprotected":
                return SubmissionStopped(
                    f"[{name}] {stop.why}. Look on {service} for what an earlier try submitted and publish it by its id "
                    f"(HappyHorsePublishOperator(generation=...)), or put `unprotected_retry` into pay_again_on to pay {cost} credits"
                )
            case "superseded":
                return SubmissionStopped(
                    f"[{name}] {stop.why}: nothing was submitted, and nothing need be done. Only where the run was deleted and begun anew: "
                    f'set {{"state": "not_sent"}} in {entry} and clear this task to submit it ({cost} credits)'
                )
            case "moved" | "changed":
                # Where the rest of the entry stays, so would the other clip's name, and the next try would stop for it again.
                says = json.dumps({"state": "not_sent", **({"name": name} if stop.kind == "moved" else {})}, ensure_ascii=False)
                return SubmissionStopped(
                    f"[{name}] {stop.why}. Nothing was submitted. To submit it ({cost} credits), set {says} in {entry} and clear this task"
                    + (f"; {self._telling_rows_apart()}" if stop.kind == "moved" else "")
                )

    def _telling_rows_apart(self) -> str:
        if self.identity.named:
            return "with a `ledger_path`, clips are known by their names, whatever their map index"
        return "give mapped clips a `name`, and the deployment a `ledger_path`, so that they are told apart"


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON values; of what JSON has no word for, the text if it has a stable one, else only its type."""

    def stable(item: Any) -> str:
        shown = str(item)
        return shown if " at 0x" not in shown else f"{type(item).__module__}.{type(item).__qualname__}"

    read: dict[str, Any] = json.loads(json.dumps(value, default=stable, skipkeys=True))
    return read

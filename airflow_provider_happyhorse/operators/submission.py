"""Submitting a clip: intent, POST, id, in this order and no other, so that whatever dies in between, the next try knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.api.errors import RateLimited, Rejected, ServiceError, Unreachable
from airflow_provider_happyhorse.api.retry import delay_before_retry, delay_before_turn
from airflow_provider_happyhorse.exceptions import AmbiguousSubmission, NotAcceptedYet, NotSubmitted
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
from airflow_provider_happyhorse.ledger.path import LedgerConflict
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp
from airflow_provider_happyhorse.metrics import Metrics
from airflow_provider_happyhorse.operators.books import note_spend, unsuitable
from airflow_provider_happyhorse.operators.held_signals import held_signals
from airflow_provider_happyhorse.operators.reconciliation import STALE_INTENT, claim
from airflow_provider_happyhorse.operators.turn import NotItsTurn, Turn
from airflow_provider_happyhorse.results import REQUEST_KEY, money, new_result

if TYPE_CHECKING:
    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.api.generation import Generation
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.ledger.spend import SpendLog
    from airflow_provider_happyhorse.ledger.stores import Ledger
    from airflow_provider_happyhorse.operators.clip import Clip

#: Tries of a write that keeps what became of a submission, and seconds between them.
WRITE_TRIES, WRITE_DELAY = 5, 1.0


class Submission:
    """One clip's way to the service.

    :param previous: the record an earlier try left; generations of other requests are kept from it.
    :param turn: how long it may wait while there are too many requests.
    :param sleep: waits between tries that were provably not accepted, seconds.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        clip: Clip,
        fingerprint: str,
        hook: HappyHorseHook,
        ledger: Ledger,
        stamp: Stamp,
        previous: Record | None,
        log: TaskLog,
        turn: Turn,
        spend: SpendLog | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clip, self._hook, self._ledger, self._log, self._sleep = clip, hook, ledger, log, sleep
        self._spend, self._clock, self._turn = spend, clock, turn
        self._doubtful = previous if previous and previous.state in (RecordState.INTENT, RecordState.AMBIGUOUS) else None
        self._record = self._unsent = Record(
            state=RecordState.NOT_SENT,
            fingerprint=fingerprint,
            name=clip.name,
            map_index=stamp.map_index,
            try_number=stamp.try_number,
            **stamp.of_the_clear,
            at=_now(),
            # Nothing that was paid for is forgotten.
            others={} if previous is None else {key: facts for key, facts in previous.paid().items() if key != fingerprint},
        )

    @property
    def record(self) -> Record:
        """The last step of the record."""
        return self._record

    def submit(self) -> Record:
        """Submit once; send again only what was provably not accepted.

        :return: the record with the id, which is in the ledger if that could be reached.
        :raises InvalidArguments: the ``ledger_path`` turned out to create nothing exclusively; nothing was sent.
        :raises NotSubmitted: the service refused it.
        :raises NotAcceptedYet: it could not be handed over; nothing was paid.
        :raises NotItsTurn: there are too many requests for longer than a worker should wait; nothing was paid.
        :raises AmbiguousSubmission: it may have been accepted; the way out is the caller's to add, who may look for it first.
        """
        attempt, waited = 1, 0.0
        while True:
            try:
                record = self._submit_once()
            except RateLimited as error:
                self._turn = replace(self._turn, refusals=self._turn.refusals + 1)
                delay = delay_before_turn(error, refusals=self._turn.refusals, random=random())
                not_before = time.time() + delay
                if not_before > self._turn.until:
                    times = f"refused {self._turn.refusals} times for too many requests"
                    raise self._not_accepted(f"{times}, and the next turn would come after `submit_timeout` ({error})") from error
                if waited + delay > self._turn.slot_wait:
                    raise NotItsTurn(self._turn, not_before=not_before) from error
                waited += delay
                self._log.warning("[%s] not accepted (%s); trying again in %.0f s", self._clip.name, error, delay)
            except Unreachable as error:
                unreached = delay_before_retry(error, attempt=attempt, pays=True, random=random())
                if unreached is None:
                    raise self._not_accepted(error) from error
                delay = unreached
                self._log.warning("[%s] not accepted (%s); trying again in %.0f s", self._clip.name, error, delay)
                attempt += 1
            else:
                Metrics(self._hook.service.name).submitted(self._clip.estimate.credits)
                return record
            self._sleep(delay)

    def _not_accepted(self, why: ServiceError | str) -> NotAcceptedYet:
        return NotAcceptedYet(f"[{self._clip.name}] not submitted, nothing was paid: {why}; {self._what_a_retry_does()}")

    def _what_a_retry_does(self) -> str:
        if self._ledger.protects:
            return "a retry tries again"
        return "a retry stops, since nothing keeps a record here: start a new run, or clear this task with `unprotected_retry`"

    def _submit_once(self) -> Record:
        call = self._hook.service.submit(self._clip.request)
        with held_signals():
            # No POST unless this write succeeds: it is all that the next try has, should this one die.
            begin, self._record = self._clock(), self._unsent
            try:
                sent = {"opened": time.time(), "request_timeout": self._hook.settings.endpoint.request_timeout}
                self._write(RecordState.INTENT, detail="", facts=self.facts(), sent=sent)
            except (LedgerConflict, ObjectsUnavailable) as problem:
                if isinstance(problem, ObjectsUnavailable):
                    # It may be stored all the same, or half of it, and the next try would take it for sent.
                    self._take_back(f"nothing was sent: {problem}")
                raise NotAcceptedYet(f"[{self._clip.name}] not submitted, nothing was paid: {problem}; a retry looks again") from problem
            except UnsuitableLedgerPath as problem:
                raise unsuitable(self._clip.name, problem) from problem
            if (frozen := self._clock() - begin) > STALE_INTENT:
                # This try was frozen; meanwhile another may have taken over, and a person may have been told that nothing was sent.
                self._take_back(f"frozen for {frozen:.0f} s before it was sent")
                raise NotAcceptedYet(f"[{self._clip.name}] not submitted: {frozen:.0f} s went by between intent and sending; a retry looks")
            try:
                generation = self._hook.send(call)
            except (Unreachable, RateLimited) as error:
                self._take_back(str(error))
                raise
            except Rejected as error:
                self._take_back(str(error))
                why = f"{self._hook.service.name} refused it, nothing was paid: {error}"
                raise NotSubmitted(f"[{self._clip.name}] {why}. Repair what it names and clear this task") from error
            except Exception as error:
                raise self._ambiguous(error) from error
            return self._submitted(generation)

    def _take_back(self, why: str) -> None:
        """Undo an intent by which nothing was submitted: an earlier submission of unknown fate is as unknown as before."""
        if self._doubtful is None:
            self._keep(RecordState.NOT_SENT, detail=why, sent={})
        else:
            self._record = self._doubtful
            self._keep(self._record.state, at=self._record.at)

    def _ambiguous(self, error: Exception) -> AmbiguousSubmission:
        shown = str(error) if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"
        self._keep(RecordState.AMBIGUOUS, detail=shown, sent={**self._record.sent, "closed": time.time()})
        return AmbiguousSubmission(f"submitted at {self._record.at} and nothing tells whether it was accepted: {shown}")

    def facts(self, **known: Any) -> dict[str, Any]:
        """Return the flat result of this clip, with what is known of it."""
        service, conn_id = self._hook.service.name, self._hook.happyhorse_conn_id
        result = new_result(name=self._clip.name, kind=self._clip.request.kind, service=service, happyhorse_conn_id=conn_id)
        return {**result, **self._clip.facts(), REQUEST_KEY: self._clip.request.given(), **known}

    def _submitted(self, generation: Generation) -> Record:
        generation_id = generation.generation_id
        facts = self.facts(generation_id=generation_id, submitted_at=_now())
        kept = self._keep(RecordState.SUBMITTED, detail="", facts=facts, sent={})
        # Here and not after the block of held signals: where there is no ledger, a kill that waits for its end leaves this line alone.
        safe = "a retry or a kill cannot pay again" if kept and self._ledger.protects else "there is no record of it, so a retry will stop"
        self._log.info("[%s] %s submitted, %s committed; %s", self._clip.name, generation_id, money(facts), safe)
        note_spend(self._spend, facts, at=facts["submitted_at"], prompt=self._clip.prompt(), log=self._log)
        # After the id, which must not wait for this.
        claim(self._ledger, self._hook.service, generation_id=generation_id, name=self._clip.name, log=self._log)
        return self._record

    def _keep(self, state: RecordState, **changes: Any) -> bool:
        """Write what became of the submission, and go on when that cannot be written: the record then says less, and the next try stops."""
        for attempt in range(1, WRITE_TRIES + 1):
            try:
                self._write(state, **changes)
            except Exception:  # noqa: BLE001  the store is Airflow's; whatever it raises, what happened must be kept or said
                paid = f"{self._record.generation_id} is submitted and paid for" if self._record.generation_id else f"it is {state}"
                self._log.exception(
                    "[%s] %s, and the record of it could not be written (try %d of %d). Should this task die now, nothing but this line "
                    "says so",
                    self._clip.name,
                    paid,
                    attempt,
                    WRITE_TRIES,
                )
            else:
                return True
            if attempt < WRITE_TRIES:
                self._sleep(WRITE_DELAY)
        return False

    def _write(self, state: RecordState, **changes: Any) -> None:
        self._record = self._record.step(state, **{"at": _now(), **changes})
        self._ledger.write(self._record)


def way_out_of_ambiguity(
    service: str, ledger: Ledger, cost: str, *, prompt: str = "", changed: bool = False, known: Iterable[str] = ()
) -> str:
    """Return what a person can do about a submission whose fate is unknown, and what it would cost.

    :param prompt: of the submission that is in doubt, which need not be today's.
    :param changed: the request is another one by now, and a clear submits that one.
    :param known: ids of this task's other videos, which are not the one to look for.
    """
    shown = f"the prompt {' '.join(prompt.split())[:80]!r}" if prompt else "its prompt"
    others = f" (not {', '.join(known)}, which this task has paid for and knows)" if known else ""
    look = f"Look on {service} for a video made then from {shown}{others}"
    if not ledger.protects:
        return (
            f"{look}: if it is there, publish it by its id (HappyHorsePublishOperator(generation=...)); if not, clear this task with "
            f"`unprotected_retry` in pay_again_on, which pays {cost} credits"
        )
    then = (
        f"which pays {cost} credits for the changed request; ask for the earlier one again to go on with it"
        if changed
        else "which pays nothing"
    )
    return (
        f'{look}: if it is there, set {{"state": "submitted", "generation_id": "<its id>"}} in {ledger.where()} and clear this task, '
        f'{then}; if not, and some minutes have passed, set {{"state": "not_sent"}} there, or put `ambiguous_submit` into '
        f"pay_again_on, and clear this task, which pays {cost} credits"
    )


def cost_of(clip: Clip | None) -> str:
    """Return the number of credits another submission would cost, in words when it is not known."""
    return "an unknown number of" if clip is None or clip.estimate.credits is None else str(clip.estimate.credits)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

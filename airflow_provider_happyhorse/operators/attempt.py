"""One try of a task instance: what it is to submit, what earlier tries have, and what follows from both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    GenerationFailed,
    InvalidArguments,
    SubmissionStopped,
)
from airflow_provider_happyhorse.ledger.decision import Decision, PayAgain, Situation, Stop, decide
from airflow_provider_happyhorse.ledger.record import Record, UnreadableRecord, fingerprint
from airflow_provider_happyhorse.ledger.stores import Ledger, ledger_for
from airflow_provider_happyhorse.operators.clip import Asked, Clip, read_clip, read_pay_again_on
from airflow_provider_happyhorse.operators.submission import Stamp, way_out_of_ambiguity
from airflow_provider_happyhorse.results import money

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook


@dataclass(frozen=True)
class Attempt:
    """What this try knows before it does anything.

    :param clip: what is asked for, checked.
    :param record: what an earlier try left, None for nothing.
    :param fingerprint: of what is asked for.
    """

    clip: Clip
    hook: HappyHorseHook
    ledger: Ledger
    stamp: Stamp
    record: Record | None
    fingerprint: str
    pay_again_on: frozenset[PayAgain]

    @classmethod
    def of(cls, context: Context, *, asked: Asked, pay_again_on: Any, kind: str, task_id: str, hook: HappyHorseHook) -> Attempt:
        """Read the arguments and the record.

        :raises InvalidArguments: with everything that is wrong; nothing was sent.
        :raises SubmissionStopped: for a record that cannot be understood: it is not the same as none.
        """
        stamp = stamp_of(context)
        words, problems = read_pay_again_on(pay_again_on)
        mapped = stamp.map_index >= 0
        try:
            settings = hook.settings
        except ValueError as problem:
            raise InvalidArguments(f"task {task_id!r}: {problem}. Nothing was submitted") from problem
        clip, wrong = read_clip(
            asked,
            service=settings.service,
            connection_cap=settings.max_credits,
            task_name=f"{task_id}-{stamp.map_index}" if mapped else task_id,
            mapped=mapped,
        )
        if clip is None or problems:
            raise InvalidArguments(f"task {task_id!r}: {'; '.join(wrong + problems)}. Nothing was submitted")
        mark = fingerprint(
            kind=kind,
            service=settings.service.name,
            base_url=settings.endpoint.base_url,
            take=clip.take,
            request=clip.request.given(),
        )
        ledger = ledger_for(context)
        try:
            record = ledger.read()
        except UnreadableRecord as problem:
            raise SubmissionStopped(f"[{clip.name}] stopped: {problem}. It is {ledger.where()}; nothing was submitted") from problem
        return cls(clip, hook, ledger, stamp, record, mark, words)

    def decision(self) -> Decision:
        """Return what this try does."""
        return decide(
            Situation(
                record=self.record,
                protected=self.ledger.protects,
                fingerprint=self.fingerprint,
                name=self.clip.name,
                named=self.clip.named,
                map_index=self.stamp.map_index,
                try_number=self.stamp.try_number,
                max_tries=self.stamp.max_tries,
                pay_again_on=self.pay_again_on,
            )
        )

    def stopped(self, stop: Stop) -> Exception:
        """Return the exception for a stop: what is known, what it would cost to go on, and the ways out."""
        clip, ledger = self.clip, self.ledger
        service = self.hook.service.name
        cost = "an unknown number of" if clip.estimate.credits is None else str(clip.estimate.credits)
        entry = ledger.where()
        match stop.kind:
            case "ambiguous":
                return AmbiguousSubmission(f"[{clip.name}] {stop.why}. {way_out_of_ambiguity(service, ledger, clip)}")
            case "failed":
                spent = money(self.record.facts) if self.record else "an unknown number of credits"
                return GenerationFailed(
                    f"[{clip.name}] {stop.why}; it cost {spent}, unless the service gives failed ones back. A retry does not pay again: "
                    f"clear this task to submit it anew ({cost} credits), or put `failed_generation` into pay_again_on"
                )
            case "unprotected":
                return SubmissionStopped(
                    f"[{clip.name}] {stop.why}. Look on {service} for what an earlier try submitted and publish it by its id "
                    f"(HappyHorsePublishOperator(generation=...)), or put `unprotected_retry` into pay_again_on to pay {cost} credits"
                )
            case "moved" | "changed":
                return SubmissionStopped(
                    f"[{clip.name}] {stop.why}. Nothing was submitted. To submit it ({cost} credits), delete {entry} and clear this task"
                    + ("; give mapped clips a `name` so that they are told apart" if stop.kind == "moved" else "")
                )


def stamp_of(context: Mapping[str, Any] | Context) -> Stamp:
    """Return which try of which task instance is running."""
    ti = context["ti"]
    map_index = ti.map_index if ti.map_index is not None else -1
    return Stamp(map_index=map_index, try_number=ti.try_number, max_tries=ti.max_tries)

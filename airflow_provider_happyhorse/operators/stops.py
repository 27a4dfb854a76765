"""What a task says that stops instead of submitting: what is known, what it would cost to go on, and the ways out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_provider_happyhorse.exceptions import AmbiguousSubmission, GenerationFailed, SubmissionStopped
from airflow_provider_happyhorse.ledger.decision import Stop
from airflow_provider_happyhorse.operators.clip import Asked, read_clip
from airflow_provider_happyhorse.operators.submission import cost_of, way_out_of_ambiguity
from airflow_provider_happyhorse.results import REQUEST_KEY, money

if TYPE_CHECKING:
    from airflow_provider_happyhorse.operators.attempt import Attempt


def stopped(attempt: Attempt, stop: Stop, asked: Asked) -> Exception:
    """Return the exception for a stop: what is known, what it would cost to go on, and the ways out."""
    name, service, entry = attempt.identity.name, attempt.hook.service.name, attempt.ledger.where()
    cost = cost_of(read_clip(asked, kind=attempt.kind, name=name, settings=attempt.hook.settings)[0])
    match stop.kind:
        case "ambiguous":
            record = attempt.record
            sent, mark = (record.facts, record.fingerprint) if record else ({}, "")
            prompt = str((sent.get(REQUEST_KEY) or {}).get("prompt") or "")
            changed = (
                f". The request has changed since; the one in doubt was {record.name!r}" if record and mark != attempt.fingerprint else ""
            )
            why = f"{stop.why}{changed}" + (f". {attempt.looked}" if attempt.looked else "")
            known = [str(facts["generation_id"]) for facts in record.paid().values()] if record else []
            service = str(sent.get("service") or service)
            way_out = way_out_of_ambiguity(service, attempt.ledger, cost, prompt=prompt, changed=bool(changed), known=known)
            return AmbiguousSubmission(f"[{name}] {why}. {way_out}")
        case "failed":
            spent = money(attempt.record.facts) if attempt.record else "an unknown number of credits"
            return GenerationFailed(
                f"[{name}] {stop.why}; it cost {spent}, unless the service gives failed ones back. A retry does not pay again: "
                f"clear this task to submit it anew ({cost} credits), or put `failed_generation` into pay_again_on"
            )
        case "unprotected":
            return SubmissionStopped(
                f"[{name}] {stop.why}. Look on {service} for what an earlier try submitted and publish it by its id "
                f"(HappyHorsePublishOperator(generation=...)), or put `unprotected_retry` into pay_again_on and clear this task, which "
                f"pays {cost} credits"
            )
        case "superseded":
            return SubmissionStopped(
                f"[{name}] {stop.why}: nothing was submitted, and nothing need be done. Only where the run was deleted and begun anew: "
                f'set {{"state": "not_sent"}} in {entry} and clear this task to submit it ({cost} credits)'
            )
        case "elsewhere":
            # With the fingerprint: what else is on record there is about another request.
            found = {"state": "submitted", "generation_id": stop.generation_id or "<its id>", "fingerprint": attempt.fingerprint}
            return SubmissionStopped(
                f"[{name}] {stop.why}. Nothing was submitted. To go on with that video, set {json.dumps(found)} in {entry} and clear this "
                f'task, which pays nothing; to submit it ({cost} credits), set {{"state": "not_sent"}} there and clear this task'
            )
        case "moved" | "changed":
            # Where the rest of the entry stays, so would the other clip's name, and the next try would stop for it again.
            says = json.dumps({"state": "not_sent", **({"name": name} if stop.kind == "moved" else {})}, ensure_ascii=False)
            paid = attempt.record.generation_id if attempt.record and stop.kind == "changed" else ""
            as_it_is = json.dumps({"state": "submitted", "generation_id": paid, "fingerprint": attempt.fingerprint})
            then = f"; to deliver {paid} for it, which pays nothing, set {as_it_is} there and clear this task" if paid else ""
            return SubmissionStopped(
                f"[{name}] {stop.why}. Nothing was submitted. "
                f"To submit it ({cost} credits), set {says} in {entry} and clear this task{then}"
                + (f"; {_telling_rows_apart(named=attempt.identity.named, shared=attempt.ledger.shared)}" if stop.kind == "moved" else "")
            )


def _telling_rows_apart(*, named: bool, shared: bool) -> str:
    if named and shared:
        return "a row whose name stays the same is found under it, whatever its map index"
    if named:
        return "with a `ledger_path`, clips are known by their names, whatever their map index"
    return "give mapped clips a `name`, and the deployment a `ledger_path`, so that they are told apart"

"""What a try does, decided from values: the one place where money may flow again.

The table (``design`` of the provider, and ``docs/architecture.md``): a retry never pays for what an earlier try has, or may have,
submitted; a clear pays for a failed generation, and for a changed request when ``pay_again_on`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp

PayAgain = Literal["changed_request", "failed_generation", "ambiguous_submit", "unprotected_retry"]
PAY_AGAIN_WORDS: tuple[PayAgain, ...] = ("changed_request", "failed_generation", "ambiguous_submit", "unprotected_retry")


@dataclass(frozen=True)
class Situation:
    """Everything a decision rests on.

    :param record: what this task instance has recorded, None for nothing.
    :param protected: no record means that nothing was submitted; without a ledger, or with one that forgets, it proves nothing.
    :param fingerprint: of the request as it is now.
    :param name: the clip's name now.
    :param named: the author gave the name (or the task is not mapped, so that its id names it).
    :param stamp: of this try.
    :param pay_again_on: the author's words.
    """

    record: Record | None
    protected: bool
    fingerprint: str
    name: str
    named: bool
    stamp: Stamp
    pay_again_on: frozenset[PayAgain]

    @property
    def cleared(self) -> bool:
        """There is evidence that the task was cleared since the record was written, or that the record is another row's."""
        return self.record is not None and (self.record.max_tries != self.stamp.max_tries or not self.its_own)

    @property
    def perhaps_cleared(self) -> bool:
        """Nothing tells a retry from a clear."""
        return self.record is not None and self.record.may_be_cleared(self.stamp)

    @property
    def superseded(self) -> bool:
        """A later try of this task instance has written the record: this one was left behind, frozen, and goes on only now."""
        return self.record is not None and self.its_own and self.record.try_number > self.stamp.try_number

    @property
    def its_own(self) -> bool:
        """The record was written under this map index."""
        return self.record is not None and self.record.map_index == self.stamp.map_index


@dataclass(frozen=True)
class Submit:
    """Submit the request as it is now.

    :param why: for the log, ``""`` for the ordinary first submission.
    """

    why: str = ""


@dataclass(frozen=True)
class Attach:
    """Go on with a generation that exists.

    :param facts: its flat result so far.
    :param why: for the log.
    :param differs: it is not what is asked for now.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    differs: bool = False


@dataclass(frozen=True)
class Stop:
    """Do nothing, and say why and what the way out is.

    :param kind: ``ambiguous`` (may exist), ``failed`` (the service ended it so), ``moved`` (the row is another's), ``changed``,
        ``unprotected`` (no record proves nothing here, and it is not the first try), ``superseded`` (a later try has taken over),
        ``elsewhere`` (its request was, or may have been, submitted as another clip, or in between two others of this one).
    :param generation_id: what it was submitted as, where that is known.
    """

    kind: Literal["ambiguous", "failed", "moved", "changed", "unprotected", "superseded", "elsewhere"]
    why: str
    generation_id: str = ""


Decision = Submit | Attach | Stop


def decide(now: Situation) -> Decision:
    """Return what this try does."""
    record = now.record
    if record is None:
        return _without_record(now)
    if now.superseded:
        return _left_behind(now, record)
    decision = _after(now, record)
    doubt = record.others.get(now.fingerprint)
    if isinstance(decision, Submit) and doubt is not None and not doubt.get("generation_id") and "ambiguous_submit" not in now.pay_again_on:
        return Stop("elsewhere", f"this very request may have been submitted before, as {str(doubt.get('name') or now.name)!r}")
    return decision


def _after(now: Situation, record: Record) -> Decision:
    match record.state:
        case RecordState.NOT_SENT:
            return _earlier(now, record) or _moved(now, record) or Submit("no earlier try has submitted it")
        case RecordState.INTENT | RecordState.AMBIGUOUS:
            return _after_ambiguity(now, record)
        case RecordState.FAILED:
            return _after_failure(now, record)
        case RecordState.SUBMITTED | RecordState.DELIVERED:
            return _after_submission(now, record)


def _without_record(now: Situation) -> Decision:
    if now.protected or now.stamp.try_number <= 1:
        return Submit()
    if "unprotected_retry" in now.pay_again_on:
        return Submit("`unprotected_retry` allows this try to pay although nothing is known of the earlier ones")
    return Stop(
        "unprotected",
        f"this is try {now.stamp.try_number} and nothing keeps a record of what the earlier ones submitted (a `ledger_path` does, and "
        "Airflow 3.3 without `[state_store] clear_on_success`): submitting could pay for the same video again",
    )


def _left_behind(now: Situation, record: Record) -> Decision:
    # The other max_tries would look like a clear, and pay for a request that is older than the one on record.
    if record.state in (RecordState.SUBMITTED, RecordState.DELIVERED) and record.fingerprint == now.fingerprint:
        return Attach(record.facts, f"{record.generation_id} was submitted by try {record.try_number}")
    if earlier := _earlier(now, record):
        return earlier
    return Stop("superseded", f"this is try {now.stamp.try_number}, and try {record.try_number} of this task has been at work since")


def _after_ambiguity(now: Situation, record: Record) -> Decision:
    if "ambiguous_submit" in now.pay_again_on:
        why = f"`ambiguous_submit` allows another submission although the one of {record.at} may exist"
        return _earlier(now, record) or Submit(why)
    what = "was about to be sent" if record.state is RecordState.INTENT else "may have been accepted"
    known = f" ({record.detail})" if record.detail else ""
    why = f"a submission of {record.at} by try {record.try_number} {what}, and nothing tells whether it exists{known}"
    return Stop("ambiguous", f"{why}; the log of try {record.try_number} may name its id")


def _after_failure(now: Situation, record: Record) -> Decision:
    if now.cleared:
        return _earlier(now, record) or _moved(now, record) or Submit(f"cleared after {record.generation_id} had failed at the service")
    if "failed_generation" in now.pay_again_on:
        why = f"`failed_generation` allows a retry to submit again after {record.generation_id} had failed"
        return _earlier(now, record) or _moved(now, record) or Submit(why)
    return Stop("failed", f"{record.generation_id} ended as failed at the service: {record.detail or 'no reason given'}")


def _after_submission(now: Situation, record: Record) -> Decision:
    # A person who resolves an ambiguous submission writes the state and the id; there is no request to compare then.
    if record.fingerprint in ("", now.fingerprint):
        return Attach(record.facts, f"{record.generation_id} was submitted by an earlier try")
    if not now.cleared and now.perhaps_cleared:
        return _earlier(now, record) or _undecidable(now, record)
    if not now.cleared:
        why = f"the request differs from the one submitted as {record.generation_id}; a retry never submits another"
        return Attach(record.facts, why, differs=True)
    if earlier := _earlier(now, record):
        return earlier
    if moved := _moved(now, record):
        return moved
    if not now.named:
        return Stop("moved", f"{_was(record)} and is now another request without a `name`: {_ROWS_MOVED}")
    if "changed_request" not in now.pay_again_on:
        why = f"the request differs from the one submitted as {record.generation_id}, and `changed_request` is not in `pay_again_on`"
        return Stop("changed", why)
    return Submit(f"cleared with a changed request; the earlier one was {record.generation_id}")


def _undecidable(now: Situation, record: Record) -> Stop:
    """Stop where a retry would go on with the earlier request and a clear would not, maybe as another row's clip."""
    cleared = "the run was cleared, and Airflow does not say whether this task was: nothing tells whether this is a retry"
    if now.stamp.map_index >= 0 and not (now.named and record.name == now.name):
        return Stop("moved", f"{_was(record)} and is now {now.name!r}, another request; {cleared} or {_ROWS_MOVED}")
    why = f"the request differs from the one submitted as {record.generation_id}, and {cleared} or a changed request"
    return Stop("changed", f"{why}; another clear is told for one" if "changed_request" in now.pay_again_on else why)


_ROWS_MOVED = "rows have moved, and submitting would pay for the wrong ones"


def _earlier(now: Situation, record: Record) -> Attach | None:
    """Return to what this task instance once submitted for this very request. Whatever became of a later request, it is paid for.

    Also where a person has let another request through since, by ``not_sent`` on the record of this one.
    """
    known = record.paid().get(now.fingerprint) if record.fingerprint != now.fingerprint else None
    # An id that a person has found has no time of submission, and may have been a wrong one.
    if record.state is RecordState.NOT_SENT and record.fingerprint == now.fingerprint and record.facts.get("submitted_at"):
        known = record.paid().get(now.fingerprint)
    return Attach(known, f"this very request was submitted before as {known.get('generation_id')}") if known else None


def _moved(now: Situation, record: Record) -> Stop | None:
    """Stop where a mapped clip's record is another clip's: what is asked for now may be paid for under another map index."""
    if (
        now.stamp.map_index < 0
        or not (now.cleared or now.perhaps_cleared)
        or record.fingerprint == now.fingerprint
        or record.name in ("", now.name)
    ):
        return None
    return Stop("moved", f"{_was(record)} and is now {now.name!r}, another request: {_ROWS_MOVED}")


def _was(record: Record) -> str:
    submitted = f" (submitted as {record.generation_id})" if record.generation_id else ""
    return f"this map index was the clip {record.name!r}{submitted}"

"""Looking for a submission of unknown fate in the service's list, and taking it for this clip's where nothing contradicts that.

Rests on the emulator's reading of a list that happy-horse.ai does not document (GET /videos): what is not told there proves nothing, so
whatever is missing ends in a stop that names the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
from airflow_provider_happyhorse.ledger.reconcile import Findings, SendWindow, find, may_start
from airflow_provider_happyhorse.ledger.record import Record
from airflow_provider_happyhorse.results import REQUEST_KEY, kind_of

if TYPE_CHECKING:
    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.api.generation import Generation
    from airflow_provider_happyhorse.api.service import Service
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.ledger.stores import Ledger

#: Seconds between the intent and the POST beyond which the submission gives up: a process that was frozen sends nothing old.
STALE_INTENT = 15.0
#: Seconds after the last moment at which anybody can have been sending it, for the service to finish and to list it.
SETTLING = 20.0
#: Looks in all while they are empty-handed, and seconds between them: a list may lag, and a service that loses answers may fail again.
LOOKS, BETWEEN_LOOKS = 3, 20.0
#: Rows of a page (happy-horse.ai: at most 50), and pages in all.
PAGE, PAGES = 50, 10
#: How many candidates a message names.
NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """What looking has told.

    :param generation: the submission, claimed for this clip; None when that is not certain.
    :param said: for the log or the message of the stop: what was found, or why nothing is certain.
    """

    generation: Generation | None
    said: str


@dataclass(frozen=True)
class Reconciliation:
    """One look for one submission.

    :param record: whose submission it is; its state is ``intent`` or ``ambiguous``.
    :param clock: Unix seconds.
    :param sleep: waits seconds.
    """

    hook: HappyHorseHook
    ledger: Ledger
    record: Record
    log: TaskLog
    clock: Callable[[], float]
    sleep: Callable[[float], object]

    def look(self) -> Outcome:
        """Wait until the service must have listed it, look, and claim what is certain; sends only requests that cost nothing."""
        service, name = self.hook.service.name, self.record.name
        asked, submitted = self.hook.happyhorse_conn_id, self.record.facts.get("happyhorse_conn_id")
        if submitted and submitted != asked:
            return Outcome(None, f"it was sent with the connection {submitted!r}, and {asked!r} may lead to another account's list")
        if "list" not in self.hook.service.capabilities:
            return Outcome(None, f"{service} has no list of generations to look in")
        if kind_of(self.record.facts) == "image":
            return Outcome(None, f"the list of {service} is documented for videos only")
        sent, window = self.record.facts.get(REQUEST_KEY), window_of(self.record)
        if window is None or not isinstance(sent, Mapping):
            return Outcome(None, "the record does not say what was sent and when, so the list was not searched")
        # A failure that came at once says little: the service may take the time of a request to finish what it has begun.
        sending = replace(window, closed=max(window.closed, window.opened + float(self.record.sent["request_timeout"])))
        if not may_start(sending, now=(now := self.clock()), margin=SETTLING):
            # Longer only where the clock that wrote the record was ahead of this one; then nothing fits, and a person is asked.
            wait = min(sending.closed + SETTLING - now, STALE_INTENT + float(self.record.sent["request_timeout"]) + SETTLING)
            self.log.info("[%s] it may exist; looking in the list of %s in %.0f s, when it must be there if it is", name, service, wait)
            self.sleep(wait)
        findings = self._find(sent, window)
        for _ in range(LOOKS - 1):
            if findings.certain or findings.candidates:
                break
            self.sleep(BETWEEN_LOOKS)
            findings = self._find(sent, window)
        return self._claimed(findings)

    def _claimed(self, findings: Findings) -> Outcome:
        service, found = self.hook.service.name, findings.certain
        if found is None:
            return Outcome(None, f"The list of {service} does not settle it: {findings.why_not}{_named(findings)}")
        if not self.ledger.shared:
            return Outcome(
                None,
                f"In the list of {service} {found.generation_id} fits and echoes every field; it may be another task's all the same, "
                "and only a `ledger_path` lets tasks tell",
            )
        try:
            mine = self.ledger.claim(service, found.generation_id)
        except (ObjectsUnavailable, UnsuitableLedgerPath) as problem:
            return Outcome(None, f"{found.generation_id} fits, and could not be claimed: {problem}")
        if not mine:
            return Outcome(None, f"The only generation in the list of {service} that fits, {found.generation_id}, is another clip's")
        return Outcome(found, f"found {found.generation_id} in the list of {service}: made when it was sent, and it echoes every field")

    def _find(self, sent: Mapping[str, Any], window: SendWindow) -> Findings:
        """Read the list back to the time of the submission; what one page has shown is named also when the next cannot be read."""
        rows: dict[str, Generation] = {}
        findings = Findings((), None)
        # What this clip has submitted before, for another request or take, is not what is looked for.
        ours = {str(facts.get("generation_id")) for facts in self.record.others.values()}
        for page in range(1, PAGES + 1):
            asked = self.clock()
            try:
                listed, headers = self.hook.send(self.hook.service.list_generations(page, PAGE).with_headers(), attempts=1)
            except ServiceError as problem:
                return replace(findings, why_not=f"{'it' if page == 1 else f'page {page} of it'} cannot be read ({problem})")
            told = _date(headers.get("date", ""))
            if told is None:
                return replace(findings, why_not="its answer has no Date, so its times cannot be compared with ours")
            # The header is cut to the second, and the answer took its time: half of both, on the average.
            ahead = told + 0.5 - (asked + self.clock()) / 2
            fresh = [row for row in listed.generations if row.generation_id not in rows]
            rows |= {row.generation_id: row for row in fresh}
            others = [row for row in rows.values() if row.generation_id not in ours]
            findings = find(others, sent=sent, window=window, ahead=ahead, whole=not fresh and listed.rows == len(listed.generations))
            if findings.reaches_past:
                break
        return findings


def claim(ledger: Ledger, service: Service, *, generation_id: str, name: str, log: TaskLog) -> None:
    """Claim what a task has the id of, so that no clip whose own answer was lost takes it for its own; never fails the task."""
    if not ledger.shared or "list" not in service.capabilities:
        return
    try:
        if not ledger.claim(service.name, generation_id):
            why = "was adopted by another clip, whose own answer was lost; both deliver it, and that clip's own may be on the account"
            log.warning("[%s] %s %s", name, generation_id, why)
    except Exception:
        log.exception("[%s] %s could not be claimed; a clip with the same request might adopt it", name, generation_id)


def window_of(record: Record) -> SendWindow | None:
    """Return when the submission of a record can have been accepted, None when the record does not say (one of an older version)."""
    try:
        opened, timeout = float(record.sent["opened"]), float(record.sent["request_timeout"])
        # Nobody saw it fail: the process died, or still sends.
        closed = float(record.sent.get("closed") or opened + STALE_INTENT + timeout)
    except (KeyError, TypeError, ValueError):
        return None
    return SendWindow(opened, closed)


def _date(header: str) -> float | None:
    """Return an HTTP ``Date`` as Unix time, None for anything else."""
    try:
        read: datetime = parsedate_to_datetime(header)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _named(findings: Findings) -> str:
    ids = [candidate.generation_id for candidate in findings.candidates]
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"; made about then, and not contradicting the request: {', '.join(ids[:NAMED])}{more}" if ids else ""

"""What a scenario's evidence amounts to. Pure, so that it is proven to say no (``test_verdict.py``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: A loud stop names its way out and what it costs; both are in the same log line.
STOP = re.compile(r"(?:AmbiguousSubmission|SubmissionStopped)\b.*clear this task.*credits")
#: What the reader of a log is told about the time after this try.
NEXT = re.compile(
    r"a retry or a kill cannot pay again|nothing is paid again|clear this task|a retry tries again|a retry waits|a retry asks for|"
    r"A retry does not pay again|No retry pays again|lets a retry submit it anew|nothing but this line says so|so a retry will stop"
)


@dataclass(frozen=True)
class ClipEvidence:
    """What one task instance left behind.

    :param name: the clip's name.
    :param state: of the task instance, in the end.
    :param tries: how many there were.
    :param logs: of every try, the first one first.
    :param delivered: id in the XCom return value, published where the task was to publish; "" for none.
    """

    name: str
    state: str
    tries: int
    logs: tuple[str, ...]
    delivered: str = ""

    @property
    def text(self) -> str:
        """All that was logged."""
        return "\n".join(self.logs)

    @property
    def last_log(self) -> str:
        """The log of the last try."""
        return self.logs[-1] if self.logs else ""

    @property
    def stopped(self) -> bool:
        """The task has ended with a loud stop that names its way out."""
        return self.state == "failed" and bool(STOP.search(self.last_log))


@dataclass(frozen=True)
class Evidence:
    """What a scenario left behind.

    :param asked: how many videos were asked for, by the author or by a person since.
    :param paid: ids of the generations that have cost credits, as the emulator counts.
    :param failed: those of them that the service has ended as failed.
    :param trouble: why the scenario could not be played to its end, "" for none.
    :param unpaid_rows: clips that could never be submitted (a bad row).
    """

    scenario: str
    asked: int
    paid: tuple[str, ...]
    clips: tuple[ClipEvidence, ...]
    failed: frozenset[str] = frozenset()
    trouble: str = ""
    unpaid_rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param problems: what is wrong with the money, or with the scenario.
    :param untold: what the reader of the last try's log cannot tell.
    """

    scenario: str
    tries: int
    asked: int
    paid: int
    delivered: int
    verdict: str
    problems: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


def judge(evidence: Evidence, *, may_stop: bool, delivers: int | None = None) -> Row:
    """Return the row of the table, with everything that is wrong.

    :param may_stop: the truth cannot be known, and a loud stop is a right ending.
    :param delivers: how many videos have to arrive; None for as many as were asked for.
    """
    delivered = {clip.delivered for clip in evidence.clips if clip.delivered} & set(evidence.paid)
    stops = [clip for clip in evidence.clips if clip.stopped]
    text = "\n".join(clip.text for clip in evidence.clips)
    said_failed = {one for one in evidence.failed if re.search(rf"{re.escape(one)}.*failed at the service", text)}
    open_ends = [one for one in evidence.paid if one not in delivered | said_failed]
    problems = [evidence.trouble] if evidence.trouble else []
    if len(evidence.paid) > evidence.asked:
        problems.append(f"PAID TWICE: {len(evidence.paid)} for {evidence.asked}")
    unfinished = [clip for clip in evidence.clips if clip.state not in ("success", "failed")]
    if len(open_ends) > len(stops) + len(unfinished):
        problems.append(f"LOST: {', '.join(open_ends)}")
    # Without their end there is nothing to deliver or to tell yet.
    problems += [f"{clip.name} has not ended ({clip.state or 'not started'})" for clip in unfinished]
    if stops and not may_stop:
        problems.append(f"stopped without need: {stops[0].name}")
    wanted = evidence.asked if delivers is None else delivers
    if len(delivered) < wanted and not (may_stop and stops):
        problems.append(f"delivered {len(delivered)} of {wanted}")
    untold = [missing for clip in evidence.clips if clip not in unfinished for missing in missing_in_log(clip, evidence)]
    endings = [
        (f"{len(delivered)} delivered", bool(delivered)),
        (f"{len(said_failed)} failed at the service and said so", bool(said_failed)),
        (f"{len(stops)} stopped, way out named", bool(stops)),
        ("; ".join(problems), bool(problems)),
        (f"the log does not tell {', '.join(untold)}", bool(untold)),
    ]
    return Row(
        scenario=evidence.scenario,
        tries=sum(clip.tries for clip in evidence.clips),
        asked=evidence.asked,
        paid=len(evidence.paid),
        delivered=len(delivered),
        verdict=", ".join(words for words, there in endings if there),
        problems=tuple(problems),
        untold=tuple(untold),
    )


def missing_in_log(clip: ClipEvidence, evidence: Evidence) -> list[str]:
    """Return what a reader of the last try's log cannot tell: clip name, id, credits, what happens next."""
    if clip.name in evidence.unpaid_rows:
        return [] if f"[{clip.name}]" in clip.text and "Nothing was submitted" in clip.text else [f"which row is wrong ({clip.name})"]
    log = clip.last_log
    missing = []
    if f"[{clip.name}]" not in log:
        missing.append("the clip's name")
    if clip.delivered and clip.delivered not in log:
        missing.append(f"the id {clip.delivered}")
    if "credits" not in log:
        missing.append("the credits")
    if not NEXT.search(log):
        missing.append("what happens next")
    return [f"{one} ({clip.name})" for one in missing]


def markdown(rows: Sequence[Row]) -> str:
    """Return the table."""
    lines = ["| scenario | tries | asked for | paid | delivered | verdict |", "|---|---|---|---|---|---|"]
    lines += [f"| {row.scenario} | {row.tries} | {row.asked} | {row.paid} | {row.delivered} | {row.verdict} |" for row in rows]
    return "\n".join(lines) + "\n"

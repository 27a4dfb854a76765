"""What a scenario's evidence amounts to. Pure, so that it is proven to say no (``test_verdict.py``)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: A loud stop names its way out and what it costs, in either order; both are in the same log line.
STOP = re.compile(r"(?:AmbiguousSubmission|SubmissionStopped)\b(?=.*(?:clear this task|publish it by its id)).*credits")
#: What the reader of a log is told about the time after this try.
NEXT = re.compile(
    r"a retry or a kill cannot pay again|nothing is paid again|clear this task|publish it by its id|a retry tries again|a retry waits|"
    r"a retry asks for|A retry does not pay again|No retry pays again|lets a retry submit it anew|nothing but this line says so|"
    r"so a retry will stop"
)


@dataclass(frozen=True)
class ClipEvidence:
    """What one task instance left behind.

    :param name: the clip's name.
    :param state: of the task instance, in the end.
    :param tries: how many there were.
    :param logs: of every try, the first one first.
    :param delivered: id in the XCom return value, published where the task was to publish; "" for none.
    :param asks: the prompt it asks for, in the end.
    :param shows: the prompt of the video that was published under that id, by the file's content; "" for none.
    """

    name: str
    state: str
    tries: int
    logs: tuple[str, ...]
    delivered: str = ""
    asks: str = ""
    shows: str = ""

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
    :param prompts: of what was paid for, by its id.
    :param withdrawn: prompts that were asked for until a person has put others in their places.
    """

    scenario: str
    asked: int
    paid: tuple[str, ...]
    clips: tuple[ClipEvidence, ...]
    failed: frozenset[str] = frozenset()
    trouble: str = ""
    unpaid_rows: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()


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
    wrong = wrong_videos(evidence)
    delivered = {clip.delivered for clip in evidence.clips if clip.delivered and clip.shows == clip.asks} & set(evidence.paid)
    stops = [clip for clip in evidence.clips if clip.stopped]
    text = "\n".join(clip.text for clip in evidence.clips)
    said_failed = {one for one in evidence.failed if re.search(rf"{re.escape(one)}.*failed at the service", text)}
    replaced = {one for one in evidence.paid if evidence.prompts.get(one) in evidence.withdrawn} - said_failed
    open_ends = [one for one in evidence.paid if one not in delivered | said_failed | replaced]
    problems = [evidence.trouble] if evidence.trouble else []
    if len(evidence.paid) > evidence.asked:
        problems.append(f"PAID TWICE: {len(evidence.paid)} for {evidence.asked}")
    elif again := paid_again(evidence):
        problems.append(f"PAID TWICE: {again}")
    if wrong:
        problems.append(f"ANOTHER CLIP'S VIDEO: {', '.join(wrong)}")
    unfinished = [clip for clip in evidence.clips if clip.state not in ("success", "failed")]
    if len(open_ends) > len(stops) + len(unfinished):
        problems.append(f"LOST: {', '.join(open_ends)}")
    # Without their end there is nothing to deliver or to tell yet.
    problems += [f"{clip.name} has not ended ({clip.state or 'not started'})" for clip in unfinished]
    if stops and not may_stop:
        problems.append(f"stopped without need: {stops[0].name}")
    wanted = evidence.asked if delivers is None else delivers
    if len(delivered) + (len(stops) if may_stop else 0) < wanted:
        problems.append(f"delivered {len(delivered)} of {wanted}" + (f", {len(stops)} stopped" if may_stop and stops else ""))
    untold = [missing for clip in evidence.clips if clip not in unfinished for missing in missing_in_log(clip, evidence)]
    endings = [
        (f"{len(delivered)} delivered", bool(delivered)),
        (f"{len(said_failed)} failed at the service and said so", bool(said_failed)),
        (f"{len(stops)} stopped, way out named", bool(stops)),
        (f"{len(replaced)} no longer asked for", bool(replaced)),
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


def wrong_videos(evidence: Evidence) -> list[str]:
    """Return the clips that have delivered what is not their own: another request's video, or one that another clip delivers, too."""
    found = Counter(clip.delivered for clip in evidence.clips if clip.delivered)
    wrong = []
    for clip in evidence.clips:
        if clip.delivered and clip.shows != clip.asks:
            wrong.append(f"{clip.name} delivered {clip.delivered} ({clip.shows or 'nobody knows what it shows'})")
        elif found[clip.delivered] > 1:
            wrong.append(f"{clip.name} delivered {clip.delivered}, and so did another clip")
    return wrong


def paid_again(evidence: Evidence) -> str:
    """Return which prompts were paid for more often than asked for, though no more was paid than was asked for in all; "" for none."""
    asked = Counter(clip.asks for clip in evidence.clips if clip.name not in evidence.unpaid_rows) + Counter(evidence.withdrawn)
    more = Counter(evidence.prompts.get(one, "") for one in evidence.paid) - asked
    # What a person asks for once more, after a failure, is asked for under the same prompt.
    if more.total() <= evidence.asked - asked.total():
        return ""
    return ", ".join(f"{count} more of {prompt!r}" for prompt, count in more.items())


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

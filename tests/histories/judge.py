"""Who may pay, and what may be forgotten: design §5 read from above, where what really happened is known.

Nothing here looks at what our code decides. It counts decisions to submit (an intent that was stored, or the POST where nothing is stored)
and asks of each whether somebody had asked for it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from tests.histories.service import Job
from tests.histories.storage import Value
from tests.histories.tries import Asked, Try


@dataclass
class Decision:
    """One decision to submit.

    :param clip: what the clip is known by.
    :param job: what was paid for, None as long as nothing is.
    :param sent: the POST has left.
    :param refused: a record says that it was not accepted.
    :param known: a record has had its id.
    :param failed: a record has said that the service ended it as failed.
    :param named: a person has written its id into a record.
    :param taken_for: prompts for which a person has taken it instead.
    :param settled: somebody has decided that it does not matter: a person, or a word in ``pay_again_on``.
    """

    by: Try
    clip: Hashable
    job: Job | None = None
    sent: bool = False
    refused: bool = False
    known: bool = False
    failed: bool = False
    settled: bool = False
    named: bool = False
    taken_for: set[str] = field(default_factory=set)

    @property
    def asked(self) -> Asked:
        return self.by.asked

    @property
    def open(self) -> bool:
        """Nobody but the one who sent it can tell what became of it."""
        return not (self.refused or self.known or self.settled)

    def __str__(self) -> str:
        became = self.job.id if self.job else "refused" if self.refused else "open"
        return f"{self.by}, {self.asked}: {became}"


@dataclass
class Judge:
    """Keeps what was asked for and what was paid.

    :param mapped: the task is.
    :param complaints: what must not have happened.
    """

    mapped: bool
    decisions: list[Decision] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    #: Map indexes that were cleared, and have neither paid for it nor gone on with something since.
    cleared: set[int] = field(default_factory=set)
    #: Map indexes of which a person has written that nothing was sent.
    let_go: set[int] = field(default_factory=set)
    #: What was last gone on with, by clip and by map index; after A, B and A again it is not what was last paid for.
    gone_on: dict[Hashable, Decision] = field(default_factory=dict)

    def of(self, job_id: str) -> Decision:
        return next(decision for decision in self.decisions if decision.job and decision.job.id == job_id)

    def written(self, by: Try, value: Value) -> None:
        """Take note of a step that is stored."""
        state, paid = value["state"], value["facts"].get("generation_id")
        mine = [decision for decision in self.decisions if decision.by is by and decision.open]
        if (state == "intent" and all(decision.sent for decision in mine)) or (state == "not_sent" and not mine):
            # Who writes that nothing was sent had decided to send, though the intent may not have been stored.
            self.decides(by)
        if state == "not_sent":
            for decision in [one for one in self.decisions if one.by is by and one.open]:
                decision.refused = True
                if decision.job:
                    self.complaints.append(f"recorded as not sent, and it is paid for: {decision}")
        if paid:
            decision = self.of(paid)
            decision.known = True
            decision.failed |= state == "failed"
            if not isinstance(decision.clip, tuple):
                # It was paid for before the rows had names, and has one now: renamed, it is another clip.
                decision.clip = by.world.clip(by)
            self.gone_on[by.world.clip(by)] = self.gone_on[by.index] = decision
            if (decision.by.index, decision.by.number) != (by.index, by.number):
                by_whom = decision.named or decision.asked.same_request(by.asked)
                if by.index in self.cleared and not by_whom and AIRFLOW_V_3_3_PLUS:
                    self.complaints.append(f"{by} was cleared, asks for {by.asked}, and goes on with {decision}")
                if not by.stale:
                    self.cleared.discard(by.index)
                if "ambiguous_submit" in by.asked.words:
                    # The author says that a doubt does not matter, and goes on with something else.
                    self._settle(one for one in self.decisions if one.open and by.world.clip(by) == one.clip)

    def decides(self, by: Try) -> None:
        """Take note of a decision to submit."""
        for decision in self.decisions:
            # It has seen the answer itself, or its first half has, before it left for its turn.
            same = (decision.by.index, decision.by.number) == (by.index, by.number)
            decision.refused |= same and decision.sent and decision.job is None
        if why_not := self._why_not(by):
            history = "; ".join(map(str, self.decisions))
            self.complaints.append(f"{by} submits {by.asked}, though {why_not}. Before: {history}")
        self.decisions.append(Decision(by, by.world.clip(by)))
        self.let_go.discard(by.index)

    def sent(self, by: Try, job: Job | None) -> None:
        """Take note of a POST, and of what it has paid for."""
        if not by.world.protected:
            self.decides(by)
        decision = next((decision for decision in reversed(self.decisions) if decision.by is by), None)
        if decision is None or decision.sent:
            self.complaints.append(f"{by} sends without a decision of its own that was stored before")
            return
        decision.sent, decision.job = True, job
        if job and not by.stale:
            self.cleared.discard(by.index)

    def _why_not(self, by: Try) -> str:
        """Return why nobody has asked for a submission, ``""`` when somebody has."""
        now, words, cleared = by.asked, by.asked.words, by.index in self.cleared
        world, clip = by.world, by.world.clip(by)
        # A clip with a name is the same clip under any map index, where there is a ledger path, and another take of it is another clip.
        # But a retry is one whatever its name.
        free = cleared and isinstance(clip, tuple)
        everything = [
            decision
            for decision in self.decisions
            if decision.clip == clip
            or (decision.by.index == by.index and not (free and (isinstance(decision.clip, tuple) or decision.asked.take != now.take)))
        ]
        if not world.protected:
            # Where nothing is kept, a try that was left behind cannot see the one after it, for which the author needed a word.
            everything = [decision for decision in everything if decision.by.number <= by.number]
        mine = [decision for decision in everything if not (decision.refused or decision.settled)]
        in_doubt = bool(mine) and mine[-1].open
        if "ambiguous_submit" in words:
            # Also where a person has let it go, and what the map index was all that was known of: neither matters to the author.
            known_by = (clip, by.index)
            self._settle(one for one in self.decisions if one.open and (one in mine or one.clip in known_by))
        if not mine:
            return ""
        last = mine[-1]
        if not world.protected and "unprotected_retry" in words:
            self._settle(mine)
            return ""
        if any(decision.known and not decision.failed and decision.asked.same_request(now) for decision in mine):
            return "this very request is paid for"
        if by.index in self.let_go or everything[-1].refused:
            return ""
        if in_doubt:
            return "" if "ambiguous_submit" in words else "nobody knows what became of the last one"
        # An earlier request that is asked for again may be the one that has failed, whatever was paid for in between.
        gone_on = [one for one in mine if one in (self.gone_on.get(clip), self.gone_on.get(by.index))]
        if any(one.failed for one in (last, *gone_on)) or any(one.failed and one.asked.same_request(now) for one in mine):
            return "" if cleared or "failed_generation" in words else "a failed generation stands on a retry"
        if not cleared:
            return "a retry never submits a second time"
        if "changed_request" not in words:
            return "`changed_request` is not allowed"
        if self.mapped and not (now.named and (world.on_path or last.asked.name == now.name)):
            return "the rows have moved"
        return ""

    @staticmethod
    def _settle(decisions: object) -> None:
        for decision in decisions:  # type: ignore[attr-defined]
            decision.settled = True

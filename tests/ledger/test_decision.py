"""The money table: what a try does in view of the record, cell by cell."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from airflow_provider_happyhorse.ledger.decision import PAY_AGAIN_WORDS, Attach, Decision, Situation, Stop, Submit, decide
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp

A, B, C = "v1:a", "v1:b", "v1:c"
ALL = frozenset(PAY_AGAIN_WORDS)
NOTHING: frozenset[Any] = frozenset()
DEFAULT = frozenset({"changed_request"})
STATES = {state.value: state for state in RecordState}


def record(state: str, **given: Any) -> Record:
    submitted = state in ("submitted", "delivered", "failed")
    fields: dict[str, Any] = {
        "fingerprint": A,
        "name": "kettle",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 2,
        "at": "2026-11-20T10:00:00+00:00",
        "facts": {"generation_id": "vA", "state": "failed" if state == "failed" else "in_progress"} if submitted else {},
    }
    return Record(state=STATES[state], **{**fields, **given})


def situation(left: Record | None, **given: Any) -> Situation:
    fields: dict[str, Any] = {"protected": True, "fingerprint": A, "name": "kettle", "named": True, "pay_again_on": DEFAULT}
    stamp: dict[str, Any] = {"map_index": -1, "try_number": 2, "max_tries": 2}
    stamp |= {name: given.pop(name) for name in ("map_index", "try_number", "max_tries", "clears") if name in given}
    return Situation(record=left, stamp=Stamp(**stamp), **{**fields, **given})


def outcome(decision: Decision) -> str:
    match decision:
        case Submit():
            return "submit"
        case Attach(facts=facts):
            return f"attach {facts['generation_id']}"
        case Stop(kind=kind):
            return f"stop: {kind}"


RETRY, CLEARED = {"max_tries": 2}, {"max_tries": 5}
SAME, CHANGED = {"fingerprint": A}, {"fingerprint": B}

TABLE: list[tuple[str, str, str]] = [
    # state, what a retry does, what a cleared task does: for the same request, and in the second table for a changed one
    ("none", "submit", "submit"),
    ("not_sent", "submit", "submit"),
    ("intent", "stop: ambiguous", "stop: ambiguous"),
    ("ambiguous", "stop: ambiguous", "stop: ambiguous"),
    ("submitted", "attach vA", "attach vA"),
    ("delivered", "attach vA", "attach vA"),
    ("failed", "stop: failed", "submit"),
]
CHANGED_TABLE: list[tuple[str, str, str]] = [
    ("none", "submit", "submit"),
    ("not_sent", "submit", "submit"),
    ("intent", "stop: ambiguous", "stop: ambiguous"),
    ("ambiguous", "stop: ambiguous", "stop: ambiguous"),
    ("submitted", "attach vA", "submit"),
    ("delivered", "attach vA", "submit"),
    ("failed", "stop: failed", "submit"),
]


def left_by(state: str, **given: Any) -> Record | None:
    return None if state == "none" else record(state, **given)


@pytest.mark.parametrize(("request_is", "table"), [("same", TABLE), ("changed", CHANGED_TABLE)])
@pytest.mark.parametrize("row", range(len(TABLE)))
def test_the_table(request_is: str, table: list[tuple[str, str, str]], row: int) -> None:
    state, on_retry, when_cleared = table[row]
    mark = SAME if request_is == "same" else CHANGED
    assert outcome(decide(situation(left_by(state), **RETRY, **mark))) == on_retry
    assert outcome(decide(situation(left_by(state), **CLEARED, **mark))) == when_cleared


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_no_word_stops_what_needs_none(row: int) -> None:
    """Without any word, all is as in the table but for a changed request."""
    state, on_retry, when_cleared = TABLE[row]
    assert outcome(decide(situation(left_by(state), **RETRY, pay_again_on=NOTHING))) == on_retry
    assert outcome(decide(situation(left_by(state), **CLEARED, pay_again_on=NOTHING))) == when_cleared


class TestPayAgainOn:
    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    def test_a_changed_request_needs_its_word(self, state: str) -> None:
        everything_else = ALL - {"changed_request"}
        assert outcome(decide(situation(record(state), **CLEARED, **CHANGED, pay_again_on=everything_else))) == "stop: changed"

    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    @pytest.mark.parametrize("mark", [SAME, CHANGED])
    def test_no_word_at_all_makes_a_retry_pay_for_what_exists(self, state: str, mark: dict[str, str]) -> None:
        assert outcome(decide(situation(record(state), **RETRY, **mark, pay_again_on=ALL))) == "attach vA"

    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    def test_no_word_at_all_makes_a_clear_pay_for_the_same_request(self, state: str) -> None:
        assert outcome(decide(situation(record(state), **CLEARED, pay_again_on=ALL))) == "attach vA"

    def test_failed_generation_lets_a_retry_submit(self) -> None:
        assert outcome(decide(situation(record("failed"), **RETRY, pay_again_on=frozenset({"failed_generation"})))) == "submit"
        assert outcome(decide(situation(record("failed"), **RETRY, pay_again_on=ALL - {"failed_generation"}))) == "stop: failed"

    @pytest.mark.parametrize("state", ["intent", "ambiguous"])
    @pytest.mark.parametrize("when", [RETRY, CLEARED])
    @pytest.mark.parametrize("mark", [SAME, CHANGED])
    def test_ambiguous_submit_lets_both_submit(self, state: str, when: dict[str, int], mark: dict[str, str]) -> None:
        only = frozenset({"ambiguous_submit"})
        assert outcome(decide(situation(record(state), **when, **mark, pay_again_on=only))) == "submit"
        assert outcome(decide(situation(record(state), **when, **mark, pay_again_on=ALL - only))) == "stop: ambiguous"

    @pytest.mark.parametrize("state", ["intent", "ambiguous"])
    @pytest.mark.parametrize("when", [RETRY, CLEARED])
    def test_ambiguous_submit_pays_for_nothing_that_is_paid_for(self, state: str, when: dict[str, int]) -> None:
        left = record(state, fingerprint=B, others={A: {"generation_id": "vA"}})
        assert outcome(decide(situation(left, **when, pay_again_on=ALL))) == "attach vA"


class TestATryThatWasLeftBehind:
    """It was frozen while it was cleared and a later try went on, and thaws: its other ``max_tries`` must not look like a clear."""

    @pytest.mark.parametrize("state", ["not_sent", "intent", "ambiguous", "submitted", "delivered", "failed"])
    @pytest.mark.parametrize("words", [DEFAULT, ALL])
    def test_it_submits_nothing(self, state: str, words: frozenset[Any]) -> None:
        left = record(state, try_number=3, max_tries=5)
        assert outcome(decide(situation(left, try_number=2, **CHANGED, pay_again_on=words))) == "stop: superseded"

    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    def test_what_it_asks_for_is_paid_for(self, state: str) -> None:
        assert outcome(decide(situation(record(state, try_number=3, max_tries=5), try_number=2))) == "attach vA"
        other = record(state, try_number=3, max_tries=5, fingerprint=B, others={A: {"generation_id": "vA"}})
        assert outcome(decide(situation(other, try_number=2))) == "attach vA"

    def test_a_row_that_has_moved_counts_its_own_tries(self) -> None:
        left = record("submitted", try_number=3, map_index=0)
        assert outcome(decide(situation(left, try_number=1, map_index=1, **CHANGED))) == "submit"


class TestWithoutALedger:
    def test_only_the_first_try_submits(self) -> None:
        assert outcome(decide(situation(None, protected=False, try_number=1))) == "submit"
        assert (
            outcome(decide(situation(None, protected=False, try_number=2, pay_again_on=ALL - {"unprotected_retry"}))) == "stop: unprotected"
        )

    def test_unprotected_retry_lets_a_later_one_submit(self) -> None:
        assert outcome(decide(situation(None, protected=False, try_number=2, pay_again_on=frozenset({"unprotected_retry"})))) == "submit"

    def test_with_one_a_later_try_without_a_record_submits(self) -> None:
        assert outcome(decide(situation(None, try_number=7))) == "submit"


class TestMappedClips:
    MAPPED = {"map_index": 3, "name": "clips-3", "named": False}

    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    def test_without_a_name_a_changed_request_stops_because_rows_may_have_moved(self, state: str) -> None:
        left = record(state, map_index=3, name="clips-3")
        assert outcome(decide(situation(left, **CLEARED, **CHANGED, **self.MAPPED, pay_again_on=ALL))) == "stop: moved"

    @pytest.mark.parametrize("state", ["submitted", "delivered", "failed", "not_sent"])
    def test_under_another_name_a_changed_request_stops_because_rows_have_moved(self, state: str) -> None:
        left = record(state, map_index=3, name="teapot")
        now = situation(left, **CLEARED, **CHANGED, map_index=3, name="kettle", named=True, pay_again_on=ALL)
        stopped = decide(now)
        assert outcome(stopped) == "stop: moved"
        assert isinstance(stopped, Stop)
        assert "'teapot'" in stopped.why
        assert "'kettle'" in stopped.why

    @pytest.mark.parametrize("state", ["submitted", "delivered", "failed", "not_sent"])
    def test_under_its_own_name_a_changed_request_is_submitted(self, state: str) -> None:
        left = record(state, map_index=3)
        assert outcome(decide(situation(left, **CLEARED, **CHANGED, map_index=3))) == "submit"

    @pytest.mark.parametrize("state", ["failed", "not_sent"])
    def test_without_a_name_a_row_that_was_not_made_can_be_repaired(self, state: str) -> None:
        left = record(state, map_index=3, name="clips-3")
        assert outcome(decide(situation(left, **CLEARED, **CHANGED, **self.MAPPED))) == "submit"

    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    def test_under_another_name_the_same_request_is_the_same_clip(self, state: str) -> None:
        left = record(state, map_index=3, name="teapot")
        assert outcome(decide(situation(left, **CLEARED, map_index=3))) == "attach vA"

    def test_the_record_of_another_map_index_is_evidence_of_a_clear(self) -> None:
        left = record("failed", map_index=2)
        assert outcome(decide(situation(left, **RETRY, map_index=3))) == "submit"

    def test_a_task_that_is_not_mapped_may_change_its_name(self) -> None:
        left = record("delivered", name="teapot")
        assert outcome(decide(situation(left, **CLEARED, **CHANGED))) == "submit"


class TestThereAndBackAgain:
    OTHERS = {A: {"generation_id": "vA", "state": "succeeded"}}

    @pytest.mark.parametrize("state", ["submitted", "delivered", "failed", "not_sent"])
    @pytest.mark.parametrize("words", [NOTHING, DEFAULT, ALL])
    @pytest.mark.parametrize("naming", [{}, TestMappedClips.MAPPED])
    def test_a_request_that_was_paid_for_before_is_returned_to(self, state: str, words: frozenset[Any], naming: dict[str, Any]) -> None:
        left = record(state, fingerprint=B, others=self.OTHERS, **{key: value for key, value in naming.items() if key != "named"})
        assert outcome(decide(situation(left, **CLEARED, **SAME, **naming, pay_again_on=words))) == "attach vA"

    def test_a_retry_stays_with_the_last_one(self) -> None:
        left = record("submitted", fingerprint=B, facts={"generation_id": "vB"}, others=self.OTHERS)
        assert outcome(decide(situation(left, **RETRY, **SAME))) == "attach vB"

    def test_a_third_request_is_a_new_one(self) -> None:
        left = record("submitted", fingerprint=B, facts={"generation_id": "vB"}, others=self.OTHERS)
        assert outcome(decide(situation(left, **CLEARED, fingerprint=C))) == "submit"


class TestWhatAPersonWrote:
    def test_an_id_beside_the_state_is_attached_to(self) -> None:
        left = Record.from_json({"state": "submitted", "generation_id": "v9"})
        for mark in (SAME, CHANGED):
            for when in (RETRY, CLEARED):
                assert outcome(decide(situation(left, **mark, **when, pay_again_on=ALL))) == "attach v9"

    def test_an_id_in_the_ambiguous_entry_is_attached_to(self) -> None:
        stored = record("ambiguous", detail="reset").to_json()
        left = Record.from_json({**stored, "state": "submitted", "generation_id": "v9"})
        assert outcome(decide(situation(left, **CLEARED))) == "attach v9"

    @pytest.mark.parametrize("naming", [{}, TestMappedClips.MAPPED])
    def test_not_sent_alone_submits(self, naming: dict[str, Any]) -> None:
        assert outcome(decide(situation(Record.from_json({"state": "not_sent"}), **naming))) == "submit"


class TestARunThatWasClearedWithoutAnotherMaxTries:
    """As a clear leaves it where the task has lost retries, or was running, so nothing tells it from a retry."""

    NOW: ClassVar[dict[str, Any]] = {"try_number": 2, "max_tries": 1, "clears": 1}

    def decided(self, now: dict[str, Any], **then: Any) -> Decision:
        return decide(situation(record("submitted", **{"max_tries": 1, "clears": 0, **then}), **{**self.NOW, **now}))

    def test_goes_on_with_the_same_request(self) -> None:
        assert outcome(self.decided(SAME)) == "attach vA"

    def test_stops_at_another_request(self) -> None:
        assert outcome(self.decided(CHANGED)) == "stop: changed"

    def test_stops_at_another_clip(self) -> None:
        assert outcome(self.decided({**CHANGED, "map_index": 0, "name": "pot"}, map_index=0)) == "stop: moved"
        assert outcome(self.decided({**CHANGED, "map_index": 0, "named": False}, map_index=0)) == "stop: moved"
        assert outcome(self.decided({**CHANGED, "map_index": 0}, map_index=0)) == "stop: changed"

    def test_returns_to_what_was_submitted_before(self) -> None:
        assert outcome(self.decided(CHANGED, others={B: {"generation_id": "vB"}})) == "attach vB"

    @pytest.mark.parametrize("clears", [0, -1])
    def test_is_a_retry_where_nothing_was_cleared_or_nobody_knows(self, clears: int) -> None:
        assert outcome(self.decided({**CHANGED, "clears": clears})) == "attach vA"

    def test_is_a_retry_for_a_record_that_does_not_say(self) -> None:
        assert outcome(self.decided(CHANGED, clears=-1)) == "attach vA"

    def test_stops_at_another_row_that_was_not_sent(self) -> None:
        then = record("not_sent", max_tries=1, clears=0, map_index=0)
        assert outcome(decide(situation(then, **{**self.NOW, **CHANGED, "map_index": 0, "name": "pot"}))) == "stop: moved"
        assert outcome(decide(situation(then, **{**self.NOW, **CHANGED, "map_index": 0}))) == "submit"

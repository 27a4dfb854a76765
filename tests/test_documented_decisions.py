"""What the documentation says of a retry and a clear is what is decided."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_happyhorse.ledger.decision import Attach, Decision, Situation, Stop, Submit, decide
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp
from tests.documentation import PAGES, section, words


def record(state: RecordState, **changes: Any) -> Record:
    values: dict[str, Any] = {"fingerprint": "same", "name": "clip", "map_index": -1, "try_number": 1, "max_tries": 2, "at": "then"}
    return Record(**{**values, "state": state, "facts": {"generation_id": "n92abc"}, **changes})


def situation(then: Record | None, *, map_index: int = -1, max_tries: int = 2, **changes: Any) -> Situation:
    stamp = Stamp(map_index, 2, max_tries)
    values: dict[str, Any] = {"protected": True, "fingerprint": "same", "name": "clip", "named": True, "stamp": stamp}
    return Situation(**{**values, "record": then, "pay_again_on": frozenset({"changed_request"}), **changes})


#: How the decision table begins a row -> the situations it speaks of.
SITUATIONS = {
    "nothing, or an earlier": [situation(None), situation(record(RecordState.NOT_SENT, facts={}))],
    "a submission was about to be sent": [situation(record(RecordState.INTENT)), situation(record(RecordState.AMBIGUOUS))],
    "submitted or delivered, the same": [situation(record(RecordState.SUBMITTED)), situation(record(RecordState.DELIVERED))],
    "submitted or delivered, the request": [situation(record(RecordState.DELIVERED), fingerprint="other")],
    "the same, and a mapped clip": [
        situation(record(RecordState.DELIVERED, map_index=3), fingerprint="other", map_index=3, named=False),
        situation(record(RecordState.DELIVERED, map_index=3), fingerprint="other", map_index=3, name="neighbour"),
    ],
    "the service ended it as failed": [situation(record(RecordState.FAILED))],
    "there is no record that can be relied on": [situation(None, protected=False)],
}
STOPS = {"ambiguous": "AmbiguousSubmission", "failed": "GenerationFailed"}


def in_the_words_of_the_page(decision: Decision) -> str:
    match decision:
        case Submit():
            return "submits"
        case Attach():
            return "goes on with"
        case Stop(kind=kind):
            return f"stops (`{STOPS.get(kind, 'SubmissionStopped')}`)"


@pytest.mark.parametrize("beginning", SITUATIONS)
def test_the_table_of_retries_and_clears_is_what_is_decided(beginning: str) -> None:
    text = section(PAGES["operators.md"], "## What a retry and a clear do")
    line = next(line for line in text.splitlines() if line.startswith(f"| {beginning}"))
    _, on_a_retry, after_a_clear = (cell.strip() for cell in line.strip("|").split("|"))
    if after_a_clear == "the same":
        after_a_clear = on_a_retry
    for now in SITUATIONS[beginning]:
        cleared = replace(now, stamp=replace(now.stamp, max_tries=5))
        assert on_a_retry.startswith(in_the_words_of_the_page(decide(now)))
        assert after_a_clear.startswith(in_the_words_of_the_page(decide(cleared)))
        for cell, then in ((on_a_retry, now), (after_a_clear, cleared)):
            for word in re.findall(r"; submits with `(\w+)`", cell):
                assert isinstance(decide(replace(then, pay_again_on=frozenset({word}))), Submit)  # type: ignore[arg-type]
            for word in re.findall(r"; stops without `(\w+)`", cell):
                stopped = decide(replace(then, pay_again_on=then.pay_again_on - {word}))  # type: ignore[operator]
                assert f"({words(in_the_words_of_the_page(stopped))[0]!r})".replace("'", "`") in cell


def test_a_clear_that_leaves_max_tries_stops_at_another_request() -> None:
    assert "or was running; where it has not, and the run was cleared, another request stops." in PAGES["operators.md"]
    now = situation(record(RecordState.DELIVERED, clears=0))
    cleared = replace(now, stamp=replace(now.stamp, clears=1))
    assert isinstance(decide(replace(cleared, fingerprint="other")), Stop)
    assert isinstance(decide(cleared), Attach)


@pytest.mark.parametrize("state", [RecordState.NOT_SENT, RecordState.FAILED, RecordState.DELIVERED])
def test_before_it_submits_two_more_rules_apply(state: RecordState) -> None:
    assert "Before it submits, two more rules apply." in PAGES["operators.md"]
    cleared = situation(record(state, map_index=3, fingerprint="B"), map_index=3, max_tries=5)
    assert isinstance(decide(cleared), Submit)

    assert cleared.record is not None
    submitted_before = replace(cleared.record, others={cleared.fingerprint: {"generation_id": "n92A"}})
    assert isinstance(decide(replace(cleared, record=submitted_before)), Attach)

    moved = decide(replace(cleared, name="neighbour"))
    assert in_the_words_of_the_page(moved) == "stops (`SubmissionStopped`)"
    assert isinstance(moved, Stop)
    assert "rows have moved" in moved.why


def test_a_person_can_resolve_an_ambiguous_submission_as_the_page_says() -> None:
    text = section(PAGES["operators.md"], "### Resolve an ambiguous submission")
    ((state, generation_id),) = re.findall(r"\(\.value \+ \{state: \"(\w+)\", generation_id: \"(\w+)\"\}\)", text)
    stored = record(RecordState.AMBIGUOUS, facts={}).to_json()
    found = decide(situation(Record.from_json({**stored, "state": state, "generation_id": generation_id}), max_tries=5))
    assert isinstance(found, Attach)
    assert found.facts == {"generation_id": generation_id}
    assert '`"state": "submitted"` and `"generation_id": "<its id>"`' in text
    assert isinstance(decide(situation(Record.from_json({**stored, "state": "submitted", "generation_id": "n92abc"}), max_tries=5)), Attach)
    assert '`"state": "not_sent"`' in text
    assert isinstance(decide(situation(Record.from_json({**stored, "state": "not_sent"}), max_tries=5)), Submit)

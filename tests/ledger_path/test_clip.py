"""A mapped clip's two records, under its name and under its map index: in which order they are written, and what the name allows."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from airflow_provider_happyhorse.ledger.clip_ledger import ClipLedger
from airflow_provider_happyhorse.ledger.path import LedgerConflict, PathLedger
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp
from airflow_provider_happyhorse.ledger.stores import NoLedger

Ledgers = Callable[..., PathLedger]


def clip(ledger: Ledgers, name: str, *, map_index: int, rows: Collection[str] = ()) -> ClipLedger:
    """Return the ledger of one try of a mapped clip."""
    own, named = ledger(map_index=map_index, name=None), ledger(map_index=map_index, name=name)
    stamp = Stamp(map_index=map_index, try_number=1, max_tries=1)
    return ClipLedger(
        own=own, clip=named, before=NoLedger(), stamp=stamp, name=name, unnamed=f"clips-{map_index}", is_a_row=rows.__contains__
    )


def intent(name: str, *, map_index: int) -> Record:
    return Record(RecordState.INTENT, f"v1:{name}", name, map_index, 1, 1, "2026-11-20T10:00:00+00:00")


def ended(record: Record, state: RecordState, generation_id: str) -> Record:
    return record.step(state, at="2026-11-20T10:01:00+00:00", facts={"generation_id": generation_id, "state": "failed"})


def test_of_two_map_indexes_under_one_name_the_second_notes_no_intent(ledger: Ledgers) -> None:
    """It sends nothing, so nothing under its map index may say that it was about to: that would be in doubt for ever."""
    first, second = clip(ledger, "kettle", map_index=0), clip(ledger, "kettle", map_index=1)
    assert first.read() is second.read() is None
    first.write(intent("kettle", map_index=0))
    with pytest.raises(LedgerConflict):
        second.write(intent("kettle", map_index=1))
    assert ledger(map_index=1, name=None).read() is None
    assert clip(ledger, "teapot", map_index=1).read() is None


def test_a_retry_under_a_name_that_another_clip_has_submits_nothing_in_its_place(ledger: Ledgers) -> None:
    """A failed clip may be submitted again by its retry (``failed_generation``), but not where a video of another clip is kept."""
    failed, delivered = clip(ledger, "kettle", map_index=0), clip(ledger, "teapot", map_index=1)
    for one, record, state in (
        (failed, intent("kettle", map_index=0), RecordState.FAILED),
        (delivered, intent("teapot", map_index=1), RecordState.DELIVERED),
    ):
        one.read()
        one.write(record)
        one.write(ended(record, state, f"v-{record.name}"))
    retry = clip(ledger, "teapot", map_index=0)
    record = retry.read()
    assert record is not None
    assert record.generation_id == "v-kettle"
    with pytest.raises(LedgerConflict, match="'teapot' has a record of another submission"):
        retry.write(intent("teapot", map_index=0))
    kept = ledger(map_index=1, name="teapot").read()
    assert kept is not None
    assert kept.generation_id == "v-teapot"


def test_what_a_map_index_has_paid_for_is_kept_there_whatever_clip_comes_next(ledger: Ledgers) -> None:
    """Its first clip had no name, and a second one of another name is let through: nothing else knows the first one's video."""
    own = ledger(map_index=0, name=None)
    own.read()
    submitted = intent("clips-0", map_index=0).step(RecordState.SUBMITTED, at="2026-11-20T10:01:00+00:00", facts={"generation_id": "v-1"})
    own.write(submitted)
    others = {submitted.fingerprint: submitted.facts}
    at = "2026-11-20T10:02:00+00:00"
    own.write(Record(RecordState.NOT_SENT, "", "kettle", -1, 0, -1, at, others=others))  # as a person's step is read
    renamed = clip(ledger, "teapot", map_index=0)
    assert renamed.read() is None
    renamed.write(intent("teapot", map_index=0))
    here, there = ledger(map_index=0, name=None).read(), ledger(map_index=0, name="teapot").read()
    assert here is not None
    assert here.others["v1:clips-0"]["generation_id"] == "v-1"
    assert there is not None
    assert there.others == {}


def test_a_record_that_is_another_rows_by_now_is_no_retrys(ledger: Ledgers) -> None:
    """Airflow may hide the clear by which rows have moved: ``max_tries`` are as they were."""
    first = clip(ledger, "kettle", map_index=0)
    first.read()
    first.write(intent("kettle", map_index=0))
    first.write(ended(intent("kettle", map_index=0), RecordState.SUBMITTED, "v-kettle"))
    on_top = clip(ledger, "teapot", map_index=0)
    assert (retry := on_top.read()) is not None
    assert retry.name == "kettle"
    rows = ("teapot", "kettle")
    on_top, moved = clip(ledger, "teapot", map_index=0, rows=rows), clip(ledger, "kettle", map_index=1, rows=rows)
    assert on_top.read() is None
    on_top.write(intent("teapot", map_index=0))
    assert (kept := moved.read()) is not None
    assert kept.generation_id == "v-kettle"
    assert (own := ledger(map_index=0, name=None).read()) is not None
    assert own.others["v1:kettle"]["generation_id"] == "v-kettle"


def test_an_intent_that_lost_against_another_try_is_taken_back_under_its_name(ledger: Ledgers) -> None:
    """Two tries alive, and the row was renamed in between: nothing is sent, so nothing under the new name may be in doubt."""
    first, second = clip(ledger, "kettle", map_index=0), clip(ledger, "teapot", map_index=0)
    assert first.read() is second.read() is None
    first.write(intent("kettle", map_index=0))
    with pytest.raises(LedgerConflict):
        second.write(intent("teapot", map_index=0))
    assert (kept := ledger(map_index=0, name="teapot").read()) is not None
    assert kept.state is RecordState.NOT_SENT

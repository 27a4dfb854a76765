"""One clip's record on a path: steps that are never changed, and of two tries alive only one that can write."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse.ledger.objects import ObjectStore, ObjectsUnavailable, open_objects
from airflow_provider_happyhorse.ledger.path import LedgerConflict, PathLedger
from airflow_provider_happyhorse.ledger.record import Record, RecordState, UnreadableRecord
from airflow_provider_happyhorse.ledger.stores import Ledger
from tests.ledger_path.s3 import S3Server
from tests.ledger_path.test_objects import LOST, RACERS, WON, in_processes, in_threads

Ledgers = Callable[..., PathLedger]
FOLDER = "ledger/campaign/scheduled__2026-11-20T00%3A00%3A00%2B00%3A00/clips/"
INTENT = Record(RecordState.INTENT, "v1:a", "kettle", -1, 1, 2, "2026-11-20T10:00:00+00:00")
SUBMITTED = INTENT.step(
    RecordState.SUBMITTED,
    at="2026-11-20T10:00:02+00:00",
    facts={"generation_id": "v-1", "state": "in_progress", "submitted_at": "2026-11-20T10:00:02+00:00"},
)


def add(objects: ObjectStore, key: str, value: Any) -> None:
    objects.create(f"{FOLDER}{key}", value if isinstance(value, bytes) else json.dumps(value).encode())


def test_it_is_a_ledger_that_protects(ledger: Ledgers) -> None:
    kept: Ledger = ledger()
    assert kept.protects
    assert kept.read() is None


def test_the_next_try_reads_the_last_step(ledger: Ledgers, objects: ObjectStore) -> None:
    first = ledger()
    assert first.read() is None
    first.write(INTENT)
    assert ledger().read() == INTENT
    first.write(SUBMITTED)
    assert ledger().read() == SUBMITTED
    assert objects.list("ledger/") == [f"{FOLDER}kettle~/000001.json", f"{FOLDER}kettle~/000002.json"]


def test_every_step_stays_as_it_was_written(ledger: Ledgers, objects: ObjectStore) -> None:
    writer = ledger()
    writer.read()
    for state in (RecordState.INTENT, RecordState.NOT_SENT, RecordState.INTENT, RecordState.AMBIGUOUS):
        writer.write(INTENT.step(state, at="2026-11-20T10:00:00+00:00"))
    stored = [json.loads(objects.read(key) or b"") for key in objects.list("ledger/")]
    assert [step["state"] for step in stored] == ["intent", "not_sent", "intent", "ambiguous"]
    assert len({step["writer"] for step in stored}) == 1
    assert stored[0]["clip"] == {
        "dag_id": "campaign",
        "run_id": "scheduled__2026-11-20T00:00:00+00:00",
        "task_id": "clips",
        "name": "kettle",
        "take": "",
    }


def test_a_record_is_not_written_by_who_has_not_read(ledger: Ledgers, objects: ObjectStore) -> None:
    with pytest.raises(RuntimeError, match="call read"):
        ledger().write(INTENT)
    add(objects, "kettle~/000001.json", b"half")
    unread = ledger()
    with pytest.raises(UnreadableRecord):
        unread.read()
    with pytest.raises(RuntimeError, match="call read"):
        unread.write(INTENT)


class TestTwoTriesAlive:
    def test_only_one_of_them_can_write_an_intent(self, ledger: Ledgers) -> None:
        one, other = ledger(), ledger()
        assert one.read() is other.read() is None
        other.write(INTENT)
        for _ in range(2):  # also when it tries again
            with pytest.raises(LedgerConflict, match=r"another try has written .*000001\.json"):
                one.write(INTENT)
        assert ledger().read() == INTENT

    def test_the_one_that_read_before_the_other_wrote_loses_at_any_step(self, ledger: Ledgers) -> None:
        old = ledger()
        old.read()
        old.write(INTENT)
        new = ledger()
        new.read()
        new.write(SUBMITTED)
        with pytest.raises(LedgerConflict):
            old.write(INTENT.step(RecordState.NOT_SENT, at="2026-11-20T10:01:00+00:00"))
        assert ledger().read() == SUBMITTED

    @pytest.mark.parametrize("repetition", range(3))
    def test_of_many_exactly_one_goes_on(self, ledger: Ledgers, ledger_path: str, repetition: int) -> None:
        ledgers = [ledger(run_id=f"run-{repetition}") for _ in range(RACERS)]
        for each in ledgers:
            each.read()

        def run(number: int) -> int:
            try:
                ledgers[number].write(INTENT)
            except LedgerConflict:
                return LOST
            return WON

        endings = in_processes(run) if ledger_path.startswith("file:") else in_threads(run)
        assert sorted(endings) == [WON] + [LOST] * (RACERS - 1)


class TestAnswersThatAreLost:
    def test_a_record_that_was_stored_all_the_same_is_no_conflict(self, s3: S3Server, s3_uri: str) -> None:
        """The library sends the creation again, and is told that the object exists: it is its own."""
        writer = path_ledger(open_objects(s3_uri))
        writer.read()
        writer.write(INTENT)
        s3.faults.at, s3.faults.lost_answers = "000002.json", 1
        writer.write(SUBMITTED)
        assert s3.faults.lost_answers == 0
        assert len([path for path, _ in s3.creations if path.endswith("000002.json")]) == 2
        writer.write(SUBMITTED.step(RecordState.DELIVERED, at="2026-11-20T10:05:00+00:00"))
        assert [key.rpartition("/")[2] for key in open_objects(s3_uri).list("ledger/")] == ["000001.json", "000002.json", "000003.json"]

    def test_a_claim_that_was_stored_all_the_same_is_ours(self, s3: S3Server, s3_uri: str) -> None:
        s3.faults.at, s3.faults.lost_answers = "v-1.json", 1
        assert path_ledger(open_objects(s3_uri)).claim("happy-horse.ai", "v-1", "campaign/run/clips/kettle~")

    def test_a_later_record_of_the_same_writer_follows_one_it_did_not_learn_of(self, tmp_path: Any) -> None:
        """Then the writer has raised, and its caller writes what it knows by now."""
        objects = Deaf(open_objects(f"file://{tmp_path}"))
        writer = path_ledger(objects)
        writer.read()
        objects.deaf = True
        with pytest.raises(ObjectsUnavailable):
            writer.write(INTENT)
        objects.deaf = False
        writer.write(SUBMITTED)
        assert path_ledger(objects).read() == SUBMITTED
        assert len(objects.list("ledger/")) == 2

    def test_another_writers_record_is_a_conflict_even_with_the_same_content(self, ledger: Ledgers) -> None:
        one, other = ledger(), ledger()
        one.read()
        other.read()
        one.write(INTENT)
        with pytest.raises(LedgerConflict):
            other.write(INTENT)


class TestWhatCannotBeUnderstood:
    def test_a_step_that_is_missing(self, ledger: Ledgers, objects: ObjectStore) -> None:
        add(objects, "kettle~/000001.json", INTENT.to_json())
        add(objects, "kettle~/000003.json", SUBMITTED.to_json())
        with pytest.raises(UnreadableRecord, match=r"kettle~/000002\.json is missing"):
            ledger().read()

    def test_a_first_step_that_is_missing(self, ledger: Ledgers, objects: ObjectStore) -> None:
        add(objects, "kettle~/000002.json", SUBMITTED.to_json())
        with pytest.raises(UnreadableRecord, match=r"000001\.json is missing"):
            ledger().read()

    @pytest.mark.parametrize("name", ["2.json", "000002.json.bak", "0000002.json", "notes.txt", "old/000001.json"])
    def test_what_is_no_step(self, ledger: Ledgers, objects: ObjectStore, name: str) -> None:
        add(objects, "kettle~/000001.json", INTENT.to_json())
        add(objects, f"kettle~/{name}", SUBMITTED.to_json())
        with pytest.raises(UnreadableRecord, match="is no step of a record"):
            ledger().read()

    @pytest.mark.parametrize(
        "stored", [b"", b"{", b"[]", b"\xff\xfe\xfd", {"state": "lost"}, {"state": "submitted"}, {**INTENT.to_json(), "format": 2}]
    )
    def test_an_object_that_is_no_record(self, ledger: Ledgers, objects: ObjectStore, stored: Any) -> None:
        add(objects, "kettle~/000001.json", stored)
        with pytest.raises(UnreadableRecord, match=r"kettle~/000001\.json: "):
            ledger().read()

    def test_another_clips_record(self, ledger: Ledgers, objects: ObjectStore) -> None:
        """As on a file system that takes upper and lower case for the same."""
        writer = ledger()
        writer.read()
        writer.write(SUBMITTED)
        add(objects, "Kettle~/000001.json", objects.read(f"{FOLDER}kettle~/000001.json"))
        with pytest.raises(UnreadableRecord, match="record of another clip"):
            ledger(name="Kettle").read()

    def test_a_storage_that_does_not_answer_is_not_none(self, tmp_path: Any) -> None:
        with pytest.raises(ObjectsUnavailable):
            path_ledger(open_objects(f"file://{tmp_path}/not-mounted")).read()


class TestWhichClip:
    def test_rows_that_move_keep_the_record_of_their_name(self, ledger: Ledgers) -> None:
        before = ledger(map_index=0)
        before.read()
        before.write(SUBMITTED)
        assert ledger(map_index=1).read() == SUBMITTED
        assert ledger(map_index=0, name="teapot").read() is None

    def test_without_a_name_the_map_index_is_the_clip_and_a_take_changes_nothing(self, ledger: Ledgers) -> None:
        before = ledger(map_index=3, name=None, take="1")
        before.read()
        before.write(SUBMITTED)
        assert ledger(map_index=3, name=None, take="2").read() == SUBMITTED
        assert ledger(map_index=4, name=None).read() is None

    def test_each_clip_has_a_folder_of_its_own(self, ledger: Ledgers, objects: ObjectStore) -> None:
        long = "x" * 300
        clips: list[dict[str, Any]] = [
            {"name": None},
            {"name": None, "map_index": 3},
            {"name": "3"},
            {"name": "3", "take": "2"},
            {"name": "3~2"},
            {"name": "3~", "take": "2"},
            {"name": "../kettle"},
            {"name": ""},
            {"name": "", "take": "~"},
            {"name": long},
            {"name": f"{long}!", "take": long},
            {"name": "Wasserkocher für 2 ☕"},
            {"run_id": "manual__2026-11-20T00:00:00+00:00"},
            {"run_id": "manual/2026"},
        ]
        for clip in clips:
            writer = ledger(**clip)
            assert writer.read() is None, clip
            writer.write(INTENT)
        keys = objects.list("ledger/")
        assert len(keys) == len(clips)
        assert all(len(part) <= 255 and not part.startswith(".") for key in keys for part in key.split("/"))
        assert {key.split("/")[1] for key in keys} == {"campaign"}
        assert len({ledger(**clip).clip for clip in clips}) == len(clips)


class TestARecordThatAPersonOrAnOlderVersionWrote:
    OLDER = {
        "state": "submitted",
        "fingerprint": "v1:a",
        "name": "kettle",
        "try_number": 1,
        "max_tries": 2,
        "at": "2026-10-01T10:00:00+00:00",
        "facts": {"generation_id": "v-0"},
    }

    def test_of_an_older_version_with_fewer_keys_it_is_read(self, ledger: Ledgers, objects: ObjectStore) -> None:
        add(objects, "kettle~/000001.json", self.OLDER)
        record = ledger().read()
        assert record is not None
        assert (record.state, record.generation_id, record.fingerprint, record.max_tries) == (RecordState.SUBMITTED, "v-0", "v1:a", 2)
        assert (record.map_index, record.detail, record.others) == (-1, "", {})

    def test_a_person_resolves_by_adding_a_step(self, ledger: Ledgers, objects: ObjectStore) -> None:
        writer = ledger()
        assert "add the next number" in writer.where()
        writer.read()
        writer.write(INTENT)
        assert f"{objects.uri}/{FOLDER}kettle~/" in writer.where()
        assert "add 000002.json" in writer.where()
        add(objects, "kettle~/000002.json", {"state": "submitted", "generation_id": "v-9"})
        reader = ledger()
        record = reader.read()
        assert record is not None
        assert (record.state, record.generation_id) == (RecordState.SUBMITTED, "v-9")
        reader.write(record.step(RecordState.DELIVERED, at="2026-11-20T11:00:00+00:00"))
        assert "add 000004.json" in reader.where()

    def test_is_told_no_number_that_a_write_without_an_answer_may_have_taken(self, objects: ObjectStore) -> None:
        deaf = Deaf(objects)
        writer = path_ledger(deaf)
        writer.read()
        deaf.deaf = True
        with pytest.raises(ObjectsUnavailable):
            writer.write(INTENT)
        assert "add the next number" in writer.where()
        deaf.deaf = False
        writer.write(INTENT)
        assert "add 000002.json" in writer.where()

    def test_what_was_paid_for_before_is_not_forgotten_by_it(self, ledger: Ledgers, objects: ObjectStore) -> None:
        add(objects, "kettle~/000001.json", {**SUBMITTED.to_json(), "others": {"v1:z": {"generation_id": "v-z"}}})
        add(objects, "kettle~/000002.json", {"state": "not_sent"})
        record = ledger().read()
        assert record is not None
        assert {mark: facts["generation_id"] for mark, facts in record.others.items()} == {"v1:a": "v-1", "v1:z": "v-z"}

    def test_there_is_a_way_out_of_every_unreadable_step(self, ledger: Ledgers, objects: ObjectStore) -> None:
        add(objects, "kettle~/000001.json", b"half of")
        with pytest.raises(UnreadableRecord):
            ledger().read()
        add(objects, "kettle~/000002.json", {"state": "not_sent"})
        with pytest.raises(UnreadableRecord, match=r'add "others": \{\} to a new one'):
            ledger().read()
        add(objects, "kettle~/000003.json", {"state": "not_sent", "others": {}})
        record = ledger().read()
        assert record is not None
        assert record.state is RecordState.NOT_SENT
        add(objects, "kettle~/000005.json", {"state": "not_sent", "others": {}})
        stopped = ledger()
        with pytest.raises(UnreadableRecord, match=r"000004\.json is missing"):
            stopped.read()
        add(objects, "kettle~/000004.json", {"state": "not_sent"})
        assert ledger().read() is not None


class TestClaims:
    def test_a_generation_is_one_clips_for_good(self, ledger: Ledgers, objects: ObjectStore) -> None:
        one, other = ledger(name="kettle"), ledger(name="teapot")
        assert one.claim("happy-horse.ai", "v/1", one.clip)
        assert not other.claim("happy-horse.ai", "v/1", other.clip)
        assert ledger(name="kettle").claim("happy-horse.ai", "v/1", one.clip), "its own later try must not lose it"
        assert other.claim("happyhorse.app", "v/1", other.clip)
        assert other.claim("happy-horse.ai", "v-2", other.clip)
        assert objects.list("claims/") == [
            "claims/happy-horse.ai/v%2F1.json",
            "claims/happy-horse.ai/v-2.json",
            "claims/happyhorse.app/v%2F1.json",
        ]

    @pytest.mark.parametrize("repetition", range(2))
    def test_of_many_clips_exactly_one_gets_it(self, ledger: Ledgers, ledger_path: str, repetition: int) -> None:
        ledgers = [ledger(name=f"clip-{number}") for number in range(RACERS)]

        def run(number: int) -> int:
            return WON if ledgers[number].claim("happy-horse.ai", f"v-{repetition}", ledgers[number].clip) else LOST

        endings = in_processes(run) if ledger_path.startswith("file:") else in_threads(run)
        assert sorted(endings) == [WON] + [LOST] * (RACERS - 1)


def path_ledger(objects: ObjectStore) -> PathLedger:
    return PathLedger(objects=objects, dag_id="campaign", run_id="r", task_id="clips", map_index=-1, name="kettle", take="")


class Deaf:
    """Objects that are stored while the answer is lost."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.deaf = False
        self.uri = objects.uri
        self.read, self.list = objects.read, objects.list

    def create(self, key: str, data: bytes) -> None:
        self._objects.create(key, data)
        if self.deaf:
            raise ObjectsUnavailable(f"{key}: the answer was lost")

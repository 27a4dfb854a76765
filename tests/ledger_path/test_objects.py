"""Objects that are created exclusively, whole, and never change; the same on local files and on S3."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.ledger.objects import (
    LocalObjects,
    ObjectExists,
    ObjectStore,
    ObjectsUnavailable,
    UnsuitableLedgerPath,
    component,
    open_objects,
)
from airflow_provider_happyhorse.ledger.s3_objects import S3Objects
from tests.ledger_path.s3 import S3Server

WON, LOST, BROKEN = 0, 11, 1
RACERS = 20


def race(objects: ObjectStore, key: str) -> list[int]:
    """Let many writers create one object at the same moment, each with other bytes: processes on local files, threads on S3."""

    def run(number: int) -> int:
        try:
            objects.create(key, b"%d" % number * 2000)
        except ObjectExists:
            return LOST
        return WON

    return in_processes(run) if isinstance(objects, LocalObjects) else in_threads(run)


def in_processes(run: Callable[[int], int]) -> list[int]:
    gate, key = os.pipe()

    def wait_and_run(number: int) -> int:
        os.close(key)
        os.read(gate, 1)  # returns when nobody has the key any more
        return run(number)

    children = [forked(partial(wait_and_run, number)) for number in range(RACERS)]
    os.close(key)
    endings = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate)
    return endings


def in_threads(run: Callable[[int], int]) -> list[int]:
    endings = [BROKEN] * RACERS
    gate = threading.Barrier(RACERS)

    def note(number: int) -> None:
        gate.wait()
        endings[number] = run(number)

    threads = [threading.Thread(target=note, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return endings


def forked(run: Callable[[], int]) -> int:
    """Fork a process (a fresh interpreter would spend seconds on importing Airflow) and return its id."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(run())
    except BaseException:  # noqa: BLE001  nothing may come back into the test that was forked
        os._exit(BROKEN)


def s3_objects(uri: str, sleep: Callable[[float], object]) -> S3Objects:
    conn_id, _, place = uri.removeprefix("s3://").partition("@")
    bucket, _, folder = place.partition("/")
    return S3Objects(conn_id=conn_id, bucket=bucket, folder=folder, sleep=sleep)


def test_an_object_is_read_as_it_was_written(objects: ObjectStore) -> None:
    assert objects.read("claims/a/x.json") is None
    objects.create("claims/a/x.json", b"{}\n")
    assert objects.read("claims/a/x.json") == b"{}\n"


def test_an_object_that_exists_is_not_touched(objects: ObjectStore) -> None:
    objects.create("x.json", b"first")
    with pytest.raises(ObjectExists, match=re.escape(objects.uri)):
        objects.create("x.json", b"second")
    assert objects.read("x.json") == b"first"


def test_a_list_is_sorted_deep_and_of_its_folder_alone(objects: ObjectStore) -> None:
    for key in ("spend/2026/11/b.json", "spend/2026/10/c.json", "spend/2026/10/a.json", "spending/x.json", "x.json"):
        objects.create(key, b"{}")
    assert objects.list("spend/") == ["spend/2026/10/a.json", "spend/2026/10/c.json", "spend/2026/11/b.json"]
    assert objects.list("spend/2026/10/") == ["spend/2026/10/a.json", "spend/2026/10/c.json"]
    assert objects.list("nothing/here/") == []


def test_what_another_process_has_written_is_seen_at_once(ledger_path: str) -> None:
    """Both stores are asked before the write, so that whatever they remember is out of date."""
    writer, reader = open_objects(ledger_path), open_objects(ledger_path)
    for store in (writer, reader):
        assert store.list("ledger/a/") == []
        assert store.read("ledger/a/1.json") is None
    for number in range(1, 4):
        writer.create(f"ledger/a/{number}.json", b"%d" % number)
        assert reader.read(f"ledger/a/{number}.json") == b"%d" % number
        assert reader.list("ledger/a/") == [f"ledger/a/{step}.json" for step in range(1, number + 1)]


def test_airflows_own_object_storage_path_opens_what_was_written(ledger_path: str) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    key = f"ledger/{component('scheduled__2026-11-20T00:00:00+00:00')}/000001.json"
    open_objects(ledger_path).create(key, b"{}")
    assert ObjectStoragePath(f"{ledger_path}/{key}").read_bytes() == b"{}"


@pytest.mark.parametrize("repetition", range(4))
def test_of_many_writers_of_one_object_exactly_one_wins(objects: ObjectStore, repetition: int) -> None:
    endings = race(objects, "claims/x.json")
    assert sorted(endings) == [WON] + [LOST] * (RACERS - 1)
    assert objects.read("claims/x.json") == b"%d" % endings.index(WON) * 2000
    assert objects.list("claims/") == ["claims/x.json"]


class TestLocalFiles:
    @pytest.mark.parametrize("name", ["link", "fsync"])
    def test_a_kill_while_it_is_written_leaves_no_half_object_and_the_name_free(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        objects = LocalObjects(folder=str(tmp_path))
        objects.create("ledger/other.json", b"{}")  # with its folders, so that the next fsync is the file's
        monkeypatch.setattr(os, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))

        def write() -> int:
            LocalObjects(folder=str(tmp_path), link=os.link).create("ledger/x.json", b"whole" * 1000)
            return WON

        assert os.waitstatus_to_exitcode(os.waitpid(forked(write), 0)[1]) == -signal.SIGKILL
        monkeypatch.undo()
        assert any((tmp_path / "ledger").glob(".*")), "it was not killed in the middle of writing"
        assert objects.read("ledger/x.json") is None
        assert objects.list("ledger/") == ["ledger/other.json"]
        objects.create("ledger/x.json", b"whole")
        assert sorted(path.name for path in (tmp_path / "ledger").iterdir()) == ["other.json", "x.json"]

    def test_a_kill_right_after_it_appeared_leaves_it_whole(self, tmp_path: Path) -> None:
        def link(source: str, target: str) -> None:
            os.link(source, target)
            os.kill(os.getpid(), signal.SIGKILL)

        def write() -> int:
            LocalObjects(folder=str(tmp_path), link=link).create("x.json", b"whole" * 1000)
            return WON

        assert os.waitstatus_to_exitcode(os.waitpid(forked(write), 0)[1]) == -signal.SIGKILL
        objects = LocalObjects(folder=str(tmp_path))
        assert objects.read("x.json") == b"whole" * 1000
        assert objects.list("") == ["x.json"]
        with pytest.raises(ObjectExists):
            objects.create("x.json", b"another")

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the path of an open file")
    def test_every_new_name_is_synced_after_what_it_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[str] = []
        fsync = os.fsync

        def note(number: int) -> None:
            synced.append(os.path.relpath(Path(f"/proc/self/fd/{number}").readlink(), tmp_path))
            fsync(number)

        monkeypatch.setattr(os, "fsync", note)
        LocalObjects(folder=str(tmp_path)).create("ledger/campaign/x.json", b"{}")
        new_folders, file, its_folder = synced[:2], synced[2], synced[3]
        assert new_folders == [".", "ledger"]
        assert file.startswith("ledger/campaign/.happyhorse-")
        assert its_folder == "ledger/campaign"

    def test_a_folder_that_is_missing_is_no_empty_ledger(self, tmp_path: Path) -> None:
        objects = open_objects(f"file://{tmp_path}/share/happyhorse")
        for ask in (lambda: objects.read("x.json"), lambda: objects.list("ledger/"), lambda: objects.create("x.json", b"{}")):
            with pytest.raises(ObjectsUnavailable, match="not taken for an empty ledger"):
                ask()
        assert not (tmp_path / "share").exists()

    def test_a_file_system_without_hard_links_is_refused(self, tmp_path: Path) -> None:
        def link(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        with pytest.raises(UnsuitableLedgerPath, match="no exclusive create"):
            LocalObjects(folder=str(tmp_path), link=link).create("x.json", b"{}")
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_is_full_is_unavailable_and_leaves_nothing(self, tmp_path: Path) -> None:
        def link(source: str, target: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(ObjectsUnavailable, match=r"could not be written: No space left on device \(errno 28\)"):
            LocalObjects(folder=str(tmp_path), link=link).create("x.json", b"{}")
        assert list(tmp_path.iterdir()) == []

    def test_what_cannot_be_read_is_not_taken_for_none(self, tmp_path: Path) -> None:
        objects = LocalObjects(folder=str(tmp_path))
        objects.create("a/x.json", b"{}")
        with pytest.raises(ObjectsUnavailable, match="Is a directory"):
            objects.read("a")
        with pytest.raises(ObjectsUnavailable, match="Not a directory"):
            objects.read("a/x.json/y.json")
        with pytest.raises(ObjectsUnavailable, match="Not a directory"):
            objects.list("a/x.json/")


class TestS3:
    def test_every_creation_carries_the_condition(self, s3: S3Server, s3_uri: str) -> None:
        objects = open_objects(s3_uri)
        objects.create("x.json", b"{}")
        with pytest.raises(ObjectExists):
            objects.create("x.json", b"{}")
        assert [path.rpartition("/")[2] for path, _ in s3.creations] == ["exclusive-create.txt"] * 2 + ["x.json"] * 2
        assert {condition for _, condition in s3.creations} == {"*"}

    def test_a_storage_that_ignores_the_condition_is_refused_before_anything_is_kept_there(self, s3: S3Server, s3_uri: str) -> None:
        s3.faults.ignore_conditions = True
        objects = open_objects(s3_uri)
        for _ in range(2):
            with pytest.raises(UnsuitableLedgerPath, match="ignores If-None-Match"):
                objects.create("x.json", b"{}")
        assert objects.list("") == ["exclusive-create.txt"]

    def test_a_conflict_decides_nothing_and_is_asked_again(self, s3: S3Server, s3_uri: str) -> None:
        s3.faults.at, s3.faults.conflicts = "x.json", 2
        slept: list[float] = []
        objects = s3_objects(s3_uri, slept.append)
        objects.create("x.json", b"{}")
        assert (slept, objects.read("x.json")) == ([0.1, 0.4], b"{}")

    def test_conflicts_without_end_are_reported(self, s3: S3Server, s3_uri: str) -> None:
        s3.faults.at, s3.faults.conflicts = "x.json", 100
        slept: list[float] = []
        with pytest.raises(ObjectsUnavailable, match="ConditionalRequestConflict"):
            s3_objects(s3_uri, slept.append).create("x.json", b"{}")
        assert slept == [0.1, 0.4, 1.0]

    def test_more_objects_than_one_page_holds_are_listed(self, s3: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
        objects = open_objects(s3_uri)
        for number in range(5):
            objects.create(f"a/{number}.json", b"{}")
        s3.lists = 0
        assert objects.list("a/") == [f"a/{number}.json" for number in range(5)]
        assert s3.lists == 3

    def test_a_bucket_that_is_missing_is_no_empty_ledger(self, s3: S3Server) -> None:
        objects = open_objects("s3://ledger_s3@nobodys-bucket/happyhorse")
        for ask in (lambda: objects.read("x.json"), lambda: objects.list("ledger/"), lambda: objects.create("x.json", b"{}")):
            with pytest.raises(ObjectsUnavailable, match="NoSuchBucket"):
                ask()

    def test_a_storage_that_does_not_answer_is_no_empty_ledger(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            extra = {
                "endpoint_url": f"http://127.0.0.1:{taken.getsockname()[1]}",
                "region_name": "us-east-1",
                "config_kwargs": {"retries": {"max_attempts": 0}},
            }
            connection = {"conn_type": "aws", "login": "AKIATESTING", "password": "not-a-secret", "extra": extra}
            monkeypatch.setenv("AIRFLOW_CONN_LEDGER_DOWN", json.dumps(connection))
            objects = open_objects("s3://ledger_down@campaigns/happyhorse")
            for ask in (lambda: objects.read("x.json"), lambda: objects.list("ledger/"), lambda: objects.create("x.json", b"{}")):
                with pytest.raises(ObjectsUnavailable, match=r"s3://ledger_down@campaigns/happyhorse/.*Connect") as unavailable:
                    ask()
                assert "not-a-secret" not in str(unavailable.value)

    def test_a_worker_without_the_library_is_told_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        with pytest.raises(UnsuitableLedgerPath, match=r"needs apache-airflow-providers-amazon\[s3fs\] in every worker"):
            open_objects("s3://ledger_nowhere@campaigns/happyhorse").read("x.json")

    def test_the_whole_bucket_and_the_environments_credentials_may_be_given(self) -> None:
        assert open_objects("s3://campaigns").uri == open_objects("S3://campaigns/").uri == "s3://campaigns"


class TestRefusedPaths:
    @pytest.mark.parametrize("path", ["gs://bucket/x", "abfs://c@a/x", "https://host/x", "memory://x", "s3a://bucket/x"])
    def test_a_scheme_without_a_proven_exclusive_create(self, path: str) -> None:
        scheme = path.partition("://")[0]
        with pytest.raises(UnsuitableLedgerPath, match=rf"{scheme}:// has no exclusive create that is proven; use file:// or s3://"):
            open_objects(path)

    @pytest.mark.parametrize(
        "path", ["", "  ", "relative/x", "file://host/x", "/", "file:///", "/a/../b", "/a\nb", "s3://", "s3:///x", "s3://b/x?versionId=1"]
    )
    def test_what_is_no_absolute_plain_path(self, path: str) -> None:
        with pytest.raises(UnsuitableLedgerPath, match="`ledger_path`"):
            open_objects(path)

    def test_a_secret_in_the_path_which_is_not_repeated(self) -> None:
        with pytest.raises(UnsuitableLedgerPath) as refused:
            open_objects("s3://AKIA:wJalrXUtn@bucket/x?y")
        assert "wJalrXUtn" not in str(refused.value)
        with pytest.raises(UnsuitableLedgerPath, match="belong into that connection"):
            open_objects("s3://AKIA:wJalrXUtn@bucket/x")


@pytest.mark.parametrize(
    "written", ["/data/ledger", "/data//./ledger/", "file:///data/ledger", "FILE:///data/ledger/", "file://localhost/data/ledger"]
)
def test_a_local_path_may_be_written_in_several_ways(written: str) -> None:
    assert open_objects(written).uri == "file:///data/ledger"


class TestComponents:
    @pytest.mark.parametrize(
        ("text", "encoded"),
        [
            ("kettle_16x9", "kettle_16x9"),
            ("scheduled__2026-11-20T00:00:00+00:00", "scheduled__2026-11-20T00%3A00%3A00%2B00%3A00"),
            ("a/b", "a%2Fb"),
            ("a~b", "a%7Eb"),
            ("100%", "100%25"),
            ("..", "%2E."),
            (".hidden", "%2Ehidden"),
            ("Küche", "K%C3%BCche"),
        ],
    )
    def test_they_can_be_read(self, text: str, encoded: str) -> None:
        assert component(text) == encoded

    def test_a_long_one_is_cut_and_still_tells_itself_from_its_neighbour(self) -> None:
        assert component("x" * 160) == "x" * 160
        one, other = component("ü" * 200 + "1"), component("ü" * 200 + "2")
        assert one != other
        assert len(one) <= 160
        assert one.startswith("%C3%BC")

    @given(st.text(), st.text())
    def test_two_texts_never_become_one(self, one: str, other: str) -> None:
        assert (component(one, longest=64) == component(other, longest=64)) == (one == other)

    @given(st.text())
    def test_each_is_a_name_on_every_storage(self, text: str) -> None:
        encoded = component(text)
        assert re.fullmatch(r"[A-Za-z0-9_%-][A-Za-z0-9_.%-]{0,159}", encoded)

"""Publishing to S3, on moto's server behind a real socket."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.storage import s3 as module
from airflow_provider_happyhorse.storage.destinations import check_free, check_writable, locate
from airflow_provider_happyhorse.storage.s3 import S3Store
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable
from tests.cdn import Cdn, whole
from tests.ledger_path.s3 import BUCKET
from tests.media_samples import box, picture
from tests.s3_bucket import CONNECTION, BodyFaults, Bucket, connected
from tests.test_publishing import FILE, OTHER, VIDEO, run
from tests.test_storage import RAISED, child


@pytest.fixture(scope="module")
def running_bucket() -> Iterator[Bucket]:
    with Bucket() as bucket, connected(bucket):
        yield bucket


@pytest.fixture
def bucket(running_bucket: Bucket) -> Bucket:
    """Give the bucket without objects or faults, to a process that has not yet seen it create exclusively."""
    running_bucket.reset()
    module.proven_exclusive.clear()
    return running_bucket


ROOT = f"s3://{CONNECTION}@{BUCKET}"


def put(path: str, data: bytes, *, overwrite: bool = False) -> None:
    with S3Store(conn_id=CONNECTION, bucket=BUCKET).upload(path) as upload:
        upload.write(data)
        upload.commit(path, overwrite=overwrite)


def creations(bucket: Bucket) -> list[str]:
    return [path for path, _ in bucket.creations if ".happyhorse-probe-" not in path]


class TestDestinations:
    @pytest.mark.parametrize(
        ("written", "path", "uri"),
        [
            ("s3://aws@clips/a/b/", "/a/b", "s3://aws@clips/a/b/"),
            ("s3://clips/a/x.mp4", "/a/x.mp4", "s3://clips/a/x.mp4"),
            ("S3://aws@clips//a/./x#1?c%20.mp4", "/a/x#1?c%20.mp4", "s3://aws@clips/a/x#1?c%20.mp4"),
            ("s3://aws@clips/", "/", "s3://aws@clips/"),
        ],
    )
    def test_the_connection_stands_before_the_bucket(self, written: str, path: str, uri: str) -> None:
        place = locate(written)
        assert (place.path, place.uri) == (path, uri)

    @pytest.mark.parametrize("written", ["s3:///x.mp4", "s3://aws@/x.mp4", "s3://key:secret@clips/x.mp4", "s3://clips", "s3://c/../x"])
    def test_one_that_means_nothing_certain_or_holds_a_secret_is_refused(self, written: str) -> None:
        with pytest.raises(PublishRefused) as caught:
            locate(written)
        assert "secret@" not in str(caught.value)


class TestWhatIsPublished:
    def test_the_object_and_its_sidecar_have_names_and_types(self, bucket: Bucket) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            result = run([cdn.url("/v?Signature=geheim")], f"{ROOT}/clips/")
        assert bucket.names() == [f"clips/{FILE}.json", f"clips/{FILE}.mp4"]
        assert bucket.content(f"clips/{FILE}.mp4") == VIDEO
        assert (result["uri"], result["sidecar_uri"]) == (f"{ROOT}/clips/{FILE}.mp4", f"{ROOT}/clips/{FILE}.json")
        assert json.loads(bucket.content(f"clips/{FILE}.json"))["sha256"] == result["sha256"] == hashlib.sha256(VIDEO).hexdigest()
        types = [bucket.client().head_object(Bucket=BUCKET, Key=f"clips/{FILE}{end}")["ContentType"] for end in (".mp4", ".json")]
        assert types == ["video/mp4", "application/json"]
        assert [path.rpartition(".")[2] for path in creations(bucket)] == ["mp4", "json"], "the sidecar is last"

    @pytest.mark.parametrize("name", ["a%3Ab é#1?c.mp4", "x+y&z=1.mp4"])
    def test_airflow_opens_what_the_uri_names(self, bucket: Bucket, name: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        with Cdn(whole(VIDEO)) as cdn:
            result = run([cdn.url()], f"{ROOT}/clips/{name}")
        assert bucket.names() == [f"clips/{name}", f"clips/{name}.json"]
        assert ObjectStoragePath(result["uri"]).read_bytes() == VIDEO

    def test_several_results_and_pictures_too(self, bucket: Bucket) -> None:
        with Cdn(whole(picture("PNG")), whole(picture("PNG", width=32))) as cdn:
            run([cdn.url("/1"), cdn.url("/2")], f"{ROOT}/x.png", kind="image")
        assert bucket.names() == ["x-1.png", "x-2.png", "x.png.json"]

    def test_a_result_of_many_pieces_is_one_put_and_never_a_multipart_upload(self, bucket: Bucket) -> None:
        large = VIDEO + box(b"free", bytes(20_000_000))
        with Cdn(whole(large)) as cdn:
            run([cdn.url()], f"{ROOT}/large.mp4")
        assert bucket.content("large.mp4") == large
        assert creations(bucket) == [f"/{BUCKET}/large.mp4", f"/{BUCKET}/large.mp4.json"]
        assert not any("upload" in query for _, _, query in bucket.asked)


class TestAgain:
    @pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
    def test_the_same_generation_again_writes_nothing(self, bucket: Bucket, if_exists: str) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            first = run([cdn.url()], f"{ROOT}/clips/")
            bucket.asked.clear()
            again = run([cdn.url()], f"{ROOT}/clips/", if_exists=if_exists)
        assert again == first | {"already_there": True}
        assert {method for method, _, _ in bucket.asked} == {"GET", "HEAD"}

    def test_another_generation_under_the_name_is_refused_and_with_overwrite_it_is_replaced(self, bucket: Bucket) -> None:
        with Cdn(whole(VIDEO), whole(OTHER)) as cdn:
            run([cdn.url()], f"{ROOT}/x.mp4", generation_id="n1")
            with pytest.raises(PublishRefused, match="The name belongs to generation n1 already"):
                run([cdn.url()], f"{ROOT}/x.mp4", generation_id="n2")
            run([cdn.url()], f"{ROOT}/x.mp4", generation_id="n2", if_exists="overwrite")
        assert bucket.content("x.mp4") == OTHER
        assert json.loads(bucket.content("x.mp4.json"))["generation_id"] == "n2"

    def test_an_object_without_a_sidecar_gets_it_only_if_it_is_the_same(self, bucket: Bucket) -> None:
        put("/same.mp4", VIDEO)
        put("/other.mp4", b"mine")
        with Cdn(whole(VIDEO)) as cdn:
            assert not run([cdn.url()], f"{ROOT}/same.mp4")["already_there"]
            with pytest.raises(PublishRefused, match="holds something else"):
                run([cdn.url()], f"{ROOT}/other.mp4")
        assert bucket.names() == ["other.mp4", "same.mp4", "same.mp4.json"]
        assert bucket.content("other.mp4") == b"mine"

    def test_a_folder_without_its_slash_is_refused(self, bucket: Bucket) -> None:
        put("/clips/x.mp4", VIDEO)
        with pytest.raises(PublishRefused, match="is a folder"):
            run([], f"{ROOT}/clips")


class TestNothingPartial:
    @pytest.mark.parametrize("body", [b"<html>sign in</html>", b"", VIDEO[:-300], VIDEO[: len(VIDEO) // 2]])
    def test_of_what_is_no_whole_media_the_bucket_never_hears(self, bucket: Bucket, body: bytes) -> None:
        put("/x.mp4", OTHER)
        bucket.asked.clear()
        with Cdn(whole(body)) as cdn, pytest.raises(PublishRefused):
            run([cdn.url()], f"{ROOT}/x.mp4", if_exists="overwrite")
        assert bucket.content("x.mp4") == OTHER
        assert {method for method, path, _ in bucket.asked} <= {"GET", "HEAD"}

    @pytest.mark.parametrize("faults", [{"cuts": 9}, {"busy": 9}, {"corrupted": 9}], ids=["cut", "busy", "corrupted"])
    def test_a_failing_put_leaves_the_older_object_and_nothing_else(self, bucket: Bucket, faults: dict[str, Any]) -> None:
        put("/x.mp4", OTHER)
        bucket.faults = BodyFaults(**faults)
        with Cdn(whole(VIDEO)) as cdn:
            with pytest.raises(PublishFailed, match=r"another try costs no credits.*publishing it again costs nothing"):
                run([cdn.url()], f"{ROOT}/x.mp4", if_exists="overwrite")
            assert (bucket.names(), bucket.content("x.mp4"), bucket.multipart_uploads()) == (["x.mp4"], OTHER, [])
            bucket.faults = BodyFaults()
            run([cdn.url()], f"{ROOT}/x.mp4", if_exists="overwrite")
        assert bucket.content("x.mp4") == VIDEO
        assert bucket.names() == ["x.mp4", "x.mp4.json"]

    @pytest.mark.parametrize("faults", [{"cuts": 1}, {"busy": 1}, {"conflicts": 2, "at": "x.mp4"}])
    def test_a_trouble_that_passes_is_not_even_noticed(self, bucket: Bucket, faults: dict[str, Any]) -> None:
        check_writable(f"{ROOT}/")
        bucket.faults = BodyFaults(**faults)
        with Cdn(whole(VIDEO)) as cdn:
            assert not run([cdn.url()], f"{ROOT}/x.mp4")["already_there"]
        assert bucket.content("x.mp4") == VIDEO

    @pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
    @pytest.mark.parametrize("key", ["x.mp4", "x.mp4.json"])
    def test_a_put_whose_answer_was_lost_counts(self, bucket: Bucket, key: str, if_exists: str) -> None:
        check_writable(f"{ROOT}/")
        bucket.faults = BodyFaults(lost_answers=1, at=key)
        with Cdn(whole(VIDEO)) as cdn:
            run([cdn.url()], f"{ROOT}/x.mp4", if_exists=if_exists)
        assert bucket.content("x.mp4") == VIDEO
        assert json.loads(bucket.content("x.mp4.json"))["sha256"] == hashlib.sha256(VIDEO).hexdigest()

    @pytest.mark.parametrize("older", [None, OTHER], ids=["a free name", "an older object"])
    def test_a_kill_in_the_middle_of_the_put_shows_nothing_and_leaves_nothing(self, bucket: Bucket, older: bytes | None) -> None:
        if older is not None:
            put("/x.mp4", older)
        check_writable(f"{ROOT}/")
        before, large = bucket.names(), VIDEO + box(b"free", bytes(48_000_000))  # half of it is more than sockets hold
        half_way, killed = threading.Event(), threading.Event()

        def in_the_body() -> None:
            half_way.set()
            killed.wait(20)

        with Cdn(whole(large)) as cdn:
            bucket.faults = BodyFaults(in_the_body=in_the_body)
            number = child(lambda: run([cdn.url()], f"{ROOT}/x.mp4", if_exists="overwrite") and None)
            assert half_way.wait(30)
            os.kill(number, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGKILL
            bucket.faults = BodyFaults()
            killed.set()
            assert (bucket.names(), bucket.multipart_uploads()) == (before, [])
            assert older is None or bucket.content("x.mp4") == older
            run([cdn.url()], f"{ROOT}/x.mp4", if_exists="overwrite")
        assert bucket.content("x.mp4") == large
        assert bucket.names() == ["x.mp4", "x.mp4.json"]

    def test_of_several_writers_of_one_name_exactly_one_wins(self, bucket: Bucket) -> None:
        check_writable(f"{ROOT}/")
        contents = [bytes([number]) * 100_000 for number in range(4)]
        writers = [child(lambda data=data: put("/x.mp4", data)) for data in contents]  # type: ignore[misc]
        endings = [os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) for writer in writers]
        assert sorted(endings) == [0, *[RAISED[ObjectExists]] * 3]
        assert bucket.content("x.mp4") == contents[endings.index(0)]


class TestCheckWritable:
    def test_it_leaves_nothing_behind(self, bucket: Bucket) -> None:
        check_writable(f"{ROOT}/a/b/")
        check_writable(f"{ROOT}/x.mp4")
        assert bucket.names() == []

    def test_it_cleans_up_what_a_killed_one_has_left(self, bucket: Bucket) -> None:
        put("/a/.happyhorse-probe-0123456789abcdef", b"")
        check_writable(f"{ROOT}/a/")
        assert len(bucket.names()) == 1, "it may be another one's at this moment"
        later = S3Store(conn_id=CONNECTION, bucket=BUCKET, now=lambda: datetime.now(UTC) + timedelta(hours=1))
        later.check_writable("/a")
        assert bucket.names() == []

    def test_a_probe_whose_answer_was_lost_proves_as_much(self, bucket: Bucket) -> None:
        bucket.faults = BodyFaults(lost_answers=1)
        check_writable(f"{ROOT}/")
        assert bucket.names() == []

    def test_a_storage_that_ignores_conditions_is_refused_before_anything_is_written(self, bucket: Bucket) -> None:
        bucket.faults = BodyFaults(ignore_conditions=True)
        with pytest.raises(PublishRefused, match="ignores If-None-Match"):
            check_writable(f"{ROOT}/")
        with Cdn(whole(VIDEO)) as cdn, pytest.raises(PublishRefused, match="ignores If-None-Match"):
            run([cdn.url()], f"{ROOT}/x.mp4")
        assert bucket.names() == []

    @pytest.mark.parametrize("methods", [("PUT",), ("GET", "HEAD"), ("DELETE",)])
    def test_what_may_not_be_done_is_said_before_paying(self, bucket: Bucket, methods: tuple[str, ...]) -> None:
        bucket.faults = BodyFaults(denied=methods)
        with pytest.raises(PublishRefused, match=r"refuses|Forbidden"):
            check_writable(f"{ROOT}/clips/")

    def test_a_storage_that_does_not_answer_is_not_paid_for(self, bucket: Bucket) -> None:
        bucket.faults = BodyFaults(conflicts=99)
        store = S3Store(conn_id=CONNECTION, bucket=BUCKET, sleep=lambda seconds: None)
        with pytest.raises(StorageUnavailable, match=r"Nothing can be published below s3://.*ConditionalRequestConflict"):
            store.check_writable("/clips")

    @pytest.mark.parametrize(
        ("destination", "reason"),
        [
            (f"s3://{CONNECTION}@nowhere/clips/", "NoSuchBucket"),
            (f"{ROOT}/{'/'.join(['x' * 200] * 4)}/", "at most 1024 bytes"),
        ],
    )
    def test_a_place_that_does_not_exist_is_refused(self, bucket: Bucket, destination: str, reason: str) -> None:
        with pytest.raises(PublishRefused, match=reason):
            check_writable(destination)

    @pytest.mark.parametrize("extra", [{"config_kwargs": {"retrys": 3}}, {"endpoint_url": "not a url"}])
    def test_a_connection_that_boto3_cannot_use_is_refused(self, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BAD_S3", json.dumps({"conn_type": "aws", "extra": {"region_name": "us-east-1"} | extra}))
        with pytest.raises(PublishRefused, match=r"The connection 'bad_s3' cannot be used for s3://bad_s3@campaigns: "):
            check_writable(f"s3://bad_s3@{BUCKET}/clips/")

    def test_a_connection_that_is_not_found_may_be_found_later(self) -> None:
        with pytest.raises(StorageUnavailable, match="no_such_connection"):
            check_writable(f"s3://no_such_connection@{BUCKET}/clips/")

    def test_an_exact_name_that_is_taken_is_refused_before_paying(self, bucket: Bucket) -> None:
        put("/x.mp4", VIDEO)
        with pytest.raises(PublishRefused, match=r"x\.mp4 exists already"):
            check_free(f"{ROOT}/x.mp4", kind="video")
        check_free(f"{ROOT}/y.mp4", kind="video")


def test_hashes_sizes_and_beginnings_of_what_is_there(bucket: Bucket) -> None:
    store = S3Store(conn_id=CONNECTION, bucket=BUCKET)
    assert (store.size("/x"), store.read("/x", at_most=3), store.sha256("/x"), store.stamp("/x")) == (None, None, None, None)
    put("/x", b"video")
    assert (store.size("/x"), store.read("/x", at_most=3), store.sha256("/x")) == (5, b"vid", hashlib.sha256(b"video").hexdigest())
    stamp = store.stamp("/x")
    put("/x", b"other", overwrite=True)
    assert store.stamp("/x") not in (None, stamp)
    put("/empty", b"")
    assert store.read("/empty", at_most=3) == b""
    store.remove("/x")
    store.remove("/x")
    assert bucket.names() == ["empty"]


def test_more_than_one_request_can_carry_is_refused_with_the_limit(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 4)
    with pytest.raises(PublishRefused, match="5 bytes are too much"):
        put("/x", b"video")


def test_a_full_temporary_folder_is_worth_another_try(bucket: Bucket) -> None:
    def write() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        put("/x", bytes(2000))

    assert os.waitstatus_to_exitcode(os.waitpid(child(write), 0)[1]) == RAISED[StorageUnavailable]
    assert bucket.names() == []

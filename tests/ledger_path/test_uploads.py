"""What a DAG run has uploaded, on local files and on S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_happyhorse.ledger.objects import ObjectStore, ObjectsUnavailable, open_objects
from airflow_provider_happyhorse.ledger.record import UnreadableRecord
from airflow_provider_happyhorse.ledger.uploads import RunUploads, TaskUploads
from tests.ledger_path.s3 import S3Server

IMAGE, OTHER = "a" * 64, "b" * 64
BASE_URL = "https://happy-horse.ai/api/v1"


def run_uploads(objects: ObjectStore, *, run_id: str = "scheduled__2026-11-20T00:00:00+00:00", base_url: str = BASE_URL) -> RunUploads:
    at = {"service": "happy-horse.ai", "base_url": base_url}
    return RunUploads(objects=objects, dag_id="campaign", run_id=run_id, **at, before=TaskUploads(store=None, **at))


def test_the_first_url_is_kept_for_good(objects: ObjectStore) -> None:
    assert run_uploads(objects).url(IMAGE) is None
    assert run_uploads(objects).keep(IMAGE, "https://hosted/1.png") == "https://hosted/1.png"
    assert run_uploads(objects).keep(IMAGE, "https://hosted/2.png") == "https://hosted/1.png"
    assert run_uploads(objects).url(IMAGE) == "https://hosted/1.png"


def test_another_image_run_or_service_is_another(objects: ObjectStore) -> None:
    run_uploads(objects).keep(IMAGE, "https://hosted/1.png")
    assert run_uploads(objects).url(OTHER) is None
    assert run_uploads(objects, run_id="manual").url(IMAGE) is None
    assert run_uploads(objects, base_url="http://127.0.0.1:1/api/v1").url(IMAGE) is None


def test_it_is_where_the_documentation_says(objects: ObjectStore) -> None:
    run_uploads(objects).keep(IMAGE, "https://hosted/1.png")
    folder = "uploads/campaign/scheduled__2026-11-20T00%3A00%3A00%2B00%3A00/https%3A%2F%2Fhappy-horse.ai%2Fapi%2Fv1"
    assert objects.list("uploads/") == [f"{folder}/{IMAGE}.json"]


def test_of_many_at_once_all_get_one_url(ledger_path: str) -> None:
    def keep(number: int) -> str:
        return run_uploads(open_objects(ledger_path)).keep(IMAGE, f"https://hosted/{number}.png")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(keep, range(8)))) == 1


def test_an_object_about_something_else_is_not_taken_for_this(objects: ObjectStore) -> None:
    """On a file system that takes "Run" and "run" for one name, two runs have one folder."""
    run_uploads(objects).keep(IMAGE, "https://hosted/1.png")
    (key,) = objects.list("uploads/")
    data = objects.read(key)
    assert data is not None
    objects.create(key.replace(IMAGE, OTHER), data)
    for ask in (lambda: run_uploads(objects).url(OTHER), lambda: run_uploads(objects).keep(OTHER, "https://hosted/2.png")):
        with pytest.raises(UnreadableRecord, match="does not say where this image is hosted"):
            ask()


def test_a_url_whose_keeping_was_not_answered_is_not_told_and_counts_afterwards(s3: S3Server, s3_uri: str) -> None:
    def keep(url: str) -> str:
        return run_uploads(open_objects(s3_uri)).keep(IMAGE, url)

    s3.faults.at, s3.faults.lost_answers = "/uploads/", 50
    with pytest.raises(ObjectsUnavailable):
        keep("https://hosted/1.png")
    s3.faults.lost_answers = 0
    assert keep("https://hosted/2.png") == run_uploads(open_objects(s3_uri)).url(IMAGE) == "https://hosted/1.png"


def test_one_lost_answer_is_not_taken_for_another_upload(s3: S3Server, s3_uri: str) -> None:
    """The client sends it again, and finds its own object."""
    s3.faults.at, s3.faults.lost_answers = "/uploads/", 1
    assert run_uploads(open_objects(s3_uri)).keep(IMAGE, "https://hosted/1.png") == "https://hosted/1.png"

"""What a month has cost, from immutable objects."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from airflow_provider_happyhorse.ledger.objects import ObjectStore, ObjectsUnavailable, open_objects
from airflow_provider_happyhorse.ledger.spend import SpendLog, UnreadableSpend, read_spend
from airflow_provider_happyhorse.results import new_result

FACTS = new_result(
    name="kettle",
    kind="video",
    service="happy-horse.ai",
    happyhorse_conn_id="happyhorse_default",
    generation_id="v-1",
    model="happy-horse-1.0",
    duration=5,
    aspect_ratio="16:9",
    credits_estimated=25,
    submitted_at="2026-11-20T23:58:00+00:00",
    result_urls=["https://cdn.example.com/v.mp4?signature=secret"],
)
ENDED = {**FACTS, "state": "succeeded", "credits": 24}


def spend_log(objects: ObjectStore, **task: Any) -> SpendLog:
    return SpendLog(**{"objects": objects, "dag_id": "campaign", "run_id": "r1", "task_id": "clips", "map_index": 3, **task})


def november(objects: ObjectStore) -> list[dict[str, Any]]:
    return list(read_spend(objects, date(2026, 11, 1), date(2026, 12, 1)))


def test_a_generation_leaves_an_object_when_it_is_submitted_and_one_when_it_ends(objects: ObjectStore) -> None:
    log = spend_log(objects)
    assert log.submitted(FACTS, prompt="A kettle")
    assert log.ended(ENDED, at="2026-11-21T00:03:00+00:00", prompt="A kettle")
    assert objects.list("spend/") == ["spend/2026/11/20/v-1.submitted.json", "spend/2026/11/20/v-1.succeeded.json"]
    submitted, ended = november(objects)
    assert submitted == {
        "schema": 1,
        "event": "submitted",
        "generation_id": "v-1",
        "name": "kettle",
        "dag_id": "campaign",
        "run_id": "r1",
        "task_id": "clips",
        "map_index": 3,
        "service": "happy-horse.ai",
        "happyhorse_conn_id": "happyhorse_default",
        "kind": "video",
        "model": "happy-horse-1.0",
        "duration": 5,
        "aspect_ratio": "16:9",
        "prompt": "A kettle",
        "credits_estimated": 25,
        "credits": None,
        "state": "in_progress",
        "submitted_at": "2026-11-20T23:58:00+00:00",
        "at": "2026-11-20T23:58:00+00:00",
    }
    changed = {"event": "ended", "state": "succeeded", "credits": 24, "at": "2026-11-21T00:03:00+00:00"}
    assert ended == {**submitted, **changed}


def test_the_same_event_again_from_another_try_on_another_day_is_one_object(objects: ObjectStore) -> None:
    assert spend_log(objects).submitted(FACTS)
    assert not spend_log(objects, run_id="r2").submitted(FACTS)
    assert spend_log(objects).ended(ENDED, at="2026-11-20T23:59:59+00:00")
    assert not spend_log(objects).ended({**ENDED, "credits": 99}, at="2026-12-01T00:00:01+00:00")
    assert [event["credits"] for event in november(objects)] == [None, 24]


def test_a_failed_generation_ends_as_failed(objects: ObjectStore) -> None:
    assert spend_log(objects).ended({**FACTS, "state": "failed", "credits": 0}, at="2026-11-20T23:59:00+00:00")
    assert objects.list("spend/") == ["spend/2026/11/20/v-1.failed.json"]


def test_the_day_is_that_of_utc(objects: ObjectStore) -> None:
    spend_log(objects).submitted({**FACTS, "submitted_at": "2026-11-01T00:30:00+01:00"})
    assert objects.list("spend/") == ["spend/2026/10/31/v-1.submitted.json"]


def test_without_the_time_of_its_submission_the_day_is_that_of_its_end(objects: ObjectStore) -> None:
    spend_log(objects).ended({"generation_id": "v-9", "state": "succeeded"}, at="2026-11-21T00:03:00+00:00")
    (ended,) = november(objects)
    assert (ended["submitted_at"], ended["service"], ended["credits"]) == ("2026-11-21T00:03:00+00:00", None, None)


def test_no_key_query_or_password_of_a_url_is_kept(objects: ObjectStore) -> None:
    prompt = "Like https://me:pass@example.com/a.png?X-Amz-Signature=abc#frag, and HTTP://cdn/b?token=t now. " + "x" * 300
    spend_log(objects).submitted({**FACTS, "name": "https://cdn/a?k=v"}, prompt=prompt)
    (written,) = november(objects)
    assert written["prompt"].startswith("Like https://example.com/a.png and HTTP://cdn/b now. xxx")
    assert len(written["prompt"]) == 200
    assert written["name"] == "https://cdn/a"
    assert not [word for word in ("pass", "Signature", "token", "secret", "?") if word in json.dumps(written)]


@pytest.mark.parametrize(
    ("facts", "at"),
    [
        ({**ENDED, "state": "in_progress"}, "2026-11-21T00:03:00+00:00"),
        ({**ENDED, "generation_id": None}, "2026-11-21T00:03:00+00:00"),
        (ENDED, "2026-11-21T00:03:00"),
    ],
)
def test_what_is_no_ending_is_refused(objects: ObjectStore, facts: dict[str, Any], at: str) -> None:
    with pytest.raises(ValueError, match=r"has not ended|no generation_id|no UTC offset"):
        spend_log(objects).ended(facts, at=at)
    assert objects.list("spend/") == []


def test_a_failure_to_write_is_the_callers_to_know(tmp_path: Any) -> None:
    with pytest.raises(ObjectsUnavailable):
        spend_log(open_objects(f"file://{tmp_path}/not-mounted")).submitted(FACTS)


def test_two_services_with_the_same_id_are_not_taken_for_one(objects: ObjectStore) -> None:
    spend_log(objects).submitted(FACTS)
    with pytest.raises(UnreadableSpend, match=r"is about v-1 of happy-horse\.ai"):
        spend_log(objects).submitted({**FACTS, "service": "happyhorse.app"})


def test_only_the_days_asked_for_are_read_across_months_and_years(objects: ObjectStore) -> None:
    days = ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01"]
    for number, day in enumerate(days):
        spend_log(objects).submitted({**FACTS, "generation_id": f"v-{number}", "submitted_at": f"{day}T12:00:00+00:00"})
    found = read_spend(objects, date(2025, 12, 31), date(2026, 2, 1))
    assert [event["submitted_at"][:10] for event in found] == days[1:4]
    assert list(read_spend(objects, date(2026, 1, 1), date(2026, 1, 1))) == []


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b'{"schema": 2, "generation_id": "v-1"}', b'{"schema": 1}'])
def test_an_object_that_cannot_be_understood_is_not_left_out_of_a_sum(objects: ObjectStore, stored: bytes) -> None:
    objects.create("spend/2026/11/20/v-1.submitted.json", stored)
    with pytest.raises(UnreadableSpend, match=r"v-1\.submitted\.json"):
        november(objects)


def test_neither_is_one_with_another_name(objects: ObjectStore) -> None:
    objects.create("spend/2026/11/v-1.submitted.json", b"{}")
    with pytest.raises(UnreadableSpend, match="is no object of the spend log"):
        november(objects)

"""What travels between tasks: small whatever it is about, and what a task takes from the one before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_happyhorse.operators.asset_events import event_facts
from airflow_provider_happyhorse.publishing.final_names import FinalNames
from airflow_provider_happyhorse.publishing.layout import Where
from airflow_provider_happyhorse.publishing.publish import MAX_RESULTS
from airflow_provider_happyhorse.results import SHORTEST_NAME, fitted, new_result, public, read_reference
from airflow_provider_happyhorse.storage.destinations import locate

NAMES = {"ascii": "n" * 200, "cjk": "鞋" * 200, "latin": "é" * 200, "emoji": "\U0001f3a0" * 200}


def generated(name: str, **known: Any) -> dict[str, Any]:
    return new_result(name=name, kind="video", service="happy-horse.ai", happyhorse_conn_id="c" * 60) | {
        "generation_id": "i" * 40,
        "state": "succeeded",
        "result_urls": [f"https://cdn.example/{'u' * 600}"],
        "credits": 200,
        "credits_estimated": 200,
        "model": "seedance-1-5-pro",
        "duration": 5,
        "aspect_ratio": "16:9",
        "submitted_at": "2026-11-20T11:58:00.000000+00:00",
        "completed_at": "2026-11-20T11:59:40.000000+00:00",
        **known,
    }


def published(name: str, results: int) -> dict[str, Any]:
    """Return what publishing below a usual folder of S3 returns."""
    where = Where(dag_id="d" * 80, run_id=f"scheduled__{'2026-11-20T00:00:00+00:00'}", task_id="publish")
    place = FinalNames.of(locate("s3://aws_default@campaigns/2026/autumn/"), {"generation_id": "i" * 40, "name": name}, where)
    stem = place.stem.rpartition("/")[2]
    facts = {"bytes": 10**9, "sha256": "0" * 64, "content_type": "video/mp4", "seconds": 15.04, "width": 1920, "height": 1080}
    files = [
        {"file": f"{stem}-{number}.mp4", "poster": f"{stem}-{number}.poster.jpg", "preview": f"{stem}-{number}.preview.webp", **facts}
        for number in range(1, results + 1)
    ]
    document = {"name": name, "generation_id": "i" * 40, "service": "happy-horse.ai", "kind": "video", "files": files}
    document |= {"credits": 200, "credits_estimated": 200, "published_at": "2026-11-20T12:00:00+00:00"}
    result = place.result(document, already_there=False)
    return result | {"happyhorse_conn_id": "c" * 60}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
class TestSmall:
    def test_a_result_that_is_not_published_keeps_its_name(self, name: str) -> None:
        small = public(generated(name) | {"request": {"prompt": "p" * 2500}})
        assert len(json.dumps(small)) <= 2048
        if len(json.dumps(name)) < 1300:
            assert small["name"] == name
        assert small.keys() == generated(name).keys()

    @pytest.mark.parametrize("results", [1, 2, 20, MAX_RESULTS])
    def test_what_is_published_keeps_what_leads_to_everything_else(self, name: str, results: int) -> None:
        whole = published(name, results)
        small = fitted(whole)
        assert len(json.dumps(small)) <= 2048
        assert small.keys() == whole.keys()
        kept = ("generation_id", "happyhorse_conn_id", "uri", "sidecar_uri", "sha256", "bytes", "results")
        assert {key: small[key] for key in kept} == {key: whole[key] for key in kept}
        assert small["uris"] == whole["uris"][: len(small["uris"])]
        assert len(small["name"]) >= SHORTEST_NAME

    @pytest.mark.parametrize("results", [1, MAX_RESULTS])
    def test_so_does_a_generate_task_that_publishes_and_its_event(self, name: str, results: int) -> None:
        whole = published(name, results)
        known = generated(name, uri=whole["uri"], sidecar_uri=whole["sidecar_uri"])
        for small in (public(known), event_facts(known, whole)):
            assert len(json.dumps(small)) <= 2048
            assert (small["uri"], small["sidecar_uri"]) == (whole["uri"], whole["sidecar_uri"])


def test_what_fits_stays_as_it_is() -> None:
    assert fitted(published("shoe-01", 1)) == published("shoe-01", 1)
    assert public(generated("shoe-01")) == generated("shoe-01")


def test_a_shortened_name_says_so() -> None:
    small = fitted({"name": "鞋" * 200, "uri": "u" * 1500})
    assert small["name"] == "鞋" * (len(small["name"]) - 1) + "…"
    assert 1990 < len(json.dumps(small)) <= 2000


LETTERS = st.sampled_from(["a", "é", "鞋", "\U0001f3a0", '"', "\\"])
TEXTS = st.builds(lambda letter, count: letter * count, LETTERS, st.integers(0, 200))
PATHS = st.builds(lambda letter, count: letter * count, LETTERS, st.integers(1, 4096))


@settings(deadline=None)  # a hundred URIs of 4096 letters on a busy machine
@given(name=TEXTS, folder=PATHS, results=st.integers(1, MAX_RESULTS), conn_id=st.integers(1, 200))
def test_however_long_everything_is_the_uri_stays_whole_and_alone_takes_more(name: str, folder: str, results: int, conn_id: int) -> None:
    uris = [f"s3://bucket/{folder}/{number}.mp4" for number in range(1, results + 1)]
    files = published(name, results) | {"uri": uris[0], "uris": uris, "sidecar_uri": f"s3://bucket/{folder}/x.json"}
    files |= {key: f"s3://bucket/{folder}/x.{key}" for key in ("poster_uri", "preview_uri")} | {"happyhorse_conn_id": "c" * conn_id}
    known = generated(name, uri=files["uri"], sidecar_uri=files["sidecar_uri"]) | {"happyhorse_conn_id": "c" * conn_id}
    for whole, small in ((files, fitted(files)), (known, public(known)), (event_facts(known, files), event_facts(known, files))):
        kept = [key for key in whole if key not in ("name", "uris", "result_urls", "sidecar_uri", "poster_uri", "preview_uri")]
        assert {key: small[key] for key in kept} == {key: whole[key] for key in kept}
        assert small["uri"] == uris[0]
        assert small["sidecar_uri"] in (files["sidecar_uri"], None)
        size = len(json.dumps(small))
        assert size <= 2000 or (len(json.dumps(uris[0])) > 1000 and small["sidecar_uri"] is None)


class TestReferences:
    def test_an_id_or_a_result_is_one(self) -> None:
        assert read_reference(" n92abc ").generation_id == "n92abc"
        reference = read_reference(published("shoe", 1))
        assert (reference.generation_id, reference.happyhorse_conn_id) == ("i" * 40, "c" * 60)

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("None", "was rendered to 'None': the task before has returned nothing"),
            (
                "{'generation_id': 'n1'}",
                r"is the text of something .* and not an id: pass the task's `.output`",
            ),
            ("['n1']", "is the text of something"),
            ("<airflow.models.xcom_arg.PlainXComArg object>", "is the text of something"),
            ({"id": "n1", "status": "done"}, "is a mapping without generation_id \\(it has id, status\\): pass the whole result"),
            ({}, "it has nothing"),
            ({"generation_id": None, "state": "refused"}, "without a generation_id \\(state 'refused'\\): nothing was submitted"),
            ("  ", "must be a generation's id or the whole result of the task before, not str"),
            (None, "not NoneType; did that task succeed"),
        ],
    )
    def test_anything_else_is_said_to_be_what_it_is(self, given: Any, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            read_reference(given)

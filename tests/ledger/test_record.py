"""The record as it is stored, and what makes two requests the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.ledger.record import FORMAT, Record, RecordState, UnreadableRecord, fingerprint

FACTS = {"generation_id": "v1", "state": "succeeded", "credits": 25}


def record(**given: Any) -> Record:
    fields = {"state": RecordState.SUBMITTED, "fingerprint": "v1:a", "name": "kettle", "map_index": -1, "try_number": 1, "max_tries": 2}
    return Record(**{**fields, "at": "2026-11-20T10:00:00+00:00", "facts": FACTS, **given})


def mark(request: dict[str, Any], **given: Any) -> str:
    fields = {"kind": "video", "service": "happy-horse.ai", "base_url": "https://happy-horse.ai/api/v1", "take": ""}
    return fingerprint(request=request, **{**fields, **given})


class TestStorage:
    @given(
        state=st.sampled_from(RecordState),
        text=st.text(max_size=20),
        number=st.integers(-5, 5),
        facts=st.dictionaries(
            st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3)), max_size=3
        ),
    )
    def test_a_record_is_read_as_it_was_written(self, state: RecordState, text: str, number: int, facts: dict[str, Any]) -> None:
        facts = {**facts, "generation_id": "v1"}
        written = Record(state, text, text, number, number, number, text, facts, text, {text: facts})
        assert Record.from_json(json.loads(json.dumps(written.to_json()))) == written
        assert Record.from_json(json.dumps(written.to_json())) == written

    @pytest.mark.parametrize(
        "stored",
        [
            "",
            "not json",
            "[]",
            "null",
            [],
            5,
            {},
            {"state": "paid"},
            {"state": None},
            {"state": "submitted"},
            {"state": "submitted", "facts": {"generation_id": ""}},
            {"state": "delivered", "facts": []},
            {"state": "failed"},
            {"state": "intent", "max_tries": "many"},
            {"state": "intent", "map_index": None},
            {"state": "intent", "facts": "v1"},
            {"state": "intent", "others": "v1"},
            {"state": "intent", "others": {"v1:a": 5}},
            {"state": "intent", "format": FORMAT + 1},
            {"state": "intent", "format": str(FORMAT)},
            {"state": "intent", "format": None},
        ],
    )
    def test_what_cannot_be_understood_is_not_taken_for_nothing(self, stored: Any) -> None:
        with pytest.raises(UnreadableRecord):
            Record.from_json(stored)

    def test_a_later_format_is_named(self) -> None:
        with pytest.raises(UnreadableRecord, match=f"format {FORMAT + 1}.*reads {FORMAT}"):
            Record.from_json({**record().to_json(), "format": FORMAT + 1})

    def test_an_older_record_may_lack_what_came_later(self) -> None:
        older = {key: value for key, value in record().to_json().items() if key not in ("others", "detail", "format")}
        assert Record.from_json(older) == record()

    def test_what_a_later_version_added_is_borne(self) -> None:
        assert Record.from_json({**record().to_json(), "spent_on": "fun"}) == record()

    def test_a_record_fits_the_store(self) -> None:
        facts = {**FACTS, "result_urls": ["https://cdn.example/" + "x" * 680]}
        others = {f"v1:{number:064}": facts for number in range(20)}
        assert len(json.dumps(record(facts=facts, others=others).to_json())) < 65535


class TestGenerationsBeside:
    def test_going_on_to_another_request_keeps_the_paid_one(self) -> None:
        assert record().paid() == {"v1:a": FACTS}
        assert record(state=RecordState.DELIVERED).paid() == {"v1:a": FACTS}

    def test_one_that_a_person_has_put_aside_for_another_request_is_one(self) -> None:
        assert record(state=RecordState.NOT_SENT).paid().keys() == {"v1:a"}
        assert record(state=RecordState.NOT_SENT, facts={}).paid() == {}

    @pytest.mark.parametrize("state", [RecordState.INTENT, RecordState.AMBIGUOUS, RecordState.FAILED])
    def test_what_has_no_video_is_none(self, state: RecordState) -> None:
        beside = {"v1:b": {"generation_id": "v2", "state": "succeeded"}, "v1:c": {"generation_id": "v3", "state": "failed"}, "v1:d": {}}
        assert record(state=state, others=beside).paid() == {"v1:b": beside["v1:b"]}

    def test_returning_to_an_earlier_one_keeps_the_later(self) -> None:
        earlier = {"generation_id": "v0", "state": "succeeded"}
        about = record(others={"v1:0": earlier}).about(earlier, "v1:0")
        assert (about.generation_id, about.fingerprint, about.others) == ("v0", "v1:0", {"v1:a": FACTS})

    def test_the_same_one_stays_under_its_own_request(self) -> None:
        about = record().about({**FACTS, "reused": True}, "v1:now")
        assert (about.fingerprint, about.facts["reused"], about.others) == ("v1:a", True, {})


class TestFingerprint:
    def test_never_changes_between_versions(self) -> None:
        """A literal: whoever changes it makes every recorded request a changed one, which a clear pays for."""
        assert mark({"prompt": "a kettle", "duration": 5}) == "v1:5cfc67623715bca3a00668a51c0475753dc2918b63a01fc25413609a40795194"

    def test_does_not_depend_on_the_order(self) -> None:
        assert mark({"prompt": "a", "duration": 5}) == mark({"duration": 5, "prompt": "a"})

    @pytest.mark.parametrize(
        "other",
        [
            {"prompt": "b"},
            {"prompt": "a", "duration": 5},
            {"prompt": "a", "sound": False},
            {"prompt": "a", "image_url": "https://cdn.example/2.png"},
        ],
    )
    def test_differs_with_every_field(self, other: dict[str, Any]) -> None:
        assert mark(other) != mark({"prompt": "a", "image_url": "https://cdn.example/1.png"})

    @pytest.mark.parametrize(
        "other", [{"kind": "image"}, {"service": "happyhorse.app"}, {"base_url": "https://proxy.example"}, {"take": "2"}]
    )
    def test_differs_with_what_it_is_for(self, other: dict[str, Any]) -> None:
        assert mark({"prompt": "a"}, **other) != mark({"prompt": "a"})

    def test_the_query_of_a_media_url_does_not_count(self) -> None:
        def request(signature: str) -> dict[str, Any]:
            url = f"https://s3.example/1.png{signature}"
            return {"image_url": url, "image_urls": [url], "happyhorse_elements": [{"name": "x", "element_input_urls": [url]}]}

        assert mark(request("?X-Amz-Signature=1#a")) == mark(request("?X-Amz-Signature=2")) == mark(request(""))

    def test_the_query_in_a_prompt_counts(self) -> None:
        assert mark({"prompt": "https://shop.example?id=1"}) != mark({"prompt": "https://shop.example?id=2"})

    def test_a_slash_at_the_end_of_the_base_url_does_not_count(self) -> None:
        assert mark({}, base_url="https://happy-horse.ai/api/v1/") == mark({})

    def test_a_url_that_is_none_is_no_crash(self) -> None:
        assert mark({"image_url": "https://["}) != mark({"image_url": "https://[]"})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://b.s3/x.png?X-Amz-Signature=1&X-Amz-Date=2", "https://b.s3/x.png?X-Amz-Signature=3&X-Amz-Date=4", True),
        ("https://blob/x.png?sv=1&sig=a&se=2", "https://blob/x.png?sv=1&sig=b&se=3", True),
        ("https://shop/p?id=5", "https://shop/p?id=6", False),
        ("https://shop/p?id=5&Expires=1&Signature=a", "https://shop/p?id=5&Expires=2&Signature=b", True),
    ],
)
def test_of_a_url_among_a_functions_arguments_only_the_signature_does_not_count(one: str, other: str, same: bool) -> None:
    def mark(url: str) -> str:
        return fingerprint(kind="video", service="s", base_url="b", take="", request={"op_kwargs": {"page": url}})

    assert (mark(one) == mark(other)) is same

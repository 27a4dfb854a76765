"""The wire format of happy-horse.ai, as its API reference documents it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_happyhorse.api import errors
from airflow_provider_happyhorse.api.calls import Request
from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.api.generation import ListPage
from airflow_provider_happyhorse.api.happy_horse_ai import HappyHorseAi
from airflow_provider_happyhorse.api.models import Generation, GenerationState
from tests.api.answers import IMAGE, answer, ending, page, request_of

SERVICE = HappyHorseAi()
#: The documented table: HTTP status, code -> what a call ends with.
ERRORS: list[tuple[int, str, type[ServiceError]]] = [
    (401, "unauthorized", errors.Unauthorized),
    (403, "insufficient_credits", errors.InsufficientCredits),
    (403, "paid_access_required", errors.PaidAccessRequired),
    (400, "validation_error", errors.InvalidRequest),
    (429, "rate_limit_exceeded", errors.RateLimited),
    (500, "internal_error", errors.ServiceFault),
    (502, "upstream_error", errors.ServiceFault),
]
CODES = {code: kind for _, code, kind in ERRORS}


def failure(code: str, message: str = "the vendor's sentence") -> dict[str, Any]:
    return {"data": None, "error": {"message": message, "code": code}}


def success(data: Any) -> dict[str, Any]:
    return {"data": data, "error": None}


def test_submit_is_the_documented_post() -> None:
    call = SERVICE.submit(request_of(prompt="A cat playing piano", duration=5, aspect_ratio="16:9"))
    body = {"prompt": "A cat playing piano", "duration": 5, "aspect_ratio": "16:9"}
    assert call.request == Request("POST", "/generate", json=body, pays=True)


def test_every_documented_field_is_sent_under_the_vendors_name() -> None:
    fields = {
        "prompt": "a",
        "model": "doubao-seedance-2-0",
        "generation_type": "image_to_video",
        "image_url": "https://x.example/a.png",
        "aspect_ratio": "9:16",
        "duration": 7.5,
        "resolution": "1080p",
    }
    assert SERVICE.submit(request_of(**fields)).request.json == fields


def test_nothing_is_filled_in_but_what_an_image_means() -> None:
    assert SERVICE.body(request_of(prompt="a")) == {"prompt": "a"}
    with_image = {"prompt": "a", "image_url": "https://x.example/a.png"}
    assert SERVICE.body(request_of(**with_image)) == {**with_image, "generation_type": "image_to_video"}


def test_the_other_calls_are_the_documented_ones() -> None:
    assert SERVICE.get("v1").request == Request("GET", "/videos/v1")
    assert SERVICE.list_generations(2, 50).request == Request("GET", "/videos", query={"page": "2", "limit": "50"})
    assert SERVICE.credits().request == Request("GET", "/credits")
    assert SERVICE.probe().request == Request("GET", "/credits")
    assert SERVICE.upload(IMAGE).request == Request("POST", "/upload", file=IMAGE)


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    assert SERVICE.get("a/b?c=d#e é").request.path == "/videos/a%2Fb%3Fc%3Dd%23e%20%C3%A9"


@pytest.mark.parametrize(
    ("data", "generation_id"), [({"video_id": "v1"}, "v1"), ({"video_id": 17}, "17"), ({"id": "v1"}, "v1"), ({"video_id": " v1 "}, "v1")]
)
def test_an_accepted_submission_is_known_by_its_id(data: dict[str, Any], generation_id: str) -> None:
    call = SERVICE.submit(request_of(prompt="a"))
    generation = call.read(answer(200, success({**data, "status": "queued"})))
    assert (generation.generation_id, generation.state, generation.raw_status) == (generation_id, GenerationState.IN_PROGRESS, "queued")
    assert generation.request == {"prompt": "a"}


def test_an_accepted_submission_is_in_progress_whatever_its_status_says() -> None:
    generation = SERVICE.submit(request_of(prompt="a")).read(answer(201, success({"video_id": "v1", "status": "completed"})))
    assert generation.state is GenerationState.IN_PROGRESS


@pytest.mark.parametrize(
    ("data", "state", "urls", "error"),
    [
        ({"status": "completed", "video_url": "https://c/v.mp4"}, GenerationState.SUCCEEDED, ("https://c/v.mp4",), ""),
        ({"status": "COMPLETED", "video_url": "https://c/v.mp4?a=b"}, GenerationState.SUCCEEDED, ("https://c/v.mp4?a=b",), ""),
        ({"status": "completed", "video_url": None}, GenerationState.SUCCEEDED, (), ""),
        ({"status": "completed", "image_url": "https://c/first.png"}, GenerationState.SUCCEEDED, (), ""),
        ({"status": "failed", "error": "moderation"}, GenerationState.FAILED, (), "moderation"),
        ({"status": "failed", "error": {"message": "moderation", "code": "x"}}, GenerationState.FAILED, (), "moderation"),
        ({"status": "failed", "error": ["a", "b"]}, GenerationState.FAILED, (), '["a", "b"]'),
        ({"status": "failed"}, GenerationState.FAILED, (), ""),
        ({"status": "processing", "video_url": None}, GenerationState.IN_PROGRESS, (), ""),
        ({"status": "cancelled"}, GenerationState.IN_PROGRESS, (), ""),
        ({"status": "a word nobody knows"}, GenerationState.IN_PROGRESS, (), ""),
    ],
)
def test_how_a_video_is_doing(data: dict[str, Any], state: GenerationState, urls: tuple[str, ...], error: str) -> None:
    generation = SERVICE.get("v1").read(answer(200, success(data)))
    assert (generation.generation_id, generation.state, generation.result_urls, generation.error) == ("v1", state, urls, error)
    assert generation.raw_status == data["status"]
    assert generation.raw == data


@pytest.mark.parametrize(("given", "read"), [(25, 25.0), ("25", 25.0), ("25.5", 25.5), ("many", None), (None, None), (True, None)])
def test_credits_may_come_as_numbers_or_texts(given: object, read: float | None) -> None:
    assert SERVICE.get("v1").read(answer(200, success({"status": "completed", "credits_used": given}))).credits == read


@pytest.mark.parametrize(
    "data",
    [
        [{"video_id": "a", "status": "completed"}, {"id": "b", "status": "x"}],
        {"videos": [{"video_id": "a", "status": "completed"}, {"id": "b", "status": "x"}], "total": 2},
        {"tags": ["new"], "items": [{"video_id": "a", "status": "completed"}, "stray", {"no": "id"}, {"id": "b", "status": "x"}]},
    ],
)
def test_the_list_is_found_in_any_likely_shape(data: object) -> None:
    found = SERVICE.list_generations(1, 20).read(answer(200, success(data)))
    assert found.rows == len(data if isinstance(data, list) else next(rows for rows in data.values() if isinstance(rows[0], dict)))
    assert [(one.generation_id, one.state) for one in found.generations] == [
        ("a", GenerationState.SUCCEEDED),
        ("b", GenerationState.IN_PROGRESS),
    ]


def test_an_empty_list_is_a_list() -> None:
    assert SERVICE.list_generations(1, 20).read(answer(200, success({"videos": [], "total": 0}))) == ListPage((), 0)
    assert isinstance(ending(SERVICE.list_generations(1, 20), answer(200, success({"total": 0}))), errors.BadResponse)


@pytest.mark.parametrize(
    "data", ["https://h/a.png", {"url": "https://h/a.png"}, {"image_url": "https://h/a.png"}, {"file": {"url": "https://h/a.png"}}]
)
def test_an_upload_is_answered_by_its_url(data: object) -> None:
    assert SERVICE.upload(IMAGE).read(answer(200, success(data))) == "https://h/a.png"


@pytest.mark.parametrize("data", ["ok", {"url": "/a.png"}, {"url": "https://"}, {"url": "https://h/a b.png"}, {}, None])
def test_an_upload_without_a_url_is_no_upload(data: object) -> None:
    assert isinstance(ending(SERVICE.upload(IMAGE), answer(200, success(data))), errors.BadResponse)


def test_the_balance_is_read_under_likely_names() -> None:
    balance = SERVICE.credits().read(answer(200, success({"credits": "120.5", "paid_access": True, "subscription": "pro"})))
    assert (balance.remaining, balance.paid_access, balance.subscription) == (120.5, True, "pro")
    balance = SERVICE.credits().read(answer(200, success({"saldo": 3})))
    assert (balance.remaining, balance.paid_access, balance.subscription, balance.raw) == (None, None, None, {"saldo": 3})


def test_the_probe_says_what_it_saw() -> None:
    assert SERVICE.probe().read(answer(200, success({"credits": 120}))) == "happy-horse.ai accepts the key; 120 credits left"
    assert SERVICE.probe().read(answer(200, success({}))) == "happy-horse.ai accepts the key; an unknown number of credits left"
    assert isinstance(ending(SERVICE.probe(), answer(401, failure("unauthorized"))), errors.Unauthorized)


@pytest.mark.parametrize(("status", "code", "kind"), ERRORS)
def test_documented_errors(status: int, code: str, kind: type[ServiceError]) -> None:
    error = ending(SERVICE.get("v1"), answer(status, failure(code)))
    assert type(error) is kind
    assert code in str(error)
    assert "the vendor's sentence" in str(error)
    if isinstance(error, errors.Rejected):
        assert (error.status, error.code, error.message) == (status, code, "the vendor's sentence")


BODIES: dict[str, Any] = {
    "documented": lambda code: failure(code),
    "without data": lambda code: {"error": {"message": "sentence", "code": code}},
    "code alone": lambda code: {"error": {"code": code}},
    "text": lambda code: {"data": None, "error": code},
    "as the message": lambda code: {"data": None, "error": {"message": code}},
    "beside the error": lambda code: {"code": code, "error": "sentence"},
    "flat": lambda code: {"code": code, "message": "sentence"},
}


@pytest.mark.parametrize(
    ("status", "body"),
    # Without `error`, HTTP 200 is a success without data.
    [(status, body) for status in (200, 400, 401, 403, 404) for body in BODIES if (status, body) != (200, "flat")],
)
@pytest.mark.parametrize("code", CODES)
def test_a_documented_code_is_found_wherever_it_sits(code: str, status: int, body: str) -> None:
    error = ending(SERVICE.get("v1"), answer(status, BODIES[body](code)))
    assert type(error) is CODES[code]
    if isinstance(error, errors.Rejected):
        assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("code", CODES)
def test_a_5xx_is_a_fault_whatever_its_body_says(code: str, status: int, body: str) -> None:
    error = ending(SERVICE.get("v1"), answer(status, BODIES[body](code), {"retry-after": "9"}))
    assert type(error) is errors.ServiceFault
    assert (error.status, error.retry_after) == (status, 9.0)


def test_an_undocumented_code_is_a_refusal_only_in_the_vendors_own_envelope() -> None:
    error = ending(SERVICE.get("v1"), answer(403, failure("model_retired")))
    assert type(error) is errors.Rejected
    assert str(error) == "403 model_retired: the vendor's sentence"
    assert type(ending(SERVICE.get("v1"), answer(404, failure("video_not_found")))) is errors.NotFound
    hosting = {"error": {"code": "403", "message": "Forbidden"}}  # what a hosting platform in front of it says
    assert type(ending(SERVICE.get("v1"), answer(403, hosting))) is errors.ServiceFault


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 407, 408, 421, 451])
def test_a_page_from_something_in_between_is_no_refusal(status: int) -> None:
    error = ending(SERVICE.get("v1"), page(status))
    assert type(error) is errors.ServiceFault
    assert "403 Forbidden" in str(error)
    assert "text/html" in str(error)


@pytest.mark.parametrize("body", [b"", b"Unauthorized", b"{}", b'{"message": "no"}'])
def test_a_401_that_is_no_page_is_about_the_key(body: bytes) -> None:
    assert type(ending(SERVICE.get("v1"), answer(401, body))) is errors.Unauthorized


@pytest.mark.parametrize("response", [answer(429), page(429), answer(429, failure("internal_error"))])
def test_a_429_is_a_429_in_any_shape(response: Any) -> None:
    assert type(ending(SERVICE.get("v1"), response)) is errors.RateLimited


def test_a_429_carries_the_time_the_service_asks_for() -> None:
    error = ending(SERVICE.get("v1"), answer(429, failure("rate_limit_exceeded"), {"retry-after": "7"}))
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 7.0
    headers = {"x-ratelimit-reset": "1795168812", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}
    error = ending(SERVICE.get("v1"), answer(429, failure("rate_limit_exceeded"), headers))
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 12.0


def test_a_wrong_base_url_is_suspected_where_it_shows() -> None:
    assert "base URL" in str(ending(SERVICE.get("v1"), page(404)))
    moved = str(ending(SERVICE.get("v1"), answer(301, b"", {"location": "https://happy-horse.ai/login?token=secret"})))
    assert "redirects to https://happy-horse.ai/login" in moved
    assert "base URL" in moved
    assert "secret" not in moved


@pytest.mark.parametrize(
    "read",
    [SERVICE.get("v1"), SERVICE.list_generations(1, 20), SERVICE.credits(), SERVICE.upload(IMAGE)],
    ids=["get", "list", "credits", "upload"],
)
def test_success_without_what_was_asked_for_is_a_bad_response(read: Any) -> None:
    for data in (None, 5, "", [5] if read.request.path != "/videos" else 5):
        assert type(ending(read, answer(200, success(data)))) is errors.BadResponse


def test_a_generation_is_what_the_hook_returns() -> None:
    assert isinstance(SERVICE.get("v1").read(answer(200, success({"status": "x"}))), Generation)

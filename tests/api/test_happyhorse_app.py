"""The wire format of happyhorse.app, as its API documentation shows it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_happyhorse.api import errors
from airflow_provider_happyhorse.api.calls import Request
from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.api.happyhorse_app import HappyHorseApp
from airflow_provider_happyhorse.api.models import GenerationState
from tests.api.answers import IMAGE, answer, ending, page, request_of

SERVICE = HappyHorseApp()
MODEL = "happyhorse-1.0/video"
#: The documented table: HTTP status, code -> what a call ends with.
ERRORS: list[tuple[int, str, type[ServiceError]]] = [
    (400, "INVALID_PROMPT", errors.InvalidRequest),
    (400, "INVALID_DURATION", errors.InvalidRequest),
    (400, "INVALID_MODEL", errors.InvalidRequest),
    (401, "INVALID_API_KEY", errors.Unauthorized),
    (402, "INSUFFICIENT_CREDITS", errors.InsufficientCredits),
    (429, "RATE_LIMITED", errors.RateLimited),
    (500, "INTERNAL_ERROR", errors.ServiceFault),
]
#: Where the word may sit: the documentation shows no error body.
BODIES: dict[str, Any] = {
    "code is the word": lambda status, word: {"code": word, "message": "sentence", "data": None},
    "code is the status, message the word": lambda status, word: {"code": status, "message": word, "data": None},
    "code is the status as text": lambda status, word: {"code": str(status), "message": word},
    "error is the word": lambda status, word: {"code": status, "error": word, "message": "sentence"},
    "error is an object": lambda status, word: {"error": {"code": word, "message": "sentence"}},
    "error_code": lambda status, word: {"error_code": word, "message": "sentence"},
    "in data": lambda status, word: {"code": status, "message": "error", "data": {"error": word}},
    "begins the message": lambda status, word: {"code": status, "message": f"{word}: sentence"},
    "inside the message": lambda status, word: {"message": f"Request refused ({word})."},
}
#: https://happyhorse.app/docs, the answer to a status request.
SAMPLE = {
    "code": 200,
    "message": "success",
    "data": {
        "task_id": "n92abc123hh10",
        "status": "SUCCESS",
        "consumed_credits": 400,
        "created_at": "2026-04-08T10:30:00Z",
        "type": "text-to-video",
        "request": {"model": MODEL, "prompt": "A majestic eagle", "mode": "pro", "duration": 5, "aspect_ratio": "16:9"},
        "response": {"resultUrls": ["https://cdn.example.com/videos/abc123.mp4"]},
        "error_message": None,
    },
}


def success(**data: Any) -> dict[str, Any]:
    return {"code": 200, "message": "success", "data": data}


@pytest.mark.parametrize(
    "sample",
    [
        {
            "model": MODEL,
            "prompt": "A majestic eagle soaring through clouds at sunset",
            "mode": "pro",
            "duration": 5,
            "aspect_ratio": "16:9",
            "sound": True,
        },
        {
            "model": MODEL,
            "prompt": "The character slowly turns and smiles",
            "mode": "pro",
            "image_urls": ["https://example.com/my-image.jpg"],
            "duration": 5,
        },
        {
            "model": MODEL,
            "mode": "pro",
            "multi_shots": True,
            "multi_prompt": [
                {"prompt": "A woman walks into a coffee shop", "duration": 3},
                {"prompt": "She orders a latte and sits by the window", "duration": 4},
                {"prompt": "She looks outside and smiles", "duration": 3},
            ],
            "aspect_ratio": "16:9",
        },
        {
            "model": MODEL,
            "prompt": "@dog runs",
            "cfg_scale": 0.5,
            "happyhorse_elements": [
                {"name": "dog", "description": "a brown dog", "element_input_urls": ["https://x.example/1.png", "https://x.example/2.png"]}
            ],
        },
    ],
    ids=["text", "image", "multi-shot", "elements"],
)
def test_the_documented_samples_are_sent_as_they_stand(sample: dict[str, Any]) -> None:
    request = request_of(**sample)
    assert SERVICE.check(request) == []
    assert SERVICE.submit(request).request == Request("POST", "/api/generate", json=sample, pays=True)


def test_the_model_is_filled_in_and_nothing_else() -> None:
    assert SERVICE.body(request_of(prompt="a")) == {"model": MODEL, "prompt": "a"}


def test_the_status_request_is_the_documented_one() -> None:
    assert SERVICE.get("n92abc123hh10").request == Request("GET", "/api/status", query={"task_id": "n92abc123hh10"})
    assert SERVICE.probe().request.method == "GET"
    assert SERVICE.probe().request.path == "/api/status"
    assert not SERVICE.probe().request.pays


def test_what_the_service_does_not_document_is_refused_without_a_request() -> None:
    with pytest.raises(errors.Unsupported, match="by its id"):
        SERVICE.list_generations(1, 20)
    with pytest.raises(errors.Unsupported, match="`image_urls`"):
        SERVICE.upload(IMAGE)
    with pytest.raises(errors.Unsupported, match="dashboard"):
        SERVICE.credits()


def test_the_documented_answer_to_a_submission() -> None:
    response = answer(200, {"code": 200, "message": "success", "data": {"task_id": "n92abc123hh10", "status": "IN_PROGRESS"}})
    generation = SERVICE.submit(request_of(prompt="a", mode="pro")).read(response)
    assert (generation.generation_id, generation.state, generation.raw_status) == (
        "n92abc123hh10",
        GenerationState.IN_PROGRESS,
        "IN_PROGRESS",
    )
    assert generation.request == {"model": MODEL, "prompt": "a", "mode": "pro"}


def test_the_documented_answer_to_a_status_request() -> None:
    generation = SERVICE.get("n92abc123hh10").read(answer(200, SAMPLE))
    assert generation.state is GenerationState.SUCCEEDED
    assert generation.result_urls == ("https://cdn.example.com/videos/abc123.mp4",)
    assert generation.credits == 400.0
    assert generation.created_at == "2026-04-08T10:30:00Z"
    assert generation.request["prompt"] == "A majestic eagle"
    assert generation.error == ""
    assert generation.raw == SAMPLE["data"]


@pytest.mark.parametrize(
    ("data", "state", "error"),
    [
        ({"status": "IN_PROGRESS", "response": None}, GenerationState.IN_PROGRESS, ""),
        ({"status": "success", "response": {"resultUrls": []}}, GenerationState.SUCCEEDED, ""),
        ({"status": "FAILED", "error_message": "moderation", "response": None}, GenerationState.FAILED, "moderation"),
        ({"status": "FAILED", "error_message": {"message": "moderation"}}, GenerationState.FAILED, "moderation"),
        ({"status": "QUEUED"}, GenerationState.IN_PROGRESS, ""),
        ({"status": "COMPLETED"}, GenerationState.IN_PROGRESS, ""),
        ({"status": 3}, GenerationState.IN_PROGRESS, ""),
    ],
)
def test_how_a_task_is_doing(data: dict[str, Any], state: GenerationState, error: str) -> None:
    generation = SERVICE.get("n92").read(answer(200, success(**data)))
    assert (generation.generation_id, generation.state, generation.error) == ("n92", state, error)


@pytest.mark.parametrize("code", [200, "200", 200.0, " 200 "])
def test_numbers_may_come_as_texts(code: object) -> None:
    body = {**success(status="SUCCESS", consumed_credits="400"), "code": code}
    assert SERVICE.get("n92").read(answer(200, body)).credits == 400.0


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("under_200", [False, True], ids=["status", "http 200"])
@pytest.mark.parametrize(("status", "word", "kind"), ERRORS, ids=[word for _, word, _ in ERRORS])
def test_a_documented_code_is_found_wherever_it_sits(status: int, word: str, kind: type[ServiceError], under_200: bool, body: str) -> None:
    error = ending(SERVICE.get("n92"), answer(200 if under_200 else status, BODIES[body](status, word)))
    assert type(error) is kind
    assert word in str(error)
    if isinstance(error, errors.Rejected):
        assert error.code == word
        assert error.status == status or under_200
    if "sentence" in str(BODIES[body](status, word)) and "object" not in body:
        assert "sentence" in str(error)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("word", [word for _, word, _ in ERRORS])
def test_a_5xx_is_a_fault_whatever_its_body_says(word: str, status: int, body: str) -> None:
    error = ending(SERVICE.get("n92"), answer(status, BODIES[body](402, word), {"retry-after": "9"}))
    assert type(error) is errors.ServiceFault
    assert error.retry_after == 9.0


@pytest.mark.parametrize(("code", "kind"), [(400, errors.InvalidRequest), (401, errors.Unauthorized), (402, errors.InsufficientCredits)])
@pytest.mark.parametrize("under_200", [False, True])
def test_the_status_alone_is_enough(code: int, kind: type[ServiceError], under_200: bool) -> None:
    error = ending(SERVICE.get("n92"), answer(200 if under_200 else code, {"code": code, "message": "the vendor's sentence"}))
    assert type(error) is kind
    assert isinstance(error, errors.Rejected)
    assert (error.status, error.code, error.message) == (code, "", "the vendor's sentence")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 408, 451])
def test_a_page_from_something_in_between_is_no_refusal(status: int) -> None:
    error = ending(SERVICE.get("n92"), page(status))
    assert type(error) is errors.ServiceFault
    assert "403 Forbidden" in str(error)


@pytest.mark.parametrize("body", [b"", b"Unauthorized", b"{}", b'{"detail": "no"}'])
def test_a_401_that_is_no_page_is_about_the_key(body: bytes) -> None:
    assert type(ending(SERVICE.get("n92"), answer(401, body))) is errors.Unauthorized


def test_a_prompt_quoted_in_a_refusal_does_not_change_what_it_means() -> None:
    quoting = {"code": 400, "message": "The prompt 'a neon sign saying RATE_LIMITED and INTERNAL_ERROR' was refused"}
    assert type(ending(SERVICE.get("n92"), answer(400, quoting))) is errors.InvalidRequest
    echoing = {"code": 402, "message": "no", "data": {"prompt": "RATE_LIMITED"}}
    assert type(ending(SERVICE.get("n92"), answer(200, echoing))) is errors.InsufficientCredits


def test_an_unknown_task() -> None:
    for status in (200, 404):
        assert type(ending(SERVICE.get("n92"), answer(status, {"code": 404, "message": "task not found"}))) is errors.NotFound


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "message": "success"},
        {"code": 200, "message": "success", "data": None},
        {"code": 200, "message": "success", "data": []},
        {"code": 200, "message": "success", "data": {}},
        {"code": 200, "message": "success", "data": {"status": None}},
        {"code": 0, "data": {"status": "SUCCESS"}},
        {"code": 201, "data": {"status": "SUCCESS"}},
        {"code": True, "data": {"status": "SUCCESS"}},
        {"data": {"status": "SUCCESS"}},
        {"code": 1001, "message": "who knows"},
        {"code": 403, "message": "undocumented"},
        {},
        [],
        "success",
        b"",
        b"{",
        b'{"code": 200, "data": {"status": "SUCC',
    ],
)
def test_http_200_without_the_documented_success_is_a_bad_response(body: object) -> None:
    assert type(ending(SERVICE.get("n92"), answer(200, body))) is errors.BadResponse


@pytest.mark.parametrize(
    "response", [answer(429), page(429), answer(429, {"code": 500}), answer(200, {"code": 429, "message": "slow down"})]
)
def test_a_429_is_a_429_in_any_shape(response: Any) -> None:
    assert type(ending(SERVICE.get("n92"), response)) is errors.RateLimited


@pytest.mark.parametrize(
    "response",
    [
        answer(200, success(status="IN_PROGRESS")),
        answer(200, {"code": 404, "message": "task not found"}),
        answer(404, {"code": 404, "message": "task not found"}),
        answer(404, {"error": "task not found"}),
        answer(400, {"code": 400, "message": "bad task_id"}),
        answer(402, {"code": "INSUFFICIENT_CREDITS"}),
    ],
)
def test_the_probe_takes_any_answer_of_the_service_for_a_good_key(response: Any) -> None:
    assert SERVICE.probe().read(response) == "happyhorse.app answers and does not refuse the key"


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(401, {"code": "INVALID_API_KEY"}), errors.Unauthorized),
        (answer(200, {"code": 401, "message": "INVALID_API_KEY"}), errors.Unauthorized),
        (answer(401), errors.Unauthorized),
        (answer(429), errors.RateLimited),
        (answer(500, {"code": 500, "message": "INTERNAL_ERROR"}), errors.ServiceFault),
        (answer(200, {"code": 500, "message": "INTERNAL_ERROR"}), errors.ServiceFault),
        (answer(403, {"message": "blocked by policy"}), errors.ServiceFault),
        (page(403), errors.ServiceFault),
        (page(200), errors.BadResponse),
        (answer(200, {"hello": "world"}), errors.BadResponse),
        (answer(302, {"message": "moved"}, {"location": "https://login.example"}), errors.BadResponse),
    ],
)
def test_the_probe_fails_where_the_key_is_not_proven(response: Any, kind: type[ServiceError]) -> None:
    assert type(ending(SERVICE.probe(), response)) is kind

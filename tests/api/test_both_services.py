"""Both services through the same cases, and the money table of a submission line by line."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from airflow_provider_happyhorse.api import errors
from airflow_provider_happyhorse.api.calls import Call, Response
from airflow_provider_happyhorse.api.errors import Ambiguous, Rejected, ServiceError
from airflow_provider_happyhorse.api.models import Generation, GenerationState
from airflow_provider_happyhorse.api.retry import delay_before_retry
from airflow_provider_happyhorse.api.service import Service, service_for, services
from tests.api import test_happy_horse_ai as ai
from tests.api import test_happyhorse_app as app
from tests.api.answers import answer, ending, page, request_of


class Dialect(NamedTuple):
    """How one service says the same things."""

    service: Service
    accepted: Any
    running: Any
    done: Any
    failed: Any
    errors: dict[type[ServiceError], Response]


DIALECTS = {
    "happy-horse.ai": Dialect(
        services()["happy-horse.ai"],
        ai.success({"video_id": "g1"}),
        ai.success({"status": "processing"}),
        ai.success({"status": "completed", "video_url": "https://c/v.mp4"}),
        ai.success({"status": "failed", "error": "moderation"}),
        {kind: answer(status, ai.failure(code)) for status, code, kind in reversed(ai.ERRORS)},
    ),
    "happyhorse.app": Dialect(
        services()["happyhorse.app"],
        app.success(task_id="g1", status="IN_PROGRESS"),
        app.success(status="IN_PROGRESS", response=None),
        app.success(status="SUCCESS", response={"resultUrls": ["https://c/v.mp4"]}),
        app.success(status="FAILED", error_message="moderation"),
        {kind: answer(status, {"code": word, "message": "the vendor's sentence"}) for status, word, kind in reversed(app.ERRORS)},
    ),
}
GARBAGE: dict[str, Response] = {
    "nothing": answer(200),
    "html": page(200),
    "text": answer(200, b"OK"),
    "truncated": answer(200, b'{"code": 200, "error": null, "data": {"video_id": "g1", "task_id": "g'),
    "null": answer(200, b"null"),
    "list": answer(200, [1]),
    "empty object": answer(200, {}),
    "nested without end": answer(200, b"[" * 100_000),
    "number without end": answer(200, b'{"data": ' + b"9" * 10_000 + b"}"),
    "binary": answer(200, bytes(range(256))),
    "204": answer(204),
}


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@pytest.fixture
def submission(dialect: Dialect) -> Call[Generation]:
    return dialect.service.submit(request_of(prompt="a"))


def test_submitting(dialect: Dialect, submission: Call[Generation]) -> None:
    assert submission.request.pays
    assert submission.request.method == "POST"
    generation = submission.read(answer(200, dialect.accepted))
    assert (generation.generation_id, generation.state) == ("g1", GenerationState.IN_PROGRESS)
    assert generation.request == submission.request.json == dialect.service.body(request_of(prompt="a"))


def test_asking(dialect: Dialect) -> None:
    call = dialect.service.get("g1")
    assert not call.request.pays
    running, done, failed = (call.read(answer(200, body)) for body in (dialect.running, dialect.done, dialect.failed))
    assert (running.state, done.state, failed.state) == (GenerationState.IN_PROGRESS, GenerationState.SUCCEEDED, GenerationState.FAILED)
    assert (running.result_urls, done.result_urls, failed.result_urls) == ((), ("https://c/v.mp4",), ())
    assert (running.error, done.error, failed.error) == ("", "", "moderation")
    assert [state.ended for state in (running.state, done.state, failed.state)] == [False, True, True]


def test_each_error_has_the_same_class(dialect: Dialect) -> None:
    assert dialect.errors.keys() >= {
        errors.InvalidRequest,
        errors.Unauthorized,
        errors.InsufficientCredits,
        errors.RateLimited,
        errors.ServiceFault,
    }
    for kind, response in dialect.errors.items():
        assert type(ending(dialect.service.get("g1"), response)) is kind


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_a_bad_response(dialect: Dialect, garbage: str) -> None:
    error = ending(dialect.service.get("g1"), GARBAGE[garbage])
    assert type(error) is errors.BadResponse
    assert len(str(error)) < 500


@pytest.mark.parametrize("state", ["running", "done", "failed"])
def test_an_answer_about_another_id_is_no_answer(dialect: Dialect, state: str) -> None:
    """A proxy or a cache that mixes answers up must neither give a task another's video, nor fail it."""
    name = "video_id" if dialect.service.name == "happy-horse.ai" else "task_id"
    told = getattr(dialect, state)
    for same in (None, "", "g1", "G1", " g1 ", 7, {"id": "other"}):
        asked = "7" if same == 7 else "g1"
        body = {**told, "data": {**told["data"], name: same}}
        assert dialect.service.get(asked).read(answer(200, body)).generation_id == asked
    error = ending(dialect.service.get("g1"), answer(200, {**told, "data": {**told["data"], name: "g2"}}))
    assert type(error) is errors.BadResponse
    assert "is not an answer about g1" in str(error)
    assert delay_before_retry(error, attempt=1, pays=False, random=0.5) is not None


@pytest.mark.parametrize("told", [{"id": "row 5"}, {"id": "5", "task_id": "upstream"}, {"video_id": "g2", "id": "g1"}])
def test_an_id_under_a_name_that_is_not_documented_contradicts_nothing(told: dict[str, str]) -> None:
    """happy-horse.ai asks another service for the video, whose id may stand beside."""
    service = services()["happy-horse.ai"]
    assert service.get("g1").read(answer(200, ai.success({"status": "processing", **told}))).generation_id == "g1"


def test_a_broken_character_beside_the_id_does_not_lose_the_id(dialect: Dialect, submission: Call[Generation]) -> None:
    whole = answer(200, dialect.accepted)
    for broken in (b'"note": "\xff\xed\xa0\x80", ', b'"note": "cut \\ud83d", ', b'"note": NaN, "size": 1e400, '):
        generation = submission.read(Response(200, whole.headers, whole.body.replace(b'"data": {', b'"data": {' + broken)))
        assert generation.generation_id == "g1"
        # A ledger, an XCom or a sidecar can hold it.
        json.dumps(dict(generation.raw), allow_nan=False, ensure_ascii=False).encode()


# --- What an answer to the submission proves (design, money rule 1) ---

REFUSED: dict[str, dict[str, Response]] = {
    "happy-horse.ai": {
        **{f"{status} {code}": answer(status, ai.failure(code)) for status, code, kind in ai.ERRORS if issubclass(kind, Rejected)},
        **{f"200 {code}": answer(200, ai.failure(code)) for _, code, kind in ai.ERRORS if issubclass(kind, Rejected)},
        "400, a code of theirs that is not documented": answer(400, ai.failure("content_policy")),
        "401 empty": answer(401),
    },
    "happyhorse.app": {
        **{f"{status} {word}": answer(status, {"code": word}) for status, word, kind in app.ERRORS if issubclass(kind, Rejected)},
        **{
            f"200 {word}": answer(200, {"code": status, "message": word}) for status, word, kind in app.ERRORS if issubclass(kind, Rejected)
        },
        **{f"200 code {code}": answer(200, {"code": code, "message": "no"}) for code in (400, 401, 402)},
        **{f"{code} with a reason only": answer(code, {"error": "no"}) for code in (400, 401, 402)},
        "401 empty": answer(401),
    },
}
RATE_LIMITED: dict[str, Response] = {"429": answer(429), "429 page": page(429), "429 with headers": answer(429, b"", {"retry-after": "5"})}
AMBIGUOUS: dict[str, dict[str, Response]] = {
    "happy-horse.ai": {
        "200 without an id": answer(200, ai.success({"status": "queued"})),
        "200 with an empty id": answer(200, ai.success({"video_id": ""})),
        "200 with an id that is none": answer(200, ai.success({"video_id": "a b\n"})),
        "200 with a document for an id": answer(200, ai.success({"video_id": "v" * 10_000})),
        "200 with an id elsewhere": answer(200, {"video_id": "v1"}),
        "200 with null data": answer(200, ai.success(None)),
        "200 internal_error": answer(200, ai.failure("internal_error")),
        "200 with an error of no code": answer(200, {"data": None, "error": "something"}),
        "200 with an id and an error": answer(200, {"data": {"video_id": "v1"}, "error": {"code": "validation_error"}}),
        "403 with an id and an error": answer(403, {"data": {"video_id": "v1"}, "error": {"code": "insufficient_credits"}}),
        "400 internal_error": answer(400, ai.failure("internal_error")),
        "403 upstream_error": answer(403, ai.failure("upstream_error")),
        "404 of theirs": answer(404, ai.failure("not_found")),
        "403 of a platform in front": answer(403, {"error": {"code": "403", "message": "Forbidden"}}),
        "409 without a code": answer(409, {"data": None, "error": {"message": "conflict"}}),
        "302 with a refusal": answer(302, ai.failure("validation_error")),
        **{f"{status} {code}": answer(status, ai.failure(code)) for status in (500, 502, 503) for _, code, _ in ai.ERRORS},
    },
    "happyhorse.app": {
        "200 without an id": answer(200, app.success(status="IN_PROGRESS")),
        "200 with an empty id": answer(200, app.success(task_id="")),
        "200 with an id that is none": answer(200, app.success(task_id={"a": 1})),
        "200 with an id under another name": answer(200, app.success(id="n92")),
        "200 with code 0": answer(200, {"code": 0, "data": {"task_id": "n92"}}),
        "200 without a code": answer(200, {"data": {"task_id": "n92"}}),
        "200 with code 200 and a word": answer(200, {"code": 200, "message": "INVALID_PROMPT", "data": None}),
        "200 with an id and a refusal": answer(200, {"code": 402, "message": "no", "data": {"task_id": "n92"}}),
        "402 with an id and a refusal": answer(402, {"code": 402, "message": "no", "data": {"task_id": "n92"}}),
        "200 with an undocumented code": answer(200, {"code": 403, "message": "no"}),
        "200 with code 404": answer(200, {"code": 404, "message": "no"}),
        "200 with code 1001": answer(200, {"code": 1001, "message": "no"}),
        **{f"200 with code {code}": answer(200, {"code": code, "message": "RATE_LIMITED"}) for code in (500, 502, 503, "500")},
        "200 INTERNAL_ERROR": answer(200, {"code": "INTERNAL_ERROR"}),
        "400 INTERNAL_ERROR": answer(400, {"code": "INTERNAL_ERROR"}),
        "400 with code 500": answer(400, {"code": 500, "message": "INVALID_PROMPT"}),
        "400 with code 200": answer(400, {"code": 200, "message": "success"}),
        "404 of theirs": answer(404, {"code": 404, "message": "no"}),
        "403 with JSON": answer(403, {"message": "no"}),
        "302 with a refusal": answer(302, {"code": "INVALID_PROMPT"}),
        **{f"{status} {word}": answer(status, {"code": word}) for status in (500, 502, 503) for _, word, _ in app.ERRORS},
    },
}
AMBIGUOUS_ANYWHERE = {
    **GARBAGE,
    **{
        f"{status} page": page(status)
        for status in (301, 302, 307, 400, 401, 402, 403, 404, 405, 408, 409, 425, 451, 500, 502, 503, 504, 520)
    },
    **{f"{status} empty": answer(status) for status in (100, 304, 400, 402, 403, 404, 407, 408, 500, 502, 503, 504, 599, 999)},
}


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in REFUSED.items() for case in cases])
def test_a_refusal_stays_a_refusal(name: str, case: str) -> None:
    error = ending(DIALECTS[name].service.submit(request_of(prompt="a")), REFUSED[name][case])
    assert isinstance(error, Rejected)
    assert delay_before_retry(error, attempt=1, pays=True, random=0.5) is None


@pytest.mark.parametrize("case", RATE_LIMITED)
def test_a_429_proves_that_nothing_was_accepted(submission: Call[Generation], case: str) -> None:
    error = ending(submission, RATE_LIMITED[case])
    assert type(error) is errors.RateLimited
    assert delay_before_retry(error, attempt=1, pays=True, random=0.5) is not None


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in AMBIGUOUS.items() for case in [*cases, *AMBIGUOUS_ANYWHERE]])
def test_what_proves_nothing_is_ambiguous_and_never_tried_again(name: str, case: str) -> None:
    response = {**AMBIGUOUS_ANYWHERE, **AMBIGUOUS[name]}[case]
    error = ending(DIALECTS[name].service.submit(request_of(prompt="a")), response)
    assert type(error) is Ambiguous
    assert isinstance(error.__cause__, (errors.ServiceFault, errors.BadResponse, errors.NotFound))
    assert str(error.__cause__) in str(error)
    assert delay_before_retry(error, attempt=1, pays=True, random=0.5) is None


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_an_id_is_accepted(dialect: Dialect, submission: Call[Generation], status: int) -> None:
    assert submission.read(answer(status, dialect.accepted)).generation_id == "g1"


def test_a_mapped_call_keeps_its_request_and_its_errors(dialect: Dialect, submission: Call[Generation]) -> None:
    mapped = submission.map(lambda generation: generation.generation_id.upper())
    assert mapped.request == submission.request
    assert mapped.read(answer(200, dialect.accepted)) == "G1"
    assert type(ending(mapped, answer(500))) is Ambiguous


def test_messages_are_one_printable_line_of_bounded_length(dialect: Dialect) -> None:
    noise = "\x1b[31mred\x00\n\r\u2028" + "long " * 10_000
    for status in (200, 400, 401, 403, 404, 429, 500):
        for body in (
            {"code": status, "message": noise, "data": None},
            {"data": None, "error": {"code": noise, "message": noise}},
            noise.encode(),
        ):
            message = str(ending(dialect.service.get("g1"), answer(status, body)))
            assert message.isprintable()
            assert len(message) < 800


# --- Which service answers ---


@pytest.mark.parametrize(
    ("name", "base_url", "found"),
    [
        (None, "https://happy-horse.ai/api/v1", "happy-horse.ai"),
        (None, "https://www.happy-horse.ai", "happy-horse.ai"),
        (None, "https://HAPPYHORSE.app:443/", "happyhorse.app"),
        (None, "happyhorse.app", "happyhorse.app"),
        (None, "happy-horse.ai/api/v1", "happy-horse.ai"),
        ("happyhorse.app", "http://127.0.0.1:8080", "happyhorse.app"),
        ("happyhorse.app", "https://happy-horse.ai", "happyhorse.app"),
        ("happy-horse.ai", None, "happy-horse.ai"),
    ],
)
def test_the_service_is_found_by_name_or_host(name: str | None, base_url: str | None, found: str) -> None:
    assert service_for(name, base_url).name == found


@pytest.mark.parametrize(
    ("name", "base_url", "said"),
    [
        (None, "https://api.happyhorse.app", "api.happyhorse.app"),
        (None, "https://happyhorse.app.evil.example", "happyhorse.app.evil.example"),
        (None, "https://happyhorse.app@evil.example", "evil.example"),
        (None, "http://127.0.0.1:8080", "127.0.0.1"),
        (None, None, "no base URL"),
        (None, "", "no base URL"),
        (None, "https://[", "URL"),
        ("happyhorse", "https://happyhorse.app", "unknown service 'happyhorse'"),
    ],
)
def test_an_unknown_host_is_not_spoken_to_in_a_guessed_dialect(name: str | None, base_url: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        service_for(name, base_url)

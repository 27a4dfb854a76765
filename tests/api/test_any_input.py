"""Whatever comes in, from an author or from the network, only what is documented comes out."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_happyhorse.api.calls import Call, Response
from airflow_provider_happyhorse.api.envelope import rate_limit_of, retry_after_of
from airflow_provider_happyhorse.api.errors import Ambiguous, RateLimited, Rejected, ServiceError
from airflow_provider_happyhorse.api.models import Generation, VideoRequest
from airflow_provider_happyhorse.api.reading import read_request
from airflow_provider_happyhorse.api.retry import delay_before_retry
from airflow_provider_happyhorse.api.service import Service, services
from tests.api import test_happy_horse_ai, test_happyhorse_app
from tests.api.answers import IMAGE, request_of

SERVICES = list(services().values())
CODES = [*test_happy_horse_ai.CODES, *[word for _, word, _ in test_happyhorse_app.ERRORS]]
quick = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "300")),
    deadline=None,
    database=None,
    derandomize="HYPOTHESIS_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 200, 400, 401, 402, 429, 500, 0]),
    st.floats(),
    any_text,
    st.sampled_from([*CODES, "https://c/v.mp4", "n92", "completed", "FAILED", "200", "5", "true", "[", '["x"]']),
)
names = st.sampled_from(
    [
        *["code", "message", "data", "error", "status", "video_id", "task_id", "id", "response", "resultUrls", "video_url", "url"],
        *["credits", "error_message", "created_at", "request", "videos", "subscription"],
    ]
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(names, any_text), inner, max_size=5)),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries({}, optional={"code": scalars, "message": json_values, "data": json_values, "error": json_values})
bodies = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda value, encoding: json.dumps(value).encode(encoding), st.one_of(json_values, envelopes), st.sampled_from(["utf-8", "utf-16"])
    ),
    st.sampled_from(
        [
            b"[" * 5000,
            b'{"data":' * 3000,
            b'{"data": ' + b"1" * 5000 + b"}",
            b'{"code":200,"data":{"task_id":"\\ud800","status":"\\u0000"}}',
        ]
    ),
)
header_values = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
)
headers = st.dictionaries(
    st.sampled_from(["content-type", "retry-after", "date", "location", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]),
    header_values,
    max_size=5,
)
responses = st.builds(
    Response,
    st.one_of(st.sampled_from([200, 200, 201, 400, 401, 402, 403, 404, 429, 500, 502]), st.integers(0, 1100)),
    headers,
    bodies,
)


def calls(service: Service) -> list[Call[Any]]:
    every: list[Call[Any]] = [service.get("n92"), service.probe(), service.submit(request_of(prompt="a"))]
    if "list" in service.capabilities:
        every += [service.list_generations(1, 20), service.upload(IMAGE), service.credits()]
    return every


def outcome(call: Call[Any], response: Response) -> Any:
    """Return what a call reads, or the documented error it ends with; anything else gets through."""
    try:
        return call.read(response)
    except ServiceError as error:
        return error


@quick
@given(response=responses)
def test_no_answer_raises_anything_but_what_a_call_can_end_with(response: Response) -> None:
    for call in [call for service in SERVICES for call in calls(service)]:
        read = outcome(call, response)
        if isinstance(read, ServiceError):
            assert str(read).isprintable()
            assert len(str(read)) < 1000
            delay = delay_before_retry(read, attempt=1, pays=call.request.pays, random=0.5)
            assert delay is None or 0 <= delay < 120
        else:
            assert 200 <= response.status < 300 or call.request == SERVICES[1].probe().request
        if isinstance(read, Generation):
            shown = [read.generation_id, read.raw_status, read.error, dict(read.raw), dict(read.request)]
            json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()
            assert all(url.isprintable() for url in read.result_urls)


@quick
@given(response=responses)
def test_no_answer_to_a_submission_claims_more_than_it_proves(response: Response) -> None:
    for service in SERVICES:
        read = outcome(service.submit(request_of(prompt="a")), response)
        assert type(read) in (Generation, Ambiguous, RateLimited) or isinstance(read, Rejected)
        if response.status >= 500 or response.status < 200 or 300 <= response.status < 400:
            assert type(read) is Ambiguous
        elif isinstance(read, Generation):
            assert 200 <= response.status < 300
            assert service.get(read.generation_id).request.method == "GET"
        elif isinstance(read, Ambiguous):
            assert isinstance(read.__cause__, ServiceError)
        if response.status == 429 and b"id" not in response.body:
            assert type(read) is RateLimited


@quick
@given(headers=headers)
def test_no_header_breaks_the_budget(headers: dict[str, str]) -> None:
    asked = retry_after_of(headers)
    assert asked is None or 0 <= asked < float("inf")
    limit = rate_limit_of(headers)
    assert limit is None or limit.limit is None or limit.limit >= 1


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


fields = st.sampled_from([*VideoRequest.model_fields, "name", "duration", "prompt", "sku"])
cells = st.one_of(
    json_values,
    st.sampled_from([nested(5000), "[" * 5000, "1e999999999", 10**5000, "\ud800", "https://x.example/a.png"]),
    st.decimals(),
    st.binary(max_size=5),
    st.lists(st.fixed_dictionaries({}, optional={"prompt": any_text, "duration": scalars, None: scalars, "name": any_text}), max_size=3),
)
keys = st.one_of(fields, any_text, st.none(), st.integers(), st.tuples(st.integers()))
rows = st.dictionaries(st.one_of(fields, fields, keys), cells, max_size=6)
good_rows = st.fixed_dictionaries(
    {"prompt": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)},
    optional={
        "duration": st.one_of(st.integers(1, 20), st.floats(1, 20), st.decimals(1, 20).map(str)),
        "mode": st.sampled_from(["std", "pro"]),
        "sound": st.sampled_from([True, "false", 0, ""]),
        "model": st.sampled_from(["happyhorse-1.0/video", "doubao-seedance-2-0", "x"]),
        "image_url": st.just("https://x.example/a.png"),
        "image_urls": st.sampled_from(["https://x.example/a.png", ["https://x.example/a.png", ""]]),
        "multi_shots": st.booleans(),
        "multi_prompt": st.lists(st.fixed_dictionaries({"prompt": st.just("a"), "duration": st.floats(1, 12)}), max_size=5),
    },
)


@quick
@given(row=st.one_of(rows, rows, good_rows))
def test_no_row_raises_and_what_passes_can_be_sent(row: dict[Any, Any]) -> None:
    request, problems = read_request(row, VideoRequest)
    assert (request is None) == bool(problems)
    assert all(problem.isprintable() and len(problem) < 250 for problem in problems)
    if request is None:
        return
    for service in SERVICES:
        allowed = service.check(request) == []
        for problem in [*service.check(request), *service.warnings(request)]:
            problem.encode()
        estimate = service.estimate(request)
        body = service.submit(request).request.json
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        if allowed:
            assert estimate.credits is None or estimate.credits > 0
            assert body is not None
            assert body.get("prompt") or body.get("multi_prompt")

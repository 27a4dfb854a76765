"""Wire format of happyhorse.app (https://happyhorse.app/docs).

Documented: two endpoints, the request fields with their limits, the envelope ``{code, message, data}``, the states, and seven error
codes; not where in the body an error's word sits, nor its shape under HTTP 200, so all of them are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from airflow_provider_happyhorse.api.calls import Call, FilePart, Request, Response
from airflow_provider_happyhorse.api.envelope import (
    error_text,
    first_text,
    json_object,
    number_of,
    rate_limit_of,
    retry_after_of,
    text_of,
    unexpected,
    urls_of,
)
from airflow_provider_happyhorse.api.errors import (
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    RateLimited,
    Rejected,
    ServiceError,
    ServiceFault,
    Unauthorized,
    Unsupported,
)
from airflow_provider_happyhorse.api.happyhorse_app_limits import MODEL, limit_problems, unlikely
from airflow_provider_happyhorse.api.models import Generation, GenerationState, RateLimit, VideoRequest
from airflow_provider_happyhorse.api.pricing import Estimate, happyhorse_app_estimate
from airflow_provider_happyhorse.api.service import Capability

REFUSALS: Mapping[str, type[Rejected]] = {
    "INVALID_PROMPT": InvalidRequest,
    "INVALID_DURATION": InvalidRequest,
    "INVALID_MODEL": InvalidRequest,
    "INVALID_API_KEY": Unauthorized,
    "INSUFFICIENT_CREDITS": InsufficientCredits,
}
#: The documented refusing statuses, which may also be the ``code`` of an answer with HTTP 200.
REFUSING: Mapping[int, type[Rejected]] = {400: InvalidRequest, 401: Unauthorized, 402: InsufficientCredits}
STATES = {"SUCCESS": GenerationState.SUCCEEDED, "FAILED": GenerationState.FAILED}
#: An id no generation has; asking for it costs nothing and tells a good key from a bad one.
PROBE_ID = "n92connectiontest"
_WORD = re.compile(r"\b(?:INVALID_(?:PROMPT|DURATION|MODEL|API_KEY)|INSUFFICIENT_CREDITS|RATE_LIMITED|INTERNAL_ERROR)\b")


class HappyHorseApp:
    """The service at https://happyhorse.app."""

    name = "happyhorse.app"
    base_url = "https://happyhorse.app"
    capabilities: frozenset[Capability] = frozenset()

    def check(self, request: VideoRequest, *, pending: frozenset[str] = frozenset()) -> list[str]:
        """Return what the documentation refuses."""
        return limit_problems(request, pending)

    def warnings(self, request: VideoRequest) -> list[str]:
        """Return what is allowed and probably not meant."""
        return unlikely(request)

    def body(self, request: VideoRequest) -> dict[str, object]:
        """Return the given fields, and `model`, which the service requires and which has one value."""
        return {"model": MODEL, **request.given()}

    def estimate(self, request: VideoRequest) -> Estimate:
        """Return the table price."""
        return happyhorse_app_estimate(request)

    def submit(self, request: VideoRequest) -> Call[Generation]:
        """Return POST /api/generate."""
        body = self.body(request)

        def parse(response: Response) -> Generation:
            data = _data(response)
            generation_id = first_text(data, "task_id")
            if not generation_id:
                raise unexpected(response, "an answer with data.task_id")
            return Generation(generation_id, GenerationState.IN_PROGRESS, text_of(data.get("status")), request=body, raw=data)

        return Call(Request("POST", "/api/generate", json=body, pays=True), parse)

    def get(self, generation_id: str) -> Call[Generation]:
        """Return GET /api/status?task_id=."""

        def parse(response: Response) -> Generation:
            data = _data(response)
            if not text_of(data.get("status")):
                raise unexpected(response, "a task with data.status")
            return _generation(data, generation_id)

        return Call(Request("GET", "/api/status", query={"task_id": generation_id}), parse)

    def list_generations(self, page: int, limit: int) -> NoReturn:  # noqa: ARG002  the contract's arguments
        """Raise: there is no list."""
        raise Unsupported(f"{self.name} documents no list of generations; ask for one by its id")

    def upload(self, image: FilePart) -> NoReturn:  # noqa: ARG002  the contract's argument
        """Raise: there is no upload."""
        raise Unsupported(f"{self.name} documents no upload; host the image yourself and give its URL in `image_urls`")

    def credits(self) -> NoReturn:
        """Raise: there is no balance."""
        raise Unsupported(f"{self.name} documents no request for the balance; it is on the account's dashboard")

    def probe(self) -> Call[str]:
        """Return the status request of an invented id: 401 means a bad key, any parseable envelope that the key is good."""

        def parse(response: Response) -> str:
            envelope = json_object(response)
            if envelope is None or response.status >= 500:
                raise _error(response, envelope)
            problem = _error(response, envelope)
            if isinstance(problem, (Unauthorized, RateLimited)):
                raise problem
            return f"{self.name} answers and does not refuse the key"

        return Call(Request("GET", "/api/status", query={"task_id": PROBE_ID}), parse)

    def rate_limit(self, headers: Mapping[str, str]) -> RateLimit | None:
        """Return what the usual headers say, should the service send them; it documents none."""
        return rate_limit_of(headers)


def _data(response: Response) -> dict[str, Any]:
    """Return the member `data` of a success; raise what anything else means."""
    envelope = json_object(response)
    if envelope is not None and 200 <= response.status < 300:
        code = number_of(envelope.get("code"))
        data = envelope.get("data")
        if code == 200 and isinstance(data, dict):
            return data
    raise _error(response, envelope)


def _error(response: Response, envelope: Mapping[str, Any] | None) -> ServiceError:
    """Return what an answer other than a success means."""
    envelope = envelope or {}
    inner = number_of(envelope.get("code"))
    within_200 = 200 <= response.status < 300
    status = int(inner) if within_200 and inner is not None else response.status
    word = _word(envelope)
    message = error_text(envelope.get("message")) or error_text(envelope.get("error")) or "no reason given"
    if status == 429 or word == "RATE_LIMITED":
        return RateLimited(f"{status} {word}: {message}", retry_after=retry_after_of(response.headers))
    if word in REFUSALS and status < 500:
        return REFUSALS[word](message, status=status, code=word)
    if status == 401 or (envelope and status in REFUSING):
        return REFUSING[status](message, status=status, code=word)
    if status >= 500 or word == "INTERNAL_ERROR":
        shown = f"HTTP {status} {word}: {message}" if envelope else str(unexpected(response, "a success"))
        return ServiceFault(shown, status=status)
    if status == 404 and envelope:
        return NotFound(message, status=status, code=word)
    if status >= 400 and not within_200:
        return ServiceFault(f"not the service's own refusal: {unexpected(response, 'its error envelope')}", status=status)
    return unexpected(response, "the documented {code, message, data}")


def _word(envelope: Mapping[str, Any]) -> str:
    """Return the vendor's error word from wherever in the body it sits."""
    for name in ("code", "error", "message", "error_code", "error_message", "data"):
        value = envelope.get(name)
        nested = list(value.values()) if isinstance(value, dict) else [value]
        for candidate in nested:
            if isinstance(candidate, str) and (found := _WORD.search(candidate)):
                return found.group()
    return ""


def _generation(data: Mapping[str, Any], asked_id: str) -> Generation:
    status = text_of(data.get("status"))
    response = data.get("response")
    results = response.get("resultUrls") if isinstance(response, dict) else None
    request = data.get("request")
    return Generation(
        generation_id=asked_id,
        state=STATES.get(status.upper(), GenerationState.IN_PROGRESS),
        raw_status=status,
        result_urls=urls_of(results),
        credits=number_of(data.get("consumed_credits")),
        error=error_text(data.get("error_message")),
        created_at=first_text(data, "created_at"),
        request=request if isinstance(request, dict) else {},
        raw=data,
    )

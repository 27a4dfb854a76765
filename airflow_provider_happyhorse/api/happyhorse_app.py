"""Wire format of happyhorse.app (https://happyhorse.app/docs).

Documented: two endpoints, the request fields with their limits, the envelope ``{code, message, data}``, the states, and seven error
codes; not where in the body an error's word sits, nor its shape under HTTP 200, so all of them are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_happyhorse.api.calls import Call, FilePart, Request, Response
from airflow_provider_happyhorse.api.envelope import (
    error_text,
    first_text,
    id_of,
    is_page,
    json_object,
    number_of,
    quoted,
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
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.api.happyhorse_app_limits import MODEL, limit_problems, unlikely
from airflow_provider_happyhorse.api.pricing import NO_PRICES, Estimate, Prices, happyhorse_app_estimate
from airflow_provider_happyhorse.api.service import Capability

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from airflow_provider_happyhorse.api.generation import Kind
    from airflow_provider_happyhorse.api.models import GenerationRequest, VideoRequest

REFUSALS: Mapping[str, type[Rejected]] = {
    "INVALID_PROMPT": InvalidRequest,
    "INVALID_DURATION": InvalidRequest,
    "INVALID_MODEL": InvalidRequest,
    "INVALID_API_KEY": Unauthorized,
    "INSUFFICIENT_CREDITS": InsufficientCredits,
}
#: The documented refusing statuses, which may also be the ``code`` of an answer with HTTP 200.
REFUSING: Mapping[int, type[Rejected]] = {400: InvalidRequest, 401: Unauthorized, 402: InsufficientCredits}
#: Every documented word and the status it is documented for.
WORDS: Mapping[str, int] = {
    "INVALID_PROMPT": 400,
    "INVALID_DURATION": 400,
    "INVALID_MODEL": 400,
    "INVALID_API_KEY": 401,
    "INSUFFICIENT_CREDITS": 402,
    "RATE_LIMITED": 429,
    "INTERNAL_ERROR": 500,
}
STATES = {"SUCCESS": GenerationState.SUCCEEDED, "FAILED": GenerationState.FAILED}
#: An id no generation has; asking for it costs nothing and tells a good key from a bad one.
PROBE_ID = "n92connectiontest"
_WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b")


NO_IMAGES = "happyhorse.app generates no images; happy-horse.ai does"


class HappyHorseApp:
    """The service at https://happyhorse.app."""

    name = "happyhorse.app"
    base_url = "https://happyhorse.app"
    capabilities: frozenset[Capability] = frozenset()

    def check(self, request: GenerationRequest, *, pending: frozenset[str] = frozenset()) -> list[str]:
        """Return what the documentation refuses."""
        return limit_problems(request, pending) if _is_video(request) else [NO_IMAGES]

    def warnings(self, request: GenerationRequest) -> list[str]:
        """Return what is allowed and probably not meant."""
        return unlikely(request) if _is_video(request) else []

    def body(self, request: GenerationRequest) -> dict[str, object]:
        """Return the given fields, and `model`, which the service requires and which has one value."""
        return {"model": MODEL, **request.given()}

    def estimate(self, request: GenerationRequest, prices: Prices = NO_PRICES) -> Estimate:
        """Return the table price."""
        return happyhorse_app_estimate(request, prices) if _is_video(request) else Estimate(None)

    def submit(self, request: GenerationRequest) -> Call[Generation]:
        """Return POST /api/generate."""
        if not _is_video(request):
            raise Unsupported(NO_IMAGES)
        body = self.body(request)

        def parse(response: Response) -> Generation:
            data = _submitted(response)
            generation_id = id_of(data, "task_id")
            if not generation_id:
                raise unexpected(response, "an answer with data.task_id")
            return Generation(generation_id, GenerationState.IN_PROGRESS, quoted(text_of(data.get("status"))), request=body, raw=data)

        return Call(Request("POST", "/api/generate", json=body, pays=True), parse)

    def get(self, generation_id: str, *, kind: Kind = "video") -> Call[Generation]:  # noqa: ARG002  the contract's argument
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
            problem = _error(response, envelope)
            ours = envelope is not None and any(name in envelope for name in ("code", "message", "data", "error"))
            # A 403 with JSON in it is what a firewall in between says; it must not turn the test of a connection green.
            refused = isinstance(problem, (Unauthorized, RateLimited)) or response.status == 403 or response.status >= 500
            if not ours or refused or _claimed(envelope) in (403, *range(500, 600)) or 300 <= response.status < 400:
                raise problem
            return f"{self.name} answers and does not refuse the key"

        return Call(Request("GET", "/api/status", query={"task_id": PROBE_ID}), parse)

    def rate_limit(self, headers: Mapping[str, str]) -> RateLimit | None:
        """Return what the usual headers say, should the service send them; it documents none."""
        return rate_limit_of(headers)


def _is_video(request: GenerationRequest) -> TypeIs[VideoRequest]:
    return request.kind == "video"


def _submitted(response: Response) -> dict[str, Any]:
    """Return the member `data` of an accepted submission.

    A refusal with a task's id beside it proves neither: taken for a refusal, the task would be lost, or paid for again.
    """
    try:
        return _data(response)
    except (Rejected, RateLimited) as refusal:
        data = (json_object(response) or {}).get("data")
        if isinstance(data, dict) and id_of(data, "task_id"):
            raise unexpected(response, "an answer with either a task or an error") from refusal
        raise


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
    """Return what an answer other than a success means.

    A refusal is only what nothing in the answer contradicts: beside a 5xx or a claim of success there may be a task that is paid for.
    """
    envelope = envelope or {}
    status, claimed = response.status, _claimed(envelope)
    if 200 <= status < 300 and claimed is not None:
        status = claimed
    word = _word(envelope, status)
    message = error_text(envelope.get("message")) or error_text(envelope.get("error")) or "no reason given"
    shown = f"HTTP {response.status}{f', code {claimed}' if claimed else ''}{f' {word}' if word else ''}: {message}"
    if not envelope:
        shown = str(unexpected(response, "a success"))
    if response.status == 429:
        return RateLimited(shown, retry_after=retry_after_of(response.headers))
    if response.status >= 500 or claimed in range(500, 600) or word == "INTERNAL_ERROR":
        asked = retry_after_of(response.headers) if "retry-after" in response.headers else None
        return ServiceFault(shown, status=status, retry_after=asked)
    if claimed == 0 or claimed in range(200, 300) or not (200 <= response.status < 300 or response.status >= 400):
        return unexpected(response, "the documented {code, message, data}, or an error that is one throughout")
    if status == 429 or word == "RATE_LIMITED":
        return RateLimited(shown, retry_after=retry_after_of(response.headers))
    if word:
        return REFUSALS[word](message, status=status, code=word)
    if (envelope and status in REFUSING) or (status == 401 and not is_page(response)):
        return REFUSING[status](message, status=status)
    if status == 404 and claimed == 404:
        return NotFound(message, status=status)
    if response.status >= 400:
        return ServiceFault(f"not the service's own refusal: {unexpected(response, 'its error envelope')}", status=status)
    return unexpected(response, "the documented {code, message, data}")


def _claimed(envelope: Mapping[str, Any] | None) -> int | None:
    """Return the status in the body, which is ``code`` where that is a number."""
    code = number_of((envelope or {}).get("code"))
    return None if code is None else int(code)


def _word(envelope: Mapping[str, Any], status: int) -> str:
    """Return the vendor's error word from wherever in the body it sits.

    Inside a sentence, which may quote a prompt, it counts only where the status is not documented for something else.
    """
    inside = ""
    places = ("code", "error", "error_code", "message", "error_message")
    for name in (*places, "data"):
        value = envelope.get(name)
        for candidate in [value.get(key) for key in places] if isinstance(value, dict) else [value]:
            if not isinstance(candidate, str):
                continue
            if candidate.strip() in WORDS:
                return candidate.strip()
            for found in _WORD.findall(candidate[:1000]):
                inside = inside or (found if status == WORDS[found] or status not in WORDS.values() else "")
    return inside


def _generation(data: Mapping[str, Any], asked_id: str) -> Generation:
    status = text_of(data.get("status"))
    response = data.get("response")
    results = response.get("resultUrls") if isinstance(response, dict) else None
    request = data.get("request")
    return Generation(
        generation_id=asked_id,
        state=STATES.get(status.upper(), GenerationState.IN_PROGRESS),
        raw_status=quoted(status),
        result_urls=urls_of(results),
        credits=number_of(data.get("consumed_credits")),
        error=error_text(data.get("error_message")),
        created_at=first_text(data, "created_at"),
        request=request if isinstance(request, dict) else {},
        raw=data,
    )

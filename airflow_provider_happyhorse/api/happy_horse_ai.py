"""Wire format of happy-horse.ai (https://happy-horse.ai/docs/api-reference).

Documented: paths, request fields, the envelope ``{data, error}``, ``data.video_id``, ``data.status``, ``data.video_url``, ``data.error``,
the error table and the rate headers. Not documented: every other member of an answer; there the reasonable names are read and
``raw`` is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_happyhorse.api.calls import Call, FilePart, Request, Response
from airflow_provider_happyhorse.api.envelope import (
    error_text,
    first_number,
    first_text,
    id_of,
    is_page,
    json_object,
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
    PaidAccessRequired,
    RateLimited,
    Rejected,
    ServiceError,
    ServiceFault,
    Unauthorized,
)
from airflow_provider_happyhorse.api.generation import Credits, Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.api.happy_horse_ai_limits import limit_problems
from airflow_provider_happyhorse.api.pricing import Estimate, happy_horse_ai_estimate
from airflow_provider_happyhorse.api.service import Capability

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.models import VideoRequest

#: The documented error codes that refuse a request (401 to 403 and 400).
REFUSALS: Mapping[str, type[Rejected]] = {
    "unauthorized": Unauthorized,
    "insufficient_credits": InsufficientCredits,
    "paid_access_required": PaidAccessRequired,
    "validation_error": InvalidRequest,
}
#: The documented error codes that prove nothing (500, 502).
FAULTS = frozenset({"internal_error", "upstream_error"})
#: `video_id` is documented for POST /generate; the others are what an undocumented answer may say instead.
ID_NAMES = ("video_id", "id", "task_id")
RATE_LIMIT = "rate_limit_exceeded"
STATES = {"completed": GenerationState.SUCCEEDED, "failed": GenerationState.FAILED}


class HappyHorseAi:
    """The service at https://happy-horse.ai/api/v1."""

    name = "happy-horse.ai"
    base_url = "https://happy-horse.ai/api/v1"
    capabilities: frozenset[Capability] = frozenset({"upload", "list", "credits", "images"})

    def check(self, request: VideoRequest, *, pending: frozenset[str] = frozenset()) -> list[str]:
        """Return what the reference refuses."""
        return limit_problems(request, pending)

    def warnings(self, request: VideoRequest) -> list[str]:  # noqa: ARG002  the contract's argument
        """Return nothing: the reference documents no limit that is not enforced."""
        return []

    def body(self, request: VideoRequest) -> dict[str, object]:
        """Return the given fields; an image without `generation_type` is sent as `image_to_video`.

        The vendor's default is text_to_video, which would most likely pay for a video without the image in it.
        """
        given: dict[str, object] = request.given()
        if "image_url" in given:
            given.setdefault("generation_type", "image_to_video")
        return given

    def estimate(self, request: VideoRequest) -> Estimate:
        """Return the table price."""
        return happy_horse_ai_estimate(request)

    def submit(self, request: VideoRequest) -> Call[Generation]:
        """Return POST /generate."""
        body = self.body(request)

        def parse(response: Response) -> Generation:
            data = _submitted(response)
            generation_id = id_of(data, *ID_NAMES) if isinstance(data, dict) else ""
            if not generation_id:
                raise unexpected(response, "an answer with data.video_id")
            return Generation(generation_id, GenerationState.IN_PROGRESS, quoted(text_of(data.get("status"))), request=body, raw=data)

        return Call(Request("POST", "/generate", json=body, pays=True), parse)

    def get(self, generation_id: str) -> Call[Generation]:
        """Return GET /videos/:video_id, which also makes the service look after the generation."""

        def parse(response: Response) -> Generation:
            data = _data(response)
            if not isinstance(data, dict) or not text_of(data.get("status")):
                raise unexpected(response, "a video with data.status")
            return _generation(data, generation_id)

        return Call(Request("GET", f"/videos/{quote(generation_id, safe='')}"), parse)

    def list_generations(self, page: int, limit: int) -> Call[list[Generation]]:
        """Return GET /videos. The shape of the list is not documented: the first list of objects is taken for it."""

        def parse(response: Response) -> list[Generation]:
            data = _data(response)
            rows = data if isinstance(data, list) else _first_list(data)
            if rows is None:
                raise unexpected(response, "a list of videos")
            found = [_generation(row, "") for row in rows if isinstance(row, dict)]
            return [generation for generation in found if generation.generation_id]

        return Call(Request("GET", "/videos", query={"page": str(page), "limit": str(limit)}), parse)

    def upload(self, image: FilePart) -> Call[str]:
        """Return POST /upload. The answer's member is not documented: `url` and its likes are read."""

        def parse(response: Response) -> str:
            data = _data(response)
            candidates = [data] if not isinstance(data, dict) else [data.get(name) for name in ("url", "image_url", "imageUrl", "file_url")]
            if isinstance(data, dict):
                candidates += [nested.get("url") for nested in data.values() if isinstance(nested, dict)]
            hosted = urls_of(*candidates)
            if not hosted:
                raise unexpected(response, "an upload's answer with a URL")
            return hosted[0]

        return Call(Request("POST", "/upload", file=image), parse)

    def credits(self) -> Call[Credits]:
        """Return GET /credits. Its members are not documented: the likely names are read, `raw` has all."""

        def parse(response: Response) -> Credits:
            data = _data(response)
            if not isinstance(data, dict):
                raise unexpected(response, "the account's credits")
            paid = data.get("paid_access", data.get("has_paid_access", data.get("paidAccess")))
            subscription = data.get("subscription", data.get("subscription_status"))
            return Credits(
                remaining=first_number(data, "credits", "remaining_credits", "remaining", "balance", "credit_balance"),
                paid_access=paid if isinstance(paid, bool) else None,
                subscription=(text_of(subscription) or error_text(subscription) or None) if subscription is not None else None,
                raw=data,
            )

        return Call(Request("GET", "/credits"), parse)

    def probe(self) -> Call[str]:
        """Return GET /credits, which costs nothing and needs a valid key."""

        def sentence(balance: Credits) -> str:
            left = "an unknown number of" if balance.remaining is None else f"{balance.remaining:g}"
            return f"{self.name} accepts the key; {left} credits left"

        return self.credits().map(sentence)

    def rate_limit(self, headers: Mapping[str, str]) -> RateLimit | None:
        """Return the ``X-RateLimit-*`` headers."""
        return rate_limit_of(headers)


def _submitted(response: Response) -> Any:
    """Return the member `data` of an accepted submission.

    A refusal with a video's id beside it proves neither: taken for a refusal, the video would be lost, or paid for again.
    """
    try:
        return _data(response)
    except (Rejected, RateLimited) as refusal:
        data = (json_object(response) or {}).get("data")
        if isinstance(data, dict) and id_of(data, *ID_NAMES):
            raise unexpected(response, "an answer with either a video or an error") from refusal
        raise


def _data(response: Response) -> Any:
    """Return the member `data` of a success; raise what anything else means."""
    envelope = json_object(response)
    if 200 <= response.status < 300 and envelope is not None and not envelope.get("error"):
        return envelope.get("data")
    raise _error(response, envelope or {})


def _error(response: Response, envelope: Mapping[str, Any]) -> ServiceError:
    """Return what an answer other than a success means: 5xx before refusals, because what a 5xx hides may exist and be paid for."""
    problem, status = envelope.get("error"), response.status
    code = _code(envelope)
    message = error_text(problem) or error_text(envelope.get("message")) or "no reason given"
    shown = f"HTTP {status}{f' {code}' if code else ''}: {message}" if problem else str(unexpected(response, "a success"))
    if status == 429:
        return RateLimited(shown, retry_after=retry_after_of(response.headers))
    if status >= 500 or code in FAULTS:
        asked = retry_after_of(response.headers) if "retry-after" in response.headers else None
        return ServiceFault(shown, status=status, retry_after=asked)
    if status < 200 or 300 <= status < 400:
        return unexpected(response, "the documented {data, error}")
    if code == RATE_LIMIT:
        return RateLimited(shown, retry_after=retry_after_of(response.headers))
    if code in REFUSALS:
        return REFUSALS[code](message, status=status, code=code)
    if status == 401 and not is_page(response):
        return Unauthorized(message, status=status, code=code)
    if status >= 400 and code and "data" in envelope:
        return (NotFound if status == 404 else Rejected)(message, status=status, code=code)
    if status >= 400:
        return ServiceFault(f"not the service's own refusal: {unexpected(response, 'its error envelope')}", status=status)
    return unexpected(response, "the documented {data, error}")


def _code(envelope: Mapping[str, Any]) -> str:
    """Return the vendor's error code: `error.code`, or a documented code in a place next to it."""
    problem = envelope.get("error")
    nested = problem if isinstance(problem, dict) else {}
    code = quoted(text_of(nested.get("code")))[:60]
    elsewhere = (text_of(value) for value in (nested.get("error"), nested.get("message"), problem, envelope.get("code")))
    known = {*REFUSALS, *FAULTS, RATE_LIMIT}
    return code if code in known else next((word for word in elsewhere if word in known), code)


def _generation(data: Mapping[str, Any], asked_id: str) -> Generation:
    status = text_of(data.get("status"))
    request = data.get("request", data.get("params"))
    state = STATES.get(status.lower(), GenerationState.IN_PROGRESS)
    return Generation(
        generation_id=asked_id or id_of(data, *ID_NAMES),
        state=state,
        raw_status=quoted(status),
        # Not `image_url`: a video may echo its first frame under that name.
        result_urls=urls_of(*(data.get(name) for name in ("video_url", "video_urls", "result_url", "result_urls"))),
        credits=first_number(data, "credits_used", "credits", "consumed_credits", "cost"),
        error=error_text(data.get("error")) or error_text(data.get("error_message")),
        created_at=first_text(data, "created_at", "createdAt"),
        request=request if isinstance(request, dict) else {},
        raw=data,
    )


def _first_list(data: Any) -> list[Any] | None:
    if not isinstance(data, dict):
        return None
    lists = [value for value in data.values() if isinstance(value, list)]
    return next((found for found in lists if any(isinstance(item, dict) for item in found)), lists[0] if lists else None)

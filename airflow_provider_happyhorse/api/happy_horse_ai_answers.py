"""What an answer of happy-horse.ai means (https://happy-horse.ai/docs/api-reference, "Response Format", "Error Codes")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_happyhorse.api.calls import Response
from airflow_provider_happyhorse.api.envelope import (
    error_text,
    first_number,
    first_text,
    id_of,
    is_page,
    json_object,
    quoted,
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
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, Kind

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
#: Where a result is: `video_url` is documented. A video may echo its first frame as `image_url`, an image its reference pictures as
#: `images`; neither is a result of it.
RESULT_NAMES: Mapping[Kind, tuple[str, ...]] = {
    "video": ("video_url", "video_urls", "result_url", "result_urls"),
    "image": ("image_url", "result_url", "result_urls"),
}
STATES = {"completed": GenerationState.SUCCEEDED, "failed": GenerationState.FAILED}


def submitted(response: Response) -> Any:
    """Return the member `data` of an accepted submission.

    A refusal with a video's id beside it proves neither: taken for a refusal, the video would be lost, or paid for again.
    """
    try:
        return data_of(response)
    except (Rejected, RateLimited) as refusal:
        data = (json_object(response) or {}).get("data")
        if isinstance(data, dict) and id_of(data, *ID_NAMES):
            raise unexpected(response, "an answer with either a video or an error") from refusal
        raise


def data_of(response: Response) -> Any:
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
        return RateLimited(shown, retry_after=retry_after_of(response.headers), code=code)
    if status >= 500 or code in FAULTS:
        asked = retry_after_of(response.headers) if "retry-after" in response.headers else None
        return ServiceFault(shown, status=status, retry_after=asked, code=code)
    if status < 200 or 300 <= status < 400:
        return unexpected(response, "the documented {data, error}")
    if code == RATE_LIMIT:
        return RateLimited(shown, retry_after=retry_after_of(response.headers), code=code)
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


def generation_of(data: Mapping[str, Any], asked_id: str, kind: Kind) -> Generation:
    """Return a status answer or a list's row as a generation.

    :param asked_id: the id that was asked for, ``""`` in a list.
    """
    status = text_of(data.get("status"))
    request = data.get("request", data.get("params"))
    state = STATES.get(status.lower(), GenerationState.IN_PROGRESS)
    return Generation(
        generation_id=asked_id or id_of(data, *ID_NAMES),
        state=state,
        raw_status=quoted(status),
        result_urls=urls_of(*(data.get(name) for name in RESULT_NAMES[kind])),
        credits=first_number(data, "credits_used", "credits", "consumed_credits", "cost"),
        error=error_text(data.get("error")) or error_text(data.get("error_message")),
        created_at=first_text(data, "created_at", "createdAt"),
        request=request if isinstance(request, dict) else {},
        raw=data,
    )


def first_list(data: Any) -> list[Any] | None:
    """Return the first list of objects in an answer, else its first list, else None."""
    if not isinstance(data, dict):
        return None
    lists = [value for value in data.values() if isinstance(value, list)]
    return next((found for found in lists if any(isinstance(item, dict) for item in found)), lists[0] if lists else None)

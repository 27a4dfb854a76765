"""What an answer of happyhorse.app means (https://happyhorse.app/docs, "Responses", "Error codes").

Where in the body an error's word sits is not documented, nor the shape of an error under HTTP 200, so every likely place is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_happyhorse.api.calls import Response
from airflow_provider_happyhorse.api.envelope import (
    error_text,
    first_text,
    id_of,
    is_page,
    json_object,
    number_of,
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
    RateLimited,
    Rejected,
    ServiceError,
    ServiceFault,
    Unauthorized,
)
from airflow_provider_happyhorse.api.generation import Generation, GenerationState

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
_WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b")


def submitted(response: Response) -> dict[str, Any]:
    """Return the member `data` of an accepted submission.

    A refusal with a task's id beside it proves neither: taken for a refusal, the task would be lost, or paid for again.
    """
    try:
        return data_of(response)
    except (Rejected, RateLimited) as refusal:
        data = (json_object(response) or {}).get("data")
        if isinstance(data, dict) and id_of(data, "task_id"):
            raise unexpected(response, "an answer with either a task or an error") from refusal
        raise


def data_of(response: Response) -> dict[str, Any]:
    """Return the member `data` of a success; raise what anything else means."""
    envelope = json_object(response)
    if envelope is not None and 200 <= response.status < 300:
        code = number_of(envelope.get("code"))
        data = envelope.get("data")
        if code == 200 and isinstance(data, dict):
            return data
    raise error_of(response, envelope)


def error_of(response: Response, envelope: Mapping[str, Any] | None) -> ServiceError:
    """Return what an answer other than a success means.

    A refusal is only what nothing in the answer contradicts: beside a 5xx or a claim of success there may be a task that is paid for.
    """
    envelope = envelope or {}
    status, claimed = response.status, claimed_status(envelope)
    if 200 <= status < 300 and claimed is not None:
        status = claimed
    word = _word(envelope, status)
    message = error_text(envelope.get("message")) or error_text(envelope.get("error")) or "no reason given"
    shown = f"HTTP {response.status}{f', code {claimed}' if claimed else ''}{f' {word}' if word else ''}: {message}"
    if not envelope:
        shown = str(unexpected(response, "a success"))
    if response.status == 429:
        return RateLimited(shown, retry_after=retry_after_of(response.headers), code=word)
    if response.status >= 500 or claimed in range(500, 600) or word == "INTERNAL_ERROR":
        asked = retry_after_of(response.headers) if "retry-after" in response.headers else None
        return ServiceFault(shown, status=status, retry_after=asked, code=word)
    if claimed == 0 or claimed in range(200, 300) or not (200 <= response.status < 300 or response.status >= 400):
        return unexpected(response, "the documented {code, message, data}, or an error that is one throughout")
    if status == 429 or word == "RATE_LIMITED":
        return RateLimited(shown, retry_after=retry_after_of(response.headers), code=word)
    if word:
        return REFUSALS[word](message, status=status, code=word)
    if (envelope and status in REFUSING) or (status == 401 and not is_page(response)):
        return REFUSING[status](message, status=status)
    if status == 404 and "message" in envelope and claimed in (None, 404):
        return NotFound(message, status=status)
    if response.status >= 400:
        return ServiceFault(f"not the service's own refusal: {unexpected(response, 'its error envelope')}", status=status)
    return unexpected(response, "the documented {code, message, data}")


def claimed_status(envelope: Mapping[str, Any] | None) -> int | None:
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


def generation_of(data: Mapping[str, Any], asked_id: str) -> Generation:
    """Return a status answer as a generation."""
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

"""What can go wrong on purpose while talking to a service.

To add a fault, write one more function and list it at the end: its name is the fault's name, its keyword arguments are its options and its
docstring is its description in ``GET /_emulator/faults``. It answers the exchange in its own way, or returns False after passing on an
answer that it had no reason to spoil.
"""

from __future__ import annotations

import math
import time
from typing import Any

from .exchange import Answer, Exchange, html_answer, json_answer
from .refusals import Refusal, RefusalKind


async def _refuse(exchange: Exchange, kind: RefusalKind, message: str, *, headers: dict[str, str] | None = None) -> None:
    status, body = exchange.wire.refusal(Refusal(kind, message))
    await exchange.send(json_answer(status, body, headers=headers))


async def _before_or_after(exchange: Exchange, *, carry_out: bool) -> None:
    if carry_out:
        await exchange.carried_out()
    else:
        await exchange.read()


async def rate_limited(exchange: Exchange, *, seconds: float = 60.0, limit: int = 60) -> None:
    """Answer 429 with X-RateLimit-* headers; the window resets in `seconds`."""
    await exchange.read()
    reset = math.ceil(time.time() + seconds)
    headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    await _refuse(exchange, "rate_limited", "Too many requests (emulated).", headers=headers)


async def rate_limited_without_headers(exchange: Exchange) -> None:
    """Answer 429 without a word about when to come back."""
    await exchange.read()
    await _refuse(exchange, "rate_limited", "Too many requests (emulated).")


async def no_rate_headers(exchange: Exchange) -> None:
    """Send the real answer, or the real 429, without X-RateLimit-* headers."""
    answer = await exchange.carried_out()
    for name in _kept(answer):
        del answer.headers[name]
    await exchange.send(answer)


async def unauthorized(exchange: Exchange) -> None:
    """Answer 401, as if the key had been revoked."""
    await exchange.read()
    await _refuse(exchange, "unauthorized", "Missing or invalid API key (emulated).")


async def server_error(exchange: Exchange, *, carry_out: bool = False) -> None:
    """Answer 500 in the vendor's words; with `carry_out` the request was carried out (a job created and charged) all the same."""
    await _before_or_after(exchange, carry_out=carry_out)
    await _refuse(exchange, "internal", "Server error (emulated).")


async def bad_gateway(exchange: Exchange, *, carry_out: bool = False) -> None:
    """Answer 502 in the vendor's words; with `carry_out` the request was carried out all the same."""
    await _before_or_after(exchange, carry_out=carry_out)
    await _refuse(exchange, "upstream", "Upstream failure (emulated).")


async def hang(exchange: Exchange, *, seconds: float = 60.0, carry_out: bool = False) -> None:
    """Say nothing for `seconds`, then close the connection; with `carry_out` the request was carried out first."""
    await _before_or_after(exchange, carry_out=carry_out)
    await exchange.wait(seconds)
    await exchange.close()


async def slow(exchange: Exchange, *, seconds: float = 5.0) -> None:
    """Give the right answer, `seconds` late."""
    answer = await exchange.carried_out()
    await exchange.wait(seconds)
    await exchange.send(answer)


async def reset_before(exchange: Exchange) -> None:
    """Reset the connection (TCP RST) before anything was done: no job, no charge."""
    await exchange.read()
    await exchange.reset()


async def reset_after(exchange: Exchange) -> None:
    """Reset the connection (TCP RST) instead of answering: the job exists and is charged."""
    await exchange.carried_out()
    await exchange.reset()


async def close_before(exchange: Exchange) -> None:
    """Close the connection (FIN) before anything was done."""
    await exchange.read()
    await exchange.close()


async def close_after(exchange: Exchange) -> None:
    """Close the connection (FIN) instead of answering: the job exists and is charged."""
    await exchange.carried_out()
    await exchange.close()


async def malformed_json(exchange: Exchange) -> None:
    """Send the real answer's JSON cut in half, with a matching length: the job exists and is charged."""
    answer = await exchange.carried_out()
    answer.body = answer.body[: len(answer.body) // 2]
    await exchange.send(answer)


async def html(exchange: Exchange, *, status: int = 200, carry_out: bool = False) -> None:
    """Answer with an HTML page (a login wall, a maintenance page) instead of JSON."""
    await _before_or_after(exchange, carry_out=carry_out)
    await exchange.send(html_answer(status, "We will be back soon"))


async def forbidden_by_proxy(exchange: Exchange) -> None:
    """Answer 403 with an HTML page: a firewall's refusal, not the vendor's."""
    await exchange.read()
    await exchange.send(html_answer(403, "403 Forbidden"))


async def wrong_type(exchange: Exchange) -> bool:
    """Send the real answer with every value inside `data` of another type; the job exists and is charged."""
    answer = await exchange.carried_out()
    document = answer.json()
    if not isinstance(document, dict) or document.get("data") is None:
        await exchange.send(answer)
        return False
    document["data"] = {name: _of_another_type(value) for name, value in document["data"].items()}
    await exchange.send(json_answer(answer.status, document, headers=_kept(answer)))
    return True


async def unknown_status(exchange: Exchange, *, status: str = "ON_HOLD") -> bool:
    """Send the real answer with a `status` that no page documents, and no result."""
    answer = await exchange.carried_out()
    document = answer.json()
    rows = [one for one in _rows(document) if "status" in one]
    for one in rows:
        one["status"] = status
        one.update({name: None for name in ("video_url", "response") if name in one})
    await exchange.send(json_answer(answer.status, document, headers=_kept(answer)) if rows else answer)
    return bool(rows)


async def stale_list(exchange: Exchange) -> bool:
    """For GET /videos: send the real list with every job as it was at its submission, whatever has become of it since."""
    answer = await exchange.carried_out()
    document = answer.json()
    data = document.get("data") if isinstance(document, dict) else None
    rows = data.get("videos") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        await exchange.send(answer)
        return False
    for one in rows:
        one.update(status="processing", video_url=None, error=None)
    await exchange.send(json_answer(answer.status, document, headers=_kept(answer)))
    return True


async def ok_with_error_code(exchange: Exchange, *, code: int | str = 402, message: str = "Emulated refusal.") -> None:
    """Answer HTTP 200 with a body that says `code` (402, 429, 500, "INSUFFICIENT_CREDITS", ...) instead of 200; nothing was done."""
    await exchange.read()
    wire = exchange.wire
    if wire.service == "happy-horse.ai":
        await exchange.send(json_answer(200, {"data": None, "error": {"message": message, "code": code}}))
    else:
        await exchange.send(json_answer(200, {"code": code, "message": message, "data": None}))


async def failed_generation(exchange: Exchange, *, reason: str = "Content policy (emulated).") -> bool:
    """Show a finished generation as failed, for a reason; answers about others pass unharmed and do not count."""
    answer = await exchange.carried_out()
    document = answer.json()
    finished = [one for one in _rows(document) if one.get("status") in ("completed", "SUCCESS")]
    for one in finished:
        if "response" in one:
            one.update(status="FAILED", response=None, error_message=reason)
        else:
            one.update(status="failed", video_url=None, error=reason)
    await exchange.send(json_answer(answer.status, document, headers=_kept(answer)) if finished else answer)
    return bool(finished)


async def empty_result_urls(exchange: Exchange) -> bool:
    """Show a finished generation without a result URL; answers about others pass unharmed and do not count."""
    answer = await exchange.carried_out()
    document = answer.json()
    finished = [one for one in _rows(document) if one.get("status") in ("completed", "SUCCESS")]
    for one in finished:
        if "response" in one:
            one["response"] = {"resultUrls": []}
        else:
            one["video_url"] = None
    await exchange.send(json_answer(answer.status, document, headers=_kept(answer)) if finished else answer)
    return bool(finished)


def _rows(document: Any) -> list[dict[str, Any]]:
    """Return the generations an answer speaks of: the one in `data`, or those of a list."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        return []
    return data["videos"] if isinstance(data.get("videos"), list) else [data]


def _kept(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("x-ratelimit-")}


def _of_another_type(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return "not what it should be"
    return 12345 if isinstance(value, str) else ["not what it should be"]


SERVICE_FAULTS = (
    rate_limited,
    rate_limited_without_headers,
    no_rate_headers,
    unauthorized,
    server_error,
    bad_gateway,
    hang,
    slow,
    reset_before,
    reset_after,
    close_before,
    close_after,
    malformed_json,
    html,
    forbidden_by_proxy,
    wrong_type,
    unknown_status,
    stale_list,
    ok_with_error_code,
    empty_result_urls,
    failed_generation,
)

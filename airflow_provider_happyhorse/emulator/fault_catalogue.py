"""Everything that can go wrong on purpose.

To add a fault, write one more function here: its name is the fault's name, its keyword arguments are its options and its docstring is
its description in ``GET /_emulator/faults``. It answers the exchange in its own way, or returns False after passing on an answer that it
had no reason to spoil.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .exchange import Answer, Exchange, html_answer, json_answer
from .refusals import Refusal, RefusalKind

Fault = Callable[..., Awaitable[bool | None]]
CATALOGUE: dict[str, Fault] = {}


def _fault(action: Fault) -> Fault:
    CATALOGUE[action.__name__] = action
    return action


async def _refuse(exchange: Exchange, kind: RefusalKind, message: str, *, headers: dict[str, str] | None = None) -> None:
    status, body = exchange.wire.refusal(Refusal(kind, message))
    await exchange.send(json_answer(status, body, headers=headers))


async def _before_or_after(exchange: Exchange, *, carry_out: bool) -> None:
    if carry_out:
        await exchange.carried_out()
    else:
        await exchange.read()


@_fault
async def rate_limited(exchange: Exchange, *, seconds: float = 60.0, limit: int = 60) -> None:
    """Answer 429 with X-RateLimit-* headers; the window resets in `seconds`."""
    await exchange.read()
    reset = math.ceil(time.time() + seconds)
    headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    await _refuse(exchange, "rate_limited", "Too many requests (emulated).", headers=headers)


@_fault
async def rate_limited_without_headers(exchange: Exchange) -> None:
    """Answer 429 without a word about when to come back."""
    await exchange.read()
    await _refuse(exchange, "rate_limited", "Too many requests (emulated).")


@_fault
async def unauthorized(exchange: Exchange) -> None:
    """Answer 401, as if the key had been revoked."""
    await exchange.read()
    await _refuse(exchange, "unauthorized", "Missing or invalid API key (emulated).")


@_fault
async def server_error(exchange: Exchange, *, carry_out: bool = False) -> None:
    """Answer 500 in the vendor's words; with `carry_out` the request was carried out (a job created and charged) all the same."""
    await _before_or_after(exchange, carry_out=carry_out)
    await _refuse(exchange, "internal", "Server error (emulated).")


@_fault
async def bad_gateway(exchange: Exchange, *, carry_out: bool = False) -> None:
    """Answer 502 in the vendor's words; with `carry_out` the request was carried out all the same."""
    await _before_or_after(exchange, carry_out=carry_out)
    await _refuse(exchange, "upstream", "Upstream failure (emulated).")


@_fault
async def hang(exchange: Exchange, *, seconds: float = 60.0, carry_out: bool = False) -> None:
    """Say nothing for `seconds`, then close the connection; with `carry_out` the request was carried out first."""
    await _before_or_after(exchange, carry_out=carry_out)
    await exchange.wait(seconds)
    await exchange.close()


@_fault
async def slow(exchange: Exchange, *, seconds: float = 5.0) -> None:
    """Give the right answer, `seconds` late."""
    answer = await exchange.carried_out()
    await exchange.wait(seconds)
    await exchange.send(answer)


@_fault
async def reset_before(exchange: Exchange) -> None:
    """Reset the connection (TCP RST) before anything was done: no job, no charge."""
    await exchange.read()
    await exchange.reset()


@_fault
async def reset_after(exchange: Exchange) -> None:
    """Reset the connection (TCP RST) instead of answering: the job exists and is charged."""
    await exchange.carried_out()
    await exchange.reset()


@_fault
async def close_before(exchange: Exchange) -> None:
    """Close the connection (FIN) before anything was done."""
    await exchange.read()
    await exchange.close()


@_fault
async def close_after(exchange: Exchange) -> None:
    """Close the connection (FIN) instead of answering: the job exists and is charged."""
    await exchange.carried_out()
    await exchange.close()


@_fault
async def malformed_json(exchange: Exchange) -> None:
    """Send the real answer's JSON cut in half, with a matching length: the job exists and is charged."""
    answer = await exchange.carried_out()
    answer.body = answer.body[: len(answer.body) // 2]
    await exchange.send(answer)


@_fault
async def html(exchange: Exchange, *, status: int = 200, carry_out: bool = False) -> None:
    """Answer with an HTML page (a login wall, a maintenance page) instead of JSON."""
    await _before_or_after(exchange, carry_out=carry_out)
    await exchange.send(html_answer(status, "We will be back soon"))


@_fault
async def forbidden_by_proxy(exchange: Exchange) -> None:
    """Answer 403 with an HTML page: a firewall's refusal, not the vendor's."""
    await exchange.read()
    await exchange.send(html_answer(403, "403 Forbidden"))


@_fault
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


@_fault
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


@_fault
async def ok_with_error_code(exchange: Exchange, *, code: int | str = 402, message: str = "Emulated refusal.") -> None:
    """Answer HTTP 200 with a body that says `code` (402, 429, 500, "INSUFFICIENT_CREDITS", ...) instead of 200; nothing was done."""
    await exchange.read()
    wire = exchange.wire
    if wire.service == "happy-horse.ai":
        await exchange.send(json_answer(200, {"data": None, "error": {"message": message, "code": code}}))
    else:
        await exchange.send(json_answer(200, {"code": code, "message": message, "data": None}))


@_fault
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


@_fault
async def media_html(exchange: Exchange) -> None:
    """Answer 200 with an HTML page where the file should be."""
    await exchange.read()
    await exchange.send(html_answer(200, "Please sign in"))


@_fault
async def media_expired(exchange: Exchange) -> None:
    """Answer 403 as object stores do for a signed URL that has expired."""
    await exchange.read()
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>\n'
    await exchange.send(Answer(status=403, headers={"content-type": "application/xml"}, body=body))


@_fault
async def media_truncated(exchange: Exchange, *, fraction: float = 0.5) -> None:
    """Declare the right Content-Length, but end the connection after `fraction` of the body."""
    answer = await exchange.carried_out()
    whole = len(answer.body)
    answer.body = answer.body[: int(whole * fraction)]
    await exchange.send_part(answer, declared=whole)
    await exchange.close()


@_fault
async def media_wrong_length(exchange: Exchange, *, difference: int = 1024) -> None:
    """Declare a Content-Length that is `difference` bytes off; below 0 the file is cut to it, so that the answer looks whole and is not."""
    answer = await exchange.carried_out()
    declared = max(0, len(answer.body) + difference)
    answer.body = answer.body[:declared]
    if len(answer.body) == declared:
        await exchange.send(answer)
    else:
        await exchange.send_part(answer, declared=declared)
        await exchange.close()


@_fault
async def media_slow(exchange: Exchange, *, seconds: float = 5.0) -> None:
    """Send the file in twenty parts spread over `seconds`."""
    answer = await exchange.carried_out()
    body, parts = answer.body, 20
    step = max(1, math.ceil(len(body) / parts))
    answer.body = b""
    await exchange.send_part(answer, declared=len(body))
    for start in range(0, len(body), step):
        await exchange.wait(seconds / parts)
        await exchange.send_more(body[start : start + step])
    await exchange.close()


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

"""What can go wrong on purpose while downloading a result; written as in :mod:`.service_faults`.

Those that spoil a body leave answers without one alone (HEAD, 304) and stay armed.
"""

from __future__ import annotations

import math

from .exchange import Answer, Exchange, html_answer


async def media_html(exchange: Exchange) -> None:
    """Answer 200 with an HTML page where the file should be."""
    await exchange.read()
    await exchange.send(html_answer(200, "Please sign in"))


async def media_expired(exchange: Exchange) -> None:
    """Answer 403 as object stores do for a signed URL that has expired."""
    await exchange.read()
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>\n'
    await exchange.send(Answer(status=403, headers={"content-type": "application/xml"}, body=body))


async def media_truncated(exchange: Exchange, *, fraction: float = 0.5) -> bool:
    """Declare the right Content-Length, but end the connection after `fraction` of the body."""
    answer = await exchange.carried_out()
    if not answer.body:
        await exchange.send(answer)
        return False
    whole = len(answer.body)
    answer.body = answer.body[: int(whole * fraction)]
    await exchange.send_part(answer, declared=whole)
    await exchange.close()
    return True


async def media_wrong_length(exchange: Exchange, *, difference: int = 1024) -> bool:
    """Declare a Content-Length that is `difference` bytes off; below 0 the file is cut to it, so that the answer looks whole and is not."""
    answer = await exchange.carried_out()
    if not answer.body:
        await exchange.send(answer)
        return False
    declared = max(0, len(answer.body) + difference)
    answer.body = answer.body[:declared]
    if len(answer.body) == declared:
        await exchange.send(answer)
    else:
        await exchange.send_part(answer, declared=declared)
        await exchange.close()
    return True


async def media_slow(exchange: Exchange, *, seconds: float = 5.0) -> bool:
    """Send the file in twenty parts spread over `seconds`."""
    answer = await exchange.carried_out()
    if not answer.body:
        await exchange.send(answer)
        return False
    body, parts = answer.body, 20
    step = max(1, math.ceil(len(body) / parts))
    answer.body = b""
    await exchange.send_part(answer, declared=len(body))
    for start in range(0, len(body), step):
        await exchange.wait(seconds / parts)
        await exchange.send_more(body[start : start + step])
    await exchange.end()
    return True


MEDIA_FAULTS = (media_html, media_expired, media_truncated, media_wrong_length, media_slow)

"""One request on its way to the services, with everything a fault may do to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import connections
from .wire_formats import HAPPYHORSE_APP, WireFormat, wire_format_at

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(kw_only=True)
class Answer:
    """An HTTP answer that has not been sent yet."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body as a JSON document, None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def json_answer(status: int, document: object, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Build an answer from a JSON document."""
    return Answer(status=status, headers={"content-type": "application/json", **(headers or {})}, body=json.dumps(document).encode())


def html_answer(status: int, text: str) -> Answer:
    """Build the kind of page that proxies and login walls answer with."""
    page = f"<!doctype html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n"
    return Answer(status=status, headers={"content-type": "text/html; charset=utf-8"}, body=page.encode())


class Exchange:
    """One request and the ways to answer it, or not to."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send

    @property
    def wire(self) -> WireFormat:
        """The wire format of the service that is asked."""
        return wire_format_at(self._scope["path"]) or HAPPYHORSE_APP

    async def read(self) -> None:
        """Take in the whole request without passing it on; a close with unread bytes would be a RST, not a FIN."""
        while (message := await self._receive())["type"] == "http.request" and message.get("more_body", False):
            pass

    async def carried_out(self) -> Answer:
        """Let the emulator do what it was asked and return its answer instead of sending it."""
        answer = Answer(status=500)
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            else:
                body.extend(message.get("body", b""))

        await self._app(self._scope, self._receive, keep)
        answer.body = bytes(body)
        return answer

    async def send(self, answer: Answer) -> None:
        """Send a whole answer with the length it really has."""
        # The answer to a HEAD request declares the length of a body that it does not have.
        declared = answer.headers.get("content-length", "0") if self._scope["method"] == "HEAD" else len(answer.body)
        await self.send_part(answer, declared=int(declared))
        await self.end()

    async def send_part(self, answer: Answer, *, declared: int) -> None:
        """Start an answer that declares a length, and send what there is; the caller ends it, or does not."""
        headers = {**answer.headers, "content-length": str(declared)}
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await self.send_more(answer.body)

    async def send_more(self, part: bytes) -> None:
        """Send some bytes of a body."""
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def end(self) -> None:
        """End an answer whose whole declared length was sent; the connection may be used again."""
        await self._send({"type": "http.response.body", "body": b""})

    async def reset(self) -> None:
        """End the connection with a TCP RST."""
        await connections.reset_connection(self._scope, self._receive)

    async def close(self) -> None:
        """End the connection with a FIN after what was sent."""
        await connections.close_connection(self._scope, self._receive)

    async def wait(self, seconds: float) -> None:
        """Wait while the connection stays open."""
        await asyncio.sleep(seconds)

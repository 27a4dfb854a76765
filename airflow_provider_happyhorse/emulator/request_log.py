"""What was asked and answered, for tests and curious authors. No key and no body is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .faults import CONTROL_PREFIX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEPT = 20_000


class RequestLog:
    """The last 20 000 requests, oldest first; requests to the control endpoints are not among them."""

    def __init__(self) -> None:
        self.entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.total = 0

    def reset(self) -> None:
        """Forget all requests."""
        self.entries.clear()
        self.total = 0

    def add(self, entry: dict[str, Any]) -> None:
        """Keep an entry that is filled in further while the request is answered."""
        self.entries.append(entry)
        self.total += 1


class RequestLogMiddleware:
    """Outermost: it sees what the client sees.

    :param clock: returns the Unix time in seconds
    """

    def __init__(self, app: ASGIApp, *, log: RequestLog, clock: Callable[[], float]) -> None:
        self._app = app
        self._log = log
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it ended; a status of None means that no answer was sent."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        entry: dict[str, Any] = {
            "time": self._clock(),
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "status": None,
            "authorization": "authorization" in headers,
            "connection": headers.get("connection"),
            "user_agent": headers.get("user-agent"),
            "client_port": scope["client"][1] if scope.get("client") else None,
            "fault": None,
        }
        self._log.add(entry)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
                entry["fault"] = scope["state"].get("fault")
            await send(message)

        scope.setdefault("state", {})
        try:
            await self._app(scope, receive, note)
        finally:
            entry["fault"] = scope["state"].get("fault")

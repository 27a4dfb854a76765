"""An S3 server on a free loopback port: moto's, in a thread of this process, with the faults that a real one has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

BUCKET = "campaigns"


class QuietRequests(WSGIRequestHandler):
    """Airflow turns the log level up; a line per request would bury what a failing test says."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's name
        """Log nothing."""


@dataclass
class Faults:
    """What goes wrong next.

    :param lost_answers: so many creations are carried out and answered with 500, at keys that contain ``at``.
    :param conflicts: so many creations are answered with 409 instead of being carried out.
    :param at: part of the keys this is about.
    :param ignore_conditions: of all requests, as storages do that know no conditional writes.
    """

    lost_answers: int = 0
    conflicts: int = 0
    at: str = ""
    ignore_conditions: bool = False


class S3Server:
    """The running server. It carries out one request at a time: moto checks a condition and writes in two steps, S3 in one."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._hook = pytest.MonkeyPatch()
        self.faults = Faults()
        self.creations: list[tuple[str, str | None]] = []
        """Path and ``If-None-Match`` of every PUT of an object."""
        self.lists = 0
        """Number of pages of lists asked for."""
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=QuietRequests)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> S3Server:
        """Start it."""
        self._thread.start()
        # Airflow's hook looks for the calling operator's name in the whole stack, for each client: a third of the tests' time.
        self._hook.setattr(AwsGenericHook, "_get_caller", lambda hook, *arguments: "Unknown")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        """Stop it."""
        self._hook.undo()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            path = environ["PATH_INFO"]
            self.lists += "list-type=2" in environ["QUERY_STRING"]
            if environ["REQUEST_METHOD"] == "PUT" and path.strip("/").count("/"):
                self.creations.append((path, environ.get("HTTP_IF_NONE_MATCH")))
                if self.faults.ignore_conditions:
                    environ.pop("HTTP_IF_NONE_MATCH", None)
                if self.faults.at in path and self.faults.conflicts > 0:
                    self.faults.conflicts -= 1
                    return fault(start_response, "409 Conflict", "ConditionalRequestConflict")
                if self.faults.at in path and self.faults.lost_answers > 0:
                    self.faults.lost_answers -= 1
                    list(self._moto(environ, Unheard()))
                    return fault(start_response, "500 Internal Server Error", "InternalError")
            return list(self._moto(environ, start_response))


@dataclass
class Unheard:
    """A ``start_response`` whose answer goes nowhere."""

    heard: list[Any] = field(default_factory=list)

    def __call__(self, *answer: Any) -> Callable[[bytes], None]:
        """Take the status and the headers."""
        self.heard.append(answer)
        return lambda _: None


def fault(start_response: Callable[..., Any], status: str, code: str) -> list[bytes]:
    """Answer as S3 does when something goes wrong."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>as a test asked</Message></Error>'.encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]

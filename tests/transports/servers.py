"""Servers on loopback that behave as badly as networks do; one thread per connection, plain sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from airflow_provider_happyhorse.api.calls import Call, Request, Response

#: What a server does with one connection, after it was accepted.
Behaviour = Callable[["Connection"], None]


@dataclass
class Connection:
    """An accepted connection.

    :param requests: every request head that came on any connection of the server, in order.
    """

    sock: socket.socket
    requests: list[bytes]

    def head(self) -> bytes:
        """Read up to the empty line; ``b""`` when the client has gone."""
        read = b""
        while b"\r\n\r\n" not in read:
            got = self.sock.recv(1)
            if not got:
                return b""
            read += got
        self.requests.append(read)
        return read

    def request(self) -> bytes:
        """Read a whole request and return its head."""
        head = self.head()
        length = next((int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0)
        while length > 0:
            length -= len(self.sock.recv(min(length, 65536)))
        return head

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Make closing the connection send RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Server:
    """Gives each connection to the next behaviour, the last one to all that follow.

    :param tls: behave after a TLS handshake.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behaviours, self._tls = behaviours, tls
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # shutdown() wakes the accept() of the other thread, which close() alone does not.
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(timeout=5)
            assert not thread.is_alive()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def header(self, name: str) -> list[str]:
        """Return the values of a header in all requests, ``""`` where it was missing."""
        prefix = f"{name.lower()}:"
        heads = [request.decode("latin-1").splitlines() for request in self.requests]
        return [next((line.partition(":")[2].strip() for line in head if line.lower().startswith(prefix)), "") for head in heads]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            behaviour = self._behaviours[min(self.connections, len(self._behaviours) - 1)]
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, behaviour), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, behaviour: Behaviour) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            behaviour(Connection(sock, self.requests))
            sock.close()


def answer(body: object = None, *, status: str = "200 OK", headers: Sequence[str] = (), raw: bytes | None = None) -> bytes:
    """Return an HTTP answer with a JSON body."""
    content = json.dumps(body).encode() if raw is None else raw
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def says(*answers: bytes) -> Behaviour:
    """Answer the requests of a connection, the last answer to all that follow."""

    def behave(connection: Connection) -> None:
        given = 0
        while connection.request():
            connection.say(answers[min(given, len(answers) - 1)])
            given += 1

    return behave


def resets_before_reading(connection: Connection) -> None:
    connection.sock.recv(1)
    connection.reset()


def resets_after_reading(connection: Connection) -> None:
    connection.request()
    connection.reset()


def closes_without_an_answer(connection: Connection) -> None:
    connection.request()


def says_and_closes(data: bytes) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.request()
        connection.say(data)

    return behave


def is_silent(connection: Connection) -> None:
    connection.request()
    connection.sock.recv(1)


def drips(start: bytes, drop: bytes, seconds: float = 0.05) -> Behaviour:
    """Begin an answer and go on with it drop by drop until the client has gone."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.say(start)
        while True:
            time.sleep(seconds)
            connection.say(drop)

    return behave


def is_no_tls(connection: Connection) -> None:
    connection.sock.recv(1)
    connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def closes_at_once(connection: Connection) -> None:
    """Accept and go."""


@contextmanager
def refusing_port() -> Iterator[int]:
    """Give a port at which nobody listens: it is bound, so nobody else can take it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@contextmanager
def never_accepting_port() -> Iterator[int]:
    """Give a port whose queue of connections is full, so that Linux lets a further connect() time out."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port


@dataclass(frozen=True)
class Read:
    """What the calls below answer with."""

    status: int
    body: bytes = field(repr=False)


def call(*, pays: bool, **members: Any) -> Call[Read]:
    """Return a call whose answer is read by nobody: what counts here is how it came."""
    request = Request("POST" if pays else "GET", "/thing", json={"prompt": "x"} if pays else None, pays=pays)
    return Call(Request(**{**request.__dict__, **members}), lambda response: _read(response))


def _read(response: Response) -> Read:
    return Read(response.status, response.body)

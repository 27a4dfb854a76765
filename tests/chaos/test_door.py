"""The door really refuses: a scenario behind an open one would prove nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.door import HOST, Door


@pytest.fixture
def echo() -> Iterator[int]:
    """Give the port of a server that says everything once more."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while content := connection.recv(100):
                connection.sendall(content)

    def serve() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def said_again(client: socket.socket) -> bytes:
    client.sendall(b"hello")
    return client.recv(100)


def test_what_is_open_is_cut_the_next_is_refused_and_then_all_is_well_again(echo: int) -> None:
    with Door(echo) as door:
        for _ in range(3):
            with socket.create_connection((HOST, door.port), timeout=5) as client:
                assert said_again(client) == b"hello"
                door.shut()
                assert client.recv(100) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, door.port), timeout=5)
            door.open()

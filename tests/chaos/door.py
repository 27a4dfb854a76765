"""A door in front of a service, which goes on behind it: while it is shut, connections are refused, and those that were open are gone."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"


class Door:
    """Hands the bytes of connections to a loopback port of its own on to another one, both ways.

    :param port: of the service.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = 0

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shut()

    def open(self) -> None:
        """Let connections through, on the same port as before."""
        listening = socket.create_server((HOST, self.port))  # takes over a port whose connections have just ended
        self.port, self._listening = listening.getsockname()[1], listening
        threading.Thread(target=self._let_in, args=(listening,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections, and cut those that are open."""
        listening, self._listening = self._listening, None
        if listening is not None:
            _end(listening)
        with self._lock:
            cut, self._open = self._open, set()
        for connection in cut:
            _end(connection)

    def _let_in(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the door was shut
            while True:
                client = listening.accept()[0]
                try:
                    service = socket.create_connection((HOST, self._behind))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    still_open = self._listening is listening
                    if still_open:
                        self._open |= {client, service}
                if not still_open:
                    _end(client)
                    _end(service)
                    return
                for source, target in ((client, service), (service, client)):
                    threading.Thread(target=self._hand_on, args=(source, target), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one of them is gone
            while content := source.recv(65536):
                target.sendall(content)
        with self._lock:
            self._open -= {source, target}
        _end(source)
        _end(target)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Closing alone wakes nobody who waits in it, and a port on which somebody still waits goes on listening.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

"""Run the application on a loopback socket until it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from .app import create_app
from .connections import ReachableConnection
from .settings import Settings


class _Server(uvicorn.Server):
    """Ends with exit code 0 on SIGTERM and SIGINT: uvicorn itself raises the signal again, which a supervisor sees as a crash."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def serve(settings: Settings, *, listening: socket.socket, on_started: Callable[[], None]) -> None:
    """Answer requests on a listening socket until SIGTERM or SIGINT; open connections then have one second to end."""
    config = uvicorn.Config(
        create_app(settings, on_started=on_started),
        http=ReachableConnection,
        ws="none",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
    )
    _Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Listen on a loopback address.

    :raises OSError: when the port is taken
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be spelled out: asyncio turns Nagle's algorithm off only for sockets that say IPPROTO_TCP, and with it every answer
    # on a kept-alive connection comes 40 ms late.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening

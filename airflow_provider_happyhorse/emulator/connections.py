"""The raw connection of a request, so that a fault can cut it the way networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

_TRANSPORT = "emulator_transport"


class ReachableConnection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, with its transport in the state that uvicorn copies into every request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport for the requests of this connection."""
        self.app_state: dict[str, Any] = {**self.app_state, _TRANSPORT: transport}
        super().connection_made(transport)


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """End the connection with a TCP RST and wait until it is gone."""
    transport = _transport(scope)
    connection: socket.socket = transport.get_extra_info("socket")
    # A linger time of 0 makes the kernel send RST instead of FIN when the socket is closed.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_disconnected(receive)


async def close_connection(scope: Scope, receive: Receive) -> None:
    """Send what is buffered, then end the connection with a FIN and wait until it is gone."""
    _transport(scope).close()
    await _until_disconnected(receive)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["state"][_TRANSPORT]
    return transport


async def _until_disconnected(receive: Receive) -> None:
    # uvicorn answers 500 for an application that returns without an answer, unless it knows by then that the connection is gone.
    while (await receive())["type"] != "http.disconnect":
        pass

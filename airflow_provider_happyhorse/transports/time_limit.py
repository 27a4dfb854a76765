"""A limit on a whole exchange. requests limits single reads only: one byte a minute would hold a worker, and its signals, for days."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError


class TimeLimit:
    """Ends one exchange at a time that is not over in time, whatever it is doing, by shutting its socket down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        #: Seconds the current exchange may take in all.
        self.seconds = 0.0
        #: The current exchange was ended. What was read until then may look whole: a body without a length ends where the socket does.
        self.over = False

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Limit what happens inside the block."""
        with self._lock:
            self.seconds, self.over, self._socket = seconds, False, None
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._socket = None

    def follow(self, used: Any) -> None:
        """Take the socket that the exchange uses from now on."""
        with self._lock:
            # urllib3 talks TLS inside the TLS of an https proxy through an object that holds the socket.
            self._socket = used if isinstance(used, socket.socket) else getattr(used, "socket", None)
            if self.over:
                self._shut_down()

    def _end(self) -> None:
        with self._lock:
            self.over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # Not SSLSocket's own: it would make the reading thread take the rest of the ciphertext for plain text.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class TimedAdapter(HTTPAdapter):
    """The adapter whose connections keep to a time limit."""

    def __init__(self, limit: TimeLimit) -> None:
        self._pools = _pools(limit)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the manager of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the manager of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(limit: TimeLimit) -> dict[str, type[HTTPConnectionPool]]:
    class Timed(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            used = super()._new_conn()
            limit.follow(used)  # a proxy may answer CONNECT, or drip it, before there is any TLS
            if limit.over:
                used.close()
                raise ConnectTimeoutError(self, f"no connection after {limit.seconds:g} s")
            return used

        def connect(self) -> None:
            super().connect()
            limit.follow(self.sock)

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:
                limit.follow(self.sock)
            super().request(*args, **kwargs)

        def send(self, data: Any) -> None:
            if self.sock is None and self.auto_open:
                self.connect()
            if self.sock is not None:
                # urllib3 leaves the connect timeout on while it sends: 10 s for the whole of an image.
                self.sock.settimeout(limit.seconds)
            super().send(data)

    class TimedTls(Timed, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Timed

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TimedTls

    return {"http": Pool, "https": TlsPool}

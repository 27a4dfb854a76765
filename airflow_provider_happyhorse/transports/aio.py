"""Sending a call from the triggerer's event loop, with aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp

from airflow_provider_happyhorse.api.calls import Call, Request, Response
from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, Unreachable
from airflow_provider_happyhorse.transports.endpoint import CONNECT_TIMEOUT, MAX_ANSWER_BYTES, USER_AGENT, Endpoint, trusted_certificates

T = TypeVar("T")


class AioTransport:
    """Sends calls that cost nothing; one try each, because whoever polls decides when to ask again.

    :param endpoint: where to, with which key.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._proxy = endpoint.proxy_url()
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        await self.close()

    async def send(self, call: Call[T]) -> T:
        """Return what the service answers.

        :raises airflow_provider_happyhorse.api.errors.ServiceError: what the call ended with.
        :raises ValueError: for the paying call: submissions are sent by workers, where the record of them is.
        """
        return call.read(await self.answer(call.request))

    async def answer(self, request: Request) -> Response:
        """Return the answer unread, whatever it is: its headers tell the rate limit, of a refusal too.

        :raises airflow_provider_happyhorse.api.errors.ServiceError: no whole answer came.
        :raises ValueError: for the paying call.
        """
        if request.pays or request.file:
            raise ValueError("submissions and uploads are sent by workers")
        try:
            async with (await self._opened()).request(
                request.method,
                self.endpoint.url(request.path),
                params=dict(request.query),
                json=request.json,
                headers={"Authorization": f"Bearer {self.endpoint.api_key}"},
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer:
                body = await _body(answer)
                headers = {name.lower(): self.endpoint.redacted_text(value) for name, value in answer.headers.items()}
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as problem:
            raise Unreachable(f"nothing was sent: {self._shown(problem)}") from self.endpoint.without_key(problem)
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise Ambiguous(f"no complete answer came: {self._shown(problem)}") from self.endpoint.without_key(problem)
        return Response(answer.status, headers, self.endpoint.redacted(body))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _shown(self, problem: Exception) -> str:
        if isinstance(problem, TimeoutError) and not str(problem):
            return f"it was not whole after {self.endpoint.request_timeout:g} s"
        return self.endpoint.redacted_text(f"{type(problem).__name__}: {problem}")

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:  # several requests begin at once, and all of them share one session
            if self._session is None:
                self._session = await self._new_session()
        return self._session

    async def _new_session(self) -> aiohttp.ClientSession:
        # Reading a CA bundle takes tens of milliseconds, which all triggers of this loop would wait.
        tls = await asyncio.to_thread(_tls) if self.endpoint.base_url.startswith("https") else True
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            timeout=aiohttp.ClientTimeout(total=self.endpoint.request_timeout, sock_connect=CONNECT_TIMEOUT),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            trust_env=False,
        )


def _tls() -> ssl.SSLContext:
    trusted = trusted_certificates()
    return ssl.create_default_context(capath=trusted) if Path(trusted).is_dir() else ssl.create_default_context(cafile=trusted)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise BadResponse(f"HTTP {answer.status}: an answer of more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)

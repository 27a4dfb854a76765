"""How calls are sent: the paying one once and on its own, the others again; the key to the service and to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.api.calls import FilePart
from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, RateLimited, ServiceError, ServiceFault
from airflow_provider_happyhorse.api.happy_horse_ai import HappyHorseAi
from airflow_provider_happyhorse.api.models import VideoRequest
from airflow_provider_happyhorse.transports.aio import AioTransport
from airflow_provider_happyhorse.transports.endpoint import MAX_ANSWER_BYTES, Endpoint
from airflow_provider_happyhorse.transports.sync import SyncTransport
from tests.transports import servers
from tests.transports.servers import Server, answer, call

KEY = "sk-secret-1234567890"
OK = answer({"data": {"status": "processing", "video_id": "v1"}})
FAULT = answer({"error": {"code": "server_error", "message": "x"}}, status="500 Internal Server Error")
LIMITED = answer({"error": {"code": "rate_limit"}}, status="429 Too Many Requests", headers=["Retry-After: 7"])


@pytest.fixture
def sync() -> Iterator[Callable[..., SyncTransport]]:
    with contextlib.ExitStack() as stack:

        def transport(url: str, *, slept: list[float] | None = None, **options: Any) -> SyncTransport:
            sleep = [].append if slept is None else slept.append
            made = SyncTransport(Endpoint(url, **{"api_key": KEY, "request_timeout": 5.0, **options}), sleep=sleep, jitter=lambda: 0.0)
            stack.callback(made.close)
            return made

        yield transport


def submission() -> Any:
    return HappyHorseAi().submit(VideoRequest(prompt="a kettle"))


def question() -> Any:
    return HappyHorseAi().get("v1")


class TestTheSubmission:
    @pytest.mark.parametrize(
        "ending", [servers.resets_after_reading, servers.closes_without_an_answer, servers.says(FAULT), servers.says(LIMITED)]
    )
    def test_is_sent_once_whatever_comes(self, sync: Callable[..., SyncTransport], ending: servers.Behaviour) -> None:
        with Server(ending) as server, pytest.raises(ServiceError):
            sync(server.url).send(submission())
        assert len(server.requests) == server.connections == 1

    def test_goes_out_on_a_connection_of_its_own_that_is_closed_after_it(self, sync: Callable[..., SyncTransport]) -> None:
        with Server(servers.says(OK)) as server:
            transport = sync(server.url)
            transport.send(question())
            transport.send(submission())
            transport.send(question())
        assert server.header("connection") == ["keep-alive", "close", "keep-alive"]
        assert server.connections == 2

    @pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "404 Not Found", "302 Found", "200 OK"])
    def test_may_exist_when_the_answer_proves_nothing(self, sync: Callable[..., SyncTransport], status: str) -> None:
        with Server(servers.says(answer({"what": "is this"}, status=status))) as server, pytest.raises(Ambiguous):
            sync(server.url).send(submission())

    def test_may_exist_when_the_answer_is_too_large(self, sync: Callable[..., SyncTransport]) -> None:
        large = answer(raw=b" " * (MAX_ANSWER_BYTES + 1))
        with Server(servers.says(large)) as server, pytest.raises(Ambiguous, match="more than"):
            sync(server.url).send(submission())

    async def test_is_never_sent_from_a_triggerer(self) -> None:
        with Server(servers.says(OK)) as server:
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                with pytest.raises(ValueError, match="workers"):
                    await transport.send(submission())
        assert server.connections == 0


class TestOtherCalls:
    def test_are_sent_again_until_there_is_an_answer(self, sync: Callable[..., SyncTransport]) -> None:
        slept: list[float] = []
        with Server(servers.resets_after_reading, servers.says_and_closes(FAULT), servers.says(LIMITED, OK)) as server:
            sync(server.url, slept=slept).send(question())
        assert len(server.requests) == 4
        assert slept == [0.5, 1.0, 7.0]

    def test_are_sent_as_often_as_the_caller_says(self, sync: Callable[..., SyncTransport]) -> None:
        with Server(servers.says(FAULT)) as server:
            with pytest.raises(ServiceFault):
                sync(server.url).send(question(), attempts=1)
            assert len(server.requests) == 1
            with pytest.raises(ServiceFault):
                sync(server.url).send(question())
            assert len(server.requests) == 6

    async def test_are_sent_once_in_a_triggerer_where_the_poller_decides(self) -> None:
        with Server(servers.says(LIMITED)) as server:
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                with pytest.raises(RateLimited) as caught:
                    await transport.send(question())
        assert caught.value.retry_after == 7
        assert len(server.requests) == 1

    def test_an_upload_over_a_slow_line_has_the_time_of_the_whole_request(
        self, sync: Callable[..., SyncTransport], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_happyhorse.transports.sync.CONNECT_TIMEOUT", 0.3)

        def reads_late(connection: servers.Connection) -> None:
            connection.head()
            time.sleep(1.0)
            while b"--\r\n" not in connection.sock.recv(1 << 20)[-6:]:
                pass
            connection.say(answer({"data": {"url": "https://cdn.example/x.png"}}))

        image = FilePart("image", "x.png", "image/png", b"x" * 9_000_000)
        with Server(reads_late) as server:
            assert sync(server.url, request_timeout=10.0).send(HappyHorseAi().upload(image), attempts=1) == "https://cdn.example/x.png"

    async def test_an_answer_that_is_too_large_is_no_answer(self, sync: Callable[..., SyncTransport]) -> None:
        large = answer(raw=b" " * (MAX_ANSWER_BYTES + 1))
        with Server(servers.says(large)) as server:
            with pytest.raises(BadResponse, match="more than"):
                sync(server.url).send(question(), attempts=1)
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                with pytest.raises(BadResponse, match="more than"):
                    await transport.send(question())


class TestTheKey:
    async def test_goes_to_the_service_and_not_where_it_redirects_to(self, sync: Callable[..., SyncTransport]) -> None:
        with Server(servers.says(OK)) as target:
            away = answer(status="307 Temporary Redirect", headers=[f"Location: {target.url}/api/v1/generate"])
            with Server(servers.says(away)) as server:
                with pytest.raises(Ambiguous):
                    sync(server.url).send(submission())
                with pytest.raises(BadResponse, match="redirects"):
                    sync(server.url).send(question(), attempts=1)
                async with AioTransport(Endpoint(server.url, KEY)) as transport:
                    with pytest.raises(BadResponse, match="redirects"):
                        await transport.send(question())
        assert server.header("authorization") == [f"Bearer {KEY}"] * 3
        assert target.connections == 0

    async def test_is_not_replaced_by_netrc(
        self, sync: Callable[..., SyncTransport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine 127.0.0.1 login me password mine\ndefault login me password mine\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        with Server(servers.says(OK)) as server:
            sync(server.url).send(submission())
            sync(server.url).send(question())
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                await transport.send(question())
        assert server.header("authorization") == [f"Bearer {KEY}"] * 3

    async def test_does_not_reach_a_proxy_of_the_environment_on_its_way_to_loopback(
        self, sync: Callable[..., SyncTransport], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Server(servers.says(OK)) as proxy, Server(servers.says(OK)) as server:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            sync(server.url).send(submission())
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                await transport.send(question())
        assert (len(server.requests), proxy.connections) == (2, 0)

    async def test_is_not_shown_to_a_proxy(self, sync: Callable[..., SyncTransport]) -> None:
        refuses = servers.says_and_closes(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        with Server(refuses) as proxy:
            with pytest.raises(ServiceError):
                sync("https://name.invalid", proxy=proxy.url).send(submission())
            async with AioTransport(Endpoint("https://name.invalid", KEY, proxy=proxy.url)) as transport:
                with pytest.raises(ServiceError):
                    await transport.send(question())
        assert [request.split()[:2] for request in proxy.requests] == [[b"CONNECT", b"name.invalid:443"]] * 2
        assert proxy.header("authorization") == ["", ""]

    @pytest.mark.parametrize(
        "echo",
        [
            answer({"error": {"code": "unauthorized", "message": f"the key {KEY} is unknown"}}, status="401 Unauthorized"),
            answer(raw=f"<html>{KEY}</html>".encode(), status="502 Bad Gateway"),
            answer(status="302 Found", headers=[f"Location: https://elsewhere.example/{KEY}"]),
            f"{KEY} is no status line\r\n\r\n".encode(),
            f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(),
        ],
        ids=["refusal", "page", "location", "status line", "chunk"],
    )
    async def test_is_in_no_error_though_the_service_echoes_it(
        self, sync: Callable[..., SyncTransport], caplog: pytest.LogCaptureFixture, echo: bytes
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with Server(servers.says_and_closes(echo)) as server:
            shown = ""
            for paying in (True, False):
                with pytest.raises(ServiceError) as caught:
                    sync(server.url).send(submission() if paying else question(), attempts=1)
                shown += "".join(traceback.format_exception(caught.value)) + repr(caught.value)
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                with pytest.raises(ServiceError) as caught:
                    await transport.send(question())
                shown += "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert shown.count("airflow_provider_happyhorse.api.errors.") >= 3
        assert KEY not in shown + caplog.text

    def test_is_in_no_repr(self, sync: Callable[..., SyncTransport]) -> None:
        endpoint = Endpoint("https://happy-horse.ai", KEY, proxy="http://me:hidden@proxy.example:3128")
        shown = f"{endpoint!r} {endpoint} {SyncTransport(endpoint)!r} {AioTransport(endpoint)!r} {submission()!r}"
        assert KEY not in shown
        assert "hidden" not in shown


class TestTheEventLoop:
    async def test_goes_on_while_the_service_is_silent(self) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        with Server(servers.is_silent) as server:
            ticking = asyncio.create_task(tick())
            async with AioTransport(Endpoint(server.url, KEY, request_timeout=0.5)) as transport:
                with pytest.raises(Ambiguous, match="not whole after"):
                    await transport.send(question())
            ticking.cancel()
        assert ticks > 20

    async def test_is_not_stopped_by_reading_certificates(self, trusted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        longest, before = 0.0, time.monotonic()

        async def tick() -> None:
            nonlocal longest, before
            while True:
                before = time.monotonic()
                await asyncio.sleep(0)
                longest = max(longest, time.monotonic() - before)

        import ssl

        make = ssl.create_default_context
        monkeypatch.setattr(ssl, "create_default_context", lambda *a, **k: (time.sleep(0.5), make(*a, **k))[1])
        with Server(servers.says(OK), tls=trusted[0].server) as server:
            ticking = asyncio.create_task(tick())
            async with AioTransport(Endpoint(server.url, KEY)) as transport:
                with pytest.raises(ServiceError):
                    await transport.send(question())
            ticking.cancel()
        assert longest < 0.4

    async def test_a_transport_can_be_used_again_after_it_was_closed(self, sync: Callable[..., SyncTransport]) -> None:
        with Server(servers.says(OK)) as server:
            transport = AioTransport(Endpoint(server.url, KEY))
            for _ in range(2):
                assert (await transport.send(question())).generation_id == "v1"
                await transport.close()
            again = sync(server.url)
            for _ in range(2):
                assert again.send(question()).generation_id == "v1"
                again.close()
        assert server.connections == 4


def test_a_stale_keep_alive_connection_does_not_fail_a_question(sync: Callable[..., SyncTransport]) -> None:
    with Server(servers.says_and_closes(OK), servers.says(OK)) as server:
        transport = sync(server.url)
        assert transport.send(question()).generation_id == "v1"
        assert transport.send(question()).generation_id == "v1"


def test_a_call_that_was_cut_in_time_does_not_cut_the_next_one(sync: Callable[..., SyncTransport]) -> None:
    with Server(servers.is_silent, servers.says(OK)) as server:
        transport = sync(server.url, request_timeout=0.4)
        with pytest.raises(Ambiguous):
            transport.send(call(pays=False), attempts=1)
        time.sleep(0.1)
        assert transport.send(question()).generation_id == "v1"
        time.sleep(0.5)
        assert transport.send(question()).generation_id == "v1"
    assert server.connections == 2

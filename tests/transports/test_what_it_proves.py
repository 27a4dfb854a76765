"""What the end of a call without an answer proves, shown with real sockets: the submission is paid for, so nothing may be guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, ServiceError, Unreachable
from airflow_provider_happyhorse.api.happy_horse_ai import HappyHorseAi
from airflow_provider_happyhorse.api.models import VideoRequest
from airflow_provider_happyhorse.transports.aio import AioTransport
from airflow_provider_happyhorse.transports.endpoint import Endpoint
from airflow_provider_happyhorse.transports.sync import SyncTransport
from tests.cdn import Certificates
from tests.transports import servers
from tests.transports.servers import Server, answer, call

Where = Iterator[dict[str, Any]]


def at(*behaviours: servers.Behaviour) -> Callable[[], contextlib.AbstractContextManager[dict[str, Any]]]:
    """Return the place where a plain server behaves so."""

    @contextlib.contextmanager
    def place() -> Where:
        with Server(*behaviours) as server:
            yield {"base_url": server.url}

    return place


@contextlib.contextmanager
def nobody_listens() -> Where:
    with servers.refusing_port() as port:
        yield {"base_url": f"http://127.0.0.1:{port}"}


@contextlib.contextmanager
def the_name_is_unknown() -> Where:
    yield {"base_url": "https://name.invalid"}


@contextlib.contextmanager
def the_name_cannot_be_one() -> Where:
    yield {"base_url": f"https://{'a' * 70}.invalid"}


@contextlib.contextmanager
def nobody_accepts() -> Where:
    with servers.never_accepting_port() as port:
        yield {"base_url": f"http://127.0.0.1:{port}", "request_timeout": 0.5}


@contextlib.contextmanager
def the_proxy_is_away() -> Where:
    with servers.refusing_port() as port:
        yield {"base_url": "https://name.invalid", "proxy": f"http://127.0.0.1:{port}"}


def the_proxy(*behaviours: servers.Behaviour) -> Callable[[], contextlib.AbstractContextManager[dict[str, Any]]]:
    @contextlib.contextmanager
    def place() -> Where:
        with Server(*behaviours) as proxy:
            yield {"base_url": "https://name.invalid", "proxy": proxy.url}

    return place


def accepts_connect_and_drops(connection: servers.Connection) -> None:
    connection.request()
    connection.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
    connection.sock.recv(1)


WHOLE = answer({"data": {"video_id": "v1"}})
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n{}"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

NOT_SENT = {
    "connection refused": nobody_listens,
    "name not resolved": the_name_is_unknown,
    "impossible name": the_name_cannot_be_one,
    "connect timeout": nobody_accepts,
    "proxy away": the_proxy_is_away,
    "proxy refuses CONNECT": the_proxy(servers.says_and_closes(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")),
}
MAYBE_SENT = {
    "reset before the request was read": at(servers.resets_before_reading),
    "reset after the request was read": at(servers.resets_after_reading),
    "FIN without an answer": at(servers.closes_without_an_answer),
    "closed at once": at(servers.closes_at_once),
    "truncated body": at(servers.says_and_closes(WHOLE[:-5])),
    "truncated head": at(servers.says_and_closes(WHOLE[:30])),
    "no HTTP": at(servers.says_and_closes(b"SSH-2.0-OpenSSH_9.6\r\n")),
    "two different lengths": at(servers.says_and_closes(TWO_LENGTHS)),
    "broken chunks": at(servers.says_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")),
    "broken gzip": at(servers.says_and_closes(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")),
    "proxy drops after CONNECT": the_proxy(accepts_connect_and_drops),
}
TOO_LATE = {
    "read timeout": at(servers.is_silent),
    "head drop by drop": at(servers.drips(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n")),
    "body drop by drop": at(servers.drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")),
    "endless body drop by drop": at(servers.drips(ENDLESS, b" ")),
    "chunks drop by drop": at(servers.drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")),
    "CONNECT's answer drop by drop": the_proxy(servers.drips(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n")),
}


def ending_of_the_submission(where: dict[str, Any]) -> ServiceError:
    transport = SyncTransport(Endpoint(**{"api_key": "k", "request_timeout": 5.0, **where}), sleep=lambda _: None)
    with contextlib.closing(transport), pytest.raises(ServiceError) as caught:
        transport.send(HappyHorseAi().submit(VideoRequest(prompt="a kettle")))
    return caught.value


async def ending_of_a_question(where: dict[str, Any]) -> ServiceError:
    async with AioTransport(Endpoint(**{"api_key": "k", "request_timeout": 5.0, **where})) as transport:
        with pytest.raises(ServiceError) as caught:
            await transport.send(
                HappyHorseAi().get("v1"),
            )
    return caught.value


@pytest.mark.parametrize("seen", NOT_SENT)
def test_nothing_was_sent_when(seen: str) -> None:
    with NOT_SENT[seen]() as where:
        assert type(ending_of_the_submission(where)) is Unreachable


@pytest.mark.parametrize("seen", MAYBE_SENT)
def test_the_submission_may_exist_when(seen: str) -> None:
    with MAYBE_SENT[seen]() as where:
        assert type(ending_of_the_submission(where)) is Ambiguous


@pytest.mark.parametrize("seen", TOO_LATE)
def test_the_submission_may_exist_and_the_wait_for_it_is_bounded_when(seen: str) -> None:
    with TOO_LATE[seen]() as where:
        error = ending_of_the_submission({**where, "request_timeout": 0.4})
    assert type(error) is Ambiguous
    assert "not whole after 0.4 s" in str(error) or "timed out" in str(error)


@pytest.mark.parametrize("seen", [*NOT_SENT, *MAYBE_SENT])
async def test_a_question_has_no_answer_when(seen: str) -> None:
    # Which of them it is makes no difference to a poll: all are waited out.
    with (NOT_SENT | MAYBE_SENT)[seen]() as where:
        assert type(await ending_of_a_question(where)) in (Unreachable, Ambiguous, BadResponse)


@pytest.mark.parametrize("seen", TOO_LATE)
async def test_a_question_ends_in_time_when(seen: str) -> None:
    with TOO_LATE[seen]() as where:
        assert type(await ending_of_a_question({**where, "request_timeout": 0.4})) in (Ambiguous, Unreachable)


class TestTls:
    def test_a_self_signed_certificate_is_refused_before_anything_is_sent(self, trusted: tuple[Certificates, Path]) -> None:
        with Server(servers.says(WHOLE), tls=trusted[0].server) as server:
            error = ending_of_the_submission({"base_url": server.url})
            assert server.requests == []
        assert type(error) is Unreachable

    def test_a_certificate_for_another_host_is_refused_before_anything_is_sent(
        self, misnamed: tuple[Certificates, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(misnamed[1]))
        with Server(servers.says(WHOLE), tls=misnamed[0].server) as server:
            error = ending_of_the_submission({"base_url": server.url})
            assert server.requests == []
        assert type(error) is Unreachable

    @pytest.mark.parametrize("behaviour", [servers.is_no_tls, servers.resets_before_reading, servers.closes_at_once])
    def test_other_failures_of_tls_prove_nothing(self, behaviour: servers.Behaviour) -> None:
        with Server(behaviour) as server:
            error = ending_of_the_submission({"base_url": server.url.replace("http:", "https:")})
        assert type(error) is Ambiguous

    def test_tls_that_is_cut_while_it_answers_proves_nothing(
        self, trusted: tuple[Certificates, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted[1]))
        with Server(servers.says_and_closes(WHOLE[:-5]), tls=trusted[0].server) as server:
            assert type(ending_of_the_submission({"base_url": server.url})) is Ambiguous

    def test_an_answer_over_tls_that_drips_ends_in_time(self, trusted: tuple[Certificates, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted[1]))
        with Server(servers.drips(ENDLESS, b" "), tls=trusted[0].server) as server:
            error = ending_of_the_submission({"base_url": server.url, "request_timeout": 0.5})
        assert type(error) is Ambiguous
        assert "not whole after 0.5 s" in str(error)

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    async def test_both_transports_trust_the_bundle_of_the_environment(
        self, trusted: tuple[Certificates, Path], monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, str(trusted[1]))
        with Server(servers.says(WHOLE), tls=trusted[0].server) as server:
            endpoint = Endpoint(server.url, "k")
            with contextlib.closing(SyncTransport(endpoint)) as transport:
                assert transport.send(call(pays=True)).status == 200
            async with AioTransport(endpoint) as transport:
                assert (await transport.send(call(pays=False))).status == 200

    async def test_a_bundle_that_is_not_there_is_named_and_nothing_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
        where = {"base_url": "https://127.0.0.1:9"}
        assert "/nowhere/ca.pem" in str(ending_of_the_submission(where))
        assert type(ending_of_the_submission(where)) is Unreachable
        assert "/nowhere/ca.pem" in str(await ending_of_a_question(where))

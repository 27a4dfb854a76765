from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from airflow_provider_happyhorse.transports import download as module
from airflow_provider_happyhorse.transports.addresses import reach
from airflow_provider_happyhorse.transports.download import (
    Downloaded,
    DownloadRules,
    Network,
    ResultExpired,
    ResultRefused,
    ResultUnavailable,
    download,
    shown,
)
from airflow_provider_happyhorse.transports.network import connect, system_tls
from tests.cdn import Asked, Cdn, Certificates, certificates, head, redirect, says, whole

BODY = hashlib.shake_256(b"a video").digest(300_000)
EMULATOR = DownloadRules(allow_loopback=True)


class Memory:
    """A sink that can be looked at."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.restarts = 0

    def write(self, data: bytes, /) -> None:
        self.data += data

    def restart(self) -> None:
        self.data.clear()
        self.restarts += 1


class Pauses:
    """A clock that stands still while nobody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def clock(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def network(self, **edges: object) -> Network:
        return Network(clock=self.clock, sleep=self.sleep, **edges)  # type: ignore[arg-type]


def fetch(url: str, rules: DownloadRules = EMULATOR, network: Network | None = None) -> tuple[bytes, Downloaded]:
    sink = Memory()
    done = download(url, into=sink, rules=rules, network=network or Pauses().network())
    assert done.bytes == len(sink.data)
    return bytes(sink.data), done


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"), "cdn.example", "assets.example")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Something on loopback that must not be connected to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def nobody_connected(server: socket.socket, *, but: int = 0) -> bool:
    server.settimeout(0.2)
    for _ in range(but):
        server.accept()[0].close()
    try:
        server.accept()
    except TimeoutError:
        return True
    return False


class TestWhatArrives:
    def test_a_result_arrives_whole(self, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/v.mp4").respond_with_data(BODY, content_type="video/mp4")
        body, done = fetch(httpserver.url_for("/v.mp4"))
        assert body == BODY
        assert done == Downloaded(bytes=len(BODY), requests=1, content_type="video/mp4")

    def test_a_blank_in_a_url_is_sent_as_every_browser_sends_it(self) -> None:
        with Cdn(whole(BODY)) as cdn:
            assert fetch(f" {cdn.url('/my shoe%20.mp4?name=my shoe&sig=a%2Fb')} ")[0] == BODY
        assert cdn.asked[0].line == "GET /my%20shoe%20.mp4?name=my%20shoe&sig=a%2Fb HTTP/1.1"

    def test_the_request_carries_no_credentials_and_asks_for_plain_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: socket.socket
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{listening.getsockname()[1]}")
        with Cdn(whole(BODY)) as cdn:
            fetch(cdn.url("/v%20w.mp4?sig=a%2Fb&x=ü#part"))
        (asked,) = cdn.asked
        assert asked.line == "GET /v%20w.mp4?sig=a%2Fb&x=%C3%BC HTTP/1.1"
        assert set(asked.headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert asked.headers["accept-encoding"] == "identity"
        assert nobody_connected(listening)

    def test_a_chunked_body_without_a_length_arrives(self) -> None:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:1000], BODY[1000:]))
        with Cdn(says(head(Transfer_Encoding="chunked") + chunks + b"0\r\n\r\n")) as cdn:
            assert fetch(cdn.url())[0] == BODY

    def test_a_server_that_keeps_the_connection_open_is_not_waited_for(self) -> None:
        done = threading.Event()

        def keeps_open(_: Asked, sock: socket.socket) -> None:
            sock.sendall(head(Content_Length=len(BODY)) + BODY)
            done.wait(10)

        with Cdn(keeps_open) as cdn:
            started = time.monotonic()
            body, _ = fetch(cdn.url())
            assert time.monotonic() - started < 5
            done.set()
        assert body == BODY

    def test_what_follows_the_announced_length_is_not_part_of_the_result(self) -> None:
        with Cdn(says(head(Content_Length=100) + BODY)) as cdn:
            assert fetch(cdn.url())[0] == BODY[:100]


class TestCuts:
    def test_a_cut_is_continued_where_it_was(self) -> None:
        pauses = Pauses()
        with Cdn(whole(BODY, etag='"1"', cut_after=100_000), whole(BODY, etag='"1"', cut_after=50_000), whole(BODY, etag='"1"')) as cdn:
            body, done = fetch(cdn.url(), network=pauses.network())
        assert body == BODY
        assert done.requests == 3
        assert [asked.offset for asked in cdn.asked] == [None, 100_000, 150_000]
        assert cdn.asked[1].headers["if-range"] == '"1"'
        assert pauses.slept == [0.5, 1.0]

    @pytest.mark.parametrize("etag", [None, 'W/"1"'], ids=["no ETag", "a weak ETag"])
    def test_without_a_strong_validator_it_begins_again(self, etag: str | None) -> None:
        def cut(_: Asked, sock: socket.socket) -> None:
            sock.sendall(head(Content_Length=len(BODY), **({"ETag": etag} if etag else {})) + b"x" * 1000)

        with Cdn(cut, whole(BODY)) as cdn:
            assert fetch(cdn.url())[0] == BODY
        assert [asked.offset for asked in cdn.asked] == [None, None]

    def test_a_file_that_changed_meanwhile_is_not_spliced(self) -> None:
        with Cdn(whole(b"y" * 300_000, etag='"old"', cut_after=1000), whole(BODY, etag='"new"')) as cdn:
            assert fetch(cdn.url())[0] == BODY

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content_Range": "bytes 999-299999/300000", "ETag": '"1"'},
            {"Content_Range": "bytes 1000-299999/300001", "ETag": '"1"'},
            {"Content_Range": "bytes 1000-299999/*", "ETag": '"1"'},
            {"Content_Range": "bytes 1000-1999/300000", "ETag": '"1"'},
            {"Content_Range": "bytes 1000-299999/300000", "ETag": '"2"'},
            {"Content_Range": "bytes 1000-299999/300000"},
            {"ETag": '"1"'},
        ],
        ids=["another place", "another length", "unknown length", "not to the end", "another file", "no word of which file", "no place"],
    )
    def test_an_answer_that_does_not_fit_is_not_appended(self, headers: dict[str, object]) -> None:
        wrong = says(head("206 Partial Content", Content_Length=299_000, **headers) + b"z" * 299_000)
        with Cdn(whole(BODY, etag='"1"', cut_after=1000), wrong, whole(BODY, etag='"1"')) as cdn:
            assert fetch(cdn.url())[0] == BODY
        assert [asked.offset for asked in cdn.asked] == [None, 1000, None]

    def test_a_range_that_the_server_cannot_serve_begins_again(self) -> None:
        refuses = says(head("416 Range Not Satisfiable", Content_Length=0))
        with Cdn(whole(BODY, etag='"1"', cut_after=1000), refuses, whole(BODY, etag='"1"')) as cdn:
            assert fetch(cdn.url())[0] == BODY
        assert [asked.offset for asked in cdn.asked] == [None, 1000, None]

    def test_a_chunked_body_that_ends_early_is_not_the_result(self) -> None:
        with Cdn(says(head(Transfer_Encoding="chunked") + b"ff\r\nonly this"), whole(BODY)) as cdn:
            assert fetch(cdn.url())[0] == BODY

    @pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Busy", "429 Too Many Requests"])
    def test_a_passing_trouble_is_waited_out(self, status: str) -> None:
        pauses = Pauses()
        with Cdn(says(head(status, Content_Length=0, Retry_After=7)), whole(BODY)) as cdn:
            assert fetch(cdn.url(), network=pauses.network())[0] == BODY
        assert pauses.slept == [7.0]

    def test_a_server_that_always_lies_about_the_length_is_given_up(self) -> None:
        with Cdn(whole(BODY, cut_after=10)) as cdn, pytest.raises(ResultUnavailable, match="the connection ended after 10 of 300000 bytes"):
            fetch(cdn.url())
        assert len(cdn.asked) == module.MAX_REQUESTS

    def test_nobody_listening_is_given_up_too(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with pytest.raises(ResultUnavailable, match="ConnectionRefusedError"):
            fetch(f"http://127.0.0.1:{port}/v.mp4?sig=secret")

    def test_something_that_is_not_http_is_given_up(self) -> None:
        with Cdn(says(b"SSH-2.0-OpenSSH_9\r\n")) as cdn, pytest.raises(ResultUnavailable, match="BadStatusLine"):
            fetch(cdn.url())

    def test_a_full_disk_is_not_taken_for_a_broken_connection(self) -> None:
        class Full(Memory):
            def write(self, data: bytes, /) -> None:
                raise OSError(28, "No space left on device")

        with Cdn(whole(BODY)) as cdn, pytest.raises(OSError, match="No space left"):
            download(cdn.url(), into=Full(), rules=EMULATOR)
        assert len(cdn.asked) == 1


class TestAnswersThatStay:
    @pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"])
    def test_an_expired_url_says_so_at_once_and_without_its_signature(self, status: str) -> None:
        with Cdn(says(head(status, Content_Length=0))) as cdn, pytest.raises(ResultExpired) as caught:
            fetch(cdn.url("/v.mp4?Signature=geheim"))
        assert len(cdn.asked) == 1
        assert "geheim" not in str(caught.value)
        assert f"/v.mp4 answered {status[:3]}" in str(caught.value)

    @pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "402 Payment Required", "416 Range"])
    def test_other_answers_are_refused_at_once(self, status: str) -> None:
        with Cdn(says(head(status, Content_Length=0))) as cdn, pytest.raises(ResultRefused, match=f"answered {status[:3]}"):
            fetch(cdn.url())
        assert len(cdn.asked) == 1

    def test_a_compressed_answer_is_refused(self) -> None:
        with Cdn(says(head(Content_Encoding="gzip", Content_Length=3) + b"abc")) as cdn, pytest.raises(ResultRefused, match="compressed"):
            fetch(cdn.url())

    @pytest.mark.parametrize("coding", ["identity", "none", "aws-chunked", "aws-chunked, identity", "UTF-8", "", "binary"])
    def test_one_that_only_says_something_about_its_coding_is_not_compressed(self, coding: str) -> None:
        with Cdn(says(head(Content_Encoding=coding, Content_Length=3) + b"abc")) as cdn:
            assert fetch(cdn.url())[0] == b"abc"

    @pytest.mark.parametrize("coding", ["aws-chunked,gzip", "br", "x-gzip", "unheard-of"])
    def test_others_are_refused(self, coding: str) -> None:
        with Cdn(says(head(Content_Encoding=coding, Content_Length=3) + b"abc")) as cdn, pytest.raises(ResultRefused, match="compressed"):
            fetch(cdn.url())

    def test_an_announced_size_above_the_limit_stores_nothing(self) -> None:
        sink = Memory()
        rules = DownloadRules(allow_loopback=True, max_bytes=299_999)
        with Cdn(whole(BODY)) as cdn, pytest.raises(ResultRefused, match=r"300000 bytes, above the limit of 299999 \(max_result_bytes\)"):
            download(cdn.url(), into=sink, rules=rules)
        assert not sink.data

    def test_an_endless_body_ends_at_the_limit(self) -> None:
        def endless(_: Asked, sock: socket.socket) -> None:
            sock.sendall(head())
            while True:
                sock.sendall(bytes(65536))

        sink = Memory()
        with Cdn(endless) as cdn, pytest.raises(ResultRefused, match="more than 1000000 bytes"):
            download(cdn.url(), into=sink, rules=DownloadRules(allow_loopback=True, max_bytes=1_000_000))
        assert len(sink.data) <= 1_000_000

    @pytest.mark.parametrize("start", [b"", head(Content_Length=9_000_000)], ids=["in the head", "in the body"])
    def test_a_trickle_of_bytes_ends_with_the_time(self, start: bytes) -> None:
        def trickle(_: Asked, sock: socket.socket) -> None:
            sock.sendall(start)
            while True:
                sock.sendall(b"H")
                time.sleep(0.05)

        rules = DownloadRules(allow_loopback=True, max_seconds=0.5)
        with Cdn(trickle) as cdn:
            started = time.monotonic()
            with pytest.raises(ResultRefused, match="max_download_seconds"):
                download(cdn.url(), into=Memory(), rules=rules)
            assert time.monotonic() - started < 3

    def test_silence_ends_with_the_time(self) -> None:
        done = threading.Event()

        def silent(_: Asked, sock: socket.socket) -> None:
            done.wait(10)

        with Cdn(silent) as cdn:
            started = time.monotonic()
            with pytest.raises(ResultRefused, match="max_download_seconds"):
                download(cdn.url(), into=Memory(), rules=DownloadRules(allow_loopback=True, max_seconds=0.4))
            assert time.monotonic() - started < 3
            done.set()

    def test_pauses_do_not_outlast_the_time(self) -> None:
        pauses = Pauses()
        rules = DownloadRules(allow_loopback=True, max_seconds=10)
        with Cdn(says(head("503 Busy", Content_Length=0))) as cdn, pytest.raises(ResultRefused, match=r"within 10 s .*answered 503"):
            fetch(cdn.url(), rules, pauses.network())
        assert pauses.clock() < 10


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("8.8.8.8", "public"),
            ("2606:4700::1111", "public"),
            ("::ffff:8.8.8.8", "public"),
            ("64:ff9b::808:808", "public"),
            ("10.1.2.3", "private"),
            ("172.31.0.1", "private"),
            ("192.168.0.1", "private"),
            ("100.64.0.1", "private"),
            ("fd12::1", "private"),
            ("::ffff:10.1.2.3", "private"),
            ("127.0.0.1", "loopback"),
            ("127.9.9.9", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("169.254.169.254", "never"),
            ("::ffff:169.254.169.254", "never"),
            ("fe80::1", "never"),
            ("fe80::1%eth0", "never"),
            ("fec0::1", "never"),
            ("fd00:ec2::254", "never"),
            ("100.100.100.200", "never"),
            ("168.63.129.16", "never"),
            ("0.0.0.0", "never"),
            ("::", "never"),
            ("::127.0.0.1", "never"),
            ("::ffff:0:127.0.0.1", "never"),
            ("64:ff9b::7f00:1", "never"),
            ("64:ff9b::a9fe:a9fe", "never"),
            ("64:ff9b:1::a00:1", "never"),
            ("2002:7f00:1::", "never"),
            ("2002:a00:1::1", "never"),
            ("2001::1", "never"),
            ("2001:db8::1", "never"),
            ("3fff::1", "never"),
            ("224.0.0.1", "never"),
            ("ff0e::1", "never"),
            ("255.255.255.255", "never"),
            ("192.0.2.1", "never"),
            ("198.18.0.1", "never"),
            ("not an address", "never"),
        ],
    )
    def test_each_kind_is_known(self, address: str, expected: str) -> None:
        assert reach(address) == expected

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://cdn.example/v.mp4", "plain http"),
            ("ftp://cdn.example/v.mp4", "not https"),
            ("file:///etc/passwd", "not https"),
            ("//cdn.example/v.mp4", "not https"),
            ("", "not https"),
            ("https://user:pass@cdn.example/v.mp4", "user name or password"),
            ("https://cdn exa.mple/a", "space in its host"),
            ("https://cdn.example/a\x7fb", "control characters"),
            ("https://cdn.example:port/v.mp4", "cannot be read"),
            ("https://[nonsense/v.mp4", "cannot be read"),
            (f"https://{'a' * 70}.example/v.mp4", "not a host name|cannot be read"),
        ],
    )
    def test_a_url_that_is_not_https_to_a_host_is_refused(self, url: str, reason: str) -> None:
        def resolve(host: str, port: int) -> list[str]:
            host.encode("idna")
            return ["8.8.8.8"]

        def never(*_: object) -> socket.socket:
            raise AssertionError("nothing may be connected to")

        with pytest.raises(ResultRefused, match=reason) as caught:
            fetch(url, network=Pauses().network(resolve=resolve, connect=never))
        assert "pass" not in str(caught.value).replace("password", "").replace("passwd", "")

    @pytest.mark.parametrize(
        "rules",
        [DownloadRules(), DownloadRules(allow_loopback=True)],
        ids=["a service", "the emulator"],
    )
    @pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "2852039166"])
    def test_a_private_address_is_never_connected_to(self, rules: DownloadRules, host: str) -> None:
        def never(*_: object) -> socket.socket:
            raise AssertionError("nothing may be connected to")

        with pytest.raises(ResultRefused, match="leads to"):
            fetch(f"https://{host}/v.mp4", rules, Pauses().network(connect=never))

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_loopback_is_refused_to_a_real_service(self, scheme: str, listening: socket.socket) -> None:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
            with pytest.raises(ResultRefused):
                fetch(f"{scheme}://{host}:{port}/", DownloadRules())
        assert nobody_connected(listening)

    def test_private_addresses_are_an_explicit_setting(self) -> None:
        tried: list[str] = []

        def note(address: str, port: int, timeout: float) -> socket.socket:
            tried.append(address)
            raise ConnectionRefusedError

        network = Pauses().network(connect=note, resolve=lambda host, port: ["10.0.0.7", "169.254.169.254"])
        with pytest.raises(ResultUnavailable):
            fetch("https://cdn.internal/v.mp4", DownloadRules(allow_private=True), network)
        assert set(tried) == {"10.0.0.7"}

    def test_only_the_allowed_addresses_of_a_host_are_tried_in_order_and_the_name_is_resolved_once_per_request(self) -> None:
        tried: list[str] = []
        lookups: list[str] = []

        def resolve(host: str, port: int) -> list[str]:
            lookups.append(host)
            return ["10.0.0.7", "8.8.8.8", "2606:4700::1111"] if len(lookups) == 1 else ["127.0.0.1"]

        def note(address: str, port: int, timeout: float) -> socket.socket:
            tried.append(address)
            raise ConnectionRefusedError

        with pytest.raises(ResultRefused, match=r"leads to 127\.0\.0\.1"):
            fetch("https://cdn.example/v.mp4", DownloadRules(), Pauses().network(connect=note, resolve=resolve))
        assert tried == ["8.8.8.8", "2606:4700::1111"]
        assert lookups == ["cdn.example", "cdn.example"]

    def test_the_peer_of_a_connection_is_checked(self, listening: socket.socket) -> None:
        with connect("127.0.0.1", listening.getsockname()[1], 5) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match="localhost"):  # a name is no address: it could be looked up again
            connect("localhost", listening.getsockname()[1], 5)
        assert nobody_connected(listening, but=1)


class TestRedirects:
    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_redirect_to_loopback_is_refused_even_for_the_emulator(self, scheme: str, status: str, listening: socket.socket) -> None:
        port = listening.getsockname()[1]
        with Cdn(redirect(f"{scheme}://127.0.0.1:{port}/admin", status)) as cdn, pytest.raises(ResultRefused, match="redirects to"):
            fetch(cdn.url(), DownloadRules(allow_loopback=True, allow_private=True))
        assert nobody_connected(listening)
        assert len(cdn.asked) == 1

    @pytest.mark.parametrize("target", ["/elsewhere.mp4", "//localhost/x"])
    def test_not_even_to_itself(self, target: str) -> None:
        with Cdn(redirect(target)) as cdn, pytest.raises(ResultRefused, match="https only"):
            fetch(cdn.url())
        assert cdn.connections == 1

    @pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "metadata.example"])
    def test_a_redirect_to_the_metadata_service_connects_to_nothing(self, host: str) -> None:
        connected: list[str] = []

        def note(address: str, port: int, timeout: float) -> socket.socket:
            connected.append(address)
            return connect(address, port, timeout)

        def resolve(name: str, port: int) -> list[str]:
            return ["169.254.169.254"] if name == "metadata.example" else [name]

        with (
            Cdn(redirect(f"https://{host}/latest/meta-data/?token=geheim")) as cdn,
            pytest.raises(ResultRefused, match="leads to") as caught,
        ):
            fetch(cdn.url(), DownloadRules(allow_loopback=True, allow_private=True), Pauses().network(connect=note, resolve=resolve))
        assert connected == ["127.0.0.1"]
        assert "geheim" not in str(caught.value)

    def test_a_redirect_is_followed_over_https_with_the_same_checks(self, certified: Certificates) -> None:
        with (
            Cdn(whole(BODY), tls=certified.server) as target,
            Cdn(redirect("https://assets.example/v.mp4?s=1"), tls=certified.server) as cdn,
        ):
            ports = {"8.8.8.8": cdn.port, "8.8.4.4": target.port}

            def routed(address: str, port: int, timeout: float) -> socket.socket:
                assert port == 443
                return socket.create_connection(("127.0.0.1", ports[address]), timeout=timeout)

            network = Network(
                resolve=lambda host, port: ["8.8.8.8"] if host == "cdn.example" else ["8.8.4.4"],
                connect=routed,
                tls=lambda: certified.client,
            )
            assert fetch("https://cdn.example/v.mp4", DownloadRules(), network)[0] == BODY
        assert cdn.asked[0].headers["host"] == "cdn.example"
        assert target.asked[0].headers["host"] == "assets.example"
        assert target.asked[0].line == "GET /v.mp4?s=1 HTTP/1.1"

    def test_redirects_in_a_circle_end(self, certified: Certificates) -> None:
        with Cdn(redirect("/again"), tls=certified.server) as cdn:
            network = Network(
                resolve=lambda host, port: ["8.8.8.8"],
                connect=lambda address, port, timeout: socket.create_connection(("127.0.0.1", cdn.port), timeout=timeout),
                tls=lambda: certified.client,
            )
            with pytest.raises(ResultRefused, match="redirects more than 5 times"):
                fetch("https://cdn.example/v.mp4", DownloadRules(), network)
        assert len(cdn.asked) == 6

    def test_a_redirect_to_nowhere_is_refused(self) -> None:
        with Cdn(says(head("302 Found", Content_Length=0))) as cdn, pytest.raises(ResultRefused, match="without saying where to"):
            fetch(cdn.url())

    @pytest.mark.parametrize("target", ["https://[broken/", "https://host:port/", "file:///etc/passwd", "http://8.8.8.8/"])
    def test_a_redirect_to_nonsense_is_refused(self, target: str) -> None:
        with Cdn(redirect(target)) as cdn, pytest.raises(ResultRefused):
            fetch(cdn.url())


class TestTls:
    def edges(self, cdn: Cdn, certified: Certificates) -> Network:
        return Network(
            resolve=lambda host, port: ["8.8.8.8"],
            connect=lambda address, port, timeout: socket.create_connection(("127.0.0.1", cdn.port), timeout=timeout),
            tls=lambda: certified.client,
            sleep=lambda seconds: None,
        )

    def test_the_name_is_verified_although_the_address_is_connected_to(self, certified: Certificates) -> None:
        with Cdn(whole(BODY), tls=certified.server) as cdn:
            assert fetch("https://cdn.example/v.mp4", DownloadRules(), self.edges(cdn, certified))[0] == BODY

    @pytest.mark.parametrize("host", ["other.example", "8.8.8.8"])
    def test_a_certificate_for_another_name_is_refused(self, host: str, certified: Certificates) -> None:
        with Cdn(whole(BODY), tls=certified.server) as cdn, pytest.raises(ResultRefused, match="certificate of"):
            fetch(f"https://{host}/v.mp4", DownloadRules(), self.edges(cdn, certified))
        assert not cdn.asked

    def test_the_systems_authorities_do_not_trust_our_own(self, certified: Certificates) -> None:
        with Cdn(whole(BODY), tls=certified.server) as cdn:
            network = Network(
                resolve=lambda host, port: ["8.8.8.8"],
                connect=lambda address, port, timeout: socket.create_connection(("127.0.0.1", cdn.port), timeout=timeout),
            )
            with pytest.raises(ResultRefused, match="not to be trusted: self-signed"):
                fetch("https://cdn.example/v.mp4", DownloadRules(), network)


class TestProxy:
    def proxy(self, target: Cdn, status: bytes = b"200 OK") -> Cdn:
        """A proxy that tunnels everything to one server."""

        def tunnel(_: Asked, sock: socket.socket) -> None:
            sock.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
            if status[:3] != b"200":
                return
            with socket.create_connection(("127.0.0.1", target.port)) as onward:

                def pump(source: socket.socket, sink: socket.socket) -> None:
                    while data := source.recv(65536):
                        sink.sendall(data)
                    sink.shutdown(socket.SHUT_WR)

                back = threading.Thread(target=pump, args=(onward, sock), daemon=True)
                back.start()
                pump(sock, onward)
                back.join(5)

        return Cdn(tunnel)

    def test_a_name_that_only_the_proxy_knows_goes_through_it(self, certified: Certificates) -> None:
        def resolve(host: str, port: int) -> list[str]:
            if host == "127.0.0.1":
                return [host]
            raise socket.gaierror(-2, "Name or service not known")

        with Cdn(whole(BODY), tls=certified.server) as cdn, self.proxy(cdn) as proxy:
            rules = DownloadRules(proxy=f"http://127.0.0.1:{proxy.port}")
            network = Network(resolve=resolve, tls=lambda: certified.client)
            assert fetch("https://cdn.example/v.mp4", rules, network)[0] == BODY
        assert proxy.asked[0].line == "CONNECT cdn.example:443 HTTP/1.1"
        assert set(proxy.asked[0].headers) == {"host"}

    @pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "169.254.169.254"]])
    def test_a_name_that_is_known_to_lead_inside_is_not_asked_of_the_proxy(self, addresses: list[str], listening: socket.socket) -> None:
        rules = DownloadRules(proxy=f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ResultRefused, match="leads to"):
            fetch("https://inside.example/v.mp4", rules, Pauses().network(resolve=lambda host, port: addresses))
        assert nobody_connected(listening)

    def test_the_emulator_is_reached_directly(self, listening: socket.socket) -> None:
        rules = DownloadRules(allow_loopback=True, proxy=f"http://127.0.0.1:{listening.getsockname()[1]}")
        with Cdn(whole(BODY)) as cdn:
            assert fetch(cdn.url(), rules)[0] == BODY
        assert nobody_connected(listening)

    def test_a_proxy_that_refuses_says_so(self, certified: Certificates) -> None:
        with Cdn(whole(BODY)) as cdn, self.proxy(cdn, b"407 Proxy Authentication Required") as proxy:
            rules = DownloadRules(proxy=f"http://127.0.0.1:{proxy.port}")
            network = Pauses().network(resolve=lambda host, port: [host] if host[0] == "1" else ["8.8.8.8"])
            with pytest.raises(ResultUnavailable, match=r"answered 407 when asked for cdn\.example:443"):
                fetch("https://cdn.example/v.mp4", rules, network)

    @pytest.mark.parametrize("proxy", ["https://proxy.example:8080", "socks5://proxy.example", "http://user:pw@proxy.example", "http://"])
    def test_other_proxies_are_refused(self, proxy: str) -> None:
        network = Pauses().network(resolve=lambda host, port: ["8.8.8.8"])
        with pytest.raises(ResultRefused, match="http://host:port without credentials"):
            fetch("https://cdn.example/v.mp4", DownloadRules(proxy=proxy), network)

    @pytest.mark.parametrize(("variables", "hint"), [({"HTTPS_PROXY": "proxy.example:3128"}, True), ({}, False)])
    def test_a_server_that_only_a_proxy_of_the_environment_would_reach_gets_a_hint(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], hint: bool
    ) -> None:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        def refuse(*_: object) -> socket.socket:
            raise ConnectionRefusedError(111, "Connection refused")

        network = Pauses().network(resolve=lambda host, port: ["8.8.8.8"], connect=refuse)
        with pytest.raises(ResultUnavailable) as caught:
            fetch("https://cdn.example/v.mp4", DownloadRules(), network)
        assert ("name it in the connection's extra `proxy`" in str(caught.value)) is hint

    def test_a_server_that_answers_gets_none(self, monkeypatch: pytest.MonkeyPatch, certified: Certificates) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
        with Cdn(says(head("503 Busy", Content_Length=0)), tls=certified.server) as cdn:
            network = Pauses().network(
                resolve=lambda host, port: ["8.8.8.8"],
                connect=lambda address, port, timeout: socket.create_connection(("127.0.0.1", cdn.port)),
                tls=lambda: certified.client,
            )
            with pytest.raises(ResultUnavailable, match=r"answered 503$"):
                fetch("https://cdn.example/v.mp4", DownloadRules(), network)


def test_what_is_shown_of_a_url_has_no_signature_and_no_user() -> None:
    assert shown("https://user:pw@cdn.example:8443/a/b.mp4?X-Amz-Signature=1#f") == "https://cdn.example:8443/a/b.mp4"


def test_memory_does_not_grow_with_the_result(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024

    def big(_: Asked, sock: socket.socket) -> None:
        sock.sendall(head(Content_Length=size))
        for _index in range(size // 65536):
            sock.sendall(bytes(65536))

    script = textwrap.dedent(
        """
        import resource, sys
        from airflow_provider_happyhorse.transports.download import DownloadRules, download

        class Nowhere:
            def write(self, data): pass
            def restart(self): pass

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done = download(sys.argv[1], into=Nowhere(), rules=DownloadRules(allow_loopback=True))
        print(done.bytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
        """
    )
    with Cdn(big) as cdn:
        run = subprocess.run(
            [sys.executable, "-c", script, cdn.url()],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": "."},
        )
    done, grown = map(int, run.stdout.split())
    assert done == size
    assert grown < 16, f"{grown} MiB more for a result of 64 MiB"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_results_trust_the_certificates_that_the_api_calls_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    certified = certificates(tmp_path, "127.0.0.1")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "server.pem"))
    system_tls.cache_clear()
    try:
        with Cdn(whole(BODY), tls=certified.server) as cdn:
            assert fetch(f"https://127.0.0.1:{cdn.port}/v.mp4")
    finally:
        system_tls.cache_clear()

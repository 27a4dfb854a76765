"""Whatever a result's server does: the task ends with PublishFailed and its reason, nothing is stored, and nobody gets the key."""

from __future__ import annotations

import logging
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.operators.publish import publish_result
from tests.cdn import Answer, Asked, Cdn, head, redirect, says, whole
from tests.emulator_process import EmulatorProcess
from tests.media_samples import mp4, picture, video

VIDEO = video()
_connected: list[tuple[str, int]] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _connected is not None and isinstance(arguments[1], tuple):
        _connected.append(arguments[1][:2])


sys.addaudithook(_note)  # the interpreter tells of every connection, whoever opens it and whether it succeeds or not


@contextmanager
def connections() -> Iterator[list[tuple[str, int]]]:
    """Note the address and port of every connection that this process begins."""
    global _connected
    _connected = []
    try:
        yield _connected
    finally:
        _connected = None


def endless(_: Asked, sock: socket.socket) -> None:
    sock.sendall(head(Content_Type="video/mp4"))
    while True:
        sock.sendall(VIDEO)


def trickles(start: bytes) -> Answer:
    def answer(_: Asked, sock: socket.socket) -> None:
        sock.sendall(start)
        while True:
            sock.sendall(b"H")
            time.sleep(0.05)

    return answer


def silent(_: Asked, sock: socket.socket) -> None:
    sock.recv(1)  # the other side hangs up first


def resets(_: Asked, sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BODIES: dict[str, tuple[Answer, str]] = {
    "an endless body": (endless, "max_result_bytes"),
    "a length above the limit": (says(head(Content_Length=10**15)), "max_result_bytes"),
    "a cut again and again": (whole(VIDEO, cut_after=700), r"ended after 700 of \d+ bytes"),
    "a cut again and again, that can be continued": (whole(VIDEO, etag='"1"', cut_after=3), r"ended after \d+ of \d+ bytes"),
    "a length that is too long": (says(head(Content_Length=len(VIDEO) + 1) + VIDEO), r"ended after \d+ of \d+ bytes"),
    "a length that is too short": (says(head(Content_Length=len(VIDEO) - 1) + VIDEO), "truncated MP4"),
    "a chunked body that ends early": (
        says(head(Transfer_Encoding="chunked") + b"ffff\r\nxx"),
        "ended early",
    ),
    "gzip": (says(head(Content_Encoding="gzip", Content_Length=3) + b"\x1f\x8b\x08"), "compressed"),
    "gzip that nobody announced": (whole(b"\x1f\x8b\x08" + bytes(100)), "gzip data"),
    "a trickle in the head": (trickles(b""), "max_download_seconds"),
    "a trickle in the body": (trickles(head(Content_Length=900_000)), "max_download_seconds"),
    "silence": (silent, "max_download_seconds"),
    "resets": (resets, "ConnectionResetError|RemoteDisconnected"),
    "something that is not HTTP": (says(b"SSH-2.0-OpenSSH_9\r\n"), "BadStatusLine"),
    "500 for ever": (says(head("500 Oops", Content_Length=0)), "answered 500"),
    "a part that nobody asked for": (says(head("206 Partial Content", Content_Length=5) + b"12345"), "answered 206"),
    "nothing": (whole(b""), "empty file"),
    "an HTML page": (whole(b"<!doctype html><title>Sign in</title>"), "HTML page"),
    "JSON": (whole(b'{"error": "expired"}'), "JSON"),
    "half a video, announced as that": (whole(VIDEO[: len(VIDEO) // 2]), "truncated MP4"),
    "a video without moov": (whole(mp4(moov=b"")), "without a 'moov'"),
    "half a PNG": (whole(picture("PNG")[:-20]), "truncated PNG"),
    "half a JPEG": (whole(picture("JPEG")[:-20]), "truncated JPEG"),
    "half a WebP": (whole(picture("WEBP")[:-20]), "truncated WebP"),
    "a redirect to the metadata service": (redirect("https://169.254.169.254/latest/meta-data/"), r"leads to 169\.254\.169\.254 \(never\)"),
    "the same in IPv6": (redirect("https://[fd00:ec2::254]/latest/"), "leads to fd00:ec2::254"),
    "the same as a mapped address": (redirect("https://[::ffff:169.254.169.254]/"), "leads to ::ffff"),
    "the same over http": (redirect("http://169.254.169.254/latest/meta-data/"), "https only"),
    "a redirect to a private address": (redirect("https://10.0.0.1/"), r"leads to 10\.0\.0\.1 \(private\)"),
    "a redirect to a private name": (redirect("https://localhost/"), r"leads to .*\(loopback\)"),
    "a redirect to a number": (redirect("https://2130706433/"), r"leads to 127\.0\.0\.1"),
    "a redirect to loopback": (redirect("https://127.0.0.1:9/"), r"leads to 127\.0\.0\.1"),
    "a redirect down to http": (redirect("http://8.8.8.8/v.mp4"), "https only"),
    "a redirect to a file": (redirect("file:///etc/passwd"), "https only"),
    "a redirect to nowhere": (says(head("302 Found", Content_Length=0)), "without saying where to"),
}


@pytest.fixture
def publish(connect: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Give the function that publishes a result from a URL as the operator does, within 1.5 s and 1 MB."""
    monkeypatch.setenv("AIRFLOW__HAPPYHORSE__MAX_RESULT_BYTES", "1000000")
    monkeypatch.setenv("AIRFLOW__HAPPYHORSE__MAX_DOWNLOAD_SECONDS", "1.5")
    connect()

    def published(url: str) -> dict[str, Any]:
        ti = SimpleNamespace(dag_id="teaser", run_id="r1", task_id="publish", map_index=-1)
        known = {"generation_id": "n1", "name": "shoe", "result_urls": [url]}
        hook = HappyHorseHook("happyhorse_default")
        return publish_result({"ti": ti}, known, destination=f"{tmp_path}/out/", if_exists="skip", hook=hook, log=logging.getLogger("t"))  # type: ignore[arg-type]

    return published


def test_a_connection_that_is_not_found_now_is_worth_a_retry(
    publish: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
    with pytest.raises(PublishFailed, match="there is no connection 'happyhorse_default'; nothing was published") as caught:
        publish("http://127.0.0.1:9/v.mp4")
    assert not isinstance(caught.value, PublishRefused)


@pytest.mark.parametrize("case", BODIES)
def test_a_hostile_answer_ends_with_its_reason(
    case: str, publish: Callable[[str], dict[str, Any]], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    answer, reason = BODIES[case]
    with Cdn(answer) as cdn, connections() as connected:
        with pytest.raises(PublishFailed, match=reason) as caught:
            publish(cdn.url("/v.mp4?Signature=geheim"))
        assert set(connected) == {("127.0.0.1", cdn.port)}, "nothing else was connected to, the API included"
    assert "geheim" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert emulator.key not in str([(asked.line, asked.headers) for asked in cdn.asked])
    assert not any("authorization" in asked.headers for asked in cdn.asked)


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/v.mp4",
        "https://[fd00:ec2::254]/v.mp4",
        "https://[64:ff9b::a9fe:a9fe]/v.mp4",
        "http://8.8.8.8/v.mp4",
        "https://user:pw@8.8.8.8/v.mp4",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ],
)
def test_a_hostile_address_is_never_connected_to(url: str, publish: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    with connections() as connected, pytest.raises(PublishRefused):
        publish(url)
    assert connected == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_same_server_behaving_well_is_published_from(publish: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    with Cdn(whole(VIDEO)) as cdn:
        assert publish(cdn.url())["bytes"] == len(VIDEO)


def test_a_failing_network_may_be_tried_again_by_airflow_and_a_refusal_may_not() -> None:
    from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

    assert issubclass(PublishFailed, AirflowException)
    assert not issubclass(PublishFailed, AirflowFailException)
    assert issubclass(PublishRefused, (PublishFailed, AirflowFailException))

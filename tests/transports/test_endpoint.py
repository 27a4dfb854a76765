"""Where a key may be sent, and through which proxy."""

from __future__ import annotations

import pytest

from airflow_provider_happyhorse.transports.endpoint import Endpoint, is_loopback_host


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("http://happy-horse.ai", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://0.0.0.0:80", "plain http"),
        ("http://127.0.0.1.nip.example", "plain http"),
        ("http://localhost.example", "plain http"),
        ("http://localhost@happy-horse.ai", "no user"),
        ("ftp://127.0.0.1", "must be like"),
        ("file:///etc/passwd", "must be like"),
        ("happy-horse.ai", "must be like"),
        ("https://", "must be like"),
        ("", "must be like"),
        ("https://key@happy-horse.ai", "no user"),
        ("https://happy-horse.ai?key=1", "no user"),
        ("https://happy-horse.ai/#x", "no user"),
    ],
)
def test_a_base_url_that_would_give_the_key_away_is_refused(base_url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Endpoint(base_url, "k")


@pytest.mark.parametrize(
    "base_url", ["https://happy-horse.ai", "http://127.0.0.1:80", "http://localhost", "http://[::1]:8731", "http://127.8.9.1"]
)
def test_https_and_loopback_are_taken(base_url: str) -> None:
    assert Endpoint(base_url, "k").url("/x") == f"{base_url}/x"


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel", "tab\t", "\u2018k\u2019"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        Endpoint("https://happy-horse.ai", key)
    assert not key or key not in str(caught.value)


def test_a_refused_base_url_does_not_show_a_password_in_it() -> None:
    with pytest.raises(ValueError) as caught:
        Endpoint("http://me:secret@happy-horse.ai", "k")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.1", False), ("10.0.0.1", False)]
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


class TestProxies:
    @pytest.mark.parametrize("given", ["http://proxy.example:3128", "proxy.example:3128"])
    def test_the_environment_names_one_for_https(self, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", given)
        assert Endpoint("https://happy-horse.ai", "k").proxy_url() == "http://proxy.example:3128"

    @pytest.mark.parametrize("exempt", ["happy-horse.ai", ".horse.ai,happy-horse.ai", "*"])
    def test_no_proxy_is_honoured(self, monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        monkeypatch.setenv("NO_PROXY", exempt)
        assert Endpoint("https://happy-horse.ai", "k").proxy_url() is None

    def test_the_connections_own_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        monkeypatch.setenv("NO_PROXY", "*")
        assert Endpoint("https://happy-horse.ai", "k", proxy="mine:1").proxy_url() == "http://mine:1"

    def test_loopback_has_none(self) -> None:
        assert Endpoint("http://127.0.0.1:1", "k", proxy="http://proxy.example:3128").proxy_url() is None

"""What a connection says, from JSON and from a URI, in a worker and in a triggerer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.hooks.settings import ConnectionSettings, async_settings

CONN_ID = "campaign"


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Any:
    def defined(value: str | dict[str, Any]) -> str:
        text = value if isinstance(value, str) else json.dumps({"conn_type": "happyhorse", **value})
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", text)
        return CONN_ID

    return defined


def shown(settings: ConnectionSettings) -> dict[str, Any]:
    """Return what two settings must have in common; services are told apart by name."""
    return {
        "conn_id": settings.conn_id,
        "service": settings.service.name,
        "endpoint": settings.endpoint,
        "max_credits": settings.max_credits,
        "allow_private_results": settings.allow_private_results,
    }


async def read(conn_id: str) -> dict[str, Any]:
    """Return the settings, after checking that a triggerer sees the same."""
    settings = HappyHorseHook(conn_id).settings
    assert shown(await async_settings(conn_id)) == shown(settings)
    return {**shown(settings), "base_url": settings.endpoint.base_url, "key": settings.endpoint.api_key}


AI, APP = "https://happy-horse.ai/api/v1", "https://happyhorse.app"


@pytest.mark.parametrize(
    ("connection", "service", "base_url"),
    [
        ({"host": "https://happy-horse.ai/api/v1"}, "happy-horse.ai", AI),
        ({"host": "https://happy-horse.ai"}, "happy-horse.ai", AI),
        ({"host": "https://happy-horse.ai/"}, "happy-horse.ai", AI),
        ({"host": "happy-horse.ai"}, "happy-horse.ai", AI),
        ({"host": " happy-horse.ai/api/v1 "}, "happy-horse.ai", AI),
        ({"host": "www.happy-horse.ai"}, "happy-horse.ai", "https://www.happy-horse.ai/api/v1"),
        ({"host": "happyhorse.app"}, "happyhorse.app", APP),
        ({"host": "https://happyhorse.app/"}, "happyhorse.app", APP),
        ({"extra": {"service": "happyhorse.app"}}, "happyhorse.app", APP),
        ({"extra": {"service": "happy-horse.ai"}}, "happy-horse.ai", AI),
        (
            {"host": "http://127.0.0.1:8731/api/v1", "extra": {"service": "happy-horse.ai"}},
            "happy-horse.ai",
            "http://127.0.0.1:8731/api/v1",
        ),
        ({"host": "http://127.0.0.1:8731", "extra": {"service": "happyhorse.app"}}, "happyhorse.app", "http://127.0.0.1:8731"),
        ({"host": "http://127.0.0.1", "port": 8731, "extra": {"service": "happyhorse.app"}}, "happyhorse.app", "http://127.0.0.1:8731"),
        ({"host": "https://proxy.example/hh", "extra": {"service": "happy-horse.ai"}}, "happy-horse.ai", "https://proxy.example/hh"),
        ("happyhorse://:sk-1@happy-horse.ai", "happy-horse.ai", AI),
        ("happyhorse://:sk-1@happy-horse.ai/https", "happy-horse.ai", AI),
        ("happyhorse://:sk-1@127.0.0.1:8731/http?service=happy-horse.ai", "happy-horse.ai", "http://127.0.0.1:8731/api/v1"),
        ("happyhorse://:sk-1@[::1]:8731/http?service=happyhorse.app", "happyhorse.app", "http://[::1]:8731"),
        ("happyhorse://:sk-1@/?service=happyhorse.app", "happyhorse.app", APP),
        ("happyhorse://:sk-1@https%3A%2F%2Fhappyhorse.app", "happyhorse.app", APP),
    ],
)
async def test_service_and_base_url(define: Any, connection: Any, service: str, base_url: str) -> None:
    given = connection if isinstance(connection, str) else {"password": "sk-1", **connection}
    settings = await read(define(given))
    assert (settings["service"], settings["base_url"], settings["key"]) == (service, base_url, "sk-1")


@pytest.mark.parametrize("form", ["json", "uri"])
async def test_every_extra_is_read_from_both_forms(define: Any, form: str) -> None:
    extra = {"service": "happyhorse.app", "max_credits": 100, "request_timeout": 5, "allow_private_results": True, "proxy": "http://p:1"}
    uri = f"happyhorse://:sk-1@relay.example/?{urlencode(extra)}"
    settings = await read(define({"host": "relay.example", "password": "sk-1", "extra": extra} if form == "json" else uri))
    assert (settings["max_credits"], settings["allow_private_results"]) == (100, True)
    assert (settings["endpoint"].request_timeout, settings["endpoint"].proxy) == (5.0, "http://p:1")


async def test_empty_extras_are_defaults(define: Any) -> None:
    extra = dict.fromkeys(("service", "max_credits", "request_timeout", "allow_private_results", "proxy"), "")
    settings = await read(define({"host": "happyhorse.app", "password": "sk-1", "extra": extra}))
    assert (settings["max_credits"], settings["allow_private_results"], settings["endpoint"].request_timeout) == (None, False, 60.0)
    assert settings["endpoint"].proxy is None


@pytest.mark.parametrize(("cap", "read_as"), [(0, 0), ("0", 0), (99.9, 99), ("250", 250), (None, None)])
async def test_a_cap_of_zero_is_a_cap(define: Any, cap: Any, read_as: int | None) -> None:
    settings = await read(define({"host": "happyhorse.app", "password": "sk-1", "extra": {"max_credits": cap}}))
    assert settings["max_credits"] == read_as


REFUSED: list[tuple[Any, str]] = [
    ({"host": "happy-horse.ai"}, "no API key"),
    ({"host": "happy-horse.ai", "password": "two words"}, "API key holds"),
    ({"host": "https://relay.example", "password": "k"}, "neither"),
    ({"password": "k"}, "no base URL"),
    ({"host": "http://happy-horse.ai", "password": "k"}, "plain http"),
    ({"host": "https://me:x@happy-horse.ai", "password": "k", "extra": {"service": "happy-horse.ai"}}, "no user"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"service": "horse"}}, "unknown service 'horse'"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"service": "happyhorse.app"}}, "leads to happy-horse.ai"),
    ({"host": "https://www.happyhorse.app", "password": "k", "extra": {"service": "happy-horse.ai"}}, "leads to happyhorse.app"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"max_credits": "many"}}, "`max_credits`"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"max_credits": -1}}, "`max_credits`"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"max_credits": True}}, "`max_credits`"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"max_credits": []}}, "`max_credits` must be a number, not []"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"request_timeout": 0}}, "`request_timeout`"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"request_timeout": 601}}, "`request_timeout`"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"allow_private_results": "maybe"}}, "true or false"),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"check_balance": "maybe"}}, "true or false"),
    ({"host": "happyhorse.app", "password": "k", "extra": {"check_balance": True}}, "has no call that tells the balance"),
    *(
        ({"host": "happy-horse.ai", "password": "k", "extra": {"proxy": proxy}}, "`proxy` must be http://host:port without credentials")
        for proxy in ("https://proxy:8080", "socks5://proxy:1", "http://me:two words@proxy:1", "http://me:two words", "http://p:0")
    ),
    ({"host": "happy-horse.ai", "password": "k", "extra": {"credit_price": "cheap"}}, "`credit_price` must be an amount and a currency"),
]


async def refusals() -> list[str]:
    """Return what a worker and a triggerer say."""
    with pytest.raises(ValueError) as in_worker:
        _ = HappyHorseHook(CONN_ID).settings
    with pytest.raises(ValueError) as in_triggerer:
        await async_settings(CONN_ID)
    return [str(in_worker.value), str(in_triggerer.value)]


@pytest.mark.parametrize(("connection", "says"), REFUSED)
async def test_a_refusal_names_the_connection_and_not_the_key(define: Any, connection: Any, says: str) -> None:
    define(connection)
    for refusal in await refusals():
        assert refusal.startswith(f"connection {CONN_ID!r}: ")
        assert says in refusal
        assert "two words" not in refusal


@pytest.mark.parametrize("extra", ['{"max_credits": 10', "[100]", "cap 100"])
async def test_an_extra_that_is_no_json_object_does_not_lose_the_cap(define: Any, extra: str) -> None:
    """Airflow 2.11 and 3.3 take such an extra for empty, 3.1 refuses it itself."""
    define({"host": "happy-horse.ai", "password": "k", "extra": extra})
    with pytest.raises((ValueError, AirflowException)):
        _ = HappyHorseHook(CONN_ID).settings
    with pytest.raises((ValueError, AirflowException)):
        await async_settings(CONN_ID)


def test_building_a_hook_looks_nothing_up() -> None:
    assert HappyHorseHook("is_not_there").happyhorse_conn_id == "is_not_there"

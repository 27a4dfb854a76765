"""What a connection of type ``happyhorse`` says, read and checked once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_happyhorse.api.pricing import HAPPYHORSE_APP_PRICES, NO_PRICES, CreditPrice, Prices
from airflow_provider_happyhorse.api.service import Service, service_for, services
from airflow_provider_happyhorse.api.table_values import flag, is_unset, number
from airflow_provider_happyhorse.provider_info import CONNECTION_FIELDS
from airflow_provider_happyhorse.transports.endpoint import Endpoint, checked_proxy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


class ConnectionMissing(ValueError):
    """Airflow has no such connection, or cannot find it now: it says the same when a secrets backend fails for a moment."""


@dataclass(frozen=True)
class ConnectionSettings:
    """A connection, ready to be used.

    :param conn_id: the connection's id.
    :param service: the service it speaks to.
    :param endpoint: where that is, and the key.
    :param max_credits: the most credits one generation may be estimated at, None for no cap.
    :param allow_private_results: result URLs may lead to private addresses.
    :param ledger_path: where records of submissions are kept beside Airflow's own store, ``""`` for nowhere.
    :param requests_per_minute: what the key may send in all, where the service's headers do not tell.
    :param prices: credits per second (or per image), overriding the vendor's table; see ``api/pricing.py`` for the names.
    :param check_balance: the balance is asked for before paying.
    :param credit_price: what a credit costs in money, None when nobody says.
    """

    conn_id: str
    service: Service
    endpoint: Endpoint
    max_credits: int | None = None
    allow_private_results: bool = False
    prices: Prices = field(default_factory=dict)
    ledger_path: str = ""
    check_balance: bool = False
    credit_price: CreditPrice | None = None
    requests_per_minute: float = 60.0


def read_settings(conn_id: str, connection: Connection, extra: Mapping[str, Any]) -> ConnectionSettings:
    """Return what the connection says.

    :param extra: the connection's extra as a mapping (read by the caller: in a triggerer only asynchronously).
    :raises ValueError: for anything that cannot be used, with a sentence naming the connection.
    """
    try:
        _check_extra(connection, extra)
        host = (connection.host or "").strip()
        service = _service(str(extra.get("service") or "").strip(), _with_scheme(host, connection) if host else "")
        endpoint = Endpoint(
            base_url=_base_url(host, connection, service),
            api_key=(connection.password or "").strip(),
            request_timeout=_in_range(extra, "request_timeout", 1, 600, 60),
            # Known before paying: API calls would go through other proxies too, and then the result could not be fetched.
            proxy=None if is_unset(extra.get("proxy")) else checked_proxy(str(extra["proxy"]).strip()),
        )
        cap = _cap(extra)
        prices = _prices(extra.get("prices"), service)
        allow, balance = _flag(extra, "allow_private_results"), _check_balance(extra, service)
        per_minute = _in_range(extra, "requests_per_minute", 1, 100_000, 60)
        credit_price = _credit_price(extra.get("credit_price"))
    except ValueError as problem:
        raise ValueError(f"connection {conn_id!r}: {problem}") from None
    return ConnectionSettings(conn_id, service, endpoint, cap, allow, prices, _ledger_path(extra), balance, credit_price, per_minute)


async def async_settings(conn_id: str) -> ConnectionSettings:
    """Return what the connection says, looked up without blocking the triggerer's event loop.

    :raises ValueError: as :func:`read_settings`.
    """
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(conn_id)
    return read_settings(conn_id, connection, await get_async_extra_dejson(connection))


def _check_extra(connection: Connection, extra: Any) -> None:
    """Refuse an extra that is no JSON object: Airflow 2.11 and 3.3 log that and take it for empty; a cap on credits would be lost."""
    if not isinstance(extra, Mapping):
        raise ValueError(f"its extra must be a JSON object, not {type(extra).__name__}")
    for name in extra:
        # A cap on credits that is misspelled would be no cap; what resembles nothing of ours may be somebody else's.
        if name not in CONNECTION_FIELDS and (meant := get_close_matches(str(name), CONNECTION_FIELDS, n=1, cutoff=0.8)):
            raise ValueError(f"its extra `{name}` is unknown; is `{meant[0]}` meant?")
    if extra or not connection.extra:
        return
    try:
        json.loads(connection.extra)
    except ValueError as problem:
        raise ValueError(f"its extra is not JSON ({problem})") from None


def _service(name: str, base_url: str) -> Service:
    """Return the service, unless the connection names one and leads to the other: it would get the other company's key."""
    service = service_for(name or None, base_url or None)
    host = urlsplit(base_url).hostname or ""
    other = next((known for known in services() if known != service.name and host in (known, f"www.{known}")), "")
    if other:
        raise ValueError(f"`service` is {service.name} and the base URL leads to {other}")
    return service


def _ledger_path(extra: Mapping[str, Any]) -> str:
    """Return the connection's ``ledger_path``, else ``[happyhorse] ledger_path``, else ``""``."""
    from airflow.providers.common.compat.sdk import conf

    given = extra.get("ledger_path")
    return str(conf.get("happyhorse", "ledger_path", fallback="") or "" if is_unset(given) else given).strip()


def _cap(extra: Mapping[str, Any]) -> int | None:
    """Return the cap, None for none: there is none, or a form has left its field blank. What is empty otherwise is a mistake."""
    given = extra.get("max_credits")
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    if is_unset(given):
        raise ValueError(f"`max_credits` must be a number, not {given!r}")
    return int(_in_range(extra, "max_credits", 0, 10**9, 0))


def _prices(given: Any, service: Service) -> Prices:
    """Return the connection's prices, from an object or the JSON text that a form field holds."""
    if is_unset(given):
        return NO_PRICES
    try:
        read = json.loads(given) if isinstance(given, str) else given
    except ValueError as problem:
        raise ValueError(f"`prices` is not JSON ({problem})") from None
    if not isinstance(read, Mapping):
        raise ValueError(f'`prices` must be an object such as {{"seedance-1-5-pro": 5}}, not {type(read).__name__}')
    prices = {}
    for name, price in read.items():
        if service.name == "happyhorse.app" and name not in HAPPYHORSE_APP_PRICES:
            raise ValueError(f"`prices`: {name!r} is not one of {', '.join(HAPPYHORSE_APP_PRICES)}")
        try:
            prices[str(name)] = Decimal(str(number(price)))
        except ValueError as problem:
            raise ValueError(f"`prices`: {name} {problem}") from None
        if prices[str(name)] < 0:
            raise ValueError(f"`prices`: {name} must be 0 or more, not {price}")
    return prices


def _credit_price(given: Any) -> CreditPrice | None:
    if is_unset(given):
        return None
    try:
        return CreditPrice.read(str(given))
    except ValueError as problem:
        raise ValueError(f"`credit_price` {problem}") from None


def _check_balance(extra: Mapping[str, Any], service: Service) -> bool:
    wanted = _flag(extra, "check_balance")
    if wanted and "credits" not in service.capabilities:
        raise ValueError(f"`check_balance`: {service.name} has no call that tells the balance")
    return wanted


def _flag(extra: Mapping[str, Any], name: str) -> bool:
    return False if is_unset(extra.get(name)) else flag(extra[name])


def _with_scheme(host: str, connection: Connection) -> str:
    """Return the base URL of a connection given as URI parts (``happyhorse://:key@happy-horse.ai``) or as one URL in the host."""
    if "://" in host:
        parts = urlsplit(host)
        missing = connection.port and parts.port is None
        return parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl() if missing else host
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"  # IPv6 as Airflow takes it out of a URI
    port = f":{connection.port}" if connection.port else ""
    schema = connection.schema or ""
    scheme, path = (schema, "") if schema in ("http", "https") else ("https", f"/{schema}" if schema else "")
    name, slash, below = host.partition("/")
    return f"{scheme}://{name}{port}{slash}{below}{path}"


def _base_url(host: str, connection: Connection, service: Service) -> str:
    if not host:
        return service.base_url
    url = _with_scheme(host, connection)
    # "https://happy-horse.ai" means the API, which the vendor serves below a path of that host.
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + urlsplit(service.base_url).path


def _in_range(extra: Mapping[str, Any], name: str, least: float, most: float, default: float) -> float:
    value = extra.get(name)
    if is_unset(value):
        return default
    try:
        read = float(number(value))
    except ValueError as problem:
        raise ValueError(f"`{name}` {problem}") from None
    if not least <= read <= most:
        raise ValueError(f"`{name}` must be {least:g} to {most:g}, not {value}")
    return read

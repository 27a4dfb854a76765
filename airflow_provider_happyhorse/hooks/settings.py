"""What a connection of type ``happyhorse`` says, read and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_happyhorse.api.service import Service, service_for
from airflow_provider_happyhorse.api.table_values import flag, is_unset, number
from airflow_provider_happyhorse.transports.endpoint import Endpoint

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


@dataclass(frozen=True)
class ConnectionSettings:
    """A connection, ready to be used.

    :param conn_id: the connection's id.
    :param service: the service it speaks to.
    :param endpoint: where that is, and the key.
    :param max_credits: the most credits one generation may be estimated at, None for no cap.
    :param allow_private_results: result URLs may lead to private addresses.
    """

    conn_id: str
    service: Service
    endpoint: Endpoint
    max_credits: int | None = None
    allow_private_results: bool = False


def read_settings(conn_id: str, connection: Connection, extra: Mapping[str, Any]) -> ConnectionSettings:
    """Return what the connection says.

    :param extra: the connection's extra as a mapping (read by the caller: in a triggerer only asynchronously).
    :raises ValueError: for anything that cannot be used, with a sentence naming the connection.
    """
    try:
        host = (connection.host or "").strip()
        service = service_for(str(extra.get("service") or "").strip() or None, _with_scheme(host, connection) if host else None)
        endpoint = Endpoint(
            base_url=_base_url(host, connection, service),
            api_key=(connection.password or "").strip(),
            request_timeout=_in_range(extra, "request_timeout", 1, 600, 60),
            proxy=str(extra.get("proxy") or "").strip() or None,
        )
        cap = None if is_unset(extra.get("max_credits")) else int(_in_range(extra, "max_credits", 0, 10**9, 0))
        allow = False if is_unset(extra.get("allow_private_results")) else flag(extra["allow_private_results"])
    except ValueError as problem:
        raise ValueError(f"connection {conn_id!r}: {problem}") from None
    return ConnectionSettings(conn_id, service, endpoint, cap, allow)


async def async_settings(conn_id: str) -> ConnectionSettings:
    """Return what the connection says, looked up without blocking the triggerer's event loop.

    :raises ValueError: as :func:`read_settings`.
    """
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(conn_id)
    return read_settings(conn_id, connection, await get_async_extra_dejson(connection))


def _with_scheme(host: str, connection: Connection) -> str:
    """Return the base URL of a connection given as URI parts (``happyhorse://:key@happy-horse.ai``) or as one URL in the host."""
    if "://" in host:
        return host
    port = f":{connection.port}" if connection.port else ""
    schema = connection.schema or ""
    scheme, path = (schema, "") if schema in ("http", "https") else ("https", f"/{schema}" if schema else "")
    return f"{scheme}://{host}{port}{path}"


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

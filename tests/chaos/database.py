"""PostgreSQL for the chaos suite's Airflow, where one answers on its standard loopback port and lets this user in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec

HOST, PORT = "127.0.0.1", 5432


@contextmanager
def own_database() -> Iterator[str | None]:
    """Make a PostgreSQL database, give its URL, and drop it at the end; None where there is no such server, driver or right."""
    if find_spec("psycopg2") is None or find_spec("asyncpg") is None:
        yield None
        return
    import psycopg2  # type: ignore[import-untyped]  # its types are a package of their own

    name = f"happyhorse_chaos_{secrets.token_hex(4)}"
    try:
        # No user and no password: whoever runs this, as libpq's own defaults and variables say.
        connection = psycopg2.connect(host=HOST, port=PORT, dbname="postgres", connect_timeout=3)
    except psycopg2.OperationalError:
        yield None
        return
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            try:
                cursor.execute(f'CREATE DATABASE "{name}"')
            except psycopg2.errors.InsufficientPrivilege:
                yield None
                return
            try:
                yield f"postgresql+psycopg2://{HOST}:{PORT}/{name}"
            finally:
                with suppress(psycopg2.errors.InvalidCatalogName):
                    cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        connection.close()

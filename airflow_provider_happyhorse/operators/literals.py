"""Telling what an author wrote as a plain value from what is only known when the task runs. Pure, and cheap: it runs at parse time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def is_literal(value: Any) -> bool:
    """Say whether a value is final: no Jinja, and no XComArg, MappedArgument or other placeholder anywhere inside."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(is_literal(key) and is_literal(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_literal(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, Decimal))


def literal_fields(request: Any) -> tuple[dict[str, Any], frozenset[str]] | None:
    """Return the final fields of a request and the names of the others, or None when the whole of it is a placeholder."""
    if not isinstance(request, Mapping):
        return None
    known = {name: value for name, value in request.items() if is_literal(value)}
    return known, frozenset(str(name) for name in request if name not in known)

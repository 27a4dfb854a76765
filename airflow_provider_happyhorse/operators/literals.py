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


#: Of a template's context, what is the same for every task instance of a run. Not `macros`, which has random numbers and the time.
_OF_THE_RUN = frozenset(
    {"conn", "dag", "dag_run", "ds", "ds_nodash", "logical_date", "params", "partition_date", "partition_key", "run_id", "test_mode"}
    | {"triggering_asset_events", "ts", "ts_nodash", "ts_nodash_with_tz", "var"}
    | {"data_interval_start", "data_interval_end", "prev_data_interval_start_success", "prev_data_interval_end_success"}
    | {"prev_start_date_success", "prev_end_date_success"}
)


def is_same_for_every_clip(value: Any) -> bool:
    """Say whether a text that is given to a mapped task is the same one for each clip: final, or Jinja that asks only for the run."""
    if is_literal(value) or not isinstance(value, str):
        return is_literal(value)
    from jinja2 import Environment, TemplateSyntaxError, meta  # few destinations are templates

    try:
        asked = meta.find_undeclared_variables(Environment().parse(value))  # noqa: S701  nothing is rendered
    except TemplateSyntaxError:
        return False
    return asked <= _OF_THE_RUN


def literal_fields(request: Any) -> tuple[dict[str, Any], frozenset[str]] | None:
    """Return the final fields of a request and the names of the others, or None when the whole of it is a placeholder."""
    if not isinstance(request, Mapping):
        return None
    known = {name: value for name, value in request.items() if is_literal(value)}
    return known, frozenset(str(name) for name in request if name not in known)

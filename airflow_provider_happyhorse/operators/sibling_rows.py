"""All rows of a mapped task, so that two clips under one name, or for one object, are refused before either is paid for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.api.table_values import is_unset
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators.clip import read_name, read_take
from airflow_provider_happyhorse.operators.inputs import plain_json
from airflow_provider_happyhorse.operators.literals import is_literal

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.operators.clip import Identity

#: What a clip is known by within its run, and where it goes.
_FIELDS = ("name", "take", "request", "destination")


def check_rows_differ(context: Context, *, task_id: str, identity: Identity, destination: Any, log: TaskLog) -> None:
    """Refuse a clip whose name and take, or whose exact object, another row of the same mapped task has too.

    The rows are read again as Airflow has given them to this task, in one request for the XCom they come from (Airflow 2.11 to 3.3).
    What is Jinja is not known for the other rows and is not compared.

    :param identity: compared where the author gave the name; otherwise the map index tells the clips apart.
    :param destination: compared where it is an exact object.
    :raises InvalidArguments: nothing was submitted.
    """
    exact = bool(destination) and not str(destination).endswith("/")
    if context["ti"].map_index is None or context["ti"].map_index < 0 or not (identity.named or exact):
        return
    try:
        rows = list(_rows(context, task_id))
        alike = [where for where, row in enumerate(rows) if identity.named and _name_and_take(row) == (identity.name, identity.take)]
        beside = [where for where, row in enumerate(rows) if exact and row["destination"] == destination]
    except Exception:
        # Airflow has mapped these rows, so they are right; only we do not know how to read them.
        log.exception("[%s] the other rows could not be read: whether another one has this name is not known", identity.name)
        return
    if len(alike) > 1:
        what = f"{identity.name!r}{f' (take {identity.take!r})' if identity.take else ''}"
        why = f"the rows {_shown(alike)} are all called {what}; a clip is known by its name, so give each its own, or another `take`"
        raise InvalidArguments(f"task {task_id!r}: {why}. Nothing was submitted")
    if len(beside) > 1:
        why = f"the rows {_shown(beside)} all have the `destination` {destination!r}, which is one object; give each its own, or a folder"
        raise InvalidArguments(f"task {task_id!r}: {why}. Nothing was submitted")


def names_of_rows(context: Context, *, task_id: str, log: TaskLog) -> set[str]:
    """Return the names of a mapped task's rows, as far as they can be told; see :func:`check_rows_differ`."""
    try:
        return {known[0] for row in _rows(context, task_id) if (known := _name_and_take(row)) is not None}
    except Exception:
        log.exception("the rows of %s could not be read: which names they have is not known", task_id)
        return set()


@dataclass(frozen=True)
class Row:
    """A row of a mapped task's table as it is now.

    :param name: of its clip, None where that cannot be told.
    :param asks: what the row gives beside name and take, the same text for the same; Jinja as it is written.
    """

    name: str | None
    asks: str


def rows_now(context: Context, *, task_id: str, log: TaskLog) -> list[Row]:
    """Return the rows by map index, none where they cannot be read."""
    try:
        rows = [(_name_and_take(row), row["asks"]) for row in _rows(context, task_id)]
        return [Row(known[0] if known else None, json.dumps(plain_json(asks), sort_keys=True)) for known, asks in rows]
    except Exception:
        log.exception("the rows of %s could not be read: which of them asks for what is not known", task_id)
        return []


def is_the_only_row(context: Context, *, task_id: str, log: TaskLog) -> bool:
    """Return whether a mapped task has one row; False where its rows cannot be read."""
    try:
        return len(list(_rows(context, task_id))) == 1
    except Exception:
        log.exception("the rows of %s could not be read: whether there is only one is not known", task_id)
        return False


def _shown(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:5])) + (" and more" if len(rows) > 5 else "")


def _rows(context: Context, task_id: str) -> Iterator[Mapping[str, Any]]:
    """Give what is known of every row by map index, nothing where they cannot be told."""
    dag = context.get("dag")
    if dag is None:
        return
    written: Any = dag.get_task(task_id)
    given: Mapping[str, Any]
    if hasattr(written, "partial_kwargs"):
        given = {field: written.partial_kwargs.get(field) for field in _FIELDS}
        expanded = written._get_specified_expand_input()  # noqa: SLF001  Airflow has no public way to the rows
        # A decorated task is mapped over its function's arguments.
        taken = {} if getattr(written, "_expand_input_attr", "expand_input") != "expand_input" else {field: field for field in _FIELDS}
    elif (group := written.get_closest_mapped_task_group()) is not None:
        given = {field: getattr(written, field, None) for field in _FIELDS}
        expanded = group._expand_input  # noqa: SLF001
        taken = {field: value._key for field, value in given.items() if hasattr(value, "_key") and hasattr(value, "_input")}  # noqa: SLF001
    else:
        return
    besides = {"name", "take", taken.get("name"), taken.get("take")}
    for row in _resolved(expanded.value, context):
        asks = {key: _without(item, besides) if key == "request" else item for key, item in row.items() if key not in besides}
        yield {**given, **{field: row[key] for field, key in taken.items() if key in row}, "asks": asks}


def _without(request: Any, besides: set[str | None]) -> Any:
    return {key: item for key, item in request.items() if key not in besides} if isinstance(request, Mapping) else request


def _resolved(value: Any, context: Context) -> Iterator[Mapping[str, Any]]:
    """Give the arguments of every map index, in Airflow's order: of several lists the last one runs fastest."""
    if isinstance(value, Mapping):
        columns = [[(key, item) for item in _list(column, context)] for key, column in value.items()]
        yield from (dict(row) for row in product(*columns))
        return
    for row in _list(value, context):
        resolved = row.resolve(context) if hasattr(row, "resolve") else row
        yield resolved if isinstance(resolved, Mapping) else {}


def _list(column: Any, context: Context) -> Sequence[Any]:
    values = column.resolve(context) if hasattr(column, "resolve") else column
    if isinstance(values, Mapping):
        return list(values.items())
    # A slice of what mapped tasks have returned is one request to Airflow, where to iterate is one for every row. What `.map()`, `.zip()`
    # and `.concat()` give takes no slices.
    return list(values[:]) if type(values).__name__.startswith("Lazy") else [values[index] for index in range(len(values))]


def _name_and_take(row: Mapping[str, Any]) -> tuple[str, str] | None:
    request = row["request"] if isinstance(row["request"], Mapping) else {}
    name, take = (request.get(field) if is_unset(row[field]) else row[field] for field in ("name", "take"))
    if any(isinstance(text, str) and not is_literal(text) for text in (name, take)):
        return None
    read = read_name(name)[0]
    return (read, read_take(take)) if read else None

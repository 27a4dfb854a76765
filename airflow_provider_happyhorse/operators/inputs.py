"""What a request is made from, as values that are the same whenever the same is meant: in another process, after a clear, from a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_happyhorse.api.table_values import is_unset
from airflow_provider_happyhorse.results import identified


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON values, the same in every process and however a table spells it.

    Whole numbers are integers (an empty cell elsewhere makes a data frame tell 7 as 7.0), and what is unset in a mapping is left out (a
    column that was added for other rows). A result of ours is what :func:`~airflow_provider_happyhorse.results.identified` leaves of it:
    the rest is told anew by every try. Of what JSON has no word for, it is the text if that is a stable one, else only the type.
    """
    read: dict[str, Any] = json.loads(json.dumps(_fields(value)))
    return read


def _fields(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    # JSON knows no other keys.
    given = {key: item for key, item in mapping.items() if key is None or isinstance(key, (str, int, float))}
    return {key: _plain(item) for key, item in identified(given).items() if not is_unset(item)}


def _plain(item: Any) -> Any:
    if isinstance(item, Mapping):
        return _fields(item)
    if isinstance(item, str):
        return item
    if isinstance(item, (list, tuple)):
        return [_plain(one) for one in item]
    if is_unset(item):
        return None
    if isinstance(item, (bool, int)):
        return item
    if isinstance(item, float):
        return int(item) if item.is_integer() else item if math.isfinite(item) else str(item)
    if isinstance(item, Decimal):
        return int(item) if item.is_finite() and item == item.to_integral_value() else str(item)
    if isinstance(item, (set, frozenset)):
        return sorted(json.dumps(_plain(one), sort_keys=True) for one in item)
    if isinstance(item, Sequence) and not isinstance(item, (bytes, bytearray)):
        return [_plain(one) for one in item]  # such as what mapped tasks have returned, which Airflow fetches only when asked
    if callable(listed := getattr(item, "tolist", None)):
        return _plain(listed())  # numpy's text of a long array leaves most of it out
    shown = str(item)
    return shown if " at 0x" not in shown else f"{type(item).__module__}.{type(item).__qualname__}"

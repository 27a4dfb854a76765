"""Values as CSV files, SQL rows and data frames give them, read as the JSON values the vendors document.

The readers are pydantic *before* validators; they raise ValueError with a sentence about the value, which pydantic collects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_TRUE = {"true", "yes", "y", "on", "1"}
_FALSE = {"false", "no", "n", "off", "0"}


def is_unset(value: Any) -> bool:
    """Say whether a table cell is empty: None, blank text, NaN (float, Decimal, or a data frame's NaT and NA)."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in {"NAType", "NaTType"}


def without_unset(given: Any) -> Any:
    """Return the mapping without its empty cells; anything else as it is."""
    return {key: value for key, value in given.items() if not is_unset(value)} if isinstance(given, Mapping) else given


def text(value: Any) -> Any:
    """Return a text as it is. A number is refused: it is more likely a shifted column than a prompt."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_shown(value)}")
    return value


def number(value: Any) -> Any:
    """Return ``"5"``, ``5.0`` and ``Decimal(5)`` as 5, ``"0.5"`` as 0.5; refuse what is no finite number."""
    scalar = value.item() if hasattr(value, "item") and callable(value.item) else value
    if isinstance(scalar, bool) or not isinstance(scalar, (int, float, str, Decimal)):
        raise ValueError(f"must be a number, not {_shown(value)}")
    try:
        exact = Decimal(str(scalar).strip())
    except ArithmeticError:
        exact = Decimal("NaN")
    if not exact.is_finite() or abs(exact) > 10**9:
        raise ValueError(f"must be a number, not {_shown(value)}")
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def flag(value: Any) -> Any:
    """Return ``"true"``/``"false"``, ``"yes"``/``"no"``, 1/0 as a truth value; refuse anything else."""
    word = str(value).strip().lower().removesuffix(".0")
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"must be true or false, not {_shown(value)}")


def texts(value: Any) -> Any:
    """Return a list of texts from a list, a JSON array in a cell, or a single text."""
    if isinstance(value, str):
        return _json_array(value) if value.strip().startswith("[") else [value.strip()]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"must be a list of texts, not {_shown(value)}")
    return list(value)


def objects(value: Any) -> Any:
    """Return a list of objects from a list or a JSON array in a cell."""
    if isinstance(value, str):
        return _json_array(value)
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"must be a list of objects, not {_shown(value)}")
    return list(value)


def _json_array(cell: str) -> list[Any]:
    try:
        read = json.loads(cell)
    except ValueError:
        read = None
    if not isinstance(read, list):
        raise ValueError(f"must be a JSON array, not {_shown(cell)}")
    return read


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

"""Values as CSV files, SQL rows and data frames give them, read as the JSON values the vendors document.

The readers are pydantic *before* validators; they raise ValueError with a sentence about the value, which pydantic collects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

#: What a request mapping (a table row) may carry besides vendor fields.
BESIDES = ("name", "take", "max_credits")
_TRUE = {"true", "yes", "y", "on", "1"}
_FALSE = {"false", "no", "n", "off", "0"}


def is_unset(value: Any) -> bool:
    """Say whether a table cell is empty: None, blank text, NaN of any kind, a data frame's NaT and NA, and a list of nothing but these."""
    plain = plain_value(value)
    # Not deeper: `[[]]` is a mistake to be named, and a cell nested a million times must not be walked.
    return all(_is_blank(item) for item in plain) if isinstance(plain, (list, tuple)) else _is_blank(plain)


def without_unset(given: Any) -> Any:
    """Return the mapping without its empty cells; anything else as it is."""
    return {key: value for key, value in given.items() if not is_unset(value)} if isinstance(given, Mapping) else given


def text(value: Any) -> Any:
    """Return a text as it is. A number is refused: it is more likely a shifted column than a prompt."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half of an emoji, cut by a tool that counts UTF-16 units, can be neither stored nor logged.
        raise ValueError(f"holds half of a character (a lone surrogate): {_shown(value)}") from None
    return str(value)


def number(value: Any) -> Any:
    """Return ``"5"``, ``5.0`` and ``Decimal(5)`` as 5, ``"0.5"`` as 0.5; refuse what is no finite number."""
    scalar = plain_value(value)
    if isinstance(scalar, bool) or not isinstance(scalar, (int, float, str, Decimal)):
        raise ValueError(f"must be a number, not {_shown(value)}")
    try:
        # Python reads "1_5" as 15; in a cell it is a slip of the hand, and 15 seconds cost three times 5.
        exact = Decimal("NaN") if isinstance(scalar, str) and "_" in scalar else Decimal(scalar if isinstance(scalar, int) else str(scalar))
        in_range = exact.is_finite() and abs(exact) <= 10**9
    except ArithmeticError:
        in_range = False
    if not in_range:
        raise ValueError(f"must be a number of at most 10^9, not {_shown(value)}")
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def flag(value: Any) -> Any:
    """Return ``"true"``/``"false"``, ``"yes"``/``"no"``, 1/0 as a truth value; refuse anything else."""
    scalar = plain_value(value)
    if isinstance(scalar, str):
        word = scalar.strip().lower().removesuffix(".0")
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(scalar, (bool, int, float, Decimal)) and not _is_blank(scalar) and scalar in (0, 1):
        return bool(scalar)
    raise ValueError(f"must be true or false, not {_shown(value)}")


def texts(value: Any) -> Any:
    """Return a list of texts from a list, a JSON array in a cell, or a single text; empty items at its end are not there.

    Only at the end: the place of a URL says what it is (first frame, last frame), so a gap before it is a mistake to be named.
    """
    plain = plain_value(value)
    if isinstance(plain, str):
        items = _json_array(plain) if plain.strip().startswith("[") else [plain.strip()]
    elif isinstance(plain, (list, tuple)):
        items = list(plain)
    else:
        raise ValueError(f"must be a list of texts, not {_shown(value)}")
    while items and _is_blank(items[-1]):
        items.pop()
    return items


def objects(value: Any) -> Any:
    """Return a list of objects from a list or a JSON array in a cell."""
    plain = plain_value(value)
    if isinstance(plain, str):
        return _json_array(plain)
    if not isinstance(plain, (list, tuple)):
        raise ValueError(f"must be a list of objects, not {_shown(value)}")
    return list(plain)


def plain_value(value: Any) -> Any:
    """Return the Python value of a data frame's scalar or array (its types come from numpy, which is not a dependency)."""
    if isinstance(value, (str, int, float, Decimal, Mapping, list, tuple)) or not callable(getattr(value, "tolist", None)):
        return value
    return value.tolist()


def as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose cells have been understood as JSON values that are understood as the same; empty cells are not there."""

    def cell(value: Any) -> Any:
        plain = plain_value(value)
        return str(value) if plain is value else plain

    # What is nested in a list may be no number either.
    read: dict[str, Any] = json.loads(json.dumps(without_unset(row), default=cell), parse_constant=lambda _: None)
    return read


def _is_blank(item: Any) -> bool:
    if isinstance(item, str):
        return not item.strip()
    if isinstance(item, Decimal):
        return item.is_nan()
    if isinstance(item, float):
        return math.isnan(item)
    return item is None or type(item).__name__ in {"NAType", "NaTType"}


def _json_array(cell: str) -> list[Any]:
    try:
        read = json.loads(cell)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, list):
        raise ValueError(f"must be a JSON array, not {_shown(cell)}")
    return read


def _shown(value: Any) -> str:
    try:
        shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, a list nested without end
        return f"this {type(value).__name__}"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

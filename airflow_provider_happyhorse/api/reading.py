"""From the mapping an author wrote, or a table row, to a request; every problem at once, in the author's own names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError

from airflow_provider_happyhorse.api.models import ImageRequest, VideoRequest, _Fields
from airflow_provider_happyhorse.api.table_values import is_unset, objects

R = TypeVar("R", bound=_Fields)
#: Characters of a name that somebody else chose (a column, a typing error) in a sentence of ours.
_SHOWN = 60


def read_request(fields: Mapping[str, Any], model: type[R]) -> tuple[R | None, list[str]]:
    """Return the request, or None and every problem as a sentence; limits are not looked at.

    :param fields: vendor fields under vendor names, with the values of a DAG file or of a table row.
    :param model: :class:`~airflow_provider_happyhorse.api.models.VideoRequest` or another request model.
    """
    request, problems, _ = _read(fields, model)
    return request, problems


def check_request(
    fields: Mapping[str, Any], model: type[R], limits: Callable[[R, frozenset[str]], Sequence[str]], pending: frozenset[str] = frozenset()
) -> tuple[R | None, list[str]]:
    """Return the request, or None and everything wrong with it at once, the limits of what can be read included.

    :param limits: what a service refuses of a request, given the fields whose values are not known.
    :param pending: fields whose values are not known yet.
    """
    request, problems, broken = _read(fields, model)
    readable = request
    if readable is None:
        patched = _patched({name: value for name, value in fields.items() if _is_name(name)}, broken)
        readable, _, still = _read(patched, model)
        left_out = frozenset(str(location[0]) for location in (*broken, *still))
        if readable is None:
            readable, _, _ = _read({name: value for name, value in patched.items() if name not in left_out}, model)
        if readable is None:
            return None, problems
        pending |= left_out - readable.model_fields_set
    problems += [problem for problem in limits(readable, pending) if problem not in problems]
    return (None, problems) if problems else (request, [])


#: What stands for an unreadable member of a shot or an element while the limits of its neighbours are checked: it breaks none itself.
_STAND_IN = {
    "prompt": "x",
    "duration": 1,
    "name": "x",
    "description": "x",
    "element_input_urls": ["https://example.com/1", "https://example.com/2"],
}

Location = tuple[int | str, ...]


def _patched(fields: dict[str, Any], broken: Sequence[Location]) -> dict[str, Any]:
    """Return the fields without what cannot be read: a broken member of a shot or element gets a stand-in, another field goes."""
    patched = dict(fields)
    for location in broken:
        name, rest = str(location[0]), location[1:]
        if name not in patched:
            continue
        if len(rest) < 2 or not isinstance(rest[0], int) or rest[1] not in _STAND_IN:
            del patched[name]
            continue
        try:
            items = [dict(item) if isinstance(item, Mapping) else item for item in objects(patched[name])]
            items[rest[0]][str(rest[1])] = _STAND_IN[str(rest[1])]
        except (ValueError, TypeError, IndexError):
            del patched[name]
        else:
            patched[name] = items
    return patched


def _read(fields: Mapping[str, Any], model: type[R]) -> tuple[R | None, list[str], list[Location]]:
    """Return the request, what is wrong with it, and where."""
    named = {name: value for name, value in fields.items() if _is_name(name)}
    problems = [_not_a_name(name, value) for name, value in fields.items() if not _is_name(name)]
    request, broken = None, list[Location]()
    try:
        request = model.model_validate(named)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False, include_context=False)
        problems += [_sentence(error["loc"], error["type"], error["msg"], model.model_fields) for error in errors]
        broken = [error["loc"] for error in errors if error["loc"]]
    problems = list(dict.fromkeys(sentence for sentence in problems if sentence))
    return (None, problems, broken) if problems else (request, [], [])


def _is_name(name: object) -> bool:
    # A lone surrogate would make pydantic report the problem without the name, and no log could show it.
    return isinstance(name, str) and name.isprintable()


def _not_a_name(name: object, value: Any) -> str:
    if name is None:
        # csv.DictReader files the cells it has no column for under None; empty ones are only trailing commas.
        return "" if is_unset(value) else "the row has more cells than the table has columns; an unquoted comma in a text does this"
    return f"a field's name must be printable text, not {_short(ascii(name) if isinstance(name, str) else f'a {type(name).__name__}')}"


def _sentence(location: tuple[int | str, ...], kind: str, message: str, fields: Iterable[str]) -> str:
    name = _short("".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip("."))
    if kind == "extra_forbidden":
        if len(location) > 1:
            return f"`{name}` is not a field of either service"
        if name in VideoRequest.model_fields or name in ImageRequest.model_fields:
            return f"`{name}` is a field of {'an image' if name in ImageRequest.model_fields else 'a video'} and not of this request"
        meant = get_close_matches(name, fields, n=1, cutoff=0.8)
        return f"`{name}` is not a field of either service; " + (
            f"is `{meant[0]}` meant?" if meant else "if it says which clip this is, put it in `name`"
        )
    if kind == "missing":
        return f"`{name}` is missing"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"`{name}` must be an object with the documented fields"
    return f"`{name}` {message.removeprefix('Value error, ')}"


def _short(shown: str) -> str:
    shown = shown if shown.isprintable() else ascii(shown)[1:-1]
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."

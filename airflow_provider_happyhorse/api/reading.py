"""From the mapping an author wrote, or a table row, to a request; every problem at once, in the author's own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from airflow_provider_happyhorse.api.models import VideoRequest, _Fields

R = TypeVar("R", bound=_Fields)


def read_request(fields: Mapping[str, Any], model: type[R]) -> tuple[R | None, list[str]]:
    """Return the request, or None and every problem as a sentence.

    :param fields: vendor fields under vendor names, with the values of a DAG file or of a table row.
    :param model: :class:`~airflow_provider_happyhorse.api.models.VideoRequest` or another request model.
    """
    try:
        return model.model_validate(dict(fields)), []
    except ValidationError as refused:
        problems = [_sentence(error["loc"], error["type"], error["msg"]) for error in refused.errors(include_url=False)]
        return None, list(dict.fromkeys(problems))


def read_video_request(fields: Mapping[str, Any]) -> tuple[VideoRequest | None, list[str]]:
    """Return :func:`read_request` for a video."""
    return read_request(fields, VideoRequest)


def _sentence(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if kind == "extra_forbidden":
        if len(location) == 1:
            return f"`{name}` is not a field of either service; if it says which clip this is, put it in `name`"
        return f"`{name}` is not a field of either service"
    if kind == "missing":
        return f"`{name}` is missing"
    return f"`{name}` {message.removeprefix('Value error, ')}"

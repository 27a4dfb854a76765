"""Wishes inside a prompt: ``[emulator: fail]``, ``[emulator: fail=reason]``, ``[emulator: render_seconds=3]``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .refusals import invalid

_DIRECTIVE = re.compile(r"\[emulator:\s*([^\[\]]*?)\s*\]")
DEFAULT_FAILURE = "The generation failed because its prompt asked the emulator to."


@dataclass(frozen=True, kw_only=True)
class Directives:
    """What a prompt asks of the emulator.

    :param failure: the reason to fail with, None to succeed
    :param render_seconds: how long the job takes instead of the emulator's setting, None to keep that
    """

    failure: str | None = None
    render_seconds: float | None = None


def directives_in(text: str, *, field: str = "prompt") -> Directives:
    """Read the directives of a prompt.

    :raises Refusal: for a directive the emulator does not know; silently ignoring a typing error would hide what a test meant to try
    """
    failure: str | None = None
    render_seconds: float | None = None
    for wish in _DIRECTIVE.findall(text):
        name, given, value = (part.strip() for part in wish.partition("="))
        if name == "fail":
            failure = value or DEFAULT_FAILURE
        elif name == "render_seconds" and given:
            render_seconds = _seconds(value, field=field)
        else:
            raise invalid(field, f"unknown emulator directive {wish!r}; known are fail, fail=REASON and render_seconds=SECONDS")
    return Directives(failure=failure, render_seconds=render_seconds)


def _seconds(value: str, *, field: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise invalid(field, f"render_seconds in an emulator directive must be a number from 0 up, not {value!r}")
    return seconds

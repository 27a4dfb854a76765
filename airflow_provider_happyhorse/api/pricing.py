"""Dated price tables of the vendors' pages, and what they make of a request.

An estimate is what the documented table says; the service's own figure, where it gives one, is reported beside it and never replaced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING


@dataclass(frozen=True)
class Estimate:
    """What a request should cost.

    :param credits: credits, rounded up per video; None when the table has no price for it.
    :param assumed: the vendor's defaults that went into it because the author gave no value.
    :param prices_of: the day the prices were taken from the vendor's page.
    """

    credits: int | None
    assumed: tuple[str, ...] = ()
    prices_of: str = ""


#: happy-horse.ai, API reference, "Models & Credits": credits per second. The page calls its default model `seedance-1-5-pro` and lists
#: it as `doubao-seedance-1-5-pro`; both spellings are known for every model.
HAPPY_HORSE_AI_PRICES_OF = "2026-11-20"
HAPPY_HORSE_AI_CREDITS_PER_SECOND: Mapping[str, Decimal] = MappingProxyType(
    {
        "doubao-seedance-1-5-pro": Decimal(5),
        "doubao-seedance-2-0": Decimal("7.5"),
        "doubao-seedance-2-0-fast": Decimal(5),
    }
)
HAPPY_HORSE_AI_DEFAULT_MODEL = "seedance-1-5-pro"
HAPPY_HORSE_AI_DEFAULT_DURATION = 5

#: happyhorse.app, API documentation, "Available models": credits per second by (mode, sound).
HAPPYHORSE_APP_PRICES_OF = "2026-04-08"
HAPPYHORSE_APP_CREDITS_PER_SECOND: Mapping[tuple[str, bool], Decimal] = MappingProxyType(
    {("std", False): Decimal(40), ("std", True): Decimal(60), ("pro", False): Decimal(54), ("pro", True): Decimal(80)}
)

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.models import VideoRequest
HAPPYHORSE_APP_DEFAULT_DURATION = 5


def happy_horse_ai_estimate(request: VideoRequest) -> Estimate:
    """Return the price of a video on happy-horse.ai; resolution and ratio are not part of the documented price."""
    model = request.model if request.has("model") else HAPPY_HORSE_AI_DEFAULT_MODEL
    duration = request.duration if request.has("duration") else HAPPY_HORSE_AI_DEFAULT_DURATION
    table = HAPPY_HORSE_AI_CREDITS_PER_SECOND
    rate = table.get(model) or table.get(f"doubao-{model}")
    assumed = _assumed(request, {"model": model, "duration": duration})
    return Estimate(None if rate is None else _rounded_up(rate, duration), assumed, HAPPY_HORSE_AI_PRICES_OF)


def happyhorse_app_estimate(request: VideoRequest) -> Estimate:
    """Return the price of a video on happyhorse.app; a multi-shot video is the sum of its shots."""
    mode = request.mode if request.has("mode") else "std"
    sound = request.sound if request.has("sound") else True
    durations = [request.duration if request.has("duration") else HAPPYHORSE_APP_DEFAULT_DURATION]
    defaults: dict[str, object] = {"mode": mode}
    if request.multi_shots:
        durations = [shot.duration for shot in request.multi_prompt]
    else:
        defaults["duration"] = durations[0]
    table = HAPPYHORSE_APP_CREDITS_PER_SECOND
    rate = table.get((mode, sound))
    silent = table.get((mode, False))
    surcharge = f" (vendor default, +{rate - silent}/s)" if rate is not None and silent is not None else ""
    assumed = _assumed(request, defaults) + (() if request.has("sound") else (f"sound=true{surcharge}",))
    # Shots that are not known yet cost something: no shots is no price, not the price 0.
    return Estimate(_rounded_up(rate, *durations) if rate is not None and durations else None, assumed, HAPPYHORSE_APP_PRICES_OF)


def _assumed(request: VideoRequest, defaults: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in defaults.items() if not request.has(name))


def _rounded_up(rate: Decimal, *seconds: float) -> int:
    # Summed as decimals: 1.1 + 2.2 seconds are 3.3000000000000003 in binary, and one credit more than they cost.
    return math.ceil(rate * sum(Decimal(str(duration)) for duration in seconds))

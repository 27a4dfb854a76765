"""Dated price tables of the vendors' pages, and what they make of a request.

An estimate is what the documented table says; the service's own figure, where it gives one, is reported beside it and never replaced.
Published prices get stale, so a connection may override each of them (extra ``prices``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.models import ImageRequest, VideoRequest

_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
Prices = Mapping[str, Decimal]
NO_PRICES: Prices = MappingProxyType({})

#: happy-horse.ai, API reference, "Models & Credits": credits per second of video, and per image. The page calls its default model
#: `seedance-1-5-pro` and lists it as `doubao-seedance-1-5-pro`; both spellings are known for every model.
HAPPY_HORSE_AI_PRICES_OF = "2026-11-20"
HAPPY_HORSE_AI_PRICES: Prices = MappingProxyType(
    {
        "doubao-seedance-1-5-pro": Decimal(5),
        "doubao-seedance-2-0": Decimal("7.5"),
        "doubao-seedance-2-0-fast": Decimal(5),
    }
)
HAPPY_HORSE_AI_IMAGE_PRICES: Prices = MappingProxyType({"nano-banana-2": Decimal(5)})
HAPPY_HORSE_AI_DEFAULT_MODEL = "seedance-1-5-pro"
HAPPY_HORSE_AI_DEFAULT_DURATION = 5
HAPPY_HORSE_AI_DEFAULT_IMAGE_MODEL = "nano-banana-2"

#: happyhorse.app, API documentation, "Available models": credits per second by mode, without and with sound.
HAPPYHORSE_APP_PRICES_OF = "2026-04-08"
HAPPYHORSE_APP_PRICES: Prices = MappingProxyType(
    {"std": Decimal(40), "std+sound": Decimal(60), "pro": Decimal(54), "pro+sound": Decimal(80)}
)
HAPPYHORSE_APP_DEFAULT_DURATION = 5


@dataclass(frozen=True)
class Estimate:
    """What a request should cost.

    :param credits: credits, rounded up per video; None when the table has no price for it.
    :param assumed: the vendor's defaults that went into it because the author gave no value.
    :param prices_of: the day the price was taken from the vendor's page, or ``the connection``.
    """

    credits: int | None
    assumed: tuple[str, ...] = ()
    prices_of: str = ""


@dataclass(frozen=True)
class CreditPrice:
    """What a credit costs in money, as the account's owner says. Shown to people; nothing is computed from it.

    :param amount: per credit.
    :param currency: such as ``EUR``.
    """

    amount: Decimal
    currency: str

    @classmethod
    def read(cls, given: str) -> CreditPrice:
        """Return the price in a text such as ``0.0025 EUR``.

        :raises ValueError: for any other text.
        """
        match given.split():
            case [amount, currency] if _AMOUNT.fullmatch(amount) and currency.isalpha():
                return cls(Decimal(amount), currency)
        raise ValueError(f"must be an amount and a currency such as 0.0025 EUR, not {given!r}")

    def of(self, number_of_credits: int) -> str:
        """Return what so many credits cost, rounded as money is."""
        money = self.amount * number_of_credits
        return f"about {money:.2f} {self.currency}" if money >= 1 or not money else f"about {money:.2g} {self.currency}"


def happy_horse_ai_estimate(request: VideoRequest, prices: Prices = NO_PRICES) -> Estimate:
    """Return the price of a video on happy-horse.ai; resolution and ratio are not part of the documented price.

    :param prices: credits per second by model, from the connection.
    """
    model = request.model if request.has("model") else HAPPY_HORSE_AI_DEFAULT_MODEL
    duration = request.duration if request.has("duration") else HAPPY_HORSE_AI_DEFAULT_DURATION
    # Both of the page's spellings are one model.
    other = model.removeprefix("doubao-") if model.startswith("doubao-") else f"doubao-{model}"
    rate, of = _rate((model, other), prices, HAPPY_HORSE_AI_PRICES, HAPPY_HORSE_AI_PRICES_OF)
    assumed = _assumed(request, {"model": model, "duration": duration})
    return Estimate(None if rate is None else _rounded_up(rate, duration), assumed, of)


def happy_horse_ai_image_estimate(request: ImageRequest, prices: Prices = NO_PRICES) -> Estimate:
    """Return the price of an image on happy-horse.ai; the page names one price per image, whatever the resolution.

    :param prices: credits per image by model, from the connection.
    """
    model = request.model if request.has("model") else HAPPY_HORSE_AI_DEFAULT_IMAGE_MODEL
    rate, of = _rate((model,), prices, HAPPY_HORSE_AI_IMAGE_PRICES, HAPPY_HORSE_AI_PRICES_OF)
    return Estimate(None if rate is None else _rounded_up(rate, 1), _assumed(request, {"model": model}), of)


def happyhorse_app_estimate(request: VideoRequest, prices: Prices = NO_PRICES) -> Estimate:
    """Return the price of a video on happyhorse.app; a multi-shot video is the sum of its shots.

    :param prices: credits per second by ``std``, ``std+sound``, ``pro``, ``pro+sound``, from the connection.
    """
    mode = request.mode if request.has("mode") else "std"
    sound = request.sound if request.has("sound") else True
    durations = [request.duration if request.has("duration") else HAPPYHORSE_APP_DEFAULT_DURATION]
    defaults: dict[str, object] = {"mode": mode}
    if request.multi_shots:
        durations = [shot.duration for shot in request.multi_prompt]
    else:
        defaults["duration"] = durations[0]
    rate, of = _rate((f"{mode}+sound" if sound else mode,), prices, HAPPYHORSE_APP_PRICES, HAPPYHORSE_APP_PRICES_OF)
    silent, _ = _rate((mode,), prices, HAPPYHORSE_APP_PRICES, HAPPYHORSE_APP_PRICES_OF)
    surcharge = f" (vendor default, +{rate - silent}/s)" if rate is not None and silent is not None else ""
    assumed = _assumed(request, defaults) + (() if request.has("sound") else (f"sound=true{surcharge}",))
    # Shots that are not known yet cost something: no shots is no price, not the price 0.
    return Estimate(_rounded_up(rate, *durations) if rate is not None and durations else None, assumed, of)


def _rate(names: tuple[str, ...], overrides: Prices, table: Prices, table_of: str) -> tuple[Decimal | None, str]:
    for name in names:
        if name in overrides:
            return overrides[name], "the connection"
    return next((table[name] for name in names if name in table), None), table_of


def _assumed(request: VideoRequest | ImageRequest, defaults: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in defaults.items() if not request.has(name))


def _rounded_up(rate: Decimal, *seconds: float) -> int:
    # Summed as decimals: 1.1 + 2.2 seconds are 3.3000000000000003 in binary, and one credit more than they cost.
    return math.ceil(rate * sum(Decimal(str(duration)) for duration in seconds))

"""What the vendors' price tables make of a request."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_happyhorse.api.happy_horse_ai import HappyHorseAi
from airflow_provider_happyhorse.api.happyhorse_app import HappyHorseApp
from airflow_provider_happyhorse.api.pricing import CreditPrice
from tests.api.answers import request_of


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"mode": "pro", "duration": 5}, 400),  # the documented sample: pro, 5 s, sound as the vendor assumes it
        ({"mode": "pro", "duration": 5, "sound": True}, 400),
        ({"mode": "pro", "duration": 5, "sound": False}, 270),
        ({"mode": "std", "duration": 5, "sound": True}, 300),
        ({"mode": "std", "duration": 5, "sound": False}, 200),
        ({"mode": "pro", "sound": "false", "duration": "15"}, 810),
        ({}, 300),
        ({"mode": "pro", "duration": 3.3}, 264),
        ({"mode": "pro", "duration": 3.33}, 267),  # 266.4
        ({"mode": "cinema", "duration": 5}, None),
    ],
)
def test_price_on_happyhorse_app(fields: dict[str, Any], price: int | None) -> None:
    assert HappyHorseApp().estimate(request_of(prompt="a", **fields)).credits == price


@pytest.mark.parametrize(
    ("durations", "price"),
    [((3, 4, 3), 800), ((1,), 80), ((12,) * 5, 4800), ((1.1, 2.2), 264), ((), None)],
    ids=str,
)
def test_a_multi_shot_video_costs_the_sum_of_its_shots(durations: tuple[float, ...], price: int | None) -> None:
    shots = [{"prompt": "a", "duration": seconds} for seconds in durations]
    request = request_of(mode="pro", multi_shots=True, **({"multi_prompt": shots} if shots else {}))
    assert HappyHorseApp().estimate(request).credits == price


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"model": "doubao-seedance-1-5-pro", "duration": 5}, 25),
        ({"model": "seedance-1-5-pro", "duration": 5}, 25),
        ({"model": "doubao-seedance-2-0", "duration": 5}, 38),  # 37.5, rounded up per video
        ({"model": "seedance-2-0", "duration": 4}, 30),
        ({"model": "doubao-seedance-2-0-fast", "duration": 10}, 50),
        ({"model": "doubao-seedance-2-0", "duration": 0.1}, 1),
        ({}, 25),
        ({"model": "veo-4", "duration": 5}, None),
        ({"model": "nano-banana-2"}, None),
        ({"resolution": "1080p"}, 25),
    ],
)
def test_price_on_happy_horse_ai(fields: dict[str, Any], price: int | None) -> None:
    assert HappyHorseAi().estimate(request_of(prompt="a", **fields)).credits == price


def test_what_the_vendor_assumes_is_named() -> None:
    assert HappyHorseApp().estimate(request_of(prompt="a")).assumed == ("mode=std", "duration=5", "sound=true (vendor default, +20/s)")
    assert HappyHorseApp().estimate(request_of(prompt="a", mode="pro", duration=5)).assumed == ("sound=true (vendor default, +26/s)",)
    assert HappyHorseApp().estimate(request_of(prompt="a", mode="pro", duration=5, sound=False)).assumed == ()
    assert HappyHorseAi().estimate(request_of(prompt="a")).assumed == ("model=seedance-1-5-pro", "duration=5")
    assert HappyHorseAi().estimate(request_of(prompt="a", model="seedance-2-0", duration=5)).assumed == ()


def test_the_length_of_a_multi_shot_video_is_not_assumed() -> None:
    shots = [{"prompt": "a", "duration": 3}]
    request = request_of(multi_shots=True, multi_prompt=shots, mode="pro", sound=True)
    assert HappyHorseApp().estimate(request).assumed == ()


def test_estimates_say_how_old_the_prices_are() -> None:
    assert [service.estimate(request_of(prompt="a")).prices_of for service in (HappyHorseAi(), HappyHorseApp())] == [
        "2026-11-20",
        "2026-04-08",
    ]


@pytest.mark.parametrize(
    ("price", "credits_of_it", "shown"),
    [
        ("0.0025 EUR", 200, "about 0.50 EUR"),
        ("0.0025 EUR", 25, "about 0.062 EUR"),
        ("0.0001 EUR", 5, "about 0.0005 EUR"),
        ("1 CHF", 25, "about 25.00 CHF"),
        ("0 EUR", 25, "about 0.00 EUR"),
        (" 12.50  JPY ", 4, "about 50.00 JPY"),
    ],
)
def test_credits_in_money(price: str, credits_of_it: int, shown: str) -> None:
    assert CreditPrice.read(price).of(credits_of_it) == shown


@pytest.mark.parametrize("price", ["0.0025", "EUR 0.0025", "0,0025 EUR", "-1 EUR", "1e400 EUR", "nan EUR", "EUR", "1 2 EUR", "٣ EUR"])
def test_a_price_of_a_credit_that_nobody_can_read(price: str) -> None:
    with pytest.raises(ValueError, match="must be an amount and a currency"):
        CreditPrice.read(price)

"""The request budget as headers tell it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from airflow_provider_happyhorse.api.envelope import rate_limit_of, retry_after_of
from airflow_provider_happyhorse.api.models import RateLimit

DATE = "Fri, 20 Nov 2026 10:00:00 GMT"
NOW = 1795168800


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7.5 "}, 7.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:40 GMT", "date": DATE}, 40.0),
        ({"retry-after": "Fri, 20 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:40 GMT"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:40 -0000", "date": DATE}, 40.0),
        ({"x-ratelimit-reset": str(NOW + 12), "date": DATE}, 12.0),
        ({"x-ratelimit-reset": str((NOW + 12) * 1000), "date": DATE}, 12.0),
        ({"x-ratelimit-reset": str(NOW + 12)}, None),
        ({"x-ratelimit-reset": str(NOW - 12), "date": DATE}, 0.0),
        ({"x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-reset": "12", "date": "yesterday"}, 12.0),
        ({"retry-after": "3", "x-ratelimit-reset": str(NOW + 12), "date": DATE}, 3.0),
        ({"retry-after": "soon", "x-ratelimit-reset": str(NOW + 12), "date": DATE}, 12.0),
    ],
)
def test_how_long_the_service_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers) == seconds


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_date_without_a_zone_is_utc_wherever_the_worker_stands(zone: str) -> None:
    program = (
        "from airflow_provider_happyhorse.api.envelope import retry_after_of as of\n"
        f"print(of({{'retry-after': 'Fri, 20 Nov 2026 10:00:40 -0000', 'date': {DATE!r}}}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "40.0"


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({}, None),
        ({"x-ratelimit-limit": "many"}, None),
        (
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59", "x-ratelimit-reset": str(NOW)},
            RateLimit(limit=60, remaining=59, reset_at=float(NOW)),
        ),
        ({"x-ratelimit-remaining": "0"}, RateLimit(remaining=0)),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-limit": "0"}, RateLimit(remaining=0)),
        ({"x-ratelimit-reset": str(NOW * 1000)}, RateLimit(reset_at=float(NOW))),
        ({"x-ratelimit-reset": "30", "date": DATE}, RateLimit(reset_at=float(NOW + 30), told_at=float(NOW))),
        ({"x-ratelimit-reset": "30", "x-ratelimit-limit": "60"}, RateLimit(limit=60)),
    ],
)
def test_what_is_left_of_the_request_budget(headers: dict[str, str], limit: RateLimit | None) -> None:
    assert rate_limit_of(headers) == limit

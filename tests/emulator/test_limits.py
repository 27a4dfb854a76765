from __future__ import annotations

import time

import pytest

from airflow_provider_happyhorse.emulator.limits import FixedWindow, RateLimits, SlidingWindow, Window
from airflow_provider_happyhorse.emulator.settings import Settings, WindowKind
from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess


def test_a_fixed_window_starts_with_the_first_request_and_resets_at_once() -> None:
    window = FixedWindow(limit=2, seconds=60)
    assert [window.ask(now).allowed for now in (100, 159.9, 159.95, 160, 160, 160)] == [True, True, False, True, True, False]


def test_a_sliding_window_frees_one_request_at_a_time() -> None:
    window = SlidingWindow(limit=2, seconds=60)
    assert [window.ask(now).allowed for now in (100, 150, 155, 160, 161, 210)] == [True, True, False, True, False, True]


@pytest.mark.parametrize("window", [FixedWindow(limit=1, seconds=10), SlidingWindow(limit=1, seconds=10)])
def test_refused_requests_do_not_prolong_the_wait(window: Window) -> None:
    assert window.ask(0).allowed
    resets = {window.ask(now).reset_at for now in range(1, 10)}
    assert resets == {10}
    assert window.ask(10).allowed


@pytest.mark.parametrize("window", [FixedWindow(limit=3, seconds=10), SlidingWindow(limit=3, seconds=10)])
def test_the_headers_count_down_and_promise_no_earlier_reset_than_the_real_one(window: Window) -> None:
    seen = [window.ask(100.25).headers for _ in range(4)]
    assert [one["X-RateLimit-Remaining"] for one in seen] == ["2", "1", "0", "0"]
    assert {one["X-RateLimit-Limit"] for one in seen} == {"3"}
    assert {one["X-RateLimit-Reset"] for one in seen} == {"111"}


@pytest.mark.parametrize(("kind", "later"), [("fixed", [True, True]), ("sliding", [True, False])])
def test_the_kind_of_window_is_a_setting(kind: WindowKind, later: list[bool]) -> None:
    limits = RateLimits(Settings(window=kind, requests_per_minute=2))
    for now in (100, 159):
        assert limits.ask(service="happy-horse.ai", key="k", now=now).allowed
    assert [limits.ask(service="happy-horse.ai", key="k", now=160).allowed for _ in range(2)] == later


def test_the_limit_holds_per_key_and_service_and_lets_go_when_it_says() -> None:
    with EmulatorProcess("--requests-per-minute", "3", "--window-seconds", "1", "--window", "fixed") as emulator:
        client, other = Client(emulator, "happy-horse.ai"), Client(emulator, "happyhorse.app")
        answers = [client("GET", "/credits") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert answers[3].json() == {
            "data": None,
            "error": {"message": answers[3].json()["error"]["message"], "code": "rate_limit_exceeded"},
        }
        assert answers[3].headers["X-RateLimit-Limit"] == "3"
        assert answers[3].headers["X-RateLimit-Remaining"] == "0"
        reset = int(answers[3].headers["X-RateLimit-Reset"])
        assert client("GET", "/credits", key=emulator.poor_key).status_code == 200
        assert client.generate(prompt="refused").status_code == 429
        assert emulator.charged() == 0

        there = [other("GET", "/api/status", params={"task_id": "n92"}) for _ in range(4)]
        assert [one.status_code for one in there] == [404, 404, 404, 429]
        assert there[3].json()["code"] == "RATE_LIMITED"
        assert not [name for name in there[3].headers if name.lower().startswith("x-ratelimit")]

        time.sleep(max(0, reset - time.time()))
        assert client("GET", "/credits").status_code == 200
        client.close()
        other.close()


def test_a_wrong_key_costs_nobody_a_request(horse_ai: Client) -> None:
    refused = horse_ai("GET", "/credits", key="sk-sd_guess")
    assert refused.status_code == 401
    assert "X-RateLimit-Limit" not in refused.headers
    assert horse_ai("GET", "/credits").headers["X-RateLimit-Remaining"] == "999"

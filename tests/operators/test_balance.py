"""The account's balance, asked for before paying where the connection says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import BudgetExceeded, InvalidArguments, NotSubmitted
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import Task

#: An account of one credit; a video of five seconds costs 25.
POOR = "sk-sd_poor"


def sent(emulator: EmulatorProcess) -> list[str]:
    """Return what was asked for until the submission, which is what these tests are about."""
    asked = [f"{request['method']} {request['path'].removeprefix('/api/v1')}" for request in emulator.requests()]
    return asked[: asked.index("POST /generate") + 1] if "POST /generate" in asked else asked


def test_a_balance_below_the_estimate_refuses(
    unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(key=POOR, check_balance=True)
    running = unprotected(name="kettle")
    with pytest.raises(BudgetExceeded, match=r"^\[kettle\] .*balance is 1 credits .*estimated at 25 credits; nothing was submitted"):
        running.run()
    assert (running.xcoms["happyhorse"]["state"], running.xcoms["happyhorse"]["credits_estimated"]) == ("refused", 25)
    assert sent(emulator) == ["GET /credits"]


def test_a_balance_above_it_is_logged_and_the_video_submitted_once(
    unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(check_balance=True)
    running = unprotected()
    assert running.run()["state"] == "succeeded"
    assert "the balance is " in running.log.text("INFO")
    assert (sent(emulator), emulator.charged()) == (["GET /credits", "POST /generate"], 1)


def test_it_is_asked_for_only_where_the_connection_says_so(unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
    unprotected().run()
    assert sent(emulator) == ["POST /generate"]


def test_the_cap_refuses_before_a_request_is_made(
    unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(key=POOR, check_balance=True)
    with pytest.raises(BudgetExceeded, match="the cap is 24 credits"):
        unprotected(max_credits=24).run()
    assert sent(emulator) == []


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("server_error", {}),
        ("rate_limited", {"seconds": 600}),
        ("reset_before", {}),
        ("html", {}),
        ("wrong_type", {}),
        ("forbidden_by_proxy", {}),
        ("unauthorized", {}),
    ],
)
def test_a_balance_that_cannot_be_asked_for_stops_no_video(
    unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess, fault: str, options: dict[str, Any]
) -> None:
    """The service refuses what the account cannot pay for, so nothing is risked; one request is all it may take."""
    connect(check_balance=True)
    emulator.fault(fault, method="GET", path="/api/v1/credits", times=None, **options)
    running = unprotected()
    assert running.run()["state"] == "succeeded"
    assert "the service itself refuses what it does not pay for" in running.log.text("WARNING")
    assert (sent(emulator), emulator.charged()) == (["GET /credits", "POST /generate"], 1)


def test_what_the_service_refuses_then_costs_nothing(
    unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(key=POOR, check_balance=True)
    emulator.fault("server_error", method="GET", path="/api/v1/credits")
    with pytest.raises(NotSubmitted, match="nothing was paid"):
        unprotected().run()
    assert emulator.charged(POOR) == 0


def test_a_price_that_nobody_knows_is_compared_with_nothing(
    unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(key=POOR, check_balance=True)
    with pytest.raises(NotSubmitted):
        unprotected(request={"model": "brand-new-model"}).run()
    assert sent(emulator) == ["GET /credits", "POST /generate"]


def test_a_retry_that_goes_on_asks_for_no_balance(
    task: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
) -> None:
    connect(check_balance=True)
    running = task()
    running.run()
    running.run()
    assert sum(request["path"].endswith("/credits") for request in emulator.requests()) == 1


def test_a_service_that_tells_no_balance_is_no_place_to_check_it(unprotected: Callable[..., Task], connect: Callable[..., str]) -> None:
    connect("happyhorse.app", check_balance=True)
    with pytest.raises(InvalidArguments, match=r"`check_balance`: happyhorse\.app has no call that tells the balance"):
        unprotected().run()


def test_the_estimate_is_shown_in_money_and_nothing_is_computed_from_it(
    unprotected: Callable[..., Task], connect: Callable[..., str]
) -> None:
    connect(credit_price="0.0025 EUR")
    running = unprotected()
    result = running.run()
    assert "25 credits (about 0.062 EUR) (prices of" in running.log.text("INFO")
    assert "EUR" not in str(result)
    with pytest.raises(BudgetExceeded, match=r"estimated at 25 credits \(about 0\.062 EUR\) and the cap is 24"):
        unprotected(max_credits=24).run()

"""Whatever dies, whenever: what is paid was asked for, and every paid video arrives or is named by a loud stop."""

from __future__ import annotations

import pytest

from tests.chaos.scenario import Scenario
from tests.chaos.verdict import Row
from tests.live.processes import LINUX

pytestmark = [pytest.mark.live, pytest.mark.chaos, pytest.mark.skipif(not LINUX, reason="reads the processes from /proc")]


def test_nothing_is_paid_twice_and_nothing_paid_is_lost(scenario: Scenario, rows: dict[str, Row]) -> None:
    assert rows[scenario.title].problems == ()


def test_the_log_tells_name_id_credits_and_what_happens_next(scenario: Scenario, rows: dict[str, Row]) -> None:
    assert rows[scenario.title].untold == ()

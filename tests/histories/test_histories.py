"""Random histories of a DAG run: whatever dies, is retried, cleared, changed or lost, nothing is paid for that nobody asked for, nothing
paid for is forgotten, and every stop has a way out.

The operators, their ledgers (a real folder, or Airflow's store as a value) and the wire format are the real ones; Airflow is what of it
counts here (tries, clears, tries left behind), and the service is a value that knows what it was paid for.

``HAPPYHORSE_HISTORIES=2000`` plays that many, longer and with another seed every time (``--hypothesis-seed=N`` plays one of them again).
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.histories.machine import Histories

ASKED_FOR = int(os.environ.get("HAPPYHORSE_HISTORIES", "0"))
ALONE = "HAPPYHORSE_HISTORIES_ALONE"


@pytest.mark.parametrize("histories", [40, pytest.param(300, marks=pytest.mark.thorough)])
def test_whatever_happens_money_flows_only_where_it_was_asked_to(histories: int) -> None:
    if ASKED_FOR or ALONE in os.environ:
        play(ASKED_FOR or int(os.environ[ALONE]))
        return
    # In a process of its own: hypothesis takes values from whatever modules are loaded, so after other tests it would play other histories.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not thorough", "-p", "no:cacheprovider", "-p", "no:xdist", __file__]
    environment = {**inherited, ALONE: str(histories), "PYTHONHASHSEED": "0"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def play(histories: int) -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=histories,
            stateful_step_count=50 if ASKED_FOR else 25,
            derandomize=not ASKED_FOR,
            database=None,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            # Not shrunk: the story that a failure tells is short enough, and shrinking it takes minutes.
            phases=[Phase.generate],
        ),
    )

"""What it costs to wait in Airflow's own triggerer: python -m tests.benchmarks.cost 1000 300   (triggers, seconds). Needs Airflow 3.3.

Each kind of trigger has a process of Airflow's ``TriggerRunner``, see ``trigger_process.py``, and an emulator of its own, all at the same
time. Nothing ends meanwhile. Further arguments name the kinds, ``ours empty naive`` unless given.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.trigger_kinds import service_of
from tests.emulator_process import EmulatorProcess

KINDS = ("ours", "empty", "naive")


class Process:
    """One kind, waiting at its own emulator."""

    def __init__(self, kind: str, number: int, seconds: float, stack: contextlib.ExitStack) -> None:
        self._kind, self._seconds = kind, seconds
        self._emulator = stack.enter_context(EmulatorProcess())
        home = stack.enter_context(tempfile.TemporaryDirectory())
        self._output, self._log = Path(home, "output.json"), Path(home, "log")
        base, key = self._emulator.base_url(service_of(kind)), self._emulator.key
        connection = {"conn_type": "happyhorse", "host": base, "password": key, "extra": json.dumps({"service": service_of(kind)})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.trigger_process", kind, str(self._output), json.dumps(connection), str(seconds)],
            env={**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            stdin=subprocess.PIPE,
            stdout=self._log.open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        stack.callback(self._process.kill)
        ids = self._emulator.seed(number, service=service_of(kind), render_seconds=86_400.0)
        self._jobs = dict.fromkeys(ids, time.time())

    def begin(self) -> None:
        """Let it wait, once everything is imported."""
        while "ready" not in self._log.read_text().splitlines():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            time.sleep(0.1)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._jobs) + "\n")
        self._process.stdin.close()

    def result(self) -> dict[str, Any]:
        """Return what it has cost, and what its emulator was asked, once it has ended."""
        assert self._process.wait(self._seconds + 120) == 0, self._log.read_text()[-2000:]
        seen: dict[str, Any] = json.loads(self._output.read_text())
        statuses = seen.pop("statuses")
        log = self._emulator.requests()
        refused = statuses.get("429", sum(request["status"] == 429 for request in log))
        requests = sum(statuses.values()) or len(log)
        return {"kind": self._kind, **seen, "requests": requests, "refused": refused}


def main(number: int, seconds: float, kinds: tuple[str, ...]) -> None:
    """Measure and print, a line of JSON for each kind."""
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)
    with contextlib.ExitStack() as stack:
        processes = [Process(kind, number, seconds, stack) for kind in kinds]
        for process in processes:
            process.begin()
        for process in processes:
            print(json.dumps(process.result()), flush=True)
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), tuple(sys.argv[3:]) or KINDS)

"""What is refused when two triggerers and the submissions of their tasks share a key: python -m tests.benchmarks.shared_key 20   (minutes)

Twenty tasks a minute arrive at random moments (Poisson) at a key of 60 requests a minute, on real sockets; every other one is taken over by
the second triggerer. Their videos take lognormal times with a median of 90 s. The cases run at the same time, each at its own emulator.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.emulator_process import EmulatorProcess, ServiceName

PER_MINUTE, TRIGGERERS = 20, 2
#: Render times, lognormal: median seconds and sigma.
MEDIAN, SIGMA, SEED = 90.0, 0.4, 20261121


@dataclass(frozen=True)
class Case:
    """How the service counts and what it says."""

    service: ServiceName
    window: str = "fixed"
    list_freshness: str = "fresh"
    tells: bool = True

    @property
    def name(self) -> str:
        listed = f"a {self.list_freshness} list" if self.service == "happy-horse.ai" else "no list"
        return f"{self.window} window, {listed}, {'headers' if self.tells and self.service == 'happy-horse.ai' else 'no headers'}"


#: happyhorse.app has no list, and documents no rate headers.
CASES = (
    Case("happy-horse.ai"),
    Case("happy-horse.ai", window="sliding"),
    Case("happy-horse.ai", list_freshness="stale"),
    Case("happy-horse.ai", tells=False),
    Case("happyhorse.app"),
)


class Played:
    """A case with its emulator and its two triggerers."""

    def __init__(self, case: Case, stack: contextlib.ExitStack) -> None:
        self._case = case
        options = ("--window", case.window, "--list-freshness", case.list_freshness, "--api-key", "sk-shared:1000000")
        self._emulator = stack.enter_context(EmulatorProcess(*options))
        if not case.tells:
            self._emulator.fault("no_rate_headers", times=None)
        home = stack.enter_context(tempfile.TemporaryDirectory())
        connection = {"conn_type": "happyhorse", "host": self._emulator.base_url(case.service), "password": "sk-shared"}
        given = {
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONN_HAPPYHORSE_DEFAULT": json.dumps({**connection, "extra": {"service": case.service}}),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        self._outputs = [Path(home, f"{number}.out") for number in range(TRIGGERERS)]
        self._errors = [Path(home, f"{number}.err") for number in range(TRIGGERERS)]
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.shared_key_client"],
                env={**os.environ, **given},
                stdin=subprocess.PIPE,
                stdout=output.open("w"),
                stderr=errors.open("w"),
                text=True,
                cwd=Path(__file__).resolve().parents[2],
            )
            for output, errors in zip(self._outputs, self._errors, strict=True)
        ]
        for process in self._processes:
            stack.callback(process.kill)

    def ready(self) -> bool:
        return all("ready" in output.read_text() for output in self._outputs)

    def begin(self, arrivals: list[tuple[str, float, float]]) -> None:
        """Let tasks arrive: name, Unix time, seconds that the video takes."""
        for number, process in enumerate(self._processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps(arrivals[number::TRIGGERERS]) + "\n")
            process.stdin.close()

    def result(self) -> dict[str, Any]:
        """Return what was refused, and how long tasks had to wait, once all have ended."""
        for process, errors in zip(self._processes, self._errors, strict=True):
            assert process.wait(7200) == 0, errors.read_text()[-2000:]
        lines = [line for output in self._outputs for line in output.read_text().splitlines() if line.startswith("{")]
        told = [json.loads(line) for line in lines]
        ends = {job["id"]: datetime.fromisoformat(job["ends_at"]).timestamp() for job in self._emulator.state()["jobs"]}
        requests = self._emulator.requests()
        refused = [request for request in requests if request["status"] == 429]
        lags = sorted(one["told"] - ends[one["id"]] for one in told)
        return {
            "case": self._case.name,
            "tasks": len(told),
            "succeeded": sum(one["status"] == "success" for one in told),
            "paid": self._emulator.charged("sk-shared"),
            "requests": len(requests),
            "refused": len(refused),
            "refused_%": round(100 * len(refused) / len(requests), 2),
            "refused_submissions": sum(request["method"] == "POST" for request in refused),
            "refused_in_first_5_minutes": sum(request["time"] < requests[0]["time"] + 300 for request in refused),
            "deferred_for_a_turn": sum(one["turns"] > 0 for one in told),
            "mean_lag": round(sum(lags) / len(lags), 1),
            "p95_lag": round(lags[math.ceil(0.95 * len(lags)) - 1], 1),
        }


def main(minutes: float) -> None:
    """Play all cases and print them, a line of JSON for each."""
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)
    chance = random.Random(SEED)
    with contextlib.ExitStack() as stack:
        cases = [Played(case, stack) for case in CASES]
        while not all(case.ready() for case in cases):
            time.sleep(0.2)
        at, arrivals = time.time(), []
        for number in range(round(minutes * PER_MINUTE)):
            at += chance.expovariate(PER_MINUTE / 60)
            arrivals.append((f"clip{number:04}", at, MEDIAN * math.exp(SIGMA * chance.gauss(0, 1))))
        for case in cases:
            case.begin(arrivals)
        for case in cases:
            print(json.dumps(case.result()), flush=True)
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))

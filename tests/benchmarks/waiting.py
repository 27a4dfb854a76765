"""How late waiting triggers learn, and what they cost: ours beside naive ones, each kind in a process with an emulator of its own.

python -m tests.benchmarks.waiting lag 10 100     # burst of N: requests, 429s, lag; the others are cut off at 3 x our time
python -m tests.benchmarks.waiting cost 1000 300  # N that wait for 300 s: CPU, memory, loop delay, beside as many empty triggers
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.emulator_process import EmulatorProcess

#: Render times, lognormal: median seconds and sigma.
MEDIAN, SIGMA, SEED = 45.0, 0.4, 20261120
CUT_OFF = 3.0


class Client:
    """One kind in a process of its own, with its own emulator.

    :param renders: seconds each generation takes from now.
    """

    def __init__(self, kind: str, renders: list[float], stack: contextlib.ExitStack) -> None:
        self.kind = kind
        self._emulator = stack.enter_context(EmulatorProcess())
        home = stack.enter_context(tempfile.TemporaryDirectory())
        base, key = self._emulator.base_url("happy-horse.ai"), self._emulator.key
        connection = {"conn_type": "happyhorse", "host": base, "password": key, "extra": {"service": "happy-horse.ai"}}
        given = {"AIRFLOW_HOME": home, "AIRFLOW_CONN_HAPPYHORSE_DEFAULT": json.dumps(connection), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        self._output = Path(home, "output.json")  # a pipe that nobody reads meanwhile would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.waiting_client", kind, str(self._output)],
            env={**os.environ, **given},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        stack.callback(self._process.kill)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.readline()  # all is imported
        # All at once, by their ages: a thousand calls would take longer than the first renders.
        longest, now = max(renders), time.time()
        ids = self._emulator.seed(len(renders), render_seconds=longest, age_seconds=[longest - render for render in renders])
        jobs = dict.fromkeys(ids, now)
        self._ends = {generation_id: now + render for generation_id, render in zip(ids, renders, strict=True)}
        self._process.stdin.write(json.dumps(jobs))
        self._process.stdin.close()
        self._begun = time.time()

    def wait(self, seconds: float | None = None) -> float:
        """Wait until it ends, or stop it after so many seconds; returns how long it took."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        if self._process.poll() is None:
            self._process.terminate()
        return time.time() - self._begun

    def result(self) -> dict[str, Any]:
        """Return what it saw, and what its emulator did."""
        self._process.wait(60)
        seen: dict[str, Any] = json.loads(self._output.read_text())
        now = time.time()
        lags = sorted(max(0.0, seen["told"].get(one, now) - ends) for one, ends in self._ends.items() if ends < now)
        statuses = seen["statuses"] or {}
        if self.kind == "ours":
            for request in self._emulator.requests():
                statuses[str(request["status"])] = statuses.get(str(request["status"]), 0) + 1
        requests = sum(statuses.values())
        return {
            "kind": self.kind,
            "n": len(self._ends),
            "told": len(seen["told"]),
            "seconds": round(seen["seconds"]),
            "requests": requests,
            "refused": round(100 * statuses.get("429", 0) / max(1, requests), 1),
            "mean_lag": round(sum(lags) / len(lags), 1) if lags else None,
            "p95_lag": round(lags[math.ceil(0.95 * len(lags)) - 1], 1) if lags else None,
            "cpu_s_per_min": round(seen["cpu_seconds_per_minute"], 2),
            "kb_per_trigger": round(seen["bytes_per_trigger"] / 1024, 1),
            "loop_delay_p99_ms": round(1000 * seen["loop_delay_p99"], 1),
        }


def lag(number: int) -> list[dict[str, Any]]:
    """Return the results of a burst, of each kind at the same time. A waiter that was cut off counts with the lag it had by then."""
    chance = random.Random(SEED)
    renders = [MEDIAN * math.exp(SIGMA * chance.gauss(0, 1)) for _ in range(number)]
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            clients = list(pool.map(lambda kind: Client(kind, renders, stack), ("ours", "naive", "http")))
        ours = clients[0].wait()
        for other in clients[1:]:
            other.wait(max(0.1, CUT_OFF * ours - (time.time() - other._begun)))
        return [client.result() for client in clients]


def cost(number: int, seconds: float) -> list[dict[str, Any]]:
    """Return what it costs to wait for generations that do not end, beside triggers that only sleep."""
    with contextlib.ExitStack() as stack:
        clients = [Client(kind, [86_400.0] * number, stack) for kind in ("ours", "empty")]
        time.sleep(seconds)
        for client in clients:
            client.wait(0)
        return [client.result() for client in clients]


def main(arguments: list[str]) -> None:
    """Run what was asked for and print it, a line of JSON for each kind."""
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)
    match arguments:
        case ["cost", number, seconds]:
            rounds = [lambda: cost(int(number), float(seconds))]
        case ["lag", *numbers]:
            rounds = [lambda number=number: lag(int(number)) for number in numbers]
        case _:
            raise SystemExit(__doc__)
    for one in rounds:
        for result in one():
            print(json.dumps(result), flush=True)
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""How late waiting triggers learn: ours beside naive ones, each kind in a process with an emulator of its own.

python -m tests.benchmarks.waiting 10 100 1000     # bursts of so many: requests, 429s, lag; naive ones are cut off at 3 x our time

Ours has waited for some videos before, as a triggerer has that is up for longer than a batch. Beside what it took on real sockets stands
what a client takes in virtual time, for the same videos, that is told what ours has to learn: the render times, and that the list is fresh
(where it is stale: that the window is fixed; where nothing is told: the limit).
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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.references import FreshList, Learning, Renders, WindowsAware
from tests.benchmarks.simulator import Service, Video, run
from tests.benchmarks.trigger_kinds import service_of
from tests.emulator_process import EmulatorProcess

#: Render times, lognormal: median seconds and sigma.
MEDIAN, SIGMA, SEED = 45.0, 0.4, 20261120
EARLIER = 30
CUT_OFF = 3.0
#: Ours, each with what it is measured against, and the others.
OURS = {"ours": FreshList, "stale": WindowsAware, "single": Learning}
OTHERS = ("naive", "http")


class Client:
    """One kind in a process of its own, with its own emulator.

    :param earlier: seconds that videos take which it waits for first.
    """

    def __init__(self, kind: str, stack: contextlib.ExitStack, *, earlier: list[float]) -> None:
        self.kind = kind
        self._emulator = stack.enter_context(EmulatorProcess(*(("--list-freshness", "stale") if kind == "stale" else ())))
        home = stack.enter_context(tempfile.TemporaryDirectory())
        service = service_of(kind)
        base, key = self._emulator.base_url(service), self._emulator.key
        connection = {"conn_type": "happyhorse", "host": base, "password": key, "extra": {"service": service}}
        given = {"AIRFLOW_HOME": home, "AIRFLOW_CONN_HAPPYHORSE_DEFAULT": json.dumps(connection), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        self._output, self._log = Path(home, "output.json"), Path(home, "log")  # a pipe that nobody reads meanwhile would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.waiting_client", kind, str(self._output)],
            env={**os.environ, **given},
            stdin=subprocess.PIPE,
            stdout=self._log.open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        stack.callback(self._process.kill)
        self._ends: dict[str, float] = {}
        self._asked_before = 0
        self._wait_for("ready")  # all is imported
        if earlier:
            self._begin(earlier)
            self._wait_for("told")
            self._asked_before = len(self._emulator.requests())

    def begin(self, renders: list[float]) -> None:
        """Have the videos submitted and waited for.

        :param renders: seconds that each of them takes from now.
        """
        self._begin(renders)
        self._input.close()

    def wait(self, seconds: float | None = None) -> float:
        """Wait until it ends, or stop it after so many seconds; returns how long it took."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        if self._process.poll() is None:
            self._process.terminate()
        return time.time() - self.begun

    def result(self) -> dict[str, Any]:
        """Return what it saw, and what its emulator did. A waiter that was cut off counts with the lag it had by then."""
        self._process.wait(60)
        seen: dict[str, Any] = json.loads(self._output.read_text())
        now = time.time()
        lags = sorted(max(0.0, seen["told"].get(one, now) - ends) for one, ends in self._ends.items() if ends < now)
        statuses = seen["statuses"]  # of the naive ones, who make more requests than the emulator keeps
        if self.kind in OURS:
            statuses = Counter(str(request["status"]) for request in self._emulator.requests()[self._asked_before :])
        return {
            "kind": self.kind,
            "n": len(self._ends),
            "told": len(seen["told"]),
            "seconds": round(max(seen["told"].values(), default=now) - self.begun),
            "requests": sum(statuses.values()),
            "refused": statuses.get("429", 0),
            "mean_lag": round(sum(lags) / len(lags), 2),
            "p95_lag": round(lags[math.ceil(0.95 * len(lags)) - 1], 2),
            "loop_delay_p99_ms": round(1000 * seen["loop_delay_p99"], 1),
        }

    @property
    def _input(self) -> Any:
        assert self._process.stdin is not None
        return self._process.stdin

    def _wait_for(self, word: str) -> None:
        while word not in self._log.read_text().splitlines():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            time.sleep(0.1)

    def _begin(self, renders: list[float]) -> None:
        # All at once: a thousand calls would take longer than the first renders.
        now = time.time()
        ids = self._emulator.seed(len(renders), service=service_of(self.kind), render_seconds=renders)
        self._ends = {generation_id: now + render for generation_id, render in zip(ids, renders, strict=True)}
        self._input.write(json.dumps(dict.fromkeys(ids, now)) + "\n")
        self._input.flush()
        self.begun = time.time()


def of_reference(client: Learning, renders: list[float]) -> dict[str, Any]:
    """Return what it takes a client that knows what ours has to learn, in virtual time."""
    videos = [Video(f"v{number:05}", 1000.0, 1000.0 + render) for number, render in enumerate(renders)]
    service = Service(videos=videos, window="anchored")
    lags = sorted(run(client, service, random=random.Random(SEED)).lags)
    mean, p95 = sum(lags) / len(lags), lags[math.ceil(0.95 * len(lags)) - 1]
    return {
        "kind": f"reference: {type(client).__name__}",
        "n": len(lags),
        "requests": service.requests,
        "refused": service.refused,
        "mean_lag": round(mean, 2),
        "p95_lag": round(p95, 2),
    }


def lag(number: int) -> list[dict[str, Any]]:
    """Return the results of a burst, of each kind at the same time."""
    chance = random.Random(SEED)
    renders, earlier = ([MEDIAN * math.exp(SIGMA * chance.gauss(0, 1)) for _ in range(count)] for count in (number, EARLIER))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        ours = list(pool.map(lambda kind: Client(kind, stack, earlier=earlier), OURS))
        others = list(pool.map(lambda kind: Client(kind, stack, earlier=[]), OTHERS))
        list(pool.map(lambda client: client.begin(renders), [*ours, *others]))
        end = time.time() + (CUT_OFF - 1) * ours[0].wait() + CUT_OFF
        results = []
        for other in others:
            other.wait(max(0.1, end - time.time()))
            results.append(other.result())
        for client in ours:
            client.wait()
            results.append(client.result())
            results.append(of_reference(OURS[client.kind](renders=Renders(median=MEDIAN, sigma=SIGMA)), renders))
        return results


def main(numbers: list[str]) -> None:
    """Run what was asked for and print it, a line of JSON for each kind."""
    for number in numbers:
        print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)
        for result in lag(int(number)):
            print(json.dumps(result), flush=True)
    print(json.dumps({"load_average": os.getloadavg(), "at": time.strftime("%H:%M:%S")}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

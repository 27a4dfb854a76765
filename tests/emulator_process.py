"""Runs the emulator as its users do, in a process of its own; used by every test that needs a service. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

ServiceName = Literal["happy-horse.ai", "happyhorse.app"]

_LISTENING = "happyhorse-emulator listening on "
_ROOT = Path(__file__).resolve().parents[1]


class EmulatorProcess:
    """A running emulator on a free loopback port.

    :param options: command line options besides the port, e.g. ``"--render-seconds", "1"``
    :param start_timeout: seconds it may take until it listens
    """

    key = "sk-sd_emulator"
    free_key = "sk-sd_free"
    poor_key = "sk-sd_poor"

    def __init__(self, *options: str, start_timeout: float = 20.0) -> None:
        self._options = options
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process runs; a pipe nobody reads would fill up
        self._written_errors = ""
        self.url = ""
        self.banner: list[str] = []

    def __enter__(self) -> EmulatorProcess:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_happyhorse.emulator", "--port", "0", *self._options],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        try:
            self.banner = self._read_banner(self._process)
        except BaseException:
            self.stop()
            raise
        self.url = self.banner[0].removeprefix(_LISTENING)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it and check that it went in peace."""
        code = self.stop()
        if kind is None:
            assert code == 0, f"the emulator ended with {code}: {self.errors()}"

    @property
    def pid(self) -> int:
        """Process id, also the id of its process group."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """End it with SIGTERM, or after 5 s with SIGKILL; returns the exit code and asserts that the process is gone."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait(timeout=5)
        assert process.stdout is not None
        process.stdout.close()
        self.errors()
        self._errors.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 0)
            raise AssertionError(f"the emulator left processes behind in group {process.pid}")
        return code

    def errors(self) -> str:
        """Return what it wrote to standard error so far."""
        if not self._errors.closed:
            self._errors.seek(0)
            self._written_errors = self._errors.read()
        return self._written_errors

    def base_url(self, service: ServiceName) -> str:
        """Return the base URL of a service, as a connection's host takes it."""
        return f"{self.url}/api/v1" if service == "happy-horse.ai" else self.url

    def state(self) -> dict[str, Any]:
        """Return keys, jobs and totals."""
        found: dict[str, Any] = self.control("GET", "state")
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Return the log of requests, oldest first."""
        found: list[dict[str, Any]] = self.control("GET", "requests")
        return found

    def charged(self, key: str | None = None) -> int:
        """Return how many submissions a key (the default one unless given) has paid for."""
        count: int = self.state()["keys"][key or self.key]["charged_submissions"]
        return count

    def fault(self, fault: str, *, method: str = "*", path: str = "*", times: int | None = 1, after: int = 0, **options: object) -> None:
        """Arm a fault for the requests that match; ``times=None`` means until cleared."""
        self.control("POST", "faults", {"fault": fault, "method": method, "path": path, "times": times, "after": after, **options})

    def clear_faults(self) -> None:
        """Forget all faults."""
        self.control("DELETE", "faults")

    def reset(self) -> None:
        """Return everything to the start."""
        self.control("POST", "reset")

    def finish(self, job_id: str | None = None, *, failure: str | None = None) -> list[str]:
        """End one job, or all, now; returns the ids of those that were in progress."""
        ids: list[str] = self.control("POST", "finish", {"id": job_id, "failure": failure})["finished"]
        return ids

    def seed(
        self, count: int = 1, *, service: ServiceName = "happy-horse.ai", age_seconds: float | Sequence[float] = 0.0, **fields: object
    ) -> list[str]:
        """Put jobs in flight without charging for them; ``fields``: key, request, render_seconds, failure."""
        ages = age_seconds if isinstance(age_seconds, (int, float)) else list(age_seconds)
        ids: list[str] = self.control("POST", "jobs", {"count": count, "service": service, "age_seconds": ages, **fields})["ids"]
        return ids

    def control(self, method: str, name: str, body: object = None) -> Any:
        """Call a control endpoint and return its JSON."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{name}", data=content, method=method)
        request.add_header("Content-Type", "application/json")
        # An opener without proxies: a proxy in the environment must not see loopback traffic.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())

    def _read_banner(self, process: subprocess.Popen[str]) -> list[str]:
        lines: queue.Queue[str] = queue.Queue()
        output = process.stdout
        assert output is not None

        def read() -> None:
            for _ in range(3):
                lines.put(output.readline())

        threading.Thread(target=read, daemon=True).start()
        deadline = time.monotonic() + self._start_timeout
        banner: list[str] = []
        while len(banner) < 3:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"the emulator did not start within {self._start_timeout} s: {self.errors()}") from None
            assert line, f"the emulator ended before it listened: {self.errors()}"
            banner.append(line.rstrip("\n"))
        assert banner[0].startswith(_LISTENING), banner
        return banner

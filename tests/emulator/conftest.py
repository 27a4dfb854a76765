"""One emulator for all tests of a session, returned to its start before each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.emulator_process import EmulatorProcess, ServiceName


class Client:
    """A client that knows nothing but HTTP."""

    def __init__(self, emulator: EmulatorProcess, service: ServiceName, *, key: str | None = None) -> None:
        self.base_url = emulator.base_url(service)
        self.key = key or emulator.key
        self._session = requests.Session()
        self._session.trust_env = False

    def __call__(self, method: str, path: str, *, key: str | None = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return self._session.request(method, self.base_url + path, headers=headers, timeout=30, **options)

    def download(self, url: str, *, method: str = "GET", **options: Any) -> requests.Response:
        return self._session.request(method, url, timeout=30, **options)

    def generate(self, *, key: str | None = None, **fields: Any) -> requests.Response:
        path = "/generate" if self.base_url.endswith("/api/v1") else "/api/generate"
        return self("POST", path, key=key, json=fields)

    def close(self) -> None:
        self._session.close()


@pytest.fixture(scope="session")
def _running_emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--render-seconds", "600", "--requests-per-minute", "1000") as emulator:
        yield emulator


@pytest.fixture
def emulator(_running_emulator: EmulatorProcess) -> EmulatorProcess:
    _running_emulator.reset()
    return _running_emulator


@pytest.fixture
def horse_ai(emulator: EmulatorProcess) -> Iterator[Client]:
    client = Client(emulator, "happy-horse.ai")
    yield client
    client.close()


@pytest.fixture
def horse_app(emulator: EmulatorProcess) -> Iterator[Client]:
    client = Client(emulator, "happyhorse.app")
    yield client
    client.close()

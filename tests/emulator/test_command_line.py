from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import airflow_provider_happyhorse.emulator
from airflow_provider_happyhorse.emulator.settings import AccountSettings, Settings, require_loopback
from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airflow_provider_happyhorse.emulator", *options], capture_output=True, text=True, timeout=20
    )


def test_help_names_every_option() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    for option in (
        "--host",
        "--port",
        "--render-seconds",
        "--requests-per-minute",
        "--api-key",
        "--window",
        "--list-freshness",
        "--time-scale",
    ):
        assert option in answer.stdout


@pytest.mark.parametrize(
    "options", [("--host", "0.0.0.0"), ("--host", "example.com"), ("--api-key", "k:x"), ("--time-scale", "0"), ("--port", "99999")]
)
def test_impossible_options_are_refused_in_one_sentence(options: tuple[str, str]) -> None:
    answer = run(*options)
    assert answer.returncode == 2
    assert "error:" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = run("--port", str(taken.getsockname()[1]))
    assert answer.returncode == 2
    assert "cannot listen" in answer.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.com", ""])
def test_only_loopback_addresses_may_be_bound(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        require_loopback(host)


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1"), ("127.8.8.8", "127.8.8.8")]
)
def test_loopback_addresses_may_be_bound(host: str, address: str) -> None:
    assert require_loopback(host) == address


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("k", AccountSettings(key="k", credits=10_000, paid_access=True)),
        ("k:7", AccountSettings(key="k", credits=7, paid_access=True)),
        ("k:0:free", AccountSettings(key="k", credits=0, paid_access=False)),
    ],
)
def test_an_account_is_read_from_key_credits_and_free(text: str, account: AccountSettings) -> None:
    assert AccountSettings.parse(text) == account


@pytest.mark.parametrize("text", ["", ":5", "k:-1", "k:1.5", "k:1:paid", "k:1:free:x", " k"])
def test_other_accounts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        AccountSettings.parse(text)


@pytest.mark.parametrize(
    "wrong", [{"render_seconds": -1.0}, {"time_scale": 0.0}, {"requests_per_minute": 0}, {"accounts": (AccountSettings(key="k"),) * 2}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_the_first_lines_say_where_it_is_and_which_keys_it_takes() -> None:
    with EmulatorProcess("--api-key", "sk-sd_mine:50:free", "--api-key", "sk-sd_other") as emulator:
        assert emulator.banner == [
            f"happyhorse-emulator listening on {emulator.url}",
            f"base URLs: happy-horse.ai {emulator.url}/api/v1 | happyhorse.app {emulator.url}",
            "API keys: sk-sd_mine (50 credits, no paid access) | sk-sd_other (10000 credits)",
        ]
        assert urlsplit(emulator.url).hostname == "127.0.0.1"
        assert list(emulator.state()["keys"]) == ["sk-sd_mine", "sk-sd_other"]
        client = Client(emulator, "happy-horse.ai")
        assert client("GET", "/credits").status_code == 401
        assert client("GET", "/credits", key="sk-sd_mine").json()["data"]["credits"] == 50
        client.close()


def test_it_ends_in_peace_on_an_interrupt() -> None:
    emulator = EmulatorProcess().__enter__()
    os.kill(emulator.pid, signal.SIGINT)
    assert emulator.stop() == 0
    assert emulator.errors() == ""


def test_it_ends_in_peace_with_requests_connections_and_renders_in_progress() -> None:
    with tempfile.TemporaryDirectory() as folder:
        previous, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), folder
        try:
            emulator = EmulatorProcess("--render-seconds", "0").__enter__()
        finally:
            if previous is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = previous
        where = urlsplit(emulator.url)
        address = (where.hostname or "", where.port or 0)
        emulator.fault("hang", path="/api/v1/credits", seconds=300)
        client = Client(emulator, "happy-horse.ai")
        long_videos = [client.generate(prompt="long", duration=60).json()["data"]["video_id"] for _ in range(3)]
        connections = [socket.create_connection(address) for _ in range(5)]
        connections[0].sendall(b"GET /api/v1/credits HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection, video in zip(connections[1:], long_videos, strict=False):
            connection.sendall(f"GET /media/{video}.mp4 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        deadline = time.monotonic() + 5
        while len(emulator.requests()) < 7 or not list(Path(folder).glob("*/*.part")):
            assert time.monotonic() < deadline, "no render has begun"
            time.sleep(0.02)

        began = time.monotonic()
        assert emulator.stop() == 0
        assert time.monotonic() - began < 2
        assert list(Path(folder).iterdir()) == [], "temporary files are left"
        for connection in connections:
            connection.close()
        client.close()


def test_it_imports_neither_airflow_nor_the_client_side() -> None:
    forbidden: list[str] = []
    for file in Path(airflow_provider_happyhorse.emulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{file.name} reaches outside its folder"
                names = [node.module or ""] if node.level == 0 else []
            forbidden += [f"{file.name}: {name}" for name in names if name.split(".")[0] in ("airflow", "airflow_provider_happyhorse")]
    assert forbidden == []

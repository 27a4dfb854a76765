"""``make demo`` as its reader runs it."""

import hashlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.processes import LINUX, Process, process_table

pytestmark = [pytest.mark.live, pytest.mark.skipif(not LINUX, reason="looks for left processes in /proc")]

REPOSITORY = Path(__file__).resolve().parents[2]
STAGE = REPOSITORY / ".demo"
LAST_LINE = re.compile(
    r"published file://(?P<path>/\S.*) bytes=(?P<bytes>[0-9]+) sha256=(?P<sha256>[0-9a-f]{64}) seconds=(?P<seconds>[0-9]+(\.[0-9]+)?)"
)


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    # make tells which folder it enters when it believes that another make has called it.
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    process = subprocess.Popen(
        ["make", "demo"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        yield process
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        yield line.rstrip("\n")


def left_by(process: subprocess.Popen[str]) -> list[Process]:
    return [
        other
        for other in process_table().values()
        if other.session == process.pid or Path(other.folder).is_relative_to(STAGE) or f"{STAGE}/" in other.title
    ]


def addresses(printed: list[str]) -> set[tuple[str, int]]:
    return {(host, int(port)) for line in printed for host, port in re.findall(r"http://(127\.0\.0\.1):([0-9]+)", line)}


def test_publishes_the_video_it_names_and_leaves_nothing_running(demo: subprocess.Popen[str]) -> None:
    printed = list(lines(demo))

    assert demo.wait(timeout=30) == 0
    told = LAST_LINE.fullmatch(printed[-1])
    assert told, printed[-1]
    content = Path(told["path"]).read_bytes()
    assert len(content) == int(told["bytes"])
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    assert content[4:8] == b"ftyp"
    assert float(told["seconds"]) > 0
    steps = ("uploaded", "submitted", "deferred", "completed", "published")
    assert [step for line in printed[:-1] for step in steps if f" s  {step}: " in line] == list(steps)
    assert left_by(demo) == []
    assert len(addresses(printed)) >= 2  # the emulator's and Airflow's
    for address in addresses(printed):
        with socket.socket() as probe:
            assert probe.connect_ex(address) != 0, f"somebody still listens on {address}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaves_nothing_running_when_it_is_interrupted(demo: subprocess.Popen[str], number: signal.Signals) -> None:
    for line in lines(demo):
        if "triggered: " in line:
            # As a terminal does on Ctrl-C: to make and to what it runs.
            assert any("airflow" in process.title for process in left_by(demo))
            os.killpg(demo.pid, number)
    demo.wait(timeout=30)

    assert demo.returncode != 0
    assert left_by(demo) == []

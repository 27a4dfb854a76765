"""Nothing that a test has started may outlive it, whatever it does to its process group, session, title and parent."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.processes import LINUX, Command
from tests.live.waiting import wait_for

pytestmark = pytest.mark.skipif(not LINUX, reason="needs /proc")

# Ends at once and leaves a grandchild in a session and a folder of its own behind, deaf to SIGTERM.
LEAVES_AN_ORPHAN = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(0.5)
        os.chdir("/")
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(LINGER)
"""
# Ends on SIGTERM, then says so.
ENDS_POLITELY = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit("goodbye"))
print("ready", flush=True)
time.sleep(60)
"""

StartCommand = Callable[[str], Command]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartCommand]:
    commands: list[Command] = []

    def start(code: str) -> Command:
        arguments = [sys.executable, "-c", code]
        command = Command(name="a command", arguments=arguments, environment=os.environ, folder=tmp_path / str(len(commands)))
        commands.append(command)
        command.start()
        return command

    yield start
    for command in commands:
        command.kill()


def test_an_orphan_in_its_own_session_is_found_by_its_folder_and_killed(start: StartCommand) -> None:
    command = start(LEAVES_AN_ORPHAN.replace("LINGER", "0"))
    wait_for("the command itself ended", lambda: command.exit_status == 0, timeout=10, interval=0.02)

    (orphan,) = command.processes()
    command.kill()

    assert orphan.session != command.pid
    assert command.processes() == []


def test_an_orphan_seen_once_is_remembered_when_it_changes_its_folder_too(start: StartCommand) -> None:
    command = start(LEAVES_AN_ORPHAN.replace("LINGER", "0.2"))
    wait_for("the orphan is alone", lambda: command.exit_status == 0 and len(command.processes()) == 1, timeout=10, interval=0.02)
    wait_for("it has left the folder", lambda: command.processes()[0].folder == "/", timeout=10, interval=0.02)

    command.stop(grace=0.1)

    assert command.processes() == []


def test_stopping_lets_a_command_end_by_itself(start: StartCommand) -> None:
    command = start(ENDS_POLITELY)
    wait_for("it is ready", lambda: "ready" in command.output(), timeout=10, interval=0.02)

    command.stop(grace=10)

    assert command.exit_status == 1
    assert command.output().splitlines() == ["ready", "goodbye"]


def test_a_command_can_be_started_again_and_not_twice(start: StartCommand) -> None:
    command = start(ENDS_POLITELY)
    with pytest.raises(RuntimeError, match="is running"):
        command.start()
    first = command.pid
    command.kill()

    command.start()

    assert command.exit_status is None
    assert command.pid != first


def test_a_wait_in_vain_ends_in_time_and_says_what_for() -> None:
    begin = time.monotonic()

    with pytest.raises(TimeoutError, match=r"the moon fell: not within 0 s\nit is still up"):
        wait_for("the moon fell", lambda: False, timeout=0.1, interval=0.02, explain=lambda: "it is still up")

    assert time.monotonic() - begin < 5

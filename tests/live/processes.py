"""Commands started by a test, together with everything that descends from them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


@dataclass(frozen=True)
class Process:
    """One row of the process table."""

    pid: int
    parent: int
    session: int
    zombie: bool
    started: str
    folder: str
    title: str


def process_table() -> dict[int, Process]:
    """Return every process that can be seen, zombies included."""
    return {process.pid: process for process in (_linux_processes() if LINUX else _other_processes())}


def _linux_processes() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold spaces and parentheses itself.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            folder = str((entry / "cwd").readlink()) if fields[0] != "Z" else ""
        except OSError:  # ended while we looked, or another user's
            continue
        yield Process(
            pid=int(entry.name),
            parent=int(fields[1]),
            session=int(fields[3]),
            zombie=fields[0] == "Z",
            started=fields[19],
            folder=folder,
            title=title,
        )


def _other_processes() -> Iterator[Process]:
    rows = subprocess.run(["ps", "-axo", "pid=,ppid=,stat=,command="], capture_output=True, text=True, check=True).stdout
    for row in rows.splitlines():
        pid, parent, state, title = row.split(None, 3)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            yield Process(
                pid=int(pid),
                parent=int(parent),
                session=os.getsid(int(pid)),
                zombie=state.startswith("Z"),
                started="",
                folder="",
                title=title,
            )


def adopt_orphans() -> None:
    """Let this process inherit, instead of init, whatever its descendants leave behind, so that it can be found and reaped (Linux)."""
    if libc is not None and libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _end_with_parent() -> None:
    # Runs between fork and exec: if the test is killed with SIGKILL, nobody else will stop what it started.
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Command:
    """A command in a session and a folder of its own, its output in a file.

    Its descendants are recognised by parent, session and working folder, and remembered once seen: a title set with setproctitle overwrites
    the environment in /proc, children start process groups and sessions of their own, and orphans lose their parent.
    Start it from the main thread; Linux ends it with the thread that has started it.

    :param name: what failures call it
    :param arguments: program and arguments
    :param environment: the whole environment
    :param folder: its working folder, created; no other command may run in it
    """

    def __init__(self, *, name: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / "output.log"
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._folder = folder
        self._popen: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, str] = {}
        self._ended = False

    def start(self) -> None:
        """Start it; its output is appended to that of earlier starts.

        :raises RuntimeError: when it runs already
        """
        if self.processes():
            raise RuntimeError(f"{self.name} is running")
        self._seen.clear()
        self._ended = False
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self._arguments,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    @property
    def pid(self) -> int:
        """The process id of the command itself.

        :raises RuntimeError: when it was never started
        """
        if self._popen is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """None while the command itself runs and before its first start; the negative signal number when a signal ended it."""
        return None if self._popen is None else self._popen.poll()

    def processes(self) -> list[Process]:
        """Return the command and its descendants, as far as they live."""
        if self._popen is None:
            return []
        self._popen.poll()
        table = process_table()
        own = {pid for pid, started in self._seen.items() if pid in table and table[pid].started == started}
        folder = str(self._folder.resolve())
        own |= {process.pid for process in table.values() if process.folder == folder}
        if not self._ended:
            own |= {process.pid for process in table.values() if process.session == self._popen.pid}
        children: dict[int, list[int]] = {}
        for process in table.values():
            children.setdefault(process.parent, []).append(process.pid)
        to_visit = list(own)
        while to_visit:
            found = [pid for pid in children.get(to_visit.pop(), ()) if pid not in own]
            own.update(found)
            to_visit.extend(found)
        self._seen = {pid: table[pid].started for pid in own}
        for pid in own:
            if table[pid].zombie and table[pid].parent == os.getpid() and pid != self._popen.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        alive = [table[pid] for pid in sorted(own) if not table[pid].zombie]
        # It may have ended while we looked; and from then on its number may be given to a stranger.
        self._ended = not alive and self._popen.poll() is not None
        return alive

    def terminate(self) -> None:
        """Ask the command, not its descendants, to end."""
        self.processes()
        if self._popen is not None:
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the command and its descendants at once, as the loss of a machine would.

        :raises TimeoutError: when one of them survives ten seconds of SIGKILL
        """
        until = time.monotonic() + 10
        while left := self.processes():
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name} survives SIGKILL: {left}")
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)

    def stop(self, *, grace: float = 20) -> None:
        """End the command and its descendants: with SIGTERM, and whatever is left after ``grace`` seconds with SIGKILL."""
        self.terminate()
        stop_together([self], grace=grace)

    def output(self, *, lines: int = 40) -> str:
        """Return the last lines of its output."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def stop_together(commands: Sequence[Command], *, grace: float) -> None:
    """Wait up to ``grace`` seconds for commands that were asked to end, then kill what is left of them."""
    until = time.monotonic() + grace
    while any(command.processes() for command in commands) and time.monotonic() < until:
        time.sleep(0.1)
    for command in commands:
        command.kill()

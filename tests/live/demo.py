"""``make demo``: a real Airflow uploads a product image, generates a video of it at the emulator and publishes it.

Every step is a line with the seconds since the start; the last line is ``published <uri> bytes=<n> sha256=<hex> seconds=<duration>``.
Whatever was started is gone when this ends, however it ends; ``.demo`` keeps the video and the logs.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import requests

from tests.live.airflow import LiveAirflow, LiveAirflowError
from tests.live.processes import Command, adopt_orphans, process_table
from tests.live.product_image import draw_product_image
from tests.live.product_teaser_run import DAG_ID, DemoFailure, ProductTeaserRun
from tests.live.waiting import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "example_dags" / "product_teaser.py"
WORKERS = 4
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LISTENING = re.compile(r"^happyhorse-emulator listening on (http://\S+)$", re.MULTILINE)


class Interrupted(BaseException):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _interrupt(number: int, frame: FrameType | None) -> None:
    _ignore_signals()  # a second Ctrl-C must not leave half of the processes behind
    raise Interrupted(number)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Demo:
    """The stage of one demo: its folder, emulator and Airflow.

    :param folder: replaced by what this demo leaves
    :param dag_file: defines the DAG ``product_teaser``
    """

    def __init__(self, *, folder: Path, dag_file: Path) -> None:
        self._begin = time.monotonic()
        self._folder = folder
        self._dag_file = dag_file
        self._image = folder / "product.png"
        self._published = folder / "published"
        self._emulator = Command(
            name="emulator",
            arguments=[sys.executable, "-m", "airflow_provider_happyhorse.emulator", "--port", "0"],
            environment={**os.environ, "PYTHONUNBUFFERED": "1"},
            folder=folder / "emulator",
        )
        self._airflow: LiveAirflow | None = None

    def say(self, text: str) -> None:
        """Print a step."""
        print(f"{time.monotonic() - self._begin:6.1f} s  {text}", flush=True)

    def play(self) -> str:
        """Show everything and return the last line.

        :raises DemoFailure, LiveAirflowError, TimeoutError, OSError, requests.RequestException: when something went wrong
        """
        adopt_orphans()
        self._set_up_folder()
        emulator = self._start_emulator()
        airflow = self._airflow = LiveAirflow(
            home=self._folder / "airflow",
            dags_folder=self._folder / "dags",
            environment={"AIRFLOW_CONN_HAPPYHORSE_DEFAULT": self._connection(emulator)},
            parallelism=WORKERS,
            progress=lambda text: self.say(f"Airflow {version('apache-airflow')}: {text}"),
        )
        airflow.start()
        self.say(f"Airflow UI {airflow.url}/dags/{DAG_ID}")
        airflow.wait_for_dag(DAG_ID)
        run = ProductTeaserRun(airflow=airflow, say=self.say)
        run.trigger(image=str(self._image), destination=f"file://{self._published}/")
        return self._last_line(run.until_published(timeout=180))

    def _set_up_folder(self) -> None:
        for name in ("airflow", "dags", "emulator", "published"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        for name in ("dags", "published"):
            (self._folder / name).mkdir()
        # Only this example is parsed, and what is edited is what Airflow sees.
        (self._folder / "dags" / f"{DAG_ID}.py").symlink_to(self._dag_file)
        draw_product_image(self._image)
        self.say(f"drew the product image {self._image}")

    def _start_emulator(self) -> str:
        self._emulator.start()

        def address() -> str | None:
            if self._emulator.exit_status is not None:
                raise DemoFailure(f"the emulator ended with {self._emulator.exit_status}\n{self._emulator.output()}")
            found = LISTENING.search(self._emulator.log.read_text())
            return found and found[1]

        url = wait_for("the emulator listens", address, timeout=60, interval=0.05, explain=self._emulator.output)
        self.say(f"emulator {url}")
        return url

    @staticmethod
    def _connection(emulator: str) -> str:
        service = {"service": "happy-horse.ai"}  # a loopback host does not tell which service speaks there
        return json.dumps({"conn_type": "happyhorse", "host": f"{emulator}/api/v1", "password": "sk-sd_emulator", "extra": service})

    def _last_line(self, published: dict[str, Any]) -> str:
        # What the task says about the file must be true of the file.
        path = Path(published["uri"].removeprefix("file://"))
        content = path.read_bytes()
        facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        if wrong := {name: (published[name], fact) for name, fact in facts.items() if published[name] != fact}:
            raise DemoFailure(f"{path} differs from what publish returned, (returned, found): {wrong}")
        return f"published {published['uri']} bytes={facts['bytes']} sha256={facts['sha256']} seconds={published['seconds']}"

    def clear(self) -> None:
        """Stop everything.

        :raises DemoFailure: when a process is left
        """
        try:
            if self._airflow is not None:
                self._airflow.stop()
        finally:
            self._emulator.stop(grace=5)
        if left := [process for process in process_table().values() if process.parent == os.getpid() and not process.zombie]:
            raise DemoFailure(f"processes are left: {left}")


def run(*, keep: bool, folder: Path = REPOSITORY / ".demo", dag_file: Path = EXAMPLE) -> int:
    """Play the demo and return the exit status.

    :param keep: leave everything up after the last line, until a signal comes
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another demo is running in {folder}.", file=sys.stderr)
            return 1
        for number in SIGNALS:
            signal.signal(number, _interrupt)
        return _run(Demo(folder=folder, dag_file=dag_file), keep=keep)


def _run(demo: Demo, *, keep: bool) -> int:
    status = 1
    last_line = ""
    failures = (DemoFailure, LiveAirflowError, TimeoutError, OSError, requests.RequestException)
    try:
        last_line = demo.play()
        status = 0
        if keep:
            demo.say("Airflow and the emulator stay up until Ctrl-C")
            print(last_line, flush=True)
            signal.pause()
    except Interrupted as interrupted:
        if status != 0:
            status = 128 + interrupted.number
            print(f"The demo was ended by {interrupted}.", file=sys.stderr)
    except failures as error:
        print(f"The demo failed: {error}", file=sys.stderr)
    finally:
        _ignore_signals()
        try:
            demo.clear()
        except failures as error:
            status = 1
            print(f"The demo failed to clear its stage: {error}", file=sys.stderr)
    if status == 0 and not keep:
        print(last_line, flush=True)
    return status


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A real Airflow generates and publishes a video.")
    arguments.add_argument("--keep", action="store_true", help="leave Airflow and the emulator up until Ctrl-C")
    sys.exit(run(keep=arguments.parse_args().keep))

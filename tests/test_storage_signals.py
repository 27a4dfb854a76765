"""A timeout while something is written: Airflow raises it from a signal, wherever the task is just then."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

#: A thousand writers whom an alarm interrupts at another moment each, and who are closed all the same; prints how many were interrupted.
SCRIPT = """
import random, signal, sys
from airflow_provider_happyhorse.storage import written
from airflow_provider_happyhorse.storage.local import LocalStore

class Timeout(BaseException):
    pass

def alarm(*_):
    raise Timeout

written.STEP = 64
signal.signal(signal.SIGALRM, alarm)
chance, interrupted, store = random.Random(7), 0, LocalStore()
for number in range(1000):
    try:
        with store.upload(sys.argv[1] + f"/{number}.mp4") as upload:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.003 * chance.random())
            try:
                while True:
                    upload.write(bytes(64))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    except Timeout:
        interrupted += 1
print(interrupted)
"""


def test_never_hangs_the_task(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[-1]) > 900
    assert list(tmp_path.iterdir()) == []

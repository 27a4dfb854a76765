"""Keeping the moment between a submission and the record of its id in one piece."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: SIGTERM kills a task (2.11's handler raises wherever the code is), SIGALRM is Airflow's ``execution_timeout``, SIGINT is Ctrl-C in
#: ``dag.test()``.
HELD = (signal.SIGTERM, signal.SIGALRM, signal.SIGINT)


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold these signals off inside the block and deliver them after it.

    Python runs signal handlers in the main thread only, so elsewhere nothing can interrupt the block and nothing is done. The block
    is bounded by the timeouts of one request and a few ledger writes; Airflow kills a task that does not end in time, and then the
    intent in the ledger says what happened.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def hold(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature of a handler
        arrived.append(signum)

    before = {signum: signal.signal(signum, hold) for signum in HELD}
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, signal.SIG_DFL if handler is None else handler)
        for signum in dict.fromkeys(arrived):
            signal.raise_signal(signum)

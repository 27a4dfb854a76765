"""Waiting with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], *, timeout: float, interval: float = 0.5, explain: Callable[[], str] = str) -> T:
    """Return the first answer of ``probe`` that is neither None nor False.

    :param what: what is waited for, as in "Airflow did not ..."
    :param timeout: seconds
    :param interval: seconds between two probes
    :param explain: evidence to add to the failure
    :raises TimeoutError: when there was none in time
    """
    until = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() >= until:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s\n{explain()}".rstrip())
        time.sleep(interval)

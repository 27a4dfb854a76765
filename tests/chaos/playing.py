"""Scenarios side by side in one thread: what a scenario starts must be a child of the main thread, with which Linux would end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import requests

from tests.chaos.clip import Until

TICK = 0.5
#: Seconds after which nobody waits any longer for Airflow to be seen again.
BLIND = 180.0


class Play:
    """A scenario being played.

    :param steps: yields what it waits for.
    :param patience: how many times longer than it says it may wait.
    """

    def __init__(self, title: str, steps: Iterator[Until], *, patience: float = 1) -> None:
        self.title, self.trouble, self.over = title, "", False
        self._steps, self._patience = steps, patience
        self._until: Until | None = None
        self._deadline = 0.0

    def go_on(self) -> None:
        """Play on as far as it goes just now; what a scenario raises is its own trouble, the others go on."""
        try:
            if self._until is None or self._until.probe():
                self._until = next(self._steps)
                self._deadline = time.monotonic() + self._until.timeout * self._patience
            elif time.monotonic() > self._deadline:
                self.trouble = f"not {self._until.what} within {self._until.timeout * self._patience:.0f} s"
        except StopIteration:
            self.over = True
        except (requests.RequestException, OSError, LookupError, AssertionError) as problem:
            self.trouble = f"broke: {type(problem).__name__}: {problem}"
        self.over = self.over or bool(self.trouble)


def play_together(
    plays: Sequence[Play], *, at_once: int, look: Callable[[Sequence[str]], bool], say: Callable[[str], None]
) -> dict[str, str]:
    """Play them to their ends, and return what kept any of them from it, by title.

    :param look: reads what the probes of the plays with these titles look at; False when that was not possible just now.
    """
    waiting = list(plays)
    running: list[Play] = []
    seen_at = time.monotonic()
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(waiting.pop(0))
        if time.monotonic() - seen_at > BLIND:
            return {
                play.title: play.trouble or f"Airflow has not been seen for {BLIND:.0f} s"
                for play in plays
                if play.trouble or not play.over
            }
        if look([play.title for play in running]):
            seen_at = time.monotonic()
            for play in running:
                play.go_on()
                if play.over:
                    say(f"{play.title}: {play.trouble or 'over'}")
            running = [play for play in running if not play.over]
        time.sleep(TICK)
    return {play.title: play.trouble for play in plays if play.trouble}

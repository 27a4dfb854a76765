"""A try of a task as a thread that stops at every seam: where it may die, where a write may fail, where another try may come in between."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from tests.operators.task_instances import Log


class Order(enum.Enum):
    """What happens at a seam."""

    GO = "goes on"
    DIE = "dies"
    FAIL = "what it was about to do fails, and has not happened"
    LOSE = "what it was about to do has happened, and it is told that it failed"


class Death(BaseException):
    """The process is gone: no handler of ours may catch it."""


@dataclass(frozen=True)
class Asked:
    """What the author asks of a try, as its templates were rendered."""

    name: str
    take: str
    prompt: str
    words: frozenset[str]
    named: bool

    def __str__(self) -> str:
        return f"{self.prompt!r}" + (f" named {self.name!r}" if self.named else "") + (f", take {self.take}" if self.take else "")

    def same_request(self, other: Asked) -> bool:
        return (self.prompt, self.take) == (other.prompt, other.take)


_here = threading.local()


class Try:
    """One half of a try: up to its deferral, or from the end of the wait on.

    :param index: the map index of its task instance.
    :param number: its try number.
    :param body: what it runs; the operator's ``execute`` or ``execute_complete``.
    """

    def __init__(self, *, index: int, number: int, asked: Asked, log: Log, world: Any) -> None:
        self.index, self.number, self.asked, self.log, self.world = index, number, asked, log, world
        self.seam = ""
        self.ended = False
        self.dead = False
        self.stale = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.deferral: TaskDeferred | None = None
        self.arguments: dict[str, Any] = {}
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._reports: SimpleQueue[str | None] = SimpleQueue()

    def __str__(self) -> str:
        return f"try {self.number} of {self.index}"

    def starts(self, body: Callable[[], Any]) -> None:
        """Run up to the first seam."""
        threading.Thread(target=self._runs, args=(body,), daemon=True).start()
        self._arrives()

    def goes_on(self, order: Order = Order.GO) -> None:
        """Run to the next seam, or to its end."""
        self._orders.put(order)
        self._arrives()

    def runs_to_the_end(self) -> None:
        while not self.ended:
            self.goes_on()

    def dies(self) -> None:
        while not self.ended:
            self.goes_on(Order.DIE)

    @property
    def alive(self) -> bool:
        return not self.ended

    def _arrives(self) -> None:
        seam = self._reports.get(timeout=60)
        self.seam, self.ended = seam or "", seam is None

    def _runs(self, body: Callable[[], Any]) -> None:
        _here.current = self
        if not AIRFLOW_V_3_0_PLUS:
            from airflow.models.baseoperator import ExecutorSafeguard

            # Its guard against calling `execute` by hand knows the main thread only.
            ExecutorSafeguard._sentinel.callers = {}
        try:
            self.result = body()
        except TaskDeferred as deferred:
            self.deferral = deferred
        except BaseException as error:  # noqa: BLE001  a death, too, is an end
            self.error = error
        self._reports.put(None)

    def stops_at(self, seam: str) -> Order:
        if not self.dead:
            self._reports.put(seam)
            order = self._orders.get()
            self.dead = order is Order.DIE
        if self.dead:
            raise Death
        return order


def current() -> Try:
    """Return the try that is running in this thread."""
    found: Try = _here.current
    return found


def seam(where: str) -> Order:
    """Stop the running try here, and return what is to happen."""
    return current().stops_at(where)

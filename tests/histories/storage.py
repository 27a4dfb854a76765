"""Where records are kept: Airflow's task state store and a ledger path on a real file system, with a seam before every step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_provider_happyhorse.ledger.objects import LocalObjects, ObjectsUnavailable
from airflow_provider_happyhorse.ledger.stores import KEY
from tests.histories.tries import Order, Try, current, seam

Value = dict[str, Any]


class StateStore:
    """The task state store of one task instance, as a try sees it (Airflow 3.3).

    A retry and a clear give the task instance another id. For a try that was left behind, ``get`` finds nothing then, and ``set``
    raises.

    :param entries: all task instances' entries, by map index.
    """

    def __init__(self, entries: dict[int, str], of: Try, on_write: Callable[[Try, Value], None]) -> None:
        self._entries, self._try, self._on_write = entries, of, on_write

    def get(self, key: str, default: Any = None) -> Any:
        assert key == KEY
        if seam("read") is not Order.GO:
            raise RuntimeError("the API server is away")
        stored = None if self._try.stale else self._entries.get(self._try.index)
        return default if stored is None else json.loads(stored)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        assert (key, retention) == (KEY, timedelta.max), "an entry that expires is paid for again"
        order = seam(f"write {value['state']}")
        if order is Order.FAIL or self._try.stale:
            raise RuntimeError("the API server is away")
        self._entries[self._try.index] = json.dumps(value)
        self._on_write(self._try, value)
        if order is Order.LOSE:
            raise RuntimeError("the API server did not answer in time")


class SeamedObjects(LocalObjects):
    """The objects of a ledger path; what is not the ledger's (the spend log) is written without a stop."""

    def __init__(self, folder: Path, on_write: Callable[[Try, Value], None]) -> None:
        super().__init__(folder=str(folder))
        self._on_write = on_write

    def create(self, key: str, data: bytes) -> None:
        if not key.startswith("ledger/"):
            super().create(key, data)
            return
        value = json.loads(data)
        order = seam(f"write {value['state']} as {Path(key).parent.name}")
        if order is Order.FAIL:
            raise ObjectsUnavailable("the share is away")
        super().create(key, data)
        # Nothing is sent before the intent is there under the map index too, which is written last.
        if value["state"] != "intent" or Path(key).parent.name == str(current().index):
            self._on_write(current(), value)
        if order is Order.LOSE:
            raise ObjectsUnavailable("the share did not answer in time")

    def list(self, folder: str) -> list[str]:
        if seam("read") is not Order.GO:
            raise ObjectsUnavailable("the share is away")
        return super().list(folder)


def records_on_path(folder: Path) -> Iterator[list[Value]]:
    """Give the steps of every clip's record, oldest first, as a person would read them."""
    for clip in sorted(folder.glob("ledger/*/*/*/*/")):
        steps = sorted(clip.glob("*.json"))
        if steps:
            yield [json.loads(step.read_text()) for step in steps]

"""Which try of which task instance is at work, and what tells a clear from a retry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stamp:
    """What is known of a try.

    :param map_index: -1 when not mapped.
    :param try_number: from 1.
    :param max_tries: ``ti.max_tries``. A clear makes it the number of tries so far and the task's retries; a retry leaves it.
    :param clears: how often Airflow says that the run was cleared (``dag_run.clear_number``); -1 where it is not known. Airflow 2.11 to
        3.2 count clears of runs that had ended, 3.3 counts each.
    """

    map_index: int
    try_number: int
    max_tries: int
    clears: int = -1

    @property
    def of_the_clear(self) -> dict[str, Any]:
        """What tells a retry from a clear, as fields of a record."""
        return {"max_tries": self.max_tries, "clears": self.clears}


def stamp_of(context: Mapping[str, Any]) -> Stamp:
    """Return which try of which task instance is running."""
    ti = context["ti"]
    return Stamp(
        map_index=ti.map_index if ti.map_index is not None else -1,
        try_number=ti.try_number,
        max_tries=ti.max_tries,
        clears=getattr(context.get("dag_run"), "clear_number", -1),
    )

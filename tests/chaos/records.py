"""A clip's record as a person on call reads and changes it: through Airflow's API, or in the ledger's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from tests.chaos.dag_file import TASK_ID
from tests.live.rest import AirflowRest

RECORD_KEY = "happyhorse"


class Records(Protocol):
    """One clip's record."""

    def read(self) -> dict[str, Any]:
        """Return it; empty while there is none."""

    def resolve(self, **changes: str) -> None:
        """Change it as the message of a stop says."""


class StateEntry:
    """The record in the task's state entry (Airflow 3.3), through the REST API."""

    def __init__(self, rest: AirflowRest, *, dag_id: str, run_id: str) -> None:
        self._rest = rest
        self._folder = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{TASK_ID}/state-store"

    def read(self) -> dict[str, Any]:
        entries = self._rest.call("GET", self._folder)["task_state_store"]
        value: Any = next((entry["value"] for entry in entries if entry["key"] == RECORD_KEY), {})
        found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return found

    def resolve(self, **changes: str) -> None:
        self._rest.call("PATCH", f"{self._folder}/{RECORD_KEY}", body={"value": {**self.read(), **changes}})


class LedgerFolder:
    """The record of a named clip in a ledger on a local path: one object per step, of which none is ever changed."""

    def __init__(self, ledger: Path, *, dag_id: str, run_id: str) -> None:
        self._clips = ledger / "ledger" / dag_id / run_id / TASK_ID

    def read(self) -> dict[str, Any]:
        steps = self._steps()
        found: dict[str, Any] = json.loads(steps[-1].read_text()) if steps else {}
        return found

    def resolve(self, **changes: str) -> None:
        last = self._steps()[-1]
        with (last.parent / f"{int(last.stem) + 1:06d}.json").open("x") as step:
            json.dump(changes, step)

    def _steps(self) -> list[Path]:
        return sorted(self._clips.glob("*~*/*.json"))

"""One scenario's run, as the scenarios see it: its task instances, its emulator, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.dag_file import TASK_ID
from tests.chaos.records import Records
from tests.chaos.verdict import ClipEvidence
from tests.emulator_process import EmulatorProcess
from tests.live.airflow import LiveAirflow
from tests.live.processes import process_table

RUN_ID = "chaos"


@dataclass(frozen=True)
class Until:
    """What a scenario waits for before it goes on.

    :param timeout: seconds.
    """

    what: str
    probe: Callable[[], object]
    timeout: float = 180


@dataclass(frozen=True)
class Seen:
    """What Airflow's API showed of a DAG's one run.

    :param run: state of the run.
    :param instances: the newest try of every task instance.
    """

    run: str
    instances: list[dict[str, Any]]


class ScenarioClip:
    """The one task of a scenario's DAG, mapped or not, in its one run.

    :param seen: returns what was last seen of all DAGs, by DAG id.
    :param names: the clip's name by map index.
    """

    def __init__(
        self,
        *,
        airflow: LiveAirflow,
        emulator: EmulatorProcess,
        key: str,
        dag_id: str,
        names: Mapping[int, str],
        folder: Path,
        records: Records,
        seen: Callable[[], Mapping[str, Seen]],
    ) -> None:
        self.airflow, self.emulator, self.dag_id, self.names, self.records = airflow, emulator, dag_id, names, records
        self.published = folder / "published"
        self._key, self._seen = key, seen
        self._signs = folder / "signs.jsonl"
        self._frozen: set[int] = set()
        self._wanted_acts: dict[str, tuple[str, str]] = {}

    def start(self, acts: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Start the run.

        :param acts: ``"<map index>/<try>"`` -> step and act, see ``seam.py``; ``first`` is the first try that gets there.
        """
        self._wanted_acts = dict(acts or {})
        self._signs.parent.mkdir(parents=True, exist_ok=True)
        self.airflow.rest.trigger(self.dag_id, conf={"acts": self._wanted_acts, "signs": str(self._signs)}, run_id=RUN_ID)

    # -- what is seen ------------------------------------------------------------------------------------------------------------

    def instances(self) -> list[dict[str, Any]]:
        """Return the newest try of every task instance."""
        found = self._seen().get(self.dag_id)
        return sorted(
            (ti for ti in (found.instances if found else ()) if len(self.names) == 1 or ti["map_index"] >= 0),
            key=lambda ti: int(ti["map_index"]),
        )

    def state(self, map_index: int = -1) -> str:
        """Return the state of a task instance, "" before anything has happened."""
        return next((ti["state"] or "" for ti in self.instances() if ti["map_index"] == map_index), "")

    def try_number(self, map_index: int = -1) -> int:
        """Return the number of its newest try."""
        return next((int(ti["try_number"]) for ti in self.instances() if ti["map_index"] == map_index), 0)

    def paid(self) -> list[str]:
        """Return the ids of what was paid for."""
        return [job["id"] for job in self.jobs()]

    def jobs(self) -> list[dict[str, Any]]:
        """Return the emulator's jobs of this scenario."""
        return [job for job in self.emulator.state()["jobs"] if job["key"] == self._key]

    def charged(self) -> int:
        """Return how many submissions have cost credits."""
        return self.emulator.charged(self._key)

    def signs(self) -> list[dict[str, Any]]:
        """Return what its task processes have reached and done."""
        return [json.loads(line) for line in self._signs.read_text().splitlines()] if self._signs.exists() else []

    def missing_acts(self) -> list[str]:
        """Return the acts that were wanted and never done."""
        acts = [sign for sign in self.signs() if sign["act"]]
        done = {f"{sign['map_index']}/{which}" for sign in acts for which in (sign["try_number"], "first")}
        return [f"{act[1]} at {act[0]} of {where} did not happen" for where, act in self._wanted_acts.items() if where not in done]

    def task_alive(self, *, try_number: int) -> bool:
        """Tell whether a try's task process lives."""
        table = process_table()
        pids = {sign["pid"] for sign in self.signs() if sign["try_number"] == try_number}
        return any(pid in table and not table[pid].zombie for pid in pids)

    # -- what is waited for ------------------------------------------------------------------------------------------------------

    def over(self, timeout: float = 300) -> Until:
        """Wait until the run has ended, as people see it.

        Not only its task: who clears a task between its end and that of its run races the scheduler, which may end the run after the clear.
        """

        def ended() -> bool:
            found = self._seen().get(self.dag_id)
            return found is not None and found.run in ("success", "failed") and len(self.instances()) == len(self.names)

        return Until("over", ended, timeout)

    def deferred(self, timeout: float = 180) -> Until:
        """Wait until all of them are deferred."""
        return Until("deferred", lambda: self.instances() and all(ti["state"] == "deferred" for ti in self.instances()), timeout)

    def says(self, text: str, *, try_number: int, timeout: float = 60) -> Until:
        """Wait until the log of a try, which the triggerer writes too, holds this text (the clip is not mapped)."""
        rest = self.airflow.rest
        return Until(
            f"{text!r} in the log", lambda: text in rest.log(self.dag_id, RUN_ID, TASK_ID, try_number=try_number, map_index=-1), timeout
        )

    def at(self, step: str, *, act: str | None = None, timeout: float = 180) -> Until:
        """Wait until a task process has reached a step that leaves a sign."""
        return Until(
            f"at {step}", lambda: any(sign["step"] == step and (act is None or sign["act"] == act) for sign in self.signs()), timeout
        )

    # -- what is done to it ------------------------------------------------------------------------------------------------------

    def finish(self, *, failure: str | None = None) -> None:
        """Let its generations end at the service now."""
        for job in self.jobs():
            if job["state"] == "in_progress":
                self.emulator.finish(job["id"], failure=failure)

    def kill_task(self) -> None:
        """Kill its newest task process with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.signs()[-1]["pid"], signal.SIGKILL)

    def thaw(self) -> None:
        """Let processes that froze themselves run on: the task first, then its supervisor."""
        for sign in self.signs():
            if sign["act"] not in ("freeze", "hold") or sign["pid"] in self._frozen:
                continue
            self._frozen.add(sign["pid"])
            for pid in (sign["pid"], *([sign["ppid"]] if sign["act"] == "freeze" else [])):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def clear(self) -> None:
        """Clear it as a person does."""
        self.airflow.rest.clear(self.dag_id, RUN_ID, [TASK_ID])

    def mark_failed(self) -> None:
        """Mark it failed as a person does."""
        self.airflow.rest.mark(self.dag_id, RUN_ID, TASK_ID, "failed")

    # -- what is left of it ------------------------------------------------------------------------------------------------------

    def evidence(self) -> tuple[ClipEvidence, ...]:
        """Return what every task instance has left behind."""
        return tuple(self._evidence_of(ti) for ti in self.instances())

    def _evidence_of(self, ti: Mapping[str, Any]) -> ClipEvidence:
        rest, index, tries = self.airflow.rest, int(ti["map_index"]), int(ti["try_number"])
        logs = tuple(rest.log(self.dag_id, RUN_ID, TASK_ID, try_number=number, map_index=index) for number in range(1, tries + 1))
        result = rest.xcom(self.dag_id, RUN_ID, TASK_ID, map_index=index) if ti["state"] == "success" else None
        delivered = str((result or {}).get("generation_id") or "")
        if delivered and not any(self.published.glob(f"**/*{delivered}.json")):
            delivered = ""
        return ClipEvidence(name=self.names.get(index, ""), state=ti["state"] or "", tries=tries, logs=logs, delivered=delivered)

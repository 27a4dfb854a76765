"""One scenario's run, as the scenarios see it: its task instances, its emulator, its processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.dag_file import TABLE_ID, TASK_ID
from tests.chaos.door import Door
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


@dataclass(frozen=True)
class Want:
    """What one task instance is to deliver."""

    name: str
    prompt: str


@dataclass(frozen=True)
class Table:
    """The file that a scenario's task, mapped or not, reads what is asked for from.

    :param request: fields that every row has unless it says otherwise.
    """

    path: Path
    request: Mapping[str, Any]
    mapped: bool

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the file as a whole."""
        whole = [{**self.request, **row} for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(whole if self.mapped else whole[0]))


class ScenarioClip:
    """The one task of a scenario's DAG, mapped or not, in its one run.

    :param seen: returns what was last seen of all DAGs, by DAG id.
    :param wants: what each clip is to deliver, by map index.
    :param table: where people edit that.
    :param door: by which its tasks reach the emulator.
    """

    def __init__(
        self,
        *,
        airflow: LiveAirflow,
        emulator: EmulatorProcess,
        key: str,
        dag_id: str,
        wants: Mapping[int, Want],
        table: Table | None,
        door: Door | None,
        folder: Path,
        records: Records,
        seen: Callable[[], Mapping[str, Seen]],
    ) -> None:
        self.airflow, self.emulator, self.dag_id, self.records = airflow, emulator, dag_id, records
        self.wants: Mapping[int, Want] = dict(wants)
        self.withdrawn: list[str] = []
        self._table, self._door = table, door
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
            (
                ti
                for ti in (found.instances if found else ())
                # Before it is expanded, a mapped task is one instance without an index.
                if ti["task_id"] == TASK_ID and (ti["map_index"] >= 0 or -1 in self.wants)
            ),
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
            return found is not None and found.run in ("success", "failed") and len(self.instances()) == len(self.wants)

        return Until("over", ended, timeout)

    def deferred(self, timeout: float = 180) -> Until:
        """Wait until all of them are deferred."""
        return Until("deferred", lambda: self.instances() and all(ti["state"] == "deferred" for ti in self.instances()), timeout)

    def says(self, text: str, *, try_number: int, timeout: float = 60) -> Until:
        """Wait until the log of a try, which the triggerer writes too, holds this text (the clip is not mapped)."""
        return Until(f"{text!r} in the log", lambda: text in self._log(-1, try_number), timeout)

    def on_record(self, timeout: float = 180) -> Until:
        """Wait until every try has said that its id is kept."""

        def kept(ti: Mapping[str, Any]) -> bool:
            log = self._log(int(ti["map_index"]), int(ti["try_number"])) if ti["state"] in ("running", "deferred") else ""
            return any(words in log for words in ("a retry or a kill cannot pay again", "nothing is paid again"))

        return Until("on record", lambda: len(self.instances()) == len(self.wants) and all(map(kept, self.instances())), timeout)

    def tried_again(self, before: Mapping[int, int], timeout: float = 180) -> Until:
        """Wait until every clip is at work, or over, in a later try than before; who is new, in any.

        :param before: try numbers by map index.
        """

        def again() -> bool:
            found = self.instances()
            started = [ti for ti in found if ti["state"] in ("running", "deferred", "success", "failed")]
            return len(started) == len(self.wants) and all(int(ti["try_number"]) > before.get(ti["map_index"], 0) for ti in started)

        return Until("tried again", again, timeout)

    def _log(self, map_index: int, try_number: int) -> str:
        return self.airflow.rest.log(self.dag_id, RUN_ID, TASK_ID, try_number=try_number, map_index=map_index)

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

    @property
    def door(self) -> Door:
        """The door to its emulator, in a scenario that has one."""
        assert self._door is not None
        return self._door

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

    def rewrite(self, *rows: Mapping[str, Any]) -> None:
        """Edit the table, as a person does."""
        assert self._table is not None
        before = [want.prompt for want in self.wants.values()]
        self._table.write(rows)
        name = next(iter(self.wants.values())).name
        wants = [Want(str(row.get("name", name)), str(row["prompt"])) for row in rows]
        self.wants = dict(enumerate(wants)) if self._table.mapped else {-1: wants[0]}
        after = [want.prompt for want in self.wants.values()]
        self.withdrawn += [prompt for prompt in before if prompt not in after]

    def clear_table(self) -> None:
        """Clear the table's reader and all that comes after it, as a person does."""
        body = {
            "dry_run": False,
            "dag_run_id": RUN_ID,
            "only_failed": False,
            "reset_dag_runs": True,
            "task_ids": [TABLE_ID],
            "include_downstream": True,
        }
        self.airflow.rest.call("POST", f"/dags/{self.dag_id}/clearTaskInstances", body=body)

    def mark_failed(self) -> None:
        """Mark it failed as a person does."""
        self.airflow.rest.mark(self.dag_id, RUN_ID, TASK_ID, "failed")

    # -- what is left of it ------------------------------------------------------------------------------------------------------

    def evidence(self) -> tuple[ClipEvidence, ...]:
        """Return what every task instance has left behind."""
        return tuple(self._evidence_of(ti) for ti in self.instances())

    def _evidence_of(self, ti: Mapping[str, Any]) -> ClipEvidence:
        index, tries = int(ti["map_index"]), int(ti["try_number"])
        want = self.wants.get(index, Want("", ""))
        result = self.airflow.rest.xcom(self.dag_id, RUN_ID, TASK_ID, map_index=index) if ti["state"] == "success" else None
        delivered = str((result or {}).get("generation_id") or "")
        if delivered and not any(self.published.glob(f"**/*{delivered}.json")):
            delivered = ""
        return ClipEvidence(
            name=want.name,
            state=ti["state"] or "",
            tries=tries,
            logs=tuple(self._log(index, number) for number in range(1, tries + 1)),
            delivered=delivered,
            asks=want.prompt,
            shows=self._shown_by(delivered) if delivered else "",
        )

    def _shown_by(self, delivered: str) -> str:
        """Return the prompt of the video whose file was published under an id: what the service made is told by its content alone."""
        files = list(self.published.glob(f"**/*{delivered}.mp4"))
        contents = {hashlib.sha256(file.read_bytes()).digest() for file in files}
        # That one first: the others would have to be rendered.
        for job in sorted(self.emulator.state()["jobs"], key=lambda job: bool(job["id"] != delivered)):
            if job["state"] == "succeeded" and contents == {hashlib.sha256(self._media(job["media"])).digest()}:
                return prompt_of(job)
        return ""

    def _media(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.emulator.url}{path}", timeout=60) as answer:
            content: bytes = answer.read()
        return content


def prompt_of(job: Mapping[str, Any]) -> str:
    """Return the prompt of one of the emulator's jobs, as it was sent."""
    return str(job["request"]["prompt"])

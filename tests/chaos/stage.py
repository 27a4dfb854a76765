"""Where the scenarios are played: one Airflow, emulators that outlive everything, and all scenarios side by side in one thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos.clip import RUN_ID, ScenarioClip, Table, Want, prompt_of
from tests.chaos.dag_file import dag_file
from tests.chaos.database import own_database
from tests.chaos.door import Door
from tests.chaos.lookout import Lookout
from tests.chaos.playing import Play, play_together
from tests.chaos.records import S3_CONN_ID, LedgerSteps, LocalFolder, Records, S3Ledger, StateEntry
from tests.chaos.scenario import Scenario
from tests.chaos.verdict import Evidence, Row, judge
from tests.emulator_process import EmulatorProcess
from tests.live.airflow import LiveAirflow
from tests.live.processes import adopt_orphans

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # The task instances of all that is being played are read at once; 100 are the most of a page otherwise.
    "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "1000",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "32",
    "AIRFLOW__HAPPYHORSE__FIRST_POLL_DELAY": "6",
}


@dataclass(frozen=True)
class Pace:
    """What a database can bear.

    :param at_once: scenarios side by side.
    :param parallelism: tasks that may run at the same time.
    :param heartbeat_timeout: seconds after which Airflow gives a silent task up.
    :param patience: how many times longer a scenario may take.
    """

    at_once: int
    parallelism: int
    heartbeat_timeout: int
    patience: float

    def slower(self, times: float) -> Pace:
        """Return the pace of a machine that is so many times slower."""
        return replace(
            self,
            at_once=max(1, round(self.at_once / times)),
            heartbeat_timeout=round(self.heartbeat_timeout * times),
            patience=self.patience * times,
        )


ON_POSTGRESQL = Pace(at_once=12, parallelism=8, heartbeat_timeout=15, patience=1)
# One writer at a time: more tasks lock each other out until Airflow takes them for dead.
ON_SQLITE = Pace(at_once=4, parallelism=4, heartbeat_timeout=20, patience=2)


class Stage:
    """Plays scenarios and keeps their rows.

    :param postgresql: use it where it answers.
    :param patience: how many times slower the machine is than a quiet one; fewer scenarios are then played side by side.
    """

    def __init__(
        self,
        *,
        folder: Path,
        scenarios: Sequence[Scenario],
        say: Callable[[str], None],
        postgresql: bool = True,
        patience: float = 1,
    ) -> None:
        self._folder, self._scenarios, self._say = folder, list(scenarios), say
        self._open, self._postgresql, self._patience = ExitStack(), postgresql, patience
        self._pace = ON_SQLITE
        self._clips: list[ScenarioClip] = []
        self._airflow: LiveAirflow | None = None
        self._lookout: Lookout | None = None
        self._s3: S3Ledger | None = None
        self.database = "SQLite"

    def __enter__(self) -> Self:
        adopt_orphans()
        try:
            self._set_up()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    @property
    def airflow(self) -> LiveAirflow:
        """The Airflow."""
        assert self._airflow is not None
        return self._airflow

    def _set_up(self) -> None:
        keys = [f"sk-sd_chaos{number}" for number in range(len(self._scenarios))]
        options = ["--render-seconds", "1", "--requests-per-minute", "600"]
        shared_keys = [part for key in keys for part in ("--api-key", f"{key}:100000")]
        shared = self._open.enter_context(EmulatorProcess(*options, *shared_keys))
        emulators = [
            self._open.enter_context(EmulatorProcess(*options, "--api-key", f"{key}:100000")) if scenario.own_emulator else shared
            for scenario, key in zip(self._scenarios, keys, strict=True)
        ]
        doors = [
            self._open.enter_context(Door(int(emulator.url.rpartition(":")[2]))) if scenario.door else None
            for scenario, emulator in zip(self._scenarios, emulators, strict=True)
        ]
        tasks: dict[str, dict[str, Any]] = {}
        wants: dict[str, dict[int, Want]] = {}
        connections: dict[str, str] = {}
        if any(scenario.ledger == "s3" for scenario in self._scenarios):
            self._s3 = self._open.enter_context(S3Ledger())
            connections[f"AIRFLOW_CONN_{S3_CONN_ID.upper()}"] = self._s3.connection
        for number, (scenario, emulator, door, key) in enumerate(zip(self._scenarios, emulators, doors, keys, strict=True)):
            dag_id, conn_id = f"chaos{number}", f"chaos{number}"
            connections[f"AIRFLOW_CONN_{conn_id.upper()}"] = self._connection(scenario, emulator, door, key)
            tasks[dag_id] = task = self._task(scenario, dag_id, conn_id)
            rows = enumerate(task["rows"]) if "rows" in task else [(-1, {"name": dag_id, **task["request"]})]
            wants[dag_id] = {index: Want(str(row["name"]), str(row["prompt"])) for index, row in rows}
            if table := self._table(scenario, dag_id):
                table.write(task.pop("rows", None) or [task.pop("request")])
                task |= {"table": str(table.path), "mapped": table.mapped}
        dags = self._folder / "dags"
        dags.mkdir(parents=True)
        (self._folder / "ledger").mkdir()  # a ledger that is missing is not taken for an empty one
        (dags / "chaos_dags.py").write_text(dag_file(tasks))
        url = self._open.enter_context(own_database()) if self._postgresql else None
        self.database = "PostgreSQL" if url else "SQLite"
        self._pace = (ON_POSTGRESQL if url else ON_SQLITE).slower(self._patience)
        heartbeats = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(self._pace.heartbeat_timeout)}
        environment = {**SETTINGS, **heartbeats, **connections, "PYTHONPATH": str(ROOT)}
        self._airflow = LiveAirflow(
            home=self._folder / "airflow",
            dags_folder=dags,
            environment=environment,
            parallelism=self._pace.parallelism,
            database_url=url,
            progress=self._say,
        )
        self._open.enter_context(self._airflow)
        self._lookout = lookout = Lookout(airflow=self._airflow, say=self._say)
        self._say(f"Airflow is up, on {self.database}")
        for dag_id in tasks:
            self._airflow.wait_for_dag(dag_id)
        for number, (scenario, emulator, door, key) in enumerate(zip(self._scenarios, emulators, doors, keys, strict=True)):
            dag_id = f"chaos{number}"
            self._clips.append(
                ScenarioClip(
                    airflow=self._airflow,
                    emulator=emulator,
                    key=key,
                    dag_id=dag_id,
                    wants=wants[dag_id],
                    table=self._table(scenario, dag_id),
                    door=door,
                    folder=self._folder / "clips" / dag_id,
                    records=self._records(scenario, dag_id),
                    seen=lambda: lookout.seen,
                )
            )

    def _records(self, scenario: Scenario, dag_id: str) -> Records:
        match scenario.ledger:
            case "path":
                return LedgerSteps(LocalFolder(self._folder / "ledger"), dag_id=dag_id, run_id=RUN_ID)
            case "s3":
                assert self._s3 is not None
                return LedgerSteps(self._s3, dag_id=dag_id, run_id=RUN_ID)
        return StateEntry(self.airflow.rest, dag_id=dag_id, run_id=RUN_ID)

    def _connection(self, scenario: Scenario, emulator: EmulatorProcess, door: Door | None, key: str) -> str:
        path = {"state": "", "path": f"file://{self._folder}/ledger", "s3": S3Ledger.uri}[scenario.ledger]
        # Short, because a submission of unknown fate is looked for in the list only when it can be there no more.
        extra = {"service": scenario.service, "request_timeout": 10, **scenario.connection, "ledger_path": path}
        host = emulator.base_url(scenario.service)
        if door is not None:
            host = host.replace(emulator.url, f"http://127.0.0.1:{door.port}")
        return json.dumps({"conn_type": "happyhorse", "host": host, "password": key, "extra": extra})

    def _task(self, scenario: Scenario, dag_id: str, conn_id: str) -> dict[str, Any]:
        request = self._request(scenario, dag_id)
        task: dict[str, Any] = {"retries": 3, "happyhorse_conn_id": conn_id, **scenario.task}
        task["destination"] = f"file://{self._folder}/clips/{dag_id}/published/"
        if "rows" in task:
            task["rows"] = [{**request, **row} for row in task["rows"]]
        else:
            task |= {"request": request, "name": dag_id}
        return task

    def _request(self, scenario: Scenario, dag_id: str) -> dict[str, Any]:
        # A prompt of its own for every scenario: one video must not pass for another.
        prompt = f"A lighthouse at dusk, {dag_id}. [emulator: render_seconds={scenario.render_seconds}]"
        model = {"model": "happyhorse-1.0/video"} if scenario.service == "happyhorse.app" else {}
        return {"prompt": prompt, "duration": 5, **model}

    def _table(self, scenario: Scenario, dag_id: str) -> Table | None:
        if not scenario.edited:
            return None
        path = self._folder / "clips" / dag_id / "table.json"
        return Table(path, self._request(scenario, dag_id), mapped="rows" in scenario.task)

    def play(self) -> list[Row]:
        """Play all scenarios, those that shake Airflow after the others, and at last those that need it alone.

        :return: their rows, in the given order.
        """
        assert self._lookout is not None
        order = list(zip(self._scenarios, self._clips, strict=True))
        lookout, dag_ids = self._lookout, {scenario.title: clip.dag_id for scenario, clip in order}
        troubles: dict[str, str] = {}
        for shakes, alone in ((False, False), (True, False), (False, True)):
            chosen = [(scenario, clip) for scenario, clip in order if (scenario.shakes, scenario.alone) == (shakes, alone)]
            plays = [Play(scenario.title, scenario.play(clip), patience=self._pace.patience) for scenario, clip in chosen]
            troubles |= play_together(
                plays,
                at_once=1 if alone else self._pace.at_once,
                look=lambda titles: lookout.look([dag_ids[title] for title in titles]),
                say=self._say,
            )
        return [self._row(scenario, clip, troubles.get(scenario.title, "")) for scenario, clip in order]

    def _row(self, scenario: Scenario, clip: ScenarioClip, trouble: str) -> Row:
        missing = [] if scenario.acts_are_chances else clip.missing_acts()
        if trouble:
            trouble += " (" + ", ".join(f"{ti['state']} in try {ti['try_number']}" for ti in clip.instances()) + ")"
        jobs = clip.jobs()
        evidence = Evidence(
            scenario=scenario.title,
            asked=scenario.asked,
            paid=tuple(job["id"] for job in jobs),
            clips=clip.evidence(),
            failed=frozenset(job["id"] for job in jobs if job["state"] == "failed"),
            trouble="; ".join(filter(None, (trouble, *missing))),
            unpaid_rows=scenario.unpaid_rows,
            prompts={job["id"]: prompt_of(job) for job in jobs},
            withdrawn=tuple(clip.withdrawn),
        )
        folder = self._folder / "evidence" / clip.dag_id
        folder.mkdir(parents=True)
        for one in evidence.clips:
            for number, log in enumerate(one.logs, start=1):
                (folder / f"{one.name}-try{number}.log").write_text(f"{scenario.title}\n{log}\n")
        assert len(jobs) == clip.charged(), f"{scenario.title}: {len(jobs)} jobs, {clip.charged()} paid"
        return judge(evidence, may_stop=scenario.may_stop, delivers=scenario.delivers)

"""The author's everyday repair on a real Airflow: a row inserted on top of the table, another one fixed, the reader cleared with everything
downstream. With a ``ledger_path`` exactly those two are paid for; without one, the tasks whose rows have moved stop and say why.

``nox -s repair``, or ``python -m tests.repair --clips 300``; not in continuous integration, since it takes many minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.chaos.database import own_database
from tests.emulator_process import EmulatorProcess
from tests.live.airflow import LiveAirflow

#: One DAG for each way of keeping records; each reads its own table and has its own account.
LEDGERS = {"with_a_ledger_path": "sk-sd_emulator", "without_one": "sk-sd_free"}
_DAGS = """
import csv
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator

for dag_id in {dag_ids!r}:
    with DAG(dag_id, schedule=None, catchup=False, max_active_tasks=64) as dag:

        @task
        def rows(table):
            with Path(table).open() as opened:
                return list(csv.DictReader(opened))

        HappyHorseGenerateVideoOperator.partial(task_id="clips", happyhorse_conn_id=dag_id).expand(
            request=rows({folder!r} + f"/{{dag_id}}.csv")
        )
    globals()[dag_id] = dag
"""

Row = dict[str, str]


class Repair:
    """One campaign, run and repaired.

    :param dag_id: which of LEDGERS.
    """

    def __init__(self, *, dag_id: str, folder: Path, airflow: LiveAirflow, emulator: EmulatorProcess, say: Callable[[str], None]) -> None:
        self._dag_id, self._table, self._airflow, self._emulator = dag_id, folder / f"{dag_id}.csv", airflow, emulator
        self._say = lambda text: say(f"{dag_id}: {text}")
        self._run_id = ""

    def play(self, clips: int, *, timeout: float) -> dict[str, Any]:
        """Run the table, repair it, and return the counts."""
        table = [{"name": f"clip {number}", "prompt": f"clip {number}", "duration": "5"} for number in range(1, clips + 1)]
        self._write(table)
        self._run_id = self._airflow.rest.trigger(self._dag_id)
        first = self._until_ended(clips, timeout)
        paid = self._paid()
        self._say(f"{clips} rows: {len(paid)} paid, {dict(first)}")

        fixed = table[len(table) // 2]
        fixed["prompt"] += ", in better light"
        self._write([{"name": "new", "prompt": "new", "duration": "5"}, *table])
        body = {"dry_run": False, "dag_run_id": self._run_id, "only_failed": False, "reset_dag_runs": True}
        self._airflow.rest.call(
            "POST", f"/dags/{self._dag_id}/clearTaskInstances", body={**body, "task_ids": ["rows"], "include_downstream": True}
        )
        second = self._until_ended(clips + 1, timeout)
        again = (Counter(self._paid()) - Counter(paid)).elements()
        counts = {"clips": clips, "paid": len(paid), "after the repair": dict(second), "paid more": sorted(again)}
        self._say(json.dumps(counts))
        return counts

    def a_log(self, state: str) -> str:
        """Return the last lines of the log of one clip that has ended so."""
        clip = next(ti for ti in self._clips() if ti["state"] == state)
        log = self._airflow.rest.log(self._dag_id, self._run_id, "clips", try_number=clip["try_number"], map_index=clip["map_index"])
        return "\n".join(line for line in log.splitlines() if "[clip" in line or "[new" in line)

    def _write(self, table: list[Row]) -> None:
        with self._table.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, fieldnames=list(table[0]))
            writer.writeheader()
            writer.writerows(table)

    def _clips(self) -> list[dict[str, Any]]:
        return [
            ti for ti in self._airflow.rest.task_instances(self._dag_id, self._run_id) if ti["task_id"] == "clips" and ti["map_index"] >= 0
        ]

    def _paid(self) -> list[str]:
        """Return the prompts this account has paid for."""
        state, key = self._emulator.state(), LEDGERS[self._dag_id]
        prompts = [str(job["prompt"]) for job in state["jobs"] if job["key"] == key]
        assert len(prompts) == state["keys"][key]["charged_submissions"]
        return prompts

    def _until_ended(self, clips: int, timeout: float) -> Counter[str]:
        told = [time.monotonic()]

        def ended() -> Counter[str] | None:
            run = self._airflow.rest.dag_run(self._dag_id, self._run_id)
            states = Counter(str(ti["state"]) for ti in self._clips())
            if time.monotonic() - told[0] > 30:
                told[0] = time.monotonic()
                self._say(f"{dict(states)}, {len(self._paid())} paid")
            return states if run["state"] in ("success", "failed") and states.total() == clips else None

        return self._airflow.wait_for(f"the end of {self._dag_id}", ended, timeout=timeout, interval=3)


def main(arguments: list[str]) -> int:
    """Return 0 when the counts are as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds for one pass over all clips")
    parser.add_argument("--only", choices=list(LEDGERS))
    asked = parser.parse_args(arguments)
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:7.1f} s  {text}", flush=True)

    emulator_options = ("--requests-per-minute", "1000000", "--time-scale", "100")
    with (
        tempfile.TemporaryDirectory(prefix="happyhorse-repair-") as temporary,
        EmulatorProcess(*emulator_options) as emulator,
        own_database() as database,
    ):
        folder = Path(temporary)
        for name in ("dags", "ledger"):
            (folder / name).mkdir()
        chosen = [dag_id for dag_id in LEDGERS if asked.only in (None, dag_id)]
        (folder / "dags" / "campaigns.py").write_text(_DAGS.format(dag_ids=chosen, folder=str(folder)))
        airflow = LiveAirflow(
            home=folder / "airflow",
            dags_folder=folder / "dags",
            environment={
                **{f"AIRFLOW_CONN_{dag_id.upper()}": _connection(emulator, dag_id, folder / "ledger") for dag_id in chosen},
            },
            parallelism=4,
            database_url=database,
            progress=say,
        )
        with airflow:
            say(f"Airflow {version('apache-airflow')} on {'PostgreSQL' if database else 'SQLite'}")
            wrong = []
            for dag_id in chosen:
                airflow.wait_for_dag(dag_id)
                repair = Repair(dag_id=dag_id, folder=folder, airflow=airflow, emulator=emulator, say=say)
                counts = repair.play(asked.clips, timeout=asked.timeout)
                wrong += [dag_id] if not _as_promised(dag_id, counts) else []
                for state in counts["after the repair"]:
                    say(f"{dag_id}, a clip that ended as {state}:\n{repair.a_log(state)}")
    say(f"not as promised: {', '.join(wrong)}" if wrong else "as promised")
    return 1 if wrong else 0


def _as_promised(dag_id: str, counts: dict[str, Any]) -> bool:
    clips, after, more = counts["clips"], counts["after the repair"], counts["paid more"]
    if dag_id == "with_a_ledger_path":
        fixed = f"clip {clips // 2 + 1}, in better light"
        return counts["paid"] == clips and after == {"success": clips + 1} and more == sorted([fixed, "new"])
    return counts["paid"] == clips and after == {"failed": clips + 1} and more == []


def _connection(emulator: EmulatorProcess, dag_id: str, ledger: Path) -> str:
    path = {"ledger_path": str(ledger)} if dag_id == "with_a_ledger_path" else {}
    account = {"conn_type": "happyhorse", "host": emulator.base_url("happy-horse.ai"), "password": LEDGERS[dag_id]}
    return json.dumps({**account, "extra": {"service": "happy-horse.ai", "requests_per_minute": 100000, **path}})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

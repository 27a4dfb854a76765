"""One kind of the cost benchmark: Airflow's supervisor of triggers in this process, and its ``TriggerRunner`` below it. Needs Airflow 3.3.

Only the database is missing: the triggers come from the first line of the input, and the connection from memory, through the supervisor as
in a triggerer. What is measured is the runner's process, which everything is imported in before.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from airflow.executors.workloads import RunTrigger
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor
from airflow.models.trigger import Trigger
from airflow.sdk.execution_time.comms import ConnectionResult, GetConnection

from tests.benchmarks.trigger_kinds import CONN_ID, STATUSES, trigger_of

#: Triggers that the supervisor hands out at a time, about one time a second; none in the first seconds.
AT_ONCE, QUIET = 100, 3.0


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class MeasuredRunner(TriggerRunner):
    """Writes down what it has cost since all of its triggers ran, when it is stopped."""

    number, output = 0, Path()

    async def arun(self) -> None:
        self._memory = resident_bytes()
        self._since: tuple[float, float] | None = None
        self._delays: list[float] = []
        watching = asyncio.create_task(self._watch_the_loop())
        try:
            await super().arun()
        finally:
            watching.cancel()
            self.output.write_text(json.dumps(self._measured()))

    async def create_triggers(self) -> None:
        await super().create_triggers()
        if self._since is None and len(self.triggers) == self.number:
            self._since = time.monotonic(), time.process_time()
            self._delays.clear()

    async def _watch_the_loop(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.05)
            self._delays.append(time.perf_counter() - before - 0.05)

    def _measured(self) -> dict[str, Any]:
        assert self._since is not None, "not all triggers ran"
        assert len(self.triggers) == self.number, "a trigger has ended"
        seconds, cpu = time.monotonic() - self._since[0], time.process_time() - self._since[1]
        delays = sorted(self._delays)
        return {
            "triggers": len(self.triggers),
            "seconds": round(seconds),
            "cpu_s_per_min": round(cpu / seconds * 60, 2),
            "kb_per_trigger": round((resident_bytes() - self._memory) / 1024 / self.number, 1),
            "loop_delay_p99_ms": round(1000 * delays[int(0.99 * (len(delays) - 1))], 1),
            "statuses": dict(STATUSES),
        }


class Supervisor(TriggerRunnerSupervisor):
    """Hands out what it was given instead of what a database holds, and counts lookups of the connection."""

    waiting: ClassVar[list[RunTrigger]] = []
    connection: ClassVar[ConnectionResult]
    lookups = 0
    quiet_until = 0.0

    @classmethod
    def run_in_process(cls) -> None:
        MeasuredRunner().run()

    def load_triggers(self) -> None:
        if time.monotonic() >= self.quiet_until:
            handed_out, self.waiting[:] = self.waiting[:AT_ONCE], self.waiting[AT_ONCE:]
            self.creating_triggers.extend(handed_out)

    def clean_unused(self) -> None:
        """Leave the database alone: there is none."""

    def heartbeat(self) -> None:
        """Tell nobody: there is no job."""

    def emit_metrics(self) -> None:
        """Send none."""

    def _handle_request(self, msg: Any, log: Any, req_id: int) -> None:
        if not isinstance(msg, GetConnection):
            super()._handle_request(msg, log, req_id)
            return
        type(self).lookups += 1
        self.send_msg(self.connection, request_id=req_id, error=None, exclude_unset=True, by_alias=True)


def workload(number: int, kind: str, generation_id: str, submitted_at: float) -> RunTrigger:
    classpath, arguments = trigger_of(kind, generation_id, submitted_at).serialize()
    ti = TaskInstanceDTO(
        id=uuid4(),
        dag_version_id=uuid4(),
        task_id="generate",
        dag_id="campaign",
        run_id="scheduled__2026-11-20T00:00:00+00:00",
        try_number=1,
        map_index=number,
        pool_slots=1,
        queue="default",
        priority_weight=1,
    )
    return RunTrigger(id=number + 1, classpath=classpath, encrypted_kwargs=Trigger.encrypt_kwargs(arguments), ti=ti)


def main(kind: str, output: Path, connection: dict[str, Any], jobs: dict[str, float], seconds: float) -> None:
    numbers = itertools.count()
    Supervisor.waiting = [workload(next(numbers), kind, *job) for job in jobs.items()]
    Supervisor.connection = ConnectionResult(type="ConnectionResult", conn_id=CONN_ID, schema=None, login=None, port=None, **connection)
    Supervisor.quiet_until = time.monotonic() + QUIET
    MeasuredRunner.number, MeasuredRunner.output = len(jobs), output
    gc.collect()
    supervisor = Supervisor.start(capacity=len(jobs))
    end = time.monotonic() + QUIET + len(jobs) / AT_ONCE + seconds
    while time.monotonic() < end:
        assert supervisor.is_alive(), "the runner has died"
        supervisor.run_once()
    supervisor.kill(signal.SIGTERM, escalation_delay=30)
    seen = json.loads(output.read_text())
    output.write_text(json.dumps({**seen, "lookups": Supervisor.lookups}))


if __name__ == "__main__":
    for module in ("airflow_provider_happyhorse.transports.aio", "airflow_provider_happyhorse.triggers.generation", "greenback"):
        import_module(module)
    print("ready", flush=True)
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.stdin.readline()), float(sys.argv[4]))

"""One run of the example ``product_teaser``, told step by step while it happens."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.live.airflow import LiveAirflow
from tests.live.processes import LINUX

DAG_ID = "product_teaser"


class DemoFailure(Exception):
    """The demo did not show what it is meant to show."""


class ProductTeaserRun:
    """Trigger it, then wait for the video.

    :param airflow: knows the DAG
    :param say: prints one step
    """

    def __init__(self, *, airflow: LiveAirflow, say: Callable[[str], None]) -> None:
        self._airflow = airflow
        self._rest = airflow.rest
        self._say = say
        self._run_id = ""
        self._told: set[str] = set()

    def trigger(self, *, image: str, destination: str) -> None:
        """Start the run.

        :param image: local path of the product image
        :param destination: URI of the folder to publish to, with a slash at its end
        """
        # An id without characters that are special in a URI: it becomes a part of the published name.
        run_id = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self._run_id = self._rest.trigger(DAG_ID, conf={"image": image, "destination": destination}, run_id=run_id)
        self._say(f"triggered: {self._rest.url}/dags/{DAG_ID}/runs/{self._run_id}")

    def until_published(self, *, timeout: float) -> dict[str, Any]:
        """Tell each step as it happens and return what publish returned.

        :raises DemoFailure: when a task fails, or the wait held a worker
        """
        self._airflow.wait_for("the video published", self._look, timeout=timeout)
        if "deferred" not in self._told:
            raise DemoFailure("the task was never seen waiting without a worker")
        published: dict[str, Any] = self._xcom("publish")
        return published

    def _look(self) -> bool:
        states = self._states()
        if states.get("upload") == "success":
            self._tell("uploaded", lambda: f"uploaded: {self._xcom('upload')}")
        if (generation_id := self._xcom("generate", key="generation_id")) is not None:
            self._tell("submitted", lambda: f"submitted: generation {generation_id}")
        if states.get("generate") == "deferred" and self._waits_without_worker():
            self._tell("deferred", lambda: f"deferred: the triggerer waits{self._workers()}")
        if states.get("generate") == "success":
            self._tell("completed", lambda: f"completed: {self._generation()}")
        if states.get("publish") == "success":
            self._tell("published", lambda: f"published: {self._xcom('publish')['uri']}")
        if failed := [task_id for task_id, state in states.items() if state == "failed"]:
            raise DemoFailure("\n".join(f"task {task_id} failed\n{self._log(task_id)}" for task_id in failed))
        return states.get("publish") == "success"

    def _waits_without_worker(self) -> bool:
        if not LINUX:  # elsewhere the processes have no titles, and nothing is claimed about them
            return True
        # The state must still be the same after the processes have been looked at, or they tell nothing about the wait.
        return bool(self._airflow.workers()) and not self._airflow.busy_workers() and self._states()["generate"] == "deferred"

    def _workers(self) -> str:
        return f"; 0 of {len(self._airflow.workers())} worker processes are busy, no task process runs" if LINUX else ""

    def _tell(self, step: str, text: Callable[[], str]) -> None:
        if step not in self._told:
            self._told.add(step)
            self._say(text())

    def _generation(self) -> str:
        result = self._xcom("generate")
        return f"generation {result['generation_id']} {result['state']}, {result['credits']} credits"

    def _states(self) -> dict[str, str]:
        return self._rest.states(DAG_ID, self._run_id)

    def _xcom(self, task_id: str, key: str = "return_value") -> Any:
        return self._rest.xcom(DAG_ID, self._run_id, task_id, key=key)

    def _log(self, task_id: str) -> str:
        tries = {ti["task_id"]: ti["try_number"] for ti in self._rest.task_instances(DAG_ID, self._run_id)}
        return self._rest.log(DAG_ID, self._run_id, task_id, try_number=tries[task_id])[-6000:]

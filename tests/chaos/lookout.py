"""What is seen of the Airflow that is being shaken, through its API server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import requests

from tests.chaos.clip import Seen
from tests.live.airflow import LiveAirflow


class Lookout:
    """Reads the runs and task instances of several DAGs at once, and starts again what has ended though nobody has killed it."""

    def __init__(self, *, airflow: LiveAirflow, say: Callable[[str], None]) -> None:
        self._airflow, self._say = airflow, say
        self._blind = False
        #: By DAG, as last seen.
        self.seen: dict[str, Seen] = {}

    def look(self, dag_ids: Sequence[str]) -> bool:
        """Read those DAGs; False when that was not possible just now.

        Only those: an API server on Python 3.11 that has just been started dies of a segmentation fault in Python's garbage collection,
        again and again, when it is asked for everything at once (Airflow 3.3.2 on PostgreSQL).
        """
        try:
            # The runs first: a run that is over when it is read has no task instance that is not.
            runs = self._list("/dags/~/dagRuns/list", dag_ids)["dag_runs"]
            found = self._list("/dags/~/dagRuns/~/taskInstances/list", dag_ids)["task_instances"]
        except requests.RequestException as problem:
            if not self._blind:
                self._say(f"Airflow's API: {problem}")
            self._blind = True
            for name in self._airflow.ended_by_itself():
                # Without an API server nobody would see anything ever again; what it does to the tasks is chaos enough to go on with.
                self._say(f"{name} has ended by itself: started again\n{self._airflow.logs(name)}")
                self._airflow.start_component(name)
            return False
        self._blind = False
        # What was true before a clear must not be seen after it.
        for dag_id in dag_ids:
            self.seen.pop(dag_id, None)
        self.seen |= {run["dag_id"]: Seen(run["state"], [ti for ti in found if ti["dag_id"] == run["dag_id"]]) for run in runs}
        return True

    def _list(self, path: str, dag_ids: Sequence[str]) -> Any:
        return self._airflow.rest.call("POST", path, body={"dag_ids": list(dag_ids), "page_limit": 1000})

"""The part of the Airflow 3 REST API that tests need."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

Json = dict[str, Any]


class AirflowRest:
    """The REST API of one API server whose simple auth manager takes everyone for an administrator.

    Every method raises ``requests.HTTPError``, with the server's own text, for an answer that is not 2xx unless it says otherwise.

    :param url: of the API server, such as ``http://127.0.0.1:8080``
    """

    def __init__(self, *, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor a netrc stands between us and loopback

    def health(self) -> dict[str, str]:
        """Return component -> "healthy" or "unhealthy"; empty while the server does not answer."""
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5)
            answer.raise_for_status()
        except (requests.ConnectionError, requests.Timeout, requests.HTTPError):
            return {}
        return {name: part["status"] or "absent" for name, part in answer.json().items() if part}

    def log_in(self) -> None:
        """Get a token for the calls that follow; it lives for a day."""
        answer = self._session.get(f"{self.url}/auth/token", timeout=30)
        self._raise_for_status(answer)
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, *, body: Json | None = None, parameters: Mapping[str, str] | None = None) -> Any:
        """Send one request below ``/api/v2`` and return the JSON of the answer, None when it has no content."""
        if "Authorization" not in self._session.headers:
            self.log_in()
        answer = self._session.request(method, f"{self.url}/api/v2{path}", json=body, params=parameters, timeout=30)
        self._raise_for_status(answer)
        return answer.json() if answer.content else None

    def dag(self, dag_id: str) -> Json | None:
        """Return the DAG, None as long as Airflow does not know it."""
        dag: Json | None = self._or_none(f"/dags/{_segment(dag_id)}")
        return dag

    def import_errors(self) -> list[str]:
        """Return why DAG files could not be parsed."""
        return [f"{error['filename']}: {error['stack_trace']}" for error in self.call("GET", "/importErrors")["import_errors"]]

    def trigger(self, dag_id: str, *, conf: Json | None = None, run_id: str | None = None) -> str:
        """Start a run and return its id."""
        body = {"logical_date": None, "conf": conf or {}} | ({"dag_run_id": run_id} if run_id else {})
        return str(self.call("POST", f"/dags/{_segment(dag_id)}/dagRuns", body=body)["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> Json:
        """Return the run; ``state`` is its state."""
        run: Json = self.call("GET", _run(dag_id, run_id))
        return run

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """Return the newest try of every task instance, mapped ones included; Airflow gives at most 100 of them a page."""
        instances: list[Json] = []
        while True:
            parameters = {"limit": "100", "offset": str(len(instances)), "order_by": "map_index"}  # a new try has another id
            page = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances", parameters=parameters)
            instances += page["task_instances"]
            if not page["task_instances"] or len(instances) >= page["total_entries"]:
                return instances

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return task id -> state of the unmapped tasks of a run, ``none`` before anything has happened."""
        return {ti["task_id"]: ti["state"] or "none" for ti in self.task_instances(dag_id, run_id) if ti["map_index"] == -1}

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return the value, None as long as there is none."""
        entry = self._or_none(
            f"{_run(dag_id, run_id)}/taskInstances/{_segment(task_id)}/xcomEntries/{_segment(key)}",
            parameters={"map_index": str(map_index), "stringify": "false"},
        )
        return None if entry is None else entry["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try, one event per line; empty when there is none."""
        answer = self._or_none(
            f"{_run(dag_id, run_id)}/taskInstances/{_segment(task_id)}/logs/{try_number}",
            parameters={"map_index": str(map_index), "full_content": "true"},
        )
        events = [] if answer is None else answer["content"]
        return "\n".join(event if isinstance(event, str) else _event_text(event) for event in events)

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str] | None = None) -> list[Json]:
        """Clear task instances of a run in whatever state they are, all of them without ``task_ids``, and return them."""
        body: Json = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        cleared: list[Json] = self.call("POST", f"/dags/{_segment(dag_id)}/clearTaskInstances", body=body)["task_instances"]
        return cleared

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int | None = None) -> None:
        """Set a task instance to ``success``, ``failed`` or ``skipped``, as a person does in the UI."""
        index = "" if map_index is None else f"/{map_index}"
        self.call("PATCH", f"{_run(dag_id, run_id)}/taskInstances/{_segment(task_id)}{index}", body={"new_state": state})

    def _or_none(self, path: str, *, parameters: Mapping[str, str] | None = None) -> Any:
        try:
            return self.call("GET", path, parameters=parameters)
        except requests.HTTPError as error:
            if error.response.status_code == 404:
                return None
            raise

    @staticmethod
    def _raise_for_status(answer: requests.Response) -> None:
        if not answer.ok:
            call = f"{answer.request.method} {answer.request.path_url}"
            raise requests.HTTPError(f"{call}: {answer.status_code} {answer.text[:500]}", response=answer)


def _event_text(event: Json) -> str:
    causes = [f"{cause['exc_type']}: {cause['exc_value']}" for cause in event.get("error_detail") or ()]
    return " ".join(filter(None, (event.get("timestamp"), event.get("level"), event["event"], *causes)))


def _segment(text: str) -> str:
    return quote(text, safe="")


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{_segment(dag_id)}/dagRuns/{_segment(run_id)}"

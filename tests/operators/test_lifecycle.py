"""Submit, wait, deliver: what a task pushes, returns, defers and logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.exceptions import GenerationFailed, GenerationTimeout, GenerationUnreachable
from airflow_provider_happyhorse.operators.video import HappyHorseGenerateVideoOperator
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task, event_of, killed_while_waiting

RESULT = [
    *("generation_id", "name", "kind", "service", "happyhorse_conn_id", "state", "result_urls", "credits", "credits_estimated", "model"),
    *("duration", "aspect_ratio", "submitted_at", "completed_at", "reused", "uri", "sidecar_uri"),
]
SLOW = "a kettle [emulator: render_seconds=600]"


class TestTheResult:
    @pytest.mark.parametrize(("service", "cost"), [("happy-horse.ai", 25), ("happyhorse.app", None)])
    def test_has_the_documented_shape(
        self, unprotected: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess, service: Any, cost: int | None
    ) -> None:
        connect(service)
        running = unprotected(request={"duration": 5, "aspect_ratio": "9:16"}, name="kettle")
        result = running.run()
        assert list(result) == RESULT
        assert all(value is None or isinstance(value, (str, int, float, bool, list)) for value in result.values())
        assert {key: result[key] for key in ("name", "kind", "service", "state", "duration", "aspect_ratio", "reused")} == {
            "name": "kettle",
            "kind": "video",
            "service": service,
            "state": "succeeded",
            "duration": 5,
            "aspect_ratio": "9:16",
            "reused": False,
        }
        assert result["result_urls"][0].startswith(emulator.url)
        assert cost in (None, result["credits_estimated"])
        assert result["submitted_at"] <= result["completed_at"]
        assert running.xcoms == {"generation_id": result["generation_id"], "happyhorse": result}
        assert emulator.key not in json.dumps(result) + running.log.text()

    def test_is_there_from_submission_on(self, unprotected: Callable[..., Task]) -> None:
        running = unprotected(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        known = running.xcoms["happyhorse"]
        assert list(known) == RESULT
        assert (known["state"], known["result_urls"], known["completed_at"]) == ("in_progress", [], None)
        assert running.xcoms["generation_id"] == known["generation_id"]

    def test_without_waiting_is_the_id(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        result = unprotected(prompt=SLOW, wait_for_completion=False).run()
        assert (result["state"], list(result)) == ("in_progress", RESULT)
        assert [request["method"] for request in emulator.requests()] == ["POST"]

    def test_a_clip_without_a_name_is_called_after_its_task(self, unprotected: Callable[..., Task]) -> None:
        assert unprotected().run()["name"] == "generate"
        assert unprotected(map_index=7).run()["name"] == "generate-7"

    def test_with_a_destination_the_result_says_where(self, unprotected: Callable[..., Task], tmp_path: Path) -> None:
        result = unprotected(destination=f"file://{tmp_path}/out/").run()
        assert Path(result["uri"].removeprefix("file://")).stat().st_size > 0
        assert Path(result["sidecar_uri"].removeprefix("file://")).exists()


class TestDeferring:
    def test_the_worker_is_left_and_the_second_half_asks_nothing(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        running = task()
        deferred = running.deferred()
        assert deferred.method_name == "execute_complete"
        assert store.record["state"] == "submitted"
        event = event_of(deferred.trigger)
        asked = len(emulator.requests())
        result = running.resume(event)
        assert list(result) == RESULT
        assert result["state"] == "succeeded"
        assert store.record["state"] == "delivered"
        assert store.record["facts"] == {**result, "request": {"prompt": QUICK}}
        assert len(emulator.requests()) == asked
        assert emulator.charged() == 1

    def test_is_the_same_without_a_record(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = unprotected()
        result = running.resume(event_of(running.deferred().trigger))
        assert result["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_airflows_own_timeout_comes_long_after_ours(self, unprotected: Callable[..., Task]) -> None:
        now = time.time()
        deferred = unprotected(timeout=100).deferred()
        assert deferred.trigger.end_time == pytest.approx(now + 100, abs=5)
        assert deferred.timeout is not None
        # The last request may begin at the deadline and take the longest `request_timeout` there is.
        assert deferred.timeout > timedelta(seconds=100 + 600)

    @pytest.mark.parametrize(("execution_timeout", "kept_for_last_words"), [(60, 6), (1200, 30)])
    def test_a_shorter_execution_timeout_wins(
        self, unprotected: Callable[..., Task], execution_timeout: int, kept_for_last_words: int
    ) -> None:
        now = time.time()
        deferred = unprotected(timeout=3600, execution_timeout=timedelta(seconds=execution_timeout)).deferred()
        assert deferred.trigger.end_time == pytest.approx(now + execution_timeout - kept_for_last_words, abs=5)

    def test_a_retry_that_finds_it_done_does_not_defer(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=SLOW)
        running.deferred()
        emulator.finish()
        assert running.run(deferrable=True)["state"] == "succeeded"
        assert emulator.charged() == 1

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_a_timeout_says_what_became_of_the_money_and_a_retry_goes_on(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess, deferrable: bool
    ) -> None:
        running = task(prompt=SLOW, timeout=0.4)
        event = event_of(running.deferred().trigger) if deferrable else None
        with pytest.raises(GenerationTimeout, match=r"still running.*25 credits.*nothing was cancelled") as caught:
            running.resume(event) if deferrable else running.run()
        assert not isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "submitted"
        running.deferred()
        assert emulator.charged() == 1

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_a_failure_of_the_generation_stops_the_retries(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess, deferrable: bool
    ) -> None:
        running = task(prompt=f"{QUICK} [emulator: fail=Content policy]")
        event = event_of(running.deferred().trigger) if deferrable else None
        with pytest.raises(GenerationFailed, match=r"Content policy.*25 credits") as caught:
            running.resume(event) if deferrable else running.run()
        assert isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "failed"
        assert running.xcoms["happyhorse"]["state"] == "failed"

    @pytest.mark.parametrize("event", [None, {}, "success", {"status": "done"}, {"generation_id": "v1"}, []])
    def test_an_event_that_is_none_of_ours_fails_the_try_and_not_the_generation(
        self, task: Callable[..., Task], store: Store, event: Any
    ) -> None:
        running = task(prompt=SLOW)
        running.deferred()
        with pytest.raises(AirflowException, match="a retry waits for the same generation") as caught:
            running.resume(event)
        assert not isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "submitted"

    def test_an_event_without_a_result_is_borne(self, unprotected: Callable[..., Task]) -> None:
        running = unprotected()
        with pytest.raises(GenerationUnreachable, match="v1"):
            running.resume({"status": "error", "generation_id": "v1", "message": "it broke"})

    def test_a_late_event_of_another_generation_does_not_touch_the_record(self, task: Callable[..., Task], store: Store) -> None:
        running = task(prompt=SLOW)
        running.deferred()
        before = store.record
        running.resume({"status": "success", "generation_id": "v-other", "message": "", "result": {"name": "x"}})
        assert store.record == before


class TestTheArguments:
    def test_what_is_templated(self) -> None:
        assert set(HappyHorseGenerateVideoOperator.template_fields) == {
            "prompt",
            "request",
            "name",
            "take",
            "destination",
            "happyhorse_conn_id",
            "max_credits",
            "pay_again_on",
        }
        assert HappyHorseGenerateVideoOperator.template_fields_renderers == {"request": "json"}

    def test_template_fields_are_kept_as_they_were_given(self, unprotected: Callable[..., Task]) -> None:
        given = {"request": {"duration": "5"}, "name": "{{ x }}", "pay_again_on": "{{ y }}", "max_credits": "5"}
        operator = unprotected(**given).build()
        assert {name: getattr(operator, name) for name in given} == given

    def test_nothing_is_sent_or_looked_up_when_the_dag_is_parsed(self, emulator: EmulatorProcess) -> None:
        Task(prompt=QUICK, happyhorse_conn_id="is_not_there").build()
        assert emulator.requests() == []


class TestAKill:
    #: A process of its own, which really ends.
    SCRIPT = """
import json, signal, sys, time
from pathlib import Path
from tests.operators.task_instances import Store, Task

folder = Path(sys.argv[1])
store = Store(before_set=lambda value: (folder / "record.json").write_text(json.dumps(value)))

class Terminated(BaseException):
    pass

def terminate(signum, frame):
    task.current.on_kill()
    raise Terminated

task = Task(prompt=sys.argv[2], store=store if sys.argv[3] == "store" else None)
signal.signal(signal.SIGTERM, terminate)
try:
    task.run()
except Terminated:
    (folder / "log.txt").write_text(task.log.text())
    sys.exit(143)
"""

    def killed(self, folder: Path, emulator: EmulatorProcess, *, store: bool, when: Callable[[], bool]) -> str:
        """Send SIGTERM to a task as soon as ``when`` says so, and return its log."""
        process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, str(folder), QUICK, "store" if store else "none"],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "PYTHONPATH": "."},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + 30
            while not when():
                assert time.monotonic() < deadline
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            errors = process.communicate(timeout=20)[1]
            assert process.returncode == 143, errors
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=5)
        return (folder / "log.txt").read_text()

    def test_in_the_middle_of_the_post_waits_until_the_id_is_kept(
        self, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path
    ) -> None:
        connect()
        emulator.fault("slow", method="POST", seconds=1)
        log = self.killed(tmp_path, emulator, store=AIRFLOW_V_3_3_PLUS, when=lambda: emulator.charged() == 1)
        (job,) = emulator.state()["jobs"]
        # Where there is no record, this line is all that is left.
        assert f"{job['id']} submitted, about 25 credits" in log
        if AIRFLOW_V_3_3_PLUS:
            record = json.loads((tmp_path / "record.json").read_text())
            assert (record["state"], record["facts"]["generation_id"]) == ("submitted", job["id"])

    def test_while_waiting_names_the_id_and_the_money(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        killed_while_waiting(running := unprotected(prompt=SLOW), emulator)
        (job,) = emulator.state()["jobs"]
        assert f"killed; {job['id']} goes on at the service and stays paid for, about 25 credits" in running.log.text("WARNING")

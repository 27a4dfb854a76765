"""A task whose deployment has a ``ledger_path``: on every Airflow, what was paid for is found again, by the clip's name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    GenerationFailed,
    GenerationTimeout,
    GenerationUnreachable,
    InvalidArguments,
    NotAcceptedYet,
    SubmissionStopped,
)
from airflow_provider_happyhorse.ledger.objects import component, open_objects
from airflow_provider_happyhorse.ledger.path import PathLedger
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.spend import read_spend
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

SLOW = "a kettle [emulator: render_seconds=30]"


@pytest.fixture
def task(on_path: Callable[..., Task]) -> Callable[..., Task]:
    return on_path


def steps(ledger: Path) -> list[str]:
    return [json.loads(path.read_text())["state"] for path in sorted(ledger.glob("ledger/*/*/*/-1/*.json"))]


def as_told(stopped: BaseException, says: dict[str, str] | None = None) -> None:
    """Add the step that a message names, with what it says."""
    where = re.search(r"the ledger folder file://(.*?) \(change .*? add (\d{6}\.json)", str(stopped))
    literally = re.search(r'set (\{"state": .*?\}) in', str(stopped))
    assert where
    step = Path(where[1], where[2])
    step.parent.mkdir(exist_ok=True)
    assert not step.exists()
    step.write_text(json.dumps(says) if says else literally[1] if literally else "")


class TestARetry:
    def test_goes_on_with_what_was_paid_for_on_every_airflow(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        assert running.run()["reused"] is True
        assert emulator.charged() == 1
        assert steps(ledger) == ["intent", "submitted", "submitted", "delivered"]
        assert "a retry or a kill cannot pay again" in running.log.text("INFO")

    @pytest.mark.parametrize("changed", [{"take": "2"}, {"name": "another"}, {"prompt": "another"}])
    def test_under_another_name_take_or_request_pays_nothing(
        self, task: Callable[..., Task], emulator: EmulatorProcess, changed: dict[str, str]
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3, take="1", name="kettle")
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        running.run(**changed)
        assert emulator.charged() == 1

    def test_that_cannot_renew_the_record_says_what_becomes_of_the_video(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        in_the_way = next(ledger.glob("ledger/*/*/*/-1")) / "000003.json"
        in_the_way.mkdir()
        with pytest.raises(GenerationUnreachable, match=f"{emulator.state()['jobs'][0]['id']} is paid for.*a retry goes on with it"):
            running.run()
        in_the_way.rmdir()
        emulator.finish()
        assert running.run()["reused"] is True
        assert emulator.charged() == 1

    @pytest.mark.parametrize("changed", [{"take": "2"}, {"name": "another"}, {"prompt": "another"}])
    def test_of_a_row_under_another_name_take_or_request_pays_nothing(
        self, task: Callable[..., Task], emulator: EmulatorProcess, changed: dict[str, str]
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3, take="1", name="kettle", map_index=3)
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        assert running.run(**changed)["reused"] is True
        assert emulator.charged() == 1

    def test_after_a_death_between_intent_and_id_stops_and_both_ways_out_work(
        self, task: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        running = task(request={"model": "happyhorse-1.0/video", "mode": "pro", "duration": 5, "aspect_ratio": "16:9"})
        connect("happyhorse.app", ledger_path=str(ledger))
        emulator.fault("reset_after", method="POST")
        with pytest.raises(AmbiguousSubmission, match=r"add 000003\.json"):
            running.run()
        assert emulator.charged() == 1
        running.clear()
        with pytest.raises(AmbiguousSubmission, match=r"add 000003\.json with"):
            running.run()
        folder = next(ledger.glob("ledger/*/*/*/-1"))
        paid = emulator.state()["jobs"][0]["id"]
        (folder / "000003.json").write_text(json.dumps({"state": "submitted", "generation_id": paid}))
        running.clear()
        assert running.run()["generation_id"] == paid
        assert emulator.charged() == 1

    def test_a_person_may_let_it_be_submitted(self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path) -> None:
        running = task()
        emulator.fault("reset_before", method="POST")
        with pytest.raises(AmbiguousSubmission):
            running.run()
        folder = next(ledger.glob("ledger/*/*/*/-1"))
        (folder / "000003.json").write_text(json.dumps({"state": "not_sent"}))
        running.clear()
        assert running.run()["state"] == "succeeded"
        assert emulator.charged() == 1


def test_inserting_a_row_and_fixing_another_pays_for_those_two_alone(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    """The everyday repair: one row on top of the table, another one fixed, everything cleared."""
    rows = [{"name": name, "prompt": f"{name} {QUICK}"} for name in ("a", "b", "c", "d")]
    first = [task(prompt=None, request=row, map_index=index) for index, row in enumerate(rows)]
    paid = {running.run()["name"]: running.xcoms["generation_id"] for running in first}
    assert emulator.charged() == 4

    rows = [{"name": "new", "prompt": f"new {QUICK}"}, *rows]
    rows[2] = {"name": "b", "prompt": f"b fixed {QUICK}"}
    for running in first:
        running.clear()
    again = [*first, task(prompt=None, map_index=4)]
    results = {running.run(request=row)["name"]: running.xcoms["generation_id"] for running, row in zip(again, rows, strict=True)}

    assert emulator.charged() == 6
    assert {name for name in results if results[name] != paid.get(name)} == {"new", "b"}


def test_an_unmapped_clip_is_the_same_clip_under_another_name(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    running = task(name="kettle")
    first = running.run()
    running.clear()
    again = running.run(name="teapot", pay_again_on=())
    assert (again["generation_id"], again["reused"]) == (first["generation_id"], True)
    running.clear()
    with pytest.raises(SubmissionStopped, match="`changed_request`"):
        running.run(take="2")
    assert emulator.charged() == 1


def test_rows_without_names_stop_when_they_have_moved(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    running = task(prompt=None, request={"prompt": QUICK}, map_index=0)
    running.run()
    running.clear()
    with pytest.raises(SubmissionStopped, match="`name`"):
        running.run(request={"prompt": f"{QUICK} and tea"})
    assert emulator.charged() == 1


class TestNamesThatAreGivenLater:
    """A stop for rows that have moved says: give them names. What was paid for under a map index is not paid for again then."""

    def test_pay_for_no_row_again(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=None, request={"prompt": QUICK}, map_index=0)
        first = running.run()["generation_id"]
        for name in ("kettle", "kettle", "kettle"):
            running.clear()
            assert running.run(request={"prompt": QUICK, "name": name})["generation_id"] == first
        assert emulator.charged() == 1

    def test_stop_where_the_rows_have_moved_and_a_person_lets_the_new_one_through(
        self, task: Callable[..., Task], emulator: EmulatorProcess
    ) -> None:
        running = task(prompt=None, request={"prompt": QUICK}, map_index=0)
        first = running.run()["generation_id"]
        running.clear()
        new = {"prompt": f"{QUICK} and tea", "name": "tea"}
        with pytest.raises(SubmissionStopped, match="rows have moved") as stopped:
            running.run(request=new)
        assert emulator.charged() == 1
        as_told(stopped.value)
        running.clear()
        assert running.run(request=new)["name"] == "tea"
        assert emulator.charged() == 2
        # What the clip before it had paid for is still on record.
        running.clear()
        assert running.run(request={"prompt": QUICK, "name": "tea"})["generation_id"] == first
        assert emulator.charged() == 2

    def test_go_on_with_a_video_that_a_person_has_found(self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path) -> None:
        connect("happyhorse.app", ledger_path=str(ledger))
        request = {"model": "happyhorse-1.0/video", "mode": "pro", "duration": 5, "aspect_ratio": "16:9", "prompt": QUICK}
        running = Task(prompt=None, request=request, map_index=0)
        emulator.fault("reset_after", method="POST")
        with pytest.raises(AmbiguousSubmission):
            running.run()
        paid = emulator.state()["jobs"][0]["id"]
        running.clear()
        named = {**request, "name": "kettle"}
        with pytest.raises(AmbiguousSubmission, match="/0/") as stopped:
            running.run(request=named)
        as_told(stopped.value, {"state": "submitted", "generation_id": paid})
        for _ in range(3):
            running.clear()
            assert running.run(request=named)["generation_id"] == paid
        assert emulator.charged() == 1


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the task state store came with Airflow 3.3")
def test_what_was_paid_for_before_there_was_a_path_is_known_under_every_take(
    connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
) -> None:
    connect()
    running = Task(prompt=None, request={"prompt": QUICK, "name": "kettle"}, map_index=0, store=Store())
    first = running.run()["generation_id"]
    connect(ledger_path=str(ledger))
    # A retry, or a clear that leaves no trace, goes on with it under the other take; only then is that one asked for itself.
    assert running.run(take="2")["generation_id"] == first
    running.clear()
    assert running.run(take="")["generation_id"] == first
    assert emulator.charged() == 1


class TestThePathItself:
    def test_one_that_keeps_nothing_exclusively_is_refused_before_paying(
        self, connect: Callable[..., str], emulator: EmulatorProcess
    ) -> None:
        connect(ledger_path="gs://bucket/ledger")
        with pytest.raises(InvalidArguments, match="ledger_path"):
            Task(prompt=QUICK).run()
        assert emulator.charged() == 0

    def test_one_that_does_not_answer_stops_before_paying_and_a_retry_may_help(
        self, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path
    ) -> None:
        connect(ledger_path=f"{tmp_path}/not-mounted")
        running = Task(prompt=QUICK)
        with pytest.raises(NotAcceptedYet, match="not submitted"):
            running.run()
        (tmp_path / "not-mounted").mkdir()
        assert running.run()["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_an_intent_that_cannot_be_written_sends_nothing(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        running = task()
        in_the_way = ledger / "ledger" / "campaign" / component(running.ti.run_id) / "generate" / "-1" / "000001.json"
        in_the_way.mkdir(parents=True)
        with pytest.raises(NotAcceptedYet, match="not submitted, nothing was paid"):
            running.run()
        assert emulator.requests() == []
        in_the_way.rmdir()
        assert running.run()["state"] == "succeeded"

    def test_the_configuration_may_give_it(
        self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect()
        monkeypatch.setenv("AIRFLOW__HAPPYHORSE__LEDGER_PATH", str(ledger))
        Task(prompt=QUICK).run()
        assert steps(ledger) == ["intent", "submitted", "delivered"]

    @pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the task state store came with Airflow 3.3")
    def test_setting_it_forgets_nothing(self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path) -> None:
        connect()
        running = Task(prompt=SLOW, timeout=0.3, store=Store())
        with pytest.raises(GenerationTimeout):
            running.run()
        connect(ledger_path=str(ledger))
        emulator.finish()
        assert running.run()["reused"] is True
        assert emulator.charged() == 1

    @pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the task state store came with Airflow 3.3")
    def test_setting_it_forgets_nothing_when_a_person_writes_the_first_step(
        self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        connect("happyhorse.app")
        running = Task(prompt=QUICK, store=Store())
        first = running.run()
        running.clear()
        emulator.fault("reset_after", method="POST")
        with pytest.raises(AmbiguousSubmission):
            running.run(prompt=f"{QUICK} and tea")
        second = next(job["id"] for job in emulator.state()["jobs"] if job["id"] != first["generation_id"])
        connect("happyhorse.app", ledger_path=str(ledger))
        with pytest.raises(AmbiguousSubmission, match=r"add 000001\.json"):
            running.run(prompt=QUICK)
        folder = ledger / "ledger" / "campaign" / component(running.ti.run_id) / "generate" / "-1"
        folder.mkdir(parents=True)
        (folder / "000001.json").write_text(json.dumps({"state": "submitted", "generation_id": second}))
        for prompt, expected in ((QUICK, first["generation_id"]), (f"{QUICK} and tea", second)):
            running.clear()
            assert running.run(prompt=prompt)["generation_id"] == expected
        assert emulator.charged() == 2


class TestTheSpendLog:
    def test_it_has_one_object_a_submission_and_one_an_ending(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        good = task(name="good")
        good.run()
        bad = task(name="bad", prompt="a pot [emulator: fail]", map_index=1)
        with pytest.raises(GenerationFailed):
            bad.run()
        good.clear()
        good.run()
        today = datetime.now(UTC).date()
        written = list(read_spend(open_objects(str(ledger)), today - timedelta(days=1), today + timedelta(days=1)))
        assert sorted((entry["name"], entry["event"], entry["state"]) for entry in written) == [
            ("bad", "ended", "failed"),
            ("bad", "submitted", "in_progress"),
            ("good", "ended", "succeeded"),
            ("good", "submitted", "in_progress"),
        ]
        assert sum(entry["credits_estimated"] for entry in written if entry["event"] == "submitted") == 50
        assert {entry["prompt"] for entry in written if entry["name"] == "good"} >= {QUICK}

    def test_a_log_that_cannot_be_written_is_said_and_fails_nothing(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        (ledger / "spend").write_text("a file where a folder should be")
        running = task()
        assert running.run()["state"] == "succeeded"
        assert "is not in the spend log" in running.log.text("ERROR")


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the task state store came with Airflow 3.3")
def test_a_store_that_forgets_successes_stops_a_later_try(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    running = Task(prompt=QUICK, store=Store())
    running.run()
    assert running.store is not None
    running.store.entries.clear()  # what Airflow does then
    running.clear()
    with pytest.raises(SubmissionStopped, match="clear_on_success"):
        running.run()
    assert emulator.charged() == 1


def test_a_death_between_the_two_writes_of_the_id_loses_nothing(
    task: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name's record has the id and the task instance's own still the intent: the next try goes on with the id."""

    class Died(BaseException):
        pass

    write = PathLedger.write

    def dies_before_its_own_id(self: PathLedger, record: Record) -> None:
        if record.state is RecordState.SUBMITTED and self.clip.endswith("/3"):
            raise Died
        write(self, record)

    running = task(name="kettle", map_index=3)
    with monkeypatch.context() as patched:
        patched.setattr(PathLedger, "write", dies_before_its_own_id)
        with pytest.raises(Died):
            running.run()
    assert running.run()["reused"] is True
    assert emulator.charged() == 1


def test_a_try_that_was_frozen_between_intent_and_post_does_not_send(
    task: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = task()
    with monkeypatch.context() as patched:
        patched.setattr("airflow_provider_happyhorse.operators.submission.STALE_INTENT", -1.0)
        with pytest.raises(NotAcceptedYet, match="went by between intent and sending"):
            running.run()
    assert emulator.charged() == 0
    assert running.run()["state"] == "succeeded"
    assert emulator.charged() == 1


def test_a_delivered_clip_says_what_it_cost_and_a_bad_row_its_name(task: Callable[..., Task]) -> None:
    running = task(name="kettle")
    running.run()
    running.clear()
    running.log.lines.clear()
    running.run()
    assert "25 credits (happy-horse.ai); nothing is paid again" in running.log.text("INFO")
    second = task(prompt=None, request={"prompt": QUICK, "name": "shoe"})
    second.ti.try_number = running.ti.try_number
    second.clear()
    with pytest.raises(InvalidArguments, match=r"\[shoe\]"):
        second.run(rendered={"request": {"name": "shoe", "duration": "x"}})


def test_an_id_that_a_person_has_found_is_the_clips_in_doubt_and_not_whatever_is_asked_for_by_now(
    connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
) -> None:
    connect("happyhorse.app", ledger_path=str(ledger))
    request = {"model": "happyhorse-1.0/video", "mode": "pro", "duration": 5, "aspect_ratio": "16:9"}
    running = Task(prompt=QUICK, request=request)
    emulator.fault("reset_after", method="POST")
    with pytest.raises(AmbiguousSubmission):
        running.run()
    lost = emulator.state()["jobs"][0]["id"]
    running.clear()
    with pytest.raises(AmbiguousSubmission, match="The request has changed since") as stopped:
        running.run(prompt="a teapot")
    assert f"a video made then from the prompt {QUICK!r}" in str(stopped.value)
    folder = next(ledger.glob("ledger/*/*/*/-1"))
    (folder / "000003.json").write_text(json.dumps({"state": "submitted", "generation_id": lost}))
    running.clear()
    assert running.run(prompt=f"{QUICK} on a stove")["generation_id"] != lost
    running.clear()
    result = running.run(prompt=QUICK)
    assert (result["generation_id"], result["name"], result["duration"]) == (lost, "generate", 5)
    assert emulator.charged() == 2


def test_another_connections_list_is_not_searched(connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path) -> None:
    connect(ledger_path=str(ledger))
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", path="/api/v1/videos", times=None)
    running = Task(prompt=QUICK)
    with pytest.raises(AmbiguousSubmission):
        running.run()
    emulator.clear_faults()
    running.clear()
    with pytest.raises(AmbiguousSubmission, match="may lead to another account's list"):
        running.run(happyhorse_conn_id=connect(conn_id="other", ledger_path=str(ledger)))
    assert emulator.charged() == 1

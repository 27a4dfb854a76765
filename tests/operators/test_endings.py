"""However a task ends: the right exception, what retries do, what is in the record, and a log that a reader at 3 a.m. understands.

Every ending is played three ways where that makes sense: deferred and in a worker, with a record and without one. That the real Airflow
ends tasks so as well is shown by ``tests/chaos``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_happyhorse import exceptions
from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    BudgetExceeded,
    GenerationFailed,
    GenerationFailedRetryable,
    GenerationTimeout,
    GenerationUnreachable,
    InvalidArguments,
    NotAcceptedYet,
    NotSubmitted,
    PublishFailed,
    PublishRefused,
    SubmissionStopped,
)
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Task, event_of, killed_while_waiting
from tests.s3_bucket import Bucket, connected

SLOW = "a kettle [emulator: render_seconds=600]"
#: The emulator's five seconds.
COST = "25 credits"


@dataclass(frozen=True)
class WhileWaiting:
    """An ending after the submission.

    :param raises: the exception's class; retries go on unless it is an ``AirflowFailException``.
    :param record: what the ledger says after it.
    :param says: in the message, beside name, id and money.
    :param arguments: of the operator.
    :param polls_meet: the fault that every status request meets.
    """

    raises: type[Exception]
    record: str
    says: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    polls_meet: str = ""


WHILE_WAITING = {
    "timeout": WhileWaiting(GenerationTimeout, "submitted", "still running after", {"timeout": 0.5}),
    "execution_timeout below timeout": WhileWaiting(
        GenerationTimeout, "submitted", "still running after", {"timeout": 3600, "execution_timeout": timedelta(seconds=0.6)}
    ),
    "generation failed": WhileWaiting(
        GenerationFailed, "failed", "Content policy", {"prompt": "a kettle [emulator: render_seconds=0.05] [emulator: fail=Content policy]"}
    ),
    "service gone: answers 500": WhileWaiting(GenerationTimeout, "submitted", "500", {"timeout": 0.8}, "server_error"),
    "service gone: resets connections": WhileWaiting(GenerationTimeout, "submitted", "last request", {"timeout": 0.8}, "reset_before"),
    "too many requests to the end": WhileWaiting(GenerationTimeout, "submitted", "429", {"timeout": 0.8}, "rate_limited_without_headers"),
    "key revoked": WhileWaiting(GenerationUnreachable, "submitted", "refuses the API key", {}, "unauthorized"),
}

#: What happens next, in the words of the log.
NEXT = re.compile(
    r"a retry (waits|asks|tries again|looks|stops)|No retry pays|lets a retry submit|the next try picks it up|clear this task|"
    r"nothing but this log keeps its id|publishing it again costs nothing|put `unprotected_retry`|Nothing was submitted|Nothing was sent"
)


@pytest.fixture(params=["with a record", "without one"])
def task(request: pytest.FixtureRequest, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path) -> Callable[..., Task]:
    """Give the function that makes a task ``kettle``, with a ledger path or with nothing that is kept (Airflow before 3.3)."""
    extra: dict[str, Any] = {}
    if request.param == "with a record":
        (tmp_path / "ledger").mkdir()
        extra["ledger_path"] = f"{tmp_path}/ledger"
    connect(**extra)
    return lambda **arguments: Task(**{"prompt": SLOW, "name": "kettle", **arguments})


def last_step(tmp_path: Path) -> str:
    """Return the state of the record, "" without one."""
    steps = sorted(tmp_path.glob("ledger/ledger/*/*/*/-1/*.json"))
    return str(json.loads(steps[-1].read_text())["state"]) if steps else ""


@pytest.fixture(autouse=True)
def who_gives_up_is_owed_an_answer_for_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_happyhorse.polling.schedule.GRACE", 0.5)


def ended(running: Task, emulator: EmulatorProcess, *, polls_meet: str = "", deferred: bool) -> Exception:
    """Run the next try to its bad end and return that; the log then holds what Airflow would write: the lines and the exception."""
    if polls_meet:
        emulator.fault(polls_meet, method="GET", path="/api/v1/videos/*", times=None)
    try:
        result = running.resume(event_of(running.deferred().trigger)) if deferred else running.run(deferrable=False)
    except Exception as problem:
        running.log.exception("%s: %s", type(problem).__name__, problem)  # noqa: TRY401  our stand-in for a log has no traceback
        return problem
    raise AssertionError(f"it ended well: {result}")


def check_that_the_log_tells(running: Task, *, generation_id: str = "", money: str = COST) -> None:
    """Check what a reader of the whole log, and of its last line alone, can tell."""
    last = running.log.lines[-1][1]
    assert "kettle" in last
    assert generation_id in last
    assert money in last
    assert NEXT.search(last), last


@pytest.mark.parametrize("deferred", [True, False], ids=["deferred", "in a worker"])
@pytest.mark.parametrize("ending", WHILE_WAITING.values(), ids=WHILE_WAITING)
def test_while_waiting(task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path, ending: WhileWaiting, deferred: bool) -> None:
    running = task(**ending.arguments)
    problem = ended(running, emulator, polls_meet=ending.polls_meet, deferred=deferred)
    (job,) = emulator.state()["jobs"]
    assert type(problem) is ending.raises
    assert ending.says in str(problem)
    check_that_the_log_tells(running, generation_id=job["id"])
    recorded = last_step(tmp_path)
    assert recorded in (ending.record, "")
    assert running.xcoms["generation_id"] == job["id"]
    # What a retry does is what the message has said.
    emulator.clear_faults()
    stops = isinstance(problem, AirflowFailException)
    if recorded and not stops:
        emulator.finish()
        assert running.run(deferrable=False)["generation_id"] == job["id"]
        assert "a retry" in str(problem)
    elif not stops:
        assert "a retry stops" in str(problem)
        with pytest.raises(SubmissionStopped):
            running.run(deferrable=False)
    assert emulator.charged() == 1


@pytest.mark.parametrize("deferred", [True, False], ids=["deferred", "in a worker"])
def test_a_failed_generation_that_a_retry_may_pay_for(task: Callable[..., Task], emulator: EmulatorProcess, deferred: bool) -> None:
    running = task(
        prompt="a kettle [emulator: render_seconds=0.05] [emulator: fail=x]", pay_again_on=["failed_generation", "unprotected_retry"]
    )
    problem = ended(running, emulator, deferred=deferred)
    assert isinstance(problem, GenerationFailedRetryable)
    assert not isinstance(problem, AirflowFailException)
    check_that_the_log_tells(running, generation_id=emulator.state()["jobs"][0]["id"])
    assert running.run(prompt=QUICK, deferrable=False)["state"] == "succeeded"
    assert emulator.charged() == 2


def test_the_way_out_of_a_failed_generation_is_the_one_that_is_named(
    task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    running = task(prompt="a kettle [emulator: render_seconds=0.05] [emulator: fail=x]")
    problem = ended(running, emulator, deferred=False)
    word = re.search(r"clear this task with `(\w+)` in pay_again_on", str(problem))
    assert bool(word) is (not last_step(tmp_path))
    running.clear()
    assert running.run(prompt=QUICK, pay_again_on=[word[1]] if word else [])["state"] == "succeeded"


def test_a_connection_that_is_deleted_while_the_trigger_waits(
    task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_database: None
) -> None:
    """Nobody can ask any more; the record, which does not need the connection, keeps the id until it is back."""
    running = task(timeout=0.5)
    waiting = running.deferred().trigger
    connection = os.environ["AIRFLOW_CONN_HAPPYHORSE_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
    event = event_of(waiting)
    with pytest.raises(GenerationUnreachable, match=rf"\[kettle\].*{waiting.generation_id}.*happyhorse_default.*{COST}") as caught:
        running.resume(event)
    running.log.exception("%s", caught.value)
    check_that_the_log_tells(running, generation_id=waiting.generation_id)
    with pytest.raises(GenerationUnreachable, match="there is no connection 'happyhorse_default' now") as caught:
        running.run(deferrable=False)
    assert not isinstance(caught.value, AirflowFailException), "it may be a secrets backend, and a retry of a task that has paid"
    monkeypatch.setenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT", connection)
    if last_step(tmp_path):
        assert last_step(tmp_path) == "submitted"
        emulator.finish()
        running.clear()
        assert running.run(deferrable=False, timeout=20)["generation_id"] == waiting.generation_id
    assert emulator.charged() == 1


def test_a_secrets_backend_that_fails_when_a_publication_is_tried_again(
    connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger").mkdir()
    connect(ledger_path=f"{tmp_path}/ledger")
    running = Task(prompt=QUICK, destination=f"file://{tmp_path}/clips/", retries=3)
    emulator.fault("media_expired", path="/media/*", times=None)
    with pytest.raises(PublishFailed, match="has expired"):
        running.run()
    emulator.clear_faults()
    with monkeypatch.context() as gone:
        gone.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
        with pytest.raises(GenerationUnreachable, match="nothing was sent, what is paid for stays so, and a retry looks again"):
            running.run()
    assert Path(running.run()["uri"].removeprefix("file://")).is_file()
    assert emulator.charged() == 1


def test_a_kill_in_a_worker(task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path) -> None:
    running = task()
    killed_while_waiting(running, emulator)
    (job,) = emulator.state()["jobs"]
    check_that_the_log_tells(running, generation_id=job["id"])
    if last_step(tmp_path):
        assert last_step(tmp_path) == "submitted"
        emulator.finish()
        assert running.run(deferrable=False)["generation_id"] == job["id"]
    assert emulator.charged() == 1


def test_a_publication_whose_storage_fails(task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path) -> None:
    with Bucket() as bucket, connected(bucket) as uri:
        running = task(prompt=QUICK, destination=f"{uri}/out/clip.mp4")
        event = event_of(running.deferred().trigger)
        bucket.faults.busy = 99
        with pytest.raises(PublishFailed) as caught:
            running.resume(event)
        running.log.exception("%s", caught.value)
        check_that_the_log_tells(running, generation_id=event["generation_id"])
        bucket.faults.busy = 0
        if last_step(tmp_path):
            assert running.run(deferrable=False)["uri"].endswith("/out/clip.mp4")
    assert emulator.charged() == 1


def test_a_publication_that_is_refused(task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path) -> None:
    running = task(prompt=QUICK, destination=f"file://{tmp_path}/out/clip.mp4")
    event = event_of(running.deferred().trigger)
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("a file where the folder was")
    with pytest.raises(PublishRefused) as caught:
        running.resume(event)
    running.log.exception("%s", caught.value)
    check_that_the_log_tells(running, generation_id=event["generation_id"])
    if last_step(tmp_path):
        (tmp_path / "out").unlink()
        running.clear()
        assert running.run(deferrable=False)["uri"].endswith("/out/clip.mp4")
    assert emulator.charged() == 1


# -- before there is an id ----------------------------------------------------------------------------------------------------------------


def test_above_the_cap(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    running = task(max_credits=24)
    assert isinstance(ended(running, emulator, deferred=False), BudgetExceeded)
    check_that_the_log_tells(running)
    assert emulator.charged() == 0


def test_refused(task: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect(key="sk-sd_poor")
    running = task()
    assert isinstance(ended(running, emulator, deferred=False), NotSubmitted)
    check_that_the_log_tells(running, money="nothing was paid")
    assert COST in running.log.text()
    assert emulator.charged("sk-sd_poor") == 0


def test_not_accepted_for_now(task: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__HAPPYHORSE__SUBMIT_TIMEOUT", "60")
    emulator.fault("rate_limited", method="POST", path="/api/v1/generate", seconds=3600, times=None)
    running = task()
    problem = ended(running, emulator, deferred=False)
    assert isinstance(problem, NotAcceptedYet)
    assert not isinstance(problem, AirflowFailException)
    check_that_the_log_tells(running, money="nothing was paid")
    assert emulator.charged() == 0


def test_a_lost_answer(task: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    connect("happyhorse.app")
    emulator.fault("reset_after", method="POST")
    running = task(prompt=None, request={"prompt": SLOW, "model": "happyhorse-1.0/video", "sound": False})
    assert isinstance(ended(running, emulator, deferred=False), AmbiguousSubmission)
    check_that_the_log_tells(running, money="200 credits")
    assert emulator.charged() == 1


def test_a_bad_row(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    running = task(request={"duration": -5})
    with pytest.raises(InvalidArguments, match=r"kettle.*duration.*Nothing was submitted"):
        running.build()
    assert emulator.requests() == []


def test_every_ending_of_a_task_is_here() -> None:
    ours = {name for name, kind in vars(exceptions).items() if isinstance(kind, type) and kind.__module__ == exceptions.__name__}
    assert ours <= set(globals())


# -- as Airflow itself ends a task --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in a worker"])
def test_execution_timeout_ends_the_wait_in_our_words(
    connect: Callable[..., str], emulator: EmulatorProcess, airflow_database: None, deferrable: bool
) -> None:
    """Airflow's own ``AirflowTaskTimeout`` says neither id nor money; the wait ends a little before it."""
    connect()
    seen: list[Exception] = []

    class Watched(HappyHorseGenerateVideoOperator):
        # On Airflow 3.1 `dag.test()` calls no callback.
        def execute_complete(self, context: Any, event: Any = None) -> Any:
            try:
                return super().execute_complete(context, event)
            except Exception as problem:
                seen.append(problem)
                raise

    with DAG(f"execution_timeout_{deferrable}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        Watched(task_id="generate", prompt=SLOW, name="kettle", deferrable=deferrable, execution_timeout=timedelta(seconds=10))
    run = run_dag(dag)
    assert run.states("generate") == ["failed"]
    (job,) = emulator.state()["jobs"]
    (problem,) = seen
    assert isinstance(problem, GenerationTimeout)
    assert re.search(rf"\[kettle\] {job['id']} is still running.*{COST}.*nothing was cancelled", str(problem))
    assert run.xcom("generate", key="happyhorse")["state"] == "in_progress"

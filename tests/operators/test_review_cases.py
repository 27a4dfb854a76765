"""What a stranger found by trying: each of these once cost money, or said something false."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_happyhorse.exceptions import GenerationTimeout, InvalidArguments, NotAcceptedYet, PublishFailed, PublishRefused
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task, event_of, killed_while_waiting

SLOW = "a kettle [emulator: render_seconds=30]"


class TestATimeout:
    def test_may_be_a_timedelta(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        assert unprotected(timeout=timedelta(minutes=5)).run()["state"] == "succeeded"

    @pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e12, timedelta(0), "soon", True, None])
    def test_that_no_date_can_hold_is_refused_before_paying(
        self, unprotected: Callable[..., Task], emulator: EmulatorProcess, timeout: Any
    ) -> None:
        with pytest.raises(InvalidArguments, match="`timeout` must be"):
            unprotected(timeout=timeout).build()
        # A mapped row's arguments are seen only when the task runs.
        running = unprotected()
        with pytest.raises(InvalidArguments, match="`timeout` must be"):
            running.run(rendered={"timeout": timeout})
        assert emulator.charged() == 0

    def test_says_what_a_retry_really_does(self, unprotected: Callable[..., Task]) -> None:
        with pytest.raises(GenerationTimeout, match="a retry stops, since nothing keeps a record here"):
            unprotected(prompt=SLOW, timeout=0.3).run()


def test_what_was_not_accepted_says_what_a_retry_really_does(
    unprotected: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__HAPPYHORSE__SUBMIT_TIMEOUT", "1")
    emulator.fault("rate_limited", method="POST")
    with pytest.raises(NotAcceptedYet, match="a retry stops"):
        unprotected().run()


class TestAnExactDestination:
    def test_that_exists_is_refused_before_paying(
        self, unprotected: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path
    ) -> None:
        there = tmp_path / "latest.mp4"
        unprotected(destination=str(there)).run()
        assert emulator.charged() == 1
        with pytest.raises(PublishFailed, match=r"exists already.*Nothing was submitted"):
            unprotected(destination=str(there)).run()
        assert emulator.charged() == 1

    @pytest.mark.parametrize("name", ["x.png", "x.webp", "x.JPG"])
    def test_that_promises_an_image_is_refused_before_paying(
        self, unprotected: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(PublishFailed, match="promises another format"):
            unprotected(destination=f"{tmp_path}/{name}").run()
        assert emulator.charged() == 0

    @pytest.mark.usefixtures("airflow_database")
    def test_of_all_mapped_clips_is_refused_before_paying(
        self, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Path
    ) -> None:
        connect()
        with DAG("one_name", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
            rows = [{"prompt": QUICK, "name": "a"}, {"prompt": QUICK, "name": "b"}]
            same = HappyHorseGenerateVideoOperator.partial(task_id="same", destination=f"{tmp_path}/clip.mp4").expand(request=rows)
            HappyHorseGenerateVideoOperator.partial(task_id="own", prompt=QUICK).expand(
                destination=[f"{tmp_path}/first.mp4", f"{tmp_path}/second.mp4"]
            )
            named = HappyHorseGenerateVideoOperator.partial(task_id="named", destination=f"{tmp_path}/{{{{ ti.map_index }}}}.mp4").expand(
                request=rows
            )
            assert same
            at = f"{tmp_path}/{{{{ run_id }}}}-{{{{ params.of }}}}.mp4"
            HappyHorseGenerateVideoOperator.partial(task_id="rendered", params={"of": "x"}, destination=at).expand(request=rows)
            HappyHorseGenerateVideoOperator.partial(task_id="twice", prompt=QUICK).expand(
                destination=[f"{tmp_path}/a.mp4", f"{tmp_path}/b/", f"{tmp_path}/a.mp4", f"{tmp_path}/b/"]
            )
            HappyHorseGenerateVideoOperator.partial(task_id="alone", destination=f"{tmp_path}/{{{{ run_id }}}}-alone.mp4").expand(
                request=[{"prompt": QUICK, "name": "c"}]
            )
            HappyHorsePublishOperator.partial(task_id="rendered_over", destination=at, params={"of": "x"}, if_exists="overwrite").expand(
                generation=named.output
            )
            HappyHorsePublishOperator.partial(task_id="over", destination=f"{tmp_path}/over.mp4", if_exists="overwrite").expand(
                generation=named.output
            )
        run = run_dag(dag)
        assert run.states("same") == ["failed", "failed"]
        assert run.states("own") == ["success", "success"]
        assert run.states("named") == ["success", "success"]
        assert run.states("over") == ["failed", "failed"]
        assert run.states("rendered") == run.states("rendered_over") == ["failed", "failed"]
        assert run.states("twice") == ["failed", "success", "failed", "success"]
        assert run.states("alone") == ["success"]
        assert emulator.charged() == 7
        assert sorted(path.name for path in tmp_path.glob("*.mp4")) == [
            "0.mp4",
            "1.mp4",
            "first.mp4",
            f"{run.run.run_id}-alone.mp4",
            "second.mp4",
        ]

    def test_that_two_clips_are_rendered_at_once_is_the_first_ones_and_the_second_is_kept_for_another_name(
        self, task: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path
    ) -> None:
        """What a template asks of its own task instance is not known of the others: both are paid for, and neither is lost."""
        first, second = (task(store=Store(), map_index=index, name=f"clip-{index}", destination=f"{tmp_path}/x.mp4") for index in (0, 1))
        events = [(running, event_of(running.deferred().trigger)) for running in (first, second)]
        published = first.resume(events[0][1])
        with pytest.raises(PublishRefused, match=f"belongs to generation {published['generation_id']} already.*publishing it again costs"):
            second.resume(events[1][1])
        assert second.xcoms["happyhorse"]["state"] == "succeeded"
        second.clear()
        again = second.run(destination=f"{tmp_path}/y.mp4", deferrable=False)
        assert (again["generation_id"], again["reused"]) == (events[1][1]["generation_id"], True)
        assert [json.loads((tmp_path / f"{name}.mp4.json").read_text())["name"] for name in "xy"] == ["clip-0", "clip-1"]
        assert emulator.charged() == 2

    @pytest.mark.parametrize("destination", ["", "  "])
    def test_that_is_empty_is_refused(self, unprotected: Callable[..., Task], destination: str) -> None:
        with pytest.raises(InvalidArguments, match="`destination` is empty"):
            unprotected(destination=destination).build()


def test_the_sidecar_tells_the_request_and_the_xcom_does_not(
    unprotected: Callable[..., Task], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    running = unprotected(destination=f"{tmp_path}/", request={"duration": 3})
    result = running.run()
    sidecar = json.loads(next(tmp_path.glob("**/*.json")).read_text())
    assert sidecar["request"] == {"prompt": QUICK, "duration": 3}
    assert "request" not in result
    assert "request" not in running.xcoms["happyhorse"]


@pytest.mark.parametrize(("extra", "meant"), [("max_credit", "max_credits"), ("maxcredits", "max_credits"), ("ledgerpath", "ledger_path")])
def test_a_misspelled_extra_of_the_connection_is_refused(
    connect: Callable[..., str], emulator: EmulatorProcess, extra: str, meant: str
) -> None:
    connect(**{extra: 1})
    with pytest.raises(InvalidArguments, match=f"is `{meant}` meant"):
        Task(prompt=QUICK).run()
    assert emulator.requests() == []


def test_a_missing_connection_burns_no_retries(unprotected: Callable[..., Task]) -> None:
    with pytest.raises(InvalidArguments, match="there is no connection 'nowhere'"):
        unprotected(happyhorse_conn_id="nowhere").run()


def test_a_refused_row_is_in_the_report(unprotected: Callable[..., Task]) -> None:
    running = unprotected(prompt=None, request={"prompt": QUICK, "name": "shoe"})
    with pytest.raises(InvalidArguments):
        running.run(rendered={"request": {"prompt": QUICK, "name": "shoe", "sku": "1"}})
    assert running.xcoms["happyhorse"]["state"] == "refused"
    assert running.xcoms["happyhorse"]["name"] == "shoe"
    assert "generation_id" not in running.xcoms


@pytest.mark.parametrize(("name", "expected"), [(Decimal(7), "7"), (7.0, "7"), (date(2026, 11, 20), "2026-11-20")])
def test_a_name_as_sql_gives_it_is_understood(unprotected: Callable[..., Task], name: Any, expected: str) -> None:
    assert unprotected(prompt=None, request={"prompt": QUICK, "name": name}).run()["name"] == expected


@pytest.mark.parametrize("argument", ["deferrable", "wait_for_completion"])
def test_a_text_is_no_truth_value(unprotected: Callable[..., Task], argument: str) -> None:
    with pytest.raises(InvalidArguments, match=f"`{argument}` must be True or False"):
        unprotected(**{argument: "False"}).build()


def test_an_async_function_cannot_be_decorated() -> None:
    with DAG("async_function", schedule=None):

        @task.happyhorse_video
        async def later() -> str:
            return "A cat"

        with pytest.raises(InvalidArguments, match="plain function"):
            later()


class TestAConnectionThatIsGoneWhenTheWaitIsOver:
    def test_keeps_nothing_from_being_delivered(
        self, unprotected: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = unprotected()
        event = event_of(running.deferred().trigger)
        monkeypatch.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
        assert running.resume(event)["state"] == "succeeded"
        assert "the connection cannot be read now" in running.log.text("ERROR")

    def test_a_kill_says_what_really_becomes_of_it(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        killed_while_waiting(running := unprotected(prompt=SLOW), emulator)
        assert "nothing but this log keeps its id" in running.log.text("WARNING")

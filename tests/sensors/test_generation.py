"""The sensor in its three modes, by id and by whole result."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_happyhorse.exceptions import GenerationFailed, GenerationTimeout, GenerationUnreachable, InvalidArguments
from airflow_provider_happyhorse.results import new_result
from airflow_provider_happyhorse.sensors import generation
from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import Task, event_of


@pytest.fixture
def sensor(
    connect: Callable[..., str], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, airflow_database: None
) -> Callable[..., Task]:
    connect()
    monkeypatch.setattr("airflow_provider_happyhorse.sensors.generation.HappyHorseGenerationSensor.poke_interval", 0.1, raising=False)
    return lambda **arguments: Task(HappyHorseGenerationSensor, **{"poke_interval": 0.1, **arguments})


def earlier(generation_id: str, **given: Any) -> dict[str, Any]:
    """Return the result of a task that did not wait."""
    known = new_result(name="kettle", kind="video", service="happy-horse.ai", happyhorse_conn_id="happyhorse_default", credits_estimated=25)
    return {**known, "generation_id": generation_id, **given}


class TestWhichGeneration:
    @pytest.mark.parametrize("deferrable", [True, False])
    def test_an_id_is_enough(self, sensor: Callable[..., Task], emulator: EmulatorProcess, deferrable: bool) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        running = sensor(generation=generation_id, deferrable=deferrable)
        result = running.run()
        assert (result["generation_id"], result["state"], result["service"]) == (generation_id, "succeeded", "happy-horse.ai")
        assert running.xcoms["happyhorse"] == result
        assert running.xcoms["generation_id"] == generation_id

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_a_whole_result_keeps_what_it_knew(self, sensor: Callable[..., Task], emulator: EmulatorProcess, deferrable: bool) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        result = sensor(generation=earlier(generation_id), deferrable=deferrable).run()
        assert (result["name"], result["credits_estimated"], result["state"]) == ("kettle", 25, "succeeded")

    def test_the_connection_travels_in_the_result(
        self, sensor: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
    ) -> None:
        conn_id = connect("happyhorse.app", conn_id="other")
        (generation_id,) = emulator.seed(service="happyhorse.app", render_seconds=0)
        known = earlier(generation_id, happyhorse_conn_id=conn_id, service="happyhorse.app")
        assert sensor(generation=known, deferrable=False).run()["state"] == "succeeded"
        assert emulator.requests()[0]["path"] == "/api/status"

    def test_a_connection_that_is_not_found_now_is_worth_a_retry(
        self, sensor: Callable[..., Task], emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        running = sensor(generation=generation_id, deferrable=False)
        with monkeypatch.context() as gone:
            gone.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
            with pytest.raises(GenerationUnreachable, match="there is no connection 'happyhorse_default'; a retry looks again"):
                running.run()
        assert running.run()["state"] == "succeeded"

    def test_an_explicit_connection_wins(self, sensor: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        conn_id = connect(conn_id="mine")
        known = earlier(generation_id, happyhorse_conn_id="is_not_there")
        assert sensor(generation=known, happyhorse_conn_id=conn_id, deferrable=False).run()["state"] == "succeeded"

    @pytest.mark.parametrize("generation", ["", "  ", {}, {"state": "refused"}, 5, None, ["v1"]])
    def test_anything_else_is_refused_in_words(self, sensor: Callable[..., Task], generation: Any) -> None:
        with pytest.raises(InvalidArguments, match="generation"):
            sensor(generation=generation).build()
        with pytest.raises(InvalidArguments, match="generation"):
            sensor(generation="{{ x }}").run(rendered={"generation": generation})

    def test_a_connection_that_cannot_be_used_is_named(self, sensor: Callable[..., Task], connect: Callable[..., str]) -> None:
        connect(host="http://example.com")
        for deferrable in (True, False):
            with pytest.raises(InvalidArguments, match="happyhorse_default"):
                sensor(generation="v1", deferrable=deferrable).run()


class TestDeferred:
    def test_a_running_generation_is_waited_for_in_the_triggerer(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0.3)
        running = sensor(generation=earlier(generation_id))
        event = event_of(running.deferred().trigger)
        asked = len(emulator.requests())
        assert running.resume(event)["state"] == "succeeded"
        assert len(emulator.requests()) == asked

    def test_a_timeout_is_ours(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=600)
        running = sensor(generation=earlier(generation_id), timeout=0.3)
        with pytest.raises(GenerationTimeout, match="still running"):
            running.resume(event_of(running.deferred().trigger))

    def test_waits_an_hour_unless_told_otherwise(self, sensor: Callable[..., Task]) -> None:
        assert sensor(generation="v1").build().timeout == 3600

    def test_a_failure_stops_the_retries(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0, failure="Content policy")
        running = sensor(generation=earlier(generation_id), deferrable=True)
        with pytest.raises(GenerationFailed, match="Content policy") as caught:
            running.run()
        assert isinstance(caught.value, AirflowFailException)
        assert running.xcoms["happyhorse"]["state"] == "failed"


class TestPoking:
    def test_pokes_until_it_has_ended(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0.3)
        assert sensor(generation=generation_id, deferrable=False).run()["state"] == "succeeded"
        assert len(emulator.requests()) >= 2

    def test_an_outage_is_poked_through(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        emulator.fault("server_error", method="GET")
        emulator.fault("reset_after", method="GET")
        assert sensor(generation=generation_id, deferrable=False).run()["state"] == "succeeded"

    def test_after_a_429_it_pokes_no_sooner_than_told(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        emulator.fault("rate_limited", method="GET", seconds=1)
        assert sensor(generation=generation_id, deferrable=False).run()["state"] == "succeeded"
        refused, answered = (request["time"] for request in emulator.requests())
        assert answered >= refused + 1

    def test_after_a_429_it_is_rescheduled_no_sooner_than_told(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=600)
        emulator.fault("rate_limited", method="GET", seconds=300)
        task = sensor(generation=generation_id, deferrable=False, mode="reschedule")
        task.ti.get_first_reschedule_date = lambda context: None
        before = datetime.now(UTC)
        with pytest.raises(AirflowException) as caught:
            task.run()
        assert caught.value.reschedule_date >= before + timedelta(seconds=299)

    def test_a_pause_does_not_outlast_the_timeout(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=600)
        emulator.fault("rate_limited", method="GET", seconds=300)
        with pytest.raises(AirflowSensorTimeout):
            sensor(generation=generation_id, deferrable=False, timeout=0.5).run()

    def test_a_revoked_key_is_not_poked_for_ever(
        self, sensor: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
    ) -> None:
        connect(key="sk-old")
        with pytest.raises(GenerationUnreachable, match="401"):
            sensor(generation="v1", deferrable=False).run()
        assert len(emulator.requests()) == 2

    @pytest.mark.parametrize("mode", ["poke", "reschedule"])
    def test_a_key_that_is_renewed_while_it_pokes_is_read_again(
        self,
        sensor: Callable[..., Task],
        connect: Callable[..., str],
        emulator: EmulatorProcess,
        monkeypatch: pytest.MonkeyPatch,
        mode: str,
    ) -> None:
        (generation_id,) = emulator.seed(render_seconds=0)
        connect(key="sk-old")
        real = generation.look_once

        def renewed_after(*arguments: Any, **given: Any) -> Any:
            try:
                return real(*arguments, **given)
            finally:
                connect(key=emulator.key)

        monkeypatch.setattr(generation, "look_once", renewed_after)
        task = sensor(generation=generation_id, deferrable=False, mode=mode)
        task.ti.get_first_reschedule_date = lambda context: None
        assert task.run()["state"] == "succeeded"
        assert [request["status"] for request in emulator.requests()] == [401, 200]

    def test_a_failure_stops_the_retries(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=0, failure="Content policy")
        with pytest.raises(GenerationFailed, match="Content policy"):
            sensor(generation=generation_id, deferrable=False).run()

    def test_a_timeout_is_airflows(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=600)
        with pytest.raises(AirflowSensorTimeout):
            sensor(generation=generation_id, deferrable=False, timeout=0.3).run()

    def test_in_reschedule_mode_the_slot_is_given_back(self, sensor: Callable[..., Task], emulator: EmulatorProcess) -> None:
        (generation_id,) = emulator.seed(render_seconds=600)
        operator = sensor(generation=generation_id, deferrable=False, mode="reschedule").build()
        assert operator.reschedule
        assert not operator.poke({"ti": Task(generation="x").ti}).is_done
        emulator.finish()
        done = operator.poke({"ti": Task(generation="x").ti})
        assert done.is_done
        assert done.xcom_value["state"] == "succeeded"

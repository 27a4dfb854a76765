"""No video is paid for twice: retries, clears, crashes and stores that fail, counted at the emulator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    GenerationFailed,
    GenerationFailedRetryable,
    GenerationTimeout,
    GenerationUnreachable,
    InvalidArguments,
    NotAcceptedYet,
    NotSubmitted,
    SubmissionStopped,
)
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

SLOW = "a kettle [emulator: render_seconds=600]"
DOOMED = "a kettle [emulator: render_seconds=0.05] [emulator: fail=Content policy]"


PATH_OF = {"happy-horse.ai": "/api/v1/generate", "happyhorse.app": "/api/generate"}


class Crash(BaseException):
    """The process is gone: no handler of ours may catch it."""


def crash(*_: Any, **__: Any) -> None:
    raise Crash


class TestTheRecord:
    def test_is_an_intent_before_the_post_and_the_id_right_after(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        seen: list[tuple[str, int]] = []
        store.before_set = lambda value: seen.append((value["state"], emulator.charged()))
        result = task().run()
        assert seen == [("intent", 0), ("submitted", 1), ("delivered", 1)]
        assert store.record["facts"]["generation_id"] == result["generation_id"]

    def test_nothing_is_sent_when_the_intent_cannot_be_written(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        def fail(value: Any) -> None:
            raise RuntimeError("the API server is away")

        store.before_set = fail
        with pytest.raises(NotAcceptedYet, match=r"nothing was paid: Airflow's state store does not answer .*away"):
            task().run()
        assert emulator.requests() == []

    def test_a_task_whose_id_cannot_be_written_says_it_and_goes_on(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        def fail(value: Any) -> None:
            if value["state"] == "submitted":
                raise RuntimeError("the API server is away")

        store.before_set = fail
        running = task()
        result = running.run()
        assert result["state"] == "succeeded"
        assert running.log.text("ERROR").count(result["generation_id"]) == 5
        assert "there is no record of it, so a retry will stop" in running.log.text("INFO")
        # By the end the store is back, and knows.
        assert store.record["state"] == "delivered"
        assert store.record["facts"]["generation_id"] == result["generation_id"]

    def test_a_store_that_comes_back_in_time_keeps_the_id(self, task: Callable[..., Task], store: Store) -> None:
        failures = iter([True, True])

        def fail(value: Any) -> None:
            if value["state"] == "submitted" and next(failures, False):
                raise RuntimeError("the API server is away")

        store.before_set = fail
        running = task(wait_for_completion=False)
        running.run()
        assert store.states == ["intent", "submitted", "delivered"]
        assert "a retry or a kill cannot pay again" in running.log.text("INFO")

    @pytest.mark.parametrize("state", ["submitted", "delivered"])
    def test_a_store_that_fails_at_the_end_does_not_fail_what_was_delivered(
        self, task: Callable[..., Task], store: Store, state: str
    ) -> None:
        def fail(value: Any) -> None:
            if value["state"] == "delivered":
                raise RuntimeError("the API server is away")

        store.before_set = fail
        assert task().run()["state"] == "succeeded"

    def test_a_refusal_is_told_though_the_store_fails(self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess) -> None:
        def fail(value: Any) -> None:
            if value["state"] != "intent":
                raise RuntimeError("the API server is away")

        store.before_set = fail
        emulator.fault("unauthorized", method="POST")
        running = task()
        with pytest.raises(NotSubmitted):
            running.run()
        # What is left is the intent, so the next try stops rather than guess.
        with pytest.raises(AmbiguousSubmission):
            running.run()
        assert emulator.charged() == 0

    def test_one_that_cannot_be_read_stops_the_task(self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess) -> None:
        store.entries["happyhorse"] = '{"generation": "v1"}'
        with pytest.raises(SubmissionStopped, match="state entry 'happyhorse'"):
            task().run()
        assert emulator.requests() == []


class TestACrash:
    def test_between_intent_and_id_stops_the_next_try(self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess) -> None:
        store.before_set = lambda value: crash() if value["state"] == "submitted" else None
        running = task()
        with pytest.raises(Crash):
            running.run()
        assert emulator.charged() == 1
        store.before_set = lambda value: None
        for _ in range(2):
            with pytest.raises(AmbiguousSubmission) as caught:
                running.run()
            running.clear()
        assert emulator.charged() == 1
        for way_out in ("submitted", "generation_id", "not_sent", "ambiguous_submit", "25 credits", "happy-horse.ai"):
            assert way_out in str(caught.value)

    def test_after_the_id_loses_nothing(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task()
        running.ti.xcom_push = crash  # type: ignore[method-assign]
        with pytest.raises(Crash):
            running.run()
        del running.ti.xcom_push
        result = running.run()
        assert (result["state"], result["reused"]) == ("succeeded", True)
        assert emulator.charged() == 1

    def test_can_be_resolved_by_a_person_with_the_id(self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess) -> None:
        store.before_set = lambda value: crash() if value["state"] == "submitted" else None
        running = task()
        with pytest.raises(Crash):
            running.run()
        store.before_set = lambda value: None
        (job,) = emulator.state()["jobs"]
        store.edit(state="submitted", generation_id=job["id"])
        running.clear()
        result = running.run()
        assert (result["generation_id"], result["state"]) == (job["id"], "succeeded")
        assert emulator.charged() == 1

    def test_can_be_resolved_by_a_person_who_knows_it_was_not_sent(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        emulator.fault("reset_before", method="POST")
        running = task()
        with pytest.raises(AmbiguousSubmission):
            running.run()
        store.edit(state="not_sent")
        running.clear()
        assert running.run()["state"] == "succeeded"
        assert emulator.charged() == 1


class TestARetry:
    def test_goes_on_with_what_was_paid_for_and_looks_first(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=SLOW, timeout=0.5)
        with pytest.raises(GenerationTimeout) as caught:
            running.run()
        generation_id = running.xcoms["generation_id"]
        for part in (generation_id, "25 credits", "nothing was cancelled", "retry"):
            assert part in str(caught.value)
        emulator.finish()
        asked = len(emulator.requests())
        result = running.run(timeout=3600)
        assert (result["generation_id"], result["reused"], result["state"]) == (generation_id, True, "succeeded")
        assert len(emulator.requests()) == asked + 1
        assert emulator.charged() == 1
        assert "nothing is paid again" in running.log.text("INFO")

    def test_waits_again_for_its_own_time(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=SLOW, timeout=0.4)
        for _ in range(3):
            with pytest.raises(GenerationTimeout):
                running.run()
        assert emulator.charged() == 1

    @pytest.mark.parametrize("changed", [{"prompt": QUICK}, {"take": "2"}, {"name": "other"}, {"request": {"duration": 8}}])
    def test_never_pays_for_another_request(self, task: Callable[..., Task], emulator: EmulatorProcess, changed: dict[str, Any]) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        assert running.run(**changed)["generation_id"] == emulator.state()["jobs"][0]["id"]
        assert emulator.charged() == 1

    def test_delivers_what_was_paid_for_though_its_row_is_broken_by_now(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=None, request={"prompt": SLOW}, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        assert running.run(rendered={"request": {"prompt": SLOW, "duration": "long"}})["state"] == "succeeded"

    def test_of_a_failed_generation_stands(self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess) -> None:
        running = task(prompt=DOOMED)
        with pytest.raises(GenerationFailed, match=r"Content policy.*clear this task to submit it anew") as caught:
            running.run()
        assert isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "failed"
        assert running.xcoms["happyhorse"]["state"] == "failed"
        with pytest.raises(GenerationFailed, match="25 credits") as caught:
            running.run(prompt=QUICK)
        assert "failed_generation" in str(caught.value)
        assert emulator.charged() == 1

    def test_asks_the_connection_that_submitted(
        self, task: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        result = running.run(happyhorse_conn_id=connect("happyhorse.app", conn_id="other"), timeout=5)
        assert (result["state"], result["service"], result["happyhorse_conn_id"]) == ("succeeded", "happy-horse.ai", "happyhorse_default")
        assert emulator.charged() == 1


class TestAClear:
    def test_of_the_same_request_pays_nothing_and_asks_nothing(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task()
        first = running.run()
        asked = len(emulator.requests())
        running.clear()
        again = running.run()
        assert again == {**first, "reused": True}
        assert len(emulator.requests()) == asked
        assert emulator.charged() == 1

    def test_with_a_changed_request_pays_once_more_and_then_never_again(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        running = task()
        first = running.run()
        running.clear()
        second = running.run(prompt=f"{QUICK} and tea")
        assert second["generation_id"] != first["generation_id"]
        assert first["generation_id"] in running.log.text("INFO")
        for prompt, expected in ((QUICK, first), (f"{QUICK} and tea", second), (QUICK, first)):
            running.clear()
            assert running.run(prompt=prompt)["generation_id"] == expected["generation_id"]
        assert emulator.charged() == 2

    def test_that_goes_on_is_over_with_it(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        running.clear()
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.finish()
        # From here on it is a retry again, and a retry never submits another request.
        assert running.run(prompt=QUICK)["reused"] is True
        assert emulator.charged() == 1

    def test_back_to_a_paid_request_after_a_refused_one_pays_nothing(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task()
        first = running.run()
        running.clear()
        emulator.fault("unauthorized", method="POST")
        with pytest.raises(NotSubmitted):
            running.run(prompt="another")
        running.clear()
        assert running.run(prompt=QUICK)["generation_id"] == first["generation_id"]
        assert emulator.charged() == 1

    def test_back_to_a_paid_request_after_a_failed_one_pays_nothing(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task()
        first = running.run()
        running.clear()
        with pytest.raises(GenerationFailed):
            running.run(prompt=DOOMED)
        running.clear()
        assert running.run(prompt=QUICK)["generation_id"] == first["generation_id"]
        # The failed one is not attached to: a clear is a decision to submit it anew.
        running.clear()
        with pytest.raises(GenerationFailed):
            running.run(prompt=DOOMED)
        assert emulator.charged() == 3

    def test_of_a_failed_generation_submits_anew(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=DOOMED)
        with pytest.raises(GenerationFailed):
            running.run()
        running.clear()
        assert running.run(prompt=QUICK)["state"] == "succeeded"
        assert emulator.charged() == 2

    def test_of_a_row_that_has_moved_stops(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=None, request={"prompt": QUICK}, map_index=3)
        running.run()
        running.clear()
        with pytest.raises(SubmissionStopped, match=r"rows have moved.*not_sent.*the state entry.*`name`"):
            running.run(request={"prompt": f"{QUICK} and tea"})
        assert emulator.charged() == 1

    def test_of_a_row_that_has_moved_can_be_let_through_and_forgets_nothing(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        running = task(prompt=None, request={"prompt": QUICK, "name": "kettle"}, map_index=3)
        first = running.run()
        running.clear()
        with pytest.raises(SubmissionStopped, match=r'set \{"state": "not_sent", "name": "teapot"\} in the state entry'):
            running.run(request={"prompt": f"{QUICK} and tea", "name": "teapot"})
        store.edit(state="not_sent", name="teapot")
        running.clear()
        assert running.run()["generation_id"] != first["generation_id"]
        running.clear()
        assert running.run(request={"prompt": QUICK, "name": "kettle"})["generation_id"] == first["generation_id"]
        assert emulator.charged() == 2

    def test_of_a_named_row_with_a_changed_request_pays_for_it(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=None, request={"prompt": QUICK, "name": "kettle"}, map_index=3)
        running.run()
        running.clear()
        assert running.run(request={"prompt": f"{QUICK} and tea", "name": "kettle"})["name"] == "kettle"
        assert emulator.charged() == 2

    def test_after_an_attachment_under_a_new_name_takes_a_changed_request_under_it(
        self, task: Callable[..., Task], emulator: EmulatorProcess
    ) -> None:
        running = task(prompt=None, request={"prompt": QUICK, "name": "kettle"}, map_index=3)
        running.run()
        for changed in ({"prompt": QUICK, "name": "teapot"}, {"prompt": f"{QUICK} and tea", "name": "teapot"}):
            running.clear()
            running.run(request=changed)
        assert emulator.charged() == 2


class TestPayAgainOn:
    def test_without_changed_request_a_clear_stops(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(pay_again_on=())
        running.run()
        running.clear()
        with pytest.raises(SubmissionStopped, match="25 credits"):
            running.run(prompt=f"{QUICK} and tea")
        assert emulator.charged() == 1

    def test_failed_generation_lets_retries_go_on(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = task(prompt=DOOMED, pay_again_on="changed_request, failed_generation")
        with pytest.raises(GenerationFailedRetryable) as caught:
            running.run()
        assert not isinstance(caught.value, AirflowFailException)
        assert running.run(prompt=QUICK)["state"] == "succeeded"
        assert emulator.charged() == 2

    def test_ambiguous_submit_lets_the_next_one_pay(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        running = task()
        with pytest.raises(AmbiguousSubmission):
            running.run()
        running.clear()
        assert running.run(pay_again_on=["ambiguous_submit"])["state"] == "succeeded"
        assert emulator.charged() == 2

    @pytest.mark.parametrize("words", ["changed_reqest", ["failed"], 5, True])
    def test_an_unknown_word_is_an_error(self, task: Callable[..., Task], emulator: EmulatorProcess, words: Any) -> None:
        with pytest.raises(InvalidArguments, match="pay_again_on"):
            task(pay_again_on=words).run()
        assert emulator.requests() == []

    @pytest.mark.parametrize("words", ["changed_reqest", "[5]"])
    def test_an_unknown_word_in_a_variable_is_an_error(self, task: Callable[..., Task], emulator: EmulatorProcess, words: str) -> None:
        with pytest.raises(InvalidArguments, match="pay_again_on"):
            task(pay_again_on="{{ var.value.words }}").run(rendered={"pay_again_on": words})
        assert emulator.requests() == []


class TestWithoutALedger:
    """Every Airflow before 3.3."""

    def test_the_first_try_submits_and_says_that_a_retry_will_stop(
        self, unprotected: Callable[..., Task], emulator: EmulatorProcess
    ) -> None:
        running = unprotected()
        assert running.run()["state"] == "succeeded"
        assert "a retry will stop" in running.log.text("INFO")

    def test_the_second_try_stops_before_the_post(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = unprotected(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        with pytest.raises(SubmissionStopped, match=r"try 2.*happy-horse\.ai.*unprotected_retry.*25 credits") as caught:
            running.run()
        assert isinstance(caught.value, AirflowFailException)
        assert emulator.charged() == 1

    def test_unprotected_retry_pays_again(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        running = unprotected(prompt=SLOW, timeout=0.3, pay_again_on=["unprotected_retry"])
        with pytest.raises(GenerationTimeout):
            running.run()
        assert running.run(prompt=QUICK, timeout=5)["state"] == "succeeded"
        assert emulator.charged() == 2

    def test_a_failed_generation_does_not_send_retries_into_the_stop(self, unprotected: Callable[..., Task]) -> None:
        with pytest.raises(GenerationFailed, match="clear this task with `unprotected_retry`"):
            unprotected(prompt=DOOMED, pay_again_on=["failed_generation"]).run()

    def test_what_may_exist_says_so(self, unprotected: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        running = unprotected()
        with pytest.raises(AmbiguousSubmission, match="unprotected_retry"):
            running.run()
        assert emulator.charged() == 1


class TestWhatTheServiceAnswers:
    @pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
    @pytest.mark.parametrize("key", ["sk-wrong", "sk-sd_poor"])
    def test_a_refusal_costs_nothing_and_stops_the_retries(
        self, task: Callable[..., Task], store: Store, connect: Callable[..., str], emulator: EmulatorProcess, service: str, key: str
    ) -> None:
        connect(service, key=key)
        running = task()
        with pytest.raises(NotSubmitted, match=f"{service} refused it, nothing was paid") as caught:
            running.run()
        assert isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "not_sent"
        assert running.xcoms["happyhorse"]["state"] == "refused"
        assert "generation_id" not in running.xcoms
        assert sum(account["charged_submissions"] for account in emulator.state()["keys"].values()) == 0
        assert [request["method"] for request in emulator.requests()] == ["POST"]
        # With a key that can pay, the same task submits.
        connect(service)
        running.clear()
        assert running.run()["state"] == "succeeded"

    def test_a_vendors_400_is_a_refusal(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        with pytest.raises(NotSubmitted, match="400"):
            task(prompt="a kettle [emulator: nonsense]").run()
        assert emulator.charged() == 0

    def test_too_many_requests_are_waited_out(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulator.fault("rate_limited_without_headers", method="POST")
        monkeypatch.setattr("airflow_provider_happyhorse.api.retry.FIRST_TURN", 0.1)
        monkeypatch.setattr("airflow_provider_happyhorse.api.retry.SPREAD", 0.1)
        running = task()
        assert running.run()["state"] == "succeeded"
        assert store.states == ["intent", "not_sent", "intent", "submitted", "delivered"]
        assert "not accepted" in running.log.text("WARNING")
        assert emulator.charged() == 1

    def test_a_key_that_is_rotated_while_a_worker_waits_is_picked_up(
        self, task: Callable[..., Task], connect: Callable[..., str], emulator: EmulatorProcess
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        connect(key="sk-old")
        rotate = threading.Timer(0.1, lambda: (emulator.finish(), connect()))
        rotate.start()
        assert running.run(timeout=20)["state"] == "succeeded"
        rotate.join()
        assert emulator.charged() == 1

    def test_too_many_requests_for_long_end_the_try_and_a_retry_may_submit(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulator.fault("rate_limited", method="POST", seconds=900)
        monkeypatch.setenv("AIRFLOW__HAPPYHORSE__SUBMIT_TIMEOUT", "600")
        running = task()
        with pytest.raises(NotAcceptedYet, match="nothing was paid") as caught:
            running.run()
        assert not isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "not_sent"
        assert running.run()["state"] == "succeeded"
        assert emulator.charged() == 1

    @pytest.mark.parametrize(
        ("fault", "paid"),
        [
            ({"fault": "reset_before"}, 0),
            ({"fault": "reset_after"}, 1),
            ({"fault": "close_before"}, 0),
            ({"fault": "close_after"}, 1),
            ({"fault": "server_error"}, 0),
            ({"fault": "server_error", "carry_out": True}, 1),
            ({"fault": "bad_gateway", "carry_out": True}, 1),
            ({"fault": "html"}, 0),
            ({"fault": "html", "carry_out": True}, 1),
            ({"fault": "html", "status": 502, "carry_out": True}, 1),
            ({"fault": "forbidden_by_proxy"}, 0),
            ({"fault": "malformed_json"}, 1),
            ({"fault": "hang", "seconds": 30, "carry_out": True}, 1),
        ],
        ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
    )
    @pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
    def test_what_proves_nothing_is_never_sent_again(
        self,
        task: Callable[..., Task],
        store: Store,
        connect: Callable[..., str],
        emulator: EmulatorProcess,
        fault: dict[str, Any],
        paid: int,
        service: str,
    ) -> None:
        connect(service, request_timeout=1)
        emulator.fault(method="POST", **fault)
        running = task()
        with pytest.raises(AmbiguousSubmission, match="Look on") as caught:
            running.run()
        assert isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "ambiguous"
        assert running.xcoms["happyhorse"]["state"] == "ambiguous"
        for _ in range(2):
            with pytest.raises(AmbiguousSubmission, match="nothing tells whether it exists"):
                running.run()
            running.clear()
        # Looking in the list costs nothing.
        assert [request["path"] for request in emulator.requests() if request["method"] == "POST"] == [PATH_OF[service]]
        assert emulator.charged() == paid

    def test_an_id_that_is_a_number_is_an_id(self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess) -> None:
        emulator.fault("wrong_type", method="POST")
        running = task(timeout=0.5)
        for _ in range(2):
            with pytest.raises(GenerationTimeout, match="12345 was not seen to end"):
                running.run()
        assert store.record["facts"]["generation_id"] == "12345"
        assert emulator.charged() == 1

    def test_nobody_there_is_no_submission(self, task: Callable[..., Task], store: Store, connect: Callable[..., str]) -> None:
        from airflow_provider_happyhorse.api import retry
        from tests.transports.servers import refusing_port

        with refusing_port() as port, pytest.MonkeyPatch.context() as patch:
            patch.setattr(retry, "FIRST_DELAY", 0.01)
            connect(host=f"http://127.0.0.1:{port}/api/v1")
            with pytest.raises(NotAcceptedYet, match="nothing was sent"):
                task().run()
        assert store.states == ["intent", "not_sent"] * 5

    def test_an_unknown_id_ends_the_wait_but_not_the_record(
        self, task: Callable[..., Task], store: Store, emulator: EmulatorProcess
    ) -> None:
        running = task(prompt=SLOW, timeout=0.3)
        with pytest.raises(GenerationTimeout):
            running.run()
        emulator.fault("unauthorized", method="GET", times=None)
        with pytest.raises(GenerationUnreachable, match="API key") as caught:
            running.run(timeout=20)
        assert not isinstance(caught.value, AirflowFailException)
        assert store.record["state"] == "submitted"
        emulator.clear_faults()
        emulator.finish()
        assert running.run()["state"] == "succeeded"
        assert emulator.charged() == 1

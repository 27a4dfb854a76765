"""A submission whose answer was lost is looked for in the service's list, whose shape is as emulated: happy-horse.ai documents none."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import AmbiguousSubmission, GenerationTimeout, GenerationUnreachable, SubmissionStopped
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.ledger.record import Record
from airflow_provider_happyhorse.ledger.stores import NoLedger
from airflow_provider_happyhorse.operators.image import HappyHorseGenerateImageOperator
from airflow_provider_happyhorse.operators.reconciliation import LOOKS, SETTLING, STALE_INTENT, Reconciliation
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

LIST = "/api/v1/videos"


@pytest.fixture
def task(on_path: Callable[..., Task]) -> Callable[..., Task]:
    return on_path


def only_job(emulator: EmulatorProcess) -> str:
    (job,) = emulator.state()["jobs"]
    return str(job["id"])


def steps_of(ledger: Path, clip: str = "-1") -> list[Path]:
    return sorted(ledger.glob(f"ledger/*/*/*/{clip}/*.json"))


class TestALostAnswer:
    def test_is_found_in_the_list_and_delivered_by_the_same_try(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        emulator.fault("reset_after", method="POST")
        running = task(max_credits=100)
        result = running.run()
        assert result["generation_id"] == only_job(emulator)
        assert (result["state"], result["credits"], result["credits_estimated"]) == ("succeeded", 25, 25)
        assert emulator.charged() == 1
        assert [json.loads(step.read_text())["state"] for step in steps_of(ledger)][:3] == ["intent", "ambiguous", "submitted"]
        # It waited as long as a request may take and until it must be listed, and said so.
        assert [round(seconds) for seconds in running.slept] == [round(60 + SETTLING)]
        assert "looking in the list of happy-horse.ai in 80 s" in running.log.text("INFO")
        assert f"found {result['generation_id']} in the list" in running.log.text("WARNING")

    def test_is_in_the_spend_log_once(self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path) -> None:
        emulator.fault("reset_after", method="POST")
        task().run()
        entries = [json.loads(path.read_text()) for path in ledger.glob("spend/*/*/*/*.json")]
        assert sorted(entry["event"] for entry in entries) == ["ended", "submitted"]
        assert {entry["prompt"] for entry in entries if entry["event"] == "submitted"} == {QUICK}

    def test_of_a_process_that_died_is_found_by_the_next_try(
        self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        emulator.fault("reset_after", method="POST")
        # A death right after the POST leaves the intent alone.
        emulator.fault("unauthorized", path=LIST, times=None)
        running = task()
        with pytest.raises(AmbiguousSubmission):
            running.run()
        emulator.clear_faults()
        for step in steps_of(ledger):
            if step.name != "000001.json":
                step.unlink()
        assert running.run()["generation_id"] == only_job(emulator)
        # Nobody has seen the request fail, so it may have been sent until it was too old, and have taken its whole time.
        assert STALE_INTENT + 60 < running.slept[-1] <= STALE_INTENT + 60 + SETTLING
        assert emulator.charged() == 1

    def test_is_looked_for_before_ambiguous_submit_pays_again(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        emulator.fault("server_error", path=LIST, times=None)
        running = task(pay_again_on="ambiguous_submit")
        with pytest.raises(AmbiguousSubmission):
            running.run()
        emulator.clear_faults()
        assert running.run()["generation_id"] == only_job(emulator)
        assert emulator.charged() == 1

    def test_is_kept_beside_the_changed_request_of_a_clear(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        emulator.fault("server_error", path=LIST, times=None)
        running = task()
        with pytest.raises(AmbiguousSubmission):
            running.run()
        lost = only_job(emulator)
        emulator.clear_faults()
        running.clear()
        changed = running.run(prompt=f"{QUICK} on a stove")
        assert changed["generation_id"] != lost
        running.clear()
        assert running.run(prompt=QUICK)["generation_id"] == lost
        assert emulator.charged() == 2

    def test_is_waited_for_by_id_where_the_list_is_stale(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        emulator.fault("stale_list", path=LIST, times=None)
        assert task().run()["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_is_found_beside_another_runs_older_one(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.seed(60, request={"prompt": QUICK}, age_seconds=3600.0)
        emulator.fault("reset_after", method="POST")
        result = task().run()
        newest = emulator.state()["jobs"][-1]["id"]
        assert result["generation_id"] == newest
        # The first page reaches back beyond the submission.
        assert [request["query"] for request in emulator.requests() if request["path"] == LIST] == ["page=1&limit=50"]


class TestNothingIsAdopted:
    def stops(self, running: Task, says: str) -> str:
        with pytest.raises(AmbiguousSubmission, match=says) as stopped:
            running.run()
        assert "Look on" in str(stopped.value)
        return str(stopped.value)

    def test_when_the_list_holds_nothing_that_fits(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_before", method="POST")
        running = task()
        self.stops(running, "no generation in the list fits")
        # A list may lag, so it is looked at again before a person is asked.
        assert len(running.slept) == LOOKS
        assert emulator.charged() == 0

    def test_that_is_a_siblings(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        siblings = task(name="sibling", map_index=0).run()["generation_id"]
        emulator.fault("reset_before", method="POST")
        self.stops(task(name="mine", map_index=1), f"{siblings}, is another clip's")

    def test_that_a_sibling_has_adopted(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        adopted = task(name="sibling", map_index=0).run()["generation_id"]
        emulator.fault("reset_before", method="POST")
        self.stops(task(name="mine", map_index=1), f"{adopted}, is another clip's")
        assert emulator.charged() == 1

    def test_where_two_fit_and_both_are_named(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        task(name="sibling", map_index=0).run()
        emulator.fault("reset_after", method="POST")
        said = self.stops(task(name="mine", map_index=1), "2 generations fit")
        assert all(job["id"] in said for job in emulator.state()["jobs"])

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"fault": "wrong_type"}, "the pages that were read do not reach back"),
            ({"fault": "malformed_json"}, "it cannot be read"),
            ({"fault": "server_error"}, "it cannot be read"),
            ({"fault": "unauthorized"}, "it cannot be read"),
            ({"fault": "html"}, "it cannot be read"),
        ],
        ids=lambda value: value["fault"] if isinstance(value, dict) else "",
    )
    def test_from_a_list_that_cannot_be_read(
        self,
        task: Callable[..., Task],
        emulator: EmulatorProcess,
        fault: dict[str, Any],
        says: str,
    ) -> None:
        emulator.fault("reset_after", method="POST")
        emulator.fault(path=LIST, times=None, **fault)
        self.stops(task(), says)
        assert emulator.charged() == 1

    def test_where_a_later_page_cannot_be_read_but_it_is_named(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.seed(60, request={"prompt": "a teapot"}, age_seconds=0.0)
        emulator.fault("reset_after", method="POST")
        emulator.fault("server_error", path=f"{LIST}?page=2*", times=None)
        said = self.stops(task(), "page 2 of it cannot be read")
        assert f"not contradicting the request: {emulator.state()['jobs'][-1]['id']}" in said

    def test_without_a_ledger_that_tasks_share_but_it_is_named(
        self, connect: Callable[..., str], emulator: EmulatorProcess, store: Store
    ) -> None:
        connect()
        emulator.fault("reset_after", method="POST")
        running = Task(store=store, prompt=QUICK)
        said = self.stops(running, "only a `ledger_path` lets tasks tell")
        lost = only_job(emulator)
        assert lost in said
        # The way out that the message names.
        store.edit(state="submitted", generation_id=lost)
        running.clear()
        result = running.run()
        assert (result["generation_id"], result["credits_estimated"]) == (lost, 25)
        assert emulator.charged() == 1

    def test_from_a_service_without_a_list(self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path) -> None:
        connect("happyhorse.app", ledger_path=str(ledger))
        emulator.fault("reset_after", method="POST")
        request = {"model": "happyhorse-1.0/video", "mode": "pro", "duration": 5, "aspect_ratio": "16:9"}
        running = Task(prompt=QUICK, request=request)
        self.stops(running, "happyhorse.app has no list")
        assert running.slept == []

    def test_for_an_image(self, task: Callable[..., Task], emulator: EmulatorProcess) -> None:
        emulator.fault("reset_after", method="POST")
        self.stops(task(operator=HappyHorseGenerateImageOperator, request={"model": "nano-banana-pro"}), "documented for videos only")

    def test_for_a_record_of_an_older_version(self, task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path) -> None:
        emulator.fault("reset_after", method="POST")
        emulator.fault("unauthorized", path=LIST, times=None)
        running = task()
        self.stops(running, "it cannot be read")
        for step in steps_of(ledger):
            stored = json.loads(step.read_text())
            step.write_text(json.dumps({key: value for key, value in stored.items() if key != "sent"}))
        self.stops(running, "does not say what was sent and when")


class Shared(NoLedger):
    shared = True

    def __init__(self) -> None:
        self.claimed: list[str] = []

    def claim(self, service: str, generation_id: str) -> bool:
        self.claimed.append(generation_id)
        return True


@pytest.mark.parametrize("wrong_by", [-7200.0, 0.0, 7200.0])
def test_a_worker_whose_clock_is_wrong_finds_its_own_by_the_services_date(
    connect: Callable[..., str], emulator: EmulatorProcess, wrong_by: float
) -> None:
    hook = HappyHorseHook(connect())
    lost = hook.submit({"prompt": QUICK}).generation_id
    emulator.seed(request={"prompt": QUICK}, age_seconds=3600.0)
    now = time.time() + wrong_by
    record = Record.from_json(
        {
            "state": "ambiguous",
            "name": "clip",
            "facts": {"request": {"prompt": QUICK}},
            "sent": {"opened": now - 1, "closed": now, "request_timeout": 60},
        }
    )
    shared = Shared()
    look = Reconciliation(
        hook=hook,
        ledger=shared,
        record=record,
        log=logging.getLogger("test"),
        clock=lambda: time.time() + wrong_by,
        sleep=lambda seconds: None,
    )
    found = look.look().generation
    assert found is not None
    assert found.generation_id == lost
    assert shared.claimed == [lost]
    elsewhen = replace(record, sent={"opened": now - 1800, "closed": now - 1790, "request_timeout": 60})
    assert replace(look, record=elsewhen).look().generation is None


def test_a_try_that_times_out_after_an_adoption_is_resumed(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    emulator.fault("reset_after", method="POST")
    running = task(prompt="a kettle [emulator: render_seconds=600]", timeout=0.3)
    with pytest.raises(GenerationTimeout):
        running.run()
    emulator.finish()
    assert running.run()["state"] == "succeeded"
    assert emulator.charged() == 1


def test_what_a_retry_attaches_to_is_claimed_for_it(task: Callable[..., Task], emulator: EmulatorProcess, ledger: Path) -> None:
    sibling = task(name="sibling", map_index=0, prompt="a kettle [emulator: render_seconds=600]", timeout=0.3)
    with pytest.raises(GenerationTimeout):
        sibling.run()
    # It died before it could claim what it had the id of.
    (claimed,) = ledger.glob("claims/*/*.json")
    claimed.unlink()
    emulator.finish()
    theirs = sibling.run()["generation_id"]
    emulator.fault("reset_before", method="POST")
    with pytest.raises(AmbiguousSubmission, match=f"{theirs}, is another clip's"):
        task(name="mine", map_index=1, prompt="a kettle [emulator: render_seconds=600]").run()


def test_another_take_is_not_taken_for_the_one_before(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    running = task()
    first = running.run()["generation_id"]
    running.clear()
    emulator.fault("reset_before", method="POST")
    with pytest.raises(AmbiguousSubmission, match="no generation in the list fits") as stopped:
        running.run(take="2")
    assert str(stopped.value).count(first) == str(stopped.value).count(f"(not {first}, which this task has paid for and knows)") == 1


def test_the_way_out_holds_where_the_take_changes_with_every_try(
    connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
) -> None:
    connect("happyhorse.app", ledger_path=str(ledger))
    request = {"model": "happyhorse-1.0/video", "mode": "pro", "duration": 5, "aspect_ratio": "16:9"}
    running = Task(prompt=QUICK, request=request, name="kettle", map_index=0, pay_again_on=())
    emulator.fault("reset_after", method="POST")
    with pytest.raises(AmbiguousSubmission):
        running.run(take="1")
    running.ti.max_tries += 1
    (own,) = ledger.glob("ledger/*/*/*/0")
    (own / "000003.json").write_text(json.dumps({"state": "submitted", "generation_id": only_job(emulator)}))
    running.clear()
    # Another take after a clear is a decision of a person, and never a silent one: what was found is not forgotten.
    with pytest.raises(SubmissionStopped, match=only_job(emulator)):
        running.run(take="2")
    assert running.run(take="1")["generation_id"] == only_job(emulator)
    assert emulator.charged() == 1


def test_a_record_that_cannot_be_written_when_it_was_found_is_told_with_the_id(
    connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
) -> None:
    class AnotherTryWrites(list[float]):
        def append(self, seconds: float) -> None:
            (own,) = ledger.glob("ledger/*/*/*/-1")
            (own / "000003.json").write_text(json.dumps({"state": "not_sent", "writer": "another"}))

    connect(ledger_path=str(ledger))
    emulator.fault("reset_after", method="POST")
    running = Task(prompt=QUICK, slept=AnotherTryWrites())
    with pytest.raises(GenerationUnreachable, match="was found and is paid for, and its record cannot be written") as told:
        running.run()
    assert only_job(emulator) in str(told.value)
    assert emulator.charged() == 1

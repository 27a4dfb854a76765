"""Messages about what an earlier try has paid for, and a spend log, that an independent reader found wanting."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    GenerationFailed,
    GenerationTimeout,
    GenerationUnreachable,
    InvalidArguments,
)
from airflow_provider_happyhorse.ledger import objects
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

Tasks = Callable[..., Task]
SLOW = "a kettle [emulator: render_seconds=600]"
LOG_NAMES_IT = "what an earlier try submitted stays paid for, its log names it"


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give the function that takes the ledger's file system its hard links."""

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    init = objects.LocalObjects.__init__

    def without_links(self: objects.LocalObjects, *, folder: str) -> None:
        init(self, folder=folder, link=refuse)

    return lambda: monkeypatch.setattr(objects.LocalObjects, "__init__", without_links)


def paid(running: Task) -> str:
    """Run the first try until its wait is over, and return what it has paid for."""
    with pytest.raises(GenerationTimeout):
        running.run(timeout=0.3)
    return str(running.xcoms["generation_id"])


class TestASettingThatBreaksBetweenTries:
    def ended(self, running: Task, connect: Callable[..., str], broken: dict[str, Any]) -> str:
        rendered = {"pay_again_on": broken["word"]} if "word" in broken else {}
        if not rendered:
            connect(**broken)
        with pytest.raises(InvalidArguments) as told:
            running.run(rendered=rendered)
        return str(told.value)

    BROKEN = pytest.mark.parametrize(
        "broken", [{"word": "ambiguous_submitt"}, {"max_credit": 5}, {"ledger_path": "gs://x/y"}, {"request_timeout": "soon"}]
    )

    @BROKEN
    def test_names_what_is_paid_for_and_a_clear_after_the_repair_goes_on_with_it(
        self, connect: Callable[..., str], task: Tasks, emulator: EmulatorProcess, broken: dict[str, Any]
    ) -> None:
        running = task(prompt=SLOW)
        first = paid(running)
        said = self.ended(running, connect, broken)
        assert f"Nothing was submitted by this try; {first} of an earlier try stays paid for, about 25 credits (happy-horse.ai" in said
        assert (running.xcoms["happyhorse"]["state"], running.xcoms["generation_id"]) == ("in_progress", first)
        connect()
        running.clear()
        assert running.run(wait_for_completion=False)["generation_id"] == first
        assert emulator.charged() == 1

    @BROKEN
    def test_says_where_the_id_is_when_nothing_else_keeps_it(
        self, connect: Callable[..., str], unprotected: Tasks, broken: dict[str, Any]
    ) -> None:
        running = unprotected(prompt=SLOW)
        paid(running)
        assert f"Nothing was submitted by this try; {LOG_NAMES_IT}" in self.ended(running, connect, broken)
        assert "happyhorse" not in running.xcoms

    def test_names_it_from_a_path_that_is_not_what_broke(self, connect: Callable[..., str], on_path: Tasks) -> None:
        running = on_path(prompt=SLOW)
        first = paid(running)
        assert f"{first} of an earlier try stays paid for" in self.ended(running, connect, {"word": "chnaged_request"})
        assert running.xcoms["happyhorse"]["state"] == "in_progress"

    def test_is_a_refusal_where_nothing_was_submitted(self, connect: Callable[..., str], on_path: Tasks) -> None:
        running = on_path()
        for _ in range(2):
            said = self.ended(running, connect, {"word": "chnaged_request"})
            assert said.endswith(". Nothing was submitted")
            assert running.xcoms["happyhorse"]["state"] == "refused"

    def test_tells_a_failure_and_a_doubt_for_what_they_are(
        self, connect: Callable[..., str], task: Tasks, emulator: EmulatorProcess
    ) -> None:
        failed = task(prompt="a kettle [emulator: fail=moderation]")
        with pytest.raises(GenerationFailed):
            failed.run()
        first = failed.xcoms["generation_id"]
        assert f"{first} of an earlier try failed at the service and cost" in self.ended(failed, connect, {"max_credit": 5})
        connect()
        emulator.fault("reset_after", method="POST")
        doubtful = task(store=Store())
        with pytest.raises(AmbiguousSubmission):
            doubtful.run()
        assert "may exist and be paid for, about 25 credits" in self.ended(doubtful, connect, {"max_credit": 5})
        assert doubtful.xcoms["happyhorse"]["state"] == "ambiguous"

    def test_names_it_too_where_the_whole_connection_is_gone(self, task: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
        running = task(prompt=SLOW)
        first = paid(running)
        monkeypatch.delenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT")
        with pytest.raises(GenerationUnreachable, match=f"{first} of an earlier try stays paid for, about 25 credits"):
            running.run()


class TestAConnectionThatWasDeletedAfterTheTaskGotAnother:
    @pytest.mark.parametrize("waits", [True, False])
    def test_is_named_with_what_it_has_paid_for(
        self, connect: Callable[..., str], store: Store, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, waits: bool
    ) -> None:
        connect()
        connect(conn_id="old")
        running = Task(store=store, prompt=SLOW, happyhorse_conn_id="old", wait_for_completion=waits)
        first = paid(running) if waits else running.run()["generation_id"]
        monkeypatch.delenv("AIRFLOW_CONN_OLD")
        running.clear()
        with pytest.raises(GenerationUnreachable) as told:
            running.run(happyhorse_conn_id="happyhorse_default")
        for part in (
            first,
            "about 25 credits (happy-horse.ai",
            "there is no connection 'old'",
            "a retry asks for it again, and pays nothing",
        ):
            assert part in str(told.value)
        connect(conn_id="old")
        assert running.run(wait_for_completion=False)["generation_id"] == first
        assert emulator.charged() == 1


class TestALedgerPathThatCreatesNothingExclusively:
    def test_ends_the_task_before_anything_is_sent(self, on_path: Tasks, emulator: EmulatorProcess, no_links: Callable[[], None]) -> None:
        no_links()
        running = on_path()
        with pytest.raises(InvalidArguments, match=r"makes no hard links .* use another\. Nothing was submitted"):
            running.run()
        assert running.xcoms["happyhorse"]["state"] == "refused"
        assert emulator.charged() == 0

    def test_names_what_is_paid_for_already(self, on_path: Tasks, emulator: EmulatorProcess, no_links: Callable[[], None]) -> None:
        running = on_path(prompt=SLOW)
        first = paid(running)
        no_links()
        with pytest.raises(GenerationUnreachable, match=f"{first} is paid for, about 25 credits .* makes no hard links"):
            running.run()
        assert emulator.charged() == 1

    def test_names_what_has_failed(self, on_path: Tasks, emulator: EmulatorProcess, no_links: Callable[[], None]) -> None:
        running = on_path(prompt=SLOW, wait_for_completion=False)
        first = running.run()["generation_id"]
        emulator.finish(failure="moderation")
        no_links()
        with pytest.raises(GenerationUnreachable, match=f"{first} failed at the service.* cannot be written down.* makes no hard links"):
            running.run()

    def test_leaves_what_was_found_in_the_list_unclaimed(
        self, on_path: Tasks, emulator: EmulatorProcess, no_links: Callable[[], None]
    ) -> None:
        emulator.fault("reset_after", method="POST")
        emulator.fault("server_error", path="/api/v1/videos", times=None)
        running = on_path(prompt=QUICK)
        with pytest.raises(AmbiguousSubmission):
            running.run()
        emulator.clear_faults()
        no_links()
        lost = emulator.state()["jobs"][0]["id"]
        with pytest.raises(AmbiguousSubmission, match=f"{lost} fits, and could not be claimed"):
            running.run()
        assert emulator.charged() == 1


class TestAnIdThatAPersonHasFound:
    def lost(self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path, **step: Any) -> Task:
        connect("happyhorse.app", ledger_path=str(ledger))
        emulator.fault("reset_after", method="POST")
        running = Task(prompt=SLOW, wait_for_completion=False)
        with pytest.raises(AmbiguousSubmission):
            running.run()
        (own,) = ledger.glob("ledger/*/*/*/-1")
        found = {"state": "submitted", "generation_id": emulator.state()["jobs"][0]["id"], **step}
        (own / f"{len(list(own.iterdir())) + 1:06d}.json").write_text(json.dumps(found))
        running.clear()
        return running

    def test_is_in_the_spend_log_once_where_nobody_waits_for_its_end(
        self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = self.lost(connect, emulator, ledger)
        first = running.run()["generation_id"]
        running.clear()
        # On another day.
        monkeypatch.setattr("airflow_provider_happyhorse.operators.base.timestamp", lambda: "2027-01-01T00:00:00+00:00")
        running.run()
        (written,) = ledger.glob("spend/*/*/*/*.json")
        assert written.name == f"{first}.submitted.json"
        assert json.loads(written.read_text())["state"] == "in_progress"

    def test_is_not_there_when_the_service_does_not_know_it(
        self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path
    ) -> None:
        self.lost(connect, emulator, ledger, generation_id="typo").run()
        assert not list(ledger.glob("spend/*/*/*/*.json"))

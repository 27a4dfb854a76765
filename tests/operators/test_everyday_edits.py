"""What an author edits between a run and its clear, and what a worker leaves behind, that an independent reader found paid for twice,
delivered as another clip or stopped for nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    GenerationFailed,
    GenerationUnreachable,
    NotAcceptedYet,
    NotSubmitted,
    SubmissionStopped,
)
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.ledger.objects import component
from airflow_provider_happyhorse.ledger.record import fingerprint
from airflow_provider_happyhorse.operators import submission
from airflow_provider_happyhorse.operators.inputs import plain_json
from airflow_provider_happyhorse.operators.reconciliation import SETTLING, STALE_INTENT
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import KEY, QUICK, Store, Task, event_of

Tasks = Callable[..., Task]
FAILS = "a kettle [emulator: fail=moderation]"


def row(name: str) -> dict[str, Any]:
    return {"name": name, "prompt": f"{name} {QUICK}"}


@pytest.mark.parametrize(("before", "after"), [(2, 2.0), (2.0, "2"), ("v2", "v2 ")])
def test_a_take_is_the_same_however_a_table_spells_it(on_path: Tasks, emulator: EmulatorProcess, before: Any, after: Any) -> None:
    running = on_path(prompt=None, map_index=0)
    first = running.run(request={**row("a"), "take": before})
    running.clear()
    assert running.run(request={**row("a"), "take": after})["generation_id"] == first["generation_id"]
    assert emulator.charged() == 1


class TestFewerRetriesAndARowOnTop:
    """The clear leaves ``max_tries`` as it was: one try and one retry before, one try and none after."""

    def repaired(self, make: Tasks) -> list[tuple[str, Any]]:
        """Run three rows, insert one on top, take the retries away, clear, and return each row's name with what came of it."""
        rows = [row(name) for name in "abc"]
        tasks = [make(prompt=None, map_index=index, retries=1) for index in range(3)]
        for one, asked in zip(tasks, rows, strict=True):
            one.run(request=asked)
        rows.insert(0, row("new"))
        tasks.append(make(prompt=None, map_index=3, retries=0))
        ended: list[tuple[str, Any]] = []
        for one, asked in zip(tasks, rows, strict=True):
            one.retries, one.clear_number = 0, 1
            if one.ti.try_number:
                one.clear()
                assert one.ti.max_tries == 1
            try:
                ended.append((asked["name"], one.run(request=asked)["name"]))
            except SubmissionStopped as stopped:
                ended.append((asked["name"], stopped))
        return ended

    def test_deliver_no_clip_as_another_and_pay_for_none_again(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        (_, stopped), *others = self.repaired(on_path)
        assert others == [("a", "a"), ("b", "b"), ("c", "c")]
        assert "Airflow does not say whether this task was" in str(stopped)
        assert 'set {"state": "not_sent", "name": "new"} in the ledger folder' in str(stopped)
        assert emulator.charged() == 3

    def test_stop_also_where_they_went_while_the_clip_was_waiting(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        first = on_path(prompt=None, map_index=0, retries=1)
        waiting = first.deferred(request=row("a"))
        first.retries = 0
        first.resume(event_of(waiting.trigger))
        first.clear_number = 1
        first.clear()
        with pytest.raises(SubmissionStopped, match="Airflow does not say whether this task was"):
            first.run(request=row("new"), deferrable=False)
        assert emulator.charged() == 1

    def test_stop_where_only_map_indices_are_known(self, task: Tasks, emulator: EmulatorProcess) -> None:
        from tests.operators.task_instances import Store

        *moved, (_, last) = self.repaired(lambda **given: task(**{**given, "store": Store()}))
        assert all("rows have moved" in str(stopped) for _, stopped in moved)
        # Its map index is new; without the XComs of the others, which are not played here, it is a first submission.
        assert last == "c"
        assert emulator.charged() == 4

    def test_without_a_clear_are_a_retry_as_ever(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        running = on_path(prompt=None, map_index=0, retries=1)
        first = running.run(request=row("a"))
        running.retries = 0
        assert running.run(request={**row("a"), "prompt": f"another {QUICK}"})["generation_id"] == first["generation_id"]
        assert emulator.charged() == 1


class TestAClearWhileItRan:
    """Airflow leaves ``max_tries`` as they were where it does not come to see the process end; only 3.3 counts the clear."""

    def test_delivers_no_clip_as_another(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        tasks = [on_path(prompt=None, map_index=index) for index in range(2)]
        for one, name in zip(tasks, "ab", strict=True):
            one.deferred(request=row(name))
            one.clear_number = 1
        with pytest.raises(SubmissionStopped, match="Airflow does not say whether this task was"):
            tasks[0].run(request=row("new"), deferrable=False)
        assert tasks[1].run(request=row("a"), deferrable=False)["name"] == "a"
        assert emulator.charged() == 2

    def test_nor_an_older_request_for_the_one_that_was_repaired(self, task: Tasks, emulator: EmulatorProcess) -> None:
        running = task()
        running.deferred()
        running.clear_number = 1
        with pytest.raises(SubmissionStopped, match="a retry or a changed request"):
            running.run(prompt=f"another {QUICK}", deferrable=False)
        running.clear()
        running.store.edit(state="not_sent")
        running.run()
        assert emulator.charged() == 2

    def test_goes_on_with_the_same_request(self, task: Tasks, emulator: EmulatorProcess) -> None:
        running = task()
        running.deferred()
        running.clear_number = 1
        running.run(deferrable=False)
        assert emulator.charged() == 1


def test_a_retry_that_goes_on_with_an_earlier_request_warns(task: Tasks) -> None:
    running = task()
    running.run()
    running.run(prompt=f"another {QUICK}")
    assert "the request differs from the one submitted as" in running.log.text("WARNING")


class TestAGenerationNobodyWaitedFor:
    def test_that_has_failed_is_submitted_anew_by_a_clear(self, task: Tasks, emulator: EmulatorProcess) -> None:
        running = task(wait_for_completion=False, prompt=FAILS)
        first = running.run()
        emulator.finish(failure="moderation")
        with pytest.raises(GenerationFailed, match="clear this task to submit it anew"):
            running.run()
        running.clear()
        assert running.run(prompt=QUICK)["generation_id"] != first["generation_id"]
        assert emulator.charged() == 2

    def test_that_goes_on_is_handed_on_again(self, task: Tasks, emulator: EmulatorProcess) -> None:
        running = task(wait_for_completion=False, prompt="a kettle [emulator: render_seconds=600]")
        first = running.run()
        running.clear()
        again = running.run()
        assert (again["generation_id"], again["state"]) == (first["generation_id"], "in_progress")
        assert emulator.charged() == 1


def test_an_intent_that_was_only_half_written_is_taken_back(on_path: Tasks, emulator: EmulatorProcess, ledger: Path) -> None:
    running = on_path(prompt=None, map_index=3)
    in_the_way = ledger / "ledger" / "campaign" / component(running.ti.run_id) / "generate" / "3" / "000001.json"
    in_the_way.mkdir(parents=True)
    with pytest.raises(NotAcceptedYet, match="nothing was paid"):
        running.run(request=row("kettle"))
    assert emulator.charged() == 0
    in_the_way.rmdir()
    assert running.run()["state"] == "succeeded"
    assert running.slept == []
    assert emulator.charged() == 1


def test_an_intent_that_is_taken_back_leaves_the_doubt_before_it(on_path: Tasks, emulator: EmulatorProcess, ledger: Path) -> None:
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", path="/api/v1/videos", times=None)
    running = on_path(prompt=None, map_index=3)
    with pytest.raises(AmbiguousSubmission):
        running.run(request=row("kettle"))
    own = ledger / "ledger" / "campaign" / component(running.ti.run_id) / "generate" / "3"
    in_the_way = own / "000003.json"
    in_the_way.mkdir()
    with pytest.raises(NotAcceptedYet):
        running.run(pay_again_on="ambiguous_submit")
    in_the_way.rmdir()
    running.clear()
    with pytest.raises(AmbiguousSubmission):
        running.run(pay_again_on="")
    assert emulator.charged() == 1


def test_a_refusal_leaves_the_doubt_before_it(task: Tasks, emulator: EmulatorProcess) -> None:
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", path="/api/v1/videos", times=None)
    running = task()
    with pytest.raises(AmbiguousSubmission):
        running.run()
    emulator.fault("unauthorized", method="POST")
    with pytest.raises(NotSubmitted):
        running.run(pay_again_on="ambiguous_submit")
    running.clear()
    with pytest.raises(AmbiguousSubmission):
        running.run(pay_again_on="")
    assert emulator.charged() == 1


class TestAWrongIdThatIsTakenBack:
    def test_is_forgotten_in_airflows_store(self, task: Tasks, emulator: EmulatorProcess) -> None:
        emulator.fault("reset_before", method="POST")
        running = task()
        with pytest.raises(AmbiguousSubmission):
            running.run()
        for changes in ({"state": "submitted", "generation_id": "typo"}, {"state": "not_sent"}):
            running.store.edit(**changes)  # type: ignore[union-attr]  # it has one
            running.clear()
            if changes["state"] == "submitted":
                with pytest.raises(GenerationUnreachable, match="does not know typo"):
                    running.run()
        assert running.run()["state"] == "succeeded"
        assert emulator.charged() == 1

    def test_is_forgotten_on_a_path(self, on_path: Tasks, emulator: EmulatorProcess, ledger: Path) -> None:
        emulator.fault("reset_before", method="POST")
        running = on_path()
        with pytest.raises(AmbiguousSubmission):
            running.run()
        (own,) = ledger.glob("ledger/*/*/*/-1")
        for changes in ({"state": "submitted", "generation_id": "typo"}, {"state": "not_sent", "others": {}}):
            (own / f"{len(list(own.glob('*.json'))) + 1:06d}.json").write_text(json.dumps(changes))
            running.clear()
            if changes["state"] == "submitted":
                with pytest.raises(GenerationUnreachable, match="does not know typo"):
                    running.run()
        assert running.run()["state"] == "succeeded"
        assert not list(ledger.glob("spend/*/*/*/typo*"))
        assert emulator.charged() == 1


def test_a_cap_is_no_part_of_the_request(task: Tasks, emulator: EmulatorProcess) -> None:
    running = task()
    first = running.run(max_credits=50)
    running.clear()
    assert running.run(rendered={"max_credits": ""})["generation_id"] == first["generation_id"]


def test_whoever_goes_on_with_a_submission_writes_it_into_the_spend_log(
    on_path: Tasks, emulator: EmulatorProcess, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*arguments: Any, **options: Any) -> None:
        raise Died

    running = on_path()
    with monkeypatch.context() as patched:
        patched.setattr(submission, "note_spend", die)
        with pytest.raises(Died):
            running.run()
    result = running.run()
    assert sorted(path.name for path in ledger.glob("spend/*/*/*/*")) == [
        f"{result['generation_id']}.{event}.json" for event in ("submitted", "succeeded")
    ]
    assert emulator.charged() == 1


def test_a_clock_that_was_ahead_holds_no_worker_for_longer(
    on_path: Tasks, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*arguments: Any, **options: Any) -> None:
        raise Died

    running, now = on_path(), time.time
    with monkeypatch.context() as patched:
        patched.setattr(HappyHorseHook, "send", die)
        patched.setattr(time, "time", lambda: now() + 86_400)
        with pytest.raises(Died):
            running.run()
    with pytest.raises(AmbiguousSubmission):
        running.run()
    assert max(running.slept) <= STALE_INTENT + 60 + SETTLING
    assert emulator.charged() == 0


def test_an_id_that_a_person_has_pasted_with_a_line_break(task: Tasks, emulator: EmulatorProcess) -> None:
    emulator.fault("reset_after", method="POST")
    running = task()
    with pytest.raises(AmbiguousSubmission):
        running.run()
    lost = emulator.state()["jobs"][0]["id"]
    running.store.edit(state="submitted", generation_id=f" {lost}\n")  # type: ignore[union-attr]  # it has one
    running.clear()
    assert running.run()["generation_id"] == lost


@pytest.mark.parametrize("spelled", ["HTTPS://Happy-Horse.ai/api", "https://happy-horse.ai:443/api/", "https://happy-horse.ai/api"])
def test_a_base_url_is_the_same_however_it_is_spelled(spelled: str) -> None:
    def mark(base_url: str) -> str:
        return fingerprint(kind="video", service="happy-horse.ai", base_url=base_url, take="", request={"prompt": "a kettle"})

    assert mark(spelled) == mark("https://happy-horse.ai/api")
    assert mark(spelled) != mark("http://happy-horse.ai/api")
    assert mark(spelled) != mark("https://happy-horse.ai:8443/api")


def test_what_a_function_is_given_reads_the_same_in_every_process() -> None:
    program = (
        "from airflow_provider_happyhorse.operators.inputs import plain_json;"
        "print(plain_json({'tags': {'red', 'green', 'blue', 'white'}, 'sizes': frozenset({1, 2, 30})}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout.splitlines()[-1]
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_rows_that_airflow_fetches_only_when_asked_are_read() -> None:
    from collections.abc import Sequence

    class Lazy(Sequence[str]):
        def __init__(self, *values: str) -> None:
            self._values = values

        def __len__(self) -> int:
            return len(self._values)

        def __getitem__(self, index: Any) -> Any:
            return self._values[index]

    assert plain_json({"products": Lazy("a", "b")}) == {"products": ["a", "b"]}


def test_an_id_that_a_person_writes_keeps_what_tells_a_clear_from_a_retry(on_path: Tasks, emulator: EmulatorProcess, ledger: Path) -> None:
    """The task has lost its retries since, and a clear leaves the ``max_tries`` that the lost submission was written with."""
    clip = on_path(retries=2)
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", method="GET", path="/api/v1/videos", times=None)
    with pytest.raises(AmbiguousSubmission):
        clip.run()
    clip.retries = 0
    other = {"prompt": QUICK.replace("kettle", "teapot")}
    clip.clear()
    clip.clear_number += 1
    with pytest.raises(AmbiguousSubmission):
        clip.run(**other)
    (job,) = emulator.state()["jobs"]
    folder = max(ledger.glob("ledger/*/*/*/*"))
    number = len(list(folder.iterdir())) + 1
    (folder / f"{number:06d}.json").write_text(json.dumps({"state": "submitted", "generation_id": job["id"]}))
    clip.clear()
    clip.clear_number += 1
    assert clip.ti.max_tries == 2
    with pytest.raises(SubmissionStopped, match="nothing tells whether this is a retry or a changed request"):
        clip.run(**other)
    assert emulator.charged() == 1


@pytest.mark.parametrize("first", [{"state": "not_sent"}, {"state": "not_sent", "others": {}}])
def test_an_id_that_was_corrected_is_for_the_request_that_went_on_with_it(
    on_path: Tasks, emulator: EmulatorProcess, ledger: Path, first: dict[str, Any]
) -> None:
    clip = on_path()
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", method="GET", path="/api/v1/videos", times=None)
    with pytest.raises(AmbiguousSubmission):
        clip.run()
    (job,) = emulator.state()["jobs"]
    folder = max(ledger.glob("ledger/*/*/*/*"))
    for step in (first, {"state": "submitted", "generation_id": job["id"]}):
        (folder / f"{len(list(folder.iterdir())) + 1:06d}.json").write_text(json.dumps(step))
    clip.clear()
    assert clip.run()["generation_id"] == job["id"]
    clip.clear()
    assert clip.run(prompt=f"another {QUICK}")["generation_id"] != job["id"]
    assert emulator.charged() == 2


def test_an_id_in_an_empty_entry_is_for_the_request_that_went_on_with_it(task: Tasks, emulator: EmulatorProcess) -> None:
    known = task(task_id="another").run()
    clip = task(store=Store())
    clip.store.entries[KEY] = json.dumps({"state": "submitted", "generation_id": known["generation_id"]})
    assert clip.run()["generation_id"] == known["generation_id"]
    clip.clear()
    assert clip.run(prompt=f"another {QUICK}")["generation_id"] != known["generation_id"]

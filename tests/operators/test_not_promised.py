"""What ``docs/never-pay-twice.md`` says is not promised, as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import SubmissionStopped
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task

Tasks = Callable[..., Task]
TEAPOT = QUICK.replace("kettle", "teapot")


class TestARunThatWasDeletedAndBegunAnewOnAPath:
    def test_returns_the_videos_of_the_old_one_whatever_is_asked_for_by_now(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        old = on_path().run()
        assert on_path().run()["generation_id"] == old["generation_id"]
        assert on_path(prompt=TEAPOT).run()["generation_id"] == old["generation_id"]
        assert emulator.charged() == 1

    def test_stops_where_the_old_one_had_come_further(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        old = on_path()
        for _ in range(2):
            old.run()
        with pytest.raises(SubmissionStopped, match="the run was deleted and begun anew"):
            on_path(prompt=TEAPOT).run()
        assert emulator.charged() == 1

    def test_pays_under_another_run_id(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        on_path().run()
        fresh = on_path()
        fresh.ti.run_id = "manual__2026-11-21T10:00:00+00:00"
        fresh.run()
        assert emulator.charged() == 2


class TestAConnectionThatWasPointedToAnotherHost:
    def cleared(self, connect: Callable[..., str], emulator: EmulatorProcess, ledger: Path, task: Task) -> Task:
        task.run()
        connect(ledger_path=str(ledger), host=emulator.base_url("happy-horse.ai").replace("127.0.0.1", "localhost"))
        task.clear()
        return task

    def test_pays_after_a_clear(self, connect: Callable[..., str], on_path: Tasks, emulator: EmulatorProcess, ledger: Path) -> None:
        self.cleared(connect, emulator, ledger, on_path()).run()
        assert emulator.charged() == 2

    def test_stops_without_the_word_for_changed_requests(
        self, connect: Callable[..., str], on_path: Tasks, emulator: EmulatorProcess, ledger: Path
    ) -> None:
        with pytest.raises(SubmissionStopped, match="`changed_request` is not in"):
            self.cleared(connect, emulator, ledger, on_path(pay_again_on=())).run()
        assert emulator.charged() == 1


def test_a_take_that_renders_differently_at_every_try_pays_at_every_clear(on_path: Tasks, emulator: EmulatorProcess) -> None:
    clip = on_path()
    for paid in (1, 2):
        for _ in range(2):
            clip.run(take=str(clip.ti.try_number + 1))
            assert emulator.charged() == paid
        clip.clear()


def test_a_task_that_becomes_a_mapped_one_pays_again_without_a_path(task: Tasks, emulator: EmulatorProcess) -> None:
    task().run()
    mapped = task(store=Store(), map_index=0)
    mapped.clear_number = 1
    mapped.run()
    assert emulator.charged() == 2


class TestAMappedClipThatWasRenamedAndClearedWithoutAPath:
    KEETLE, KETTLE = {"name": "keetle", "prompt": QUICK}, {"name": "kettle", "prompt": QUICK}

    def test_is_the_same_clip_in_airflows_store(self, task: Tasks, emulator: EmulatorProcess) -> None:
        clip = task(prompt=None, map_index=0)
        clip.run(request=self.KEETLE)
        clip.clear()
        clip.run(request=self.KETTLE)
        assert emulator.charged() == 1


class TestTwoRowsUnderOneNameThatWasATemplate:
    def rows(self, make: Tasks, *prompts: str, **given: Any) -> list[Task]:
        return [make(prompt=None, request={"name": "same", "prompt": prompt}, map_index=at, **given) for at, prompt in enumerate(prompts)]

    def test_share_a_video_on_a_path_where_their_requests_are_equal(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        one, other = (row.run()["generation_id"] for row in self.rows(on_path, QUICK, QUICK))
        assert one == other
        assert emulator.charged() == 1

    def test_are_both_paid_for_on_a_path_where_they_differ(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        rows = self.rows(on_path, QUICK, TEAPOT)
        first = [row.run()["generation_id"] for row in rows]
        for row in rows:
            row.clear()
        assert [row.run()["generation_id"] for row in rows] == first
        assert emulator.charged() == 2

    def test_stop_without_the_word_for_changed_requests(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        first, second = self.rows(on_path, QUICK, TEAPOT, pay_again_on=())
        first.run()
        with pytest.raises(SubmissionStopped):
            second.run()
        assert emulator.charged() == 1

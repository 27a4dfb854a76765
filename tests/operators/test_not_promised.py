"""What ``docs/never-pay-twice.md`` says is not promised, as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import SubmissionStopped
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Task

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

"""What ``docs/never-pay-twice.md`` says is not promised, as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from airflow_provider_happyhorse.exceptions import SubmissionStopped
from airflow_provider_happyhorse.operators import HappyHorseUploadImageOperator
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task, TaskInstance

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


class TestAMappedClipThatWasRenamedAndCleared:
    KEETLE, KETTLE = {"name": "keetle", "prompt": QUICK}, {"name": "kettle", "prompt": QUICK}

    def test_is_another_clip_on_a_path_and_the_old_name_brings_the_old_one(self, on_path: Tasks, emulator: EmulatorProcess) -> None:
        clip = on_path(prompt=None, map_index=0)
        first = clip.run(request=self.KEETLE)
        clip.clear()
        assert clip.run(request=self.KETTLE)["generation_id"] != first["generation_id"]
        clip.clear()
        assert clip.run(request=self.KEETLE)["generation_id"] == first["generation_id"]
        assert emulator.charged() == 2

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


@pytest.mark.usefixtures("task")
def test_without_a_path_the_last_row_is_paid_for_again_when_images_are_uploaded_and_rows_move(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """An upload knows its own map index alone, so the image that has moved gets another URL, and the request is no other row's."""
    uploads, clips = [Store() for _ in range(3)], [Task(map_index=at, store=Store()) for at in range(3)]

    def run(at: int, colour: str) -> None:
        image = tmp_path / f"{colour}.png"
        Image.new("RGB", (64, 36), colour).save(image)
        context: Any = {"ti": TaskInstance(task_id="upload", map_index=at), "task_state_store": uploads[at]}
        url = HappyHorseUploadImageOperator(task_id="upload", image=str(image)).execute(context)
        clips[at].run(request={"name": colour, "prompt": QUICK, "image_url": url})

    for at, colour in enumerate(["red", "green"]):
        run(at, colour)
    for clip in clips:
        clip.clear_number, clip.ti.others = 1, [other.ti for other in clips if other is not clip]
        clip.clear()
    for at, colour in enumerate(["white", "red"]):
        with pytest.raises(SubmissionStopped, match="rows have moved"):
            run(at, colour)
    run(2, "green")
    assert emulator.charged() == 3

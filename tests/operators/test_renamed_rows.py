"""Rows that got another name, or their first one, on a ledger path: what was paid for under the old one is not silently paid for again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import AmbiguousSubmission, NotAcceptedYet, SubmissionStopped
from airflow_provider_happyhorse.ledger.objects import LocalObjects, ObjectsUnavailable
from airflow_provider_happyhorse.operators.sibling_rows import Row
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Task

Tasks = Callable[..., Task]
TEAPOT = QUICK.replace("kettle", "teapot")
KEETLE, KETTLE, TEAPOTS = {"name": "keetle", "prompt": QUICK}, {"name": "kettle", "prompt": QUICK}, {"name": "teapot", "prompt": TEAPOT}


def clear(*rows: Task) -> None:
    """Clear the run."""
    for row in rows:
        row.clear()
        row.clear_number += 1


def resolve(problem: BaseException, state: str) -> None:
    """Add the step that a message asks for, as a person copies it from there."""
    message = str(problem)
    says = re.search(r'set (\{"state": "' + state + r'".*?\})', message)
    where = re.search(r"the ledger folder file://(.+?) \(.* add (\d{6}\.json)", message)
    assert says is not None, message
    assert where is not None, message
    target = Path(where[1], where[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(json.loads(says[1])))


def the_table_is(monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]) -> None:
    now = [Row(row.get("name"), row["prompt"]) for row in rows]
    monkeypatch.setattr("airflow_provider_happyhorse.operators.renamed_rows.rows_now", lambda *_, **__: now)


def test_a_renamed_row_stops_and_names_its_video_which_can_be_gone_on_with(on_path: Tasks, emulator: EmulatorProcess) -> None:
    clip = on_path(prompt=None, map_index=0)
    first = clip.run(request=KEETLE)
    clear(clip)
    with pytest.raises(SubmissionStopped, match=f"as {first['generation_id']} when its clip was called 'keetle'") as stopped:
        clip.run(request=KETTLE)
    resolve(stopped.value, "submitted")
    clear(clip)
    assert clip.run(request=KETTLE)["generation_id"] == first["generation_id"]
    assert emulator.charged() == 1


def test_it_can_be_submitted_all_the_same_and_the_old_name_brings_the_old_video(on_path: Tasks, emulator: EmulatorProcess) -> None:
    clip = on_path(prompt=None, map_index=0)
    first = clip.run(request=KEETLE)
    clear(clip)
    with pytest.raises(SubmissionStopped) as stopped:
        clip.run(request=KETTLE)
    resolve(stopped.value, "not_sent")
    clear(clip)
    assert clip.run(request=KETTLE)["generation_id"] != first["generation_id"]
    clear(clip)
    assert clip.run(request=KEETLE)["generation_id"] == first["generation_id"]
    assert emulator.charged() == 2


def test_a_row_with_another_request_is_another_clip_whatever_the_rows_were_called(on_path: Tasks, emulator: EmulatorProcess) -> None:
    clip = on_path(prompt=None, map_index=0)
    clip.run(request=KEETLE)
    clear(clip)
    clip.run(request=TEAPOTS)
    assert emulator.charged() == 2


def test_another_take_of_it_is_another_request(on_path: Tasks, emulator: EmulatorProcess) -> None:
    clip = on_path(prompt=None, map_index=0)
    clip.run(request=KEETLE)
    clear(clip)
    clip.run(request={**KETTLE, "take": 2})
    assert emulator.charged() == 2


def test_a_row_that_asks_for_what_another_row_of_the_table_has_is_paid_for(
    on_path: Tasks, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_table_is(monkeypatch, KEETLE, KETTLE)
    first, second = on_path(prompt=None, map_index=0), on_path(prompt=None, map_index=1)
    first.run(request=KEETLE)
    clear(first, second)
    assert second.run(request=KETTLE)["generation_id"] != first.run(request=KEETLE)["generation_id"]
    assert emulator.charged() == 2


def test_rows_that_are_numbered_anew_stop_for_what_another_number_has_paid_for(
    on_path: Tasks, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that count the rows go with the place, and a row on top gives each another request."""

    def numbered(*prompts: str) -> list[dict[str, Any]]:
        return [{"name": f"scene-{at}", "prompt": prompt} for at, prompt in enumerate(prompts)]

    rows = [on_path(prompt=None, map_index=at) for at in range(3)]
    paid = [row.run(request=asked)["generation_id"] for row, asked in zip(rows, numbered(QUICK, TEAPOT), strict=False)]
    clear(*rows)
    table = numbered("a new one [emulator: render_seconds=0.05]", QUICK, TEAPOT)
    the_table_is(monkeypatch, *table)
    rows[0].run(request=table[0])
    for row, asked, generation_id in zip(rows[1:], table[1:], paid, strict=True):
        with pytest.raises(SubmissionStopped, match=f"as {generation_id} .* that row asks for something else now") as stopped:
            row.run(request=asked)
        resolve(stopped.value, "submitted")
        clear(row)
        assert row.run(request=asked)["generation_id"] == generation_id
    assert emulator.charged() == 3


@pytest.mark.parametrize("name", [None, "v"], ids=["no name is known", "the names are"])
def test_one_more_of_the_same_is_paid_for(
    on_path: Tasks, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """Variants of one prompt, of which the last was not submitted the first time."""
    rows = [on_path(prompt=None, map_index=at) for at in range(3)]
    asked = [{"prompt": QUICK, **({"name": f"{name}{at}"} if name else {})} for at in range(3)]
    for row, one in list(zip(rows, asked, strict=True))[:2]:
        row.run(request=one)
    clear(*rows)
    the_table_is(monkeypatch, *asked)
    assert len({row.run(request=one)["generation_id"] for row, one in zip(rows, asked, strict=True)}) == 3
    assert emulator.charged() == 3


def test_rows_that_got_their_first_names_and_moved_at_once_are_not_paid_for_again(on_path: Tasks, emulator: EmulatorProcess) -> None:
    rows = [on_path(prompt=None, map_index=at) for at in range(3)]
    paid = [row.run(request={"prompt": prompt})["generation_id"] for row, prompt in zip(rows, (QUICK, TEAPOT), strict=False)]
    clear(*rows)
    table: list[dict[str, Any]] = [{"name": "new", "prompt": "a new one"}, KETTLE, TEAPOTS]
    for row, request in list(zip(rows, table, strict=True))[1:]:
        with pytest.raises(SubmissionStopped):
            row.run(request=request)
    with pytest.raises(SubmissionStopped, match=f"as {paid[1]} when its clip was called 'generate-1'"):
        rows[2].run(request=table[2])
    assert emulator.charged() == 2


def test_a_doubt_from_before_the_names_stops_the_row_wherever_it_is_by_now(on_path: Tasks, emulator: EmulatorProcess) -> None:
    first, second = (on_path(prompt=None, map_index=at) for at in range(2))
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", method="GET", path="/api/v1/videos", times=None)
    with pytest.raises(AmbiguousSubmission):
        first.run(request={"prompt": QUICK})
    clear(first, second)
    with pytest.raises(SubmissionStopped, match=r"may have been submitted .* when its clip was called 'generate-0'"):
        second.run(request=KETTLE)
    assert emulator.charged() == 1


def test_a_task_that_was_not_mapped_yet_has_paid_for_the_row_it_became(on_path: Tasks, emulator: EmulatorProcess) -> None:
    before = on_path(request=KETTLE, prompt=None)
    first = before.run()
    row = on_path(prompt=None, map_index=0)
    clear(row)
    with pytest.raises(SubmissionStopped, match=f"as {first['generation_id']} .* the task was not mapped"):
        row.run(request=KETTLE)
    assert emulator.charged() == 1


def test_a_row_that_gets_its_name_has_claimed_its_video_itself(on_path: Tasks, emulator: EmulatorProcess) -> None:
    clip = on_path(prompt=None, map_index=0)
    clip.run(request={"prompt": QUICK})
    clear(clip)
    clip.run(request=KETTLE)
    assert "adopted by another clip" not in clip.log.text()
    assert emulator.charged() == 1


def test_a_ledger_that_does_not_tell_lets_nothing_through(
    on_path: Tasks, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = on_path(prompt=None, map_index=0)
    clip.run(request=KEETLE)
    clear(clip)
    listed = LocalObjects.list

    def fails(self: LocalObjects, folder: str) -> list[str]:
        if folder.count("/") == 4:
            raise ObjectsUnavailable("the share is away")
        return listed(self, folder)

    monkeypatch.setattr(LocalObjects, "list", fails)
    with pytest.raises(NotAcceptedYet, match="under another name: the share is away"):
        clip.run(request=KETTLE)
    assert emulator.charged() == 1

"""Rows that move where there is no ledger path: what the other rows have paid for is not paid for under another map index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from PIL import Image

from airflow_provider_happyhorse.exceptions import AmbiguousSubmission, GenerationFailed, NotSubmitted, SubmissionStopped
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.ledger.stores import NoLedger
from airflow_provider_happyhorse.operators import HappyHorseUploadImageOperator
from airflow_provider_happyhorse.operators.moved_rows import KEY, LOOKS, PAUSE, _told, tell_other_rows
from tests.dag_runs import run_dag
from tests.emulator_process import EmulatorProcess
from tests.operators.task_instances import QUICK, Store, Task, TaskInstance

KETTLE, TEAPOT = {"prompt": QUICK, "name": "kettle"}, {"prompt": QUICK.replace("kettle", "teapot"), "name": "teapot"}
FIXED = {**TEAPOT, "prompt": QUICK.replace("kettle", "new")}

Rows = Callable[..., list[Task]]


@pytest.fixture(params=[True, False], ids=["with a state store", "without one"])
def rows(request: pytest.FixtureRequest, connect: Callable[..., str]) -> Rows:
    """Give the function that makes the task instances of a mapped task."""
    connect()

    def made(*requests: dict[str, Any], at: int = 0) -> list[Task]:
        return [
            Task(map_index=index, store=Store() if request.param else None, request=row, wait_for_completion=False)
            for index, row in enumerate(requests, start=at)
        ]

    return made


def meet(*tasks: Task) -> None:
    for one in tasks:
        one.ti.others = [other.ti for other in tasks if other is not one]


def cleared(*tasks: Task) -> None:
    for one in tasks:
        one.clear_number += 1
        if one.ti.try_number:
            one.clear()


def with_a_row_on_top(rows: Rows) -> tuple[Task, Task, Task]:
    """Pay for two rows, and return them and the one that is new at the end, cleared."""
    first, second = rows(KETTLE, TEAPOT)
    for one in (first, second):
        one.run()
    (new,) = rows(TEAPOT, at=2)
    meet(first, second, new)
    cleared(first, second, new)
    return first, second, new


class TestARowInsertedOnTop:
    """Rows kettle, teapot become fixed, kettle, teapot: the last has no record."""

    def test_the_last_row_stops_while_the_others_have_not_begun(self, rows: Rows, emulator: EmulatorProcess) -> None:
        _, second, new = with_a_row_on_top(rows)
        with pytest.raises(SubmissionStopped, match="rows have moved") as stopped:
            new.run()
        assert second.xcoms["generation_id"] in str(stopped.value)
        assert "`ledger_path`" in str(stopped.value)
        assert "`unprotected_retry`" in str(stopped.value)
        assert new.slept == []
        assert emulator.charged() == 2

    def test_the_last_row_stops_when_the_others_have_stopped_before(self, rows: Rows, emulator: EmulatorProcess) -> None:
        first, second, new = with_a_row_on_top(rows)
        for one, row in ((first, FIXED), (second, KETTLE)):
            with pytest.raises(SubmissionStopped):
                one.run(request=row)
        with pytest.raises(SubmissionStopped):
            new.run()
        assert emulator.charged() == 2

    def test_the_last_row_waits_for_rows_that_are_about_to_tell(self, rows: Rows, emulator: EmulatorProcess) -> None:
        first, second, new = with_a_row_on_top(rows)
        for one in (first, second):
            # Their tries have begun, which takes their XComs away, and have not come further.
            one.ti.xcoms = {}
        new.slept.clear()

        def meanwhile(seconds: float) -> None:
            new.slept.append(seconds)
            for one, row in ((first, FIXED), (second, KETTLE)):
                if not one.xcoms:
                    with pytest.raises(SubmissionStopped):
                        one.run(request=row)

        new._operator._sleep_before_looking = staticmethod(meanwhile)  # type: ignore[attr-defined]
        with pytest.raises(SubmissionStopped):
            new.run()
        assert new.slept == [PAUSE]
        assert emulator.charged() == 2

    def test_whose_word_lets_it_pay_pays(self, rows: Rows, emulator: EmulatorProcess) -> None:
        (first,) = rows(KETTLE)
        first.run()
        (new,) = rows(KETTLE, at=1)
        meet(first, new)
        cleared(first, new)
        with pytest.raises(SubmissionStopped):
            new.run()
        new.clear()
        new.run(pay_again_on=["unprotected_retry"])
        assert emulator.charged() == 2


@pytest.mark.usefixtures("task")
def test_the_last_row_stops_also_where_its_image_was_uploaded_again(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """An upload knows its own map index alone, so the image that has moved gets another URL: the clip's name tells it."""
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
    for at, colour in enumerate(["white", "red", "green"]):
        with pytest.raises(SubmissionStopped, match="rows have moved"):
            run(at, colour)
    assert emulator.charged() == 2


def test_a_row_in_doubt_may_be_this_one(rows: Rows, emulator: EmulatorProcess) -> None:
    (first,) = rows(KETTLE)
    emulator.fault("reset_before", method="POST")
    with pytest.raises(AmbiguousSubmission):
        first.run()
    (new,) = rows(KETTLE, at=1)
    meet(first, new)
    cleared(first, new)
    with pytest.raises(SubmissionStopped, match="may have been submitted"):
        new.run()
    assert emulator.charged() == 0


def test_a_generation_that_has_failed_keeps_nobody_from_submitting(rows: Rows, emulator: EmulatorProcess) -> None:
    (first,) = rows({**KETTLE, "prompt": f"{KETTLE['prompt']} [emulator: fail=1]"})
    with pytest.raises(GenerationFailed):
        first.run(wait_for_completion=True)
    (new,) = rows(first.arguments["request"], at=1)
    meet(first, new)
    cleared(first, new)
    new.run()
    assert emulator.charged() == 2


def test_what_else_a_failed_row_has_paid_for_is_told(rows: Rows, emulator: EmulatorProcess) -> None:
    (first,) = rows(KETTLE)
    if first.store is None or not AIRFLOW_V_3_3_PLUS:
        pytest.skip("only a record knows what was paid for before")
    first.run()
    first.clear()
    with pytest.raises(GenerationFailed):
        first.run(request={**KETTLE, "prompt": f"{KETTLE['prompt']} [emulator: fail=1]"}, wait_for_completion=True)
    (new,) = rows(KETTLE, at=1)
    meet(first, new)
    cleared(first, new)
    with pytest.raises(SubmissionStopped, match="was submitted as"):
        new.run()
    assert emulator.charged() == 2


def test_a_run_that_was_cleared_before_anything_was_paid_submits_after_looking(rows: Rows, emulator: EmulatorProcess) -> None:
    """The reader had failed: its rows are there for the first time."""
    first, second = rows(KETTLE, TEAPOT)
    meet(first, second)
    cleared(first, second)
    first.run()
    assert first.slept == [PAUSE] * (LOOKS - 1)
    second.run()
    assert emulator.charged() == 2


def test_a_row_whose_turn_has_come_does_not_hold_its_worker_slot_again(rows: Rows, emulator: EmulatorProcess) -> None:
    first, second = rows(KETTLE, TEAPOT)
    meet(first, second)
    cleared(first, second)
    first.arguments["deferrable"] = True
    emulator.fault("rate_limited", method="POST", seconds=300)
    refused = first.deferred()
    assert first.slept == [PAUSE] * (LOOKS - 1)
    first.slept.clear()
    first.build().execute_in_turn(first.context, {"status": "due", "message": "it may be sent"}, **refused.kwargs)
    assert first.slept == []
    assert emulator.charged() == 1


def test_a_row_that_died_while_it_submitted_has_told_of_it(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    """Its worker was killed in the middle of the POST, and the rows have moved before its next try began."""

    class Died(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Died

    first, second = (task(prompt=None, store=Store(), map_index=at) for at in range(2))
    meet(first, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HappyHorseHook, "send", dies)
        with pytest.raises(Died):
            first.run(request=KETTLE)
    cleared(first, second)
    with pytest.raises(SubmissionStopped, match="this very request may have been submitted under another map index"):
        second.run(request=KETTLE)
    assert emulator.charged() == 0


def test_a_row_in_doubt_tells_of_it_before_it_looks_for_its_submission(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    """That takes more than a minute, and a row that has moved looks for a quarter of one."""

    class Sleeps(list[float]):
        def append(self, seconds: float) -> None:
            told.append(first.xcoms.get(KEY))

    told: list[Any] = []
    first = task(prompt=None, store=Store(), map_index=0, slept=Sleeps())
    emulator.fault("reset_after", method="POST")
    emulator.fault("server_error", method="GET", path="/api/v1/videos", times=None)
    for _ in range(2):
        with pytest.raises(AmbiguousSubmission):
            first.run(request=KETTLE)
    assert len(told) > 2
    assert all(list(one["paid"].values()) == [""] for one in told)


def test_a_row_that_was_refused_has_told_of_nothing(task: Callable[..., Task], emulator: EmulatorProcess) -> None:
    first, second = (task(prompt=None, store=Store(), map_index=at) for at in range(2))
    meet(first, second)
    emulator.fault("unauthorized", method="POST")
    with pytest.raises(NotSubmitted):
        first.run(request=KETTLE)
    cleared(first, second)
    second.run(request=KETTLE)
    assert emulator.charged() == 1


def test_a_run_that_was_not_cleared_does_not_look(rows: Rows, emulator: EmulatorProcess) -> None:
    """Two rows may ask for the same."""
    first, second = rows(KETTLE, {**KETTLE, "name": "another"})
    meet(first, second)
    first.run()
    second.run()
    assert first.slept == second.slept == []
    assert emulator.charged() == 2


def test_with_a_ledger_path_nothing_is_told_and_nothing_looked_for(
    rows: Rows, connect: Callable[..., str], emulator: EmulatorProcess, tmp_path: Any
) -> None:
    connect(ledger_path=str(tmp_path))
    first, second = rows(KETTLE, TEAPOT)
    meet(first, second)
    cleared(first, second)
    for one in (first, second):
        one.run()
    assert first.slept == []
    assert "happyhorse_paid" not in first.xcoms
    assert emulator.charged() == 2


class Looks(BaseOperator):
    """Tells the others that it knows nothing, and counts who has told so."""

    def __init__(self, *, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context: Any) -> list[Any]:
        tell_other_rows(context, NoLedger(), None)
        return [dict(value) for value in _told(context)]


@pytest.mark.airflow
@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize("count", [1, 3])
def test_airflow_gives_the_rows_what_the_others_have_told(count: int) -> None:
    with DAG("moved_rows", schedule=None) as dag:
        Looks.partial(task_id="look").expand(number=list(range(count)))
    run = run_dag(dag)
    assert run.state == "success"
    seen = {index: run.xcom("look", map_index=index) for index in range(count)}
    # Each sees those that have told before it, in whatever order they ran, and not what it has told itself.
    assert sorted(map(len, seen.values())) == list(range(count))
    for index, others in seen.items():
        told = [{"paid": {}, "name": "", "known": False, "map_index": other["map_index"]} for other in others]
        assert others == told
        assert index not in {other["map_index"] for other in others}

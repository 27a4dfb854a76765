"""People edit what is asked for, and clear the reader and all behind it, while the clips run, wait, or have just been lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from tests.chaos.clip import ScenarioClip, Until
from tests.chaos.scenario import Scenario
from tests.chaos.service import SUBMIT
from tests.live.airflow import SCHEDULER

KETTLE = {"name": "kettle", "prompt": "A kettle. [emulator: render_seconds=600]"}
CUP = {"name": "cup", "prompt": "A cup. [emulator: render_seconds=600]"}
ON_TOP = {"name": "teapot", "prompt": "A teapot, which nobody has asked for before. [emulator: render_seconds=1]"}
FIXED = {"prompt": "A lighthouse at dawn, after all. [emulator: render_seconds=1]"}


def edited(*rows: Mapping[str, Any], deferred: bool = False, workers_lost: bool = False) -> Callable[[ScenarioClip], Iterator[Until]]:
    """Write other rows into the table and clear, as soon as everything that it held is paid for and on record.

    :param deferred: they wait in the triggerer by then; Airflow shows such a clear to the tasks, and hides that of one that runs.
    :param workers_lost: the workers have just died, which Airflow does not know yet.
    """

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.start()
        yield clip.on_record()
        if deferred:
            yield clip.deferred()
        before = {int(ti["map_index"]): int(ti["try_number"]) for ti in clip.instances()}
        if workers_lost:
            clip.airflow.kill_component(SCHEDULER)
        clip.rewrite(*rows)
        clip.clear_table()
        if workers_lost:
            clip.airflow.start_component(SCHEDULER)
        yield clip.tried_again(before)
        yield over_as_soon_as_they_have_begun(clip)

    return play


def over_as_soon_as_they_have_begun(clip: ScenarioClip) -> Until:
    """Wait for the end, and let generations end at the service meanwhile, also those that nobody has asked for."""
    over = clip.over()

    def ended() -> object:
        clip.finish()
        return over.probe()

    return Until(over.what, ended, over.timeout)


def way_out(clip: ScenarioClip) -> Iterator[Until]:
    """Lose the workers and fix the prompt, and where that ends with a stop, follow its message: submit the new one."""
    yield from edited(FIXED, workers_lost=True)(clip)
    assert clip.evidence()[0].stopped, "nothing to resolve"
    clip.records.resolve(state="not_sent")
    clip.clear()
    yield over_as_soon_as_they_have_begun(clip)


def edited_during_the_post(*rows: Mapping[str, Any]) -> Callable[[ScenarioClip], Iterator[Until]]:
    """Write other rows into the table and clear when everything that it held is paid for, and no id has come."""

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.emulator.fault("slow", **SUBMIT, seconds=4, times=len(clip.wants))  # type: ignore[arg-type]
        clip.start()
        yield Until("paid", lambda: clip.charged() == len(clip.wants))
        before = {int(ti["map_index"]): int(ti["try_number"]) for ti in clip.instances()}
        clip.rewrite(*rows)
        clip.clear_table()
        yield clip.tried_again(before)
        yield over_as_soon_as_they_have_begun(clip)

    return play


INSERTED, IN_WORKERS = (ON_TOP, KETTLE, CUP), {"rows": [KETTLE, CUP], "deferrable": False}
# With Airflow's store, rows are their map indexes, and those that have moved stop. A ledger path knows them by their names; the row on top
# has the index of one that ran, of which Airflow does not say whether it was cleared, and may stop there, too.
row_inserted = partial(Scenario, edited=True, may_stop=True, asked=3)
prompt_fixed = partial(Scenario, edited=True, render_seconds=600, asked=2, delivers=1)
LOST = "workers killed, cleared before Airflow knows"

ROW_INSERTED_WHILE_RUNNING = row_inserted("row inserted on top, cleared while running", edited(*INSERTED), task=IN_WORKERS)
PROMPT_FIXED_WHILE_RUNNING = prompt_fixed("prompt fixed, cleared while running", edited(FIXED), may_stop=True, task={"deferrable": False})
SHORT = [ROW_INSERTED_WHILE_RUNNING]
LONG = [
    row_inserted(f"row inserted on top, {LOST}", edited(*INSERTED, workers_lost=True), task=IN_WORKERS, alone=True),
    row_inserted(
        "row inserted on top, cleared while deferred", edited(*INSERTED, deferred=True), listed=True, task={"rows": [KETTLE, CUP]}
    ),
    PROMPT_FIXED_WHILE_RUNNING,
    prompt_fixed("prompt fixed, cleared during the POST", edited_during_the_post(FIXED), may_stop=True, own_emulator=True),
    prompt_fixed(f"prompt fixed, {LOST}", edited(FIXED, workers_lost=True), may_stop=True, task={"deferrable": False}, alone=True),
    prompt_fixed(f"way out by hand: prompt fixed, {LOST}", way_out, task={"deferrable": False}, alone=True),
    prompt_fixed("prompt fixed, cleared while deferred", edited(FIXED, deferred=True)),
]
#: Not played with Airflow's store: a row was paid for again there before rows told each other ahead of the POST, and it was not played
#: since (`docs/never-pay-twice.md`, *What is not promised*).
LEDGER_PATH = [
    row_inserted("row inserted on top, cleared during the POST", edited_during_the_post(*INSERTED), task=IN_WORKERS, own_emulator=True),
]

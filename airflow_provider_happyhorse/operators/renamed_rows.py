"""Clips that are paid for under another name, or another map index, of a ledger that knows clips by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_happyhorse.exceptions import NotAcceptedYet
from airflow_provider_happyhorse.ledger.decision import Stop
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable
from airflow_provider_happyhorse.ledger.record import unnamed
from airflow_provider_happyhorse.operators.sibling_rows import Row, rows_now

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.ledger.stores import Ledger


def submitted_under_another_name(
    context: Context, ledger: Ledger, *, task_id: str, clip: str, fingerprint: str, log: TaskLog
) -> Stop | None:
    """Return why a mapped clip must not be submitted: its very request was, as a clip that no row of the table is now.

    The row was renamed, or numbered anew, or has moved since it got its name. Only in a run that was cleared (``dag_run.clear_number``;
    Airflow 2.11 to 3.2 count clears of runs that had ended). Two rows that ask for the same now are two clips.

    :raises NotAcceptedYet: the ledger does not answer.
    """
    map_index = context["ti"].map_index
    if map_index is None or map_index < 0 or not getattr(context.get("dag_run"), "clear_number", 0):
        return None
    found: dict[str, list[tuple[str, int | None]]] = {}
    try:
        for record in ledger.of_the_task():
            facts = record.submitted().get(fingerprint)
            if facts is not None:
                name = record.name if record.fingerprint == fingerprint else facts.get("name")
                # A person's step does not say where it was.
                index = record.map_index if record.try_number else None
                found.setdefault(str(facts.get("generation_id") or ""), []).append((str(name or ""), index))
    except ObjectsUnavailable as problem:
        why = f"the ledger does not tell whether its request was submitted under another name: {problem}; a retry asks again"
        raise NotAcceptedYet(f"[{clip}] not submitted: {why}") from problem
    rows = rows_now(context, task_id=task_id, log=log) if found else []
    for generation_id, called in found.items():
        unmapped = any(index is not None and index < 0 for _, index in called)
        if unmapped or not any(is_a_row_of_its_own(rows, map_index, name, index, task_id=task_id) for name, index in called):
            what = f"was submitted as {generation_id}" if generation_id else "may have been submitted (nothing tells its id)"
            shown = " and ".join(repr(name) for name in sorted({name for name, _ in called if name}))
            since = "the task was not mapped" if unmapped else f"{_names(rows, called)}, or its row has moved"
            return Stop("elsewhere", f"this very request {what} when its clip was called {shown}: {since}", generation_id)
    return None


def is_a_row_of_its_own(rows: Sequence[Row], mine: int, name: str, index: int | None, *, task_id: str) -> bool:
    """Return whether a clip is another row of the table now, which asks for the same as the row ``mine``.

    :param name: of the clip; where the rows do not tell theirs, the map index does.
    :param index: the map index it was submitted under, None where that is not known.
    """
    if not 0 <= mine < len(rows):
        return False
    its = next((at for at, row in enumerate(rows) if row.name == name), None)
    if its is None and index is not None and 0 <= index < len(rows) and (rows[index].name is None or name == unnamed(task_id, index)):
        its = index
    return its is not None and its != mine and rows[its].asks == rows[mine].asks


def _names(rows: Iterable[Row], called: Iterable[tuple[str, int | None]]) -> str:
    there = {row.name for row in rows}
    if any(name in there for name, _ in called):
        return "that row asks for something else now"
    return "no row is called so now (give it that name again to go on with it)"

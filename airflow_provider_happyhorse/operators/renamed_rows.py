"""Rows that were renamed where a shared ledger knows clips by their names: a clip without a record may be paid for under another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_happyhorse.exceptions import NotAcceptedYet
from airflow_provider_happyhorse.ledger.decision import Stop
from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable
from airflow_provider_happyhorse.operators.sibling_rows import names_of_rows

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.ledger.stores import Ledger


def submitted_under_another_name(
    context: Context, ledger: Ledger, *, task_id: str, clip: str, fingerprint: str, log: TaskLog
) -> Stop | None:
    """Return why a mapped clip without a record must not be submitted: its very request was, as a clip that no row is called any more.

    Either the row was renamed, or it has moved since it got its name. Only in a run that was cleared (``dag_run.clear_number``; Airflow
    2.11 to 3.2 count clears of runs that had ended); two rows that have names of their own may ask for the same.

    :raises NotAcceptedYet: the ledger does not answer.
    """
    map_index = context["ti"].map_index
    if map_index is None or map_index < 0 or not getattr(context.get("dag_run"), "clear_number", 0):
        return None
    called: dict[str, set[str]] = {}
    unmapped = set()
    try:
        for record in ledger.of_the_task():
            facts = record.submitted().get(fingerprint)
            if facts is not None:
                generation_id = str(facts.get("generation_id") or "")
                name = record.name if record.fingerprint == fingerprint else facts.get("name")
                called.setdefault(generation_id, set()).add(str(name or ""))
                if record.map_index < 0:
                    unmapped.add(generation_id)
    except ObjectsUnavailable as problem:
        why = f"the ledger does not tell whether its request was submitted under another name: {problem}; a retry asks again"
        raise NotAcceptedYet(f"[{clip}] not submitted: {why}") from problem
    there = names_of_rows(context, task_id=task_id, log=log) if called else set()
    for generation_id, names in called.items():
        if generation_id in unmapped or not names & there:
            what = f"was submitted as {generation_id}" if generation_id else "may have been submitted (nothing tells its id)"
            shown = " and ".join(repr(name) for name in sorted(names))
            since = "the task was not mapped" if generation_id in unmapped else "it was renamed, or its row has moved"
            return Stop("elsewhere", f"this very request {what} when its clip was called {shown}, as no row is now: {since}", generation_id)
    return None

"""Rows that have moved where no ledger is shared: a mapped clip without a record of its own may be paid for under another map index.

Each row tells the others in an XCom which requests it has paid for, and as which clip. Airflow keeps that until the next try of that row
begins (2.11 to 3.3), and the next try tells it again once it has read its record, so a row that is new in a cleared run finds it in one
place or the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.ledger.decision import Stop
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.operators.renamed_rows import submitted_under_another_name
from airflow_provider_happyhorse.operators.sibling_rows import rows_now

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.ledger.stores import Ledger
    from airflow_provider_happyhorse.operators.attempt import Attempt

#: The XCom: ``{"paid": {fingerprint: generation id, "" where it is in doubt}, "name": of the clip, "known": whether that is all,
#: "map_index": of the row that tells}``.
KEY = "happyhorse_paid"
#: Times the other rows are looked at, and seconds between, for those that have begun their try and not read their record yet.
LOOKS, PAUSE = 4, 5.0


def tell_other_rows(context: Context, ledger: Ledger, record: Record | None, *, failed: bool = False) -> None:
    """Tell the other rows of a mapped task what this one has paid for; with a shared ledger they find it there.

    :param record: None for none.
    :param failed: what it has submitted has failed at the service, which is known also where no record is kept.
    """
    if not _mapped(context) or ledger.shared:
        return
    paid: dict[str, str] = {}
    if record is not None:
        paid = {mark: str(facts["generation_id"]) for mark, facts in record.paid().items()}
        if record.state in (RecordState.INTENT, RecordState.AMBIGUOUS):
            paid[record.fingerprint] = ""
    name, known = record.name if record is not None else "", failed or record is not None or not ledger.forgets
    ti = context["ti"]
    ti.xcom_push(key=KEY, value={"paid": paid, "name": name, "known": known, "map_index": ti.map_index})


def submitted_as_another(context: Context, attempt: Attempt, *, looks: int, sleep: Callable[[float], object], log: TaskLog) -> Stop | None:
    """Return why a clip must not be submitted that has no record of its request: its row has moved, or was renamed, since that was.

    :param looks: see :func:`paid_by_another_row`.
    :raises NotAcceptedYet: the ledger does not answer.
    """
    identity, ledger = attempt.identity, attempt.ledger
    if ledger.shared:
        return submitted_under_another_name(
            context, ledger, task_id=attempt.task_id, clip=identity.name, fingerprint=attempt.fingerprint, log=log
        )
    if "unprotected_retry" in attempt.pay_again_on:
        return None
    name = identity.name if identity.named and not identity.take else ""
    # Rows that ask for the same, each under a map index of its own, are two clips.
    rows = rows_now(context, task_id=attempt.task_id, log=log)
    mine = attempt.stamp.map_index
    alike = [at for at, row in enumerate(rows) if at != mine and 0 <= mine < len(rows) and row.asks == rows[mine].asks]
    return paid_by_another_row(context, fingerprint=attempt.fingerprint, name=name, alike=alike, looks=looks, sleep=sleep)


def paid_by_another_row(
    context: Context, *, fingerprint: str, name: str, alike: Collection[int], looks: int, sleep: Callable[[float], object]
) -> Stop | None:
    """Return why a clip without a record must not be submitted: another row may have paid for it, before the rows moved.

    Only in a run that was cleared (``dag_run.clear_number``; Airflow 2.11 to 3.2 count clears of runs that had ended): rows do not move
    otherwise.

    :param fingerprint: of the request.
    :param name: of the clip, ``""`` when the author gave none. Its request may be another one by now: an image that was uploaded again.
    :param alike: map indexes of rows that ask for the same now: each has its own.
    :param looks: times; a try whose turn to submit has come has looked before, and holds its worker slot no longer than it must.
    :param sleep: waits seconds.
    """
    if not _mapped(context) or not getattr(context.get("dag_run"), "clear_number", 0):
        return None
    for look in range(looks):
        if look:
            sleep(PAUSE)
        for told in _told(context):
            generation_id = told["paid"].get(fingerprint)
            if generation_id is not None and told.get("map_index") not in alike:
                submitted = f"was submitted as {generation_id}" if generation_id else "may have been submitted"
                why = f"this very request {submitted} under another map index of this run: rows have moved"
                return Stop("unprotected", f"{why} (a run that has a `ledger_path` from its beginning knows its clips by their names)")
            if name and told["paid"] and told.get("name") == name:
                ids = ", ".join(filter(None, told["paid"].values())) or "nobody knows what"
                why = f"the clip {name!r} was submitted under another map index of this run ({ids}): rows have moved"
                return Stop("unprotected", f"{why} (a run that has a `ledger_path` from its beginning knows its clips by their names)")
            if not told["known"]:
                why = "the run was cleared, and nothing keeps a record of what its rows have submitted"
                return Stop(
                    "unprotected", f"{why} (a `ledger_path` does): if rows have moved, this clip is paid for under another map index"
                )
    return None


def _told(context: Context) -> Iterator[Mapping[str, Any]]:
    pulled = context["ti"].xcom_pull(task_ids=context["ti"].task_id, key=KEY)
    # Of a single row Airflow gives the value itself.
    values = [pulled] if pulled is None or isinstance(pulled, Mapping) else list(pulled)
    # What this very row has told is of the first half of this try.
    return (value for value in values if isinstance(value, Mapping) and value.get("map_index") != context["ti"].map_index)


def _mapped(context: Context) -> bool:
    map_index = context["ti"].map_index
    return map_index is not None and map_index >= 0

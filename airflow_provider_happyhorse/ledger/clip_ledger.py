"""The ledger where there is a ``ledger_path``: the task instance's own record, and the record of the clip by its name.

A row inserted on top of a table gives every clip another map index, so a clip is known by its name (and take). A retry under another
name, say with ``take="{{ ti.try_number }}"``, is still a retry, so the task instance's own last record is kept as well, and wins then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable
from airflow_provider_happyhorse.ledger.path import LedgerConflict, PathLedger
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stamp import Stamp
from airflow_provider_happyhorse.ledger.stores import Ledger


class ClipLedger:
    """The :class:`~airflow_provider_happyhorse.ledger.stores.Ledger` of a task instance whose deployment has a ``ledger_path``.

    :param own: the record under the map index.
    :param clip: the record under the clip's name and take, None for a clip without a name.
    :param before: where records were kept before there was a ``ledger_path``; read when the path has none, so that setting it forgets
        nothing.
    :param stamp: of this try; a record of ours with another ``max_tries`` was cleared since.
    :param name: of the clip, None for none.
    :param unnamed: what the clip under this map index is called while the author gives it no name.
    :param is_a_row: whether a row of the table has a name now.
    """

    protects = True
    forgets = False
    shared = True

    def __init__(
        self,
        *,
        own: PathLedger,
        clip: PathLedger | None,
        before: Ledger,
        stamp: Stamp,
        name: str | None,
        unnamed: str,
        is_a_row: Callable[[str], bool],
    ) -> None:
        self._own, self._clip, self._before, self._stamp = own, clip, before, stamp
        self._name, self._unnamed, self._is_a_row = name, unnamed, is_a_row
        self._under_another_name = False
        self._name_is_taken = False
        self._own_decides = False
        #: What was submitted under this map index, by whatever clip; what is in doubt of it has no id.
        self._submitted_here: Mapping[str, Mapping[str, Any]] = {}

    def read(self) -> Record | None:
        """Return the record that decides about this try.

        :raises UnreadableRecord: one of them cannot be understood.
        :raises ObjectsUnavailable: the storage does not tell.
        """
        own = self._own.read()
        named = self._clip.read() if self._clip is not None else own
        self._submitted_here = own.submitted() if own is not None else {}
        self._under_another_name = self._name_is_taken = self._own_decides = False
        if self._clip is None or own is None:
            return named or self._before.read()
        # Before it had a name, the map index was all that this clip was known by.
        nameless = own.name in ("", self._unnamed)
        # Where nothing tells whether it does, the name counts, and the decision is a person's where the name has no record.
        goes_on = self._goes_on(own) and not (named is not None and own.may_be_cleared(self._stamp))
        # Nor does a clip that is another row now: rows have moved, and this is a new one, or has moved itself.
        goes_on = goes_on and (nameless or own.name == self._name or not self._is_a_row(own.name))
        if goes_on and not _same(own, named, self._clip.resolved):
            self._under_another_name, self._name_is_taken = not nameless or named is not None, named is not None
            self._own_decides = True
            return own
        if named is not None:
            return named
        # A person has let this clip through where rows had moved; what the others under this map index paid for is kept with it.
        let_through = own.try_number == 0 and own.name == self._name
        self._own_decides = nameless or let_through
        return own if self._own_decides else self._paid_before_the_path()

    def write(self, record: Record) -> None:
        """Keep the next step: first under the name, where of two tries only one can write it.

        :raises LedgerConflict: another try has written since we read.
        :raises ObjectsUnavailable: it may or may not be stored.
        """
        sends = record.state is RecordState.INTENT
        if sends and self._name_is_taken:
            raise LedgerConflict(f"the name {record.name!r} has a record of another submission by now")
        # What another clip has submitted under this map index may be on record nowhere else, if its name came later.
        others = {mark: facts for mark, facts in self._submitted_here.items() if mark != record.fingerprint}
        kept = replace(record, others={**others, **record.others})
        if self._clip is not None and (sends or not self._under_another_name):
            self._clip.write(record)
            self._under_another_name = self._own_decides = False
        try:
            self._own.write(kept)
        except LedgerConflict:
            if sends and self._clip is not None:
                # Nothing will be sent: under the name, nothing may say that something was about to be. Where that cannot be written, the
                # next try under the name stops, and says that nobody knows; it does not pay.
                with suppress(LedgerConflict, ObjectsUnavailable):
                    self._clip.write(replace(record, state=RecordState.NOT_SENT, sent={}, detail="another try is at work"))
            raise

    def where(self) -> str:
        """Return where a person finds and changes it."""
        ledger = self._own if self._clip is None or self._own_decides else self._clip
        return ledger.where()

    def claim(self, service: str, generation_id: str) -> bool:
        """Claim a generation for this clip, for good; False when another clip has it."""
        # Before its row had a name, this very clip has claimed it under its map index.
        return any(ledger.claim(service, generation_id, ledger.clip) for ledger in (self._clip, self._own) if ledger is not None)

    def of_the_task(self) -> Iterator[Record]:
        """Give the records of all clips of this task in this run.

        :raises ObjectsUnavailable: the storage does not tell.
        """
        return self._own.of_the_task()

    def _paid_before_the_path(self) -> Record | None:
        """Return what this map index paid for before there was a path; whatever else it was up to, its own records tell better."""
        earlier = self._before.read()
        if earlier is None or not (paid := earlier.paid()):
            return None
        return replace(earlier, state=RecordState.NOT_SENT, fingerprint="", name="", facts={}, detail="", sent={}, others=paid)

    def _goes_on(self, own: Record) -> bool:
        # A person's step names no try; the id in it counts until a try has gone on with it, whatever the clip is called by now.
        by_a_person = own.try_number == 0 and bool(own.generation_id)
        return by_a_person or (own.max_tries == self._stamp.max_tries and own.state is not RecordState.NOT_SENT)


def _same(own: Record, named: Record | None, resolved: Record | None) -> bool:
    """Say whether both records are about one submission: a try writes the name's first and may die before it writes its own.

    :param resolved: what a person's step under the name is about. It says neither request nor map index.
    """
    if named is None:
        return False
    if not named.fingerprint:
        named = replace(resolved, facts=named.facts) if resolved is not None else named
    if not named.fingerprint:
        return True
    one_submission = (named.map_index, named.fingerprint) == (own.map_index, own.fingerprint)
    return one_submission and own.generation_id in ("", named.generation_id)

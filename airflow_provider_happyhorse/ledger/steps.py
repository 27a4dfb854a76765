"""The steps of one record as they are in an object storage: ``000001.json``, ``000002.json``, ..., none missing and each understood."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.ledger.objects import ObjectStore
from airflow_provider_happyhorse.ledger.record import Record, UnreadableRecord

if TYPE_CHECKING:
    from airflow_provider_happyhorse.ledger.stores import Ledger

_STEP = re.compile(r"(\d{6,})\.json")


class Steps:
    """Reads the steps below one folder.

    :param folder: ends with ``/``.
    :param clip: what the objects must say that they are of, None where that is not known.
    :param before: where the record was kept before there was a ``ledger_path``, None for nowhere.
    """

    def __init__(self, *, objects: ObjectStore, folder: str, clip: Mapping[str, str] | None = None, before: Ledger | None = None) -> None:
        self._objects, self._folder, self._clip, self._before = objects, folder, clip, before

    def count(self) -> int:
        """Return the number of the highest step, 0 for none."""
        names = [key.removeprefix(self._folder) for key in self._objects.list(self._folder)]
        numbers = []
        for name in names:
            match = _STEP.fullmatch(name)
            if match is None or name != f"{int(match[1]):06d}.json":
                raise UnreadableRecord(f"{self._objects.uri}/{self._folder}{name} is no step of a record (000001.json, 000002.json, …)")
            numbers.append(int(match[1]))
        # Counting up, not a set of the whole range: somebody's 999999999999.json must not fill the memory.
        if missing := next((number for number in range(1, max(numbers, default=0)) if number not in numbers), None):
            raise UnreadableRecord(
                f"{self._objects.uri}/{self.key(missing)} is missing although later steps are there, so the record is not whole"
            )
        return len(numbers)

    def record(self, number: int) -> Record:
        """Return the record of a step.

        What a person's object leaves out is taken from the step before it: ``others``, so that nothing paid for is forgotten, and with an
        id also which clip and request it is about.

        :raises UnreadableRecord: it, or a step it builds on, is missing or cannot be understood.
        """
        key = self.key(number)
        data = self._objects.read(key)
        try:
            if data is None:
                raise UnreadableRecord("it was there a moment ago and is gone")  # noqa: TRY301  one place says which object
            stored = json.loads(data)
            record = Record.from_json(stored)
            self._check_clip(stored.get("clip"))
        except (UnreadableRecord, ValueError) as problem:
            raise UnreadableRecord(f"{self._objects.uri}/{key}: {problem}") from problem
        before = None if "others" in stored else self._step_before(number)
        if before is None:
            return record
        about = before if before.fingerprint else self.said_before(number)
        if "fingerprint" not in stored and record.generation_id and about is not None:
            # Whose id a person has found is what was in doubt, and not whatever is asked for by now.
            record = replace(
                record,
                fingerprint=about.fingerprint,
                name=about.name,
                map_index=about.map_index,
                max_tries=about.max_tries,
                clears=about.clears,
                facts={**about.facts, **record.facts},
            )
        elif "facts" not in stored:
            # One that this clip has paid for is given to another request of it; its price is known.
            paid = (before.facts, *before.others.values())
            known = next((facts for facts in paid if record.generation_id and facts.get("generation_id") == record.generation_id), {})
            record = replace(record, facts={**known, **record.facts})
        return replace(record, others={mark: facts for mark, facts in before.paid().items() if mark != record.fingerprint})

    def _step_before(self, number: int) -> Record | None:
        if number == 1:
            return self._before.read() if self._before else None
        try:
            return self.record(number - 1)
        except UnreadableRecord as problem:
            raise UnreadableRecord(
                f'{problem}. The step after it says nothing of other generations; add "others": {{}} to a new one if there are none'
            ) from problem

    def said_before(self, number: int) -> Record | None:
        """Return the last step before this one that says which request it is about, None for none that can be read."""
        steps = (self.record(before) for before in range(number - 1, 0, -1))
        with suppress(UnreadableRecord):  # what the step after it says is what counts
            return next((step for step in steps if step.fingerprint), None)
        return None

    def _check_clip(self, clip: Any) -> None:
        """Refuse another clip's record: on a file system that takes "a" and "A" for one name, two clips have one folder."""
        if isinstance(clip, Mapping) and self._clip is not None and clip != self._clip:
            raise UnreadableRecord(f"it is the record of another clip, {dict(clip)}")

    def key(self, number: int) -> str:
        """Return the key of a step's object."""
        return f"{self._folder}{number:06d}.json"

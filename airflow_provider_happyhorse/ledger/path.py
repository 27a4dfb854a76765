"""The record of one clip on an object-storage path: one immutable object per step, so that of two tries alive only one can write."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_happyhorse.ledger.objects import ObjectExists, ObjectStore, component
from airflow_provider_happyhorse.ledger.record import Record, UnreadableRecord
from airflow_provider_happyhorse.ledger.steps import Steps

if TYPE_CHECKING:
    from airflow_provider_happyhorse.ledger.stores import Ledger

_LONGEST_TAKE = 80


class LedgerConflict(Exception):
    """Another try has written since this one read: it is alive, or it came later. This one must neither submit nor write any more."""


class PathLedger:
    """The :class:`~airflow_provider_happyhorse.ledger.stores.Ledger` of one clip in one run, on a path that all workers share.

    The steps are ``<ledger_path>/ledger/<dag>/<run>/<task>/<clip>/000001.json``, ``000002.json``, …; the clip is ``<name>~<take>`` when
    the author named it, else the map index. Nothing is changed or deleted, and a gap or an object that cannot be understood is
    :class:`UnreadableRecord`, never "none". One deployment of Airflow per ``ledger_path``: run ids repeat across deployments.

    :param name: the clip's name, None when the author gave none.
    :param take: counts only with a name; without one it is in the fingerprint alone.
    :param before: where its record was kept before there was a ``ledger_path``, None for nowhere.
    :param writer: told apart from all other writers by it; random unless given.
    """

    protects = True
    forgets = False

    def __init__(
        self,
        *,
        objects: ObjectStore,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int,
        name: str | None,
        take: str,
        before: Ledger | None = None,
        writer: str | None = None,
    ) -> None:
        self._objects = objects
        self._clip = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}
        self._clip |= {"map_index": str(map_index)} if name is None else {"name": name, "take": take}
        # "~" stays in no component, so no name makes the folder of a map index or of another name and take.
        last = str(map_index) if name is None else f"{component(name)}~{take and component(take, longest=_LONGEST_TAKE)}"
        self._task = f"ledger/{component(dag_id)}/{component(run_id)}/{component(task_id)}/"
        self._folder = f"{self._task}{last}/"
        self._steps = Steps(objects=objects, folder=self._folder, clip=self._clip, before=before)
        self._writer = writer or secrets.token_hex(16)
        self._highest: int | None = None
        self._read = False
        self._resolved: Record | None = None
        #: A write has not told whether it is stored.
        self._unsure = False

    @property
    def clip(self) -> str:
        """What tells this clip from all others of this ``ledger_path``, the same in every try of it."""
        return self._folder.removeprefix("ledger/").removesuffix("/")

    def read(self) -> Record | None:
        """Return the record of the highest step, None when there is no step, and remember which it was.

        :raises UnreadableRecord: a step is missing or cannot be understood.
        :raises ObjectsUnavailable: the storage does not tell.
        """
        self._read, self._highest, self._resolved = False, None, None
        self._highest = self._steps.count()
        record = self._steps.record(self._highest) if self._highest else None
        self._resolved = self._steps.said_before(self._highest) if record and not record.fingerprint else record
        self._read = True
        return record

    @property
    def resolved(self) -> Record | None:
        """What was read, or where that is a person's step, which says of no request: the last step before it that does."""
        return self._resolved

    def of_the_task(self) -> Iterator[Record]:
        """Give the records of all clips of this task in this run, under whatever names and map indexes they are kept.

        Those that cannot be read are left out: the clip whose record it is stops for it.

        :raises ObjectsUnavailable: the storage does not tell.
        """
        # One listing for all: as many steps as there are is the highest one.
        for folder, highest in Counter(key.rpartition("/")[0] for key in self._objects.list(self._task)).items():
            with suppress(UnreadableRecord):
                yield Steps(objects=self._objects, folder=f"{folder}/").record(highest)

    def write(self, record: Record) -> None:
        """Create the object of the next step.

        May be called again after any error but :class:`LedgerConflict`: what an earlier call has stored without learning of it is
        recognised, so that an answer lost on the way does not look like another writer.

        :raises LedgerConflict: another writer has created it since we read.
        :raises ObjectsUnavailable: it may or may not be stored.
        """
        if not self._read or self._highest is None:
            raise RuntimeError("a record is written by who has read the one before it: call read() first")
        value = {**record.to_json(), "clip": self._clip, "writer": self._writer}
        data = json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        number = self._highest + 1
        self._unsure = True
        while not self._create(number, data):
            number += 1
        self._highest, self._unsure = number, False

    def where(self) -> str:
        """Return the folder, and what a person adds there to resolve a stopped clip."""
        following = "the next number" if self._highest is None or self._unsure else f"{self._highest + 1:06d}.json"
        return f"the ledger folder {self._objects.uri}/{self._folder} (change and delete nothing there; add {following} with just that)"

    def claim(self, service: str, generation_id: str, by: str) -> bool:
        """Claim a generation for one clip, for good: ``<ledger_path>/claims/<service>/<generation_id>.json``.

        :param by: the claiming clip, see :attr:`clip`; a later try of the same clip finds its claim its own.
        :return: it is ``by`` that has it.
        :raises ObjectsUnavailable: the storage does not tell.
        """
        key = f"claims/{component(service)}/{component(generation_id)}.json"
        # Neither time nor chance in it: what this very clip has claimed before, and died, is recognised by its bytes.
        value = {"format": 1, "service": service, "generation_id": generation_id, "by": by}
        data = json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        try:
            self._objects.create(key, data)
        except ObjectExists:
            return self._objects.read(key) == data
        return True

    def _create(self, number: int, data: bytes) -> bool:
        """Create a step; False when an earlier write of ours is there, whose answer was lost."""
        key = self._steps.key(number)
        try:
            self._objects.create(key, data)
        except ObjectExists as exists:
            stored = self._objects.read(key)
            if stored == data:
                return True
            if _writer(stored) != self._writer:
                raise LedgerConflict(
                    f"another try has written {self._objects.uri}/{key} since this one read the record; this one does not go on"
                ) from exists
            return False
        return True


def _writer(stored: bytes | None) -> str | None:
    """Return who wrote an object, None when it does not say (a person's) or cannot be read."""
    try:
        value = json.loads(stored or b"null")
    except ValueError:
        return None
    return value.get("writer") if isinstance(value, dict) else None

"""What was submitted and how it ended, as one immutable JSON object each, so that what a month has cost is one SQL query.

Objects are ``<ledger_path>/spend/YYYY/MM/DD/<generation_id>.submitted.json`` and ``….succeeded.json`` or ``….failed.json`` beside it. The
day is the UTC day of the **submission** for both, so that two tries that see the same end on two sides of midnight write one object, and
a month holds whole generations. ``generation_id`` is percent-encoded (:func:`~airflow_provider_happyhorse.ledger.objects.component`).

Schema 1, one flat object; keys may be added without another number, and what is not known is null:

==================  =======  ===========================================================================================
key                 type     what
==================  =======  ===========================================================================================
schema              integer  1
event               string   ``submitted`` or ``ended``
generation_id       string   the service's id
name                string   the clip's name
dag_id, run_id,     string   the task instance that wrote it
task_id
map_index           integer  -1 when not mapped
service             string   ``happy-horse.ai`` or ``happyhorse.app``
happyhorse_conn_id  string   the connection
kind                string   ``video`` or ``image``
model               string   as requested
duration            number   seconds, as requested
aspect_ratio        string   as requested
prompt              string   its first 200 characters
credits_estimated   number   by the price table, before submission
credits             number   what the service says it took; often only known at the end
state               string   ``in_progress``, ``succeeded`` or ``failed``
submitted_at        string   ISO 8601 with UTC offset
at                  string   of this event, likewise
==================  =======  ===========================================================================================

URLs in it have lost their queries and credentials. The objects hold no key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from airflow_provider_happyhorse.ledger.objects import ObjectExists, ObjectStore, component

SCHEMA = 1
LONGEST_PROMPT = 200
_FACTS = ("name", "service", "happyhorse_conn_id", "kind", "model", "duration", "aspect_ratio", "credits_estimated", "credits", "state")
_KEY = re.compile(r"spend/(\d{4})/(\d{2})/(\d{2})/[^/]+\.json")


class UnreadableSpend(Exception):
    """An object of the spend log cannot be understood; a sum without it would be wrong."""


class SpendLog:
    """Writes what one task instance has spent.

    A failure to write is raised (``ObjectsUnavailable``, ``UnreadableSpend``, ``ValueError``): a log that is not whole must be said, and a
    task that has paid must not end because of it; both are the caller's.
    """

    def __init__(self, *, objects: ObjectStore, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        self._objects = objects
        self._task = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}

    def submitted(self, facts: Mapping[str, Any], *, prompt: str = "") -> bool:
        """Write that a generation was submitted, at its ``submitted_at``. Writing it again, from any try, does nothing.

        :param facts: the flat result; ``generation_id`` and ``submitted_at`` must be known.
        :return: this call has written it.
        """
        return self._write("submitted", "submitted", {**facts, "state": "in_progress"}, at=str(facts["submitted_at"]), prompt=prompt)

    def ended(self, facts: Mapping[str, Any], *, at: str, prompt: str = "") -> bool:
        """Write that a generation has ended. Writing it again, from any try and at any time, does nothing.

        :param facts: the flat result; ``generation_id`` must be known, ``state`` is ``succeeded`` or ``failed``. Without ``submitted_at``
            (a person gave only the id) the day is that of ``at``.
        :param at: ISO 8601 time with UTC offset.
        :return: this call has written it.
        """
        if facts.get("state") not in ("succeeded", "failed"):
            raise ValueError(f"a generation in state {facts.get('state')!r} has not ended")
        return self._write("ended", facts["state"], facts, at=at, prompt=prompt)

    def _write(self, event: str, suffix: str, facts: Mapping[str, Any], *, at: str, prompt: str) -> bool:
        generation_id = str(facts.get("generation_id") or "")
        if not generation_id:
            raise ValueError("the spend log is about generations, and there is no generation_id")
        submitted_at = str(facts.get("submitted_at") or at)
        day = _utc(submitted_at).strftime("%Y/%m/%d")
        value = {"schema": SCHEMA, "event": event, "generation_id": generation_id, **self._task}
        value |= {key: _plain(facts.get(key)) for key in _FACTS}
        value |= {"prompt": _plain(prompt)[:LONGEST_PROMPT], "submitted_at": submitted_at, "at": _utc(at).isoformat()}
        key = f"spend/{day}/{component(generation_id)}.{suffix}.json"
        try:
            self._objects.create(key, json.dumps(value, indent=1).encode() + b"\n")
        except ObjectExists:
            there = _read(self._objects, key)
            if (there["generation_id"], there.get("service")) != (generation_id, value["service"]):
                raise UnreadableSpend(
                    f"{self._objects.uri}/{key} is about {there['generation_id']} of {there.get('service')}; that of {value['service']} "
                    "cannot be written under the same name"
                ) from None
            return False
        return True


def read_spend(objects: ObjectStore, since: date, until: date) -> Iterator[dict[str, Any]]:
    """Yield the spend log's objects of the generations submitted from ``since`` up to but without ``until`` (UTC days), in order of day.

    :raises UnreadableSpend: an object cannot be understood.
    :raises ObjectsUnavailable: the storage does not tell.
    """
    month = since.replace(day=1)
    while month < until:
        for key in objects.list(f"spend/{month:%Y/%m}/"):
            match = _KEY.fullmatch(key)
            if match is None:
                raise UnreadableSpend(f"{objects.uri}/{key} is no object of the spend log")
            if since <= date(int(match[1]), int(match[2]), int(match[3])) < until:
                yield _read(objects, key)
        month = (month.replace(year=month.year + 1, month=1)) if month.month == 12 else month.replace(month=month.month + 1)


def _read(objects: ObjectStore, key: str) -> dict[str, Any]:
    data = objects.read(key)
    try:
        value = json.loads(data or b"")
    except ValueError as problem:
        raise UnreadableSpend(f"{objects.uri}/{key} is not JSON: {problem}") from problem
    if not isinstance(value, dict) or value.get("schema") != SCHEMA or not value.get("generation_id"):
        raise UnreadableSpend(f"{objects.uri}/{key} is not of schema {SCHEMA}")
    return value


_URL_CREDENTIALS = re.compile(r"(https?://)[^\s/@]*@", re.IGNORECASE)
_URL_QUERY = re.compile(r"(https?://[^\s?#]*)[?#]\S*", re.IGNORECASE)


def _plain(value: Any) -> Any:
    """Return a value without what may be a secret: the query and the credentials of URLs, wherever in a text they are."""
    if not isinstance(value, str):
        return value
    return _URL_QUERY.sub(r"\1", _URL_CREDENTIALS.sub(r"\1", value))


def _utc(written: str) -> datetime:
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError(f"{written!r} has no UTC offset")
    return moment.astimezone(UTC)

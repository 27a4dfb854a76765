"""The record of a task instance's submission, as a value and as the JSON that is stored."""

from __future__ import annotations

import enum
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from airflow_provider_happyhorse.ledger.stamp import Stamp

FORMAT = 1
FINGERPRINT_VERSION = "v1"
#: The vendors' fields that hold the URL of an image.
MEDIA_FIELDS = frozenset({"image_url", "image_urls", "images", "element_input_urls"})
#: What presigned URLs of S3, CloudFront, Google and Azure carry; elsewhere a query may say which thing is meant.
_SIGNATURE = re.compile(
    r"(?:x-amz-|x-goog-|awsaccesskeyid=|googleaccessid=|signature=|expires=|policy=|key-pair-id=|sig=|se=|st=|sp=|sv=|sr=|spr=|ske=|skt=|sks=|skv=|skoid=|sktid=)",
    re.IGNORECASE,
)


class RecordState(enum.StrEnum):
    """How far a submission has come."""

    NOT_SENT = "not_sent"
    """The last POST was provably not accepted."""
    INTENT = "intent"
    """A POST was about to be sent; without a later record nobody knows what became of it."""
    AMBIGUOUS = "ambiguous"
    """The POST may have been accepted."""
    SUBMITTED = "submitted"
    """The service gave an id; it is paid for."""
    DELIVERED = "delivered"
    """The task has handed the result on."""
    FAILED = "failed"
    """The service ended the generation as failed."""


class UnreadableRecord(Exception):
    """There is a record and it cannot be understood. Not the same as none: the caller must stop."""


@dataclass(frozen=True)
class Record:
    """What is known of a task instance's submission.

    :param state: how far it has come.
    :param fingerprint: of the request and take it is about, see :func:`fingerprint`.
    :param name: the clip's name.
    :param map_index: of the task instance that wrote it, -1 when not mapped.
    :param try_number: of the try that wrote it.
    :param max_tries: ``ti.max_tries`` when it was written. A clear raises it and a retry does not, so another value now is
        evidence of a clear (``clear_task_instances``, Airflow 2.11 to 3.3).
    :param clears: of the run when it was written, -1 where it was not known.
    :param at: ISO 8601 time of this step.
    :param facts: the flat result of the generation; before there is one, what is known of it without an id.
    :param detail: what is known of an ambiguity, a refusal or a failure.
    :param sent: when a submission of unknown fate was sent: ``opened`` and ``closed`` (Unix seconds; the intent was written, its failure
        was seen, absent when nobody saw it) and ``request_timeout`` (seconds).
    :param others: facts of the generations this task instance submitted for other requests, by fingerprint; without an id where it is
        in doubt.
    """

    state: RecordState
    fingerprint: str
    name: str
    map_index: int
    try_number: int
    max_tries: int
    at: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    sent: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    clears: int = -1

    @property
    def generation_id(self) -> str:
        """The service's id, ``""`` before there is one."""
        return str(self.facts.get("generation_id") or "")

    def may_be_cleared(self, now: Stamp) -> bool:
        """Say whether a clear may hide behind an unchanged ``max_tries``: the run was cleared since.

        A task with fewer retries than it had gets the ``max_tries`` that it has. One that is cleared while it runs keeps them, unless
        Airflow comes to see its process end well (``clear_task_instances`` makes it RESTARTING, Airflow 2.11 to 3.3).
        """
        return self.max_tries == now.max_tries and 0 <= self.clears < now.clears

    def step(self, state: RecordState, *, at: str, **changes: Any) -> Record:
        """Return the record of the next step."""
        return replace(self, state=state, at=at, **changes)

    def paid(self) -> dict[str, Mapping[str, Any]]:
        """Return the generations that were paid for and may still be handed on, by fingerprint: this one and ``others``.

        Not one that failed at the service: to attach to it would fail again, where a clear is a decision to submit anew.
        """
        kept = {key: facts for key, facts in self.others.items() if facts.get("generation_id") and facts.get("state") != "failed"}
        # One that is not sent and has an id is a person's edit, by which another request is let through; the id is still that of this one.
        if self.state in (RecordState.SUBMITTED, RecordState.DELIVERED, RecordState.NOT_SENT) and self.fingerprint and self.generation_id:
            kept[self.fingerprint] = self.facts
        return kept

    def submitted(self) -> dict[str, Mapping[str, Any]]:
        """Return what was, or may have been, submitted and is no failed one, by fingerprint; what is in doubt has no ``generation_id``."""
        doubts = {key: facts for key, facts in self.others.items() if not facts.get("generation_id")}
        if self.state in (RecordState.INTENT, RecordState.AMBIGUOUS) and self.fingerprint:
            doubts[self.fingerprint] = {"name": self.name, **self.facts}
        return {**doubts, **self.paid()}

    def about(self, facts: Mapping[str, Any], mark: str) -> Record:
        """Return the record about a generation that this task instance has submitted: the one it is about already, or one of ``others``."""
        if facts.get("generation_id") == self.generation_id:
            # A person's step may not say which request it is about: it is for the one that went on with it.
            return replace(self, facts=facts, fingerprint=self.fingerprint or mark)
        others = {key: value for key, value in self.paid().items() if key != mark}
        return replace(self, facts=facts, fingerprint=mark, others=others)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that is stored."""
        return {
            "format": FORMAT,
            "state": self.state.value,
            "fingerprint": self.fingerprint,
            "name": self.name,
            "map_index": self.map_index,
            "try_number": self.try_number,
            "max_tries": self.max_tries,
            "clears": self.clears,
            "at": self.at,
            "facts": dict(self.facts),
            "detail": self.detail,
            **({"sent": dict(self.sent)} if self.sent else {}),
            "others": {key: dict(value) for key, value in self.others.items()},
        }

    @classmethod
    def from_json(cls, stored: Any) -> Record:
        """Return the record in a stored value; a person may have edited it, so only what cannot be guessed is required.

        :raises UnreadableRecord: when it is no record, or of a later format than this version knows.
        """
        if isinstance(stored, str):
            try:
                stored = json.loads(stored)
            except ValueError as problem:
                raise UnreadableRecord(f"the record is not JSON: {problem}") from problem
        if not isinstance(stored, Mapping):
            raise UnreadableRecord(f"the record is a {type(stored).__name__}, not an object")
        if stored.get("format", FORMAT) != FORMAT:
            raise UnreadableRecord(f"the record has format {stored['format']!r}; this version of the provider reads {FORMAT}")
        try:
            record = cls(
                state=RecordState(stored["state"]),
                fingerprint=str(stored.get("fingerprint", "")),
                name=str(stored.get("name", "")),
                map_index=int(stored.get("map_index", -1)),
                try_number=int(stored.get("try_number", 0)),
                max_tries=int(stored.get("max_tries", -1)),
                at=str(stored.get("at", "")),
                facts=_facts(stored),
                detail=str(stored.get("detail", "")),
                sent=dict(stored.get("sent") or {}),
                clears=int(stored.get("clears", -1)),
                others={str(key): dict(value) for key, value in dict(stored.get("others") or {}).items()},
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise UnreadableRecord(f"the record cannot be read: {type(problem).__name__}: {problem}") from problem
        if record.state in (RecordState.SUBMITTED, RecordState.DELIVERED, RecordState.FAILED) and not record.generation_id:
            raise UnreadableRecord(f"the record says {record.state} and holds no generation_id")
        return record


def _facts(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the generation's facts; an id that a person wrote beside the state counts."""
    facts = dict(stored.get("facts") or {})
    if stored.get("generation_id"):
        facts["generation_id"] = str(stored["generation_id"]).strip()
    return facts


def unnamed(task_id: str, map_index: int) -> str:
    """Return what a clip is called to which the author gives no name."""
    return f"{task_id}-{map_index}" if map_index >= 0 else task_id


def fingerprint(*, kind: str, service: str, base_url: str, take: str, request: Mapping[str, Any]) -> str:
    """Return what makes two requests the same: service, base URL, take, and every field that is given, however its text is spelled.

    The query of a media URL does not count: a presigned URL changes at every rendering and leads to the same image. The key never counts.

    :param request: the given fields as JSON values.
    """
    same = {"kind": kind, "service": service, "base_url": spelled(base_url), "take": take, "request": _stable(dict(request))}
    canonical = json.dumps(same, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"{FINGERPRINT_VERSION}:{hashlib.sha256(canonical.encode()).hexdigest()}"


def spelled(base_url: str) -> str:
    """Return a URL as all spellings of it are: scheme and host in small letters, no port that goes without saying, no slash at the end."""
    parts = urlsplit(base_url)
    scheme, host = parts.scheme.lower(), parts.netloc.lower().removesuffix({"https": ":443", "http": ":80"}.get(parts.scheme.lower(), ":"))
    return urlunsplit((scheme, host, parts.path.rstrip("/"), parts.query, ""))


def _stable(value: Any, key: str = "") -> Any:
    """Return a value as all that ask for the same thing are.

    Of a URL without what changes at every rendering and leads to the same image: signatures, and of media the whole query. Text as NFC,
    with one kind of line break and without white space at its ends, which editors, tables and file systems change unasked.
    """
    if isinstance(value, Mapping):
        return {name: _stable(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_stable(item, key) for item in value]
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n").strip()
    if key in ("prompt", "description") or not text.startswith(("https://", "http://")):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    query = "" if key in MEDIA_FIELDS else "&".join(part for part in parts.query.split("&") if not _SIGNATURE.match(part))
    return urlunsplit(parts._replace(query=query, fragment=""))

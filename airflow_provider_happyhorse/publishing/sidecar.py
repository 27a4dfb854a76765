"""Pure: the JSON document beside every published result. It is written last, so where it stands, the result is whole.

Schema 1 (``sidecar.schema.json`` beside this module), all keys always present, null where nobody knows::

    {
      "schema": 1,
      "generation_id": "n92abc", "name": "shoe-01", "service": "happy-horse.ai", "kind": "video",
      "dag_id": "teaser", "run_id": "manual__...", "task_id": "publish", "map_index": -1,
      "request": {...},              the vendor's fields; URLs without their queries
      "request_from": "submission",  who says so: the submission itself, or the "service", whose answer echoed it; null without a request
      "model": ..., "duration": ..., "aspect_ratio": ...,      as asked for
      "credits": 200, "credits_estimated": 200,
      "files": [                     one per result, in the service's order; names are relative to the sidecar
        {"file": "shoe-01--n92abc.mp4", "bytes": 1948213, "sha256": "12ab...", "content_type": "video/mp4",
         "seconds": 5.04, "width": 1280, "height": 720,
         "poster": "shoe-01--n92abc.poster.jpg", "preview": "shoe-01--n92abc.preview.webp"}      null without previews
      ],
      "bytes": ..., "sha256": ..., "content_type": ..., "seconds": ..., "width": ..., "height": ...,      of the first file
      "poster": ..., "preview": ...,
      "submitted_at": ..., "completed_at": ..., "published_at": ...,      ISO 8601
      "ai_generated": true           for disclosure duties such as Article 50 of the EU AI Act
    }

It never holds an API key, and no URL in it keeps a query, which is where signatures live. Keys may be added within schema 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_happyhorse.publishing.layout import Where

SCHEMA = 1
#: No sidecar of ours is larger: prompts have 2500 characters. What is, is not one, and is not read whole.
LONGEST = 1 << 20

#: Taken over from the generation's result as they are.
_CARRIED = ("kind", "model", "duration", "aspect_ratio", "credits", "credits_estimated", "submitted_at", "completed_at")
_FACTS = ("bytes", "sha256", "content_type", "seconds", "width", "height")
_PICTURES = ("poster", "preview")
#: Of the facts that a result is made of.
_KINDS = {"bytes": int, "sha256": str, "content_type": str, "seconds": int | float | None, "width": int, "height": int}


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One published object: its name beside the sidecar, size in bytes, SHA-256 in hexadecimal, and what its content says.

    :param poster: name of the picture of it beside the sidecar, None without one; ``preview`` is the same for the moving one.
    """

    file: str
    bytes: int
    sha256: str
    content_type: str
    seconds: float | None
    width: int
    height: int
    poster: str | None = None
    preview: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """A sidecar as it was read: whose it is, its files, and all of it."""

    generation_id: str
    service: str | None
    files: tuple[PublishedFile, ...]
    document: Mapping[str, Any]

    def describes(self, generation: Mapping[str, Any]) -> bool:
        """Return whether it belongs to this generation; an unknown service matches any."""
        services = {self.service, generation.get("service")} - {None, ""}
        return self.generation_id == generation["generation_id"] and len(services) < 2

    def tells_of(self, files: Sequence[PublishedFile]) -> bool:
        """Return whether it lists these files, and names all their pictures; it may name more."""
        named = [
            replace(mine, poster=mine.poster or theirs.poster, preview=mine.preview or theirs.preview)
            for mine, theirs in zip(files, self.files, strict=False)
        ]
        return len(files) == len(self.files) and tuple(named) == self.files


class NotASidecar(Exception):
    """The object has a sidecar's name and is none of ours; the text says why."""


def new_sidecar(generation: Mapping[str, Any], files: Sequence[PublishedFile], *, where: Where, published_at: str) -> dict[str, Any]:
    """Return the document.

    :param generation: the flat result of the generate operator; ``request`` in it is taken over without the queries of its URLs, and
        ``request_from`` says who told it, the submission when it is not there.
    :param files: at least one.
    """
    first = asdict(files[0])
    request = generation.get("request")
    known = isinstance(request, Mapping) and bool(request)
    document = {
        "schema": SCHEMA,
        "generation_id": generation["generation_id"],
        "name": generation.get("name"),
        "service": generation.get("service"),
        **asdict(where),
        "request": _without_queries(request) if known else None,
        "request_from": generation.get("request_from", "submission") if known else None,
        **{key: generation.get(key) for key in _CARRIED},
        "files": [asdict(file) for file in files],
        **{key: first[key] for key in (*_FACTS, *_PICTURES)},
        "published_at": published_at,
        "ai_generated": True,
    }
    return {key: _plain(value) for key, value in document.items()}


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return the document as it is stored: UTF-8, indented for people."""
    return (json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8", "replace")


def read_sidecar(stored: bytes) -> Sidecar:
    """Return a stored sidecar.

    :raises NotASidecar: it is not JSON, not of schema 1, or lacks what publishing relies on.
    """
    if len(stored) > LONGEST:
        raise NotASidecar(f"it has more than {LONGEST} bytes")
    try:
        document = json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise NotASidecar(f"it is not JSON ({error})") from None
    if not isinstance(document, dict) or "schema" not in document or "generation_id" not in document:
        raise NotASidecar("it is JSON of another kind")
    if not isinstance(document.get("service"), str | None):
        raise NotASidecar(f"its service is {document['service']!r}")
    if document["schema"] != SCHEMA:
        raise NotASidecar(f"its schema is {document['schema']!r}, this version knows {SCHEMA}")
    try:
        files = tuple(_file(entry) for entry in document["files"])
    except (KeyError, TypeError, AttributeError) as error:
        raise NotASidecar(f"its list of files cannot be read ({error!r})") from None
    if not files:
        raise NotASidecar("it lists no files")
    return Sidecar(generation_id=str(document["generation_id"]), service=document.get("service"), files=files, document=document)


def _file(entry: Mapping[str, Any]) -> PublishedFile:
    if not isinstance(entry["file"], str) or "/" in entry["file"]:
        raise TypeError(entry["file"])
    for key, kinds in _KINDS.items():
        if not isinstance(entry[key], kinds):
            raise TypeError(f"{key}: {entry[key]!r}")
    pictures: dict[str, Any] = {key: entry.get(key) for key in _PICTURES}  # a sidecar may be older than these keys
    if any(name is not None and (not isinstance(name, str) or "/" in name) for name in pictures.values()):
        raise TypeError(pictures)
    return PublishedFile(file=entry["file"], **{key: entry[key] for key in _FACTS}, **pictures)


def _without_queries(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_queries(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_queries(inner) for inner in value]
    if isinstance(value, str) and value.strip().lower().startswith(("http://", "https://")):
        try:
            parts = urlsplit(value.strip())
        except ValueError:
            return None  # not readable as a URL, so nobody can say where its signature ends
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return value


def _plain(value: Any) -> Any:
    """Return a value that JSON has; NaN, which a table may hold, is none."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)

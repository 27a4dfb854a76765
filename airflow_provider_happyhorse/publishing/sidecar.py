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
         "seconds": 5.04, "width": 1280, "height": 720}
      ],
      "bytes": ..., "sha256": ..., "content_type": ..., "seconds": ..., "width": ..., "height": ...,      of the first file
      "submitted_at": ..., "completed_at": ..., "published_at": ...,      ISO 8601
      "ai_generated": true           for disclosure duties such as Article 50 of the EU AI Act
    }

It never holds an API key, and no URL in it keeps a query, which is where signatures live. Keys may be added within schema 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One published object: its name beside the sidecar, size in bytes, SHA-256 in hexadecimal, and what its content says."""

    file: str
    bytes: int
    sha256: str
    content_type: str
    seconds: float | None
    width: int
    height: int


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
        **{key: first[key] for key in _FACTS},
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
    if not isinstance(entry["file"], str) or "/" in entry["file"] or not isinstance(entry["bytes"], int):
        raise TypeError(entry["file"])
    return PublishedFile(file=entry["file"], **{key: entry[key] for key in _FACTS})


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

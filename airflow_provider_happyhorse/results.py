"""The flat result that travels between tasks: XCom return value, XCom ``happyhorse``, trigger event, ledger. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.api.generation import Generation, GenerationState, Kind

if TYPE_CHECKING:
    from airflow_provider_happyhorse.polling.wait import Ended

#: XCom key under which the result is kept up to date from submission on, also when the task fails.
XCOM_KEY = "happyhorse"
#: The request travels with the result to where it is published, and into no XCom: a prompt may have 2500 characters.
REQUEST_KEY = "request"
#: Signed URLs can be long, and an XCom is a database row; a publishing task asks the service again for what was dropped.
LONGEST_URLS = 700
#: Bytes of what a task hands on and of an asset event's facts, as the JSON of ASCII letters that Airflow makes of it.
LARGEST = 2000
#: Characters of a name that are left where it has to be shortened.
SHORTEST_NAME = 32
#: Keys that only what a generate task, sensor or decorated task returns has together, and only what a publishing task returns.
_MARKS = (frozenset({"state", "reused", "submitted_at"}), frozenset({"already_there", "published_at"}))
#: Keys of either beside the id that every try tells anew: how far it has come, what it cost, how it is called and where it is.
_BESIDE_THE_ID = frozenset(
    {"name", "kind", "service", "happyhorse_conn_id", "state", "result_urls", "credits", "credits_estimated"}
    | {"submitted_at", "completed_at", "reused", "uri", "sidecar_uri", "uris", "results", "poster_uri", "preview_uri"}
    | {"bytes", "sha256", "content_type", "seconds", "width", "height", "published_at", "already_there"}
)
#: What a template makes of an XCom that is not there.
_NOTHING = frozenset({"None", "null", "nan", "NaN"})


def new_result(*, name: str, kind: str, service: str, happyhorse_conn_id: str, **known: Any) -> dict[str, Any]:
    """Return a result of which only ``known`` is known yet. Every result has all of its keys."""
    result: dict[str, Any] = {
        "generation_id": None,
        "name": name,
        "kind": kind,
        "service": service,
        "happyhorse_conn_id": happyhorse_conn_id,
        "state": GenerationState.IN_PROGRESS.value,
        "result_urls": [],
        "credits": None,
        "credits_estimated": None,
        "model": None,
        "duration": None,
        "aspect_ratio": None,
        "submitted_at": None,
        "completed_at": None,
        "reused": False,
        "uri": None,
        "sidecar_uri": None,
    }
    return {**result, **known}


def public(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result as other tasks see it: without its request, and small."""
    return fitted({key: value for key, value in known.items() if key != REQUEST_KEY})


def fitted(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result that takes at most ``LARGEST`` bytes as JSON, if its URI lets it; shortened where it can be missed.

    In turn, as far as needed: ``result_urls`` become none (a publishing task asks the service), ``uris`` the first ones that fit,
    maybe none (``results`` counts them all, and the sidecar names them), the URIs of pictures None, ``name`` its first characters, and
    ``sidecar_uri`` None, which follows from ``uri``. That stays whole, however long the author's destination makes it: it leads to the
    video and to everything else.
    """
    small = dict(result)
    if _excess(small) > 0 and small.get("result_urls"):
        small["result_urls"] = []
    while _excess(small) > 0 and small.get("uris"):
        small["uris"] = small["uris"][:-1]
    for key in ("poster_uri", "preview_uri"):
        if _excess(small) > 0 and small.get(key):
            small[key] = None
    while _excess(small) > 0 and len(str(small.get("name") or "")) > SHORTEST_NAME:
        small["name"] = f"{str(small['name'])[:-2]}…"
    if _excess(small) > 0 and small.get("sidecar_uri"):
        small["sidecar_uri"] = None
    return small


def _excess(result: Mapping[str, Any]) -> int:
    return len(json.dumps(result, default=str)) - LARGEST


def with_generation(known: Mapping[str, Any], generation: Generation, *, seen_at: str) -> dict[str, Any]:
    """Return the result with what the service now says.

    :param seen_at: ISO 8601 time of the answer; neither service tells when a generation ended.
    """
    result = {**known, "generation_id": generation.generation_id, "state": generation.state.value}
    result["result_urls"] = list(generation.result_urls) if sum(map(len, generation.result_urls)) <= LONGEST_URLS else []
    if generation.credits is not None:
        result["credits"] = whole(generation.credits)
    if generation.state.ended:
        result["completed_at"] = known.get("completed_at") or seen_at
    return result


def identified(given: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a result of a generate or publishing task as what it is about.

    That is its ``generation_id``, ``model``, ``duration`` and ``aspect_ratio``, and what an author has added to it.

    Every try tells the rest anew (``reused``, ``already_there``, times, credits, signed URLs), and another destination or name makes no
    other video of it. Any other mapping, also a result without an id, comes back as it is.
    """
    if not given.get("generation_id") or not any(marks <= given.keys() for marks in _MARKS):
        return given
    return {key: value for key, value in given.items() if key not in _BESIDE_THE_ID}


@dataclass(frozen=True)
class Reference:
    """Which generation a task is about.

    :param generation_id: the service's id.
    :param happyhorse_conn_id: the connection it was made with, ``""`` when only the id is known.
    :param known: the result of the step before, or what can be said without it.
    """

    generation_id: str
    happyhorse_conn_id: str
    known: Mapping[str, Any]


def read_reference(generation: Any) -> Reference:
    """Return what ``generation=`` refers to: an id, or the whole result of the step before.

    :raises ValueError: with a sentence, when it is neither.
    """
    if isinstance(generation, str) and (generation_id := generation.strip()):
        if generation_id in _NOTHING:
            raise ValueError(f"`generation` was rendered to {generation_id!r}: the task before has returned nothing, or was skipped")
        if generation_id[0] in "{[(<":
            raise ValueError(
                f"`generation` is the text of something ({generation_id[:40]!r}...) and not an id: pass the task's `.output`, or, in a "
                "template, its ['generation_id'] alone"
            )
        return Reference(generation_id, "", {})
    if isinstance(generation, Mapping):
        generation_id = str(generation.get("generation_id") or "").strip()
        if not generation_id:
            if "state" in generation:
                raise ValueError(f"`generation` is a result without a generation_id (state {generation['state']!r}): nothing was submitted")
            keys = ", ".join(map(str, list(generation)[:5])) or "nothing"
            raise ValueError(f"`generation` is a mapping without generation_id (it has {keys}): pass the whole result of the task before")
        return Reference(generation_id, str(generation.get("happyhorse_conn_id") or ""), dict(generation))
    raise ValueError(
        f"`generation` must be a generation's id or the whole result of the task before, not {type(generation).__name__}; "
        "did that task succeed, and is `.output` of it passed?"
    )


def event_of(ended: Ended, *, known: Mapping[str, Any], generation_id: str, seen_at: str) -> dict[str, Any]:
    """Return the event of a wait that is over, which the trigger fires and a wait in the worker returns.

    :param known: the result so far, which the event completes.
    :param seen_at: ISO 8601 time of the last answer.
    """
    result: dict[str, Any] = {**known, "generation_id": generation_id}
    if ended.generation is not None:
        result = with_generation(result, ended.generation, seen_at=seen_at)
    return {"status": ended.ending, "generation_id": generation_id, "message": ended.message, "result": result}


def kind_of(known: Mapping[str, Any]) -> Kind:
    """Return what a result is of; a video where nobody has said."""
    return "image" if known.get("kind") == "image" else "video"


def money(known: Mapping[str, Any]) -> str:
    """Return what a generation cost, as far as anyone knows: ``200 credits (happyhorse.app)``."""
    service = known.get("service") or "unknown service"
    if known.get("credits") is not None:
        return f"{whole(known['credits'])} credits ({service})"
    if known.get("credits_estimated") is not None:
        return f"about {known['credits_estimated']} credits ({service}, estimated)"
    return f"an unknown number of credits ({service})"


def whole(credits_taken: float) -> float:
    """Return credits without a fraction that is none, as tables and people write them."""
    return int(credits_taken) if float(credits_taken).is_integer() else credits_taken

"""What the OpenAPI document says about requests that are read by hand and answers that are written by hand.

It describes what the emulator does, refusals included, so that tools which test a server by its document (Schemathesis) can be let loose on
it. The routes check and answer without it: the vendors' wording of a refusal is not FastAPI's.
"""

from __future__ import annotations

from typing import Any

from fastapi import Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from .refusals import RefusalKind
from .wire_formats import Json, WireFormat

# For the document alone (and the "Authorize" button of /docs): the front door reads the header itself and refuses in the vendor's words.
API_KEY = Security(HTTPBearer(scheme_name="API key", description="An account's key, sk-sd_emulator for example.", auto_error=False))

_ANY_TIME: tuple[RefusalKind, ...] = ("unauthorized", "rate_limited", "internal", "upstream")
_COUNTED: frozenset[int] = frozenset({200, 400, 402, 403, 404, 429})
_RATE_LIMIT_HEADERS: Json = {
    "X-RateLimit-Limit": {"description": "Requests per window", "required": True, "schema": {"type": "integer", "minimum": 1}},
    "X-RateLimit-Remaining": {"description": "Requests left in it", "required": True, "schema": {"type": "integer", "minimum": 0}},
    "X-RateLimit-Reset": {"description": "Unix time at which it resets", "required": True, "schema": {"type": "integer"}},
}


def answers(wire: WireFormat, model: type[BaseModel], *refusals: RefusalKind) -> dict[int | str, dict[str, Any]]:
    """Describe everything an endpoint of a service answers.

    :param model: the whole body of a success
    :param refusals: what else it may refuse, besides a wrong key, the rate limit and (as a fault) failures of the server
    """
    codes: dict[int, list[str]] = {}
    for kind in (*_ANY_TIME, *refusals):
        status, names = wire.refusal_codes(kind)
        codes.setdefault(status, []).extend(name for name in names if name not in codes.get(status, []))
    described: dict[int | str, dict[str, Any]] = {200: {"model": model, "description": "Done"}}
    for status, possible in sorted(codes.items()):
        content = {"application/json": {"schema": wire.refusal_schema(possible)}}
        described[status] = {"description": ", ".join(possible) + (" (as a fault only)" if status >= 500 else ""), "content": content}
    if wire.announces_rate_limit:
        for counted in _COUNTED & described.keys():
            described[counted]["headers"] = _RATE_LIMIT_HEADERS
    return described


def json_body(model: type[BaseModel]) -> Json:
    """Describe a JSON body."""
    return _body("application/json", _inlined(model.model_json_schema()))


def file_body(field: str) -> Json:
    """Describe a multipart body of one file."""
    properties = {field: {"type": "string", "format": "binary"}}
    return _body("multipart/form-data", {"type": "object", "properties": properties, "required": [field], "additionalProperties": False})


def query(model: type[BaseModel]) -> Json:
    """Describe the parameters of a query string."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    parameters = [{"name": name, "in": "query", "required": name in required, "schema": one} for name, one in schema["properties"].items()]
    return {"parameters": parameters}


def in_path(name: str) -> Json:
    """Describe a part of the path. Declared to FastAPI as an argument, it would add a 422 that no service answers."""
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]}


def without_default(schema: Json) -> None:
    """Take the default out of a field's schema: it stands for "not sent" and would be refused if it were sent."""
    del schema["default"]


def _body(media_type: str, schema: Json) -> Json:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _inlined(schema: Json) -> Json:
    """Put definitions where they are referred to: inside an OpenAPI document ``#/$defs`` leads nowhere."""
    definitions = schema.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return inline(definitions[part["$ref"].removeprefix("#/$defs/")])
        return {key: inline(one) for key, one in part.items()}

    document: Json = inline(schema)
    return document

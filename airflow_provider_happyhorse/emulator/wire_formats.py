"""The envelopes and error codes of the two services, as their documentation pages show them.

Where a page is silent, the choice is listed under "As emulated" in ``docs/emulator.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .refusals import Refusal, RefusalKind

ServiceName = Literal["happy-horse.ai", "happyhorse.app"]
Json = dict[str, Any]

# https://happy-horse.ai/docs/api-reference, "Error Codes"; not_found and method_not_allowed are as emulated.
_HAPPY_HORSE_AI_CODES: dict[RefusalKind, tuple[int, str]] = {
    "unauthorized": (401, "unauthorized"),
    "insufficient_credits": (403, "insufficient_credits"),
    "paid_access_required": (403, "paid_access_required"),
    "invalid": (400, "validation_error"),
    "not_found": (404, "not_found"),
    "method_not_allowed": (405, "method_not_allowed"),
    "rate_limited": (429, "rate_limit_exceeded"),
    "internal": (500, "internal_error"),
    "upstream": (502, "upstream_error"),
}

# https://happyhorse.app/docs, error table; not_found, method_not_allowed and the 502 are as emulated.
_HAPPYHORSE_APP_CODES: dict[RefusalKind, tuple[int, str]] = {
    "unauthorized": (401, "INVALID_API_KEY"),
    "insufficient_credits": (402, "INSUFFICIENT_CREDITS"),
    "paid_access_required": (402, "INSUFFICIENT_CREDITS"),
    "invalid": (400, "INVALID_PROMPT"),
    "not_found": (404, "TASK_NOT_FOUND"),
    "method_not_allowed": (405, "METHOD_NOT_ALLOWED"),
    "rate_limited": (429, "RATE_LIMITED"),
    "internal": (500, "INTERNAL_ERROR"),
    "upstream": (502, "INTERNAL_ERROR"),
}


@dataclass(frozen=True, kw_only=True)
class WireFormat:
    """How one service wraps what it says.

    :param service: the service's name, its host
    :param announces_rate_limit: whether answers carry ``X-RateLimit-*`` (documented for happy-horse.ai only)
    """

    service: ServiceName
    announces_rate_limit: bool

    def success(self, data: Json) -> Json:
        """Wrap the answer to a request that was carried out."""
        if self.service == "happy-horse.ai":
            return {"data": data, "error": None}
        return {"code": 200, "message": "success", "data": data}

    def refusal_codes(self, kind: RefusalKind) -> tuple[int, tuple[str, ...]]:
        """Return the HTTP status of a kind of refusal and the codes it may have."""
        if self.service == "happy-horse.ai":
            status, code = _HAPPY_HORSE_AI_CODES[kind]
            return status, (code,)
        status, code = _HAPPYHORSE_APP_CODES[kind]
        return status, _VALIDATION_CODES if kind == "invalid" else (code,)

    def refusal_schema(self, codes: Sequence[str]) -> Json:
        """Return the JSON schema of a refusal with one of these codes."""
        message, code, nothing = {"type": "string"}, {"type": "string", "enum": list(codes)}, {"type": "null"}
        if self.service == "happy-horse.ai":
            return _object(data=nothing, error=_object(message=message, code=code))
        return _object(code=code, message=message, data=nothing)

    def refusal(self, refusal: Refusal) -> tuple[int, Json]:
        """Return HTTP status and body of a refusal."""
        if self.service == "happy-horse.ai":
            status, code = _HAPPY_HORSE_AI_CODES[refusal.kind]
            return status, {"data": None, "error": {"message": refusal.message, "code": code}}
        status, code = _HAPPYHORSE_APP_CODES[refusal.kind]
        return status, {
            "code": _validation_code(refusal.field) if refusal.kind == "invalid" else code,
            "message": refusal.message,
            "data": None,
        }


_VALIDATION_CODES = ("INVALID_PROMPT", "INVALID_DURATION", "INVALID_MODEL")


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _validation_code(field: str) -> str:
    # The page documents three codes for a 400 and none for the other fields; those are answered with the nearest of the three.
    leaf = field.rpartition(".")[2]
    if leaf == "duration":
        return "INVALID_DURATION"
    return "INVALID_MODEL" if leaf in ("model", "mode") else "INVALID_PROMPT"


HAPPY_HORSE_AI = WireFormat(service="happy-horse.ai", announces_rate_limit=True)
HAPPYHORSE_APP = WireFormat(service="happyhorse.app", announces_rate_limit=False)


def wire_format_at(path: str) -> WireFormat | None:
    """Return the wire format spoken at a path, None outside both services."""
    if path.startswith("/api/v1/"):
        return HAPPY_HORSE_AI
    return HAPPYHORSE_APP if path.startswith("/api/") else None

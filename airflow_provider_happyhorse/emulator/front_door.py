"""What every request to a service passes through: key, rate limit, body, and the vendor's own words for a refusal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from .accounts import Account, Accounts
from .limits import RateLimits
from .refusals import Refusal, invalid
from .wire_formats import Json, WireFormat

Model = TypeVar("Model", bound=BaseModel)
# As RFC 3986 writes a URL, without a user's name and password; of bracketed addresses only this machine's, for emulators that listen there.
Url = Annotated[str, StringConstraints(pattern=r"^https?://([A-Za-z0-9._-]+|\[::1\])(:[0-9]{1,5})?([/?#][!-~]*)?$")]


class Fields(BaseModel):
    """Fields of a request: a wrong type (``"5"`` for a number, null, a boolean) or an unknown name is refused, never adjusted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class FrontDoor:
    """Lets a request in, or answers it with the vendor's refusal.

    :param clock: returns the Unix time in seconds
    """

    accounts: Accounts
    limits: RateLimits
    clock: Callable[[], float]

    async def answer(self, wire: WireFormat, request: Request, work: Callable[[Account], Awaitable[Json]]) -> JSONResponse:
        """Do ``work`` for the key that asks, in the order key, rate limit, then everything else."""
        headers: dict[str, str] = {}
        try:
            account = self.accounts.by_authorization(request.headers.get("authorization"))
            verdict = self.limits.ask(service=wire.service, key=account.key, now=self.clock())
            if wire.announces_rate_limit:
                headers = verdict.headers
            verdict.enforce()
            return JSONResponse(wire.success(await work(account)), headers=headers)
        except Refusal as refusal:
            status, body = wire.refusal(refusal)
            return JSONResponse(body, status_code=status, headers=headers)


async def read_fields(request: Request, model: type[Model]) -> tuple[Model, Json]:
    """Read a JSON body: the checked fields, and the object exactly as it was sent (for the echo).

    :raises Refusal: ``invalid``, naming the first offending field
    """
    return parse_fields(await request.body(), model)


def parse_fields(content: bytes, model: type[Model]) -> tuple[Model, Json]:
    """Read the bytes of a JSON body.

    :raises Refusal: ``invalid``, naming the first offending field
    """
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise invalid("body", "must be a JSON object")
    try:
        # From the bytes, not the parsed document: only then does strict mode know JSON's types.
        return model.model_validate_json(content), document
    except ValidationError as error:
        raise _first_problem(error) from None


def read_query(request: Request, model: type[Model]) -> Model:
    """Read the query string, whose values are all text.

    :raises Refusal: ``invalid``, naming the first offending parameter
    """
    try:
        return model.model_validate_strings(dict(request.query_params))
    except ValidationError as error:
        raise _first_problem(error) from None


def _first_problem(error: ValidationError) -> Refusal:
    problem = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or "body"
    return invalid(field, "unknown field" if problem["type"] == "extra_forbidden" else problem["msg"])

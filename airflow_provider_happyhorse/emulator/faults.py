"""Troubles on request: which request meets which fault. The faults themselves are in :mod:`.service_faults` and :mod:`.media_faults`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from .exchange import Exchange
from .media_faults import MEDIA_FAULTS
from .service_faults import SERVICE_FAULTS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CONTROL_PREFIX = "/_emulator/"
CATALOGUE: dict[str, Callable[..., Awaitable[bool | None]]] = {action.__name__: action for action in (*SERVICE_FAULTS, *MEDIA_FAULTS)}


class FaultRule(BaseModel):
    """When a fault strikes; options of the fault itself stand beside these fields.

    :param fault: a name from the catalogue
    :param method: the HTTP method, ``*`` for every one
    :param path: a glob over the path, or over path and query (``/api/status?task_id=n92*``)
    :param after: matching requests that get through first
    :param times: requests that meet the fault, None for all until it is cleared
    """

    model_config = ConfigDict(extra="allow", strict=True)

    fault: str = Field(json_schema_extra={"enum": [*sorted(CATALOGUE)]})
    method: str = "*"
    path: str = "*"
    after: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=1)


@dataclass(kw_only=True)
class ArmedFault:
    """A fault rule and how far it has got."""

    rule: FaultRule
    strike: Callable[[Exchange], Awaitable[bool]]
    struck: int = 0
    let_through: int = field(default=0)

    @property
    def spent(self) -> bool:
        """Whether it will never strike again."""
        return self.rule.times is not None and self.struck >= self.rule.times

    def matches(self, method: str, target: str) -> bool:
        """Whether a request is one of those the rule means."""
        path = target.partition("?")[0]
        return self.rule.method.upper() in ("*", method) and (fnmatchcase(path, self.rule.path) or fnmatchcase(target, self.rule.path))


class Faults:
    """The faults that are armed now, asked in the order they were set; the first that wants a request gets it."""

    def __init__(self) -> None:
        self._armed: list[ArmedFault] = []

    def arm(self, rule: FaultRule) -> ArmedFault:
        """Set a fault.

        :raises ValueError: for an unknown fault, or an option the fault does not have or of a wrong type
        """
        action = CATALOGUE.get(rule.fault)
        if action is None:
            raise ValueError(f"unknown fault {rule.fault!r}; known are {', '.join(sorted(CATALOGUE))}")
        options = _options_model(rule.fault).model_validate(rule.model_extra or {}).model_dump()

        async def strike(exchange: Exchange) -> bool:
            return await action(exchange, **options) is not False

        armed = ArmedFault(rule=rule, strike=strike)
        self._armed.append(armed)
        return armed

    def clear(self) -> None:
        """Forget all faults; requests that hang in one already stay there."""
        self._armed.clear()

    def armed(self) -> list[ArmedFault]:
        """Return the faults that can still strike."""
        return [fault for fault in self._armed if not fault.spent]

    def next_for(self, method: str, target: str) -> ArmedFault | None:
        """Take the fault that this request meets, if any, counting it."""
        for fault in self.armed():
            if not fault.matches(method, target):
                continue
            if fault.let_through < fault.rule.after:
                fault.let_through += 1
                continue
            fault.struck += 1
            return fault
        return None


def describe_catalogue() -> list[dict[str, Any]]:
    """List every fault with its explanation and its options' defaults."""
    return [
        {"fault": name, "does": inspect.getdoc(action), "options": {key: one.default for key, one in _options(name).items()}}
        for name, action in sorted(CATALOGUE.items())
    ]


def _options(name: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(CATALOGUE[name], eval_str=True).parameters
    return {key: one for key, one in parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}


def _options_model(name: str) -> type[BaseModel]:
    fields: dict[str, Any] = {key: (one.annotation, one.default) for key, one in _options(name).items()}
    return create_model(f"{name}_options", __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False), **fields)


class FaultMiddleware:
    """Stands before everything but the control endpoints and lets faults at the requests they are meant for."""

    def __init__(self, app: ASGIApp, *, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or into a fault."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        fault = self._faults.next_for(scope["method"], f"{scope['path']}?{query}" if query else scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
            return
        scope["state"]["fault"] = fault.rule.fault
        if not await fault.strike(Exchange(self._app, scope, receive, send)):
            # It found nothing to spoil (no result URLs yet, say) and has passed the answer on, so it is still to come.
            fault.struck -= 1
            del scope["state"]["fault"]

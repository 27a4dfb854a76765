"""The ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from .control import control_routes
from .faults import FaultMiddleware
from .front_door import FrontDoor
from .happy_horse_ai import happy_horse_ai_routes
from .happyhorse_app import happyhorse_app_routes
from .media import media_routes
from .refusals import Refusal, RefusalKind
from .request_log import RequestLogMiddleware
from .settings import Settings
from .state import EmulatorState
from .wire_formats import wire_format_at

_KINDS: dict[int, RefusalKind] = {404: "not_found", 405: "method_not_allowed"}


def create_app(settings: Settings, *, on_started: Callable[[], None] = lambda: None) -> FastAPI:
    """Build an emulator.

    :param on_started: called when requests can be answered
    """
    state = EmulatorState.start(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        on_started()
        try:
            yield
        finally:
            state.media.close()

    app = FastAPI(
        title="HappyHorse emulator",
        description="Speaks the wire formats of happy-horse.ai and happyhorse.app. Nothing here costs anything.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    door = FrontDoor(accounts=state.accounts, limits=state.limits, clock=state.clock)
    app.include_router(happy_horse_ai_routes(state, door=door))
    app.include_router(happyhorse_app_routes(state, door=door))
    app.include_router(media_routes(media=state.media, jobs=state.jobs, clock=state.clock))
    app.include_router(control_routes(state))
    app.add_exception_handler(HTTPException, _in_the_vendors_words)
    app.add_exception_handler(Exception, _in_the_vendors_words)
    # The last one added stands outermost: the log must see what the faults did.
    app.add_middleware(FaultMiddleware, faults=state.faults)
    app.add_middleware(RequestLogMiddleware, log=state.log, clock=state.clock)

    @app.get("/", include_in_schema=False)
    async def where_things_are(request: Request) -> dict[str, str]:
        origin = str(request.base_url).rstrip("/")
        return {
            "happy-horse.ai": f"{origin}/api/v1",
            "happyhorse.app": origin,
            "control": f"{origin}/_emulator/state",
            "docs": f"{origin}/docs",
        }

    return app


async def _in_the_vendors_words(request: Request, error: Exception) -> Response:
    """Answer unknown paths, wrong methods and our own bugs as the service at that path would."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else "The emulator failed; see its terminal."
    headers = {"Allow": ", ".join(_methods(request))} if status == 405 else None
    wire = wire_format_at(request.url.path)
    if wire is None:
        content = error.detail if isinstance(error, HTTPException) else detail
        return JSONResponse({"detail": content}, status_code=status, headers=headers)
    status, body = wire.refusal(Refusal(_KINDS.get(status, "internal"), detail))
    return JSONResponse(body, status_code=status, headers=headers)


def _methods(request: Request) -> list[str]:
    """Return what the path of a request can be asked with; the framework itself names the methods of one route only."""
    there = [route for route in request.app.routes if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in there for method in route.methods or ()})

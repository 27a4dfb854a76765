"""``/_emulator``: look inside, seed, finish, break and reset. No key is needed; only this machine can reach it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .faults import FaultRule, describe_catalogue
from .front_door import parse_fields
from .happy_horse_ai import VideoFields, video_order
from .happyhorse_app import TaskFields, task_order
from .jobs import Job, iso
from .refusals import Refusal
from .state import EmulatorState
from .submissions import Order


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Seed(_Body):
    """Jobs to put in flight as if they had been submitted a while ago; nothing is charged.

    :param age_seconds: how long ago, one number for all or one for each
    :param request: the fields of the service's generate call, as they would be sent
    :param render_seconds: how long each takes from its submission on, unscaled, one number for all or one for each; None for the
        emulator's setting
    """

    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    service: Literal["happy-horse.ai", "happyhorse.app"] = "happy-horse.ai"
    key: str | None = None
    age_seconds: float | list[float] = 0.0
    request: dict[str, Any] | None = None
    render_seconds: Annotated[float, Field(ge=0)] | list[Annotated[float, Field(ge=0)]] | None = None
    failure: str | None = None


class Finish(_Body):
    """Which job ends now: one by id, or all that are in progress.

    :param failure: the reason to fail with, None to let each end as it would have
    """

    id: str | None = None
    failure: str | None = None


class Refused(BaseModel):
    """Why a control endpoint does not do what it was asked: a sentence, or pydantic's list of problems."""

    detail: str | list[dict[str, Any]]


_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "Not JSON"},
    422: {"model": Refused, "description": "Not understood"},
}
_UNKNOWN_JOB: dict[int | str, dict[str, Any]] = {404: {"model": Refused, "description": "No such job"}}


def control_routes(state: EmulatorState) -> APIRouter:
    """Build the control endpoints."""
    router = APIRouter(prefix="/_emulator", tags=["emulator control"])

    @router.get("/state")
    async def get_state() -> dict[str, Any]:
        now = state.clock()
        accounts = state.accounts.by_key
        return {
            "keys": {
                key: {
                    "charged_submissions": one.charged_submissions,
                    "credits": one.credits,
                    "credits_spent": one.credits_spent,
                    "paid_access": one.paid_access,
                }
                for key, one in accounts.items()
            },
            "jobs": [_described(job, now=now) for job in state.jobs.all()],
            "totals": {
                "jobs": len(state.jobs.all()),
                "charged_submissions": sum(one.charged_submissions for one in accounts.values()),
                "credits_spent": sum(one.credits_spent for one in accounts.values()),
                "requests": state.log.total,
            },
        }

    @router.get("/requests")
    async def get_requests() -> list[dict[str, Any]]:
        return list(state.log.entries)

    @router.post("/reset")
    async def reset() -> dict[str, Any]:
        state.reset()
        return {"reset": True}

    @router.get("/faults")
    async def get_faults() -> dict[str, Any]:
        armed = [{**one.rule.model_dump(), "struck": one.struck} for one in state.faults.armed()]
        return {"armed": armed, "catalogue": describe_catalogue()}

    @router.post("/faults", status_code=201, responses=_REFUSED)
    async def arm(rule: FaultRule) -> dict[str, Any]:
        try:
            return state.faults.arm(rule).rule.model_dump()
        except ValidationError as error:
            raise HTTPException(422, json.loads(error.json(include_url=False))) from None
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    @router.delete("/faults")
    async def clear() -> dict[str, Any]:
        state.faults.clear()
        return {"armed": []}

    @router.post("/jobs", status_code=201, responses=_REFUSED)
    async def seed(body: Seed) -> dict[str, Any]:
        ages = _for_each(body, "age_seconds", body.age_seconds)
        renders = _for_each(body, "render_seconds", state.settings.render_seconds if body.render_seconds is None else body.render_seconds)
        key = next(iter(state.accounts.by_key)) if body.key is None else body.key
        account = state.accounts.by_key.get(key)
        if account is None:
            raise HTTPException(422, f"no account has the key {key!r}")
        now = state.clock()
        try:
            orders = [_order(state, body, number) for number in range(1, body.count + 1)]
        except Refusal as refusal:
            raise HTTPException(422, refusal.message) from None
        started = [
            state.submissions.start(account, order, created_at=now - age, render_seconds=seconds, failure=body.failure)
            for order, age, seconds in zip(orders, ages, renders, strict=True)
        ]
        return {"ids": [job.id for job in started]}

    @router.post("/finish", responses=_REFUSED | _UNKNOWN_JOB)
    async def finish(body: Finish | None = None) -> dict[str, Any]:
        wanted = body or Finish()
        if wanted.id is not None and state.jobs.get(wanted.id) is None:
            raise HTTPException(404, f"no job {wanted.id!r}")
        chosen = [job for job in state.jobs.all() if wanted.id in (None, job.id)]
        return {"finished": [job.id for job in chosen if state.jobs.finish(job, failure=wanted.failure or job.failure)]}

    return router


def _for_each(body: Seed, name: str, given: float | list[float]) -> list[float]:
    if not isinstance(given, list):
        return [given] * body.count
    if len(given) != body.count:
        raise HTTPException(422, f"{name} lists {len(given)} numbers for {body.count} jobs")
    return given


def _order(state: EmulatorState, body: Seed, number: int) -> Order:
    prompt = f"Seeded clip {number}"
    if body.service == "happy-horse.ai":
        return video_order(*parse_fields(json.dumps({"prompt": prompt, **(body.request or {})}).encode(), VideoFields), media=state.media)
    fields = {"model": "happyhorse-1.0/video", "prompt": prompt, **(body.request or {})}
    return task_order(*parse_fields(json.dumps(fields).encode(), TaskFields), media=state.media)


def _described(job: Job, *, now: float) -> dict[str, Any]:
    return {
        "id": job.id,
        "sequence": job.sequence,
        "service": job.service,
        "key": job.key,
        "type": job.type,
        "prompt": job.prompt,
        "request": job.request,
        "state": job.state(at=now),
        "failure": job.failure,
        "credits": job.credits,
        "created_at": iso(job.created_at, timespec="milliseconds"),
        "ends_at": iso(job.ends_at, timespec="milliseconds"),
        "media": f"/media/{job.file_name}",
    }

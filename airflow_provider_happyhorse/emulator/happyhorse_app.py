"""happyhorse.app under ``/api``, after https://happyhorse.app/docs."""

from __future__ import annotations

import math
import secrets
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from .accounts import Account
from .answers import HappyhorseAppAnswer, StartedTask, TaskStatus
from .front_door import Fields, FrontDoor, Url, read_fields, read_query
from .jobs import Job, iso
from .media import Media
from .openapi import API_KEY, answers, json_body, query, without_default
from .pictures import Picture, Shot
from .refusals import Refusal, invalid
from .state import EmulatorState
from .submissions import Order
from .wire_formats import HAPPYHORSE_APP, Json

# Credits per second: silent, with audio.
_RATES: dict[str, tuple[int, int]] = {"pro": (54, 80), "std": (40, 60)}


class ShotFields(Fields):
    """One entry of ``multi_prompt``."""

    prompt: Annotated[str, StringConstraints(pattern=r"\S", max_length=500)]
    duration: float = Field(ge=1, le=12)


class ElementFields(Fields):
    """One entry of ``happyhorse_elements``."""

    name: Annotated[str, StringConstraints(pattern=r"\S")]
    description: str = ""
    element_input_urls: list[Url] = Field(min_length=2, max_length=4)


class TaskFields(Fields):
    """Body of ``POST /api/generate``."""

    # The document says what task_order() checks: what several shots need and what they exclude.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"multi_shots": {"const": True}}, "required": ["multi_shots"]},
            "then": {"properties": {"multi_prompt": {"minItems": 1}, "image_urls": {"maxItems": 1}}, "required": ["multi_prompt"]},
            "else": {"properties": {"multi_prompt": {"maxItems": 0}}, "required": ["prompt"]},
        }
    )

    model: Literal["happyhorse-1.0/video"]
    prompt: Annotated[str, StringConstraints(pattern=r"\S", max_length=2500)] = Field(default="", json_schema_extra=without_default)
    mode: Literal["pro", "std"] = "std"
    duration: float = Field(default=5, ge=3, le=15)
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    image_urls: list[Url] = Field(default_factory=list, max_length=2)
    sound: bool = True
    cfg_scale: float = Field(default=0.5, ge=0, le=1)
    multi_shots: bool = False
    multi_prompt: list[ShotFields] = Field(default_factory=list, max_length=5)
    happyhorse_elements: list[ElementFields] = Field(default_factory=list, max_length=3)


class StatusQuery(Fields):
    """Query of ``GET /api/status``."""

    task_id: str


def task_order(fields: TaskFields, sent: Json, *, media: Media) -> Order:
    """Check what a request says as a whole and price it.

    :raises Refusal: for a missing prompt, shots without ``multi_shots`` or the other way round, or a last frame for several shots
    """
    if not fields.multi_shots and not fields.prompt:
        raise invalid("prompt", "is required unless multi_shots is true")
    if fields.multi_shots and not fields.multi_prompt:
        raise invalid("multi_prompt", "is required when multi_shots is true")
    if fields.multi_prompt and not fields.multi_shots:
        raise invalid("multi_prompt", "needs multi_shots true")
    if fields.multi_shots and len(fields.image_urls) > 1:
        raise invalid("image_urls", "takes one URL (the first frame) when multi_shots is true")
    if fields.multi_shots:
        shots = tuple(Shot(prompt=shot.prompt, seconds=shot.duration) for shot in fields.multi_prompt)
    else:
        shots = (Shot(prompt=fields.prompt, seconds=fields.duration),)
    seconds = sum(shot.seconds for shot in shots)
    background = media.uploaded_image(fields.image_urls[0]) if fields.image_urls else None
    return Order(
        # The documented example is n92abc123hh10.
        id=f"n92{secrets.token_hex(6)}hh10",
        service="happyhorse.app",
        type="image-to-video" if fields.image_urls else "text-to-video",
        request=sent,
        settings={**fields.model_dump(), **sent},
        picture=Picture(
            title=f"{fields.model} · {fields.mode} · {fields.aspect_ratio} · {seconds:g} s · {'sound' if fields.sound else 'silent'}",
            shots=shots,
            aspect_ratio=fields.aspect_ratio,
            extension="mp4",
            background=background,
        ),
        price=math.ceil(_RATES[fields.mode][fields.sound] * seconds),
    )


def status_data(job: Job, *, at: float, origin: str) -> Json:
    """Write the ``data`` of a status answer."""
    state = job.state(at=at)
    return {
        "task_id": job.id,
        "status": {"in_progress": "IN_PROGRESS", "succeeded": "SUCCESS", "failed": "FAILED"}[state],
        "consumed_credits": job.credits,
        "created_at": iso(job.created_at),
        "type": job.type,
        "request": job.request,
        "response": {"resultUrls": [f"{origin}/media/{job.file_name}"]} if state == "succeeded" else None,
        "error_message": job.failure if state == "failed" else None,
    }


def happyhorse_app_routes(state: EmulatorState, *, door: FrontDoor) -> APIRouter:
    """Build the two endpoints; this service documents no others."""
    router = APIRouter(prefix="/api", tags=["happyhorse.app"], dependencies=[API_KEY])
    wire = HAPPYHORSE_APP

    started = answers(wire, HappyhorseAppAnswer[StartedTask], "invalid", "insufficient_credits")

    @router.post("/generate", openapi_extra=json_body(TaskFields), responses=started)
    async def generate(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            order = task_order(*await read_fields(request, TaskFields), media=state.media)
            job = state.submissions.submit(account, order)
            return {"task_id": job.id, "status": "IN_PROGRESS"}

        return await door.answer(wire, request, work)

    known = answers(wire, HappyhorseAppAnswer[TaskStatus], "invalid", "not_found")

    @router.get("/status", openapi_extra=query(StatusQuery), responses=known)
    async def status(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            task_id = read_query(request, StatusQuery).task_id
            job = state.jobs.get(task_id)
            if job is None or job.key != account.key or job.service != wire.service:
                raise Refusal("not_found", f"No task {task_id!r}.")
            return status_data(job, at=door.clock(), origin=str(request.base_url).rstrip("/"))

        return await door.answer(wire, request, work)

    return router

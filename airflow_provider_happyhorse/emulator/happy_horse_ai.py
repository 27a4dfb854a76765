"""happy-horse.ai under ``/api/v1``, after https://happy-horse.ai/docs/api-reference."""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from .accounts import Account
from .answers import CreditsLeft, HappyHorseAiAnswer, ImageRow, StartedVideo, UploadedImage, VideoPage, VideoRow
from .front_door import Fields, FrontDoor, Url, read_fields, read_query
from .jobs import Job, iso
from .media import Media
from .openapi import API_KEY, answers, file_body, in_path, json_body, query, without_default
from .pictures import Extension, Picture, Shot
from .refusals import Refusal, invalid
from .state import EmulatorState
from .submissions import Order
from .uploads import read_upload
from .wire_formats import HAPPY_HORSE_AI, Json

# Credits per second and whether a subscription is required, "Models & Credits". The page's default model is not in its own table; it is
# taken for the first row, whose id differs by a prefix only.
_VIDEO_MODELS: dict[str, tuple[float, bool]] = {
    "seedance-1-5-pro": (5, False),
    "doubao-seedance-1-5-pro": (5, False),
    "doubao-seedance-2-0": (7.5, True),
    "doubao-seedance-2-0-fast": (5, True),
}
_IMAGE_MODEL = "nano-banana-2"
_CREDITS_PER_IMAGE = 5

Prompt = Annotated[str, StringConstraints(pattern=r"\S")]
AspectRatio = Literal["16:9", "9:16", "1:1", "4:3", "3:4", "21:9"]


class VideoFields(Fields):
    """Body of ``POST /generate``."""

    # The document says what video_order() checks: an image and image_to_video go together.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["image_url"]},
            "then": {"properties": {"generation_type": {"const": "image_to_video"}}, "required": ["generation_type"]},
            "else": {"properties": {"generation_type": {"const": "text_to_video"}}},
        }
    )

    prompt: Prompt
    model: str = Field(default="seedance-1-5-pro", json_schema_extra={"enum": list(_VIDEO_MODELS)})
    generation_type: Literal["text_to_video", "image_to_video"] = "text_to_video"
    image_url: Url = Field(default="", json_schema_extra=without_default)
    aspect_ratio: AspectRatio = "16:9"
    duration: float = Field(default=5, ge=1, le=60)
    resolution: Literal["480p", "720p", "1080p"] = "720p"


class ImageFields(Fields):
    """Body of ``POST /generate-image``."""

    prompt: Prompt
    model: Literal["nano-banana-2"] = "nano-banana-2"
    resolution: Literal["1k", "2k", "4k"] = "1k"
    aspect_ratio: AspectRatio = "1:1"
    output_format: Literal["png", "jpg", "webp"] = "png"
    images: list[Url] = Field(default_factory=list)


class PageQuery(Fields):
    """Query of ``GET /videos``."""

    page: int = Field(default=1, ge=1)
    limit: int = Field(default=20, ge=1, le=50)


class NoQuery(Fields):
    """A call without parameters."""


def video_order(fields: VideoFields, sent: Json, *, media: Media) -> Order:
    """Check what a video request says as a whole and price it.

    :raises Refusal: for an unknown model, or an image that does not go with the generation type
    """
    if fields.model not in _VIDEO_MODELS:
        raise invalid("model", f"unknown model {fields.model!r}; known are {', '.join(_VIDEO_MODELS)}")
    from_image = fields.generation_type == "image_to_video"
    if from_image and not fields.image_url:
        raise invalid("image_url", "is required for image_to_video")
    if fields.image_url and not from_image:
        raise invalid("image_url", "needs generation_type image_to_video")
    rate, needs_paid_access = _VIDEO_MODELS[fields.model]
    return Order(
        id=str(uuid.uuid4()),
        service="happy-horse.ai",
        type="image-to-video" if from_image else "text-to-video",
        request=sent,
        settings={**fields.model_dump(), "image_url": None, **sent},
        picture=Picture(
            title=f"{fields.model} · {fields.generation_type} · {fields.aspect_ratio} · {fields.duration:g} s · {fields.resolution}",
            shots=(Shot(prompt=fields.prompt, seconds=fields.duration),),
            aspect_ratio=fields.aspect_ratio,
            extension="mp4",
            background=media.uploaded_image(fields.image_url) if fields.image_url else None,
        ),
        price=math.ceil(rate * fields.duration),
        needs_paid_access=needs_paid_access,
    )


def image_order(fields: ImageFields, sent: Json, *, media: Media) -> Order:
    """Price an image request."""
    extension: Extension = fields.output_format
    backgrounds = [found for url in fields.images if (found := media.uploaded_image(url))]
    return Order(
        id=str(uuid.uuid4()),
        service="happy-horse.ai",
        type="image",
        request=sent,
        settings={**fields.model_dump(), **sent},
        picture=Picture(
            title=f"{fields.model} · {fields.aspect_ratio} · {fields.resolution} · {fields.output_format}",
            shots=(Shot(prompt=fields.prompt, seconds=0),),
            aspect_ratio=fields.aspect_ratio,
            extension=extension,
            background=backgrounds[0] if backgrounds else None,
        ),
        price=_CREDITS_PER_IMAGE,
        needs_paid_access=True,
    )


def row(job: Job, *, at: float, origin: str) -> Json:
    """Write a generation as it was at Unix time ``at``. Documented are status, video_url and error; the rest is as emulated."""
    state = job.state(at=at)
    url = f"{origin}/media/{job.file_name}" if state == "succeeded" else None
    data: dict[str, Any] = {
        "video_id": job.id,
        "status": {"in_progress": "processing", "succeeded": "completed", "failed": "failed"}[state],
        "video_url": None,
        "error": job.failure if state == "failed" else None,
        "credits_used": job.credits,
        "created_at": iso(job.created_at, timespec="milliseconds"),
        "completed_at": None if state == "in_progress" else iso(job.ends_at, timespec="milliseconds"),
        **job.settings,
    }
    data["image_url" if job.type == "image" else "video_url"] = url
    return data


def happy_horse_ai_routes(state: EmulatorState, *, door: FrontDoor) -> APIRouter:
    """Build the six endpoints."""
    jobs, media = state.jobs, state.media
    stale_list = state.settings.list_freshness == "stale"
    router = APIRouter(prefix="/api/v1", tags=["happy-horse.ai"], dependencies=[API_KEY])
    wire = HAPPY_HORSE_AI

    started = answers(wire, HappyHorseAiAnswer[StartedVideo], "invalid", "insufficient_credits", "paid_access_required")

    @router.post("/generate", openapi_extra=json_body(VideoFields), responses=started)
    async def generate(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            order = video_order(*await read_fields(request, VideoFields), media=media)
            job = state.submissions.submit(account, order)
            return {"video_id": job.id, "status": "processing"}

        return await door.answer(wire, request, work)

    @router.post("/generate-image", openapi_extra=json_body(ImageFields), responses=started)
    async def generate_image(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            order = image_order(*await read_fields(request, ImageFields), media=media)
            job = state.submissions.submit(account, order)
            return {"video_id": job.id, "status": "processing"}

        return await door.answer(wire, request, work)

    @router.get("/videos", openapi_extra=query(PageQuery), responses=answers(wire, HappyHorseAiAnswer[VideoPage], "invalid"))
    async def videos(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            asked = read_query(request, PageQuery)
            mine = [job for job in reversed(jobs.all()) if job.key == account.key and job.service == wire.service and job.type != "image"]
            shown = mine[(asked.page - 1) * asked.limit : asked.page * asked.limit]
            rows = [row(job, at=jobs.last_refreshed(job) if stale_list else door.clock(), origin=_origin(request)) for job in shown]
            return {"videos": rows, "page": asked.page, "limit": asked.limit, "total": len(mine)}

        return await door.answer(wire, request, work)

    @router.get(
        "/videos/{video_id}",
        openapi_extra=in_path("video_id"),
        responses=answers(wire, HappyHorseAiAnswer[VideoRow | ImageRow], "invalid", "not_found"),
    )
    async def video(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            video_id = request.path_params["video_id"]
            read_query(request, NoQuery)
            job = jobs.get(video_id)
            if job is None or job.key != account.key or job.service != wire.service:
                raise Refusal("not_found", f"No video {video_id!r}.")
            return row(job, at=jobs.refresh(job), origin=_origin(request))

        return await door.answer(wire, request, work)

    @router.post("/upload", openapi_extra=file_body("image"), responses=answers(wire, HappyHorseAiAnswer[UploadedImage], "invalid"))
    async def upload(request: Request) -> JSONResponse:
        async def work(_account: Account) -> Json:
            content, extension = await read_upload(request)
            return {"url": f"{_origin(request)}{media.keep_upload(content, extension=extension)}"}

        return await door.answer(wire, request, work)

    @router.get("/credits", responses=answers(wire, HappyHorseAiAnswer[CreditsLeft], "invalid"))
    async def credits_left(request: Request) -> JSONResponse:
        async def work(account: Account) -> Json:
            read_query(request, NoQuery)
            subscription = "active" if account.paid_access else "none"
            return {"credits": account.credits, "paid_access": account.paid_access, "subscription_status": subscription}

        return await door.answer(wire, request, work)

    return router


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")

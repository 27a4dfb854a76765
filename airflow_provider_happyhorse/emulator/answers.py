"""The bodies of successful answers, for the OpenAPI document. What the vendors' pages do not say is listed under "As emulated"."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from .front_door import Url

Data = TypeVar("Data")
Count = Annotated[int, Field(ge=0)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HappyHorseAiAnswer(_Answer, Generic[Data]):
    """A success at happy-horse.ai."""

    data: Data
    error: None


class StartedVideo(_Answer):
    """A video or an image has been submitted."""

    video_id: str
    status: Literal["processing"]


class _Row(_Answer):
    video_id: str
    status: Literal["processing", "completed", "failed"]
    video_url: Url | None
    image_url: Url | None
    error: str | None
    credits_used: Count
    created_at: datetime
    completed_at: datetime | None
    prompt: str
    model: str
    aspect_ratio: str
    resolution: str


class VideoRow(_Row):
    """A video; ``image_url`` is the one it was made from."""

    generation_type: Literal["text_to_video", "image_to_video"]
    duration: float


class ImageRow(_Row):
    """An image; ``image_url`` is the result."""

    output_format: Literal["png", "jpg", "webp"]
    images: list[Url]


class VideoPage(_Answer):
    """A page of the list of videos, newest first."""

    videos: list[VideoRow]
    page: Annotated[int, Field(ge=1)]
    limit: Annotated[int, Field(ge=1, le=50)]
    total: Count


class UploadedImage(_Answer):
    """An image is hosted now."""

    url: Url


class CreditsLeft(_Answer):
    """What the key may still spend."""

    credits: Count
    paid_access: bool
    subscription_status: Literal["active", "none"]


class HappyhorseAppAnswer(_Answer, Generic[Data]):
    """A success at happyhorse.app."""

    code: Literal[200]
    message: Literal["success"]
    data: Data


class StartedTask(_Answer):
    """A video has been submitted."""

    task_id: str
    status: Literal["IN_PROGRESS"]


class TaskResponse(_Answer):
    """What a finished task has made."""

    resultUrls: list[Url]  # noqa: N815 - the vendor's name


class TaskStatus(_Answer):
    """A task."""

    task_id: str
    status: Literal["IN_PROGRESS", "SUCCESS", "FAILED"]
    consumed_credits: Count
    created_at: datetime
    type: Literal["text-to-video", "image-to-video"]
    request: dict[str, Any]
    response: TaskResponse | None
    error_message: str | None

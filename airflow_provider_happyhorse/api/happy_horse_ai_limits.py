"""The limits happy-horse.ai documents for its request fields (https://happy-horse.ai/docs/api-reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_happyhorse.api.envelope import urls_of

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.models import ImageRequest, VideoRequest

FIELDS = ("prompt", "model", "generation_type", "image_url", "aspect_ratio", "duration", "resolution")
GENERATION_TYPES = ("text_to_video", "image_to_video")
OUTPUT_FORMATS = ("png", "jpg", "webp")
IMAGE_RESOLUTIONS = ("1k", "2k", "4k")
#: What happyhorse.app calls what here goes by another name, for the author who moves a DAG over.
INSTEAD = {"image_urls": "it has `image_url`", "mode": "it has `model` and `resolution`"}


def limit_problems(request: VideoRequest, pending: frozenset[str]) -> list[str]:
    """Return what the reference refuses. Models, ratios and resolutions are open: the vendor closes no list of them.

    :param pending: fields whose values are not known yet.
    """
    given = request.given()
    problems = [
        f"happy-horse.ai has no `{name}`" + (f"; {INSTEAD[name]}" if name in INSTEAD else "") for name in given if name not in FIELDS
    ]
    if "prompt" not in given and "prompt" not in pending:
        problems.append("`prompt` is missing: it is required and must not be blank")
    kind = given.get("generation_type")
    if kind is not None and kind not in GENERATION_TYPES:
        problems.append(f"`generation_type` must be {' or '.join(GENERATION_TYPES)}, not {kind[:60]!r}")
    if kind == "image_to_video" and "image_url" not in given and "image_url" not in pending:
        problems.append("`image_url` is missing: image_to_video requires it")
    if kind == "text_to_video" and "image_url" in given:
        problems.append("`image_url` with `generation_type` text_to_video would pay for a video without the image; leave one out")
    if "image_url" in given and not urls_of(given["image_url"]):
        problems.append("`image_url` must be an http(s) URL; upload a file with HappyHorseUploadImageOperator first")
    if "duration" in given and given["duration"] <= 0:
        problems.append(f"`duration` must be more than 0 seconds, not {given['duration']}")
    return problems


def image_problems(request: ImageRequest, pending: frozenset[str]) -> list[str]:
    """Return what the reference refuses of an image (POST /generate-image).

    :param pending: fields whose values are not known yet.
    """
    problems = []
    if not request.has("prompt") and "prompt" not in pending:
        problems.append("`prompt` is missing: it is required and must not be blank")
    if request.has("output_format") and request.output_format not in OUTPUT_FORMATS:
        problems.append(f"`output_format` must be png, jpg or webp, not {request.output_format[:60]!r}")
    problems += [f"`images` must hold http(s) URLs, not {url[:60]!r}" for url in request.images if not urls_of(url)]
    return problems


def unlikely_image(request: ImageRequest) -> list[str]:
    """Return what the reference names no other value of, and does not close either."""
    if not request.has("resolution") or request.resolution in IMAGE_RESOLUTIONS:
        return []
    return [f"`resolution` {request.resolution[:60]!r} is not among the documented 1k, 2k and 4k"]

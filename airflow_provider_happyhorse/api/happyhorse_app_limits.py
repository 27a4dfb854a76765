"""The limits happyhorse.app documents for its request fields (https://happyhorse.app/docs, "Request body")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_happyhorse.api.envelope import urls_of

FIELDS = (
    "prompt",
    "model",
    "mode",
    "duration",
    "aspect_ratio",
    "image_urls",
    "sound",
    "cfg_scale",
    "multi_shots",
    "multi_prompt",
    "happyhorse_elements",
)

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.models import Element, Shot, VideoRequest
MODEL = "happyhorse-1.0/video"
INSTEAD = {
    "image_url": "it has `image_urls`",
    "resolution": "it has `mode`",
    "generation_type": "an image in `image_urls` is enough",
}
MODES = ("std", "pro")
ASPECT_RATIOS = ("16:9", "9:16", "1:1")
LONGEST_PROMPT, LONGEST_SHOT_PROMPT = 2500, 500
MOST_SHOTS, MOST_ELEMENTS = 5, 3
#: A name as the vendor's page writes one; a Korean or German ending may follow it.
_MENTION = re.compile(r"@([A-Za-z0-9_-]+)")


def limit_problems(request: VideoRequest, pending: frozenset[str]) -> list[str]:
    """Return every documented limit the request breaks, as sentences.

    :param pending: fields whose values are not known yet.
    """
    return [*_field_problems(request), *_value_problems(request), *_shot_problems(request, pending), *_element_problems(request)]


def unlikely(request: VideoRequest) -> list[str]:
    """Return what the documentation allows, or does not mention, and is probably a mistake."""
    found = []
    seconds = float(sum(Decimal(str(shot.duration)) for shot in request.multi_prompt))
    if request.multi_shots and not 3 <= seconds <= 15:
        found.append(f"the shots of `multi_prompt` add up to {seconds:g} s; 3 to 15 s is documented for `duration`")
    if request.multi_shots and request.has("duration") and request.duration != seconds:
        found.append(f"`duration` is {request.duration} s, the shots of `multi_prompt` add up to {seconds:g} s")
    prompts = " ".join([request.prompt, *(shot.prompt for shot in request.multi_prompt)])
    names = [element.name for element in request.happyhorse_elements]
    mentioned = [name for name in names if re.search(rf"@{re.escape(name)}(?![A-Za-z0-9_-])", prompts)]
    found += [f"the element `{name}` is never mentioned as @{name}" for name in names if name not in mentioned]
    if names:
        found += [f"@{word} is mentioned and is no element" for word in dict.fromkeys(_MENTION.findall(prompts)) if word not in names]
    found += [f"two elements are named `{name}`" for name in dict.fromkeys(names) if names.count(name) > 1]
    if request.has("image_urls") and request.has("aspect_ratio"):
        found.append("`aspect_ratio` is adapted to the image when `image_urls` is given")
    return found


def _field_problems(request: VideoRequest) -> Iterator[str]:
    for name in request.given():
        if name not in FIELDS:
            yield f"happyhorse.app has no `{name}`" + (f"; {INSTEAD[name]}" if name in INSTEAD else "")


def _value_problems(request: VideoRequest) -> Iterator[str]:
    if request.has("model") and request.model != MODEL:
        yield f"`model` must be {MODEL!r}, not {request.model!r}"
    if request.has("mode") and request.mode not in MODES:
        yield f"`mode` must be {' or '.join(MODES)}, not {request.mode!r}"
    if request.has("duration") and not 3 <= request.duration <= 15:
        yield f"`duration` must be 3 to 15 seconds, not {request.duration}"
    if request.has("aspect_ratio") and request.aspect_ratio not in ASPECT_RATIOS:
        yield f"`aspect_ratio` must be {', '.join(ASPECT_RATIOS[:-1])} or {ASPECT_RATIOS[-1]}, not {request.aspect_ratio!r}"
    if request.has("cfg_scale") and not 0 <= request.cfg_scale <= 1:
        yield f"`cfg_scale` must be 0 to 1, not {request.cfg_scale}"
    if len(request.prompt) > LONGEST_PROMPT:
        yield f"`prompt` has {len(request.prompt)} characters; at most {LONGEST_PROMPT} are allowed"
    most = 1 if request.multi_shots else 2
    if len(request.image_urls) > most:
        why = "first frame only, with `multi_shots`" if most == 1 else "first and last frame"
        yield f"`image_urls` has {len(request.image_urls)} URLs; at most {most} ({why})"
    yield from _url_problems("image_urls", request.image_urls)


def _shot_problems(request: VideoRequest, pending: frozenset[str]) -> Iterator[str]:
    if not request.multi_shots:
        if not request.has("prompt") and not {"prompt", "multi_shots"} & pending:
            yield "`prompt` is missing: it is required and must not be blank, unless `multi_shots` is true"
        if request.multi_prompt and "multi_shots" not in pending:
            yield "`multi_prompt` needs `multi_shots`: true"
    elif not request.multi_prompt and "multi_prompt" not in pending:
        yield "`multi_prompt` is missing: `multi_shots` needs 1 to 5 shots"
    if len(request.multi_prompt) > MOST_SHOTS:
        yield f"`multi_prompt` has {len(request.multi_prompt)} shots; at most {MOST_SHOTS} are allowed"
    for index, shot in enumerate(request.multi_prompt):
        yield from _one_shot_problems(f"multi_prompt[{index}]", shot)


def _one_shot_problems(where: str, shot: Shot) -> Iterator[str]:
    if len(shot.prompt) > LONGEST_SHOT_PROMPT:
        yield f"`{where}.prompt` has {len(shot.prompt)} characters; at most {LONGEST_SHOT_PROMPT} are allowed"
    if not 1 <= shot.duration <= 12:
        yield f"`{where}.duration` must be 1 to 12 seconds, not {shot.duration}"


def _element_problems(request: VideoRequest) -> Iterator[str]:
    elements: list[Element] = request.happyhorse_elements
    if len(elements) > MOST_ELEMENTS:
        yield f"`happyhorse_elements` has {len(elements)} elements; at most {MOST_ELEMENTS} are allowed"
    for index, element in enumerate(elements):
        where = f"happyhorse_elements[{index}].element_input_urls"
        if not 2 <= len(element.element_input_urls) <= 4:
            yield f"`{where}` has {len(element.element_input_urls)} URLs; 2 to 4 are allowed"
        yield from _url_problems(where, element.element_input_urls)


def _url_problems(where: str, urls: list[str]) -> Iterator[str]:
    for url in urls:
        if not urls_of(url):
            yield f"`{where}` must hold http(s) URLs, not {url[:60]!r}"

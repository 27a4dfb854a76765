"""What is asked of a service, under the vendors' own field names, and (from ``generation``) what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from airflow_provider_happyhorse.api.generation import Credits, Generation, GenerationState, Kind, RateLimit
from airflow_provider_happyhorse.api.table_values import flag, number, objects, text, texts, without_unset

__all__ = [
    "Credits",
    "Element",
    "Generation",
    "GenerationRequest",
    "GenerationState",
    "ImageRequest",
    "Kind",
    "RateLimit",
    "Shot",
    "VideoRequest",
]

Text = Annotated[str, BeforeValidator(text)]
Number = Annotated[int | float, BeforeValidator(number)]
Flag = Annotated[bool, BeforeValidator(flag)]
Texts = Annotated[list[Text], BeforeValidator(texts)]


class _Fields(BaseModel):
    """Fields as an author or a table gives them: ``""``, None and NaN are unset, ``"5"`` is 5, ``"false"`` is false."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, given: Any) -> Any:
        return without_unset(given)

    def has(self, name: str) -> bool:
        """Say whether the author gave this field."""
        return name in self.model_fields_set

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, as JSON values under the vendors' names; nothing is filled in."""
        return self.model_dump(mode="json", exclude_unset=True)


class Shot(_Fields):
    """One shot of a multi-shot video (happyhorse.app ``multi_prompt``)."""

    prompt: Text
    duration: Number


class Element(_Fields):
    """A thing or person that prompts refer to as ``@name`` (happyhorse.app ``happyhorse_elements``)."""

    name: Text
    description: Text
    element_input_urls: Texts


class VideoRequest(_Fields):
    """Every documented field of POST generate of both services; which of them one takes is the service's to say.

    Sources: the API reference of happy-horse.ai, the API documentation of happyhorse.app (pages of 2026-04).

    :param prompt: what the video shows; both.
    :param model: model id; happy-horse.ai (not a closed list), and happyhorse.app, where it is always ``happyhorse-1.0/video``.
    :param aspect_ratio: such as ``16:9``; both.
    :param duration: seconds; both.
    :param generation_type: ``text_to_video`` or ``image_to_video``; happy-horse.ai.
    :param image_url: first frame; happy-horse.ai.
    :param resolution: such as ``720p``; happy-horse.ai.
    :param mode: ``std`` or ``pro``; happyhorse.app.
    :param image_urls: first and last frame; happyhorse.app.
    :param sound: with sound, which is also the price switch; happyhorse.app.
    :param cfg_scale: 0 to 1, how closely the prompt is followed; happyhorse.app.
    :param multi_shots: the video is made of the shots in ``multi_prompt``; happyhorse.app.
    :param multi_prompt: the shots; happyhorse.app.
    :param happyhorse_elements: what prompts mention as ``@name``; happyhorse.app.
    """

    kind: ClassVar[Kind] = "video"

    prompt: Text = ""
    model: Text = ""
    aspect_ratio: Text = ""
    duration: Number = 0
    generation_type: Text = ""
    image_url: Text = ""
    resolution: Text = ""
    mode: Text = ""
    image_urls: Texts = Field(default_factory=list)
    sound: Flag = True
    cfg_scale: Number = 0.5
    multi_shots: Flag = False
    multi_prompt: Annotated[list[Shot], BeforeValidator(objects)] = Field(default_factory=list)
    happyhorse_elements: Annotated[list[Element], BeforeValidator(objects)] = Field(default_factory=list)


class ImageRequest(_Fields):
    """Every documented field of POST /generate-image (happy-horse.ai; happyhorse.app generates no images).

    :param prompt: what the image shows.
    :param model: model id, ``nano-banana-2`` by default; not a closed list.
    :param resolution: ``1k``, ``2k`` or ``4k``.
    :param aspect_ratio: such as ``1:1``, the default.
    :param output_format: ``png`` (the default), ``jpg`` or ``webp``.
    :param images: URLs of reference images; with them the model edits.
    """

    kind: ClassVar[Kind] = "image"

    prompt: Text = ""
    model: Text = ""
    resolution: Text = ""
    aspect_ratio: Text = ""
    output_format: Text = ""
    images: Texts = Field(default_factory=list)


GenerationRequest = VideoRequest | ImageRequest
REQUEST_OF: Mapping[Kind, type[VideoRequest] | type[ImageRequest]] = {"video": VideoRequest, "image": ImageRequest}

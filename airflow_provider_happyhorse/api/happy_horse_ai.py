"""Wire format of happy-horse.ai (https://happy-horse.ai/docs/api-reference).

Documented: paths, request fields, the envelope ``{data, error}``, ``data.video_id``, ``data.status``, ``data.video_url``, ``data.error``,
the error table and the rate headers. Not documented: every other member of an answer; there the reasonable names are read and
``raw`` is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_happyhorse.api.calls import Call, FilePart, Request, Response
from airflow_provider_happyhorse.api.envelope import (
    error_text,
    first_number,
    id_of,
    names_another,
    quoted,
    rate_limit_of,
    text_of,
    unexpected,
    urls_of,
)
from airflow_provider_happyhorse.api.generation import Credits, Generation, GenerationState, ListPage, RateLimit
from airflow_provider_happyhorse.api.happy_horse_ai_answers import ID_NAMES, data_of, first_list, generation_of, submitted
from airflow_provider_happyhorse.api.happy_horse_ai_limits import image_problems, limit_problems, unlikely_image
from airflow_provider_happyhorse.api.pricing import NO_PRICES, Estimate, Prices, happy_horse_ai_estimate, happy_horse_ai_image_estimate
from airflow_provider_happyhorse.api.service import Capability

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from airflow_provider_happyhorse.api.generation import Kind
    from airflow_provider_happyhorse.api.models import GenerationRequest, ImageRequest


class HappyHorseAi:
    """The service at https://happy-horse.ai/api/v1."""

    name = "happy-horse.ai"
    base_url = "https://happy-horse.ai/api/v1"
    capabilities: frozenset[Capability] = frozenset({"upload", "list", "credits", "images"})

    def check(self, request: GenerationRequest, *, pending: frozenset[str] = frozenset()) -> list[str]:
        """Return what the reference refuses."""
        return image_problems(request, pending) if _is_image(request) else limit_problems(request, pending)

    def warnings(self, request: GenerationRequest) -> list[str]:
        """Return what is allowed and probably not meant; of a video the reference documents no limit that is not enforced."""
        return unlikely_image(request) if _is_image(request) else []

    def body(self, request: GenerationRequest) -> dict[str, object]:
        """Return the given fields; an image without `generation_type` is sent as `image_to_video`.

        The vendor's default is text_to_video, which would most likely pay for a video without the image in it.
        """
        given: dict[str, object] = request.given()
        if "image_url" in given:
            given.setdefault("generation_type", "image_to_video")
        return given

    def estimate(self, request: GenerationRequest, prices: Prices = NO_PRICES) -> Estimate:
        """Return the table price."""
        return happy_horse_ai_image_estimate(request, prices) if _is_image(request) else happy_horse_ai_estimate(request, prices)

    def submit(self, request: GenerationRequest) -> Call[Generation]:
        """Return POST /generate, or POST /generate-image, whose answer is not documented and read like the other's."""
        body = self.body(request)
        path = "/generate-image" if _is_image(request) else "/generate"

        def parse(response: Response) -> Generation:
            data = submitted(response)
            generation_id = id_of(data, *ID_NAMES) if isinstance(data, dict) else ""
            if not generation_id:
                raise unexpected(response, "an answer with data.video_id")
            return Generation(generation_id, GenerationState.IN_PROGRESS, quoted(text_of(data.get("status"))), request=body, raw=data)

        return Call(Request("POST", path, json=body, pays=True), parse)

    def get(self, generation_id: str, *, kind: Kind = "video") -> Call[Generation]:
        """Return GET /videos/:video_id, which also makes the service look after the generation.

        Where an image's status is read is not documented; no other request for a status is.
        """

        def parse(response: Response) -> Generation:
            data = data_of(response)
            if not isinstance(data, dict) or not text_of(data.get("status")):
                raise unexpected(response, "a video with data.status")
            if names_another(data, generation_id, *ID_NAMES):
                raise unexpected(response, f"an answer about {quoted(generation_id)}")
            return generation_of(data, generation_id, kind)

        return Call(Request("GET", f"/videos/{quote(generation_id, safe='')}"), parse)

    def list_generations(self, page: int, limit: int) -> Call[ListPage]:
        """Return GET /videos. The shape of the list is not documented: the first list of objects is taken for it."""

        def parse(response: Response) -> ListPage:
            data = data_of(response)
            rows = data if isinstance(data, list) else first_list(data)
            if rows is None:
                raise unexpected(response, "a list of videos")
            found = [generation_of(row, "", "video") for row in rows if isinstance(row, dict)]
            return ListPage(tuple(generation for generation in found if generation.generation_id), len(rows))

        return Call(Request("GET", "/videos", query={"page": str(page), "limit": str(limit)}), parse)

    def upload(self, image: FilePart) -> Call[str]:
        """Return POST /upload. The answer's member is not documented: `url` and its likes are read."""

        def parse(response: Response) -> str:
            data = data_of(response)
            candidates = [data] if not isinstance(data, dict) else [data.get(name) for name in ("url", "image_url", "imageUrl", "file_url")]
            if isinstance(data, dict):
                candidates += [nested.get("url") for nested in data.values() if isinstance(nested, dict)]
            hosted = urls_of(*candidates)
            if not hosted:
                raise unexpected(response, "an upload's answer with a URL")
            return hosted[0]

        return Call(Request("POST", "/upload", file=image), parse)

    def credits(self) -> Call[Credits]:
        """Return GET /credits. Its members are not documented: the likely names are read, `raw` has all."""

        def parse(response: Response) -> Credits:
            data = data_of(response)
            if not isinstance(data, dict):
                raise unexpected(response, "the account's credits")
            paid = data.get("paid_access", data.get("has_paid_access", data.get("paidAccess")))
            subscription = data.get("subscription", data.get("subscription_status"))
            return Credits(
                remaining=first_number(data, "credits", "remaining_credits", "remaining", "balance", "credit_balance"),
                paid_access=paid if isinstance(paid, bool) else None,
                subscription=(text_of(subscription) or error_text(subscription) or None) if subscription is not None else None,
                raw=data,
            )

        return Call(Request("GET", "/credits"), parse)

    def probe(self) -> Call[str]:
        """Return GET /credits, which costs nothing and needs a valid key."""

        def sentence(balance: Credits) -> str:
            left = "an unknown number of" if balance.remaining is None else f"{balance.remaining:g}"
            return f"{self.name} accepts the key; {left} credits left"

        return self.credits().map(sentence)

    def rate_limit(self, headers: Mapping[str, str]) -> RateLimit | None:
        """Return the ``X-RateLimit-*`` headers."""
        return rate_limit_of(headers)


def _is_image(request: GenerationRequest) -> TypeIs[ImageRequest]:
    return request.kind == "image"

"""Wire format of happyhorse.app (https://happyhorse.app/docs).

Documented: two endpoints, the request fields with their limits, the envelope ``{code, message, data}``, the states, and seven error
codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_happyhorse.api.calls import Call, FilePart, Request, Response
from airflow_provider_happyhorse.api.envelope import (
    id_of,
    json_object,
    names_another,
    quoted,
    rate_limit_of,
    text_of,
    unexpected,
)
from airflow_provider_happyhorse.api.errors import (
    RateLimited,
    Unauthorized,
    Unsupported,
)
from airflow_provider_happyhorse.api.generation import Generation, GenerationState, RateLimit
from airflow_provider_happyhorse.api.happyhorse_app_answers import claimed_status, data_of, error_of, generation_of, submitted
from airflow_provider_happyhorse.api.happyhorse_app_limits import MODEL, limit_problems, unlikely
from airflow_provider_happyhorse.api.pricing import NO_PRICES, Estimate, Prices, happyhorse_app_estimate
from airflow_provider_happyhorse.api.service import Capability

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from airflow_provider_happyhorse.api.generation import Kind
    from airflow_provider_happyhorse.api.models import GenerationRequest, VideoRequest

#: An id no generation has; asking for it costs nothing and tells a good key from a bad one.
PROBE_ID = "n92connectiontest"
NO_IMAGES = "happyhorse.app generates no images; happy-horse.ai does"


class HappyHorseApp:
    """The service at https://happyhorse.app."""

    name = "happyhorse.app"
    base_url = "https://happyhorse.app"
    capabilities: frozenset[Capability] = frozenset()

    def check(self, request: GenerationRequest, *, pending: frozenset[str] = frozenset()) -> list[str]:
        """Return what the documentation refuses."""
        return limit_problems(request, pending) if _is_video(request) else [NO_IMAGES]

    def warnings(self, request: GenerationRequest) -> list[str]:
        """Return what is allowed and probably not meant."""
        return unlikely(request) if _is_video(request) else []

    def body(self, request: GenerationRequest) -> dict[str, object]:
        """Return the given fields, and `model`, which the service requires and which has one value."""
        return {"model": MODEL, **request.given()}

    def estimate(self, request: GenerationRequest, prices: Prices = NO_PRICES) -> Estimate:
        """Return the table price."""
        return happyhorse_app_estimate(request, prices) if _is_video(request) else Estimate(None)

    def submit(self, request: GenerationRequest) -> Call[Generation]:
        """Return POST /api/generate."""
        if not _is_video(request):
            raise Unsupported(NO_IMAGES)
        body = self.body(request)

        def parse(response: Response) -> Generation:
            data = submitted(response)
            generation_id = id_of(data, "task_id")
            if not generation_id:
                raise unexpected(response, "an answer with data.task_id")
            return Generation(generation_id, GenerationState.IN_PROGRESS, quoted(text_of(data.get("status"))), request=body, raw=data)

        return Call(Request("POST", "/api/generate", json=body, pays=True), parse)

    def get(self, generation_id: str, *, kind: Kind = "video") -> Call[Generation]:  # noqa: ARG002  the contract's argument
        """Return GET /api/status?task_id=."""

        def parse(response: Response) -> Generation:
            data = data_of(response)
            if not text_of(data.get("status")):
                raise unexpected(response, "a task with data.status")
            if names_another(data, generation_id, "task_id"):
                raise unexpected(response, f"an answer about {quoted(generation_id)}")
            return generation_of(data, generation_id)

        return Call(Request("GET", "/api/status", query={"task_id": generation_id}), parse)

    def list_generations(self, page: int, limit: int) -> NoReturn:  # noqa: ARG002  the contract's arguments
        """Raise: there is no list."""
        raise Unsupported(f"{self.name} documents no list of generations; ask for one by its id")

    def upload(self, image: FilePart) -> NoReturn:  # noqa: ARG002  the contract's argument
        """Raise: there is no upload."""
        raise Unsupported(f"{self.name} documents no upload; host the image yourself and give its URL in `image_urls`")

    def credits(self) -> NoReturn:
        """Raise: there is no balance."""
        raise Unsupported(f"{self.name} documents no request for the balance; it is on the account's dashboard")

    def probe(self) -> Call[str]:
        """Return the status request of an invented id: 401 means a bad key, any parseable envelope that the key is good."""

        def parse(response: Response) -> str:
            envelope = json_object(response)
            problem = error_of(response, envelope)
            ours = envelope is not None and any(name in envelope for name in ("code", "message", "data", "error"))
            # A 403 with JSON in it is what a firewall in between says; it must not turn the test of a connection green.
            refused = isinstance(problem, (Unauthorized, RateLimited)) or response.status == 403 or response.status >= 500
            if not ours or refused or claimed_status(envelope) in (403, *range(500, 600)) or 300 <= response.status < 400:
                raise problem
            return f"{self.name} answers and does not refuse the key"

        return Call(Request("GET", "/api/status", query={"task_id": PROBE_ID}), parse)

    def rate_limit(self, headers: Mapping[str, str]) -> RateLimit | None:
        """Return what the usual headers say, should the service send them; it documents none."""
        return rate_limit_of(headers)


def _is_video(request: GenerationRequest) -> TypeIs[VideoRequest]:
    return request.kind == "video"

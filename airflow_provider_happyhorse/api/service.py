"""The contract both services meet, and which service answers to which name.

A service is stateless: its methods return values (what to send and how to read the answer) and never send anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

from airflow_provider_happyhorse.api.calls import Call, FilePart
from airflow_provider_happyhorse.api.generation import Credits, Generation, Kind, ListPage, RateLimit
from airflow_provider_happyhorse.api.pricing import NO_PRICES, Estimate, Prices

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.models import GenerationRequest

Capability = Literal["upload", "list", "credits", "images"]


class Service(Protocol):
    """One of the two HTTP APIs, named by its host."""

    name: str
    base_url: str
    capabilities: frozenset[Capability]

    def check(self, request: GenerationRequest, *, pending: frozenset[str] = frozenset()) -> list[str]:
        """Return everything the service documents to refuse in this request, as sentences.

        :param pending: fields whose values are not known yet (at parse time); nothing is said about them.
        """

    def warnings(self, request: GenerationRequest) -> list[str]:
        """Return what is allowed and probably not meant."""

    def body(self, request: GenerationRequest) -> dict[str, object]:
        """Return the JSON that would be sent: the given fields, and what is needed to mean what was given."""

    def estimate(self, request: GenerationRequest, prices: Prices = NO_PRICES) -> Estimate:
        """Return what the vendor's price table makes of this request.

        :param prices: prices that override the table's, as the connection gives them.
        """

    def submit(self, request: GenerationRequest) -> Call[Generation]:
        """Return the call that pays; raises :class:`Unsupported` where there is none of this kind."""

    def get(self, generation_id: str, *, kind: Kind = "video") -> Call[Generation]:
        """Return the call that asks how a generation is doing.

        :param kind: what was asked for: an answer may hold the address of an input image beside a video's own.
        """

    def list_generations(self, page: int, limit: int) -> Call[ListPage]:
        """Return the call for a page of the account's generations; raises :class:`Unsupported` where there is none."""

    def upload(self, image: FilePart) -> Call[str]:
        """Return the call that hosts an image, answered by its URL; raises :class:`Unsupported` where there is none."""

    def credits(self) -> Call[Credits]:
        """Return the call for the balance; raises :class:`Unsupported` where there is none."""

    def probe(self) -> Call[str]:
        """Return a call that costs nothing and proves the key, answered by a sentence."""

    def rate_limit(self, headers: Mapping[str, str]) -> RateLimit | None:
        """Return what the headers of any answer say of the request budget."""


def services() -> dict[str, Service]:
    """Return the services by name."""
    from airflow_provider_happyhorse.api.happy_horse_ai import HappyHorseAi
    from airflow_provider_happyhorse.api.happyhorse_app import HappyHorseApp

    return {service.name: service for service in (HappyHorseAi(), HappyHorseApp())}


def service_for(name: str | None, base_url: str | None) -> Service:
    """Return the service by its name, or by the host of the base URL.

    :raises ValueError: for an unknown name, and for an unknown host without a name: a proxy or an emulator must not be spoken to
        in a guessed dialect.
    """
    known = services()
    if name:
        if name not in known:
            raise ValueError(f"unknown service {name!r}; it is one of {', '.join(known)}")
        return known[name]
    # People type a host without a scheme where a base URL is asked for.
    host = (urlsplit(base_url if "//" in base_url else f"//{base_url}").hostname or "") if base_url else ""
    for service in known.values():
        if host in (service.name, f"www.{service.name}"):
            return service
    where = f"the host {host!r} is neither" if host else "the connection has no base URL"
    raise ValueError(f"{where}: say in the connection's extra which service it is: {' or '.join(known)}")

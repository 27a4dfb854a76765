"""A call as a value: what to send, and how to read the answer. Transports send it; nothing here touches the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, NotFound, ServiceFault

T = TypeVar("T")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FilePart:
    """One file of a multipart form. The content is read by the caller and small (the vendor allows 10 MB)."""

    form_name: str
    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Request:
    """What to send, below a base URL. It never holds the API key: transports add that.

    :param method: ``GET`` or ``POST``.
    :param path: begins with ``/``, relative to the service's base URL.
    :param query: query parameters.
    :param json: JSON body, or None.
    :param file: multipart body, or None.
    :param pays: accepting this request costs credits. A transport sends it exactly once, on a connection of its own.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    file: FilePart | None = None
    pays: bool = False


@dataclass(frozen=True)
class Response:
    """An answer as it came. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the reading of its answer.

    :param parse: raises nothing but :mod:`airflow_provider_happyhorse.api.errors`, whatever the bytes.
    """

    request: Request
    parse: Callable[[Response], T]

    def map(self, then: Callable[[T], Result]) -> Call[Result]:
        """Return the same call with ``then`` applied to what it answers."""
        return Call(self.request, lambda response: then(self.parse(response)))

    def with_headers(self) -> Call[tuple[T, Mapping[str, str]]]:
        """Return the same call, answered also by the answer's headers, whose names are lower case."""
        return Call(self.request, lambda response: (self.parse(response), response.headers))

    def read(self, response: Response) -> T:
        """Return what the answer says.

        On a paying call an answer that proves neither acceptance nor refusal becomes :class:`Ambiguous`: a 500, a proxy's page or
        unreadable JSON may stand in for a generation that exists and is paid for; a 404 is documented for no submission, by no vendor.
        """
        try:
            return self.parse(response)
        except (ServiceFault, BadResponse, NotFound) as problem:
            if not self.request.pays:
                raise
            raise Ambiguous(f"the answer to the submission proves nothing: {problem}") from problem

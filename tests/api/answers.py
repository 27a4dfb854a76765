"""Answers of the services as values, and what a call makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_happyhorse.api.calls import Call, FilePart, Response
from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.api.models import VideoRequest
from airflow_provider_happyhorse.api.reading import read_request

HTML = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head><body>firewall</body></html>"
IMAGE = FilePart("image", "shoe.png", "image/png", b"\x89PNG\r\n\x1a\n")


def answer(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> Response:
    """Return an answer; anything but bytes is sent as JSON."""
    if isinstance(body, bytes):
        return Response(status, headers or {}, body)
    return Response(status, {"content-type": "application/json", **(headers or {})}, json.dumps(body).encode())


def page(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an HTML page, as proxies and firewalls send them."""
    return Response(status, {"content-type": "text/html; charset=utf-8", **(headers or {})}, HTML)


def ending(call: Call[Any], response: Response) -> ServiceError:
    """Return the error a call ends with."""
    with pytest.raises(ServiceError) as seen:
        call.read(response)
    return seen.value


def request_of(**fields: Any) -> VideoRequest:
    """Return a request that can be read."""
    request, problems = read_request(fields, VideoRequest)
    assert request is not None, problems
    return request


def problems_of(**fields: Any) -> list[str]:
    """Return the sentences about fields that cannot be read."""
    request, problems = read_request(fields, VideoRequest)
    assert request is None
    return problems

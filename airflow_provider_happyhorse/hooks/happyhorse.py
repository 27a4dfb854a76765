"""The hook: an Airflow connection joined to a service and a transport."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

from airflow_provider_happyhorse.api.calls import Call, FilePart
from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.api.models import REQUEST_OF
from airflow_provider_happyhorse.api.reading import check_request
from airflow_provider_happyhorse.api.retry import ATTEMPTS
from airflow_provider_happyhorse.api.table_values import BESIDES
from airflow_provider_happyhorse.hooks.settings import ConnectionMissing, ConnectionSettings, read_settings
from airflow_provider_happyhorse.provider_info import CONNECTION_FIELDS, UI_FIELD_BEHAVIOUR

if TYPE_CHECKING:
    from airflow_provider_happyhorse.api.generation import Credits, Generation, Kind
    from airflow_provider_happyhorse.api.models import GenerationRequest
    from airflow_provider_happyhorse.api.pricing import Estimate
    from airflow_provider_happyhorse.api.service import Service
    from airflow_provider_happyhorse.transports.sync import SyncTransport

T = TypeVar("T")

#: happy-horse.ai, API reference, POST /upload: "Max 10MB".
MAX_UPLOAD_BYTES = 10 * 1024 * 1024


class HappyHorseHook(BaseHook):
    """Talk to a HappyHorse service.

    :param happyhorse_conn_id: connection of type ``happyhorse``. It is looked up when first needed, so building a hook costs nothing.
    """

    conn_name_attr = "happyhorse_conn_id"
    default_conn_name = "happyhorse_default"
    conn_type = "happyhorse"
    hook_name = "HappyHorse"

    def __init__(self, happyhorse_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.happyhorse_conn_id = happyhorse_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what the connection form of Airflow 2.11 to 3.1 hides and renames."""
        return UI_FIELD_BEHAVIOUR

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form of Airflow 2.11 to 3.1, from the table that 3.2 and later read."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, IntegerField, StringField
        from wtforms.validators import NumberRange, Optional

        widgets: dict[str, Any] = {}
        for name, (label, description, schema) in CONNECTION_FIELDS.items():
            shown: dict[str, Any] = {"label": lazy_gettext(label), "description": description, "default": schema["default"]}
            if "boolean" in schema["type"]:
                widgets[name] = BooleanField(**shown)
                continue
            shown["widget"] = BS3TextFieldWidget()
            if "integer" in schema["type"]:
                limits = NumberRange(min=schema.get("minimum"), max=schema.get("maximum"))
                widgets[name] = IntegerField(**shown, validators=[Optional(), limits])
            else:
                widgets[name] = StringField(**shown, validators=[Optional()])
        return widgets

    @cached_property
    def settings(self) -> ConnectionSettings:
        """What the connection says.

        :raises ValueError: when it cannot be used; nothing was sent.
        """
        try:
            connection = self.get_connection(self.happyhorse_conn_id)
        except AirflowNotFoundException as missing:
            raise ConnectionMissing(f"there is no connection {self.happyhorse_conn_id!r}") from missing
        return read_settings(self.happyhorse_conn_id, connection, connection.extra_dejson)

    @property
    def service(self) -> Service:
        """The service the connection speaks to."""
        return self.settings.service

    @cached_property
    def transport(self) -> SyncTransport:
        """The transport for workers; built on first use, because requests is not loaded before a task runs."""
        from airflow_provider_happyhorse.transports.sync import SyncTransport

        return SyncTransport(self.settings.endpoint)

    def get_conn(self) -> SyncTransport:
        """Return the transport, as Airflow hooks name it."""
        return self.transport

    def send(self, call: Call[T], *, attempts: int = ATTEMPTS) -> T:
        """Send one call; what costs nothing is tried again as ``api/retry.py`` says, up to ``attempts`` tries in all.

        :raises airflow_provider_happyhorse.api.errors.ServiceError: what it ended with.
        """
        return self.transport.send(call, attempts=attempts)

    def check(self, request: Mapping[str, Any], *, kind: Kind = "video") -> list[str]:
        """Return everything wrong with a request, as sentences; an empty list means it may be sent. Sends nothing.

        :param request: vendor fields under vendor names.
        :param kind: what it asks for, ``video`` or ``image``.
        """
        return self._read(request, kind)[1]

    def estimate(self, request: Mapping[str, Any], *, kind: Kind = "video") -> Estimate:
        """Return what the vendor's price table, and the connection's prices, make of a request. Sends nothing.

        :raises ValueError: for a request that may not be sent.
        """
        return self.service.estimate(self._checked(request, kind), self.settings.prices)

    def estimate_credits(self, request: Mapping[str, Any], *, kind: Kind = "video") -> int | None:
        """Return the credits a request should cost, None when nobody knows its price. Sends nothing.

        :raises ValueError: for a request that may not be sent.
        """
        return self.estimate(request, kind=kind).credits

    def submit(self, request: Mapping[str, Any], *, kind: Kind = "video") -> Generation:
        """Submit a video or an image. **It pays on every call**: there is no record here, and a second call is a second one.

        Use :class:`~airflow_provider_happyhorse.operators.video.HappyHorseGenerateVideoOperator` in a DAG.

        :raises ValueError: for a request that may not be sent.
        :raises airflow_provider_happyhorse.api.errors.Ambiguous: when it may have been accepted; do not call again blindly.
        :raises airflow_provider_happyhorse.api.errors.ServiceError: for every other ending; nothing was paid.
        """
        return self.send(self.service.submit(self._checked(request, kind)))

    def get_generation(self, generation_id: str, *, kind: Kind = "video") -> Generation:
        """Return how a generation is doing.

        :param kind: what was asked for.
        :raises airflow_provider_happyhorse.api.errors.ServiceError: what the call ended with; says nothing about the generation.
        """
        if not generation_id:
            raise ValueError("there is no generation without an id")
        return self.send(self.service.get(generation_id, kind=kind))

    def list_generations(self, page: int = 1, limit: int = 20) -> list[Generation]:
        """Return the account's generations, as the service orders them (happy-horse.ai).

        :param limit: 1 to 50 per page.
        :raises airflow_provider_happyhorse.api.errors.Unsupported: where the service has no list.
        """
        call = self.service.list_generations(page, limit)
        if not isinstance(page, int) or not isinstance(limit, int) or page < 1 or not 1 <= limit <= 50:
            raise ValueError(f"page must be an integer of at least 1 and limit one of 1 to 50, not {page!r} and {limit!r}")
        return list(self.send(call).generations)

    def get_credits(self) -> Credits:
        """Return the account's balance (happy-horse.ai).

        :raises airflow_provider_happyhorse.api.errors.Unsupported: where the service has no such call.
        """
        return self.send(self.service.credits())

    def upload_image(self, image: str | os.PathLike[str]) -> str:
        """Host an image at the service and return its URL. How long it stays there is not documented.

        :param image: local path or object-storage URI of a JPG, PNG or WebP of at most 10 MB.
        :raises ValueError: for a file that the service would refuse; nothing was sent.
        :raises airflow_provider_happyhorse.api.errors.ServiceError: what the call ended with.
        """
        if "upload" not in self.service.capabilities:
            self.service.upload(FilePart("image", "", "", b""))  # raises, and says what to do instead
        return self.upload_part(read_image(image))

    def upload_part(self, part: FilePart) -> str:
        """Host an image that :func:`read_image` has read."""
        return self.send(self.service.upload(part))

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the service answers and accepts the key; costs nothing. One try: a person waits for it."""
        try:
            return True, self.send(self.service.probe(), attempts=1)
        except (ServiceError, ValueError, AirflowException) as problem:
            return False, str(problem)

    def _read(self, request: Any, kind: Kind) -> tuple[GenerationRequest | None, list[str]]:
        if kind not in REQUEST_OF:
            raise ValueError(f"`kind` must be video or image, not {kind!r}")
        if not isinstance(request, Mapping):
            return None, [f"the request must be a mapping of vendor fields, not {type(request).__name__}"]
        service = self.service
        fields = {name: value for name, value in request.items() if name not in BESIDES}
        return check_request(fields, REQUEST_OF[kind], lambda read, unknown: service.check(read, pending=unknown))

    def _checked(self, request: Mapping[str, Any], kind: Kind) -> GenerationRequest:
        read, problems = self._read(request, kind)
        if read is None:
            raise ValueError("; ".join(problems))
        return read


def read_image(image: str | os.PathLike[str]) -> FilePart:
    """Return the image as a part of a form, checked as the service documents it (happy-horse.ai POST /upload).

    :raises ValueError: when it is missing, larger than 10 MB, or not a JPG, PNG or WebP by its content.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_happyhorse.media.facts import sniff_image

    path = ObjectStoragePath(os.fspath(image))
    try:
        size = path.stat().st_size
        if size > MAX_UPLOAD_BYTES:
            raise ValueError(f"the image {image} has {size} bytes; at most {MAX_UPLOAD_BYTES} (10 MB) may be uploaded")
        with path.open("rb") as opened:  # type: ignore[no-untyped-call]  # untyped in Airflow
            content = opened.read(MAX_UPLOAD_BYTES + 1)
    except OSError as problem:
        raise ValueError(f"the image {image} cannot be read: {problem}") from problem
    if len(content) > MAX_UPLOAD_BYTES:
        raise ValueError(f"the image {image} is larger than 10 MB")
    content_type = sniff_image(content)
    if content_type is None:
        raise ValueError(f"the file {image} is not a JPG, PNG or WebP image, whatever its name says")
    return FilePart("image", path.name or "image", content_type, content)

"""Upload an image for image-to-video."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_happyhorse._compat import never_expire, task_state_store
from airflow_provider_happyhorse.api.errors import Rejected, Unsupported
from airflow_provider_happyhorse.exceptions import InvalidArguments, NotSubmitted
from airflow_provider_happyhorse.operators.literals import is_literal

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Entry of the task state store: the image's hash and the URL it got.
KEY = "happyhorse_upload"


class HappyHorseUploadImageOperator(BaseOperator):
    """Host a product image at the service (happy-horse.ai) and return its URL.

    A retry or a clear of the same image returns the URL it already has (Airflow 3.3, which keeps a record): a new URL would make the
    request downstream a different one. How long the service hosts it is not documented.

    :param image: local path or object-storage URI of a JPG, PNG or WebP, judged by its content, of at most 10 MB.
    :param happyhorse_conn_id: connection of type ``happyhorse``.
    :return: the hosted URL.
    :raises InvalidArguments: for an image the service would refuse, before any request.
    :raises NotSubmitted: the service refused it.
    """

    template_fields: Sequence[str] = ("image", "happyhorse_conn_id")
    ui_color = "#d5e3eb"

    def __init__(self, *, image: str, happyhorse_conn_id: str = "happyhorse_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.happyhorse_conn_id = happyhorse_conn_id
        if is_literal(image) and not (isinstance(image, str) and image.strip()):
            raise InvalidArguments(f"task {self.task_id!r}: `image` must be a path or an object-storage URI, not {image!r}")

    def execute(self, context: Context) -> str:
        """Upload it, unless this task instance has done so already."""
        from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook, read_image

        hook = HappyHorseHook(self.happyhorse_conn_id)
        try:
            part = read_image(self.image)
            service = hook.service
        except ValueError as problem:
            raise InvalidArguments(f"task {self.task_id!r}: {problem}. Nothing was sent") from problem
        mark = hashlib.sha256(part.content).hexdigest()
        same = {"sha256": mark, "service": service.name, "base_url": hook.settings.endpoint.base_url}
        store = task_state_store(context)
        earlier = store.get(KEY) if store else None
        if isinstance(earlier, Mapping) and all(earlier.get(key) == value for key, value in same.items()):
            self.log.info("%s is already hosted as %s", self.image, earlier["url"])
            return str(earlier["url"])
        try:
            url = hook.upload_part(part)
        except (Unsupported, Rejected) as error:
            raise NotSubmitted(f"{service.name} does not take {self.image}: {error}") from error
        if store:
            store.set(KEY, {**same, "url": url}, retention=never_expire())
        self.log.info("%s (%d bytes, %s) is hosted as %s", self.image, len(part.content), part.content_type, url)
        return url

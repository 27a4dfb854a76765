"""Upload an image for image-to-video."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_happyhorse.api.errors import Rejected, Unsupported
from airflow_provider_happyhorse.exceptions import InvalidArguments, NotAcceptedYet, NotSubmitted, SubmissionStopped
from airflow_provider_happyhorse.operators.literals import is_literal

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class HappyHorseUploadImageOperator(BaseOperator):
    """Host a product image at the service (happy-horse.ai) and return its URL.

    An image that is hosted already gets the URL it has, because another one would make the request downstream a different one, which is
    paid for: with a ``ledger_path`` in every task, map index and try of the DAG run, without one in this task instance (Airflow 3.3).
    Where the records do not tell, it fails rather than to hand on another URL. How long the service hosts it is not documented.

    :param image: local path or object-storage URI of a JPG, PNG or WebP, judged by its content, of at most 10 MB.
    :param happyhorse_conn_id: connection of type ``happyhorse``.
    :return: the hosted URL.
    :raises InvalidArguments: for an image the service would refuse, or a ``ledger_path`` that cannot be one, before any request.
    :raises NotSubmitted: the service refused it.
    :raises NotAcceptedYet: the ``ledger_path`` does not answer; a retry may help.
    :raises SubmissionStopped: what is written there of the image cannot be understood.
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
        """Upload it, unless it is hosted already."""
        from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook, read_image
        from airflow_provider_happyhorse.ledger.uploads import uploads_for

        hook = HappyHorseHook(self.happyhorse_conn_id)
        try:
            part = read_image(self.image)
            service, settings = hook.service, hook.settings
        except ValueError as problem:
            raise InvalidArguments(f"task {self.task_id!r}: {problem}. Nothing was sent") from problem
        mark = hashlib.sha256(part.content).hexdigest()
        with self._said():
            hosted = uploads_for(context, ledger_path=settings.ledger_path, service=service.name, base_url=settings.endpoint.base_url)
            earlier = hosted.url(mark)
        if earlier is not None:
            self.log.info("%s is already hosted as %s", self.image, earlier)
            return earlier
        try:
            url = hook.upload_part(part)
        except (Unsupported, Rejected) as error:
            raise NotSubmitted(f"{service.name} does not take {self.image}: {error}") from error
        with self._said():
            counts = hosted.keep(mark, url)
        also = "" if counts == url else f"; another task of this run has uploaded it meanwhile, and {url} is not used"
        self.log.info("%s (%d bytes, %s) is hosted as %s%s", self.image, len(part.content), part.content_type, counts, also)
        return counts

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say in the task's words why a URL is not handed on: downstream, another one could pay again."""
        from airflow_provider_happyhorse.ledger.objects import ObjectsUnavailable, UnsuitableLedgerPath
        from airflow_provider_happyhorse.ledger.record import UnreadableRecord

        shown = f"task {self.task_id!r}, {self.image}"
        try:
            yield
        except UnsuitableLedgerPath as problem:
            raise InvalidArguments(f"{shown}: `ledger_path`: {problem}. Nothing was paid") from problem
        except UnreadableRecord as problem:
            raise SubmissionStopped(f"{shown}: no URL is handed on and nothing was paid: {problem}") from problem
        except ObjectsUnavailable as problem:
            raise NotAcceptedYet(f"{shown}: no URL is handed on and nothing was paid: {problem}; a retry looks again") from problem

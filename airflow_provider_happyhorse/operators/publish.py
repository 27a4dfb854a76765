"""Publish a result into the user's own storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.exceptions import GenerationUnreachable, InvalidArguments, PublishFailed, PublishRefused
from airflow_provider_happyhorse.operators.destination import destination_problems
from airflow_provider_happyhorse.operators.downstream import TellsDownstream
from airflow_provider_happyhorse.operators.literals import is_literal, is_same_for_every_clip
from airflow_provider_happyhorse.operators.mapped_clips import is_given_to_all
from airflow_provider_happyhorse.results import REQUEST_KEY, fitted, kind_of, read_reference, whole

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.hooks.settings import ConnectionSettings
    from airflow_provider_happyhorse.transports.download import DownloadRules


class HappyHorsePublishOperator(TellsDownstream, BaseOperator):
    """Copy a finished result into the user's own storage, verified and whole, with a sidecar JSON beside it.

    :param generation: the id, or the whole result of the step before (``generate.output``).
    :param destination: a folder ending in ``/`` (``<dag_id>/<run_id>/<name>--<generation_id>.<ext>`` below it), or the exact object.
    :param if_exists: ``skip``: the same generation is a no-op and another under the name fails; ``overwrite`` replaces it.
    :param previews: also publish ``<stem>.poster.jpg`` and an animated ``<stem>.preview.webp`` beside every video. They need the extra
        ``emulator``; what goes wrong with them is a warning, and the video is published all the same.
    :param happyhorse_conn_id: None takes the connection from the result, or ``happyhorse_default`` when only an id is given.
    :return: ``generation_id``, ``name``, ``service``, ``kind``, ``happyhorse_conn_id``, ``uri``, ``uris``, ``results``,
        ``sidecar_uri``, ``poster_uri``, ``preview_uri``, ``bytes``, ``sha256``, ``content_type``, ``seconds``, ``width``, ``height``,
        ``credits``, ``credits_estimated``, ``published_at``, ``already_there``; in 2 KB.
    :raises PublishRefused: what came is no video or image, or another generation has the name, ...; another try meets the same.
    :raises PublishFailed: the network or a storage failed; a retry may help. Nothing partial is visible in either case.
    """

    template_fields: Sequence[str] = ("generation", "destination", "if_exists", "happyhorse_conn_id")
    ui_color = "#dcebd5"

    def __init__(
        self,
        *,
        generation: str | Mapping[str, Any],
        destination: str,
        if_exists: str = "skip",
        previews: bool = False,
        happyhorse_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generation = generation
        self.destination = destination
        self.if_exists = if_exists
        self.previews = previews
        self.happyhorse_conn_id = happyhorse_conn_id
        if is_literal(if_exists) and if_exists not in ("skip", "overwrite"):
            raise InvalidArguments(f"task {self.task_id!r}: `if_exists` must be skip or overwrite, not {if_exists!r}")
        if not isinstance(previews, bool):
            raise InvalidArguments(f"task {self.task_id!r}: `previews` must be True or False, not {previews!r}")
        # The video is paid for by the time this task runs.
        if problems := destination_problems(destination):
            raise InvalidArguments(f"task {self.task_id!r}: {problems[0]}")

        self._same_for_every_clip = is_same_for_every_clip(destination)

    def execute(self, context: Context) -> dict[str, Any]:
        """Publish it."""
        from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook

        if (
            self.if_exists == "overwrite"
            and self._same_for_every_clip
            and is_given_to_all(context, task_id=self.task_id, destination=self.destination, log=self.log)
        ):
            why = f"`destination` {self.destination!r} is one object, and with overwrite every mapped task would replace the others there"
            raise InvalidArguments(f"task {self.task_id!r}: {why}; name a folder, ending in /. Nothing was published")
        try:
            reference = read_reference(self.generation)
        except ValueError as problem:
            raise InvalidArguments(f"task {self.task_id!r}: {problem}") from problem
        hook = HappyHorseHook(self.happyhorse_conn_id or reference.happyhorse_conn_id or HappyHorseHook.default_conn_name)
        known = {**reference.known, "generation_id": reference.generation_id}
        published = publish_result(
            context, known, destination=self.destination, if_exists=self.if_exists, previews=self.previews, hook=hook, log=self.log
        )
        # What is published can be published again, elsewhere, from the same account.
        published = {**published, "happyhorse_conn_id": hook.happyhorse_conn_id}
        self._tell(context, known, published)
        return fitted(published)


def publish_result(
    context: Context,
    known: Mapping[str, Any],
    *,
    destination: str,
    if_exists: str,
    hook: HappyHorseHook,
    log: TaskLog,
    previews: bool = False,
) -> dict[str, Any]:
    """Publish a result as the running task instance.

    :param known: the flat result; what it lacks (after a publish by id alone) is asked of the service.
    """
    from airflow_provider_happyhorse.hooks.settings import ConnectionMissing
    from airflow_provider_happyhorse.publishing.publish import PreviewRules, Where, publish

    ti = context["ti"]
    try:
        settings = hook.settings
        rules = download_rules(settings)
    except ConnectionMissing as problem:
        # A secrets backend that fails for a moment looks like this too, and the video may be paid for.
        raise PublishFailed(f"task {ti.task_id!r}: {problem}; nothing was published, and a retry looks again") from problem
    except ValueError as problem:
        raise InvalidArguments(f"task {ti.task_id!r}: {problem}") from problem
    # Filled if the service is asked for URLs, and never asked for on its account: that would cost a request of the budget per video.
    told: dict[str, Any] = {}
    return publish(
        {"service": settings.service.name, **known},
        destination=destination,
        if_exists=if_exists,
        where=Where(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index if ti.map_index is not None else -1),
        fresh_urls=_fresh_urls(hook, known, told),
        told=told,
        guard=rules,
        now=lambda: datetime.now(UTC),
        log=log,
        previews=PreviewRules() if previews else None,
    )


def download_rules(settings: ConnectionSettings) -> DownloadRules:
    """Return what a download may do, by the connection and ``[happyhorse]`` of the configuration.

    :raises ValueError: for a setting that allows no download at all.
    """
    from airflow_provider_happyhorse.transports.download import DownloadRules

    return DownloadRules(
        allow_loopback=settings.endpoint.is_loopback,
        allow_private=settings.allow_private_results,
        max_bytes=int(_limit("max_result_bytes", 2 * 1024**3, int)),
        max_seconds=_limit("max_download_seconds", 1800.0, float),
        proxy=None if settings.endpoint.is_loopback else settings.endpoint.proxy,
    )


def _limit(option: str, usual: float, read: Callable[[str], float]) -> float:
    text = str(conf.get("happyhorse", option, fallback=str(usual))).strip()
    try:
        limit = read(text)
    except ValueError:
        limit = 0
    if not 0 < limit < float("inf"):  # nor NaN
        raise ValueError(f"[happyhorse] {option} must be a number above 0, not {text!r}")
    return limit


def _fresh_urls(hook: HappyHorseHook, known: Mapping[str, Any], told: dict[str, Any]) -> Callable[[], Sequence[str]]:
    """Return the question for fresh URLs, which a publish asks only when it has none or they have expired.

    :param told: takes what else the answer tells: the credits, and the request where it is repeated (documented at happyhorse.app).
    """
    generation_id = str(known["generation_id"])

    def ask() -> Sequence[str]:
        try:
            generation = hook.get_generation(generation_id, kind=kind_of(known))
        except ServiceError as error:
            raise GenerationUnreachable(f"{generation_id}: the service does not tell where the result is: {error}") from error
        if not generation.state.ended:
            raise PublishRefused(f"{generation_id} still runs ({generation.raw_status!r}); publish after a task that waits for it")
        if not generation.result_urls:
            why = generation.error or f"it is {generation.raw_status!r} and has no result URL"
            raise PublishRefused(f"{generation_id} has nothing to publish: {why}")
        told.update({key: generation.request.get(key) for key in ("model", "duration", "aspect_ratio")})
        told["credits"] = whole(generation.credits) if generation.credits is not None else None
        if generation.request:
            told.update({REQUEST_KEY: generation.request, "request_from": "service"})
        return generation.result_urls

    return ask

"""Copy a generation's results into the user's own storage: verified, once, whole under the final name, the sidecar last.

See :mod:`airflow_provider_happyhorse.publishing.sidecar` for the document beside the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from airflow_provider_happyhorse._compat import TaskLog
from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.media.facts import NotMedia, inspect_media
from airflow_provider_happyhorse.publishing.final_names import FinalNames, Refused
from airflow_provider_happyhorse.publishing.layout import Where
from airflow_provider_happyhorse.publishing.previews import PreviewRules, Previews
from airflow_provider_happyhorse.publishing.visible import Ready, UnderTheName
from airflow_provider_happyhorse.results import money
from airflow_provider_happyhorse.storage.destinations import locate, shown_destination
from airflow_provider_happyhorse.storage.stores import StorageUnavailable
from airflow_provider_happyhorse.transports.download import (
    DownloadRules,
    ResultExpired,
    ResultRefused,
    ResultUnavailable,
    download,
)

__all__ = ["DownloadRules", "PreviewRules", "Where", "publish"]

IF_EXISTS = ("skip", "overwrite")
#: Neither service documents how many results one generation may have; happyhorse.app answers with a list.
MAX_RESULTS = 100


def publish(
    generation: Mapping[str, Any],
    *,
    destination: str,
    if_exists: str,
    where: Where,
    fresh_urls: Callable[[], Sequence[str]],
    guard: DownloadRules,
    now: Callable[[], datetime],
    log: TaskLog,
    told: Mapping[str, Any] | None = None,
    previews: PreviewRules | None = None,
) -> dict[str, Any]:
    """Publish a generation and return what the publish operator returns; publishing the same one again changes nothing.

    :param generation: the flat result of the step before; ``generation_id`` is required. Without ``result_urls`` the service is asked.
    :param destination: absolute path or URI. ``.../`` = a folder, below which the result becomes
        ``<dag_id>/<run id>/<name>--<generation_id>.<ext>`` with ``.json`` beside it; otherwise the exact object, with ``<object>.json``
        beside it. Several results are numbered ``-1``, ``-2``, ... before the extension.
    :param if_exists: ``skip``: the same generation is a no-op, anything else under the name is refused. ``overwrite``: it is replaced.
    :param fresh_urls: asks the service for the result's URLs; called at most once, when there are none or one has expired.
    :param now: the current time, aware.
    :param told: filled by ``fresh_urls`` with what else the service tells; for the sidecar, where ``generation`` lacks it.
    :param previews: also publish a poster and an animated preview beside every video; what goes wrong with them is a warning.
    :raises PublishRefused: trying again changes nothing (not a video, refused address, name taken, too large, nothing there, ...).
    :raises PublishFailed: the network, the CDN or the storage failed; a retry may help and costs no credits.
    """
    generation = {**generation, "generation_id": str(generation.get("generation_id") or "")}
    if if_exists not in IF_EXISTS:
        raise PublishRefused(f"if_exists={if_exists!r} is not known; it is one of {', '.join(IF_EXISTS)}.")
    if not generation["generation_id"]:
        raise PublishRefused("There is no generation_id, so there is nothing to publish.")
    label = f"[{generation.get('name') or where.task_id}] {generation['generation_id']}"
    try:
        place = FinalNames.of(locate(destination), generation, where)
        overwrite = if_exists == "overwrite"
        pictures = Previews(previews, place.store, overwrite=overwrite, warn=lambda why: log.warning("%s is published %s", label, why))
        name = UnderTheName(generation, place, where, pictures, told={} if told is None else told, overwrite=overwrite)
        publication = _Publication(generation, place, name, fresh_urls, guard)
        document, already_there = publication.run(now)
    except (Refused, PublishRefused, ResultRefused) as error:
        raise PublishRefused(_story(label, destination, error, generation)) from error
    except (ResultExpired, ResultUnavailable, StorageUnavailable) as error:
        # A fresh URL that is refused may only be too new: a CDN can lag seconds behind the service's "completed".
        raise PublishFailed(_story(label, destination, error, generation)) from error
    result = place.result(document, already_there=already_there)
    log.info("%s", _line(label, result))
    return result


class _Publication:
    """One attempt to publish one generation."""

    def __init__(
        self,
        generation: Mapping[str, Any],
        place: FinalNames,
        name: UnderTheName,
        fresh_urls: Callable[[], Sequence[str]],
        guard: DownloadRules,
    ) -> None:
        self._generation = generation
        self._place = place
        self._name = name
        self._fresh_urls = fresh_urls
        self._guard = guard

    def run(self, now: Callable[[], datetime]) -> tuple[Mapping[str, Any], bool]:
        """Return the sidecar's document and whether it stood there already."""
        there = self._name.published()
        if there is not None:
            return there, True
        urls, fresh = self._urls()
        with ExitStack() as uploads:
            try:
                ready = self._fetch_all(urls, uploads)
            except ResultExpired:
                if fresh:
                    raise
                uploads.close()
                ready = self._fetch_all(self._ask(), uploads)
            return self._name.show(ready, now)

    def _urls(self) -> tuple[Sequence[str], bool]:
        urls = self._generation.get("result_urls")
        if isinstance(urls, list | tuple) and urls:
            return [str(url) for url in urls], False
        return self._ask(), True

    def _ask(self) -> Sequence[str]:
        urls = list(self._fresh_urls())
        if not urls:
            raise Refused(f"The service names no result for it (state {self._generation.get('state') or 'unknown'}).")
        return urls

    def _fetch_all(self, urls: Sequence[str], uploads: ExitStack) -> list[Ready]:
        """Download and verify every result before any of them becomes visible."""
        if len(urls) > MAX_RESULTS:
            raise Refused(f"The service names {len(urls)} results; at most {MAX_RESULTS} are published.")
        ready = []
        for number, url in enumerate(urls, start=1):
            stem = f"{self._place.stem}-{number}" if len(urls) > 1 else self._place.stem
            upload = uploads.enter_context(self._place.store.upload(stem))
            download(url, into=upload, rules=self._guard)
            with upload.reader() as file:
                try:
                    facts = inspect_media(file)
                except NotMedia as error:
                    raise Refused(f"What the service's URL delivered is no whole MP4, PNG, JPEG or WebP but: {error}.") from error
            ready.append(Ready(upload, facts, self._place.path(facts, number, len(urls)), stem))
        return ready


def _story(label: str, destination: str, error: Exception, generation: Mapping[str, Any]) -> str:
    return (
        f"{label} was not published to {shown_destination(destination)}: {str(error).rstrip('.')}. "
        "Nothing partial is visible under the final name. "
        f"The generation cost {money(generation)}; publishing it again costs nothing."
    )


def _line(label: str, result: Mapping[str, Any]) -> str:
    size = result["bytes"]
    amount = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
    length = "" if result["seconds"] is None else f" {result['seconds']:.2f} s"
    more = "" if len(result["uris"]) == 1 else f" and {len(result['uris']) - 1} more"
    verb = "is already published at" if result["already_there"] else "published"
    return f"{label} {verb} {result['uri']}{more} {amount}{length} sha256 {result['sha256'][:12]}..."

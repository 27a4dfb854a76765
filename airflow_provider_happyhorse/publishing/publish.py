"""Copy a generation's results into the user's own storage: verified, once, whole under the final name, the sidecar last.

See :mod:`airflow_provider_happyhorse.publishing.sidecar` for the document beside the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_happyhorse._compat import TaskLog
from airflow_provider_happyhorse.exceptions import PublishFailed
from airflow_provider_happyhorse.media.facts import MediaFacts, NotMedia, inspect_media
from airflow_provider_happyhorse.publishing.final_names import FinalNames, Refused
from airflow_provider_happyhorse.publishing.layout import Where
from airflow_provider_happyhorse.publishing.sidecar import LONGEST, NotASidecar, PublishedFile, Sidecar, encoded, new_sidecar, read_sidecar
from airflow_provider_happyhorse.results import money
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable, Upload, locate
from airflow_provider_happyhorse.transports.download import (
    DownloadRules,
    ResultExpired,
    ResultRefused,
    ResultUnavailable,
    download,
)

__all__ = ["DownloadRules", "ResultUnavailable", "StorageUnavailable", "Where", "publish"]

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
) -> dict[str, Any]:
    """Publish a generation and return what the publish operator returns; publishing the same one again changes nothing.

    :param generation: the flat result of the step before; ``generation_id`` is required. Without ``result_urls`` the service is asked.
    :param destination: absolute path or URI. ``.../`` = a folder, below which the result becomes
        ``<dag_id>/<run id>/<name>--<generation_id>.<ext>`` with ``.json`` beside it; otherwise the exact object, with ``<object>.json``
        beside it. Several results are numbered ``-1``, ``-2``, ... before the extension.
    :param if_exists: ``skip``: the same generation is a no-op, anything else under the name is refused. ``overwrite``: it is replaced.
    :param fresh_urls: asks the service for the result's URLs; called at most once, when there are none or one has expired.
    :param now: the current time, aware.
    :raises PublishFailed: trying again changes nothing (not a video, refused address, name taken, too large, nothing there, ...).
    :raises ResultUnavailable: the network or the CDN failed; a retry costs no credits.
    :raises StorageUnavailable: the storage failed; a retry costs no credits.
    """
    generation = {**generation, "generation_id": str(generation.get("generation_id") or "")}
    if if_exists not in IF_EXISTS:
        raise PublishFailed(f"if_exists={if_exists!r} is not known; it is one of {', '.join(IF_EXISTS)}.")
    if not generation["generation_id"]:
        raise PublishFailed("There is no generation_id, so there is nothing to publish.")
    label = f"[{generation.get('name') or where.task_id}] {generation['generation_id']}"
    try:
        place = FinalNames.of(locate(destination), generation, where)
        publication = _Publication(generation, place, where, fresh_urls, guard, overwrite=if_exists == "overwrite")
        document, already_there = publication.run(now)
    except (Refused, PublishFailed, ResultRefused, ResultExpired) as error:
        raise PublishFailed(_story(label, destination, error, generation)) from error
    except (ResultUnavailable, StorageUnavailable) as error:
        raise type(error)(_story(label, destination, error, generation)) from error
    result = place.result(document, already_there=already_there)
    log.info("%s", _line(label, result))
    return result


@dataclass(frozen=True)
class _Ready:
    """A verified upload that nobody can see yet."""

    upload: Upload
    facts: MediaFacts
    path: str

    def published(self) -> PublishedFile:
        return PublishedFile(
            file=self.path.rpartition("/")[2],
            bytes=self.upload.size,
            sha256=self.upload.sha256,
            content_type=self.facts.content_type,
            seconds=self.facts.seconds,
            width=self.facts.width,
            height=self.facts.height,
        )


class _Publication:
    """One attempt to publish one generation."""

    def __init__(
        self,
        generation: Mapping[str, Any],
        place: FinalNames,
        where: Where,
        fresh_urls: Callable[[], Sequence[str]],
        guard: DownloadRules,
        *,
        overwrite: bool,
    ) -> None:
        self._generation = generation
        self._place = place
        self._store = place.store
        self._where = where
        self._fresh_urls = fresh_urls
        self._guard = guard
        self._overwrite = overwrite

    def run(self, now: Callable[[], datetime]) -> tuple[Mapping[str, Any], bool]:
        """Return the sidecar's document and whether it stood there already."""
        there = self._sidecar()
        if there is not None and all(self._store.size(self._place.beside(file.file)) == file.bytes for file in there.files):
            return there.document, True
        urls, fresh = self._urls()
        with ExitStack() as uploads:
            try:
                ready = self._fetch_all(urls, uploads)
            except ResultExpired:
                if fresh:
                    raise
                uploads.close()
                ready = self._fetch_all(self._ask(), uploads)
            return self._make_visible(ready, now)

    def _sidecar(self) -> Sidecar | None:
        """Return this generation's sidecar if it stands there; another's, or something unreadable, is refused unless it may go."""
        stored = self._store.read(self._place.sidecar, at_most=LONGEST + 1)
        if stored is None:
            return None
        uri = self._store.uri(self._place.sidecar)
        try:
            sidecar = read_sidecar(stored)
        except NotASidecar as error:
            if self._overwrite:
                return None
            raise Refused(f"{uri} stands in the way: {error}. Move it, or use if_exists='overwrite'.") from None
        if sidecar.describes(self._generation):
            return sidecar
        if self._overwrite:
            return None
        raise Refused(
            f"The name belongs to generation {sidecar.generation_id} already ({uri}). "
            "Use another name, a folder ('.../'), or if_exists='overwrite'."
        )

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

    def _fetch_all(self, urls: Sequence[str], uploads: ExitStack) -> list[_Ready]:
        """Download and verify every result before any of them becomes visible."""
        if len(urls) > MAX_RESULTS:
            raise Refused(f"The service names {len(urls)} results; at most {MAX_RESULTS} are published.")
        ready = []
        for number, url in enumerate(urls, start=1):
            stem = f"{self._place.stem}-{number}" if len(urls) > 1 else self._place.stem
            upload = uploads.enter_context(self._store.upload(stem))
            download(url, into=upload, rules=self._guard)
            with upload.reader() as file:
                try:
                    facts = inspect_media(file)
                except NotMedia as error:
                    raise Refused(f"What the service's URL delivered is no whole MP4, PNG, JPEG or WebP but: {error}.") from error
            ready.append(_Ready(upload, facts, self._place.path(facts, number, len(urls))))
        return ready

    def _make_visible(self, ready: Sequence[_Ready], now: Callable[[], datetime]) -> tuple[Mapping[str, Any], bool]:
        """Give everything its final name, the sidecar last."""
        if self._overwrite:
            # Without this, a kill before the new sidecar would leave the old one telling another video's story.
            self._store.remove(self._place.sidecar)
        else:
            for item in ready:  # all before any, so that a conflict in the second leaves no first
                self._same_or_absent(item)
        for item in ready:
            try:
                item.upload.commit(item.path, overwrite=self._overwrite)
            except ObjectExists as error:
                if self._same_or_absent(item) is None:
                    raise StorageUnavailable(f"{error} was there and is gone again; somebody else is at work on this name") from error
        files = [item.published() for item in ready]
        published_at = now().astimezone(UTC).isoformat(timespec="seconds")
        document = new_sidecar(self._generation, files, where=self._where, published_at=published_at)
        with self._store.upload(self._place.sidecar) as upload:
            upload.write(encoded(document))
            try:
                upload.commit(self._place.sidecar, overwrite=self._overwrite)
            except ObjectExists:
                return self._sidecar_of_another_writer(files, upload, document)
        return document, False

    def _same_or_absent(self, item: _Ready) -> str | None:
        """Accept what a killed or concurrent try for the same content has left, and nothing else; return its SHA-256."""
        there = self._store.sha256(item.path)
        if there not in (None, item.upload.sha256):
            raise Refused(
                f"{self._store.uri(item.path)} holds something else (sha256 {there[:12]}..., this result has {item.upload.sha256[:12]}...) "
                "and was not touched. Use another name, a folder ('.../'), or if_exists='overwrite'."
            )
        return there

    def _sidecar_of_another_writer(
        self, files: Sequence[PublishedFile], upload: Upload, document: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], bool]:
        """Somebody wrote the sidecar meanwhile, or it is this generation's own from before its object went missing."""
        there = self._sidecar()
        if there is not None and there.files == tuple(files):
            return there.document, True
        upload.commit(self._place.sidecar, overwrite=True)
        return document, False


def _story(label: str, destination: str, error: Exception, generation: Mapping[str, Any]) -> str:
    return (
        f"{label} was not published to {destination}: {str(error).rstrip('.')}. Nothing partial is visible under the final name. "
        f"The generation cost {money(generation)}; publishing it again costs nothing."
    )


def _line(label: str, result: Mapping[str, Any]) -> str:
    size = result["bytes"]
    amount = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
    length = "" if result["seconds"] is None else f" {result['seconds']:.2f} s"
    more = "" if len(result["uris"]) == 1 else f" and {len(result['uris']) - 1} more"
    verb = "is already published at" if result["already_there"] else "published"
    return f"{label} {verb} {result['uri']}{more} {amount}{length} sha256 {result['sha256'][:12]}..."

"""Verified uploads get their final names, the sidecar last; what others have put under the names meanwhile is respected.

Two writers of one name at once: without ``overwrite`` exactly one creates each object, and the others accept the very same content or
refuse. With ``overwrite`` a store can replace one object in one step and not two, so each writer removes the old sidecar first, and looks
at the end whether its object still stands: if another's does, it takes its own sidecar away again and fails. So no sidecar stays beside
an object that it does not describe, unless a writer is killed in that last moment; the checksum in the sidecar tells even then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_happyhorse.media.facts import MediaFacts
from airflow_provider_happyhorse.publishing.final_names import FinalNames, Refused
from airflow_provider_happyhorse.publishing.layout import Where
from airflow_provider_happyhorse.publishing.previews import NONE, PICTURES, Previews, has_a_story
from airflow_provider_happyhorse.publishing.sidecar import LONGEST, NotASidecar, PublishedFile, Sidecar, encoded, new_sidecar, read_sidecar
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable, Upload


@dataclass(frozen=True)
class Ready:
    """A verified upload that nobody can see yet, and the final name it is to get (``stem`` is that without the extension)."""

    upload: Upload
    facts: MediaFacts
    path: str
    stem: str

    def published(self, pictures: Mapping[str, str | None]) -> PublishedFile:
        """Return what the sidecar says of it.

        :param pictures: file names of ``poster`` and ``preview``.
        """
        return PublishedFile(
            file=self.path.rpartition("/")[2],
            bytes=self.upload.size,
            sha256=self.upload.sha256,
            content_type=self.facts.content_type,
            seconds=self.facts.seconds,
            width=self.facts.width,
            height=self.facts.height,
            poster=pictures["poster"],
            preview=pictures["preview"],
        )


class UnderTheName:
    """What stands under one generation's final names, and what may be put there.

    :param generation: the flat result of the step before.
    :param told: what the service has told since, for what the result lacks.
    :param previews: makes the pictures of videos.
    :param overwrite: whether anything else under the names may be replaced.
    """

    def __init__(
        self,
        generation: Mapping[str, Any],
        place: FinalNames,
        where: Where,
        previews: Previews,
        *,
        told: Mapping[str, Any],
        overwrite: bool,
    ) -> None:
        self._generation, self._told = generation, told
        self._place = place
        self._store = place.store
        self._where = where
        self._previews = previews
        self._overwrite = overwrite

    def published(self) -> Mapping[str, Any] | None:
        """Return the sidecar's document if this generation is published whole."""
        there = self._sidecar()
        if there is not None and all(self._store.size(self._place.beside(file.file)) == file.bytes for file in there.files):
            return there.document
        return None

    def show(self, ready: Sequence[Ready], now: Callable[[], datetime]) -> tuple[Mapping[str, Any], bool]:
        """Give everything its final name; return the sidecar's document and whether another writer had put the same there.

        :raises Refused: something else has one of the names.
        :raises StorageUnavailable: the storage failed, or another writer has replaced what was just written.
        """
        older: Sequence[PublishedFile] = ()
        if self._overwrite:
            for item in ready:
                self._require_no_result_of_its_own(item)
            story, before = self._store.read(self._place.sidecar, at_most=LONGEST + 1), self._store.stamp(ready[0].path)
            # A kill before the new one would leave another video's beside this one.
            self._store.remove(self._place.sidecar)
            try:
                first = [self._commit(item) for item in ready[:1]]
            except BaseException:
                self._tell_again(story, untouched=lambda: self._store.stamp(ready[0].path) == before)
                raise
            older = self._remove_older_pictures(story)
            stamps = first + [self._commit(item) for item in ready[1:]]
        else:
            for item in ready:  # all before any, so that a conflict in the second leaves no first
                self._same_or_absent(item)
            stamps = [self._commit(item) for item in ready]
        self._remove_older_files(older, {item.path for item in ready})
        # After the videos, which they may not hold up, and before the sidecar, which names them.
        files = [item.published(self._pictures(item, stamp)) for item, stamp in zip(ready, stamps, strict=True)]
        published_at = now().astimezone(UTC).isoformat(timespec="seconds")
        # No XCom carries the request; where the result has it, whoever submitted it says so.
        lacks = {key: value for key, value in self._told.items() if self._generation.get(key) is None}
        if self._generation.get("request"):
            lacks.pop("request_from", None)
        generation = {**self._generation, **lacks}
        document: Mapping[str, Any] = new_sidecar(generation, files, where=self._where, published_at=published_at)
        mine = encoded(document)
        already_there = False
        with self._store.upload(self._place.sidecar) as upload:
            upload.write(mine)
            try:
                upload.commit(self._place.sidecar, overwrite=self._overwrite, content_type="application/json")
            except ObjectExists:
                # Somebody wrote it meanwhile, or it is this generation's own from before its object went missing.
                there = self._sidecar()
                if there is not None and there.tells_of(files):
                    document, already_there = there.document, True
                else:
                    upload.commit(self._place.sidecar, overwrite=True, content_type="application/json")
        # Once for all of them: file systems keep the order of names in their journal, and a sidecar whose video a power cut has taken
        # all the same is published again.
        self._store.settle(self._place.folder)
        for item, stamp in zip(ready, stamps, strict=True):
            self._require_still_there(item, stamp, mine)
        return document, already_there

    def _require_no_result_of_its_own(self, item: Ready) -> None:
        """Refuse to replace one of several results' names where another generation has published under just that name."""
        story = self._place.story_of(item.path)
        if story != self._place.sidecar and self._store.size(story) is not None:
            raise Refused(
                f"{self._store.uri(item.path)} is a result of its own ({self._store.uri(story)}), and as one of several this one would get "
                "its name; nothing was touched. Use another name, or a folder ('.../')."
            )

    def _pictures(self, item: Ready, stamp: str | None) -> Mapping[str, str | None]:
        if item.facts.content_type != "video/mp4":
            return NONE
        return self._previews.publish(item.upload, stem=item.stem, still_there=lambda: self._store.stamp(item.path) == stamp)

    def _tell_again(self, story: bytes | None, *, untouched: Callable[[], bool]) -> None:
        """Put the older sidecar back where what it tells of was not replaced, unless somebody else has written one since.

        How the publication has failed is said by the caller; that this fails too tells nothing more.
        """
        with suppress(StorageUnavailable, ObjectExists):
            if story is None or len(story) > LONGEST or not untouched():
                return
            with self._store.upload(self._place.sidecar) as upload:
                upload.write(story)
                upload.commit(self._place.sidecar, overwrite=False, content_type="application/json")

    def _remove_older_pictures(self, stored: bytes | None) -> Sequence[PublishedFile]:
        """Remove the pictures that an older sidecar names; return its files.

        Of what a sidecar may name, only what has a name that we give is ours.
        """
        try:
            named = read_sidecar(stored).files if stored else ()
        except NotASidecar:
            return ()
        older = [file for file in named if self._place.may_be_of_a_set(file.file)]
        for file in older:
            ours = {f"{file.file.rpartition('.')[0] or file.file}{picture.ending}" for picture in PICTURES}
            for path in (self._place.beside(name) for name in (file.poster, file.preview) if name in ours):
                if not has_a_story(self._store, path):
                    self._store.remove(path)
        return older

    def _remove_older_files(self, older: Sequence[PublishedFile], now: Collection[str]) -> None:
        """Remove what the older sidecar tells of and no new file has replaced: one result after two, or the other way round.

        :param now: paths of the new files.
        """
        for file in older:
            path = self._place.beside(file.file)
            # The size first: what somebody else has put there may be large.
            if path not in now and self._store.size(path) == file.bytes and self._store.sha256(path) == file.sha256:
                self._store.remove(path)

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

    def _commit(self, item: Ready) -> str | None:
        """Make one upload visible, or accept the same content under its name; return the object's stamp."""
        try:
            return item.upload.commit(item.path, overwrite=self._overwrite, content_type=item.facts.content_type)
        except ObjectExists as error:
            stamp = self._store.stamp(item.path)  # before the bytes are read: a change in between must show in the end
            if self._same_or_absent(item) is None:
                raise StorageUnavailable(f"{error} was there and is gone again; somebody else is at work on this name") from error
            return stamp

    def _same_or_absent(self, item: Ready) -> str | None:
        """Accept what a killed or concurrent try for the same content has left, and nothing else; return its SHA-256."""
        there = self._store.sha256(item.path)
        if there is not None and there != item.upload.sha256:
            raise Refused(
                f"{self._store.uri(item.path)} holds something else (sha256 {there[:12]}..., this result has {item.upload.sha256[:12]}...) "
                "and was not touched. Use another name, a folder ('.../'), or if_exists='overwrite'."
            )
        return there

    def _require_still_there(self, item: Ready, stamp: str | None, mine: bytes) -> None:
        """Take our sidecar away again if the object is another writer's by now."""
        if self._store.stamp(item.path) == stamp or self._store.sha256(item.path) == item.upload.sha256:
            return
        if self._store.read(self._place.sidecar, at_most=len(mine) + 1) == mine:
            self._store.remove(self._place.sidecar)
        raise StorageUnavailable(
            f"{self._store.uri(item.path)} was replaced while its sidecar was written: two tasks publish under one name with "
            "if_exists='overwrite'"
        )

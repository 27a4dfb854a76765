"""Which names a generation's results get in a store, and what the publish operator returns about them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_happyhorse.media.facts import MediaFacts
from airflow_provider_happyhorse.publishing.layout import Where, default_stem
from airflow_provider_happyhorse.storage.destinations import Destination
from airflow_provider_happyhorse.storage.stores import Store

#: Extensions that promise a format; an exact name with another extension, or none, is the author's choice.
_PROMISES = {"mp4": "mp4", "png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp"}


class Refused(Exception):
    """Why a generation cannot be published here, as a sentence; another try changes nothing."""


@dataclass(frozen=True, kw_only=True)
class FinalNames:
    """The final names of one generation's objects and sidecar in a store.

    :param stem: path without extension, which an upload is begun under: only its content tells the extension.
    :param extension: of an exact name, with its dot, may be empty; None below a folder.
    :param sidecar: path of the sidecar.
    """

    store: Store
    stem: str
    extension: str | None
    sidecar: str

    @classmethod
    def of(cls, destination: Destination, generation: Mapping[str, Any], where: Where) -> FinalNames:
        """Return the names for a destination. Raises :class:`Refused` when it is a folder without its slash."""
        if destination.is_folder:
            name = generation.get("name")
            file = default_stem(where, name=str(name) if name else None, generation_id=generation["generation_id"])
            stem = f"{destination.path.rstrip('/')}/{file}"
            return cls(store=destination.store, stem=stem, extension=None, sidecar=f"{stem}.json")
        if destination.store.is_folder(destination.path):
            raise Refused(f"{destination.uri} is a folder; end it with '/' to publish below it.")
        folder, _, file = destination.path.rpartition("/")
        base, dot, extension = file.rpartition(".")
        if not base:
            base, dot, extension = file, "", ""
        # Not <base>.json: shoe.mp4 and shoe.png may stand in one folder, and each has its own story.
        return cls(store=destination.store, stem=f"{folder}/{base}", extension=f"{dot}{extension}", sidecar=f"{destination.path}.json")

    def path(self, facts: MediaFacts, number: int, of: int) -> str:
        """Return the final name of a result.

        :param number: from 1.
        :param of: how many results there are; a single one gets no number.
        :raises Refused: the exact name's extension promises another format.
        """
        extension = self.extension
        if extension is None:
            extension = f".{facts.extension}"
        elif _PROMISES.get(extension[1:].lower(), facts.extension) != facts.extension:
            raise Refused(f"The result is {facts.content_type}, and the destination's name ends in {extension}.")
        return f"{self.stem}{f'-{number}' if of > 1 else ''}{extension}"

    def may_be_of_a_set(self, file: str) -> bool:
        """Return whether a file beside the sidecar has a name that results under these names get, however many they are."""
        base = self.stem.rpartition("/")[2]
        extension = r"\.(mp4|png|jpg|webp)" if self.extension is None else re.escape(self.extension)
        return re.fullmatch(rf"{re.escape(base)}(-[1-9]\d{{0,2}})?{extension}", file) is not None

    def story_of(self, path: str) -> str:
        """Return the path of the sidecar that an object would have if it were not one of several, but a result of its own.

        :param path: a final name, from :meth:`path`.
        """
        return f"{path}.json" if self.extension is not None else f"{path.rpartition('.')[0]}.json"

    @property
    def folder(self) -> str:
        """The path of the folder that all of them are in; empty for the topmost one."""
        return self.sidecar.rpartition("/")[0]

    def beside(self, file: str) -> str:
        """Return the path of a file that the sidecar names."""
        return f"{self.folder}/{file}"

    def result(self, document: Mapping[str, Any], *, already_there: bool) -> dict[str, Any]:
        """Return the publish operator's result from the sidecar's document."""
        uris = [self.store.uri(self.beside(entry["file"])) for entry in document["files"]]
        first = document["files"][0]  # which reading has checked, unlike the copies of its facts in the document
        pictures = {key: first.get(key) for key in ("poster", "preview")}
        return {
            **{key: document.get(key) for key in ("generation_id", "name", "service", "kind")},
            "uri": uris[0],
            "uris": uris,
            "results": len(uris),
            "sidecar_uri": self.store.uri(self.sidecar),
            **{f"{key}_uri": file and self.store.uri(self.beside(file)) for key, file in pictures.items()},
            **{key: first[key] for key in ("bytes", "sha256", "content_type", "seconds", "width", "height")},
            **{key: document.get(key) for key in ("credits", "credits_estimated", "published_at")},
            "already_there": already_there,
        }

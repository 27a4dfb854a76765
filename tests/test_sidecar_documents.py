"""Pure: sidecars as they are written, and what is taken for one when it is read."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.publishing.sidecar import NotASidecar, PublishedFile, encoded, new_sidecar, read_sidecar
from tests.test_publishing import GENERATION, NOON, WHERE


class TestSidecar:
    @pytest.mark.parametrize(
        "broken",
        [
            {"files": []},
            {"files": None},
            {"files": [{"file": "x.mp4"}]},
            {"files": ["x.mp4"]},
            {"schema": "1"},
            {"service": ["happy-horse.ai"]},
        ],
    )
    def test_what_publishing_relies_on_is_checked(self, broken: dict[str, Any]) -> None:
        with pytest.raises(NotASidecar):
            read_sidecar(encoded(self.document() | broken))

    @pytest.mark.parametrize("fact", ["bytes", "sha256", "content_type", "seconds", "width", "height"])
    @pytest.mark.parametrize("value", ["absent", [], {}])
    def test_every_fact_of_a_file_is_checked(self, fact: str, value: object) -> None:
        document = self.document()
        document["files"][0] |= {fact: value}
        if value == "absent":
            del document["files"][0][fact]
        with pytest.raises(NotASidecar, match="its list of files cannot be read"):
            read_sidecar(encoded(document))

    def test_a_file_name_in_it_cannot_point_elsewhere(self) -> None:
        document = self.document()
        document["files"][0]["file"] = "../../etc/passwd"
        with pytest.raises(NotASidecar):
            read_sidecar(encoded(document))

    @pytest.mark.parametrize("name", ["../x.jpg", 7])
    def test_a_picture_in_it_cannot_point_elsewhere_either(self, name: object) -> None:
        document = self.document()
        document["files"][0]["poster"] = name
        with pytest.raises(NotASidecar):
            read_sidecar(encoded(document))

    def test_one_from_before_there_were_pictures_is_read(self) -> None:
        document = self.document()
        del document["files"][0]["poster"], document["files"][0]["preview"]
        assert read_sidecar(encoded(document)).files[0].poster is None

    def test_one_that_names_more_pictures_tells_of_a_file_and_one_that_names_fewer_does_not(self) -> None:
        without = read_sidecar(encoded(self.document()))
        document = self.document()
        document["files"][0]["poster"] = "x.poster.jpg"
        with_one = read_sidecar(encoded(document))
        assert with_one.tells_of(without.files)
        assert with_one.tells_of(with_one.files)
        assert not without.tells_of(with_one.files)
        assert not with_one.tells_of([*with_one.files, *with_one.files])

    def test_what_was_written_is_read_back(self) -> None:
        document = self.document()
        sidecar = read_sidecar(encoded(document))
        assert sidecar.document == document
        assert sidecar.describes(GENERATION)
        assert sidecar.describes(GENERATION | {"service": None})
        assert not sidecar.describes(GENERATION | {"generation_id": "n1"})

    @given(st.binary(max_size=200))
    def test_no_bytes_make_reading_raise_anything_else(self, data: bytes) -> None:
        for stored in (data, b"[" * 100_000, b'{"schema":1,"generation_id":"n","files":' + data + b"}"):
            with pytest.raises(NotASidecar):
                read_sidecar(stored)

    def document(self) -> dict[str, Any]:
        file = PublishedFile(file="x.mp4", bytes=3, sha256="ab", content_type="video/mp4", seconds=1.0, width=2, height=2)
        return new_sidecar(GENERATION, [file], where=WHERE, published_at=NOON.astimezone(UTC).isoformat())

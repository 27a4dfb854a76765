"""Publishing where something stands already: the same, a part of it, something else, another number of files."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from datetime import datetime
from pathlib import Path

import pytest

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.publishing.publish import DownloadRules, publish
from airflow_provider_happyhorse.publishing.sidecar import read_sidecar
from tests.cdn import Cdn, whole
from tests.test_publishing import GENERATION, NOON, OTHER, VIDEO, WHERE, files, not_asked, run


class TestTheSame:
    @pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
    def test_publishing_the_same_generation_again_asks_nobody_and_changes_nothing(self, tmp_path: Path, if_exists: str) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            first = run([cdn.url()], f"{tmp_path}/")
            before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
            again = run([cdn.url()], f"{tmp_path}/", if_exists=if_exists, credits=180)
        assert len(cdn.asked) == 1
        assert again == first | {"already_there": True}
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    def test_an_object_without_a_sidecar_that_is_the_same_gets_its_sidecar(self, tmp_path: Path) -> None:
        (tmp_path / "x.mp4").write_bytes(VIDEO)
        with Cdn(whole(VIDEO)) as cdn:
            assert not run([cdn.url()], tmp_path / "x.mp4")["already_there"]
        assert files(tmp_path) == ["x.mp4", "x.mp4.json"]


class TestSomethingElse:
    def test_an_object_without_a_sidecar_that_is_something_else_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "x.mp4").write_bytes(OTHER)
        with Cdn(whole(VIDEO)) as cdn, pytest.raises(PublishRefused, match=r"holds something else .* was not touched"):
            run([cdn.url()], tmp_path / "x.mp4")
        assert (tmp_path / "x.mp4").read_bytes() == OTHER
        assert files(tmp_path) == ["x.mp4"]

    def test_an_object_that_went_missing_is_published_again(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO), whole(OTHER)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4")
            (tmp_path / "x.mp4").unlink()
            result = run([cdn.url()], tmp_path / "x.mp4")
        assert not result["already_there"]
        assert json.loads((tmp_path / "x.mp4.json").read_text())["sha256"] == hashlib.sha256(OTHER).hexdigest()

    def test_an_object_that_somebody_cut_is_not_taken_for_the_result(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4")
            (tmp_path / "x.mp4").write_bytes(b"edited")
            with pytest.raises(PublishRefused, match="holds something else"):
                run([cdn.url()], tmp_path / "x.mp4")
            run([cdn.url()], tmp_path / "x.mp4", if_exists="overwrite")
        assert (tmp_path / "x.mp4").read_bytes() == VIDEO

    def test_a_sidecar_that_lost_the_copies_of_its_facts_is_enough(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            first = run([cdn.url()], tmp_path / "x.mp4")
            story = tmp_path / "x.mp4.json"
            document = json.loads(story.read_text())
            story.write_text(json.dumps({key: document[key] for key in document if key not in ("bytes", "sha256", "seconds", "poster")}))
            again = run([cdn.url()], tmp_path / "x.mp4")
        assert again == first | {"already_there": True}

    def test_another_generation_under_the_name_is_refused_before_anything_is_fetched(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n1")
            with pytest.raises(PublishRefused, match="The name belongs to generation n1 already"):
                run([cdn.url()], tmp_path / "x.mp4", generation_id="n2")
            with pytest.raises(PublishRefused, match="The name belongs to generation n1 already"):
                run([cdn.url()], tmp_path / "x.mp4", generation_id="n1", service="happyhorse.app")
        assert len(cdn.asked) == 1


class TestOverwriting:
    def test_overwrite_replaces_it_and_its_sidecar(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO), whole(OTHER)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n1")
            result = run([cdn.url()], tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        assert (tmp_path / "x.mp4").read_bytes() == OTHER
        assert result["generation_id"] == json.loads((tmp_path / "x.mp4.json").read_text())["generation_id"] == "n2"
        assert files(tmp_path) == ["x.mp4", "x.mp4.json"]

    @pytest.mark.parametrize("before", [1, 2, 3])
    @pytest.mark.parametrize("after", [1, 2])
    def test_of_a_set_that_is_overwritten_nothing_is_left_over(self, tmp_path: Path, before: int, after: int) -> None:
        (tmp_path / "x-4.mp4").write_bytes(b"mine")
        with Cdn(*[whole(VIDEO)] * before, *[whole(OTHER)] * after) as cdn:
            run([cdn.url()] * before, tmp_path / "x.mp4", generation_id="n1")
            result = run([cdn.url()] * after, tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        new = ["x.mp4"] if after == 1 else ["x-1.mp4", "x-2.mp4"]
        assert files(tmp_path) == sorted([*new, "x-4.mp4", "x.mp4.json"])
        assert [Path(uri).name for uri in result["uris"]] == new
        assert [(tmp_path / name).read_bytes() for name in new] == [OTHER] * after

    def test_one_of_several_never_gets_the_name_of_a_result_of_its_own(self, tmp_path: Path) -> None:
        with Cdn(whole(OTHER)) as older, Cdn(whole(VIDEO)) as cdn:
            run([older.url()] * 2, tmp_path / "x.mp4", generation_id="set")
            run([older.url()], tmp_path / "x-2.mp4", generation_id="own", if_exists="overwrite")
            before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            with pytest.raises(PublishRefused, match=r"x-2.mp4 is a result of its own .*x-2.mp4.json.*nothing was touched"):
                run([cdn.url()] * 2, tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
            (tmp_path / "x-2.mp4.json").unlink()
            run([cdn.url()] * 2, tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        assert files(tmp_path) == ["x-1.mp4", "x-2.mp4", "x.mp4.json"]

    def test_nor_does_it_below_a_folder(self, tmp_path: Path) -> None:
        with Cdn(whole(OTHER)) as older, Cdn(whole(VIDEO)) as cdn:
            own = run([older.url()], f"{tmp_path}/", generation_id="n-1")
            with pytest.raises(PublishRefused, match="is a result of its own"):
                run([cdn.url()] * 2, f"{tmp_path}/", generation_id="n", if_exists="overwrite")
        assert run([], f"{tmp_path}/", generation_id="n-1") == own | {"already_there": True}

    def test_what_is_no_longer_the_older_set_s_is_left_alone(self, tmp_path: Path) -> None:
        with Cdn(*[whole(VIDEO)] * 2, whole(OTHER)) as cdn:
            run([cdn.url()] * 2, tmp_path / "x.mp4", generation_id="n1")
            (tmp_path / "x-1.mp4").write_bytes(b"edited")
            story = tmp_path / "x.mp4.json"
            document = json.loads(story.read_text())
            (tmp_path / "y.mp4").write_bytes(VIDEO)
            story.write_text(json.dumps(document | {"files": [*document["files"], document["files"][0] | {"file": "y.mp4"}]}))
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        assert files(tmp_path) == ["x-1.mp4", "x.mp4", "x.mp4.json", "y.mp4"]

    def test_while_overwriting_no_sidecar_tells_the_story_of_another_video(self, tmp_path: Path) -> None:
        between: list[list[str]] = []

        def note() -> datetime:
            between.append(files(tmp_path))
            return NOON

        with Cdn(whole(VIDEO), whole(OTHER)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n1")
            publish(
                GENERATION | {"result_urls": [cdn.url()], "generation_id": "n2"},
                destination=str(tmp_path / "x.mp4"),
                if_exists="overwrite",
                where=WHERE,
                fresh_urls=not_asked,
                guard=DownloadRules(allow_loopback=True),
                now=note,
                log=logging.getLogger("task"),
            )
        visible = [[name for name in names if not name.startswith(".")] for names in between]
        assert visible == [["x.mp4"]]

    def test_overwrite_leaves_the_older_video_alone_when_the_new_one_is_none(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO), whole(b"<html>gone</html>")) as cdn:
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n1")
            with pytest.raises(PublishRefused, match="HTML page"):
                run([cdn.url()], tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        assert (tmp_path / "x.mp4").read_bytes() == VIDEO
        assert json.loads((tmp_path / "x.mp4.json").read_text())["generation_id"] == "n1"

    def test_a_storage_that_fails_leaves_the_older_video_its_story(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        replace = os.replace

        def full(source: str, target: str) -> None:
            if str(target).endswith(".mp4"):
                raise OSError(errno.ENOSPC, "No space left on device")
            replace(source, target)

        with Cdn(whole(VIDEO), whole(OTHER), whole(OTHER)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n1")
            story = (tmp_path / "x.mp4.json").read_bytes()
            monkeypatch.setattr(os, "replace", full)
            with pytest.raises(PublishFailed, match="No space left"):
                run([cdn.url()], tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
            monkeypatch.undo()
            assert files(tmp_path) == ["x.mp4", "x.mp4.json"]
            assert (tmp_path / "x.mp4").read_bytes() == VIDEO
            assert (tmp_path / "x.mp4.json").read_bytes() == story
            run([cdn.url()], tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        assert json.loads((tmp_path / "x.mp4.json").read_text())["generation_id"] == "n2"

    def test_a_storage_that_fails_after_the_first_of_two_leaves_no_story_of_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = os.replace

        def full(source: str, target: str) -> None:
            if str(target).endswith("x-2.mp4"):
                raise OSError(errno.ENOSPC, "No space left on device")
            replace(source, target)

        with Cdn(*[whole(VIDEO)] * 2, *[whole(OTHER)] * 4) as cdn:
            run([cdn.url()] * 2, tmp_path / "x.mp4", generation_id="n1")
            monkeypatch.setattr(os, "replace", full)
            with pytest.raises(PublishFailed, match="No space left"):
                run([cdn.url()] * 2, tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
            monkeypatch.undo()
            assert files(tmp_path) == ["x-1.mp4", "x-2.mp4"]
            run([cdn.url()] * 2, tmp_path / "x.mp4", generation_id="n2", if_exists="overwrite")
        assert files(tmp_path) == ["x-1.mp4", "x-2.mp4", "x.mp4.json"]

    @pytest.mark.parametrize("stored", [b"", b"{", b"[]", b'{"schema": 2, "generation_id": "n92abc"}', b'{"mine": true}', b" " * 2_000_000])
    def test_a_file_that_is_no_sidecar_of_ours_is_not_replaced(self, tmp_path: Path, stored: bytes) -> None:
        (tmp_path / "x.mp4.json").write_bytes(stored)
        with Cdn(whole(VIDEO)) as cdn:
            with pytest.raises(PublishRefused, match="stands in the way"):
                run([cdn.url()], tmp_path / "x.mp4")
            assert (tmp_path / "x.mp4.json").read_bytes() == stored
            run([cdn.url()], tmp_path / "x.mp4", if_exists="overwrite")
        assert read_sidecar((tmp_path / "x.mp4.json").read_bytes()).generation_id == "n92abc"

    def test_a_word_that_if_exists_does_not_know_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PublishRefused, match="if_exists='replace' is not known; it is one of skip, overwrite"):
            run([], tmp_path / "x.mp4", if_exists="replace")

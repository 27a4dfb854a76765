from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.publishing.layout import LONGEST, component, default_stem
from airflow_provider_happyhorse.publishing.publish import DownloadRules, Where, publish
from airflow_provider_happyhorse.publishing.sidecar import NotASidecar, encoded, new_sidecar, read_sidecar
from airflow_provider_happyhorse.transports import download as transfer
from tests.cdn import Asked, Cdn, head, says, whole
from tests.media_samples import picture, video

WHERE = Where(dag_id="teaser", run_id="manual__2026-11-20T09:00:00+00:00", task_id="publish", map_index=2)
NOON = datetime(2026, 11, 20, 13, 0, 0, tzinfo=timezone(timedelta(hours=1)))
VIDEO = video()
OTHER = video(shade=200)
GENERATION: dict[str, Any] = {
    "generation_id": "n92abc",
    "name": "shoe-01",
    "kind": "video",
    "service": "happy-horse.ai",
    "happyhorse_conn_id": "happyhorse_default",
    "state": "succeeded",
    "result_urls": [],
    "credits": None,
    "credits_estimated": 200,
    "model": "seedance-1-5-pro",
    "duration": 5,
    "aspect_ratio": "16:9",
    "submitted_at": "2026-11-20T11:58:00+00:00",
    "completed_at": "2026-11-20T11:59:40+00:00",
    "reused": False,
    "uri": None,
    "sidecar_uri": None,
}
FILE = "teaser/manual__2026-11-20T09-00-00-00-00~a3673ae6431d6c5e/shoe-01--n92abc"


def not_asked() -> Sequence[str]:
    raise AssertionError("the service was asked for fresh URLs")


def run(
    urls: Sequence[str],
    destination: str | Path,
    *,
    if_exists: str = "skip",
    fresh: Callable[[], Sequence[str]] = not_asked,
    rules: DownloadRules | None = None,
    **changed: Any,
) -> dict[str, Any]:
    return publish(
        GENERATION | {"result_urls": list(urls)} | changed,
        destination=str(destination),
        if_exists=if_exists,
        where=WHERE,
        fresh_urls=fresh,
        guard=rules or DownloadRules(allow_loopback=True),
        now=lambda: NOON,
        log=logging.getLogger("task"),
    )


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def facts(data: bytes) -> dict[str, object]:
    return {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content_type": "video/mp4",
        "seconds": 1.0,
        "width": 128,
        "height": 72,
    }


class TestWhatIsPublished:
    def test_below_a_folder_a_result_gets_a_name_of_its_own_and_a_sidecar(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            result = run([cdn.url("/v?Signature=geheim")], f"file://{tmp_path}/clips/")
        assert files(tmp_path / "clips") == [f"{FILE}.json", f"{FILE}.mp4"]
        assert (tmp_path / "clips" / f"{FILE}.mp4").read_bytes() == VIDEO
        uri = f"file://{tmp_path}/clips/{FILE}.mp4"
        assert result == {
            "generation_id": "n92abc",
            "name": "shoe-01",
            "service": "happy-horse.ai",
            "kind": "video",
            "uri": uri,
            "uris": [uri],
            "results": 1,
            "sidecar_uri": f"file://{tmp_path}/clips/{FILE}.json",
            "poster_uri": None,
            "preview_uri": None,
            **facts(VIDEO),
            "credits": None,
            "credits_estimated": 200,
            "published_at": "2026-11-20T12:00:00+00:00",
            "already_there": False,
        }

    def test_the_sidecar_tells_the_story_without_a_secret(self, tmp_path: Path) -> None:
        request = {
            "prompt": "a shoe, see https://x",
            "image_urls": ["https://user:pw@cdn.example/a.png?X-Amz-Signature=geheim#f"],
            "seed": float("nan"),
        }
        with Cdn(whole(VIDEO)) as cdn:
            result = run([cdn.url("/v?Signature=geheim")], f"{tmp_path}/", request=request)
        text = Path(result["sidecar_uri"].removeprefix("file://")).read_text()
        assert "geheim" not in text
        assert "pw@" not in text
        assert json.loads(text) == {
            "schema": 1,
            "generation_id": "n92abc",
            "name": "shoe-01",
            "service": "happy-horse.ai",
            "kind": "video",
            "dag_id": "teaser",
            "run_id": "manual__2026-11-20T09:00:00+00:00",
            "task_id": "publish",
            "map_index": 2,
            "request": {"prompt": "a shoe, see https://x", "image_urls": ["https://cdn.example/a.png"], "seed": None},
            "request_from": "submission",
            "model": "seedance-1-5-pro",
            "duration": 5,
            "aspect_ratio": "16:9",
            "credits": None,
            "credits_estimated": 200,
            "files": [{"file": "shoe-01--n92abc.mp4", **facts(VIDEO), "poster": None, "preview": None}],
            **facts(VIDEO),
            "poster": None,
            "preview": None,
            "submitted_at": "2026-11-20T11:58:00+00:00",
            "completed_at": "2026-11-20T11:59:40+00:00",
            "published_at": "2026-11-20T12:00:00+00:00",
            "ai_generated": True,
        }

    def test_an_exact_name_is_taken_as_it_is(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            result = run([cdn.url()], tmp_path / "new" / "teaser.mp4")
        assert files(tmp_path) == ["new/teaser.mp4", "new/teaser.mp4.json"]
        assert (result["uri"], result["sidecar_uri"]) == (f"file://{tmp_path}/new/teaser.mp4", f"file://{tmp_path}/new/teaser.mp4.json")

    @pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")])
    def test_a_picture_gets_its_own_extension_whatever_the_server_calls_it(self, tmp_path: Path, kind: str, extension: str) -> None:
        with Cdn(whole(picture(kind), content_type="application/octet-stream")) as cdn:
            result = run([cdn.url("/image.mp4")], f"{tmp_path}/", kind="image")
        assert result["uri"].endswith(f"--n92abc.{extension}")
        assert (result["seconds"], result["width"], result["height"]) == (None, 64, 48)

    def test_an_exact_name_that_promises_another_format_is_refused(self, tmp_path: Path) -> None:
        with Cdn(whole(picture("PNG"))) as cdn, pytest.raises(PublishRefused, match=r"image/png, and the destination's name ends in \.mp4"):
            run([cdn.url()], tmp_path / "x.mp4")
        with Cdn(whole(picture("JPEG"))) as cdn:
            run([cdn.url()], tmp_path / "x.JPEG")
            run([cdn.url()], tmp_path / "without")
            run([cdn.url()], tmp_path / ".hidden")
        assert files(tmp_path) == [".hidden", ".hidden.json", "without", "without.json", "x.JPEG", "x.JPEG.json"]

    def test_several_results_are_numbered(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO), whole(OTHER)) as cdn:
            result = run([cdn.url("/1"), cdn.url("/2")], f"{tmp_path}/")
        assert files(tmp_path) == [f"{FILE}-1.mp4", f"{FILE}-2.mp4", f"{FILE}.json"]
        assert result["uris"] == [f"file://{tmp_path}/{FILE}-1.mp4", f"file://{tmp_path}/{FILE}-2.mp4"]
        assert result["uri"] == result["uris"][0]
        assert result["sha256"] == hashlib.sha256(VIDEO).hexdigest()
        assert (tmp_path / f"{FILE}-2.mp4").read_bytes() == OTHER

    def test_without_a_name_the_id_is_the_name(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            result = run([cdn.url()], f"{tmp_path}/", name=None)
        assert result["uri"].endswith("/n92abc.mp4")

    def test_ids_and_names_do_not_leave_the_folder(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            run([cdn.url()], f"{tmp_path}/in/", name="../../../etc/x", generation_id="../../y\n")
        assert len(files(tmp_path / "in")) == 2
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_one_line_in_the_log_says_it(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "task"), Cdn(whole(VIDEO)) as cdn:
            run([cdn.url()], tmp_path / "x.mp4")
            run([cdn.url()], tmp_path / "x.mp4")
        digest = hashlib.sha256(VIDEO).hexdigest()[:12]
        size = f"{len(VIDEO) / 1e3:.1f} kB 1.00 s sha256 {digest}..."
        assert [record.getMessage() for record in caplog.records if record.name == "task"] == [
            f"[shoe-01] n92abc published file://{tmp_path}/x.mp4 {size}",
            f"[shoe-01] n92abc is already published at file://{tmp_path}/x.mp4 {size}",
        ]


class TestAgain:
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


class TestUrls:
    def test_an_expired_url_is_exchanged_once(self, tmp_path: Path) -> None:
        asked = []
        with Cdn(whole(VIDEO), says(head("403 Forbidden", Content_Length=0)), whole(VIDEO), whole(OTHER)) as cdn:

            def fresh() -> list[str]:
                asked.append(1)
                return [cdn.url("/1?new"), cdn.url("/2?new")]

            run([cdn.url("/1"), cdn.url("/2")], f"{tmp_path}/", fresh=fresh)
        assert asked == [1]
        assert [request.line.split()[1] for request in cdn.asked] == ["/1", "/2", "/1?new", "/2?new"]
        assert files(tmp_path) == [f"{FILE}-1.mp4", f"{FILE}-2.mp4", f"{FILE}.json"]

    def test_a_fresh_url_that_is_refused_too_may_work_on_a_retry(self, tmp_path: Path) -> None:
        with Cdn(says(head("404 Not Found", Content_Length=0))) as cdn:
            with pytest.raises(PublishFailed, match="answered 404") as caught:
                run([cdn.url()], f"{tmp_path}/", fresh=lambda: [cdn.url("/fresh")])
            assert len(cdn.asked) == 2
            assert not isinstance(caught.value, PublishRefused)
            with pytest.raises(PublishFailed, match="answered 404"):
                run([], f"{tmp_path}/", fresh=lambda: [cdn.url("/fresh")])
            assert len(cdn.asked) == 3
        assert files(tmp_path) == []

    def test_without_urls_the_service_is_asked(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO)) as cdn:
            run([], f"{tmp_path}/", fresh=lambda: [cdn.url()])
        assert len(files(tmp_path)) == 2

    def test_a_generation_without_a_result_is_not_published(self, tmp_path: Path) -> None:
        with pytest.raises(PublishRefused, match=r"The service names no result for it \(state in_progress\)"):
            run([], f"{tmp_path}/", fresh=list, state="in_progress")

    def test_no_id_is_nothing_to_publish(self, tmp_path: Path) -> None:
        with pytest.raises(PublishRefused, match="no generation_id"):
            run([], f"{tmp_path}/", generation_id=None)


class TestNothingPartial:
    @pytest.mark.parametrize(
        ("body", "what"),
        [
            (b"<!doctype html><title>Sign in</title>", "HTML page"),
            (b'{"error": "expired"}', "JSON"),
            (b"", "empty file"),
            (VIDEO[: len(VIDEO) // 2], "truncated MP4"),
        ],
    )
    def test_what_is_no_media_is_never_published(self, tmp_path: Path, body: bytes, what: str) -> None:
        with Cdn(whole(body)) as cdn, pytest.raises(PublishRefused, match=what):
            run([cdn.url()], f"{tmp_path}/")
        assert files(tmp_path) == []

    def test_a_bad_second_result_publishes_no_first(self, tmp_path: Path) -> None:
        with Cdn(whole(VIDEO), whole(b"{}")) as cdn, pytest.raises(PublishRefused, match="JSON"):
            run([cdn.url("/1"), cdn.url("/2")], f"{tmp_path}/")
        assert files(tmp_path) == []

    def test_a_taken_second_name_publishes_no_first(self, tmp_path: Path) -> None:
        (tmp_path / "x-2.mp4").write_bytes(b"mine")
        with Cdn(whole(VIDEO), whole(OTHER)) as cdn, pytest.raises(PublishRefused, match="holds something else"):
            run([cdn.url("/1"), cdn.url("/2")], tmp_path / "x.mp4")
        assert files(tmp_path) == ["x-2.mp4"]

    def test_a_secret_in_a_destination_is_in_no_message(self, tmp_path: Path) -> None:
        with pytest.raises(PublishRefused, match="keys and secrets belong into that connection") as caught:
            run([], "s3://AKIAEXAMPLE:se/cret@clips/x.mp4")
        assert "was not published to s3://***@clips/x.mp4: " in str(caught.value)
        assert "AKIA" not in str(caught.value)
        assert "cret@" not in str(caught.value)

    def test_a_refused_address_is_the_end_and_says_what_it_cost(self, tmp_path: Path) -> None:
        with pytest.raises(PublishRefused) as caught:
            run(["https://169.254.169.254/latest?token=geheim"], f"{tmp_path}/", rules=DownloadRules())
        text = str(caught.value)
        assert text.startswith(f"[shoe-01] n92abc was not published to {tmp_path}/: the result's host '169.254.169.254' leads to")
        assert text.endswith("The generation cost about 200 credits (happy-horse.ai, estimated); publishing it again costs nothing.")
        assert "geheim" not in text

    def test_a_network_that_fails_is_worth_another_try(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transfer, "MAX_REQUESTS", 1)  # the pauses between ten of them take most of a minute
        with Cdn(whole(VIDEO, cut_after=100)) as cdn, pytest.raises(PublishFailed, match=r"^\[shoe-01\] n92abc was not published"):
            run([cdn.url()], f"{tmp_path}/")
        assert files(tmp_path) == []

    def test_nothing_has_a_name_before_it_is_on_the_disk_and_the_names_are_synced_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[tuple[str, list[str]]] = []
        fsync = os.fsync

        def note(number: int) -> None:
            visible = [name for name in files(tmp_path) if not name.startswith(".")]
            synced.append(("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file", visible))
            fsync(number)

        with Cdn(whole(VIDEO)) as cdn:
            monkeypatch.setattr(os, "fsync", note)
            run([cdn.url()], tmp_path / "x.mp4")
        assert synced == [("file", []), ("file", ["x.mp4"]), ("folder", ["x.mp4", "x.mp4.json"])]

    def test_a_kill_in_the_middle_shows_nothing_and_the_next_try_cleans_up(self, tmp_path: Path) -> None:
        def stalls(_: Asked, sock: Any) -> None:
            sock.sendall(head(Content_Length=len(VIDEO)) + VIDEO[:500])
            sock.recv(1)

        with Cdn(stalls, whole(VIDEO)) as cdn:
            killed = os.fork()
            if not killed:
                try:
                    run([cdn.url()], tmp_path / "x.mp4")
                finally:
                    os._exit(1)
            for _ in range(500):
                left = list(tmp_path.iterdir())
                if left and left[0].stat().st_size == 500:
                    break
                time.sleep(0.01)
            os.kill(killed, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(killed, 0)[1]) == -signal.SIGKILL
            assert [path.name.startswith(".happyhorse-") for path in tmp_path.iterdir()] == [True]
            run([cdn.url()], tmp_path / "x.mp4")
        assert files(tmp_path) == ["x.mp4", "x.mp4.json"]

    def test_two_generations_at_once_under_one_name_do_not_overwrite_each_other(self, tmp_path: Path) -> None:
        """The second is published completely while the first is still being downloaded."""

        def meanwhile(asked: Asked, sock: Any) -> None:
            with Cdn(whole(OTHER)) as other:
                run([other.url()], tmp_path / "x.mp4", generation_id="quick")
            whole(VIDEO)(asked, sock)

        with Cdn(meanwhile) as cdn, pytest.raises(PublishRefused, match="holds something else"):
            run([cdn.url()], tmp_path / "x.mp4", generation_id="slow")
        assert (tmp_path / "x.mp4").read_bytes() == OTHER
        assert json.loads((tmp_path / "x.mp4.json").read_text())["generation_id"] == "quick"

    def test_the_same_generation_at_once_is_published_once(self, tmp_path: Path) -> None:
        def meanwhile(asked: Asked, sock: Any) -> None:
            with Cdn(whole(VIDEO)) as other:
                run([other.url()], tmp_path / "x.mp4")
            whole(VIDEO)(asked, sock)

        with Cdn(meanwhile) as cdn:
            assert run([cdn.url()], tmp_path / "x.mp4")["already_there"]
        assert files(tmp_path) == ["x.mp4", "x.mp4.json"]

    def test_two_generations_with_the_same_bytes_do_not_share_a_name(self, tmp_path: Path) -> None:
        def meanwhile(asked: Asked, sock: Any) -> None:
            with Cdn(whole(VIDEO)) as other:
                run([other.url()], tmp_path / "x.mp4", generation_id="quick")
            whole(VIDEO)(asked, sock)

        with Cdn(meanwhile) as cdn, pytest.raises(PublishRefused, match="belongs to generation quick already"):
            run([cdn.url()], tmp_path / "x.mp4", generation_id="slow")


class TestNames:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("shoe-01_9x16.v2", "shoe-01_9x16.v2"),
            ("Schuh größe 鞋", "Schuh-größe-鞋~6730515dca3c1135"),
            ("manual__2026-11-20T09:00:00+00:00", "manual__2026-11-20T09-00-00-00-00~a3673ae6431d6c5e"),
            ("..", "-.~5ec1f7e700f37c3d"),
            (".", "-~cdb4ee2aea69cc6a"),
            (".hidden", "-hidden~1692419006a88aab"),
            ("a/b\\c", "a-b-c~7e65aa1c27456dec"),
            ("a%2Fb", "a-2Fb~771723a684e0f10f"),
            ("~", "-~7ace431cb61584cb"),
            ("", "~e3b0c44298fc1c14"),
            ("\0\n\x7f", "---~d5f544fe3d052214"),
            ("e\u0301", "é~bf12767b0f2a56b2"),
            ("가", "가"),
            ("\u1100\u1161", "가~a0d2271e0fe8929d"),  # the same syllable to a file system that normalises
            ("\u202egpj.exe", "-gpj.exe~3574bc492a8e82cc"),
            ("\ud800", "-~91a681b998555fb4"),
        ],
    )
    def test_a_component_is_readable_and_safe(self, text: str, expected: str) -> None:
        assert component(text) == expected

    @given(st.text(st.characters(), max_size=120), st.text(st.characters(), max_size=120))
    def test_two_texts_never_become_one_component(self, one: str, other: str) -> None:
        a, b = component(one), component(other)
        assert (a == b) == (one == other)
        for made in (a, b):
            assert 0 < len(made.encode()) <= LONGEST
            assert "/" not in made
            assert not made.startswith(".")
            assert made.isprintable()

    @given(*[st.text("ab-", max_size=6), st.text("ab-", min_size=1, max_size=6)] * 2)
    def test_the_border_between_name_and_id_is_certain(self, name: str, ident: str, other_name: str, other_id: str) -> None:
        one = default_stem(WHERE, name=name, generation_id=ident)
        other = default_stem(WHERE, name=other_name, generation_id=other_id)
        assert (one == other) == ((name, ident) == (other_name, other_id))

    def test_long_names_that_differ_at_the_end_stay_apart_and_fit(self) -> None:
        one, other = component("鞋" * 300 + "1"), component("鞋" * 300 + "2")
        assert one != other
        file = default_stem(WHERE, name="鞋" * 300, generation_id="-" * 300).rpartition("/")[2]
        assert len(f"{file}-100.webp".encode()) <= 255


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
        from airflow_provider_happyhorse.publishing.sidecar import PublishedFile

        file = PublishedFile(file="x.mp4", bytes=3, sha256="ab", content_type="video/mp4", seconds=1.0, width=2, height=2)
        return new_sidecar(GENERATION, [file], where=WHERE, published_at=NOON.astimezone(UTC).isoformat())

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.publishing.publish import DownloadRules, Where, publish
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

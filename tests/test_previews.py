"""Posters and previews beside videos, on local files and on S3: what they show, and that they never cost the video."""

from __future__ import annotations

import io
import json
import logging
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG
from PIL import Image

from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators import HappyHorseGenerateVideoOperator, HappyHorsePublishOperator
from airflow_provider_happyhorse.publishing import preview_process
from airflow_provider_happyhorse.publishing.previews import PreviewRules
from airflow_provider_happyhorse.publishing.publish import DownloadRules, publish
from tests.cdn import Cdn, whole
from tests.dag_runs import run_dag
from tests.ledger_path.s3 import BUCKET
from tests.media_samples import mp4, picture, video
from tests.s3_bucket import CONNECTION, Bucket, connected
from tests.test_publishing import GENERATION, NOON, OTHER, VIDEO, WHERE, not_asked
from tests.test_sidecar import sidecar

SCRIPT = preview_process.__file__
ALL = ["x.mp4", "x.mp4.json", "x.poster.jpg", "x.preview.webp"]


@pytest.fixture(scope="module")
def running_bucket() -> Iterator[Bucket]:
    with Bucket() as bucket, connected(bucket):
        yield bucket


class Place:
    """A folder of either storage."""

    def __init__(self, folder: Path, bucket: Bucket | None = None) -> None:
        self.uri = f"file://{folder}" if bucket is None else f"s3://{CONNECTION}@{BUCKET}"
        self._folder, self._bucket = folder, bucket

    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir()) if self._bucket is None else self._bucket.names()

    def content(self, name: str) -> bytes:
        return (self._folder / name).read_bytes() if self._bucket is None else self._bucket.content(name)

    def put(self, name: str, data: bytes) -> None:
        if self._bucket is None:
            (self._folder / name).write_bytes(data)
        else:
            self._bucket.client().put_object(Bucket=BUCKET, Key=name, Body=data)

    def remove(self, name: str) -> None:
        if self._bucket is None:
            (self._folder / name).unlink()
        else:
            self._bucket.client().delete_object(Bucket=BUCKET, Key=name)

    def told(self) -> tuple[str | None, str | None]:
        """Return what the sidecar says of poster and preview."""
        document = json.loads(self.content("x.mp4.json"))
        assert (document["poster"], document["preview"]) == (document["files"][0]["poster"], document["files"][0]["preview"])
        return document["poster"], document["preview"]


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(tmp_path)
    bucket: Bucket = request.getfixturevalue("running_bucket")
    bucket.reset()
    return Place(tmp_path, bucket)


def run(
    place: Place | str,
    *bodies: bytes,
    rules: PreviewRules | None = PreviewRules(),  # noqa: B008  frozen
    if_exists: str = "skip",
    **changed: Any,
) -> dict[str, Any]:
    with Cdn(*map(whole, bodies)) as cdn:
        return publish(
            GENERATION | {"result_urls": [cdn.url(f"/{number}") for number, _ in enumerate(bodies)]} | changed,
            destination=place if isinstance(place, str) else f"{place.uri}/x.mp4",
            if_exists=if_exists,
            where=WHERE,
            fresh_urls=not_asked,
            guard=DownloadRules(allow_loopback=True),
            now=lambda: NOON,
            log=logging.getLogger("task"),
            previews=rules,
        )


def decoder(code: str, *, seconds: float = 30) -> PreviewRules:
    """Return rules whose decoder is another program: ``poster`` and ``preview`` are the numbers of the files that it writes to."""
    start = "import os, sys, time; poster, preview = int(sys.argv[1]), int(sys.argv[2])\n"
    return PreviewRules(command=[sys.executable, "-c", start + code], max_seconds=seconds)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING and record.name == "task"]


class TestWhatTheyShow:
    def test_they_stand_beside_the_video_and_the_sidecar_names_them(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        result = run(place, VIDEO)
        assert place.names() == ALL
        assert place.content("x.mp4") == VIDEO
        assert place.told() == ("x.poster.jpg", "x.preview.webp")
        assert (result["poster_uri"], result["preview_uri"]) == (f"{place.uri}/x.poster.jpg", f"{place.uri}/x.preview.webp")
        with Image.open(io.BytesIO(place.content("x.poster.jpg"))) as poster:
            assert (poster.format, poster.size) == ("JPEG", (128, 72))
            red, green, blue = poster.getpixel((64, 36))  # type: ignore[misc]
        assert (abs(red - 90) < 12, abs(green - 8 * 5) < 12, abs(blue - 40) < 12) == (True, True, True), "frame 8 of 24"
        with Image.open(io.BytesIO(place.content("x.preview.webp"))) as preview:
            assert (preview.format, preview.size, preview.n_frames) == ("WEBP", (128, 72), 8)  # type: ignore[attr-defined]
        assert warnings(caplog) == []

    def test_on_s3_the_sidecar_is_last_and_each_has_its_type(self, running_bucket: Bucket, tmp_path: Path) -> None:
        running_bucket.reset()
        run(Place(tmp_path, running_bucket), VIDEO)
        made = [path.rpartition("/")[2] for path, _ in running_bucket.creations if ".happyhorse-probe-" not in path]
        assert made == ["x.mp4", "x.poster.jpg", "x.preview.webp", "x.mp4.json"]
        types = [running_bucket.client().head_object(Bucket=BUCKET, Key=name)["ContentType"] for name in made[1:3]]
        assert types == ["image/jpeg", "image/webp"]

    def test_a_large_long_video_becomes_three_small_seconds(self, tmp_path: Path) -> None:
        run(f"{tmp_path}/x.mp4", video(frames=96, width=1440, height=810, rate=16))
        with Image.open(tmp_path / "x.poster.jpg") as poster, Image.open(tmp_path / "x.preview.webp") as preview:
            assert (poster.size, preview.size, preview.n_frames) == ((1280, 720), (480, 270), 24)  # type: ignore[attr-defined]
            shown = []
            for number in range(24):
                preview.seek(number)
                preview.load()
                shown.append(preview.info["duration"])
        assert sum(shown) == 3000

    def test_of_several_videos_each_has_its_own(self, tmp_path: Path) -> None:
        result = run(f"{tmp_path}/x.mp4", VIDEO, OTHER)
        files = json.loads((tmp_path / "x.mp4.json").read_text())["files"]
        assert [(file["poster"], file["preview"]) for file in files] == [
            (f"x-{number}.poster.jpg", f"x-{number}.preview.webp") for number in (1, 2)
        ]
        assert result["poster_uri"] == f"file://{tmp_path}/x-1.poster.jpg"
        assert (tmp_path / "x-1.poster.jpg").read_bytes() != (tmp_path / "x-2.poster.jpg").read_bytes()

    def test_a_picture_has_none_and_nobody_is_warned(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        result = run(f"{tmp_path}/x.png", picture("PNG"), kind="image")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "x.png.json"]
        assert (result["poster_uri"], warnings(caplog)) == (None, [])


def scrambled() -> bytes:
    """Return a whole MP4 whose pictures are noise."""
    data, noise = bytearray(video(frames=48)), random.Random(1)
    begin = data.find(b"mdat") + 4
    data[begin + 40 :] = noise.randbytes(len(data) - begin - 40)
    return bytes(data)


class TestTheyNeverCostTheVideo:
    @pytest.mark.parametrize(
        ("rules", "reason"),
        [
            (decoder("time.sleep(60)", seconds=0.5), "decoding took longer than the 0.5 s for all videos of this publication"),
            (decoder("os.abort()"), "decoding the video ended with SIGABRT"),
            (decoder("sys.exit(3)"), "decoding the video ended with code 3"),
            (decoder("sys.exit('first\\nsecond\\x1b[31m')"), "second?[31m"),
            (decoder("pass"), "the poster is no whole picture but: empty file"),
            (decoder("os.write(poster, b'<html>')"), "the poster is no whole picture but: HTML page (6 bytes)"),
            (decoder("os.ftruncate(poster, 2_000_001)"), "the poster has 2000001 bytes, more than 2000000"),
            (PreviewRules(max_seconds=0), "the 0 s for all videos of this publication are over"),
            (
                PreviewRules(command=["/nowhere/python"]),
                "no process could be started for it: [Errno 2] No such file or directory: '/nowhere/python'",
            ),
            (
                PreviewRules(command=[sys.executable, "-I", "-S", SCRIPT]),
                "PyAV and Pillow are needed for it, which the extra 'emulator' of airflow-provider-happyhorse has (No module named 'av')",
            ),
        ],
        ids=["hangs", "crashes", "fails", "says", "writes nothing", "html", "large", "no time", "no program", "no extra"],
    )
    def test_whatever_the_decoder_does(self, place: Place, caplog: pytest.LogCaptureFixture, rules: PreviewRules, reason: str) -> None:
        result = run(place, VIDEO, rules=rules)
        assert place.names() == ["x.mp4", "x.mp4.json"]
        assert place.content("x.mp4") == VIDEO
        assert place.told() == (None, None) == (result["poster_uri"], result["preview_uri"])
        assert warnings(caplog) == [f"[shoe-01] n92abc is published without poster and preview: {reason}"]

    @pytest.mark.parametrize("body", [scrambled(), mp4()], ids=["noise for pictures", "an index of nothing"])
    def test_whatever_the_video_is(self, tmp_path: Path, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
        run(f"{tmp_path}/x.mp4", body)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "x.mp4.json"]
        assert len(warnings(caplog)) == 1
        assert "without poster and preview" in warnings(caplog)[0]

    def test_a_picture_of_another_kind_is_not_published(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a").write_bytes(picture("JPEG"))
        code = f"data = open({str(tmp_path / 'in' / 'a')!r}, 'rb').read(); os.write(poster, data); os.write(preview, data)"
        run(f"{tmp_path}/out/x.mp4", VIDEO, rules=decoder(code))
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.mp4", "x.mp4.json"]
        assert warnings(caplog)[0].endswith("the preview came as image/jpeg of 64 x 48 pixels")

    def test_the_video_stands_before_it_is_decoded_and_the_sidecar_does_not(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        run(f"{tmp_path}/x.mp4", VIDEO, rules=decoder(f"sys.exit(str(sorted(n for n in os.listdir({str(tmp_path)!r}) if n[0] != '.')))"))
        assert warnings(caplog)[0].endswith(": ['x.mp4']")

    def test_several_videos_share_the_time(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        run(f"{tmp_path}/x.mp4", VIDEO, OTHER, rules=decoder("time.sleep(60)", seconds=0.5))
        assert [line.rpartition(": ")[2] for line in warnings(caplog)] == [
            "decoding took longer than the 0.5 s for all videos of this publication",
            "the 0.5 s for all videos of this publication are over",
        ]

    def test_a_video_that_another_task_has_replaced_meanwhile_gets_none_of_ours(self, tmp_path: Path) -> None:
        """The other one publishes without pictures while ours decodes; ours fails for another reason, and leaves none behind."""
        other = tmp_path / "other"
        other.write_bytes(OTHER)
        code = f"os.replace({str(other)!r}, {str(tmp_path / 'x.mp4')!r})\nexec(open({SCRIPT!r}).read())"
        with pytest.raises(Exception, match="was replaced while its sidecar was written"):
            run(f"{tmp_path}/x.mp4", VIDEO, rules=decoder(code), if_exists="overwrite")
        assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


class TestAgain:
    @pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
    def test_publishing_the_same_again_changes_nothing_and_names_them(self, place: Place, if_exists: str) -> None:
        first = run(place, VIDEO)
        again = run(place, VIDEO, rules=decoder("os.abort()"), if_exists=if_exists)
        assert again == first | {"already_there": True}
        assert place.names() == ALL

    @pytest.mark.parametrize("if_exists", ["skip", "overwrite"])
    def test_what_a_killed_try_has_left_is_taken_up(self, place: Place, caplog: pytest.LogCaptureFixture, if_exists: str) -> None:
        run(place, VIDEO)
        place.remove("x.mp4.json")
        place.remove("x.preview.webp")
        run(place, VIDEO, if_exists=if_exists)
        assert place.names() == ALL
        assert (place.told(), warnings(caplog)) == (("x.poster.jpg", "x.preview.webp"), [])

    def test_something_else_under_a_name_is_not_touched(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        place.put("x.poster.jpg", b"mine")
        run(place, VIDEO)
        assert (place.names(), place.content("x.poster.jpg"), place.told()) == (ALL, b"mine", (None, "x.preview.webp"))
        reason = f"something else stands at {place.uri}/x.poster.jpg and was not touched"
        assert warnings(caplog) == [f"[shoe-01] n92abc is published without poster: {reason}"]

    def test_with_overwrite_it_is_replaced(self, place: Place) -> None:
        place.put("x.poster.jpg", b"mine")
        run(place, VIDEO, if_exists="overwrite")
        assert place.content("x.poster.jpg") != b"mine"
        assert place.told() == ("x.poster.jpg", "x.preview.webp")

    def test_a_picture_that_somebody_has_published_is_neither_replaced_nor_removed(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(place, VIDEO, generation_id="n1")
        run(f"{place.uri}/x.poster.jpg", picture("JPEG"), generation_id="n2", kind="image", if_exists="overwrite", rules=None)
        run(place, OTHER, generation_id="n3", if_exists="overwrite")
        assert place.names() == sorted([*ALL, "x.poster.jpg.json"])
        assert (place.content("x.poster.jpg"), place.told()) == (picture("JPEG"), (None, "x.preview.webp"))
        assert warnings(caplog)[-1].endswith(f"something else stands at {place.uri}/x.poster.jpg and was not touched")

    @pytest.mark.parametrize("rules", [None, decoder("os.abort()")], ids=["not wanted", "not possible"])
    def test_the_pictures_of_an_older_video_do_not_outlive_it(self, place: Place, rules: PreviewRules | None) -> None:
        run(place, VIDEO, generation_id="n1")
        run(place, OTHER, generation_id="n2", if_exists="overwrite", rules=rules)
        assert (place.names(), place.content("x.mp4"), place.told()) == (["x.mp4", "x.mp4.json"], OTHER, (None, None))

    def test_what_no_sidecar_names_outlives_it(self, place: Place) -> None:
        run(place, VIDEO, generation_id="n1", rules=None)
        place.put("x.poster.jpg", b"mine")
        run(place, OTHER, generation_id="n2", if_exists="overwrite", rules=None)
        assert place.content("x.poster.jpg") == b"mine"


class TestTheOperator:
    @pytest.mark.parametrize("given", ["yes", 1, None])
    def test_it_takes_true_or_false(self, given: Any) -> None:
        with pytest.raises(InvalidArguments, match="`previews` must be True or False"):
            HappyHorsePublishOperator(task_id="publish", generation="n1", destination="/x/", previews=given)

    @pytest.mark.airflow
    @pytest.mark.usefixtures("airflow_database")
    @pytest.mark.parametrize("previews", [False, True])
    def test_a_task_makes_them_when_asked_to(self, connect: Callable[..., str], tmp_path: Path, previews: bool) -> None:
        connect()
        with DAG("previews", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False) as dag:
            generate = HappyHorseGenerateVideoOperator(task_id="generate", name="shoe", request={"prompt": "a kettle", "duration": 3})
            HappyHorsePublishOperator(task_id="publish", generation=generate.output, destination=f"file://{tmp_path}/", previews=previews)
        run = run_dag(dag)

        document, published = sidecar(tmp_path), run.xcom("publish")
        assert endings(tmp_path) == ([".json", ".mp4", ".poster.jpg", ".preview.webp"] if previews else [".json", ".mp4"])
        if previews:
            stem = document["files"][0]["file"].removesuffix(".mp4")
            assert (document["poster"], document["preview"]) == (f"{stem}.poster.jpg", f"{stem}.preview.webp")
            assert Path(published["poster_uri"].removeprefix("file://")).is_file()
        else:
            assert published["poster_uri"] is document["poster"] is None


def endings(folder: Path) -> Sequence[str]:
    return sorted("." + path.name.partition(".")[2] for path in folder.rglob("*") if path.is_file())

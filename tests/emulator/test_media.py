from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from airflow_provider_happyhorse.emulator.pictures import Picture, Shot
from airflow_provider_happyhorse.emulator.render import frame_counts
from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess, ServiceName

FRAME = 1 / 24


def download(emulator: EmulatorProcess, client: Client, service: ServiceName = "happy-horse.ai", **fields: Any) -> bytes:
    (job_id,) = emulator.seed(service=service, request=fields, render_seconds=0)
    answer = client.download(f"{emulator.url}/media/{job_id}.mp4")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "video/mp4")
    return answer.content


def frames(content: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(content), mode="r") as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image) -> float:
    return ImageStat.Stat(ImageChops.difference(one, other).convert("L")).mean[0]


def text_area(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, image.width, image.height // 2))


@pytest.mark.parametrize(
    ("service", "fields", "seconds", "ratio"),
    [
        ("happy-horse.ai", {"duration": 5}, 5, 16 / 9),
        ("happy-horse.ai", {"duration": 1.3, "aspect_ratio": "21:9"}, 1.3, 21 / 9),
        ("happy-horse.ai", {"duration": 1, "aspect_ratio": "4:3"}, 1, 4 / 3),
        ("happyhorse.app", {"duration": 3, "aspect_ratio": "1:1"}, 3, 1),
        (
            "happyhorse.app",
            {"multi_shots": True, "multi_prompt": [{"prompt": "a", "duration": 1.1}] * 3, "aspect_ratio": "9:16"},
            3.3,
            9 / 16,
        ),
    ],
)
def test_a_video_is_playable_h264_of_exactly_the_asked_length_and_ratio(
    emulator: EmulatorProcess, horse_ai: Client, service: ServiceName, fields: dict[str, Any], seconds: float, ratio: float
) -> None:
    content = download(emulator, horse_ai, service, **fields)
    assert content.index(b"moov") < content.index(b"mdat"), "a player could not start before the whole file is there"
    with av.open(io.BytesIO(content), mode="r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.width / stream.height == pytest.approx(ratio)
        assert float((container.duration or 0) / 1_000_000) == pytest.approx(seconds, abs=FRAME)
        assert len(list(container.decode(video=0))) == pytest.approx(seconds * 24, abs=1)


def test_the_prompt_is_on_the_picture_and_something_moves(emulator: EmulatorProcess, horse_ai: Client) -> None:
    words = frames(download(emulator, horse_ai, prompt="A cat playing piano", duration=1))
    blank = frames(download(emulator, horse_ai, prompt=".", duration=1))

    def bright_points(image: Image.Image) -> int:
        return sum(text_area(image).convert("L").point(lambda value: value > 200 and 255).histogram()[255:])

    assert bright_points(words[0]) > 10 * bright_points(blank[0]) > 0
    assert difference(words[0], words[20]) > 0.1


def test_each_shot_shows_its_own_prompt_in_its_time(emulator: EmulatorProcess, horse_ai: Client) -> None:
    shots = [{"prompt": "FIRST", "duration": 1}, {"prompt": "A SECOND, LONGER ONE", "duration": 1}]
    shown = [text_area(one) for one in frames(download(emulator, horse_ai, "happyhorse.app", multi_shots=True, multi_prompt=shots))]
    within_the_first, over_the_cut = difference(shown[2], shown[22]), difference(shown[22], shown[26])
    assert over_the_cut > 5 * within_the_first


def test_rounding_does_not_add_up_over_the_shots() -> None:
    picture = Picture(title="", shots=(Shot(prompt="x", seconds=1.02),) * 5, aspect_ratio="1:1", extension="mp4")
    assert sum(frame_counts(picture)) == round(5 * 1.02 * 24)


def test_an_uploaded_image_is_the_background_and_a_foreign_one_is_never_fetched(emulator: EmulatorProcess, horse_ai: Client) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), (255, 0, 0)).save(buffer, "PNG")
    url = horse_ai("POST", "/upload", files={"image": ("red.png", buffer.getvalue())}).json()["data"]["url"]
    red = frames(download(emulator, horse_ai, generation_type="image_to_video", image_url=url, duration=1))[0]
    red_part, green_part, _ = ImageStat.Stat(red).mean
    assert red_part > 120 > 40 > green_part

    foreign = f"{emulator.url}/media/uploads/{'0' * 32}.png"
    assert download(emulator, horse_ai, generation_type="image_to_video", image_url=foreign, duration=1)
    assert not [one for one in emulator.requests() if "uploads" in one["path"]]


@pytest.mark.parametrize(
    ("extension", "form", "kind"), [("png", "PNG", "image/png"), ("jpg", "JPEG", "image/jpeg"), ("webp", "WEBP", "image/webp")]
)
def test_a_generated_image_has_the_asked_format(emulator: EmulatorProcess, horse_ai: Client, extension: str, form: str, kind: str) -> None:
    prompt = "A teapot [emulator: render_seconds=0]"
    job = horse_ai("POST", "/generate-image", json={"prompt": prompt, "output_format": extension, "aspect_ratio": "16:9"}).json()["data"]
    answer = horse_ai.download(f"{emulator.url}/media/{job['video_id']}.{extension}")
    assert answer.headers["Content-Type"] == kind
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.width / image.height) == (form, 16 / 9)


def test_a_result_can_be_had_in_ranges_by_head_and_by_etag_without_a_key(emulator: EmulatorProcess, horse_ai: Client) -> None:
    (job_id,) = emulator.seed(request={"duration": 1}, render_seconds=0)
    url = f"{emulator.url}/media/{job_id}.mp4"
    head = horse_ai.download(url, method="HEAD")
    whole = horse_ai.download(url)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(whole.content)))
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert head.headers["Accept-Ranges"] == "bytes"

    rest = horse_ai.download(url, headers={"Range": "bytes=1000-", "If-Range": whole.headers["ETag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    assert rest.headers["Content-Range"] == f"bytes 1000-{len(whole.content) - 1}/{len(whole.content)}"
    changed = horse_ai.download(url, headers={"Range": "bytes=1000-", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    assert horse_ai.download(url, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert horse_ai.download(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_there_is_no_result_before_the_end_nor_after_a_failure(emulator: EmulatorProcess, horse_ai: Client) -> None:
    (running,) = emulator.seed()
    (failed,) = emulator.seed(render_seconds=0, failure="no")
    for name in (f"{running}.mp4", f"{failed}.mp4", "unknown.mp4", "uploads/../../etc/passwd"):
        assert horse_ai.download(f"{emulator.url}/media/{name}").status_code == 404
    emulator.finish()
    assert horse_ai.download(f"{emulator.url}/media/{running}.png").status_code == 404


def test_no_two_results_are_the_same_file_and_one_result_is_always_the_same(emulator: EmulatorProcess, horse_ai: Client) -> None:
    ids = emulator.seed(2, request={"prompt": "twins", "duration": 1}, render_seconds=0)
    urls = [f"{emulator.url}/media/{job_id}.mp4" for job_id in (*ids, *ids)]
    with ThreadPoolExecutor(4) as threads:
        contents = [answer.content for answer in threads.map(horse_ai.download, urls)]
    assert contents[0] == contents[2] != contents[1] == contents[3]


def test_rendering_does_not_hold_up_answers(emulator: EmulatorProcess, horse_ai: Client) -> None:
    ids = emulator.seed(2, request={"duration": 10}, render_seconds=0)
    with ThreadPoolExecutor(2) as threads:
        downloads = [threads.submit(horse_ai.download, f"{emulator.url}/media/{job_id}.mp4") for job_id in ids]
        slowest = 0.0
        while not all(one.done() for one in downloads):
            began = time.monotonic()
            assert horse_ai.download(f"{emulator.url}/").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5, f"an answer took {slowest:.2f} s while two videos were rendered"

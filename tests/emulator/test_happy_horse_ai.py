from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
import requests
from PIL import Image

from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess


def error_code(answer: requests.Response) -> str:
    document = answer.json()
    assert document["data"] is None
    assert set(document["error"]) == {"message", "code"}
    code: str = document["error"]["code"]
    return code


def image_bytes(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), "red").save(buffer, form)
    return buffer.getvalue()


def test_a_video_is_submitted_waited_for_and_found(emulator: EmulatorProcess, horse_ai: Client) -> None:
    submitted = horse_ai.generate(prompt="A golden retriever surfing a wave at sunset", duration=5)
    assert submitted.status_code == 200
    assert submitted.json()["error"] is None
    video_id = submitted.json()["data"]["video_id"]
    assert uuid.UUID(video_id)

    waiting = horse_ai("GET", f"/videos/{video_id}").json()["data"]
    assert waiting["status"] == "processing"
    assert waiting["video_url"] is None

    emulator.finish(video_id)
    done = horse_ai("GET", f"/videos/{video_id}").json()["data"]
    assert done["status"] == "completed"
    assert done["video_url"] == f"{emulator.url}/media/{video_id}.mp4"
    assert (done["prompt"], done["model"], done["duration"]) == ("A golden retriever surfing a wave at sunset", "seedance-1-5-pro", 5)


def test_the_result_url_is_on_the_host_the_client_used(emulator: EmulatorProcess, horse_ai: Client) -> None:
    (video_id,) = emulator.seed()
    emulator.finish()
    seen = horse_ai("GET", f"/videos/{video_id}", headers={"Host": "localhost:9999"}).json()["data"]
    assert seen["video_url"] == f"http://localhost:9999/media/{video_id}.mp4"


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"duration": 5}, 25),
        ({"model": "doubao-seedance-1-5-pro", "duration": 4}, 20),
        ({"model": "doubao-seedance-2-0", "duration": 5}, 38),
        ({"model": "doubao-seedance-2-0", "duration": 4}, 30),
        ({"model": "doubao-seedance-2-0-fast", "duration": 5}, 25),
        ({}, 25),
    ],
)
def test_credits_go_down_at_submission_by_the_documented_price_rounded_up(
    emulator: EmulatorProcess, horse_ai: Client, fields: dict[str, Any], price: int
) -> None:
    assert horse_ai.generate(prompt="x", **fields).status_code == 200
    left = horse_ai("GET", "/credits").json()["data"]
    assert left == {"credits": 10_000 - price, "paid_access": True, "subscription_status": "active"}
    assert emulator.state()["totals"]["credits_spent"] == price


def test_too_few_credits_and_missing_paid_access_are_403_and_cost_nothing(emulator: EmulatorProcess, horse_ai: Client) -> None:
    poor = horse_ai.generate(prompt="x", key=emulator.poor_key)
    assert (poor.status_code, error_code(poor)) == (403, "insufficient_credits")
    free = horse_ai.generate(prompt="x", key=emulator.free_key, model="doubao-seedance-2-0")
    assert (free.status_code, error_code(free)) == (403, "paid_access_required")
    image = horse_ai("POST", "/generate-image", key=emulator.free_key, json={"prompt": "x"})
    assert (image.status_code, error_code(image)) == (403, "paid_access_required")
    assert emulator.state()["totals"] | {"requests": 0} == {"jobs": 0, "charged_submissions": 0, "credits_spent": 0, "requests": 0}
    assert horse_ai.generate(prompt="x", key=emulator.free_key).status_code == 200
    assert horse_ai("GET", "/credits", key=emulator.free_key).json()["data"]["subscription_status"] == "none"


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer sk-sd_unknown", "Basic sk-sd_emulator", "sk-sd_emulator"])
def test_a_missing_or_wrong_key_is_401(horse_ai: Client, authorization: str) -> None:
    answer = horse_ai("GET", "/credits", headers={"Authorization": authorization})
    assert (answer.status_code, error_code(answer)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x", "durration": 5}, "durration"),
        ({"prompt": "x", "duration": "5"}, "duration"),
        ({"prompt": "x", "duration": True}, "duration"),
        ({"prompt": "x", "duration": 0}, "duration"),
        ({"prompt": "x", "model": "sora"}, "model"),
        ({"prompt": "x", "model": None}, "model"),
        ({"prompt": "x", "model": "nano-banana-2"}, "model"),
        ({"prompt": "x", "generation_type": "text-to-video"}, "generation_type"),
        ({"prompt": "x", "generation_type": "image_to_video"}, "image_url"),
        ({"prompt": "x", "image_url": "https://example.com/a.png"}, "image_url"),
        ({"prompt": "x", "generation_type": "image_to_video", "image_url": "a.png"}, "image_url"),
        ({"prompt": "x", "generation_type": "image_to_video", "image_url": None}, "image_url"),
        ({"prompt": "x", "aspect_ratio": "wide"}, "aspect_ratio"),
        ({"prompt": "x", "resolution": 720}, "resolution"),
        ({"prompt": "x [emulator: explode]"}, "prompt"),
        ({"prompt": "x [emulator: render_seconds=soon]"}, "prompt"),
    ],
)
def test_wrong_fields_are_a_400_that_names_the_field(
    emulator: EmulatorProcess, horse_ai: Client, fields: dict[str, Any], field: str
) -> None:
    answer = horse_ai.generate(**fields)
    assert (answer.status_code, error_code(answer)) == (400, "validation_error")
    assert answer.json()["error"]["message"].startswith(f"{field}: ")
    assert emulator.charged() == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b"\xff", b'{"prompt": "x", "duration": NaN}'])
def test_a_body_that_is_no_json_object_is_a_400(horse_ai: Client, body: bytes) -> None:
    answer = horse_ai("POST", "/generate", data=body)
    assert (answer.status_code, error_code(answer)) == (400, "validation_error")


def test_an_unknown_or_foreign_video_and_unknown_paths_are_404(emulator: EmulatorProcess, horse_ai: Client) -> None:
    video_id = horse_ai.generate(prompt="mine").json()["data"]["video_id"]
    for answer in (
        horse_ai("GET", "/videos/nothing"),
        horse_ai("GET", f"/videos/{video_id}", key=emulator.free_key),
        horse_ai("GET", "/billing"),
    ):
        assert (answer.status_code, error_code(answer)) == (404, "not_found")
    assert horse_ai("GET", "/generate").status_code == 405


def test_the_list_shows_own_videos_newest_first_in_pages(emulator: EmulatorProcess, horse_ai: Client) -> None:
    ids = emulator.seed(5, age_seconds=[50, 40, 30, 20, 10])
    emulator.seed(2, key=emulator.free_key)
    emulator.seed(1, service="happyhorse.app")
    first = horse_ai("GET", "/videos", params={"limit": 2}).json()["data"]
    last = horse_ai("GET", "/videos", params={"limit": 2, "page": 3}).json()["data"]
    assert [one["video_id"] for one in first["videos"]] == [ids[4], ids[3]]
    assert (first["page"], first["limit"], first["total"]) == (1, 2, 5)
    assert [one["video_id"] for one in last["videos"]] == [ids[0]]
    assert horse_ai("GET", "/videos").json()["data"]["limit"] == 20


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 51}, {"limit": "many"}, {"page": 0}, {"pages": 1}])
def test_the_list_refuses_other_pages(horse_ai: Client, query: dict[str, Any]) -> None:
    answer = horse_ai("GET", "/videos", params=query)
    assert (answer.status_code, error_code(answer)) == (400, "validation_error")


def test_a_fresh_list_looks_at_every_job_itself(emulator: EmulatorProcess, horse_ai: Client) -> None:
    emulator.seed()
    emulator.finish()
    assert [one["status"] for one in horse_ai("GET", "/videos").json()["data"]["videos"]] == ["completed"]


def test_a_stale_list_shows_only_what_a_single_get_has_refreshed() -> None:
    with EmulatorProcess("--list-freshness", "stale") as emulator:
        client = Client(emulator, "happy-horse.ai")
        old, new = emulator.seed(2, age_seconds=[100, 90])
        listed = client("GET", "/videos").json()["data"]["videos"]
        assert [one["status"] for one in listed] == ["processing", "processing"]
        assert client("GET", f"/videos/{new}").json()["data"]["status"] == "completed"
        listed = client("GET", "/videos").json()["data"]["videos"]
        assert [(one["video_id"], one["status"]) for one in listed] == [(new, "completed"), (old, "processing")]
        client.close()


def test_a_failed_generation_says_why_and_keeps_the_credits(emulator: EmulatorProcess, horse_ai: Client) -> None:
    video_id = horse_ai.generate(prompt="x [emulator: fail=Content policy, sorry]").json()["data"]["video_id"]
    emulator.finish()
    seen = horse_ai("GET", f"/videos/{video_id}").json()["data"]
    assert (seen["status"], seen["error"], seen["video_url"]) == ("failed", "Content policy, sorry", None)
    assert horse_ai("GET", "/credits").json()["data"]["credits"] == 9_975


def test_a_directive_sets_how_long_a_job_takes(horse_ai: Client) -> None:
    slow = horse_ai.generate(prompt="x").json()["data"]["video_id"]
    quick = horse_ai.generate(prompt="x [emulator: render_seconds=0] [emulator: fail]").json()["data"]["video_id"]
    assert horse_ai("GET", f"/videos/{slow}").json()["data"]["status"] == "processing"
    assert horse_ai("GET", f"/videos/{quick}").json()["data"]["status"] == "failed"


@pytest.mark.parametrize(("form", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_an_upload_is_judged_by_its_content_and_served_again(horse_ai: Client, form: str, extension: str) -> None:
    content = image_bytes(form)
    answer = horse_ai("POST", "/upload", files={"image": ("photo.bin", content, "application/octet-stream")})
    assert answer.status_code == 200
    url = answer.json()["data"]["url"]
    assert url.endswith(f".{extension}")
    assert horse_ai.download(url).content == content


@pytest.mark.parametrize(
    "files",
    [
        {"image": ("photo.png", b"GIF89a not a picture", "image/png")},
        {"image": ("photo.png", image_bytes("GIF"), "image/png")},
        {"image": ("photo.png", image_bytes("PNG")[:60], "image/png")},
        {"image": ("photo.png", b"", "image/png")},
        {"file": ("photo.png", image_bytes("PNG"), "image/png")},
        {"image": ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(10 * 1024 * 1024), "image/png")},
        {"image": (None, "text")},
    ],
    ids=["text", "gif", "cut", "empty", "other-field", "too-large", "no-file"],
)
def test_other_uploads_are_refused(horse_ai: Client, files: dict[str, Any]) -> None:
    answer = horse_ai("POST", "/upload", files=files)
    assert (answer.status_code, error_code(answer)) == (400, "validation_error")


def test_an_upload_must_be_a_form(horse_ai: Client) -> None:
    answer = horse_ai("POST", "/upload", data=image_bytes("PNG"), headers={"Content-Type": "image/png"})
    assert (answer.status_code, error_code(answer)) == (400, "validation_error")


def test_every_answer_after_the_key_carries_the_rate_limit(horse_ai: Client) -> None:
    answers = [horse_ai.generate(prompt="x"), horse_ai.generate(), horse_ai("GET", "/videos"), horse_ai("GET", "/videos/unknown")]
    assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["999", "998", "997", "996"]
    assert {one.headers["X-RateLimit-Limit"] for one in answers} == {"1000"}


def test_an_image_is_generated_for_five_credits(emulator: EmulatorProcess, horse_ai: Client) -> None:
    submitted = horse_ai("POST", "/generate-image", json={"prompt": "A teapot", "output_format": "webp", "aspect_ratio": "4:3"})
    image_id = submitted.json()["data"]["video_id"]
    emulator.finish()
    seen = horse_ai("GET", f"/videos/{image_id}").json()["data"]
    assert (seen["status"], seen["credits_used"], seen["video_url"]) == ("completed", 5, None)
    assert seen["image_url"] == f"{emulator.url}/media/{image_id}.webp"
    assert horse_ai("GET", "/videos").json()["data"]["videos"] == []
    for wrong in ({"prompt": "x", "output_format": "gif"}, {"prompt": "x", "images": ["a.png"]}, {"prompt": "x", "resolution": "8k"}, {}):
        answer = horse_ai("POST", "/generate-image", json=wrong)
        assert (answer.status_code, error_code(answer)) == (400, "validation_error")

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess

MODEL = "happyhorse-1.0/video"
SHOTS = [{"prompt": "A woman walks into a coffee shop", "duration": 3}, {"prompt": "She orders a latte", "duration": 4}]
PICTURES = [f"https://example.com/{number}.jpg" for number in range(6)]


def status(client: Client, task_id: str) -> dict[str, Any]:
    document = client("GET", "/api/status", params={"task_id": task_id}).json()
    assert (document["code"], document["message"]) == (200, "success")
    data: dict[str, Any] = document["data"]
    return data


def test_a_task_is_submitted_and_waited_for(emulator: EmulatorProcess, horse_app: Client) -> None:
    fields: dict[str, Any] = {"model": MODEL, "prompt": "A majestic eagle", "mode": "pro", "duration": 5, "aspect_ratio": "16:9"}
    submitted = horse_app.generate(**fields)
    assert submitted.status_code == 200
    task_id = submitted.json()["data"]["task_id"]
    assert submitted.json() == {"code": 200, "message": "success", "data": {"task_id": task_id, "status": "IN_PROGRESS"}}
    assert re.fullmatch(r"n92\w+", task_id)

    waiting = status(horse_app, task_id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", waiting.pop("created_at"))
    assert waiting == {
        "task_id": task_id,
        "status": "IN_PROGRESS",
        "consumed_credits": 400,
        "type": "text-to-video",
        "request": fields,
        "response": None,
        "error_message": None,
    }
    emulator.finish(task_id)
    done = status(horse_app, task_id)
    assert (done["status"], done["response"]) == ("SUCCESS", {"resultUrls": [f"{emulator.url}/media/{task_id}.mp4"]})


def test_a_failed_task_carries_its_reason_and_keeps_the_credits(emulator: EmulatorProcess, horse_app: Client) -> None:
    task_id = horse_app.generate(model=MODEL, prompt="x [emulator: fail=NSFW]").json()["data"]["task_id"]
    emulator.finish()
    failed = status(horse_app, task_id)
    assert (failed["status"], failed["error_message"], failed["response"], failed["consumed_credits"]) == ("FAILED", "NSFW", None, 300)
    assert emulator.state()["keys"][emulator.key]["credits"] == 9_700


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"mode": "pro", "duration": 5}, 400),
        ({"mode": "pro", "duration": 5, "sound": False}, 270),
        ({"mode": "std", "duration": 3}, 180),
        ({"sound": False}, 200),
        ({"duration": 3.5, "sound": False, "mode": "pro"}, 189),
        ({"multi_shots": True, "multi_prompt": SHOTS, "prompt": "x"}, 420),
    ],
)
def test_credits_follow_mode_sound_and_seconds(emulator: EmulatorProcess, horse_app: Client, fields: dict[str, Any], price: int) -> None:
    assert horse_app.generate(**{"model": MODEL, "prompt": "x", **fields}).status_code == 200
    assert emulator.state()["keys"][emulator.key] == {
        "charged_submissions": 1,
        "credits": 10_000 - price,
        "credits_spent": price,
        "paid_access": True,
    }


def test_images_make_it_image_to_video_and_shots_need_no_prompt(horse_app: Client) -> None:
    task_id = horse_app.generate(model=MODEL, prompt="turns", image_urls=PICTURES[:2]).json()["data"]["task_id"]
    assert status(horse_app, task_id)["type"] == "image-to-video"
    task_id = horse_app.generate(model=MODEL, multi_shots=True, multi_prompt=SHOTS, image_urls=PICTURES[:1]).json()["data"]["task_id"]
    assert status(horse_app, task_id)["request"]["multi_prompt"] == SHOTS


def test_documented_extremes_are_accepted(horse_app: Client) -> None:
    element = {"name": "element_dog", "description": "a dog", "element_input_urls": PICTURES[:4]}
    extremes: list[dict[str, Any]] = [
        {"prompt": "x" * 2500, "duration": 3, "cfg_scale": 0},
        {"prompt": "@element_dog", "duration": 15, "cfg_scale": 1, "happyhorse_elements": [element] * 3},
        {"multi_shots": True, "multi_prompt": [{"prompt": "x" * 500, "duration": 12}] * 4 + [{"prompt": "x", "duration": 1}]},
    ]
    for fields in extremes:
        answer = horse_app.generate(model=MODEL, mode="std", sound=False, **fields)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"model": "happyhorse-2.0/video"}, "INVALID_MODEL", "model"),
        ({"model": None}, "INVALID_MODEL", "model"),
        ({"prompt": None}, "INVALID_PROMPT", "prompt"),
        ({"prompt": ""}, "INVALID_PROMPT", "prompt"),
        ({"prompt": "x" * 2501}, "INVALID_PROMPT", "prompt"),
        ({"duration": 2.9}, "INVALID_DURATION", "duration"),
        ({"duration": 16}, "INVALID_DURATION", "duration"),
        ({"duration": "5"}, "INVALID_DURATION", "duration"),
        ({"mode": "text-to-video"}, "INVALID_MODEL", "mode"),
        ({"aspect_ratio": "4:3"}, "INVALID_PROMPT", "aspect_ratio"),
        ({"image_urls": PICTURES[:3]}, "INVALID_PROMPT", "image_urls"),
        ({"image_urls": PICTURES[0]}, "INVALID_PROMPT", "image_urls"),
        ({"image_urls": ["data:image/png;base64,AA"]}, "INVALID_PROMPT", "image_urls.0"),
        ({"multi_shots": True, "multi_prompt": SHOTS, "image_urls": PICTURES[:2]}, "INVALID_PROMPT", "image_urls"),
        ({"sound": "false"}, "INVALID_PROMPT", "sound"),
        ({"cfg_scale": 1.01}, "INVALID_PROMPT", "cfg_scale"),
        ({"cfg_scale": -0.01}, "INVALID_PROMPT", "cfg_scale"),
        ({"multi_shots": True}, "INVALID_PROMPT", "multi_prompt"),
        ({"multi_prompt": SHOTS}, "INVALID_PROMPT", "multi_prompt"),
        ({"multi_shots": True, "multi_prompt": SHOTS * 3}, "INVALID_PROMPT", "multi_prompt"),
        ({"multi_shots": True, "multi_prompt": [{"prompt": "x" * 501, "duration": 3}]}, "INVALID_PROMPT", "multi_prompt.0.prompt"),
        ({"multi_shots": True, "multi_prompt": [{"prompt": "x", "duration": 13}]}, "INVALID_DURATION", "multi_prompt.0.duration"),
        ({"multi_shots": True, "multi_prompt": [{"prompt": "x", "duration": 0.5}]}, "INVALID_DURATION", "multi_prompt.0.duration"),
        ({"multi_shots": True, "multi_prompt": [{"prompt": "x"}]}, "INVALID_DURATION", "multi_prompt.0.duration"),
        ({"happyhorse_elements": [{"name": "a", "element_input_urls": PICTURES[:2]}] * 4}, "INVALID_PROMPT", "happyhorse_elements"),
        (
            {"happyhorse_elements": [{"name": "a", "element_input_urls": PICTURES[:1]}]},
            "INVALID_PROMPT",
            "happyhorse_elements.0.element_input_urls",
        ),
        (
            {"happyhorse_elements": [{"name": "a", "element_input_urls": PICTURES[:5]}]},
            "INVALID_PROMPT",
            "happyhorse_elements.0.element_input_urls",
        ),
        ({"happyhorse_elements": [{"element_input_urls": PICTURES[:2]}]}, "INVALID_PROMPT", "happyhorse_elements.0.name"),
        ({"callback_url": "https://example.com"}, "INVALID_PROMPT", "callback_url"),
    ],
)
def test_wrong_fields_are_a_400_that_names_the_field(
    emulator: EmulatorProcess, horse_app: Client, fields: dict[str, Any], code: str, field: str
) -> None:
    answer = horse_app.generate(**{"model": MODEL, "prompt": "x", **fields})
    document = answer.json()
    assert (answer.status_code, document["code"], document["data"]) == (400, code, None)
    assert document["message"].startswith(f"{field}: ")
    assert emulator.charged() == 0


@pytest.mark.parametrize(("left_out", "code"), [("model", "INVALID_MODEL"), ("prompt", "INVALID_PROMPT")])
def test_required_fields_are_required(horse_app: Client, left_out: str, code: str) -> None:
    fields = {"model": MODEL, "prompt": "x"}
    del fields[left_out]
    assert horse_app.generate(**fields).json()["code"] == code


def test_key_credits_and_unknown_tasks_have_their_own_codes(emulator: EmulatorProcess, horse_app: Client) -> None:
    (foreign,) = emulator.seed(service="happyhorse.app", key=emulator.free_key)
    (other_service,) = emulator.seed()
    answers = {
        "key": horse_app.generate(key="sk-wrong", model=MODEL, prompt="x"),
        "credits": horse_app.generate(key=emulator.poor_key, model=MODEL, prompt="x"),
        "unknown": horse_app("GET", "/api/status", params={"task_id": "n92none"}),
        "foreign": horse_app("GET", "/api/status", params={"task_id": foreign}),
        "other": horse_app("GET", "/api/status", params={"task_id": other_service}),
        "no id": horse_app("GET", "/api/status"),
    }
    assert {name: (one.status_code, one.json()["code"]) for name, one in answers.items()} == {
        "key": (401, "INVALID_API_KEY"),
        "credits": (402, "INSUFFICIENT_CREDITS"),
        "unknown": (404, "TASK_NOT_FOUND"),
        "foreign": (404, "TASK_NOT_FOUND"),
        "other": (404, "TASK_NOT_FOUND"),
        "no id": (400, "INVALID_PROMPT"),
    }
    assert emulator.charged(emulator.poor_key) == 0


@pytest.mark.parametrize("path", ["/api/upload", "/api/videos", "/api/credits"])
def test_there_is_nothing_but_generate_and_status(horse_app: Client, path: str) -> None:
    assert horse_app("GET", path).status_code == 404

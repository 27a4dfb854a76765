"""Every documented limit of both services: at its edge, just inside and just outside."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_happyhorse.api.happy_horse_ai import HappyHorseAi
from airflow_provider_happyhorse.api.happyhorse_app import HappyHorseApp
from airflow_provider_happyhorse.api.models import VideoRequest
from airflow_provider_happyhorse.api.service import Service
from tests.api.answers import request_of

APP, AI = HappyHorseApp(), HappyHorseAi()
URL = "https://x.example/a.png"


def shots(*durations: float, prompt: str = "a") -> list[dict[str, Any]]:
    return [{"prompt": prompt, "duration": seconds} for seconds in durations]


def elements(count: int, urls: int = 2) -> list[dict[str, Any]]:
    return [{"name": f"e{number}", "description": "d", "element_input_urls": [URL] * urls} for number in range(count)]


def check(service: Service, pending: tuple[str, ...] = (), **fields: Any) -> list[str]:
    return service.check(request_of(**fields), pending=frozenset(pending))


# --- happyhorse.app ---

MULTI = {"multi_shots": True}
APP_ALLOWED: dict[str, dict[str, Any]] = {
    "prompt alone": {"prompt": "a"},
    "prompt of 2500": {"prompt": "a" * 2500},
    "prompt of 2500 emoji": {"prompt": "\U0001f40e" * 2500},
    "model": {"prompt": "a", "model": "happyhorse-1.0/video"},
    "std": {"prompt": "a", "mode": "std"},
    "pro": {"prompt": "a", "mode": "pro"},
    "3 s": {"prompt": "a", "duration": 3},
    "3.5 s": {"prompt": "a", "duration": 3.5},
    "15 s": {"prompt": "a", "duration": 15},
    "16:9": {"prompt": "a", "aspect_ratio": "16:9"},
    "9:16": {"prompt": "a", "aspect_ratio": "9:16"},
    "1:1": {"prompt": "a", "aspect_ratio": "1:1"},
    "cfg 0": {"prompt": "a", "cfg_scale": 0},
    "cfg 1": {"prompt": "a", "cfg_scale": 1},
    "first frame": {"prompt": "a", "image_urls": [URL]},
    "first and last frame": {"prompt": "a", "image_urls": [URL, URL]},
    "1 shot of 1 s": {**MULTI, "multi_prompt": shots(1)},
    "5 shots of 12 s": {**MULTI, "multi_prompt": shots(*[12] * 5)},
    "shots of 500": {**MULTI, "multi_prompt": shots(5, prompt="a" * 500)},
    "shots and a first frame": {**MULTI, "multi_prompt": shots(5), "image_urls": [URL]},
    "shots and a prompt": {**MULTI, "multi_prompt": shots(5), "prompt": "a"},
    "multi_shots false": {"multi_shots": False, "prompt": "a"},
    "3 elements of 2": {"prompt": "a", "happyhorse_elements": elements(3)},
    "element of 4": {"prompt": "a", "happyhorse_elements": elements(1, 4)},
}
APP_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"mode": "pro"}, "`prompt` is missing: it is required and must not be blank, unless `multi_shots` is true"),
    "blank prompt": ({"prompt": " \n"}, "`prompt` is missing: it is required and must not be blank, unless `multi_shots` is true"),
    "prompt of 2501": ({"prompt": "a" * 2501}, "`prompt` has 2501 characters; at most 2500 are allowed"),
    "other model": ({"prompt": "a", "model": "happyhorse-1.1/video"}, "`model` must be 'happyhorse-1.0/video', not 'happyhorse-1.1/video'"),
    "other mode": ({"prompt": "a", "mode": "text-to-video"}, "`mode` must be std or pro, not 'text-to-video'"),
    "mode in capitals": ({"prompt": "a", "mode": "PRO"}, "`mode` must be std or pro, not 'PRO'"),
    "2.9 s": ({"prompt": "a", "duration": 2.9}, "`duration` must be 3 to 15 seconds, not 2.9"),
    "15.1 s": ({"prompt": "a", "duration": 15.1}, "`duration` must be 3 to 15 seconds, not 15.1"),
    "0 s": ({"prompt": "a", "duration": 0}, "`duration` must be 3 to 15 seconds, not 0"),
    "4:3": ({"prompt": "a", "aspect_ratio": "4:3"}, "`aspect_ratio` must be 16:9, 9:16 or 1:1, not '4:3'"),
    "cfg -0.1": ({"prompt": "a", "cfg_scale": -0.1}, "`cfg_scale` must be 0 to 1, not -0.1"),
    "cfg 1.1": ({"prompt": "a", "cfg_scale": 1.1}, "`cfg_scale` must be 0 to 1, not 1.1"),
    "3 frames": ({"prompt": "a", "image_urls": [URL] * 3}, "`image_urls` has 3 URLs; at most 2 (first and last frame)"),
    "shots and 2 frames": (
        {**MULTI, "multi_prompt": shots(5), "image_urls": [URL] * 2},
        "`image_urls` has 2 URLs; at most 1 (first frame only, with `multi_shots`)",
    ),
    "path for a URL": ({"prompt": "a", "image_urls": ["/tmp/a.png"]}, "`image_urls` must hold http(s) URLs, not '/tmp/a.png'"),
    "data for a URL": (
        {"prompt": "a", "image_urls": ["data:image/png;base64,AA"]},
        "`image_urls` must hold http(s) URLs, not 'data:image/png;base64,AA'",
    ),
    "nothing for the first frame": ({"prompt": "a", "image_urls": ["", URL]}, "`image_urls` must hold http(s) URLs, not ''"),
    "no shots": (MULTI, "`multi_prompt` is missing: `multi_shots` needs 1 to 5 shots"),
    "6 shots": ({**MULTI, "multi_prompt": shots(*[2] * 6)}, "`multi_prompt` has 6 shots; at most 5 are allowed"),
    "shot of 501": (
        {**MULTI, "multi_prompt": [*shots(3), *shots(3, prompt="a" * 501)]},
        "`multi_prompt[1].prompt` has 501 characters; at most 500 are allowed",
    ),
    "shot of 0.9 s": ({**MULTI, "multi_prompt": shots(0.9)}, "`multi_prompt[0].duration` must be 1 to 12 seconds, not 0.9"),
    "shot of 12.1 s": ({**MULTI, "multi_prompt": shots(12.1)}, "`multi_prompt[0].duration` must be 1 to 12 seconds, not 12.1"),
    "shots without multi_shots": ({"prompt": "a", "multi_prompt": shots(3)}, "`multi_prompt` needs `multi_shots`: true"),
    "4 elements": ({"prompt": "a", "happyhorse_elements": elements(4)}, "`happyhorse_elements` has 4 elements; at most 3 are allowed"),
    "element of 1": (
        {"prompt": "a", "happyhorse_elements": elements(1, 1)},
        "`happyhorse_elements[0].element_input_urls` has 1 URLs; 2 to 4 are allowed",
    ),
    "element of 5": (
        {"prompt": "a", "happyhorse_elements": elements(1, 5)},
        "`happyhorse_elements[0].element_input_urls` has 5 URLs; 2 to 4 are allowed",
    ),
    "image_url": ({"prompt": "a", "image_url": URL}, "happyhorse.app has no `image_url`; it has `image_urls`"),
    "resolution": ({"prompt": "a", "resolution": "720p"}, "happyhorse.app has no `resolution`; it has `mode`"),
    "generation_type": (
        {"prompt": "a", "generation_type": "image_to_video"},
        "happyhorse.app has no `generation_type`; an image in `image_urls` is enough",
    ),
}


@pytest.mark.parametrize("case", APP_ALLOWED)
def test_happyhorse_app_allows(case: str) -> None:
    assert check(APP, **APP_ALLOWED[case]) == []


@pytest.mark.parametrize("case", APP_REFUSED)
def test_happyhorse_app_refuses(case: str) -> None:
    fields, problem = APP_REFUSED[case]
    assert check(APP, **fields) == [problem]


# --- happy-horse.ai ---

AI_ALLOWED: dict[str, dict[str, Any]] = {
    "prompt alone": {"prompt": "a"},
    "any length of prompt": {"prompt": "a" * 10_000},
    "any model": {"prompt": "a", "model": "next-year-pro"},
    "any ratio": {"prompt": "a", "aspect_ratio": "21:9"},
    "any resolution": {"prompt": "a", "resolution": "8k"},
    "any length": {"prompt": "a", "duration": 0.5},
    "text_to_video": {"prompt": "a", "generation_type": "text_to_video"},
    "image_to_video": {"prompt": "a", "generation_type": "image_to_video", "image_url": URL},
    "image": {"prompt": "a", "image_url": "HTTPS://x.example/a.png"},
}
AI_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"duration": 5}, "`prompt` is missing: it is required and must not be blank"),
    "image alone": ({"image_url": URL}, "`prompt` is missing: it is required and must not be blank"),
    "other generation_type": (
        {"prompt": "a", "generation_type": "text-to-video"},
        "`generation_type` must be text_to_video or image_to_video, not 'text-to-video'",
    ),
    "no image": ({"prompt": "a", "generation_type": "image_to_video"}, "`image_url` is missing: image_to_video requires it"),
    "an image that would be ignored": (
        {"prompt": "a", "generation_type": "text_to_video", "image_url": URL},
        "`image_url` with `generation_type` text_to_video would pay for a video without the image; leave one out",
    ),
    **{
        f"{url} for a URL": (
            {"prompt": "a", "image_url": url},
            "`image_url` must be an http(s) URL; upload a file with HappyHorseUploadImageOperator first",
        )
        for url in ("/tmp/a.png", "s3://bucket/a.png", "https://", "https://[", "https://x.example/a b.png", "x.example/a.png")
    },
    "0 s": ({"prompt": "a", "duration": 0}, "`duration` must be more than 0 seconds, not 0"),
    "-1 s": ({"prompt": "a", "duration": -1}, "`duration` must be more than 0 seconds, not -1"),
    "image_urls": ({"prompt": "a", "image_urls": [URL]}, "happy-horse.ai has no `image_urls`; it has `image_url`"),
    "mode": ({"prompt": "a", "mode": "pro"}, "happy-horse.ai has no `mode`; it has `model` and `resolution`"),
    "sound": ({"prompt": "a", "sound": False}, "happy-horse.ai has no `sound`"),
    "cfg_scale": ({"prompt": "a", "cfg_scale": 0.5}, "happy-horse.ai has no `cfg_scale`"),
    "multi_shots": ({"prompt": "a", "multi_shots": True}, "happy-horse.ai has no `multi_shots`"),
    "multi_prompt": ({"prompt": "a", "multi_prompt": shots(3)}, "happy-horse.ai has no `multi_prompt`"),
    "happyhorse_elements": ({"prompt": "a", "happyhorse_elements": elements(1)}, "happy-horse.ai has no `happyhorse_elements`"),
}


@pytest.mark.parametrize("case", AI_ALLOWED)
def test_happy_horse_ai_allows(case: str) -> None:
    assert check(AI, **AI_ALLOWED[case]) == []


@pytest.mark.parametrize("case", AI_REFUSED)
def test_happy_horse_ai_refuses(case: str) -> None:
    fields, problem = AI_REFUSED[case]
    assert check(AI, **fields) == [problem]


def test_every_field_belongs_to_a_service_and_is_refused_by_name_by_the_other() -> None:
    samples: dict[str, Any] = {
        "image_urls": [URL],
        "multi_shots": True,
        "multi_prompt": shots(3),
        "happyhorse_elements": elements(1),
        "sound": True,
        "duration": 5,
        "cfg_scale": 0.5,
    }
    refusing: dict[str, set[str]] = {}
    for name in VideoRequest.model_fields:
        request = request_of(**{name: samples.get(name, "text")})
        for service in (APP, AI):
            if any(problem.startswith(f"{service.name} has no `{name}`") for problem in service.check(request)):
                refusing.setdefault(service.name, set()).add(name)
    only_app = {"mode", "image_urls", "sound", "cfg_scale", "multi_shots", "multi_prompt", "happyhorse_elements"}
    assert refusing == {"happy-horse.ai": only_app, "happyhorse.app": {"generation_type", "image_url", "resolution"}}


# --- all at once, and what is not known yet ---


def test_all_mistakes_come_in_one_list() -> None:
    problems = check(
        APP,
        model="x",
        mode="x",
        duration=99,
        aspect_ratio="x",
        cfg_scale=9,
        image_urls=["x", "y", "z"],
        resolution="x",
        multi_prompt=shots(99, prompt="a" * 501),
        happyhorse_elements=elements(4, 1),
    )
    named = ["resolution", "model", "mode", "duration", "aspect_ratio", "cfg_scale", "image_urls", "prompt", "multi_prompt"]
    named += ["multi_prompt[0].prompt", "multi_prompt[0].duration", "happyhorse_elements", "happyhorse_elements[3].element_input_urls"]
    for name in named:
        assert any(f"`{name}`" in problem for problem in problems), name
    assert len(problems) == len(set(problems))
    assert len(check(AI, mode="x", duration=0, generation_type="x", image_url="x")) == 5


def test_a_pending_field_silences_what_depends_on_it() -> None:
    assert check(APP, ("prompt",), mode="pro") == []
    assert check(APP, ("multi_shots",), multi_prompt=shots(3)) == []
    assert check(APP, ("multi_prompt",), multi_shots=True) == []
    assert check(AI, ("prompt",), duration=5) == []
    assert check(AI, ("image_url",), prompt="a", generation_type="image_to_video") == []


def test_a_pending_field_silences_nothing_else() -> None:
    assert check(APP, ("prompt",), mode="x", duration=2) == [
        "`mode` must be std or pro, not 'x'",
        "`duration` must be 3 to 15 seconds, not 2",
    ]
    assert check(APP, ("multi_shots",), multi_prompt=shots(99)) == ["`multi_prompt[0].duration` must be 1 to 12 seconds, not 99"]
    assert check(APP, ("duration", "mode"), cfg_scale=2) == [
        "`cfg_scale` must be 0 to 1, not 2",
        "`prompt` is missing: it is required and must not be blank, unless `multi_shots` is true",
    ]
    assert check(AI, ("image_url",), duration=0, generation_type="image_to_video") == [
        "`prompt` is missing: it is required and must not be blank",
        "`duration` must be more than 0 seconds, not 0",
    ]


# --- allowed, and probably not meant ---


@pytest.mark.parametrize(
    ("fields", "warnings"),
    [
        ({"prompt": "a"}, []),
        ({**MULTI, "multi_prompt": shots(3, 4, 3)}, []),
        ({**MULTI, "multi_prompt": shots(1.1, 2.2, 3.3), "duration": 6.6}, []),
        ({**MULTI, "multi_prompt": shots(2)}, ["the shots of `multi_prompt` add up to 2 s; 3 to 15 s is documented for `duration`"]),
        ({**MULTI, "multi_prompt": shots(8, 8)}, ["the shots of `multi_prompt` add up to 16 s; 3 to 15 s is documented for `duration`"]),
        ({**MULTI, "multi_prompt": shots(5, 5), "duration": 5}, ["`duration` is 5 s, the shots of `multi_prompt` add up to 10 s"]),
        ({"prompt": "@e0 runs", "happyhorse_elements": elements(1)}, []),
        ({"prompt": "it runs", "happyhorse_elements": elements(1)}, ["the element `e0` is never mentioned as @e0"]),
        ({"prompt": "@e0 and @cat", "happyhorse_elements": elements(1)}, ["@cat is mentioned and is no element"]),
        ({"prompt": "mail me@home.example"}, []),
        (
            {"prompt": "a", "image_urls": [URL], "aspect_ratio": "1:1"},
            ["`aspect_ratio` is adapted to the image when `image_urls` is given"],
        ),
    ],
)
def test_what_happyhorse_app_allows_and_is_probably_not_meant(fields: dict[str, Any], warnings: list[str]) -> None:
    assert APP.check(request_of(**fields)) == []
    assert APP.warnings(request_of(**fields)) == warnings

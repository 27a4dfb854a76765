"""The page about the services, fact by fact: what it says is what happens, and what the vendors say.

Values come from the page's tables, are put to work, and must do what the page says of them. What only a vendor can know (a default, a
name, a price) is held against the vendor's own text in the constants below.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from airflow_provider_happyhorse import operators
from airflow_provider_happyhorse.api.calls import Response
from airflow_provider_happyhorse.api.errors import NotFound, PaidAccessRequired, ServiceError, Unsupported
from airflow_provider_happyhorse.api.generation import Generation
from airflow_provider_happyhorse.api.happy_horse_ai_answers import FAULTS, RATE_LIMIT, REFUSALS
from airflow_provider_happyhorse.api.happyhorse_app_answers import WORDS
from airflow_provider_happyhorse.api.models import ImageRequest, VideoRequest
from airflow_provider_happyhorse.api.service import services
from airflow_provider_happyhorse.emulator.settings import Settings
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook, read_image
from airflow_provider_happyhorse.ledger.stamp import Stamp
from airflow_provider_happyhorse.ledger.stores import NoLedger
from airflow_provider_happyhorse.operators.clip import Clip
from airflow_provider_happyhorse.operators.submission import Submission
from airflow_provider_happyhorse.operators.turn import Turn
from airflow_provider_happyhorse.operators.waiting import result_of_event, wait_in_worker
from airflow_provider_happyhorse.polling.wait import Ended
from airflow_provider_happyhorse.provider_info import get_provider_info
from airflow_provider_happyhorse.results import event_of, new_result, with_generation
from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor
from tests.documentation import PAGES, section, tables, words
from tests.emulator_process import EmulatorProcess
from tests.transports.servers import Behaviour, Server, closes_without_an_answer, refusing_port, says
from tests.transports.servers import answer as http

PAGE = PAGES["services.md"]
AI, APP = "happy-horse.ai", "happyhorse.app"

#: https://happy-horse.ai/docs/api-reference, read on 2026-11-20.
AI_TEXT = """
https://happy-horse.ai/api/v1
Default: 60 requests per minute per API key.
X-RateLimit-Limit | Max requests per minute
X-RateLimit-Remaining | Remaining requests in window
X-RateLimit-Reset | Unix timestamp when window resets
/generate prompt | string | Yes | Text description of the video to generate
/generate model | string | No | Model ID. Default: seedance-1-5-pro
/generate generation_type | string | No | text_to_video (default) or image_to_video
/generate image_url | string | No | Reference image URL (required for image_to_video)
/generate aspect_ratio | string | No | Aspect ratio. Default: 16:9
/generate duration | number | No | Video duration in seconds. Default: 5
/generate resolution | string | No | Output resolution. Default: 720p
/generate-image prompt | string | Yes | Text description of the image to generate
/generate-image model | string | No | Model ID. Default: nano-banana-2
/generate-image resolution | string | No | Output resolution: 1k, 2k, or 4k
/generate-image aspect_ratio | string | No | Aspect ratio. Default: 1:1
/generate-image output_format | string | No | png (default), jpg, or webp
/generate-image images | string[] | No | Reference image URLs for edit mode
/videos page | number | No | Page number. Default: 1
/videos limit | number | No | Items per page (1-50). Default: 20
/upload image | File | Yes | Image file (JPG, PNG, WebP). Max 10MB.
| 401 | unauthorized |
| 403 | insufficient_credits |
| 403 | paid_access_required |
| 400 | validation_error |
| 429 | rate_limit_exceeded |
| 500 | internal_error |
| 502 | upstream_error |
| HappyHorse Lite | doubao-seedance-1-5-pro | 5 | Not required |
| HappyHorse 1.0 | doubao-seedance-2-0 | 7.5 equivalent (rounded up per video) | Required |
| HappyHorse 1.0 Fast | doubao-seedance-2-0-fast | 5 | Required |
| Nano Banana 2.0 | nano-banana-2 | 5 per image | Required |
"""
#: https://happyhorse.app/docs (its German and Korean versions), read on 2026-11-20; only field names are put before its sentences.
APP_TEXT = """
Base URL: https://happyhorse.app
HappyHorse 1.0
| pro (text-to-video) | 3-15s | 54/s (no audio) · 80/s (with audio) |
| std (text-to-video) | 3-15s | 40/s (no audio) · 60/s (with audio) |
model | Modellname, muss 'happyhorse-1.0/video' sein
prompt | Textbeschreibung des Videos (max. 2500 Zeichen). Nicht erforderlich, wenn multi_shots true ist.
mode | Qualitätsmodus: 'pro' oder 'std' (Standard: std) Defaults to std.
duration | Videodauer in Sekunden (3–15, Standard: 5) Defaults to 5.
aspect_ratio | Ausgabe-Seitenverhältnis (16:9, 9:16, 1:1) Defaults to 16:9.
image_urls | Array von Bild-URLs für Image-to-Video
sound | Native Audiogenerierung aktivieren (Standard: true) Defaults to true.
cfg_scale | Prompt-Treue (0-1, Standard: 0.5). Höhere Werte folgen dem Prompt enger. Defaults to 0.5.
multi_shots | Multi-Shot-Modus mit mehreren Prompts Defaults to false.
multi_prompt | für den Multi-Shot-Modus (max. 5 Shots, je max. 500 Zeichen, Dauer 1-12 s)
happyhorse_elements | Jedes Element: name, description, element_input_urls (2-4 Bild-URLs). Max. 3 Elemente pro Aufgabe.
| 400 | INVALID_PROMPT |
| 400 | INVALID_DURATION |
| 400 | INVALID_MODEL |
| 401 | INVALID_API_KEY |
| 402 | INSUFFICIENT_CREDITS |
| 429 | RATE_LIMITED |
| 500 | INTERNAL_ERROR |
"""  # noqa: RUF001  the vendor's own dash
AI_FIELDS, APP_FIELDS = tables(section(PAGE, "## Request fields"))
IMAGE_MODELS, IMAGE_FIELDS = tables(section(PAGE, "## Images"))
FIELDS = {
    (service, path, words(row["field"])[0]): row
    for service, path, found in ((AI, "/generate", AI_FIELDS), (AI, "/generate-image", IMAGE_FIELDS), (APP, "", APP_FIELDS))
    for row in found
}
ANSWERS, STATUSES = tables(section(PAGE, "## Answers"))
(ENDPOINTS,), (HEADERS,), (ERRORS,) = (tables(section(PAGE, f"## {name}")) for name in ("Endpoints", "Headers", "Errors"))
AI_PRICES, APP_PRICES = tables(section(PAGE, "## Prices"))
FACTS = {row[""]: row for row in tables(PAGE.split("## ")[0])[0]}
URL = "https://example.com/{}.png"
#: Seconds.
SUBMIT_TIMEOUT = 30.0


def refused(service: str, *, path: str = "", **fields: Any) -> list[str]:
    """Return what is wrong with a request that has a prompt unless it says otherwise."""
    model = ImageRequest if path == "/generate-image" else VideoRequest
    return services()[service].check(model.model_validate({"prompt": "x", **fields}))


def limits(cell: str, pattern: str) -> list[float]:
    """Return the numbers that the page has in a sentence of this form."""
    found = re.search(pattern, cell)
    assert found is not None, f"{cell!r} has no {pattern!r}"
    return [float(number) for number in found.groups()]


def vendor_sentence(service: str, path: str, name: str) -> str:
    text = AI_TEXT if service == AI else APP_TEXT
    return next(line for line in text.splitlines() if line.startswith(f"{path} {name} | ".lstrip()))


# -- services and endpoints --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", [AI, APP])
def test_the_base_url_is_the_one_that_is_called(service: str) -> None:
    documented = words(FACTS["base URL"][service])[0]
    assert documented == services()[service].base_url
    assert documented in (AI_TEXT if service == AI else APP_TEXT).splitlines()[1]


def test_the_requests_a_minute_are_those_of_the_vendor_and_the_emulator() -> None:
    [most] = limits(FACTS["requests per minute and key"][AI], r"^(\d+), ")
    assert f"Default: {most:g} requests per minute per API key." in AI_TEXT
    assert most == Settings().requests_per_minute
    assert FACTS["requests per minute and key"][APP] == "limited, number not documented"


def test_every_endpoint_is_called_by_the_method_with_the_parameters_that_the_page_names(
    connect: Callable[..., str], tmp_path: Path
) -> None:
    image = tmp_path / "shoe.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = {"request": {"prompt": "x"}, "generation_id": "some-id", "image": image}
    # Read by either service as the answer to any of the calls.
    data = {"video_id": "some-id", "task_id": "some-id", "status": "s", "videos": [], "url": URL}
    below = {name: urlsplit(service.base_url).path for name, service in services().items()}
    with Server(says(http({"code": 200, "message": "success", "data": data, "error": None}))) as server:
        for row in ENDPOINTS:
            hook = HappyHorseHook(connect(cast("Any", row["service"]), host=server.url))
            endpoint, takes = words(row["endpoint"])[0], row["what it takes"]
            for called in words(row["method"]):
                name, taken = re.findall(r"^(\w+)\((.*)\)$", called)[0]
                positional = [arguments[part] for part in taken.split(", ") if part and "=" not in part]
                getattr(hook, name)(*positional, **{key: json.loads(value) for key, value in re.findall(r"(\w+)=([^,]+)", taken)})
                method, target, _ = server.requests[-1].decode().split(" ", 2)
                path, _, query = target.partition("?")
                assert f"{method} {path}" == endpoint.replace(":video_id", "some-id").replace(" ", f" {below[row['service']]}")
                assert [part.split("=")[0] for part in query.split("&") if query] == (words(takes) if takes.startswith("query:") else [])
            if takes.startswith("form:"):
                part = services()[AI].upload(read_image(image)).request.file
                assert part is not None
                assert words(takes) == [part.form_name]
        assert len(server.requests) == sum(len(words(row["method"])) for row in ENDPOINTS)


def test_the_operators_of_the_endpoints_exist() -> None:
    known = {*operators.__all__, HappyHorseGenerationSensor.__name__, *(f"@{name}" for name in decorators())}
    assert {word for row in ENDPOINTS for word in words(row["operators"])} <= known


def decorators() -> list[str]:
    return [f"task.{found['name']}" for found in get_provider_info()["task-decorators"]]


def test_the_endpoints_are_all_that_each_service_documents() -> None:
    assert [words(row["endpoint"])[0] for row in ENDPOINTS if row["service"] == AI] == [
        "POST /generate",
        "POST /generate-image",
        "GET /videos",
        "GET /videos/:video_id",
        "POST /upload",
        "GET /credits",
    ]
    assert [words(row["endpoint"])[0] for row in ENDPOINTS if row["service"] == APP] == ["POST /api/generate", "GET /api/status"]
    with pytest.raises(Unsupported):
        services()[APP].credits()


def test_a_page_of_the_list_has_as_many_as_the_page_says(connect: Callable[..., str]) -> None:
    row = next(row for row in ENDPOINTS if words(row["endpoint"]) == ["GET /videos"])
    least, most, page, limit = limits(row["what it takes"], r"`limit`, (\d+) to (\d+)\. The service's defaults, (\d+) and (\d+),")
    assert vendor_sentence(AI, "/videos", "limit").endswith(f"({least:g}-{most:g}). Default: {limit:g}")
    assert vendor_sentence(AI, "/videos", "page").endswith(f"Default: {page:g}")
    assert words(row["method"]) == [f"list_generations(page={page:g}, limit={limit:g})"]
    with Server(says(http({"data": []}))) as server:
        hook = HappyHorseHook(connect(AI, host=server.url))
        assert hook.list_generations(limit=int(least)) == hook.list_generations(limit=int(most)) == []
        for beyond in (int(least) - 1, int(most) + 1):
            with pytest.raises(ValueError, match="limit"):
                hook.list_generations(limit=beyond)
        [first] = limits(row["what it takes"], r"`page`, from (\d+)")
        with pytest.raises(ValueError, match="page"):
            hook.list_generations(page=int(first) - 1)
        assert len(server.requests) == 2


def test_an_upload_may_be_as_large_and_of_the_kinds_that_the_page_says(tmp_path: Path) -> None:
    sentences = [
        FACTS["upload of images"][AI],
        next(row for row in ENDPOINTS if words(row["endpoint"]) == ["POST /upload"])["what it takes"],
    ]
    heads = {"JPG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WebP": b"RIFF....WEBP", "GIF": b"GIF89a", "AVIF": b"....ftypavif"}
    image = tmp_path / "image"
    for sentence in sentences:
        [megabytes] = limits(sentence, r"at most (\d+) MB")
        assert f"Max {megabytes:g}MB." in AI_TEXT
        for size, fits in ((int(megabytes) * 1024**2, True), (int(megabytes) * 1024**2 + 1, False)):
            image.write_bytes(heads["PNG"].ljust(size, b"\0"))
            assert accepts(image) is fits
        for kind, head in heads.items():
            image.write_bytes(head)
            assert accepts(image) is (kind in sentence), kind


def accepts(image: Path) -> bool:
    try:
        read_image(image)
    except ValueError:
        return False
    return True


# -- request fields ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("service", "path", "name"), FIELDS, ids=["".join(field[:2]) + f".{field[2]}" for field in FIELDS])
def test_the_default_of_a_field_is_the_vendors(service: str, path: str, name: str) -> None:
    sentence = vendor_sentence(service, path, name)
    default = re.findall(r"Defaults? ?(?:to|:) (\S+?)\.?$", sentence) or re.findall(r"(\w+) \(default\)", sentence)
    assert words(next(value for key, value in FIELDS[service, path, name].items() if key.endswith("default"))) == default


def test_every_field_that_a_vendor_documents_is_on_the_page() -> None:
    for service, path, name in FIELDS:
        assert vendor_sentence(service, path, name)
    documented = set(re.findall(r"^(/generate(?:-image)?) (\w+) \|", AI_TEXT, re.MULTILINE))
    assert documented == {(path, name) for service, path, name in FIELDS if service == AI}
    assert set(re.findall(r"^(\w+) \|", APP_TEXT, re.MULTILINE)) == {name for service, _, name in FIELDS if service == APP}


@pytest.mark.parametrize(("service", "path", "word"), [(AI, "/generate", "required"), (AI, "/generate-image", "required"), (APP, "", "")])
def test_a_prompt_is_required_where_the_page_says_so(service: str, path: str, word: str) -> None:
    says_so = FIELDS[service, path, "prompt"]["limits"]
    assert says_so == word or says_so.endswith("required unless `multi_shots` is true")
    assert refused(service, path=path) == []
    assert "`prompt` is missing" in refused(service, path=path, prompt="")[0]
    if service == APP:
        assert refused(APP, prompt="", multi_shots=True, multi_prompt=[{"prompt": "x", "duration": 5}]) == []


def test_happy_horse_ai_takes_the_generation_types_of_the_page() -> None:
    types = words(FIELDS[AI, "/generate", "generation_type"]["limits"])
    assert len(types) == 2
    assert [refused(AI, generation_type=word) for word in types] == [[], ["`image_url` is missing: image_to_video requires it"]]
    assert refused(AI, generation_type="video_to_video") == [f"`generation_type` must be {' or '.join(types)}, not 'video_to_video'"]
    assert "required for `image_to_video`" in FIELDS[AI, "/generate", "image_url"]["limits"]
    assert refused(AI, generation_type=types[1], image_url=URL) == []
    assert refused(AI, generation_type=types[1], image_url="a.png") != []
    sent = services()[AI].body(VideoRequest.model_validate({"prompt": "x", "image_url": URL}))["generation_type"]
    assert f"is sent as `{sent}`" in section(PAGE, "## Request fields")


def test_happy_horse_ai_takes_any_value_where_the_page_says_any() -> None:
    open_fields = [(path, name) for (service, path, name), row in FIELDS.items() if service == AI and row["limits"].startswith("any")]
    assert {name for _, name in open_fields} == {"model", "aspect_ratio", "resolution"}
    assert [refused(AI, path=path, **{name: "another"}) for path, name in open_fields] == [[]] * len(open_fields)
    [least] = limits(FIELDS[AI, "/generate", "duration"]["limits"], r"^seconds, more than (\d+)$")
    assert refused(AI, duration=least + 0.1) == []
    assert refused(AI, duration=least) != []


def test_an_image_takes_what_the_page_says() -> None:
    path = "/generate-image"
    formats = words(FIELDS[AI, path, "output_format"]["limits"])
    assert [refused(AI, path=path, output_format=word) for word in formats] == [[]] * 3
    assert f"must be {', '.join(formats[:-1])} or {formats[-1]}" in refused(AI, path=path, output_format="gif")[0]
    resolutions = words(FIELDS[AI, path, "resolution"]["limits"])
    warned = [services()[AI].warnings(ImageRequest.model_validate({"prompt": "x", "resolution": word})) for word in [*resolutions, "8k"]]
    assert warned == [[], [], [], [f"`resolution` '8k' is not among the documented {', '.join(resolutions[:-1])} and {resolutions[-1]}"]]
    assert refused(AI, path=path, images=["a.png"]) != []


def test_happyhorse_app_takes_only_the_model_of_the_page() -> None:
    [model] = words(FIELDS[APP, "", "model"]["limits"])
    assert refused(APP, model=model) == []
    assert model in refused(APP, model=f"{model}-2")[0]
    assert services()[APP].body(VideoRequest.model_validate({"prompt": "x"}))["model"] == model
    assert f"'{model}'" in vendor_sentence(APP, "", "model")
    assert f"`{model}`, is called HappyHorse 1.0 there" in section(PAGE, "## Prices")
    assert "\nHappyHorse 1.0\n" in APP_TEXT


@pytest.mark.parametrize(("name", "other"), [("mode", "max"), ("aspect_ratio", "4:3"), ("sound", None), ("multi_shots", None)])
def test_happyhorse_app_takes_the_words_of_the_page(name: str, other: str | None) -> None:
    cell = FIELDS[APP, "", name]["limits"]
    if other is None:
        assert cell.startswith("boolean")
        with pytest.raises(ValueError, match=name):
            refused(APP, **{name: "perhaps"})
        return
    assert [refused(APP, **{name: word}) for word in words(cell)] == [[]] * len(words(cell))
    assert all(word in refused(APP, **{name: other})[0] for word in words(cell))
    assert all(word in vendor_sentence(APP, "", name) for word in words(cell))


def shots(count: float = 1, *, characters: float = 1, seconds: float = 5) -> dict[str, Any]:
    return {"multi_shots": True, "multi_prompt": [{"prompt": "x" * int(characters), "duration": seconds}] * int(count)}


def elements(count: float = 1, *, urls: float = 2) -> dict[str, Any]:
    found = [{"name": f"n{i}", "description": "d", "element_input_urls": [URL] * int(urls)} for i in range(int(count))]
    return {"happyhorse_elements": found}


#: Field, where its limits are on the page, whether the first number is a minimum, and a request with such a number in that place.
NUMBERS: list[tuple[str, str, float, Callable[[float], dict[str, Any]]]] = [
    ("prompt", r"at most (\d+) characters", 1, lambda n: {"prompt": "x" * int(n)}),
    ("duration", r"(\d+) to (\d+) seconds", 0.1, lambda n: {"duration": n}),
    ("cfg_scale", r"(\d+) to (\d+)", 0.1, lambda n: {"cfg_scale": n}),
    ("image_urls", r"at most (\d+) http", 1, lambda n: {"image_urls": [URL] * int(n)}),
    ("image_urls", r"with `multi_shots` at most (\d+)", 1, lambda n: {"image_urls": [URL] * int(n), **shots()}),
    ("multi_prompt", r"(\d+) to (\d+) shots", 1, lambda n: shots(n)),
    ("multi_prompt", r"at most (\d+) characters", 1, lambda n: shots(characters=n)),
    ("multi_prompt", r"(\d+) to (\d+) seconds", 0.1, lambda n: shots(seconds=n)),
    ("happyhorse_elements", r"at most (\d+) of", 1, lambda n: elements(n)),
    ("happyhorse_elements", r"(\d+) to (\d+) URLs", 1, lambda n: elements(urls=n)),
]


@pytest.mark.parametrize(("name", "pattern", "step", "fields"), NUMBERS, ids=lambda value: value if isinstance(value, str) else "")
def test_happyhorse_app_refuses_what_is_beyond_a_limit_of_the_page(
    name: str, pattern: str, step: float, fields: Callable[[float], dict[str, Any]]
) -> None:
    *least, most = limits(FIELDS[APP, "", name]["limits"], pattern)
    assert refused(APP, **fields(most)) == []
    assert len(refused(APP, **fields(most + step))) == 1
    for smallest in least:
        assert refused(APP, **fields(smallest)) == []
        assert len(refused(APP, **fields(smallest - step))) == 1


# -- answers -----------------------------------------------------------------------------------------------------------------------------

#: The documented answers to a submission and to a question, of which the second ones differ in every member.
SUBMITTED: dict[str, dict[str, Any]] = {AI: {"video_id": "one", "status": "processing"}, APP: {"task_id": "one", "status": "IN_PROGRESS"}}
STATUS: dict[str, dict[str, Any]] = {
    AI: {"status": "failed", "video_url": URL.format(1), "error": "reason one"},
    APP: {
        "task_id": "one",
        "status": "FAILED",
        "consumed_credits": 400,
        "created_at": "2026-04-08T10:30:00Z",
        "type": "text-to-video",
        "request": {"prompt": "one"},
        "response": {"resultUrls": [URL.format(1)]},
        "error_message": "reason one",
    },
}
OTHER = {
    "video_id": "two",
    "task_id": "two",
    "status": "running",
    "video_url": URL.format(2),
    "error": "reason two",
    "consumed_credits": 7,
    "created_at": "2027-01-01T00:00:00Z",
    "type": "image-to-video",
    "request": {"prompt": "two"},
    "resultUrls": [URL.format(2)],
    "error_message": "reason two",
}


def in_envelope(service: str, data: Any) -> bytes:
    return json.dumps({"data": data, "error": None} if service == AI else {"code": 200, "message": "success", "data": data}).encode()


def generation(service: str, data: Any, *, submits: bool = False) -> Generation:
    there = services()[service]
    call = there.submit(VideoRequest.model_validate({"prompt": "x"})) if submits else there.get("one")
    return call.read(Response(200, {}, in_envelope(service, data)))


def differing(one: Any, two: Any) -> set[str]:
    return {name for name in one if one[name] != two[name]}


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: f"{row['service']}-{words(row['field'])[0]}")
def test_a_field_of_an_answer_is_found_where_the_page_says(row: dict[str, str]) -> None:
    service, [path] = row["service"], words(row["field"])
    submits = path in ("video_id", "task_id")
    sample = (SUBMITTED if submits else STATUS)[service]
    changed = copy.deepcopy(sample)
    *above, name = path.split(".")
    inner: Any = changed
    for part in above:
        inner = inner[part]
    assert name in inner
    inner[name] = OTHER[name]

    one, two = generation(service, sample, submits=submits), generation(service, changed, submits=submits)
    found = differing(vars(one), vars(two))
    assert set(words(row["in `Generation`"])) == (found - {"raw"} or {"raw"})

    empty = new_result(name="n", kind="video", service=service, happyhorse_conn_id="c")
    in_result = differing(*(with_generation(empty, read, seen_at="now") for read in (one, two)))
    named = set() if row["in the result"].startswith("not there") else set(words(row["in the result"]))
    texts = [
        str(
            result_of_event(
                event_of(Ended("failed", read.error, read), known=empty, generation_id="g", seen_at="2026-11-20T00:00:00+00:00")
            )[1]
        )
        for read in (one, two)
    ]
    shown = {"GenerationFailed"} if path.startswith("error") and texts[0] != texts[1] else set()
    assert named == in_result | shown


def test_the_answers_table_has_every_documented_field() -> None:
    fields = {(row["service"], words(row["field"])[0]) for row in ANSWERS}
    expected = {(service, name) for sample in (SUBMITTED, STATUS) for service, data in sample.items() for name in data}
    assert fields == expected - {(APP, "response")} | {(APP, "response.resultUrls")}


@pytest.mark.parametrize("row", STATUSES, ids=lambda row: f"{row['service']}-{row['status']}")
def test_a_status_means_what_the_page_says(row: dict[str, str]) -> None:
    for status in words(row["status"]) or ["queued", "PAUSED", "succeeded"]:
        read = generation(row["service"], {**STATUS[row["service"]], "status": status})
        assert [read.state.value] == words(row["`state`"])
        assert read.raw_status == status


def test_every_documented_status_is_in_the_table() -> None:
    # The vendors' samples; that there are others, the last row of each says.
    assert {(row["service"], row["status"]) for row in STATUSES} == {
        (AI, "`completed`"),
        (AI, "`failed`"),
        (AI, "any other word"),
        *((APP, f"`{word}`") for word in ("IN_PROGRESS", "SUCCESS", "FAILED")),
        (APP, "any other word"),
    }


# -- headers -----------------------------------------------------------------------------------------------------------------------------


def test_every_header_arrives_where_the_page_says(connect: Callable[..., str]) -> None:
    rows = {words(row["header"])[0]: row for row in HEADERS}
    budget = {name: index for index, name in enumerate(rows, 40) if name.startswith("X-RateLimit-")}
    assert set(budget) == set(re.findall(r"^(X-\S+) \|", AI_TEXT, re.MULTILINE))
    assert {rows[name]["documented by"] for name in budget} == {AI}
    # A timestamp is one: small numbers in X-RateLimit-Reset are seconds that are left.
    sent = {name: value + 1_795_132_800 if name.endswith("Reset") else value for name, value in budget.items()}
    with Server(
        says(http(json.loads(in_envelope(AI, STATUS[AI])), headers=[f"{name}: {value}" for name, value in sent.items()]))
    ) as server:
        hook = HappyHorseHook(connect(AI, host=server.url, key="the-key"))
        hook.get_generation("g")
        read = hook.service.rate_limit(hook.transport.last_headers)
        assert read is not None
        assert "hook.service.rate_limit(hook.transport.last_headers)" in PAGE
        assert server.header("Authorization") == [words(rows["Authorization"]["where you meet it"])[0].replace("<API key>", "the-key")]
    assert {name: vars(read)[words(rows[name]["where you meet it"])[0].removeprefix("RateLimit.")] for name in budget} == sent


def test_a_429_is_waited_out_as_its_headers_say() -> None:
    rows = {words(row["header"])[0]: row for row in HEADERS}
    [error] = [row for row in ERRORS if row["service"] == AI and row["HTTP"] == "429"]
    class_name, attribute = words(rows["Retry-After"]["where you meet it"])[0].split(".")
    reset = next(name for name, row in rows.items() if "a 429 is waited out until then" in row["where you meet it"])
    date = {"date": "Fri, 20 Nov 2026 00:00:00 GMT"}
    for headers, seconds in (({"retry-after": "17"}, 17), ({reset.lower(): "1795132823", **date}, 23)):
        seen = refusal(AI, 429, words(error["code"])[0], headers)
        assert type(seen).__name__ == class_name
        assert getattr(seen, attribute) == seconds


# -- models and prices -------------------------------------------------------------------------------------------------------------------


def vendor_models() -> dict[str, tuple[str, float, str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in AI_TEXT.splitlines() if line.startswith(("| Happy", "| Nano"))]
    return {model: (name, float(price.split(" ")[0]), subscription.lower()) for name, model, price, subscription in lines}


def test_the_models_have_the_vendors_names_and_prices() -> None:
    documented = {
        words(row["model"])[0]: (row["the vendor's name"], float(row["credits per second"]), row["subscription"]) for row in AI_PRICES
    }
    for row in IMAGE_MODELS:
        documented[words(row["`model`"])[0]] = (row["the vendor's name"], float(row["credits per image"]), row["subscription"])
    assert documented == vendor_models()
    assert words(AI_PRICES[0]["model"])[1] == words(FIELDS[AI, "/generate", "model"]["the service's default"])[0]
    for [mode], silent, loud in [(words(row["`mode`"]), *list(row.values())[1:]) for row in APP_PRICES]:
        assert f"| {mode} (text-to-video) | 3-15s | {silent}/s (no audio) · {loud}/s (with audio) |" in APP_TEXT


def test_a_model_needs_a_subscription_where_the_page_says_so(connect: Callable[..., str], emulator: EmulatorProcess) -> None:
    hook = HappyHorseHook(connect(AI, key="sk-sd_free"))
    models = [(model, "video", row["subscription"]) for row in AI_PRICES for model in words(row["model"])]
    for model, kind, subscription in [*models, *((words(row["`model`"])[0], "image", row["subscription"]) for row in IMAGE_MODELS)]:
        request = {"prompt": "x", "model": model}
        if subscription == "required":
            with pytest.raises(PaidAccessRequired) as seen:
                hook.submit(request, kind=cast("Any", kind))
            assert f"ends with `{seen.value.code}`" in section(PAGE, "## Prices")
        else:
            assert subscription == "not required"
            assert hook.submit(request, kind=cast("Any", kind)).generation_id


# -- errors ------------------------------------------------------------------------------------------------------------------------------


def refused_body(service: str, code: str) -> dict[str, Any]:
    sentence = "the vendor's own sentence"
    return (
        {"data": None, "error": {"message": sentence, "code": code}} if service == AI else {"code": code, "message": sentence, "data": None}
    )


def refusal(service: str, status: int, code: str, headers: dict[str, str] | None = None) -> ServiceError:
    with pytest.raises(ServiceError) as seen:
        services()[service].get("g").read(Response(status, headers or {}, json.dumps(refused_body(service, code)).encode()))
    return seen.value


def test_the_error_codes_and_their_statuses_are_the_vendors() -> None:
    for service, text, known in ((AI, AI_TEXT, {*REFUSALS, *FAULTS, RATE_LIMIT}), (APP, APP_TEXT, {*WORDS})):
        documented = {words(row["code"])[0]: row["HTTP"] for row in ERRORS if row["service"] == service}
        assert documented == {code: status for status, code in re.findall(r"^\| (\d+) \| (\w+) \|$", text, re.MULTILINE)}
        assert set(documented) == known
    assert {words(row["code"])[0]: int(row["HTTP"]) for row in ERRORS if row["service"] == APP} == WORDS


CODES = [row for row in ERRORS if row["service"] in (AI, APP)]


@pytest.mark.parametrize("row", CODES, ids=lambda row: words(row["code"])[0])
def test_an_error_code_arrives_as_the_exception_of_the_page(row: dict[str, str]) -> None:
    service, [code] = row["service"], words(row["code"])
    # On happyhorse.app also in the body of an HTTP 200, as the page says.
    for status in (int(row["HTTP"]), *([200] if service == APP else [])):
        seen = refusal(service, status, code)
        assert [type(seen).__name__] == words(row["from the hook"])
        assert vars(seen)["code"] == code
        assert "the vendor's own sentence" in str(seen)


HTML = http(status="403 Forbidden", raw=b"<html>a firewall</html>").replace(b"application/json", b"text/html")


def situations() -> list[tuple[str, dict[str, str], Behaviour | None, str]]:
    """Return for every row of the table, and each service it is about: how the service behaves, and the exception's name."""
    found: list[tuple[str, dict[str, str], Behaviour | None, str]] = []
    for row in ERRORS:
        names = words(row["from the hook"])
        for service in (AI, APP) if row["service"] == "both" else (row["service"],):
            status = row["HTTP"]
            if row["code"].startswith("`"):
                found.append((service, row, says(http(refused_body(service, words(row["code"])[0]), status=f"{status} No")), names[0]))
            elif row["code"] == "not documented":
                body = {**refused_body(service, "not_found"), **({"code": int(status)} if service == APP else {})}
                found.append((service, row, says(http(body, status=f"{status} No")), names[0]))
            elif row["code"] == "no connection could be made":
                found.append((service, row, None, names[0]))
            elif row["code"].startswith("the connection broke"):
                found.append((service, row, closes_without_an_answer, names[0]))
            else:
                found += [(service, row, says(http(raw=b"[1, 2")), names[0]), (service, row, says(HTML), names[1])]
    return found


SITUATIONS = pytest.mark.parametrize(
    ("service", "row", "behaviour", "from_hook"),
    situations(),
    ids=[f"{service}-{row['HTTP']}-{row['code'].strip('`').replace(' ', '_')}-{name}" for service, row, _, name in situations()],
)


@SITUATIONS
def test_an_error_ends_a_submission_as_the_page_says(
    connect: Callable[..., str], service: str, row: dict[str, str], behaviour: Behaviour | None, from_hook: str
) -> None:
    request = VideoRequest.model_validate({"prompt": "x"})
    with refusing_port() as port, Server(behaviour or closes_without_an_answer) as server:
        hook = HappyHorseHook(connect(cast("Any", service), host=server.url if behaviour else f"http://127.0.0.1:{port}"))
        waits: list[float] = []
        submission = Submission(
            clip=Clip(name="c", request=request, estimate=services()[service].estimate(request), max_credits=None),
            fingerprint="f",
            hook=hook,
            ledger=NoLedger(),
            stamp=Stamp(map_index=-1, try_number=1, max_tries=2),
            previous=None,
            log=cast("Any", logging.getLogger(__name__)),
            turn=Turn(until=time.time() + SUBMIT_TIMEOUT, slot_wait=math.inf),
            sleep=waits.append,
        )
        with pytest.raises(Exception) as seen:
            submission.submit()
        assert [type(seen.value).__name__] == words(row["on submission"])
        if row["on submission"].startswith("waited out [for its time]"):
            # Each wait fits into the time that is left, and the next one would not.
            assert waits == sorted(waits)
            assert 2 * max(waits) > SUBMIT_TIMEOUT > max(waits)
        else:
            tries = re.findall(r"at most (\d+) tries, then", row["on submission"])
            assert len(waits) + 1 == int(tries[0] if tries else 1)
        assert len(server.requests) == (len(waits) + 1 if behaviour else 0)
        with pytest.raises(ServiceError) as asked:
            hook.send(hook.service.get("g"), attempts=1)
        assert type(asked.value).__name__ == from_hook


@SITUATIONS
def test_an_error_ends_a_wait_or_is_waited_out_as_the_page_says(
    connect: Callable[..., str], service: str, row: dict[str, str], behaviour: Behaviour | None, from_hook: str
) -> None:
    now, cell = [0.0], row["while waiting"]
    known = new_result(name="c", kind="video", service=service, happyhorse_conn_id="happyhorse_default")
    in_a_row = re.findall(r"^waited out, (\d+) in a row end with", cell)
    renewed = cell.startswith("connection read again once, then ")
    assert in_a_row or renewed or cell == "waited out" or cell == "`GenerationUnreachable`", cell

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with refusing_port() as port, Server(behaviour or closes_without_an_answer) as server:
        hook = HappyHorseHook(connect(cast("Any", service), host=server.url if behaviour else f"http://127.0.0.1:{port}"))
        log = cast("Any", logging.getLogger(__name__))
        clock: Callable[[], float] = lambda: now[0]  # noqa: E731
        event = wait_in_worker(hook, "g", end_time=12.0, known=known, log=log, name="c", clock=clock, sleep=sleep)
        asked = len(server.requests)
    ending = type(result_of_event(event)[1]).__name__
    if cell == "waited out":
        assert (ending, now[0]) == ("GenerationTimeout", 12.0)
        assert asked > 6 or behaviour is None
    else:
        assert [ending] == words(cell)
        assert asked == int(in_a_row[0] if in_a_row else 2 if renewed else 1)
    if in_a_row:
        assert from_hook == NotFound.__name__
        assert "Six in a row" in section(PAGE, "## Where the services are silent")

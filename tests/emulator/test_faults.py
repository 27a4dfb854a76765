from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess

GENERATE = "/api/v1/generate"
APP_GENERATE = "/api/generate"


def raw_submission(emulator: EmulatorProcess) -> bytes:
    """Submit over a bare socket and return what comes back; a RST raises ConnectionResetError, a FIN ends the bytes."""
    where = urlsplit(emulator.url)
    body = json.dumps({"prompt": "raw"}).encode()
    head = f"POST {GENERATE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {emulator.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.mark.parametrize(("fault", "charged"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_is_a_real_rst_and_what_was_charged_is_known(emulator: EmulatorProcess, fault: str, charged: int) -> None:
    emulator.fault(fault, method="POST", path=GENERATE)
    with pytest.raises(ConnectionResetError):
        raw_submission(emulator)
    assert emulator.charged() == charged
    assert len(emulator.state()["jobs"]) == charged


@pytest.mark.parametrize(("fault", "charged"), [("close_before", 0), ("close_after", 1)])
def test_a_close_is_a_fin_without_an_answer(emulator: EmulatorProcess, fault: str, charged: int) -> None:
    emulator.fault(fault, method="POST", path=GENERATE)
    assert raw_submission(emulator) == b""
    assert emulator.charged() == charged


def test_the_next_connection_works_again_and_the_log_tells_what_happened(emulator: EmulatorProcess, horse_ai: Client) -> None:
    emulator.fault("reset_after", path=GENERATE)
    with pytest.raises(requests.ConnectionError):
        horse_ai.generate(prompt="x")
    assert horse_ai.generate(prompt="x").status_code == 200
    log = [(one["method"], one["path"], one["status"], one["fault"], one["authorization"]) for one in emulator.requests()]
    assert log == [("POST", GENERATE, None, "reset_after", True), ("POST", GENERATE, 200, None, True)]
    assert emulator.key not in json.dumps(emulator.requests())
    assert emulator.errors() == ""


@pytest.mark.parametrize(
    ("fault", "options", "status", "code", "charged"),
    [
        ("rate_limited_without_headers", {}, 429, "rate_limit_exceeded", 0),
        ("unauthorized", {}, 401, "unauthorized", 0),
        ("server_error", {}, 500, "internal_error", 0),
        ("server_error", {"carry_out": True}, 500, "internal_error", 1),
        ("bad_gateway", {}, 502, "upstream_error", 0),
        ("bad_gateway", {"carry_out": True}, 502, "upstream_error", 1),
        ("ok_with_error_code", {"code": "insufficient_credits"}, 200, "insufficient_credits", 0),
    ],
)
def test_errors_are_in_the_words_of_happy_horse_ai(
    emulator: EmulatorProcess, horse_ai: Client, fault: str, options: dict[str, Any], status: int, code: str, charged: int
) -> None:
    emulator.fault(fault, path=GENERATE, **options)
    answer = horse_ai.generate(prompt="x")
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["data"]) == (status, code, None)
    assert "X-RateLimit-Limit" not in answer.headers
    assert emulator.charged() == charged


@pytest.mark.parametrize(
    ("fault", "options", "status", "code"),
    [
        ("rate_limited", {}, 429, "RATE_LIMITED"),
        ("unauthorized", {}, 401, "INVALID_API_KEY"),
        ("server_error", {}, 500, "INTERNAL_ERROR"),
        ("bad_gateway", {}, 502, "INTERNAL_ERROR"),
        ("ok_with_error_code", {}, 200, 402),
        ("ok_with_error_code", {"code": 500}, 200, 500),
    ],
)
def test_errors_are_in_the_words_of_happyhorse_app(
    emulator: EmulatorProcess, horse_app: Client, fault: str, options: dict[str, Any], status: int, code: object
) -> None:
    emulator.fault(fault, path=APP_GENERATE, **options)
    answer = horse_app.generate(model="happyhorse-1.0/video", prompt="x")
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (status, code, None)
    assert emulator.charged() == 0


def test_a_429_says_when_the_window_resets(emulator: EmulatorProcess, horse_ai: Client) -> None:
    emulator.fault("rate_limited", seconds=7, limit=60)
    answer = horse_ai("GET", "/credits")
    assert answer.status_code == 429
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("60", "0")
    assert 5 < int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 8


def test_unreadable_answers_to_a_submission_hide_a_charged_job(emulator: EmulatorProcess, horse_ai: Client) -> None:
    emulator.fault("malformed_json", path=GENERATE)
    emulator.fault("wrong_type", path=GENERATE)
    emulator.fault("html", path=GENERATE, carry_out=True)
    cut, mistyped, page = (horse_ai.generate(prompt="x") for _ in range(3))
    with pytest.raises(requests.JSONDecodeError):
        cut.json()
    assert cut.status_code == 200
    assert mistyped.json() == {"data": {"video_id": 12345, "status": 12345}, "error": None}
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert emulator.charged() == 3


def test_a_proxy_may_forbid(emulator: EmulatorProcess, horse_ai: Client) -> None:
    emulator.fault("forbidden_by_proxy", path=GENERATE)
    answer = horse_ai.generate(prompt="x")
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert emulator.charged() == 0


def test_hanging_and_slow_answers_take_their_time(emulator: EmulatorProcess, horse_ai: Client) -> None:
    emulator.fault("hang", path=GENERATE, seconds=0.3, carry_out=True)
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        horse_ai.generate(prompt="x")
    assert time.monotonic() - began >= 0.3
    assert emulator.charged() == 1

    emulator.fault("slow", seconds=0.3)
    began = time.monotonic()
    assert horse_ai("GET", "/credits").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_service_may_never_tell_its_limit(emulator: EmulatorProcess, horse_ai: Client) -> None:
    (video,) = emulator.seed()
    told = horse_ai("GET", f"/videos/{video}").headers
    emulator.fault("no_rate_headers")
    answer = horse_ai("GET", f"/videos/{video}")
    assert "x-ratelimit-limit" in told
    assert answer.status_code == 200
    assert [name for name in answer.headers if name.lower().startswith("x-ratelimit")] == []


def test_an_unknown_status_is_shown_on_either_service_and_in_lists(emulator: EmulatorProcess, horse_ai: Client, horse_app: Client) -> None:
    (video,), (task,) = emulator.seed(render_seconds=0), emulator.seed(service="happyhorse.app", render_seconds=0)
    emulator.fault("unknown_status", method="GET", times=3, status="MODERATING")
    seen = horse_ai("GET", f"/videos/{video}").json()["data"]
    assert (seen["status"], seen["video_url"]) == ("MODERATING", None)
    assert horse_ai("GET", "/videos").json()["data"]["videos"][0]["status"] == "MODERATING"
    seen = horse_app("GET", "/api/status", params={"task_id": task}).json()["data"]
    assert (seen["status"], seen["response"]) == ("MODERATING", None)
    assert horse_ai("GET", f"/videos/{video}").json()["data"]["status"] == "completed"


def test_empty_result_urls_wait_for_a_finished_generation(emulator: EmulatorProcess, horse_ai: Client, horse_app: Client) -> None:
    (video,), (task,) = emulator.seed(), emulator.seed(service="happyhorse.app")
    emulator.fault("empty_result_urls", times=2)
    assert horse_ai("GET", f"/videos/{video}").json()["data"]["status"] == "processing"
    emulator.finish()
    seen = horse_ai("GET", f"/videos/{video}").json()["data"]
    assert (seen["status"], seen["video_url"]) == ("completed", None)
    seen = horse_app("GET", "/api/status", params={"task_id": task}).json()["data"]
    assert (seen["status"], seen["response"]) == ("SUCCESS", {"resultUrls": []})
    assert horse_ai("GET", f"/videos/{video}").json()["data"]["video_url"]


def test_a_fault_strikes_the_requests_it_is_meant_for_and_no_others(emulator: EmulatorProcess, horse_ai: Client, horse_app: Client) -> None:
    tasks = emulator.seed(2, service="happyhorse.app")
    emulator.fault("server_error", method="GET", path=f"/api/status?task_id={tasks[0]}", after=1, times=2)
    seen = [[horse_app("GET", "/api/status", params={"task_id": task}).status_code for task in tasks] for _ in range(4)]
    assert seen == [[200, 200], [500, 200], [500, 200], [200, 200]]

    emulator.fault("bad_gateway", path="/api/v1/*", times=None)
    assert [horse_ai("GET", "/credits").status_code for _ in range(3)] == [502] * 3
    emulator.clear_faults()
    assert horse_ai("GET", "/credits").status_code == 200


@pytest.mark.parametrize(
    "rule",
    [{"fault": "earthquake"}, {"fault": "hang", "minutes": 1}, {"fault": "hang", "seconds": "1"}, {"fault": "hang", "times": 0}, {}],
)
def test_faults_that_do_not_exist_are_refused(emulator: EmulatorProcess, rule: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError, match="422"):
        emulator.control("POST", "faults", rule)
    assert emulator.control("GET", "faults")["armed"] == []


def test_the_catalogue_explains_every_fault(emulator: EmulatorProcess) -> None:
    catalogue = {one["fault"]: one for one in emulator.control("GET", "faults")["catalogue"]}
    assert {"rate_limited", "reset_before", "reset_after", "media_truncated", "empty_result_urls"} < set(catalogue)
    assert all(one["does"] for one in catalogue.values())
    assert catalogue["hang"]["options"] == {"seconds": 60.0, "carry_out": False}


def test_media_faults_spoil_the_download_each_in_its_way(emulator: EmulatorProcess, horse_ai: Client) -> None:
    (job_id,) = emulator.seed(request={"duration": 1}, render_seconds=0)
    url = f"{emulator.url}/media/{job_id}.mp4"
    whole = horse_ai.download(url).content

    emulator.fault("media_html", path="/media/*")
    page = horse_ai.download(url)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")

    emulator.fault("media_expired", path="/media/*")
    assert horse_ai.download(url).status_code == 403

    emulator.fault("media_truncated", path="/media/*")
    head = horse_ai.download(url, method="HEAD")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole))), "there is no body to cut"
    assert download_broken(url) == (len(whole), whole[: len(whole) // 2])

    emulator.fault("media_wrong_length", path="/media/*")
    assert download_broken(url) == (len(whole) + 1024, whole)

    emulator.fault("media_wrong_length", path="/media/*", difference=-100)
    assert horse_ai.download(url).content == whole[:-100]

    emulator.fault("media_slow", path="/media/*", seconds=0.4)
    began = time.monotonic()
    assert horse_ai.download(url).content == whole
    assert time.monotonic() - began >= 0.4
    assert horse_ai.download(url).content == whole
    assert emulator.errors() == ""


def download_broken(url: str) -> tuple[int, bytes]:
    """Return the declared length of a download and the bytes that came before it broke off."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    connection.request("GET", where.path)
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead) as broken:
        answer.read()
    connection.close()
    return int(answer.headers["Content-Length"]), broken.value.partial


def test_a_stale_list_can_be_asked_for_once(emulator: EmulatorProcess, horse_ai: Client) -> None:
    ident = horse_ai.generate(prompt="A cat").json()["data"]["video_id"]
    emulator.finish(ident)
    emulator.fault("stale_list", path="/api/v1/videos")
    stale, fresh = (horse_ai("GET", "/videos").json()["data"]["videos"][0] for _ in range(2))
    assert (stale["video_id"], stale["status"], stale["video_url"]) == (ident, "processing", None)
    assert fresh["status"] == "completed"


@pytest.mark.parametrize("service", ["happy-horse.ai", "happyhorse.app"])
def test_any_generation_can_be_shown_as_failed(emulator: EmulatorProcess, horse_ai: Client, horse_app: Client, service: str) -> None:
    emulator.fault("failed_generation", times=None, reason="No horses")
    if service == "happy-horse.ai":
        ident = horse_ai.generate(prompt="A cat").json()["data"]["video_id"]
        assert horse_ai("GET", f"/videos/{ident}").json()["data"]["status"] == "processing"
        emulator.finish(ident)
        seen = horse_ai("GET", f"/videos/{ident}").json()["data"]
        assert (seen["status"], seen["error"], seen["video_url"]) == ("failed", "No horses", None)
    else:
        ident = horse_app.generate(prompt="A cat", model="happyhorse-1.0/video").json()["data"]["task_id"]
        emulator.finish(ident)
        seen = horse_app("GET", "/api/status", params={"task_id": ident}).json()["data"]
        assert (seen["status"], seen["error_message"], seen["response"]) == ("FAILED", "No horses", None)

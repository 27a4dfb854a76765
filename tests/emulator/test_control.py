from __future__ import annotations

import urllib.error
from typing import Any

import pytest

from airflow_provider_happyhorse.emulator.front_door import parse_fields
from airflow_provider_happyhorse.emulator.happyhorse_app import TaskFields, task_order
from airflow_provider_happyhorse.emulator.settings import Settings
from airflow_provider_happyhorse.emulator.state import EmulatorState
from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess


def test_the_state_shows_keys_jobs_and_totals(emulator: EmulatorProcess, horse_ai: Client, horse_app: Client) -> None:
    video = horse_ai.generate(prompt="one", duration=4).json()["data"]["video_id"]
    task = horse_app.generate(model="happyhorse-1.0/video", prompt="two").json()["data"]["task_id"]
    state = emulator.state()
    assert state["keys"][emulator.key] == {"charged_submissions": 2, "credits": 9_680, "credits_spent": 320, "paid_access": True}
    assert state["totals"] == {"jobs": 2, "charged_submissions": 2, "credits_spent": 320, "requests": 2}
    assert [(one["id"], one["sequence"], one["service"], one["type"], one["prompt"], one["state"]) for one in state["jobs"]] == [
        (video, 1, "happy-horse.ai", "text-to-video", "one", "in_progress"),
        (task, 2, "happyhorse.app", "text-to-video", "two", "in_progress"),
    ]
    assert state["jobs"][0]["request"] == {"prompt": "one", "duration": 4}


def test_seeded_jobs_are_in_flight_with_the_given_ages_and_free(emulator: EmulatorProcess, horse_ai: Client) -> None:
    ids = emulator.seed(3, age_seconds=[599, 601, 0], request={"prompt": "seed", "duration": 7})
    seen = {one["id"]: one for one in emulator.state()["jobs"]}
    assert [seen[one]["state"] for one in ids] == ["in_progress", "succeeded", "in_progress"]
    assert emulator.charged() == 0
    assert horse_ai("GET", f"/videos/{ids[1]}").json()["data"]["duration"] == 7


def test_a_thousand_jobs_are_seeded_at_once(emulator: EmulatorProcess, horse_ai: Client) -> None:
    assert len(set(emulator.seed(1000, service="happy-horse.ai"))) == 1000
    assert horse_ai("GET", "/videos", params={"limit": 50, "page": 20}).json()["data"]["total"] == 1000


def test_one_job_or_all_are_finished_now_and_an_ending_is_final(emulator: EmulatorProcess, horse_ai: Client) -> None:
    first, second, third = emulator.seed(3)
    assert emulator.finish(first, failure="power cut") == [first]
    assert set(emulator.finish()) == {second, third}
    assert emulator.finish(first) == []
    states = [horse_ai("GET", f"/videos/{one}").json()["data"] for one in (first, second)]
    assert [(one["status"], one["error"]) for one in states] == [("failed", "power cut"), ("completed", None)]


def test_a_reset_returns_to_the_start(emulator: EmulatorProcess, horse_ai: Client) -> None:
    fresh = emulator.state()
    horse_ai.generate(prompt="x")
    emulator.fault("server_error", times=None)
    emulator.reset()
    assert emulator.state() == fresh
    assert emulator.requests() == []
    assert horse_ai("GET", "/credits").headers["X-RateLimit-Remaining"] == "999"


def test_jobs_run_faster_by_the_time_scale() -> None:
    state = EmulatorState.start(Settings(render_seconds=1000, time_scale=100), clock=lambda: 5000.0)
    account = state.accounts.by_key["sk-sd_emulator"]
    plain = state.submissions.submit(
        account, task_order(*parse_fields(b'{"model": "happyhorse-1.0/video", "prompt": "x"}', TaskFields), media=state.media)
    )
    wish = b'{"model": "happyhorse-1.0/video", "prompt": "[emulator: render_seconds=50]"}'
    asked = state.submissions.submit(account, task_order(*parse_fields(wish, TaskFields), media=state.media))
    state.media.close()
    assert (plain.ends_at, asked.ends_at) == (5010.0, 5000.5)
    assert (plain.state(at=5009.9), plain.state(at=5010)) == ("in_progress", "succeeded")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("jobs", {"count": 0}),
        ("jobs", {"count": 2, "age_seconds": [1]}),
        ("jobs", {"key": "unknown"}),
        ("jobs", {"service": "sora"}),
        ("jobs", {"request": {"durration": 5}}),
        ("jobs", {"number": 2}),
        ("finish", {"id": "unknown"}),
        ("finish", {"failed": "yes"}),
    ],
)
def test_wrong_control_requests_are_refused(emulator: EmulatorProcess, name: str, body: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError, match=r"422|404"):
        emulator.control("POST", name, body)
    assert emulator.state()["jobs"] == []


def test_the_log_shows_which_connection_carried_a_request(emulator: EmulatorProcess) -> None:
    client = Client(emulator, "happy-horse.ai")
    client("GET", "/credits", headers={"Connection": "close"})
    client("GET", "/credits", headers={"Authorization": ""})
    client.close()
    first, second = emulator.requests()
    assert (first["connection"], first["authorization"], first["status"]) == ("close", True, 200)
    assert second["status"] == 401
    assert first["client_port"] != second["client_port"]


def test_each_seeded_job_may_take_its_own_time(emulator: EmulatorProcess) -> None:
    done, running = emulator.seed(2, render_seconds=[0, 600])
    assert {job["id"]: job["state"] for job in emulator.state()["jobs"]} == {done: "succeeded", running: "in_progress"}
    with pytest.raises(urllib.error.HTTPError, match="422"):
        emulator.seed(3, render_seconds=[0, 600])

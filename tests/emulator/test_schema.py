"""Schemathesis asks the emulator everything its OpenAPI document allows and forbids, and compares the answers with the document."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.emulator_process import EmulatorProcess

KEY = "sk-sd_schema"
# Which checks do not apply where, and why.
CONFIGURATION = """
[warnings]
fail-on = true

[phases]
# Ids that no answer has named: the known ones are asked for in the stateful phase.
fuzzing.extra-data-sources.responses = false

[[operations]]
# That the bytes must be an image is no matter of a JSON schema; random bytes are refused.
include-path = "/api/v1/upload"
checks.positive_data_acceptance.enabled = false

[[operations]]
# They arm faults, end jobs and forget them: what all other questions are about.
include-name-regex = "^(POST|DELETE) /_emulator/"
enabled = false

[[operations]]
include-path = "/media/uploads/{name}"
parameters = { "path.name" = "PICTURE" }

[[operations]]
include-path = "/media/{name}"
parameters = { "path.name" = "VIDEO" }
"""


@pytest.mark.thorough
def test_every_answer_is_as_the_openapi_document_says(tmp_path: Path) -> None:
    with EmulatorProcess("--api-key", f"{KEY}:1000000000", "--requests-per-minute", "1000000", "--render-seconds", "600") as emulator:
        names = {"PICTURE": uploaded_picture(emulator), "VIDEO": finished_video(emulator)}
        configuration = CONFIGURATION
        for placeholder, name in names.items():
            configuration = configuration.replace(placeholder, name)
        (tmp_path / "schemathesis.toml").write_text(configuration)
        ended = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "--config-file=schemathesis.toml",
                "run",
                f"{emulator.url}/openapi.json",
                "--max-examples=5",
                "--seed=1",
                "--generation-database=none",
                f"--header=Authorization: Bearer {KEY}",
            ],
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "*", "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr + emulator.errors()
        met = {(entry["method"], entry["path"], entry["status"]) for entry in emulator.requests()}
    # Otherwise nothing was learned about these answers.
    for method, path, *statuses in (
        ("POST", "/api/v1/generate", 200, 400, 401),
        ("POST", "/api/v1/generate-image", 200, 400, 401),
        ("POST", "/api/v1/upload", 200, 400, 401),
        ("POST", "/api/generate", 200, 400, 401),
        ("GET", "/api/v1/videos", 200, 400, 401),
        ("GET", "/api/v1/credits", 200, 401),
        ("GET", "/api/status", 200, 400, 401, 404),
        ("GET", f"/media/uploads/{names['PICTURE']}", 200),
        ("GET", f"/media/{names['VIDEO']}", 200),
    ):
        assert {(method, path, status) for status in statuses} <= met
    of_one_video = {status for method, path, status in met if method == "GET" and path.startswith("/api/v1/videos/")}
    assert {200, 401, 404} <= of_one_video


def uploaded_picture(emulator: EmulatorProcess) -> str:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    answer = requests.post(
        f"{emulator.base_url('happy-horse.ai')}/upload",
        files={"image": picture.getvalue()},
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=10,
    )
    return str(answer.json()["data"]["url"]).rpartition("/")[2]


def finished_video(emulator: EmulatorProcess) -> str:
    made = emulator.control("POST", "jobs", {"request": {"duration": 1}, "render_seconds": 0})
    return f"{made['ids'][0]}.mp4"

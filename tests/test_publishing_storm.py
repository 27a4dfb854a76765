"""The short form of the publishing storm; the long one is ``nox -s publishing_storm``."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.thorough
@pytest.mark.parametrize(("storage", "files"), [("local", 12), ("s3", 8)])
def test_what_is_published_under_faults_and_kills_is_what_was_served_and_nothing_partial_is_ever_seen(storage: str, files: int) -> None:
    command = [sys.executable, "-m", "tests.publishing_storm", "--files", str(files), "--seed", "7", "--storage", storage]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # Whether a kill meets a try that is still running is left to chance in so short a storm.
    assert "problems: none" in ran.stdout, ran.stdout

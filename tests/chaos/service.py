"""The service fails, in every way that the emulator knows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

from tests.chaos.clip import ScenarioClip, Until
from tests.chaos.scenario import Scenario

SUBMIT = {"method": "POST", "path": "/api/v1/generate"}
POLL = {"method": "GET", "path": "/api/v1/videos/*", "times": None}


def lasts(seconds: float) -> Until:
    """Wait."""
    end = time.monotonic() + seconds
    return Until(f"{seconds:.0f} s later", lambda: time.monotonic() >= end, seconds + 60)


def submit_meets(fault: str, *, times: int = 1, **options: object) -> Callable[[ScenarioClip], Iterator[Until]]:
    """Let the submission meet a fault."""

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.emulator.fault(fault, times=times, **SUBMIT, **options)  # type: ignore[arg-type]
        clip.start()
        yield clip.over()

    return play


def polls_meet(fault: str, *, seconds: float) -> Callable[[ScenarioClip], Iterator[Until]]:
    """Let the polls meet a fault for so long."""

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.start()
        yield clip.deferred()
        clip.emulator.fault(fault, **POLL)  # type: ignore[arg-type]
        clip.finish()
        yield lasts(seconds)
        clip.emulator.clear_faults()
        yield clip.over()

    return play


def unreachable(clip: ScenarioClip) -> Iterator[Until]:
    """Freeze the service for more than a minute while a clip waits."""
    clip.start()
    yield clip.deferred()
    clip.finish()
    os.kill(clip.emulator.pid, signal.SIGSTOP)
    try:
        yield lasts(65)
    finally:
        os.kill(clip.emulator.pid, signal.SIGCONT)
    yield clip.over()


def refused_while_submitting(clip: ScenarioClip) -> Iterator[Until]:
    """Refuse all connections until a try has been refused, and for some seconds more."""
    clip.door.shut()
    clip.start()
    yield clip.at("sending")
    yield lasts(6)
    clip.door.open()
    yield clip.over()


def refused_while_waiting(clip: ScenarioClip) -> Iterator[Until]:
    """Refuse all connections for half a minute while a clip waits."""
    clip.start()
    yield clip.deferred()
    clip.door.shut()
    clip.finish()
    yield lasts(30)
    clip.door.open()
    yield clip.over()


def cut_during_the_post(clip: ScenarioClip) -> Iterator[Until]:
    """Cut the connection after the job was created and before the answer was sent, and refuse all others for some seconds."""
    clip.emulator.fault("slow", **SUBMIT, seconds=30)  # type: ignore[arg-type]
    clip.start()
    yield Until("paid", lambda: clip.charged() == 1)
    clip.door.shut()
    yield lasts(10)
    clip.door.open()
    yield clip.over()


def key_revoked_and_renewed(clip: ScenarioClip) -> Iterator[Until]:
    """Refuse the key while a clip waits, until its retries are used up; then accept it, and a person clears."""
    clip.start()
    yield clip.deferred()
    clip.emulator.fault("unauthorized", **POLL)  # type: ignore[arg-type]
    clip.finish()
    yield clip.over()
    clip.emulator.clear_faults()
    clip.clear()
    yield clip.over()


def generation_fails(clip: ScenarioClip) -> Iterator[Until]:
    """Fail the generation; retries must not pay."""
    clip.start()
    yield clip.deferred()
    clip.finish(failure="moderation")
    yield clip.over()


def generation_fails_and_a_retry_may_pay(clip: ScenarioClip) -> Iterator[Until]:
    """Fail the generation where a retry may pay again, once."""
    clip.start()
    yield clip.deferred()
    clip.finish(failure="moderation")
    yield Until("submitted again", lambda: clip.charged() == 2)
    yield clip.deferred()
    clip.finish()
    yield clip.over()


def plain(clip: ScenarioClip) -> Iterator[Until]:
    """Start it."""
    clip.start()
    yield clip.over()


ROWS = [
    {"name": "kettle", "prompt": "A kettle. [emulator: render_seconds=1]"},
    {"name": "teapot", "prompt": "A teapot. [emulator: render_seconds=1]", "duration": -5},
    {"name": "cup", "prompt": "A cup. [emulator: render_seconds=1]"},
]

SHORT = [
    Scenario("the answer to the submission is lost (reset)", submit_meets("reset_after"), may_stop=True, listed=True, own_emulator=True),
    Scenario("500 for 20 s while polling", polls_meet("server_error", seconds=20), render_seconds=600, own_emulator=True),
    Scenario(
        "mapped, one bad row",
        plain,
        task={"rows": ROWS},
        asked=2,
        unpaid_rows=("teapot",),
    ),
]
LONG = [
    Scenario(
        "the answer to the submission is lost (FIN), nothing was done", submit_meets("close_before"), may_stop=True, own_emulator=True
    ),
    Scenario(
        "500 to a submission that was carried out",
        submit_meets("server_error", carry_out=True),
        may_stop=True,
        listed=True,
        own_emulator=True,
    ),
    Scenario("429 storm on the submission", submit_meets("rate_limited", times=3, seconds=3), own_emulator=True),
    Scenario("429 storm on the submission, no headers", submit_meets("rate_limited_without_headers", times=4), own_emulator=True),
    Scenario(
        "429 storm while polling, no headers", polls_meet("rate_limited_without_headers", seconds=30), render_seconds=600, own_emulator=True
    ),
    Scenario("502 for 150 s while polling", polls_meet("bad_gateway", seconds=150), render_seconds=600, own_emulator=True),
    Scenario(
        "service unreachable for 65 s while waiting", unreachable, render_seconds=600, own_emulator=True, connection={"request_timeout": 5}
    ),
    Scenario(
        "key revoked while waiting, renewed and cleared",
        key_revoked_and_renewed,
        render_seconds=600,
        own_emulator=True,
        task={"retries": 1},
    ),
    Scenario("connections refused while submitting", refused_while_submitting, door=True),
    Scenario("connections refused for 30 s while waiting", refused_while_waiting, render_seconds=600, door=True),
    Scenario(
        "connection cut during the POST, then refused for 10 s",
        cut_during_the_post,
        may_stop=True,
        listed=True,
        own_emulator=True,
        door=True,
    ),
    Scenario("generation fails, task has retries", generation_fails, render_seconds=600, delivers=0),
    Scenario(
        "generation fails, `failed_generation` lets a retry pay",
        generation_fails_and_a_retry_may_pay,
        render_seconds=600,
        asked=2,
        delivers=1,
        task={"pay_again_on": ["failed_generation"]},
    ),
]

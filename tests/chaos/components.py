"""Airflow's own parts are lost while clips wait and run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from tests.chaos.clip import ScenarioClip, Until
from tests.chaos.scenario import Scenario
from tests.chaos.seam import STEPS
from tests.chaos.service import lasts
from tests.live.airflow import API_SERVER, SCHEDULER, TRIGGERER


def triggerer_lost_while_deferred(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield clip.deferred()
    yield lasts(2)  # the triggerer has taken it
    clip.airflow.kill_component(TRIGGERER)
    clip.finish()
    clip.airflow.start_component(TRIGGERER)
    yield clip.over()


def scheduler_lost_while_deferred_and_running(clip: ScenarioClip) -> Iterator[Until]:
    """Row 0 is deferred, row 1 is running and has just got its id, when the scheduler dies with its workers."""
    clip.start({"1/first": ("after_id", "hold")})
    yield clip.at("after_id", act="hold")
    yield Until("row 0 deferred", lambda: clip.state(0) == "deferred")
    clip.airflow.kill_component(SCHEDULER)
    clip.finish()
    clip.airflow.start_component(SCHEDULER)
    yield clip.over()


def api_server_lost_while_deferred_and_running(clip: ScenarioClip) -> Iterator[Until]:
    """Row 0 is deferred and its video ends meanwhile, row 1 has just got its id, when the API server dies, through which tasks live."""
    clip.start({"1/first": ("after_id", "hold")})
    yield clip.at("after_id", act="hold")
    yield Until("row 0 deferred", lambda: clip.state(0) == "deferred")
    clip.airflow.kill_component(API_SERVER)
    clip.finish()
    clip.thaw()
    without_the_api_server(clip, seconds=20)
    yield from over_or_cleared(clip)


def api_server_lost_before_the_id_is_written(clip: ScenarioClip) -> Iterator[Until]:
    """The answer is there and the API server is not, behind which Airflow keeps the record."""
    clip.start({"-1/first": ("after_answer", "hold")})
    yield clip.at("after_answer", act="hold")
    clip.airflow.kill_component(API_SERVER)
    clip.thaw()
    without_the_api_server(clip, seconds=8)
    yield from over_or_cleared(clip)


def without_the_api_server(clip: ScenarioClip, *, seconds: float) -> None:
    """Let time go by for everybody, since nobody can look, and start the API server again."""
    time.sleep(seconds)
    clip.airflow.start_component(API_SERVER)


def over_or_cleared(clip: ScenarioClip) -> Iterator[Until]:
    """Clear once what has used up its retries in tries that never ran: without an API server, Airflow starts none and counts them."""
    yield clip.over()
    if any(one.state == "failed" and not one.stopped for one in clip.evidence()):
        clip.clear()
        yield clip.over()


def storm(seed: int, clips: int = 6) -> Callable[[ScenarioClip], Iterator[Until]]:
    """Kill tries of mapped clips at random steps."""
    dice = random.Random(seed)
    steps = [step for step in STEPS if step not in ("start", "sending")]
    acts = {f"{index}/{number}": (dice.choice(steps), "kill") for index in range(clips) for number in (1, 2, 3) if dice.random() < 0.6}

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.start(acts)
        yield clip.over()

    return play


def storms(seed: int, rounds: int) -> list[Scenario]:
    """Return a storm for each round."""
    rows = [{"name": f"clip{number}", "prompt": f"Wave {number}. [emulator: render_seconds=1]"} for number in range(6)]
    return [
        Scenario(
            f"storm of kills, seed {seed + number}",
            storm(seed + number),
            may_stop=True,
            asked=6,
            task={"rows": rows, "retries": 5},
            acts_are_chances=True,
        )
        for number in range(rounds)
    ]


TRIGGERER_LOST = Scenario("triggerer killed while deferred", triggerer_lost_while_deferred, render_seconds=600, shakes=True)
DEFERRED_AND_RUNNING = [
    {"name": "deferred", "prompt": "Waits. [emulator: render_seconds=600]"},
    {"name": "running", "prompt": "Runs. [emulator: render_seconds=600]"},
]
SCHEDULER_LOST = Scenario(
    "scheduler and workers killed while deferred and running",
    scheduler_lost_while_deferred_and_running,
    asked=2,
    task={"rows": DEFERRED_AND_RUNNING},
    shakes=True,
)
API_SERVER_LOST = Scenario(
    "API server killed while deferred and running",
    api_server_lost_while_deferred_and_running,
    asked=2,
    task={"rows": DEFERRED_AND_RUNNING},
    alone=True,
)
API_SERVER_LOST_BEFORE_THE_ID = Scenario(
    "API server killed after the answer, before the id is written",
    api_server_lost_before_the_id_is_written,
    may_stop=True,
    listed=True,
    alone=True,
)

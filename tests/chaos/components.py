"""Airflow's own parts are lost while clips wait and run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.chaos.clip import ScenarioClip, Until
from tests.chaos.scenario import Scenario
from tests.chaos.seam import STEPS
from tests.chaos.service import lasts
from tests.live.airflow import SCHEDULER, TRIGGERER


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
    clip.start({"1/1": ("after_id", "hold")})
    yield clip.at("after_id", act="hold")
    yield Until("row 0 deferred", lambda: clip.state(0) == "deferred")
    clip.airflow.kill_component(SCHEDULER)
    clip.finish()
    clip.airflow.start_component(SCHEDULER)
    yield clip.over(180)


def storm(seed: int, clips: int = 6) -> Callable[[ScenarioClip], Iterator[Until]]:
    """Kill tries of mapped clips at random steps."""
    dice = random.Random(seed)
    steps = [step for step in STEPS if step not in ("start", "sending")]
    acts = {f"{index}/{number}": (dice.choice(steps), "kill") for index in range(clips) for number in (1, 2, 3) if dice.random() < 0.6}

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.start(acts)
        yield clip.over(240)

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
SCHEDULER_LOST = Scenario(
    "scheduler and workers killed while deferred and running",
    scheduler_lost_while_deferred_and_running,
    asked=2,
    task={
        "rows": [
            {"name": "deferred", "prompt": "Waits. [emulator: render_seconds=600]"},
            {"name": "running", "prompt": "Runs. [emulator: render_seconds=600]"},
        ]
    },
    shakes=True,
)

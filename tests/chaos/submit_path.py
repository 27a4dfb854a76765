"""A task process dies at every step of a clip's way, and two tries are alive at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.chaos.clip import ScenarioClip, Until
from tests.chaos.scenario import Scenario

ONE_ROW = {"rows": [{"name": "kettle", "prompt": "A kettle. [emulator: render_seconds=1]"}]}
LOOK_ALIKE = "A lighthouse at dusk, twice. [emulator: render_seconds=1]"
Play = Callable[[ScenarioClip], Iterator[Until]]


def dies(step: str, *, map_index: int = -1) -> Play:
    """Kill the first try at a step."""

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.start({f"{map_index}/first": (step, "kill")})
        yield clip.over()

    return play


def dies_while_the_service_thinks(clip: ScenarioClip) -> Iterator[Until]:
    """Kill the first try after the job was created and before the answer was sent."""
    clip.emulator.fault("slow", method="POST", path="/api/*", seconds=30)
    clip.start()
    yield Until("paid", lambda: clip.charged() == 1)
    clip.kill_task()
    yield clip.over()


def way_out_it_exists(clip: ScenarioClip) -> Iterator[Until]:
    """Follow the message's first way out: the video is there."""
    yield from dies_while_the_service_thinks(clip)
    assert clip.evidence()[0].stopped, "nothing to resolve"
    clip.records.resolve(state="submitted", generation_id=clip.paid()[0])
    clip.clear()
    yield clip.over()


def way_out_it_does_not_exist(clip: ScenarioClip) -> Iterator[Until]:
    """Follow the message's second way out: the video is not there."""
    yield from dies("after_intent")(clip)
    assert clip.evidence()[0].stopped, "nothing to resolve"
    assert clip.charged() == 0
    clip.records.resolve(state="not_sent")
    clip.clear()
    yield clip.over()


def both_lose_their_ids(clip: ScenarioClip) -> Iterator[Until]:
    """Kill two rows of one prompt before their ids are written; a list tells whose is whose only if they were sent at other times."""
    clip.start({"0/first": ("after_answer", "kill"), "1/first": ("after_answer", "kill")})
    yield clip.over()


def dies_waiting_in_the_worker(clip: ScenarioClip) -> Iterator[Until]:
    """Kill a try that waits in its worker."""
    clip.start()
    yield clip.at("sending")
    yield Until("recorded", lambda: clip.charged() == 1 and clip.records.read().get("state") == "submitted")
    before = clip.try_number()
    clip.kill_task()
    yield Until("tried again", lambda: clip.try_number() > before)
    clip.finish()
    yield clip.over()


def two_tries_alive(step: str) -> Play:
    """Freeze the first try and its supervisor until Airflow has given them up and the second one has ended; then let them run on."""

    def play(clip: ScenarioClip) -> Iterator[Until]:
        clip.start({"-1/first": (step, "freeze")})
        yield clip.at(step, act="freeze")
        frozen = next(int(sign["try_number"]) for sign in clip.signs() if sign["act"])
        yield Until("given up", lambda: clip.try_number() > frozen and clip.state() in ("deferred", "failed", "success"), 300)
        clip.thaw()
        yield clip.over()
        yield Until("the first try has ended", lambda: not clip.task_alive(try_number=frozen), 60)

    return play


KILLS = [
    Scenario("killed before the intent", dies("before_intent")),
    Scenario("killed after the intent", dies("after_intent"), may_stop=True, delivers=0),
    Scenario("killed during the POST", dies_while_the_service_thinks, may_stop=True, listed=True, own_emulator=True),
    Scenario("killed after the answer, before the id is written", dies("after_answer"), may_stop=True, listed=True),
    Scenario("killed after the id was written", dies("after_id")),
    Scenario("killed before the deferral", dies("before_defer")),
    Scenario("killed when the wait is over", dies("complete")),
    Scenario("killed before publishing", dies("before_publish")),
    Scenario("killed after publishing", dies("after_publish")),
    Scenario("killed after the delivery was recorded", dies("after_delivered")),
]
WAYS_OUT = [
    # On the service without a list, where nothing but a person can find it.
    Scenario("way out by hand: killed during the POST, the video exists", way_out_it_exists, own_emulator=True, service="happyhorse.app"),
    Scenario("way out by hand: killed after the intent, nothing exists", way_out_it_does_not_exist),
]
LEDGER_PATH = [
    # A row has two records, under its name and under its map index.
    Scenario("killed between the two writes of the intent", dies("within_intent", map_index=0), may_stop=True, delivers=0, task=ONE_ROW),
    Scenario("killed between the two writes of the id", dies("within_id", map_index=0), task=ONE_ROW),
    Scenario("killed between the two writes of the delivery", dies("within_delivered", map_index=0), task=ONE_ROW),
    Scenario(
        "killed after the answer, and so is a look-alike of it",
        both_lose_their_ids,
        may_stop=True,
        asked=2,
        task={"rows": [{"name": "left", "prompt": LOOK_ALIKE}, {"name": "right", "prompt": LOOK_ALIKE}]},
    ),
]
WORKER = [
    Scenario("killed while waiting in the worker", dies_waiting_in_the_worker, task={"deferrable": False}, render_seconds=600),
    Scenario("killed after the answer (happyhorse.app)", dies("after_answer"), may_stop=True, service="happyhorse.app"),
    Scenario("killed before the deferral (happyhorse.app)", dies("before_defer"), service="happyhorse.app"),
]
TWO_TRIES = [
    Scenario("two tries alive: the first one froze before the intent", two_tries_alive("before_intent")),
    Scenario("two tries alive: the first one froze after the intent", two_tries_alive("after_intent"), may_stop=True),
    Scenario("two tries alive: the first one froze after the answer", two_tries_alive("after_answer"), may_stop=True, listed=True),
    Scenario("two tries alive: the first one froze after the id", two_tries_alive("after_id")),
]

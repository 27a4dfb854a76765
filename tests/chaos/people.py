"""People clear and mark, whenever they like."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.clip import ScenarioClip, Until
from tests.chaos.scenario import Scenario


def waiting_in_the_triggerer(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield clip.deferred()
    yield clip.says("starting", try_number=clip.try_number())


def told_that_the_video_goes_on(clip: ScenarioClip, *, try_number: int) -> Iterator[Until]:
    """Wait for the line of the trigger's ``on_kill``."""
    yield clip.says(f"waited for {clip.paid()[0]}. Nothing was cancelled", try_number=try_number)


def cleared_as_soon_as_deferred(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield clip.deferred()
    before = clip.try_number()
    clip.clear()
    yield Until("deferred again", lambda: clip.try_number() > before and clip.state() == "deferred")
    clip.finish()
    yield clip.over()


def cleared_while_deferred(clip: ScenarioClip) -> Iterator[Until]:
    yield from waiting_in_the_triggerer(clip)
    before = clip.try_number()
    clip.clear()
    yield from told_that_the_video_goes_on(clip, try_number=before)
    yield Until("deferred again", lambda: clip.try_number() > before and clip.state() == "deferred")
    clip.finish()
    yield clip.over()


def cleared_while_running(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield Until("submitted", lambda: clip.charged() == 1 and clip.records.read().get("state") == "submitted")
    before = clip.try_number()
    clip.clear()
    yield Until("running again", lambda: clip.try_number() > before and clip.state() == "running")
    clip.finish()
    yield clip.over()


def cleared_during_the_post(clip: ScenarioClip) -> Iterator[Until]:
    clip.emulator.fault("slow", method="POST", path="/api/v1/generate", seconds=4)
    clip.start()
    yield Until("paid", lambda: clip.charged() == 1)
    clip.clear()
    yield Until("started again", lambda: clip.try_number() >= 2)
    yield clip.over()


def marked_failed_while_deferred(clip: ScenarioClip) -> Iterator[Until]:
    yield from waiting_in_the_triggerer(clip)
    clip.mark_failed()
    yield clip.over()
    yield from told_that_the_video_goes_on(clip, try_number=clip.try_number())
    clip.finish()
    clip.clear()
    yield clip.over()


def marked_failed_while_running(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield Until("submitted", lambda: clip.charged() == 1 and clip.records.read().get("state") == "submitted")
    clip.mark_failed()
    yield clip.over()
    clip.finish()
    clip.clear()
    yield clip.over()


def cleared_after_success(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield clip.over()
    clip.clear()
    yield clip.over()


def cleared_after_a_failed_generation(clip: ScenarioClip) -> Iterator[Until]:
    clip.start()
    yield clip.deferred()
    clip.finish(failure="moderation")
    yield clip.over()
    clip.clear()
    yield Until("submitted again", lambda: clip.charged() == 2)
    yield clip.deferred()
    clip.finish()
    yield clip.over()


SHORT = [
    Scenario("cleared while deferred", cleared_while_deferred, render_seconds=600),
    Scenario("marked failed while deferred, cleared later", marked_failed_while_deferred, render_seconds=600),
    Scenario("cleared after success", cleared_after_success),
]
LONG = [
    Scenario("cleared as soon as deferred", cleared_as_soon_as_deferred, render_seconds=600),
    Scenario("cleared while running", cleared_while_running, render_seconds=600, task={"deferrable": False}),
    Scenario("cleared during the POST", cleared_during_the_post, may_stop=True, own_emulator=True),
    Scenario("marked failed while running, cleared later", marked_failed_while_running, render_seconds=600, task={"deferrable": False}),
    Scenario("cleared after a failed generation", cleared_after_a_failed_generation, render_seconds=600, asked=2, delivers=1),
]

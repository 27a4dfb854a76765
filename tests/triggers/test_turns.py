"""The queue of submissions that were refused, and its trigger."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_happyhorse.triggers.submit import HappyHorseSubmitTrigger
from airflow_provider_happyhorse.triggers.turns import Turns
from tests.operators.task_instances import Log

#: Turns 20 ms apart.
QUICK = 6000.0


async def event(trigger: HappyHorseSubmitTrigger) -> dict[str, Any]:
    (fired,) = [fired.payload async for fired in trigger.run()]
    return dict(json.loads(json.dumps(fired)))


async def test_they_come_one_after_the_other_in_the_order_they_came() -> None:
    turns, order, times = Turns(per_minute=QUICK), [], []

    async def one(number: int) -> None:
        assert await turns.take(asked=time.time(), not_before=time.time(), end_time=time.time() + 10)
        order.append(number)
        times.append(time.monotonic())

    await asyncio.gather(*(one(number) for number in range(10)))
    assert order == list(range(10))
    assert all(later - earlier >= 0.019 for earlier, later in pairwise(times))


async def test_they_come_closer_together_where_polls_get_along_with_the_list() -> None:
    async def spacing(*, fresh: bool) -> float:
        turns, begun = Turns(per_minute=QUICK, list_is_fresh=lambda: fresh), time.monotonic()
        for _ in range(11):
            assert await turns.take(asked=time.time(), not_before=time.time(), end_time=time.time() + 10)
        return (time.monotonic() - begun) / 10

    alone, beside = await spacing(fresh=False), await spacing(fresh=True)
    assert alone >= 0.019
    assert 0.012 <= beside < alone


async def test_a_newcomers_refusal_moves_nobody_who_was_there_before_it() -> None:
    """Where tasks come faster than the key allows, some are refused all the time; each of them once moved the whole queue."""
    turns, start = Turns(per_minute=QUICK), time.time()
    first = asyncio.create_task(turns.take(asked=start, not_before=start + 0.2, end_time=start + 10))
    newcomers = []
    for _ in range(20):
        await asyncio.sleep(0.05)
        newcomers.append(asyncio.create_task(turns.take(asked=time.time(), not_before=time.time() + 0.2, end_time=start + 10)))
    assert first.done()
    assert first.result() is True
    assert newcomers[0].done()
    assert all(await asyncio.gather(*newcomers))


async def test_one_that_is_refused_again_comes_back_to_its_place_and_holds_up_all_behind_it() -> None:
    turns, start, order = Turns(per_minute=QUICK), time.time(), []

    async def one(name: str, asked: float, not_before: float) -> None:
        assert await turns.take(asked=asked, not_before=not_before, end_time=start + 10)
        order.append((name, time.time() - start))

    later = [asyncio.create_task(one(name, asked, start + 0.2)) for name, asked in (("second", start + 1), ("third", start + 2))]
    await asyncio.sleep(0.02)
    again = asyncio.create_task(one("first, refused again", start, start + 0.5))
    await asyncio.gather(again, *later)
    assert [name for name, _ in order] == ["first, refused again", "second", "third"]
    assert all(at >= 0.5 for _, at in order)


async def test_one_that_is_cancelled_or_too_late_lets_the_next_one_go() -> None:
    turns, start = Turns(per_minute=QUICK), time.time()
    cancelled = asyncio.create_task(turns.take(asked=start, not_before=start + 5, end_time=start + 10))
    too_late = asyncio.create_task(turns.take(asked=start, not_before=start, end_time=start + 0.1))
    goes = asyncio.create_task(turns.take(asked=start, not_before=start + 0.3, end_time=start + 10))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    assert await too_late is True
    assert await goes is True
    assert 0.3 <= time.time() - start < 5


async def test_one_that_is_too_late_behind_another_lets_the_next_one_go() -> None:
    turns, start = Turns(per_minute=QUICK), time.time()
    first, too_late, goes = (
        asyncio.create_task(turns.take(asked=start, not_before=start + 0.3, end_time=start + end)) for end in (10, 0.1, 10)
    )
    assert await too_late is False
    assert not first.done()
    assert await goes is True
    assert first.result() is True


async def test_one_that_is_to_come_back_tomorrow_keeps_nobody_away_for_that_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_happyhorse.triggers.turns.LONGEST_PAUSE", 0.2)
    turns, start = Turns(per_minute=QUICK), time.time()
    tomorrow = asyncio.create_task(turns.take(asked=start, not_before=start + 86400, end_time=start + 2 * 86400))
    await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        assert await turns.take(asked=start + 1, not_before=start, end_time=start + 10)
    assert tomorrow.done()


async def test_a_clock_that_is_set_back_delays_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, real = Turns(per_minute=QUICK), time.time
    assert await turns.take(asked=real(), not_before=real(), end_time=real() + 10)
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    async with asyncio.timeout(5):
        assert await turns.take(asked=time.time(), not_before=time.time(), end_time=time.time() + 10)


async def test_the_trigger_survives_the_database_and_fires_once() -> None:
    trigger = HappyHorseSubmitTrigger("happyhorse_default", time.time() + 0.1, time.time() + 10, QUICK, "kettle", time.time())
    path, arguments = trigger.serialize()
    stored = json.loads(json.dumps(arguments))
    assert path == f"{HappyHorseSubmitTrigger.__module__}.{HappyHorseSubmitTrigger.__qualname__}"
    assert stored["asked"] == trigger.asked > 0
    assert (await event(HappyHorseSubmitTrigger(**stored)))["status"] == "due"


async def test_the_trigger_fires_when_its_time_is_over() -> None:
    assert (await event(HappyHorseSubmitTrigger("other", time.time() + 60, time.time() + 0.1)))["status"] == "timeout"


def test_every_event_loop_has_its_own_queue() -> None:
    for _ in range(3):
        fired = asyncio.run(event(HappyHorseSubmitTrigger("happyhorse_default", 0.0, time.time() + 10)))
        assert fired["status"] == "due"


async def test_a_killed_one_says_that_nothing_was_paid() -> None:
    class Told(HappyHorseSubmitTrigger):
        log = Log()

    told = Told("happyhorse_default", not_before=0, end_time=0, name="kettle")
    await told.on_kill()
    assert told.log.text("WARNING").startswith("[kettle] ")
    assert "Nothing was submitted or paid for" in told.log.text("WARNING")

"""Which scenarios are played: the short form, for continuous integration, and the long one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tests.chaos import components, edits, people, service, submit_path
from tests.chaos.scenario import Scenario


def short() -> list[Scenario]:
    """Return what continuous integration plays."""
    return [
        *submit_path.KILLS,
        *submit_path.WAYS_OUT,
        *people.SHORT,
        *edits.SHORT,
        *service.SHORT,
        submit_path.TWO_TRIES[0],
        components.TRIGGERER_LOST,
        components.SCHEDULER_LOST,
    ]


def long(*, seed: int, rounds: int) -> list[Scenario]:
    """Return everything, ``rounds`` times, each time in another order, with another storm."""
    once = [
        *short(),
        *submit_path.WORKER,
        *submit_path.TWO_TRIES[1:],
        *people.LONG,
        *edits.LONG,
        *service.LONG,
    ]
    once += [components.API_SERVER_LOST, components.API_SERVER_LOST_BEFORE_THE_ID]
    storms = components.storms(seed, rounds)
    played: list[Scenario] = []
    for number in range(rounds):
        mark = "" if rounds == 1 else f" (round {number + 1})"
        played += [replace(scenario, title=scenario.title + mark) for scenario in shuffled([*once, storms[number]], seed + number)]
    return played


def chosen(form: str, *, ledger: str, seed: int, rounds: int) -> list[Scenario]:
    """Return the scenarios of a form, ``short`` or ``long``, for a ledger, ``state`` or ``path``; with ``both``, each one twice.

    What needs a ledger path comes with one: kills between its writes, look-alikes in the service's list, rows that have moved, and S3.
    """
    found = short() if form == "short" else long(seed=seed, rounds=rounds)
    if ledger == "state":
        return found
    mark = ", ledger path" if ledger == "both" else ""
    on_path = [scenario.on("path", mark=mark) for scenario in [*found, *submit_path.LEDGER_PATH, *edits.LEDGER_PATH]]
    on_s3 = [scenario.on("s3", mark=", ledger path on S3") for scenario in on_s3_too()] if form == "long" else []
    return [*(found if ledger == "both" else []), *on_path, *on_s3]


def on_s3_too() -> list[Scenario]:
    """Return what is also played with the ledger on S3."""
    titles = (
        "killed after the intent",
        "killed after the answer, before the id is written",
        "killed after the id was written",
        "killed after the delivery was recorded",
        "cleared while deferred",
        "mapped, one bad row",
        "two tries alive: the first one froze before the intent",
        "killed between the two writes of the id",
        "row inserted on top, cleared while running",
    )
    return [scenario for scenario in [*short(), *submit_path.LEDGER_PATH] if scenario.title in titles]


def shuffled(scenarios: Sequence[Scenario], seed: int) -> list[Scenario]:
    """Return the scenarios in another order: who meets whom is part of the chaos."""
    mixed = list(scenarios)
    random.Random(seed).shuffle(mixed)
    return mixed

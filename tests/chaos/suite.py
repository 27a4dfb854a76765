"""Which scenarios are played: the short form, for continuous integration, and the long one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tests.chaos import components, people, service, submit_path
from tests.chaos.scenario import Scenario


def short() -> list[Scenario]:
    """Return what continuous integration plays."""
    return [
        *submit_path.KILLS,
        *submit_path.WAYS_OUT,
        *people.SHORT,
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
        *service.LONG,
    ]
    storms = components.storms(seed, rounds)
    played: list[Scenario] = []
    for number in range(rounds):
        mark = "" if rounds == 1 else f" (round {number + 1})"
        played += [replace(scenario, title=scenario.title + mark) for scenario in shuffled([*once, storms[number]], seed + number)]
    return played


def chosen(form: str, *, ledger: str, seed: int, rounds: int) -> list[Scenario]:
    """Return the scenarios of a form, ``short`` or ``long``, for a ledger, ``state`` or ``path``."""
    found = short() if form == "short" else long(seed=seed, rounds=rounds)
    return [*found, *submit_path.LEDGER_PATH] if ledger == "path" else found


def shuffled(scenarios: Sequence[Scenario], seed: int) -> list[Scenario]:
    """Return the scenarios in another order: who meets whom is part of the chaos."""
    mixed = list(scenarios)
    random.Random(seed).shuffle(mixed)
    return mixed

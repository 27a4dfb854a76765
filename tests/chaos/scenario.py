"""One thing that goes wrong, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.clip import ScenarioClip, Until
from tests.emulator_process import ServiceName


@dataclass(frozen=True)
class Scenario:
    """One thing that goes wrong, and what has to come of it.

    :param title: first column of the table.
    :param play: starts the clip's run, does what is done to it, and yields what it waits for.
    :param may_stop: the truth cannot be known; a loud stop is a right ending.
    :param asked: videos asked for.
    :param delivers: videos that have to arrive; None for all that were asked for.
    :param own_emulator: it sets faults that would meet the others' requests.
    :param task: arguments of the operator; ``rows`` maps it.
    :param defect: what is known to be wrong with the outcome yet, "" for nothing.
    :param untold: what the log is known not to tell yet, "" when it tells everything.
    :param shakes: it kills a component of Airflow, so that it is played after the others.
    :param acts_are_chances: some of the wanted kills may meet no try at their step.
    """

    title: str
    play: Callable[[ScenarioClip], Iterator[Until]]
    may_stop: bool = False
    asked: int = 1
    delivers: int | None = None
    service: ServiceName = "happy-horse.ai"
    own_emulator: bool = False
    render_seconds: float = 1
    connection: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    unpaid_rows: tuple[str, ...] = ()
    untold: str = ""
    defect: str = ""
    shakes: bool = False
    acts_are_chances: bool = False

"""One thing that goes wrong, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.chaos.clip import ScenarioClip, Until
from tests.emulator_process import ServiceName

#: Where records are: Airflow's task state store, a local ``ledger_path``, one on S3.
Ledger = Literal["state", "path", "s3"]


@dataclass(frozen=True)
class Scenario:
    """One thing that goes wrong, and what has to come of it.

    :param title: first column of the table.
    :param play: starts the clip's run, does what is done to it, and yields what it waits for.
    :param may_stop: the truth cannot be known; a loud stop is a right ending.
    :param listed: the service's list tells the truth, as emulated, so that with a ledger path it may not stop.
    :param asked: videos asked for.
    :param delivers: videos that have to arrive; None for all that were asked for.
    :param own_emulator: it sets faults that would meet the others' requests.
    :param door: its tasks reach the emulator by a door that it can shut.
    :param task: arguments of the operator; ``rows`` maps it.
    :param defect: what is known to be wrong with the outcome yet, "" for nothing.
    :param untold: what the log is known not to tell yet, "" when it tells everything.
    :param shakes: it kills a component of Airflow, so that it is played after the others.
    :param alone: it stops what all others need, so that it is played alone, after them.
    :param acts_are_chances: some of the wanted kills may meet no try at their step.
    :param ledger: where its records are.
    :param edited: a task before it reads what is asked for from a file that a person edits while it runs.
    """

    title: str
    play: Callable[[ScenarioClip], Iterator[Until]]
    may_stop: bool = False
    listed: bool = False
    asked: int = 1
    delivers: int | None = None
    service: ServiceName = "happy-horse.ai"
    own_emulator: bool = False
    door: bool = False
    render_seconds: float = 1
    connection: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    unpaid_rows: tuple[str, ...] = ()
    untold: str = ""
    defect: str = ""
    shakes: bool = False
    alone: bool = False
    acts_are_chances: bool = False
    ledger: Ledger = "state"
    edited: bool = False

    def on(self, ledger: Ledger, *, mark: str = "") -> Scenario:
        """Return it with its records elsewhere.

        :param mark: what its title says of that.
        """
        return replace(self, ledger=ledger, title=self.title + mark, may_stop=self.may_stop and (ledger == "state" or not self.listed))

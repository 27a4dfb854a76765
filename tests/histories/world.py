"""One DAG run from above: the table and the author, Airflow's tries and clears."""

from __future__ import annotations

import json
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_happyhorse.api.errors import ServiceError
from airflow_provider_happyhorse.api.generation import GenerationState
from airflow_provider_happyhorse.polling.wait import Ended
from airflow_provider_happyhorse.results import event_of
from tests.histories.judge import Judge
from tests.histories.service import Generate, Hook, Service
from tests.histories.storage import StateStore, Value, records_on_path
from tests.histories.tries import Asked, Death, Order, Try
from tests.operators.task_instances import Log, TaskInstance

RUN = {"dag_id": "campaign", "run_id": "manual", "task_id": "generate"}


@dataclass
class Instance:
    """A task instance in the database.

    :param state: ``waiting`` (for its next try), ``running``, ``deferred``, ``failed``, ``success``.
    :param message: what its last try ended with.
    :param there: the steps of all records when it did.
    """

    index: int
    max_tries: int
    number: int = 0
    state: str = "waiting"
    message: str = ""
    error: BaseException | None = None
    there: frozenset[Path] = frozenset()
    tries: list[Try] = field(default_factory=list)
    result: Any = None

    @property
    def running(self) -> Try | None:
        return next((one for one in reversed(self.tries) if one.alive and not one.stale), None)

    @property
    def frozen(self) -> Try | None:
        """Left behind by Airflow, and alive."""
        return next((one for one in self.tries if one.alive and one.stale), None)


class World:
    """A DAG run with one task, mapped or not.

    :param storage: ``none``, ``store`` (Airflow's, 3.3), ``path``, or ``both``.
    :param folder: of the ledger path.
    """

    def __init__(self, *, storage: str, mapped: bool, named: bool, folder: Path) -> None:
        self.mapped, self.named, self.folder = mapped, named, folder
        self.has_store, self.on_path = storage in ("store", "both"), storage in ("path", "both")
        self.service = Service()
        self.judge = Judge(mapped)
        self.service.on_sent = self.judge.sent
        self.entries: dict[int, str] = {}
        self.rows = [{"name": name, "prompt": f"{name} 1"} for name in ("a", "b")] if mapped else [{"name": "a", "prompt": "a 1"}]
        self.take: str = ""
        self.words: frozenset[str] = frozenset({"changed_request"})
        self.retries = 1
        #: As Airflow counts them.
        self.clears_of_the_run = 0
        #: What has happened, for a reader of a failure.
        self.story: list[str] = []
        self.instances: list[Instance] = []
        self.expand()

    @property
    def protected(self) -> bool:
        return self.has_store or self.on_path

    def tell(self, line: str) -> None:
        self.story.append(line)

    def expand(self) -> None:
        """Make the task instances of the table, as mapping does; rows that have gone leave theirs behind."""
        for place in range(len(self.instances), len(self.rows)):
            self.instances.append(Instance(place if self.mapped else -1, self.retries))

    def place(self, instance: Instance) -> int:
        return max(0, instance.index)

    def clip(self, by: Try) -> Hashable:
        """Return what a clip is known by: its name and take where there is a ledger path, else its map index."""
        by_name = self.on_path and self.mapped and by.asked.named
        return (by.asked.name, by.asked.take) if by_name else by.index

    # What Airflow does.

    def begins(self, instance: Instance) -> Try:
        """Start the next try. One that still runs is left behind: its heartbeat was lost, or it was cleared."""
        for one in instance.tries:
            one.stale = True
        instance.number += 1
        row = self.rows[self.place(instance)]
        take = str(instance.number) if self.take == "number" else self.take
        name = {"name": row["name"]} if self.named else {}
        asked = Asked(row["name"] if self.named else "", take, row["prompt"], self.words, self.named)
        what: dict[str, Any] = {"request": {"prompt": row["prompt"], **name}} if self.mapped else {"prompt": row["prompt"], **name}
        words = sorted(self.words)

        def execute() -> Any:
            operator = Generate(task_id="generate", take=take or None, pay_again_on=words, deferrable=True, **what)
            return operator.execute(self._context(instance, one))

        one = Try(index=instance.index, number=instance.number, asked=asked, log=Log(), world=self)
        one.arguments = {"take": take or None, "pay_again_on": words, **what}
        self.tell(f"{one} begins with {asked}, max_tries {instance.max_tries}")
        instance.tries.append(one)
        instance.state = "running"
        one.starts(execute)
        self.settle(instance, one)
        return one

    def resumes(self, instance: Instance, *, timeout: bool = False) -> Try:
        """Start the second half of a deferred try with what its trigger fires; still in progress means that the time is over."""
        first = instance.tries[-1]
        assert first.deferral is not None
        trigger = json.loads(json.dumps(first.deferral.trigger.serialize()[1]))
        method, kwargs = first.deferral.method_name, json.loads(json.dumps(first.deferral.kwargs or {}))
        first.stale = True

        def goes_on() -> Any:
            operator = Generate(task_id="generate", deferrable=True, **first.arguments)
            if method == "execute_in_turn":
                status = {"status": "timeout", "message": "its turn did not come"} if timeout else {"status": "due"}
                return operator.execute_in_turn(self._context(instance, one), status, **kwargs)
            event = self._fired(trigger["known"], trigger["generation_id"], timeout=timeout)
            return operator.execute_complete(self._context(instance, one), json.loads(json.dumps(event)))

        one = Try(index=instance.index, number=instance.number, asked=first.asked, log=Log(), world=self)
        one.arguments = first.arguments
        self.tell(f"{one} resumes")
        instance.tries.append(one)
        instance.state = "running"
        one.starts(goes_on)
        self.settle(instance, one)
        return one

    def _fired(self, known: dict[str, Any], job_id: str, *, timeout: bool) -> dict[str, Any]:
        """Return what the trigger fires; that its question is not answered counts as the end of its time, too."""
        ended = Ended("timeout", f"{job_id} is still running")
        hook = Hook()
        with suppress(ServiceError):
            generation = hook.send(hook.service.get(job_id)) if not timeout else None
            if generation is not None and generation.state.ended:
                succeeded = generation.state is GenerationState.SUCCEEDED
                said = "succeeded" if succeeded else f"failed at the service: {generation.error}"
                ended = Ended("success" if succeeded else "failed", f"{job_id} {said}", generation)
        return event_of(ended, known=known, generation_id=job_id, seen_at="2026-11-20T10:00:00+00:00")

    def goes_on(self, instance: Instance, one: Try, order: Order = Order.GO) -> None:
        if order is not Order.GO:
            self.tell(f"{one}, at {one.seam!r}: {order.value}")
        one.goes_on(order)
        self.settle(instance, one)

    def runs_to_the_end(self, instance: Instance, one: Try) -> None:
        one.runs_to_the_end()
        self.settle(instance, one)

    def settle(self, instance: Instance, one: Try) -> None:
        """Note how a try has ended, unless Airflow has given it up."""
        if one.alive:
            self.tell(f"{one} is at {one.seam!r}")
        elif one.deferral is not None:
            self.tell(f"{one} waits for {getattr(one.deferral.trigger, 'generation_id', 'its turn')}")
        else:
            self.tell(f"{one} ends with {one.error!r}" if one.error else f"{one} delivers {one.result['generation_id']}")
        if one.alive or one.stale:
            return
        if one.deferral is not None:
            instance.state = "deferred"
        elif one.error is None:
            instance.state, instance.result, instance.error = "success", one.result, None
        else:
            may_retry = not isinstance(one.error, AirflowFailException) and instance.number <= instance.max_tries
            instance.state = "waiting" if may_retry else "failed"
        if one.error is not None and not isinstance(one.error, Death):
            instance.error, instance.message = one.error, str(one.error)
            instance.there = frozenset(self.folder.glob("ledger/**/*.json"))

    def clears(self, instance: Instance) -> None:
        """Clear it: a person, a backfill, `reset_dag_run`, a callback; nobody can tell which."""
        over = all(one.state in ("failed", "success") for one in self.instances)
        self.clears_of_the_run += AIRFLOW_V_3_3_PLUS or over
        instance.max_tries = instance.number + self.retries
        self.tell(f"{instance.index} is cleared, max_tries {instance.max_tries}")
        for one in instance.tries:
            one.stale = True
        instance.state = "waiting"
        # A row that is new under its index counts, too: its clip may have failed under another one, and only a clear moves rows.
        self.judge.cleared.add(instance.index)

    def clears_unseen(self, instance: Instance) -> None:
        """Clear it while it runs, and lose sight of its process: its ``max_tries`` stay, and only the run's clears tell (3.3)."""
        self.clears_of_the_run += AIRFLOW_V_3_3_PLUS
        instance.state = "waiting"
        self.tell(f"{instance.index} is cleared while it runs, max_tries {instance.max_tries}")
        if AIRFLOW_V_3_3_PLUS:
            self.judge.cleared.add(instance.index)

    def clears_without_the_task(self, instance: Instance) -> None:
        """Clear it where the DAG cannot be found: its tries are only not lowered."""
        before, instance.max_tries = instance.max_tries, max(instance.max_tries, instance.number)
        for one in instance.tries:
            one.stale = True
        instance.state = "waiting"
        self.tell(f"{instance.index} is cleared without its task, max_tries {instance.max_tries}")
        if instance.max_tries != before:
            self.judge.cleared.add(instance.index)

    def nobody_is_sending(self) -> None:
        """Let some minutes pass, as the messages ask for."""
        for instance in self.instances:
            for one in instance.tries:
                if one.alive:
                    one.dies()
                    self.settle(instance, one)

    # What is there.

    def records(self) -> list[list[Value]]:
        """Return all records, each as its steps."""
        return [[json.loads(entry)] for entry in self.entries.values()] + list(records_on_path(self.folder))

    def ids_on_record(self) -> set[str]:
        """Return what the records of now hold: the last step of each, and what it leaves to the steps before it."""
        found: set[str] = set()
        for steps in self.records():
            for step in reversed(steps):
                found |= {str(facts.get("generation_id")) for facts in (step.get("facts", {}), *step.get("others", {}).values())}
                found.add(str(step.get("generation_id")))
                if "others" in step:
                    break
        return found

    def _context(self, instance: Instance, one: Try) -> dict[str, Any]:
        ti = TaskInstance(**RUN, map_index=instance.index, try_number=one.number, max_tries=instance.max_tries)
        store = {"task_state_store": StateStore(self.entries, one, self.judge.written)} if self.has_store else {}
        run, task = SimpleNamespace(clear_number=self.clears_of_the_run), SimpleNamespace(retries=self.retries)
        return {"ti": ti, "run_id": ti.run_id, "dag_run": run, "task": task, **store}

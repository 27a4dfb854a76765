"""What may happen to a DAG run, and what must hold all the same: a hypothesis state machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_happyhorse.api import retry
from airflow_provider_happyhorse.exceptions import AmbiguousSubmission, GenerationFailed, SubmissionStopped
from airflow_provider_happyhorse.ledger import objects
from airflow_provider_happyhorse.ledger.decision import PAY_AGAIN_WORDS
from airflow_provider_happyhorse.operators.submission import Submission
from tests.histories import promises
from tests.histories.person import takes_the_way_out
from tests.histories.service import ANSWERS, CONNECTION
from tests.histories.storage import SeamedObjects
from tests.histories.tries import Order, Try
from tests.histories.world import Instance, World

STORAGES = ["none", "path", *(["store", "both"] if AIRFLOW_V_3_3_PLUS else ["path"])]

orders = st.sampled_from(list(Order))
seams = st.integers(0, 12)
picks = st.integers(0, 7)


class Histories(RuleBasedStateMachine):
    """One history of one DAG run."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="happyhorse-histories-")
        self.folder = Path(self._folder.name)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(retry, "FIRST_DELAY", 0.0)
        self.patch.setitem(Submission.__init__.__kwdefaults__, "sleep", lambda seconds: None)  # type: ignore[arg-type]
        self.patch.setattr(objects, "open_objects", lambda path: SeamedObjects(Path(path), self.world.judge.written))
        self.world = World(storage="none", mapped=False, named=True, folder=self.folder)

    @initialize(storage=st.sampled_from(STORAGES), mapped=st.booleans(), named=st.booleans(), retries=st.integers(0, 2))
    def a_run_begins(self, storage: str, mapped: bool, named: bool, retries: int) -> None:
        self.world = World(storage=storage, mapped=mapped, named=named, folder=self.folder)
        self.world.retries = retries
        for instance in self.world.instances:
            instance.max_tries = retries
        self.connect()

    def connect(self) -> None:
        path = {"ledger_path": str(self.folder)} if self.world.on_path else {}
        connection = {**CONNECTION, "extra": {"service": "happyhorse.app", **path}}
        self.patch.setenv("AIRFLOW_CONN_HAPPYHORSE_DEFAULT", json.dumps(connection))

    def one_of(self, pick: int, *states: str) -> Instance | None:
        those = [one for one in self.world.instances if (one.state in states) and self.world.place(one) < len(self.world.rows)]
        return those[pick % len(those)] if those else None

    # Tries.

    @rule(pick=picks, answer=st.sampled_from(list(ANSWERS)))
    def a_try_runs(self, pick: int, answer: str) -> None:
        if instance := self.one_of(pick, "waiting"):
            self.world.service.answer = answer
            self.world.runs_to_the_end(instance, self.world.begins(instance))

    @rule(pick=picks, answer=st.sampled_from(list(ANSWERS)), at=seams, order=orders)
    def something_happens_to_a_try(self, pick: int, answer: str, at: int, order: Order) -> None:
        if instance := self.one_of(pick, "waiting"):
            self.world.service.answer = answer
            self.something_happens(instance, self.world.begins(instance), at, order)

    def something_happens(self, instance: Instance, one: Try, at: int, order: Order) -> None:
        for _ in range(at):
            if one.alive:
                self.world.goes_on(instance, one)
        if one.alive:
            note(f"at {one.seam}: {order.value}")
            self.world.goes_on(instance, one, order)
        self.world.runs_to_the_end(instance, one)

    @rule(pick=picks, at=seams)
    def a_try_is_still_running(self, pick: int, at: int) -> None:
        if instance := self.one_of(pick, "waiting"):
            self.world.service.answer = "accepted"
            one = self.world.begins(instance)
            for _ in range(at):
                if one.alive:
                    self.world.goes_on(instance, one)

    @rule(pick=picks, steps=seams, order=orders, frozen=st.booleans())
    def a_running_try_goes_on(self, pick: int, steps: int, order: Order, frozen: bool) -> None:
        those = [(instance, one) for instance in self.world.instances for one in (instance.frozen if frozen else instance.running,) if one]
        if not those:
            return
        instance, one = those[pick % len(those)]
        note(f"at {one.seam}: {order.value}")
        self.world.goes_on(instance, one, order)
        for _ in range(steps):
            if one.alive:
                self.world.goes_on(instance, one)

    @rule(pick=picks, cleared=st.sampled_from(["", "seen", "hidden"]))
    def airflow_gives_a_running_try_up(self, pick: int, cleared: str) -> None:
        """Its heartbeat was lost, or it was cleared while it ran; it may go on all the same."""
        if instance := self.one_of(pick, "running"):
            for one in instance.tries:
                if one.alive and one.stale:
                    one.dies()
                one.stale = True
            instance.state = "waiting" if cleared or instance.number <= instance.max_tries else "failed"
            if cleared == "seen":
                # What 3.3's scheduler does when it has seen the process end (RESTARTING).
                self.world.clears(instance)
            elif cleared:
                self.world.clears_unseen(instance)

    # Waits.

    @rule(pick=picks, failed=st.booleans())
    def the_service_ends_a_generation(self, pick: int, failed: bool) -> None:
        going = [job for job in self.world.service.jobs.values() if job.status == "IN_PROGRESS"]
        if going:
            going[pick % len(going)].status = "FAILED" if failed else "SUCCESS"

    @rule(pick=picks, timeout=st.booleans())
    def a_wait_is_over(self, pick: int, timeout: bool) -> None:
        if instance := self.one_of(pick, "deferred"):
            self.world.runs_to_the_end(instance, self.world.resumes(instance, timeout=timeout))

    @rule(pick=picks, at=st.integers(0, 6), order=orders)
    def something_happens_when_a_wait_is_over(self, pick: int, at: int, order: Order) -> None:
        if instance := self.one_of(pick, "deferred"):
            self.something_happens(instance, self.world.resumes(instance), at, order)

    @rule(pick=picks, cleared=st.booleans())
    def a_wait_runs_out_and_the_retry_asks_for_something_else(self, pick: int, cleared: bool) -> None:
        """An everyday retry that the other rules come by too seldom; ``cleared``: after a clear that has found the video."""
        if instance := self.one_of(pick, "waiting", "deferred"):
            self.world.service.answer = "accepted"
            self.world.retries = max(1, self.world.retries)
            if instance.state == "waiting":
                self.world.runs_to_the_end(instance, self.world.begins(instance))
            if cleared:
                self.world.clears(instance)
                self.world.runs_to_the_end(instance, self.world.begins(instance))
            if instance.state == "deferred":
                self.world.runs_to_the_end(instance, self.world.resumes(instance, timeout=True))
            clip, version = self.world.rows[self.world.place(instance)]["prompt"].split()
            self.world.rows[self.world.place(instance)]["prompt"] = f"{clip} {int(version) % 3 + 1}"
            if instance.state == "waiting":
                self.world.runs_to_the_end(instance, self.world.begins(instance))

    # Clears, by whomever.

    @rule(pick=picks)
    def one_is_cleared(self, pick: int) -> None:
        if instance := self.one_of(pick, "deferred", "failed", "success", "waiting"):
            self.world.clears(instance)

    @rule()
    def all_are_cleared(self) -> None:
        for instance in self.world.instances:
            if instance.state != "running":
                self.world.clears(instance)

    @rule(pick=picks)
    def one_is_cleared_where_the_dag_is_not_found(self, pick: int) -> None:
        if instance := self.one_of(pick, "failed", "success", "deferred"):
            self.world.clears_without_the_task(instance)

    # The author.

    @rule(pick=picks, version=st.integers(1, 3))
    def a_row_is_changed(self, pick: int, version: int) -> None:
        row = self.world.rows[pick % len(self.world.rows)]
        row["prompt"] = f"{row['prompt'].split()[0]} {version}"

    @rule(take=st.sampled_from(["", "2", "number"]))
    def the_take_is_changed(self, take: str) -> None:
        self.world.take = take

    @rule(words=st.sets(st.sampled_from(PAY_AGAIN_WORDS)))
    def pay_again_on_is_changed(self, words: set[str]) -> None:
        self.world.words = frozenset(words)

    @rule(retries=st.integers(0, 2))
    def retries_are_changed(self, retries: int) -> None:
        self.world.retries = retries

    @precondition(lambda self: self.world.mapped and len(self.world.rows) < 4)
    @rule()
    def a_row_is_inserted_on_top_and_all_are_cleared(self) -> None:
        name = "cdefgh"[len(self.world.rows) - 2]
        self.world.rows.insert(0, {"name": name, "prompt": f"{name} 1"})
        self.world.expand()
        self.all_are_cleared()

    @rule(pick=picks)
    def a_clip_is_renamed(self, pick: int) -> None:
        row = self.world.rows[pick % len(self.world.rows)]
        row["name"] = row["name"].rstrip("'") + ("" if row["name"].endswith("'") else "'")

    @precondition(lambda self: self.world.mapped and not self.world.named)
    @rule()
    def the_rows_are_given_names(self) -> None:
        """What a stop for rows that have moved advises."""
        self.world.named = True

    @precondition(lambda self: self.world.has_store and not self.world.on_path)
    @rule()
    def a_ledger_path_is_set(self) -> None:
        if not any(one.alive for instance in self.world.instances for one in instance.tries):
            self.world.on_path = True
            self.connect()

    # A person.

    @rule(pick=picks, other=st.booleans())
    def a_person_takes_the_way_out(self, pick: int, other: bool) -> None:
        instance = self.one_of(pick, "failed")
        if instance and isinstance(instance.error, (AmbiguousSubmission, SubmissionStopped, GenerationFailed)):
            self.world.nobody_is_sending()
            takes_the_way_out(self.world, instance, other=other)

    # What must always hold.

    @invariant()
    def nothing_is_paid_that_nobody_asked_for(self) -> None:
        promises.nothing_is_paid_that_nobody_asked_for(self.world)

    @invariant()
    def nothing_paid_is_forgotten(self) -> None:
        promises.nothing_paid_is_forgotten(self.world)

    @invariant()
    def every_try_ends_in_words(self) -> None:
        promises.every_try_ends_in_words(self.world)

    def teardown(self) -> None:
        try:
            if not self.world.judge.complaints:
                promises.everything_can_be_delivered(self.world)
        finally:
            note("\n".join(["What has happened:", *self.world.story]))
            self.world.nobody_is_sending()
            self.patch.undo()
            self._folder.cleanup()

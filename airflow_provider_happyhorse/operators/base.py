"""The whole life of a paid job, once; the operators only say what is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    BudgetExceeded,
    GenerationUnreachable,
    InvalidArguments,
    NotAcceptedYet,
    NotSubmitted,
)
from airflow_provider_happyhorse.ledger.decision import Attach, Stop, Submit
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stores import spend_log_for
from airflow_provider_happyhorse.links import HappyHorseVideoLink
from airflow_provider_happyhorse.operators.attempt import Attempt
from airflow_provider_happyhorse.operators.books import CANNOT_WRITE, note_spend, timestamp
from airflow_provider_happyhorse.operators.budget import check_budget
from airflow_provider_happyhorse.operators.clip import Asked
from airflow_provider_happyhorse.operators.ending import GenerateEndings
from airflow_provider_happyhorse.operators.moved_rows import LOOKS, submitted_as_another, tell_other_rows
from airflow_provider_happyhorse.operators.reconciliation import claim
from airflow_provider_happyhorse.operators.sibling_rows import check_rows_differ
from airflow_provider_happyhorse.operators.stops import stopped
from airflow_provider_happyhorse.operators.submission import Submission
from airflow_provider_happyhorse.operators.turn import NotItsTurn, SubmitsInTurn
from airflow_provider_happyhorse.operators.waiting import (
    Look,
    backstop,
    end_of_wait,
    look_once,
    result_of_event,
    trigger_for,
    wait_in_worker,
)
from airflow_provider_happyhorse.results import REQUEST_KEY, money

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
    from airflow_provider_happyhorse.ledger.spend import SpendLog


class HappyHorseGenerateOperator(SubmitsInTurn, GenerateEndings):
    """Submit one generation, wait for it, and hand on its result; see the concrete operators for the arguments."""

    operator_extra_links = (HappyHorseVideoLink(),)
    ui_color = "#f3e8d2"
    #: What is waited for in this process just now, None for nothing.
    _waited_for: Mapping[str, Any] | None = None
    _resumable = False
    #: Waits the seconds after which a submission of unknown fate must be in the service's list.
    _sleep_before_looking = staticmethod(time.sleep)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, or go on with what an earlier try has submitted; then wait."""
        try:
            attempt = Attempt.of(
                context,
                task_id=self.task_id,
                asked=self._asked(),
                inputs=self._inputs(),
                pay_again_on=self.pay_again_on,
                kind=self.kind,
                hook=self._hook(),
            )
        except (InvalidArguments, GenerationUnreachable) as problem:
            self._cannot_begin(context, problem)
        try:
            return self._run(context, attempt)
        except InvalidArguments:
            self._push_refused(context)
            raise

    def _run(self, context: Context, attempt: Attempt) -> dict[str, Any]:
        if attempt.doubtful:
            # It takes more than a minute, and other rows may look meanwhile.
            tell_other_rows(context, attempt.ledger, attempt.record)
            attempt = self._reconciled(context, attempt)
        decision = attempt.decision()
        if isinstance(decision, Attach) and not self.wait_for_completion:
            attempt = attempt.looked_at(decision.facts, spend=self._spend_log(context, attempt), log=self.log)
            decision = attempt.decision()
        moved = isinstance(decision, Stop) and decision.kind == "moved" and attempt.ledger.shared
        if moved or (isinstance(decision, Submit) and attempt.may_be_elsewhere):
            looks = LOOKS if self._turn is None else 1
            decision = submitted_as_another(context, attempt, looks=looks, sleep=self._sleep_before_looking, log=self.log) or decision
        if isinstance(decision, Stop):
            raise self._stopped(context, attempt, decision)
        if isinstance(decision, Attach):
            return self._attach(context, attempt, decision)
        return self._submit(context, attempt, decision.why)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Finish the task with the trigger's event; sends nothing to the service, unless a result URL has expired."""
        known, problem = result_of_event(event, resumes=self._resumes(context))
        if problem is not None:
            self._end_badly(context, known, problem)
        self.log.info("[%s] %s succeeded, %s", known.get("name"), known["generation_id"], money(known))
        return self._deliver(context, known)

    def on_kill(self) -> None:
        """Say what becomes of the generation: neither service can cancel."""
        if known := self._waited_for:
            then = "the next try picks it up" if self._resumable else "nothing but this log keeps its id"
            paid, generation_id = money(known), known["generation_id"]
            self.log.warning("[%s] killed; %s goes on at the service and stays paid for, %s; %s", known["name"], generation_id, paid, then)

    def _inputs(self) -> Mapping[str, Any] | None:
        """Return what makes two requests the same, None for the request itself; a decorated task's function is not called for that."""
        return None

    def _asked_finally(self, context: Context) -> Asked:  # noqa: ARG002  for a decorated task
        """Return what is to be submitted, asked for only when something is; a decorated task calls its function here."""
        return self._asked()

    def _submit(self, context: Context, attempt: Attempt, why: str) -> dict[str, Any]:
        # Whatever could fail after the money is spent is tried before, and before a decorated function is called, which may cost too.
        self._refuse_mistakes()
        self.check_grid_name(context)
        self._check_destination(context, attempt)
        identity = attempt.identity
        check_rows_differ(context, task_id=self.task_id, identity=identity, destination=self.destination, log=self.log)
        clip = attempt.clip(self._asked_finally(context))
        for warning in attempt.hook.service.warnings(clip.request):
            self.log.warning("[%s] %s", clip.name, warning)
        if why:
            self.log.info("[%s] submitting: %s", clip.name, why)
        submission = Submission(
            clip=clip,
            fingerprint=attempt.fingerprint,
            hook=attempt.hook,
            ledger=attempt.ledger,
            stamp=attempt.stamp,
            previous=attempt.record,
            log=self.log,
            turn=self._turn_now(context),
            spend=self._spend_log(context, attempt),
        )
        try:
            check_budget(clip, hook=attempt.hook, log=self.log)
            tell_other_rows(context, attempt.ledger, replace(submission.record, state=RecordState.INTENT))
            record = submission.submit()
        except (BudgetExceeded, NotSubmitted, NotAcceptedYet, NotItsTurn) as unsent:
            tell_other_rows(context, attempt.ledger, attempt.record)
            if isinstance(unsent, NotItsTurn):
                self._wait_for_the_turn(attempt.hook, clip.name, unsent)
            if not isinstance(unsent, NotAcceptedYet):
                self._push(context, submission.facts(state="refused"))
            raise
        except AmbiguousSubmission as unknown:
            self._push(context, submission.facts(state="ambiguous"))
            # Looking takes more than a minute, and whoever ends the task meanwhile leaves this line.
            self.log.warning("[%s] %s", clip.name, unknown)
            attempt = self._reconciled(context, replace(attempt, record=submission.record))
            if attempt.doubtful:
                raise self._stopped(context, attempt, Stop("ambiguous", str(unknown))) from unknown
            assert attempt.record is not None  # noqa: S101  it has just been found
            return self._attach(context, attempt, Attach(attempt.record.facts, attempt.looked))
        self._push(context, record.facts)
        tell_other_rows(context, attempt.ledger, record)
        return self._wait(context, attempt.hook, record)

    def _stopped(self, context: Context, attempt: Attempt, stop: Stop) -> Exception:
        tell_other_rows(context, attempt.ledger, attempt.record)
        return stopped(attempt, stop, self._asked())

    def _reconciled(self, context: Context, attempt: Attempt) -> Attempt:
        return attempt.reconciled(spend=self._spend_log(context, attempt), log=self.log, clock=time.time, sleep=self._sleep_before_looking)

    def _spend_log(self, context: Context, attempt: Attempt) -> SpendLog | None:
        return spend_log_for(context, ledger_path=attempt.hook.settings.ledger_path)

    def _check_destination(self, context: Context, attempt: Attempt) -> None:
        if self.destination:
            from airflow_provider_happyhorse.operators.publish import download_rules
            from airflow_provider_happyhorse.storage.destinations import check_free, check_writable
            from airflow_provider_happyhorse.storage.stores import StorageUnavailable

            self.check_names_differ(context)
            name = attempt.identity.name
            try:
                download_rules(attempt.hook.settings)
                check_writable(self.destination)
                check_free(self.destination, kind=self.kind)
            except ValueError as problem:
                raise InvalidArguments(f"task {self.task_id!r} [{name}]: {problem}. Nothing was submitted") from problem
            except StorageUnavailable as problem:
                raise NotAcceptedYet(f"[{name}] not submitted, nothing was paid: {problem}; a retry looks again") from problem

    def _attach(self, context: Context, attempt: Attempt, attach: Attach) -> dict[str, Any]:
        record = attempt.record
        assert record is not None  # noqa: S101  there is nothing to attach to without one
        known = {**attempt.known(attach.facts), "reused": True}
        say = self.log.warning if attach.differs else self.log.info
        say("[%s] %s, %s; nothing is paid again", known["name"], attach.why, money(known))
        delivered = record.state is RecordState.DELIVERED and known["state"] == "succeeded"
        renewed = attempt.renewed(record, known, at=timestamp())
        try:
            attempt.ledger.write(renewed)
        except CANNOT_WRITE as problem:
            paid = f"{known['generation_id']} is paid for, {money(known)}"
            why = f"{paid}, and its record cannot be renewed: {problem}; a retry goes on with it"
            raise GenerationUnreachable(f"[{known['name']}] {why}") from problem
        self._push(context, known)
        tell_other_rows(context, attempt.ledger, renewed)
        # Whoever submitted it may have died before this. An id that a person has found (in a step that names no try) comes without a time:
        # it is noted when it ends, and here where this task does not wait for that.
        by_a_person = not self.wait_for_completion and record.try_number == 0 and not attempt.missing
        if at := known["submitted_at"] or (timestamp() if by_a_person else None):
            submitted, prompt = (
                {**known, "state": "in_progress", "submitted_at": at},
                str((known.get(REQUEST_KEY) or {}).get("prompt") or ""),
            )
            note_spend(self._spend_log(context, attempt), submitted, at=at, prompt=prompt, log=self.log)
        if delivered:
            return self._deliver(context, known)
        claim(attempt.ledger, attempt.hook.service, generation_id=known["generation_id"], name=known["name"], log=self.log)
        return self._wait(context, attempt.hook_of(known), renewed, look_first=True)

    def _wait(self, context: Context, hook: HappyHorseHook, record: Record, *, look_first: bool = False) -> dict[str, Any]:
        known, generation_id = dict(record.facts), record.generation_id
        if not self.wait_for_completion:
            return self._deliver(context, known)
        looked = look_once(hook, generation_id, known=known, log=self.log) if look_first else Look()
        if looked.event:
            return self.execute_complete(context, looked.event)
        name, now = str(known["name"]), time.time()
        end_time = end_of_wait(
            timeout=self.timeout, execution_timeout=self.execution_timeout, try_started=context["ti"].start_date, now=now
        )
        if self.deferrable:
            trigger = trigger_for(
                happyhorse_conn_id=hook.happyhorse_conn_id,
                generation_id=generation_id,
                end_time=end_time,
                known=known,
                name=name,
                pause=looked.pause,
            )
            self.defer(trigger=trigger, method_name="execute_complete", timeout=backstop(end_time, now))
        self._waited_for, self._resumable = known, self._resumes(context)
        event = wait_in_worker(hook, generation_id, end_time=end_time, known=known, log=self.log, name=name, pause=looked.pause)
        self._waited_for = None
        return self.execute_complete(context, event)

"""The whole life of a paid job, once; the operators only say what is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_happyhorse._compat import is_being_unmapped
from airflow_provider_happyhorse.exceptions import (
    AmbiguousSubmission,
    BudgetExceeded,
    GenerationFailed,
    GenerationFailedRetryable,
    InvalidArguments,
    NotSubmitted,
)
from airflow_provider_happyhorse.ledger.decision import Attach, Stop
from airflow_provider_happyhorse.ledger.record import Record, RecordState
from airflow_provider_happyhorse.ledger.stores import Ledger, ledger_for
from airflow_provider_happyhorse.links import HappyHorseVideoLink
from airflow_provider_happyhorse.operators.attempt import Attempt, note_end
from airflow_provider_happyhorse.operators.clip import Asked, problems_at_parse_time, read_pay_again_on
from airflow_provider_happyhorse.operators.grid_names import GridNames
from airflow_provider_happyhorse.operators.literals import is_literal
from airflow_provider_happyhorse.operators.submission import Submission
from airflow_provider_happyhorse.operators.waiting import (
    backstop,
    deferrable_by_default,
    end_of_wait,
    look_once,
    result_of_event,
    trigger_for,
    wait_in_worker,
)
from airflow_provider_happyhorse.results import XCOM_KEY, money, new_result

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse.api.generation import Kind
    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook


class HappyHorseGenerateOperator(GridNames, BaseOperator):
    """Submit one generation, wait for it, and hand on its result; see the concrete operators for the arguments."""

    template_fields: Sequence[str] = (
        "prompt",
        "request",
        "name",
        "take",
        "destination",
        "happyhorse_conn_id",
        "max_credits",
        "pay_again_on",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"request": "json"}
    operator_extra_links = (HappyHorseVideoLink(),)
    ui_color = "#f3e8d2"
    kind: ClassVar[Kind]

    def __init__(
        self,
        *,
        prompt: str | None = None,
        request: Mapping[str, Any] | None = None,
        name: str | None = None,
        destination: str | None = None,
        happyhorse_conn_id: str = "happyhorse_default",
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        timeout: float = 3600,
        max_credits: int | None = None,
        take: str | None = None,
        pay_again_on: Sequence[str] | str = ("changed_request",),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.request = request
        self.name = name
        self.destination = destination
        self.happyhorse_conn_id = happyhorse_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable_by_default() if deferrable is None else deferrable
        self.timeout = timeout
        self.max_credits = max_credits
        self.take = take
        self.pay_again_on = pay_again_on
        self._running_generation = ""
        # A mapped row is checked when its task runs: refused here, it would fail without its name in the grid.
        if not is_being_unmapped(self):
            self._refuse_mistakes()

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, or go on with what an earlier try has submitted; then wait."""
        attempt = Attempt.of(
            context,
            task_id=self.task_id,
            asked=self._asked(),
            inputs=self._inputs(),
            pay_again_on=self.pay_again_on,
            kind=self.kind,
            hook=self._hook(),
        )
        decision = attempt.decision()
        if isinstance(decision, Stop):
            raise attempt.stopped(decision, self._asked())
        if isinstance(decision, Attach):
            return self._attach(context, attempt, decision)
        return self._submit(context, attempt, decision.why)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Finish the task with the trigger's event; sends nothing to the service, unless a result URL has expired."""
        known, problem = result_of_event(event)
        ledger = ledger_for(context)
        if problem is not None:
            self._end_badly(context, ledger, known, problem)
        self.log.info("[%s] %s succeeded, %s", known.get("name"), known["generation_id"], money(known))
        return self._deliver(context, ledger, known)

    def on_kill(self) -> None:
        """Say what becomes of the generation: neither service can cancel."""
        if self._running_generation:
            self.log.warning("killed; %s goes on at the service and stays paid for; the next try picks it up", self._running_generation)

    def _inputs(self) -> Mapping[str, Any] | None:
        """Return what makes two requests the same, None for the request itself; a decorated task's function is not called for that."""
        return None

    def _asked_finally(self, context: Context) -> Asked:  # noqa: ARG002  for a decorated task
        """Return what is to be submitted, asked for only when something is; a decorated task calls its function here."""
        return self._asked()

    def _asked(self) -> Asked:
        return Asked(prompt=self.prompt, request=self.request, name=self.name, take=self.take, max_credits=self.max_credits)

    def _problems_at_parse_time(self) -> list[str]:
        problems = problems_at_parse_time(self._asked(), self.kind)
        if is_literal(self.pay_again_on):
            problems += read_pay_again_on(self.pay_again_on)[1]
        if is_literal(self.timeout) and not (isinstance(self.timeout, (int, float)) and self.timeout > 0):
            problems.append(f"`timeout` must be more than 0 seconds, not {self.timeout!r}")
        if self.wait_for_completion is False and self.destination is not None:
            problems.append("`destination` needs `wait_for_completion`: there is nothing to publish before the end")
        return problems

    def _refuse_mistakes(self) -> None:
        if problems := self._problems_at_parse_time():
            raise InvalidArguments(f"task {self.task_id!r}: {'; '.join(problems)}. Nothing was submitted")

    def _hook(self, conn_id: str | None = None) -> HappyHorseHook:
        from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook

        return HappyHorseHook(conn_id or self.happyhorse_conn_id)

    def _submit(self, context: Context, attempt: Attempt, why: str) -> dict[str, Any]:
        self._refuse_mistakes()
        clip, ledger = attempt.clip(self._asked_finally(context)), attempt.ledger
        for warning in attempt.hook.service.warnings(clip.request):
            self.log.warning("[%s] %s", clip.name, warning)
        if why:
            self.log.info("[%s] submitting: %s", clip.name, why)
        submission = Submission(
            clip=clip,
            fingerprint=attempt.fingerprint,
            hook=attempt.hook,
            ledger=ledger,
            stamp=attempt.stamp,
            previous=attempt.record,
            log=self.log,
        )
        try:
            # Whatever could fail after the money is spent is tried before.
            submission.check_budget()
            self.check_grid_name(context)
            if self.destination:
                from airflow_provider_happyhorse.storage.stores import check_writable

                check_writable(self.destination)
            record = submission.submit()
        except (BudgetExceeded, NotSubmitted):
            self._push(context, submission.facts(state="refused"))
            raise
        except AmbiguousSubmission:
            self._push(context, submission.facts(state="ambiguous"))
            raise
        self._push(context, record.facts)
        return self._wait(context, attempt.hook, ledger, record)

    def _attach(self, context: Context, attempt: Attempt, attach: Attach) -> dict[str, Any]:
        record = attempt.record
        assert record is not None  # noqa: S101  there is nothing to attach to without one
        name, service = attempt.identity.name, attempt.hook.service.name
        unknown = new_result(name=name, kind=self.kind, service=service, happyhorse_conn_id=attempt.hook.happyhorse_conn_id)
        known = {**unknown, **attach.facts, "reused": True}
        self.log.info("[%s] %s; nothing is paid again", known["name"], attach.why)
        delivered = record.state is RecordState.DELIVERED and known["state"] == "succeeded"
        renewed = attempt.renewed(record, known, at=_now())
        attempt.ledger.write(renewed)
        self._push(context, known)
        if delivered:
            return self._deliver(context, attempt.ledger, known)
        # The connection that made it is asked, also where the task has another by now.
        hook = attempt.hook if known["happyhorse_conn_id"] == attempt.hook.happyhorse_conn_id else self._hook(known["happyhorse_conn_id"])
        return self._wait(context, hook, attempt.ledger, renewed, look_first=True)

    def _wait(self, context: Context, hook: HappyHorseHook, ledger: Ledger, record: Record, *, look_first: bool = False) -> dict[str, Any]:
        known, generation_id = dict(record.facts), record.generation_id
        if not self.wait_for_completion:
            return self._deliver(context, ledger, known)
        if look_first and (event := look_once(hook, generation_id, known=known, log=self.log)):
            return self.execute_complete(context, event)
        name, now = str(known["name"]), time.time()
        end_time = end_of_wait(
            timeout=self.timeout, execution_timeout=self.execution_timeout, try_started=context["ti"].start_date, now=now
        )
        if self.deferrable:
            trigger = trigger_for(
                happyhorse_conn_id=hook.happyhorse_conn_id, generation_id=generation_id, end_time=end_time, known=known, name=name
            )
            self.defer(trigger=trigger, method_name="execute_complete", timeout=backstop(end_time, now))
        self._running_generation = generation_id
        event = wait_in_worker(hook, generation_id, end_time=end_time, known=known, log=self.log, name=name)
        self._running_generation = ""
        return self.execute_complete(context, event)

    def _deliver(self, context: Context, ledger: Ledger, known: dict[str, Any]) -> dict[str, Any]:
        self._push(context, known)
        if self.destination:
            from airflow_provider_happyhorse.operators.publish import publish_result

            hook = self._hook(known["happyhorse_conn_id"])
            published = publish_result(context, known, destination=self.destination, if_exists="skip", hook=hook, log=self.log)
            known = {**known, "uri": published["uri"], "sidecar_uri": published["sidecar_uri"]}
            self._push(context, known)
        note_end(context, ledger, RecordState.DELIVERED, known, at=_now(), log=self.log)
        return known

    def _end_badly(self, context: Context, ledger: Ledger, known: dict[str, Any], problem: Exception) -> NoReturn:
        self._push(context, known)
        if isinstance(problem, GenerationFailed):
            note_end(context, ledger, RecordState.FAILED, known, at=_now(), log=self.log, detail=str(problem))
            words = read_pay_again_on(self.pay_again_on)[0]
            # Without a ledger a retry would stop for not knowing what this try has submitted.
            if "failed_generation" in words and (ledger.protects or "unprotected_retry" in words):
                raise GenerationFailedRetryable(f"{problem}; `failed_generation` lets a retry submit it anew") from problem
        raise problem

    def _push(self, context: Context, known: Mapping[str, Any]) -> None:
        if known["generation_id"]:
            context["ti"].xcom_push(key="generation_id", value=known["generation_id"])
        context["ti"].xcom_push(key=XCOM_KEY, value=dict(known))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

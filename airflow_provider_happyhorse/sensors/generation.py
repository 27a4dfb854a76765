"""Wait for a generation that another task, another run or a person has submitted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_happyhorse.api.errors import Rejected, Unauthorized
from airflow_provider_happyhorse.exceptions import GenerationFailed, GenerationUnreachable, InvalidArguments
from airflow_provider_happyhorse.links import HappyHorseVideoLink
from airflow_provider_happyhorse.operators.literals import is_literal
from airflow_provider_happyhorse.operators.waiting import (
    Look,
    backstop,
    deferrable_by_default,
    end_of_wait,
    look_once,
    result_of_event,
    trigger_for,
)
from airflow_provider_happyhorse.results import XCOM_KEY, Reference, new_result, public, read_reference

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook


class HappyHorseGenerationSensor(BaseSensorOperator):
    """Wait until a generation has ended, and return its result. Costs requests, never credits.

    In ``poke`` and ``reschedule`` mode ``poke_interval`` is the author's, and the next poke comes later where the service asks for it
    (after a 429, or when the request budget is used up); deferred, the triggerer paces itself.

    :param generation: the id, or the whole result of the task that submitted it (``wait_for_completion=False``).
    :param happyhorse_conn_id: None takes the connection from the result, or ``happyhorse_default`` when only an id is given.
    :param deferrable: wait in the triggerer; None takes ``[happyhorse] deferrable``, which is True.
    :param timeout: seconds to wait, 3600 by default as in the generate operators (Airflow's own default is a week).
    :return: the flat result, see :class:`~airflow_provider_happyhorse.operators.video.HappyHorseGenerateVideoOperator`.
    :raises GenerationFailed: the service ended it as failed.
    :raises GenerationTimeout: deferred, and it still runs (in the other modes Airflow raises ``AirflowSensorTimeout``).
    """

    template_fields: Sequence[str] = ("generation", "happyhorse_conn_id")
    operator_extra_links = (HappyHorseVideoLink(),)
    ui_color = "#f3e8d2"

    def __init__(
        self,
        *,
        generation: str | Mapping[str, Any],
        happyhorse_conn_id: str | None = None,
        deferrable: bool | None = None,
        timeout: float = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.generation = generation
        self.happyhorse_conn_id = happyhorse_conn_id
        self.deferrable = deferrable_by_default() if deferrable is None else deferrable
        self._pause = 0.0
        if is_literal(generation):
            self._reference()

    def execute(self, context: Context) -> Any:  # noqa: RET503  deferring raises
        """Defer, or poke as the mode says."""
        if not self.deferrable:
            return super().execute(context)
        reference, hook = self._reference(), self._hook()
        known, now = self._known(reference, hook), time.time()
        self._push(context, known)
        looked = look_once(hook, reference.generation_id, known=known, log=self.log)
        if looked.event:
            return self.execute_complete(context, looked.event)
        end_time = end_of_wait(
            timeout=self.timeout, execution_timeout=self.execution_timeout, try_started=context["ti"].start_date, now=now
        )
        trigger = trigger_for(
            happyhorse_conn_id=hook.happyhorse_conn_id,
            generation_id=reference.generation_id,
            end_time=end_time,
            known=known,
            name=str(known["name"]),
            pause=looked.pause,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=backstop(end_time, now))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Finish the task with the trigger's event; sends nothing."""
        known, problem = result_of_event(event)
        self._push(context, known)
        if isinstance(problem, GenerationFailed):
            raise GenerationFailed(f"{problem}. Nothing pays again here: clear the task that submitted it to submit it anew") from problem
        if problem is not None:
            raise problem
        return public(known)

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once; a request without a usable answer says nothing about the generation, unless it is the service's own refusal."""
        reference = self._reference()
        try:
            looked = self._look(reference)
        except Rejected as error:
            raise GenerationUnreachable(f"{reference.generation_id}: the service refuses to tell ({error})") from error
        self._pause = looked.pause
        return PokeReturnValue(
            is_done=looked.event is not None, xcom_value=self.execute_complete(context, looked.event) if looked.event else None
        )

    def _look(self, reference: Reference) -> Look:
        """Ask; after a 401 once more with the connection as it is by then, as the other waits do: the key may just have been renewed."""
        hook = self._hook()
        try:
            return look_once(hook, reference.generation_id, known=self._known(reference, hook), log=self.log, refusals=True)
        except Unauthorized as error:
            self.log.info("the service refuses the API key (%s); reading the connection again", error)
        hook.get_conn().close()
        hook = self._hook()
        return look_once(hook, reference.generation_id, known=self._known(reference, hook), log=self.log, refusals=True)

    def _get_next_poke_interval(self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int) -> float:
        """Return the seconds to the next poke, in both modes: the author's interval, or longer where the service asks for it.

        Airflow's own method, the same on 2.11 to 3.3 (``BaseSensorOperator``); a reschedule raised by ``poke`` would leave out the timeout.
        """
        interval = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return max(interval, min(self._pause, self.timeout - run_duration()))

    def _reference(self) -> Reference:
        try:
            return read_reference(self.generation)
        except ValueError as problem:
            raise InvalidArguments(f"task {self.task_id!r}: {problem}") from problem

    def _hook(self) -> HappyHorseHook:
        from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook

        return HappyHorseHook(self.happyhorse_conn_id or self._reference().happyhorse_conn_id or HappyHorseHook.default_conn_name)

    def _known(self, reference: Reference, hook: HappyHorseHook) -> dict[str, Any]:
        from airflow_provider_happyhorse.hooks.settings import ConnectionMissing

        try:
            service = hook.service.name
        except ConnectionMissing as problem:
            # A secrets backend that fails for a moment looks like this too, and the video may be paid for.
            raise GenerationUnreachable(f"{reference.generation_id}: {problem}; a retry looks again") from problem
        except ValueError as problem:
            self._refuse(problem)
        unknown = new_result(name=self.task_id, kind="video", service=service, happyhorse_conn_id=hook.happyhorse_conn_id)
        return {**unknown, **reference.known, "generation_id": reference.generation_id}

    def _refuse(self, problem: ValueError) -> NoReturn:
        raise InvalidArguments(f"task {self.task_id!r}: {problem}") from problem

    def _push(self, context: Context, known: Mapping[str, Any]) -> None:
        context["ti"].xcom_push(key="generation_id", value=known["generation_id"])
        context["ti"].xcom_push(key=XCOM_KEY, value=public(known))

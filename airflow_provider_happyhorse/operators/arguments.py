"""What an author may write for a generation: the constructor of the generate operators, and what is said of mistakes at parse time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_happyhorse._compat import is_being_unmapped
from airflow_provider_happyhorse.api.table_values import is_unset
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators.clip import Asked, problems_at_parse_time, read_pay_again_on
from airflow_provider_happyhorse.operators.destination import destination_problems
from airflow_provider_happyhorse.operators.literals import is_literal
from airflow_provider_happyhorse.operators.mapped_clips import MappedClips
from airflow_provider_happyhorse.operators.waiting import deferrable_by_default, timeout_problems

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow_provider_happyhorse.api.generation import Kind


class GenerateArguments(MappedClips, BaseOperator):
    """The arguments of every generate operator; what they mean is said in ``HappyHorseGenerateVideoOperator``."""

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
        timeout: float | timedelta = 3600,
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
        # A mapped row is checked when its task runs: refused here, it would fail without its name in the grid.
        if not is_being_unmapped(self):
            self._refuse_mistakes()

    def _asked(self) -> Asked:
        return Asked(prompt=self.prompt, request=self.request, name=self.name, take=self.take, max_credits=self.max_credits)

    def _asked_at_parse_time(self) -> Asked:
        """Return the arguments as they are known in the DAG file."""
        return self._asked()

    def _problems_at_parse_time(self) -> list[str]:
        problems = problems_at_parse_time(self._asked_at_parse_time(), self.kind)
        if is_literal(self.pay_again_on):
            problems += read_pay_again_on(self.pay_again_on)[1]
        problems += timeout_problems(self.timeout)
        problems += [
            f"`{name}` must be True or False, not {value!r}"
            for name, value in (("wait_for_completion", self.wait_for_completion), ("deferrable", self.deferrable))
            if not isinstance(value, bool)
        ]
        if self.destination is not None and is_literal(self.destination) and is_unset(self.destination):
            problems.append("`destination` is empty; leave it out to publish nothing")
        elif self.destination is not None:
            problems += destination_problems(self.destination)
        if self.wait_for_completion is False and self.destination is not None:
            problems.append("`destination` needs `wait_for_completion`: there is nothing to publish before the end")
        return problems

    def _refuse_mistakes(self) -> None:
        if problems := self._problems_at_parse_time():
            name = f" [{self.grid_name}]" if self.grid_name else ""
            raise InvalidArguments(f"task {self.task_id!r}{name}: {'; '.join(problems)}. Nothing was submitted")

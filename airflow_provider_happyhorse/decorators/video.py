"""A function that says what to generate: ``@task.happyhorse_video``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    SET_DURING_EXECUTION,
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_happyhorse.api.table_values import BESIDES, without_unset
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators.clip import Asked, problems_of_fields
from airflow_provider_happyhorse.operators.video import HappyHorseGenerateVideoOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _HappyHorseVideoDecoratedOperator(DecoratedOperator, HappyHorseGenerateVideoOperator):
    """The same operator, with a function that gives the prompt, or fields laid over ``request``.

    The function is called only when something is to be submitted: it may ask a language model, which is paid for too, and may answer
    differently each time. So the request's identity is its inputs (the function's arguments and the common fields), never its output.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *HappyHorseGenerateVideoOperator.template_fields)
    template_fields_renderers = {**DecoratedOperator.template_fields_renderers, **HappyHorseGenerateVideoOperator.template_fields_renderers}
    custom_operator_name = "@task.happyhorse_video"

    def _problems_at_parse_time(self) -> list[str]:
        if self.prompt is not None:
            return ["the decorated function gives the prompt; leave `prompt` out"]
        if iscoroutinefunction(self.python_callable):
            return ["the decorated function must be a plain function, not `async def`"]
        # The function's prompt wins over one in `request`, so that is not given twice.
        return [problem for problem in super()._problems_at_parse_time() if not problem.startswith("`prompt` is given twice")]

    def _asked_at_parse_time(self) -> Asked:
        return replace(self._asked(), prompt=SET_DURING_EXECUTION)

    def _inputs(self) -> Mapping[str, Any]:
        # Which clip it is and what it may cost are no part of what is asked for.
        given = without_unset(self.request)
        request = {key: value for key, value in given.items() if key not in BESIDES} if isinstance(given, Mapping) else given
        return {"request": request, "op_args": list(self.op_args), "op_kwargs": dict(self.op_kwargs)}

    def _asked_finally(self, context: Context) -> Asked:
        # The function may ask a language model: what is wrong in any case is said before.
        if problems := problems_of_fields(self._asked(), kind=self.kind, service=self._hook().service):
            raise InvalidArguments(f"task {self.task_id!r}: {'; '.join(problems)}. Nothing was submitted")
        if self._computed is not None:
            return self._with(self._computed)
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        returned = self.python_callable(*self.op_args, **arguments)
        fields = {"prompt": returned} if isinstance(returned, str) else returned
        if not isinstance(fields, Mapping):
            why = f"the function must return the prompt or a mapping of fields, not {type(returned).__name__}"
            raise InvalidArguments(f"task {self.task_id!r}: {why}. Nothing was submitted")
        if late := sorted({"name", "take"} & set(fields)):
            why = f"{' and '.join(late)} must be arguments of the decorator: they say which clip it is before the function is called"
            raise InvalidArguments(f"task {self.task_id!r}: {why}. Nothing was submitted")
        self._computed = dict(fields)
        return self._with(fields)

    def _with(self, fields: Mapping[str, Any]) -> Asked:
        asked = self._asked()
        return Asked(
            prompt=None, request={**(asked.request or {}), **fields}, name=asked.name, take=asked.take, max_credits=asked.max_credits
        )


def happyhorse_video_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Generate the video that the decorated function describes.

    :param python_callable: returns the prompt, or a mapping of vendor fields laid over ``request``. It is called only when something is
        to be submitted, and what it returns is not rendered again.
    :param multiple_outputs: push every field of the result under its own XCom key. Not inferred from the annotation, which describes
        the request and not the result; the id is under ``generation_id`` in any case.
    :param kwargs: arguments of :class:`~airflow_provider_happyhorse.operators.video.HappyHorseGenerateVideoOperator`, without ``prompt``.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=bool(multiple_outputs),
        decorated_operator_class=_HappyHorseVideoDecoratedOperator,
        **kwargs,
    )

"""What mapped clips need around the rendering of their templates: their names in the grid, and a place of their own to be published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_happyhorse._compat import show_map_index
from airflow_provider_happyhorse.api.table_values import is_unset
from airflow_provider_happyhorse.exceptions import InvalidArguments
from airflow_provider_happyhorse.operators.literals import is_same_for_every_clip
from airflow_provider_happyhorse.operators.sibling_rows import is_the_only_row

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_happyhorse._compat import TaskLog

_TEMPLATE = "{{ task.grid_name }}"


class MappedClips:
    """Gives a mapped task instance its clip's name as map index, also while it is deferred, and refuses what all clips would share.

    ``.partial().expand()`` ignores a ``map_index_template`` set in ``__init__`` (Airflow 2.11 to 3.3), so it is set where the templates
    are rendered, which the framework lets operators override. It must never raise: the task would fail after it was paid for.
    """

    task_id: str
    name: Any
    request: Any
    map_index_template: str | None
    destination: Any
    _rendered = False
    _same_for_every_clip = False

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        if parent is self and not self._rendered:
            self._same_for_every_clip = is_same_for_every_clip(self.destination)
        if parent is not self or not self._rendered:
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)  # type: ignore[misc]  # Airflow's
        if parent is not self:
            return
        # What is rendered is data from here on. `dag.test()` of 2.11 renders a second time after a deferral: cells of a table would be
        # read as Jinja, and a clip that is paid for would fail.
        self._rendered = True
        ti = context.get("ti")
        mapped = ti is not None and ti.map_index is not None and ti.map_index >= 0
        if mapped and context.get("map_index_template") is None and self.grid_name:
            context["map_index_template"] = _TEMPLATE
            show_map_index(ti, self.grid_name)

    @property
    def grid_name(self) -> str:
        """The name the author gave this clip, ``""`` for none."""
        inside = self.request.get("name") if isinstance(self.request, Mapping) else None
        given = inside if is_unset(self.name) else self.name
        return "" if is_unset(given) else str(given)[:200]

    def check_grid_name(self, context: Context) -> None:
        """Refuse a ``map_index_template`` that cannot be rendered: Airflow 3.3 would fail the task for it after it was paid for.

        :raises InvalidArguments: nothing was submitted.
        """
        template = self.map_index_template
        if template is None or template == _TEMPLATE:
            return
        try:
            self.render_template(template, context, jinja_env=self.get_template_env())  # type: ignore[attr-defined]  # BaseOperator's
        except Exception as problem:
            why = f"map_index_template {template!r} cannot be rendered: {type(problem).__name__}: {problem}"
            raise InvalidArguments(f"task {self.task_id!r}: {why}. Nothing was submitted") from problem

    def check_names_differ(self, context: Context) -> None:
        """Refuse an exact object as the destination of mapped clips: the first would be published there, the others paid for in vain.

        :raises InvalidArguments: nothing was submitted.
        """
        log: TaskLog = self.log  # type: ignore[attr-defined]  # BaseOperator's
        if self._same_for_every_clip and is_given_to_all(context, task_id=self.task_id, destination=self.destination, log=log):
            why = f"`destination` {self.destination!r} is one object, and every mapped clip would go there; name a folder, ending in /"
            raise InvalidArguments(f"task {self.task_id!r}: {why}. Nothing was submitted")


def is_given_to_all(context: Context, *, task_id: str, destination: Any, log: TaskLog) -> bool:
    """Say whether each of several task instances of a mapped task has this exact object as its destination.

    :param destination: rendered; what was written :func:`is_same_for_every_clip`.
    """
    if context["ti"].map_index is None or context["ti"].map_index < 0 or str(destination).endswith("/"):
        return False
    dag = context.get("dag")
    written = dag.get_task(task_id) if dag is not None else None
    # An operator that is mapped itself may get a destination per clip from `.expand`; what is in `.partial` is the same for all.
    in_partial = getattr(written, "partial_kwargs", None)
    given = written is not None and (in_partial is None or "destination" in in_partial)
    return given and not is_the_only_row(context, task_id=task_id, log=log)

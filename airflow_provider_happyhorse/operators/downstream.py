"""What a task that has delivered a video tells others: the events of its assets, and OpenLineage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class TellsDownstream:
    """For operators that end with a video; what it needs is loaded only where somebody listens."""

    outlets: list[Any]
    _told: tuple[Mapping[str, Any], Mapping[str, Any] | None] | None = None

    def _tell(self, context: Context, known: Mapping[str, Any], published: Mapping[str, Any] | None) -> None:
        """Put the facts on the events of the outlets, and keep them for OpenLineage, which asks this object when the task has succeeded.

        :param known: the flat result of the generation.
        :param published: what the publish operator returns, None when this task has published nothing.
        """
        self._told = (known, published)
        if self.outlets:
            from airflow_provider_happyhorse.operators.asset_events import announce, event_facts

            announce(context, self.outlets, event_facts(known, published))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  OpenLineage gives it
        """Return the generation as input and the published objects as outputs; None without the openlineage provider (its 2.20)."""
        if self._told is None:
            return None
        from airflow_provider_happyhorse.operators.lineage import lineage_of

        return lineage_of(*self._told)

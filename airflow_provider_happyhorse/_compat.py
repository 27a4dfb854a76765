"""The only file that asks "which Airflow is this?"."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import Asset, conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from datetime import timedelta

#: ``retry_policy`` of tasks came with Airflow 3.3.
HAS_RETRY_POLICIES = AIRFLOW_V_3_3_PLUS
#: Assets that something outside Airflow changes came with Airflow 3.0.
HAS_ASSET_WATCHERS = AIRFLOW_V_3_0_PLUS


class TaskLog(Protocol):
    """``self.log`` of an operator: ``logging.Logger`` on 2.11, a structlog logger on 3.x."""

    def info(self, event: str, *args: Any) -> Any:
        """Log a line."""

    def warning(self, event: str, *args: Any) -> Any:
        """Log a warning."""

    def exception(self, event: str, *args: Any) -> Any:
        """Log an error with its traceback."""


class TaskStateStore(Protocol):
    """``context["task_state_store"]`` of Airflow 3.3 (AIP-103): per task instance, survives retries and clears."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the stored JSON value."""

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Store a JSON value."""


def task_state_store(context: Mapping[str, Any]) -> TaskStateStore | None:
    """Return the task's durable store, None before Airflow 3.3, which has nothing of the kind."""
    return context.get("task_state_store") if AIRFLOW_V_3_3_PLUS else None


def never_expire() -> timedelta:
    """Return the retention that keeps an entry for as long as its DAG run (Airflow 3.3; the default there is 30 days)."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # exported lazily, and only from 3.3 on

    retention: timedelta = NEVER_EXPIRE
    return retention


def is_being_unmapped(operator: object) -> bool:
    """Say whether an operator is built from a mapped one when its task runs, and not by an author (Airflow 2.11 to 3.3)."""
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def show_map_index(ti: Any, name: str) -> None:
    """Put a mapped task instance's name into the grid at once on Airflow 2, which renders it only when a task ends, not when it defers."""
    if not AIRFLOW_V_3_0_PLUS:
        ti.rendered_map_index = name


def state_store_forgets_success() -> bool:
    """Say whether ``[state_store] clear_on_success`` (Airflow 3.3, off by default) deletes a task's entries when it has succeeded."""
    return bool(conf.getboolean("state_store", "clear_on_success", fallback=False))


def is_asset(outlet: object) -> bool:
    """Say whether an outlet is an asset (2.11: a dataset), itself or, from Airflow 3.0 on, by its name or URI alone (``Asset.ref``)."""
    if not AIRFLOW_V_3_0_PLUS:
        return isinstance(outlet, Asset)
    from airflow.sdk.definitions.asset import AssetRef

    return isinstance(outlet, Asset | AssetRef)


def stats(*, in_triggerer: bool) -> Any:
    """Return what sends Airflow's metrics in this process: since 3.2 a task's and a server component's are set up apart.

    :param in_triggerer: this process is a triggerer.
    """
    if in_triggerer:
        with suppress(ImportError):
            from airflow.observability.stats import Stats as OfServer  # Airflow 3.2 and later

            return OfServer
    from airflow.providers.common.compat.sdk import Stats

    return Stats

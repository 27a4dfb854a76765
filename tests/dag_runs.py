"""Running a DAG on the installed Airflow without a scheduler, and reading what came of it.

``dag.test()`` runs tasks, retries, mapped tasks and triggers inline on every version. What only a scheduler and a triggerer can show is in
``tests/live``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

_BUNDLE = "testing"


@dataclass
class DagRunSeen:
    """What a run left.

    :param run: Airflow's own object.
    """

    run: Any

    @property
    def state(self) -> str:
        """State of the run."""
        return str(getattr(self.run.state, "value", self.run.state))

    def task(self, task_id: str, map_index: int = -1) -> Any:
        """Return a task instance."""
        return next(ti for ti in self.run.get_task_instances() if ti.task_id == task_id and ti.map_index == map_index)

    def states(self, task_id: str) -> list[str]:
        """Return the states of a task's instances by map index."""
        found = sorted(
            (ti.map_index, str(getattr(ti.state, "value", ti.state))) for ti in self.run.get_task_instances() if ti.task_id == task_id
        )
        return [state for _, state in found]

    def names(self, task_id: str) -> list[str]:
        """Return what the grid shows for a task's instances, by map index."""
        found = sorted((ti.map_index, str(ti.rendered_map_index)) for ti in self.run.get_task_instances() if ti.task_id == task_id)
        return [name for _, name in found]

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom's value, None when there is none."""
        from airflow.utils.session import create_session

        if not AIRFLOW_V_3_0_PLUS:
            return self.task(task_id, map_index).xcom_pull(task_ids=task_id, key=key, map_indexes=map_index)
        from airflow.models.xcom import XComModel as XComRow

        with create_session() as session:
            rows = session.query(XComRow).filter_by(
                dag_id=self.run.dag_id, run_id=self.run.run_id, task_id=task_id, key=key, map_index=map_index
            )
            row = rows.first()
            return None if row is None else XComRow.deserialize_value(row)

    def asset_events(self) -> list[tuple[str, int, dict[str, Any]]]:
        """Return asset (its name; before Airflow 3 its URI), map index and ``extra`` of every event of this run, in order."""
        from airflow.utils.session import create_session

        with create_session() as session:
            if AIRFLOW_V_3_0_PLUS:
                from airflow.models.asset import AssetEvent as Event
            else:
                from airflow.models.dataset import DatasetEvent as Event
            rows = session.query(Event).filter_by(source_dag_id=self.run.dag_id, source_run_id=self.run.run_id).order_by(Event.id)
            return [(row.asset.name if AIRFLOW_V_3_0_PLUS else row.dataset.uri, row.source_map_index, row.extra) for row in rows]


def run_dag(dag: DAG, conf: dict[str, Any] | None = None, **when: Any) -> DagRunSeen:
    """Run a DAG to its end and return what came of it; a failed task does not raise.

    :param when: `logical_date=None` for a run without a date (Airflow 3).
    """
    if AIRFLOW_V_3_0_PLUS:
        _register(dag)
    else:
        dag.sync_to_db()  # its datasets; nobody gets an event of one that is not known
    return DagRunSeen(dag.test(run_conf=conf or {}, **when))


def clear_and_run(dag: DAG, seen: DagRunSeen) -> DagRunSeen:
    """Clear all tasks of a run, as a person does in the UI, and run it to its end again.

    ``dag.test()`` would delete the run and make another one; here it is given the one that was cleared.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import clear_task_instances

    if AIRFLOW_V_3_0_PLUS:
        _register(dag)

    written = dag

    def cleared(*, dag: Any, session: Any, **_: Any) -> Any:
        run = session.get(DagRun, seen.run.id)
        tasks = run.get_task_instances(session=session)
        clear_task_instances(tasks, session, **({} if AIRFLOW_V_3_0_PLUS else {"dag": written}))
        run.dag, run.state = dag, "running"
        session.commit()
        return run

    with pytest.MonkeyPatch.context() as patched:
        if AIRFLOW_V_3_0_PLUS:
            patched.setattr("airflow.models.dagrun.get_or_create_dagrun", cleared)
        else:
            patched.setattr("airflow.models.dag._get_or_create_dagrun", cleared)
        return DagRunSeen(dag.test())


def _register(dag: Any) -> None:
    """Make the DAG known to the database, which Airflow 3 requires of a DAG that is in no file of the DAGs folder."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, _BUNDLE) is None:
            session.add(DagBundleModel(name=_BUNDLE))
            session.flush()
        try:
            from airflow.serialization.definitions.dag import SerializedDAG  # 3.2 and later
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db(_BUNDLE, None, [lazy], session=session)
        session.flush()
        SerializedDagModel.write_dag(lazy, bundle_name=_BUNDLE, session=session)

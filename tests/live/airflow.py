"""A whole Airflow 3 of one's own: database, API server, scheduler with LocalExecutor, DAG processor and triggerer, on loopback."""

import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cryptography.fernet import Fernet

from tests.live.processes import Command, Process, adopt_orphans, stop_together
from tests.live.rest import AirflowRest
from tests.live.waiting import wait_for

T = TypeVar("T")

API_SERVER = "api-server"
SCHEDULER = "scheduler"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
# The API server first: it takes longest to be ready, and the others need it.
COMPONENTS = (API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER)
# The API server reads the log files itself; the log servers of these two would listen beyond loopback.
OPTIONS = {SCHEDULER: ["--skip-serve-logs"], TRIGGERER: ["--skip-serve-logs"]}
IDLE_WORKER = "<idle>"


class LiveAirflowError(Exception):
    """Airflow does not do what it was started for; the message carries the ends of the logs."""


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LiveAirflow:
    """One Airflow, started component by component, so that a test can lose and restart each of them.

    As a context manager it starts everything, waits until it is healthy, and leaves no process behind. Start it from the main thread.

    :param home: becomes AIRFLOW_HOME; below it lie configuration, database, and per component ``processes/<name>/output.log``
    :param dags_folder: the DAG files
    :param environment: further variables (connections, ``AIRFLOW__...`` settings); they win over the ones set here
    :param parallelism: tasks that may run at the same time
    :param database_url: of an empty or earlier database such as ``postgresql+psycopg2://...``; SQLite below ``home`` without it
    :param progress: is told what is being done
    """

    def __init__(
        self,
        *,
        home: Path,
        dags_folder: Path,
        environment: Mapping[str, str] | None = None,
        parallelism: int = 4,
        database_url: str | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = home.resolve()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.rest = AirflowRest(url=self.url)
        self._progress = progress
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))},
            **self._settings(dags_folder.resolve(), parallelism, database_url or f"sqlite:///{self.home}/airflow.db?timeout=60"),
            **(environment or {}),
        }
        self._commands = {name: self._command(name, name, *OPTIONS.get(name, ())) for name in COMPONENTS}
        self._meant_to_run: set[str] = set()

    def _settings(self, dags_folder: Path, parallelism: int, database_url: str) -> dict[str, str]:
        no_proxy = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
        return {
            "AIRFLOW_HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "DO_NOT_TRACK": "true",
            "SCARF_ANALYTICS": "false",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            # Nobody serves logs here, and a question for one must not reach the log server of another Airflow.
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            # A worker that lingers after a deferral loses the race against a quick trigger (apache/airflow#66374).
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }

    def _command(self, name: str, *arguments: str) -> Command:
        return Command(
            name=f"airflow {name}",
            arguments=[sys.executable, "-m", "airflow", *arguments],
            environment=self.environment,
            folder=self.home / "processes" / name,
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, *, timeout: float = 180) -> None:
        """Make the database ready, start every component and wait until all of them are healthy.

        :param timeout: seconds for each of the two
        :raises LiveAirflowError: when one of them fails or is too slow
        """
        adopt_orphans()
        self._progress("making the database ready")
        self._migrate(timeout)
        self._progress(f"starting {', '.join(COMPONENTS)}")
        for name in COMPONENTS:
            self.start_component(name)
        self.wait_until_healthy(timeout=timeout)

    def _migrate(self, timeout: float) -> None:
        migration = self._command("db-migrate", "db", "migrate")
        migration.start()
        try:
            wait_for(
                "airflow db migrate", lambda: migration.exit_status is not None, timeout=timeout, interval=0.1, explain=migration.output
            )
        finally:
            migration.kill()
        if migration.exit_status != 0:
            raise LiveAirflowError(f"airflow db migrate ended with {migration.exit_status}\n{migration.output()}")

    def wait_until_healthy(self, *, timeout: float = 120) -> None:
        """Wait until database, scheduler, triggerer and DAG processor are healthy in the eyes of the API server.

        It goes by heartbeats, so that a component counts as healthy for up to half a minute after it was killed.
        """
        parts = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
        self.wait_for(
            "Airflow healthy", lambda: {name for name, state in self.rest.health().items() if state == "healthy"} >= parts, timeout=timeout
        )

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60) -> None:
        """Wait until Airflow knows the DAG.

        :raises LiveAirflowError: when a DAG file cannot be parsed, or in vain
        """

        def known() -> bool:
            if errors := self.rest.import_errors():
                raise LiveAirflowError("\n".join(errors))
            return self.rest.dag(dag_id) is not None

        self.wait_for(f"DAG {dag_id} known", known, timeout=timeout)

    def wait_for(self, what: str, probe: Callable[[], T | None], *, timeout: float, interval: float = 0.5) -> T:
        """Return the first answer of ``probe`` that is neither None nor False; give up when a component has ended by itself.

        :raises LiveAirflowError: with the ends of the logs, when there was none in time or a component has ended
        """

        def watched() -> T | None:
            if ended := self.ended_by_itself():
                raise LiveAirflowError(f"{what}: {', '.join(ended)} ended meanwhile\n{self.logs(*ended)}")
            return probe()

        try:
            return wait_for(what, watched, timeout=timeout, interval=interval)
        except TimeoutError as error:
            raise LiveAirflowError(f"{error}\n{self.logs()}") from error

    def ended_by_itself(self) -> list[str]:
        """Return the components that have ended though nobody has ended them."""
        return [name for name in sorted(self._meant_to_run) if self._commands[name].exit_status is not None]

    def start_second(self, name: str) -> str:
        """Start another of COMPONENTS beside the first, and return the name it is killed and stopped by."""
        second = f"{name}-2"
        self._commands[second] = self._command(second, name, *OPTIONS.get(name, ()))
        self.start_component(second)
        return second

    def start_component(self, name: str) -> None:
        """Start one of COMPONENTS, for the first time or again, or a second of them again."""
        self._commands[name].start()
        self._meant_to_run.add(name)

    def stop_component(self, name: str, *, grace: float = 20) -> None:
        """Stop one of COMPONENTS as a deployment does: SIGTERM, and after ``grace`` seconds SIGKILL."""
        self._meant_to_run.discard(name)
        self._commands[name].stop(grace=grace)

    def kill_component(self, name: str) -> None:
        """Kill one of COMPONENTS with everything below it, as the loss of its machine would."""
        self._meant_to_run.discard(name)
        self._commands[name].kill()

    def stop(self, *, grace: float = 5) -> None:
        """Stop every component and leave no process behind; harmless when nothing runs.

        :param grace: seconds between SIGTERM and SIGKILL; the triggerer alone would use more than ten to wait for nothing
        """
        self._meant_to_run.clear()
        seconds = [name for name in self._commands if name not in COMPONENTS]
        commands = [self._commands[name] for name in (SCHEDULER, TRIGGERER, *seconds, DAG_PROCESSOR, API_SERVER)]
        for command in commands:
            command.terminate()
        stop_together(commands, grace=grace)

    def processes(self, *components: str) -> list[Process]:
        """Return the live processes of the components named, of all of them without a name."""
        return [process for name in components or COMPONENTS for process in self._commands[name].processes()]

    def workers(self) -> list[Process]:
        """Return the worker processes of LocalExecutor, which live as long as the scheduler."""
        return [process for process in self.processes(SCHEDULER) if "LocalExecutor" in process.title]

    def busy_workers(self) -> list[Process]:
        """Return the processes that hold a worker slot: workers that are not idle, and task processes below them."""
        processes = self.processes(SCHEDULER)
        workers = {process.pid: process for process in self.workers()}
        tasks = [process for process in processes if process.parent in workers and process.pid not in workers]
        return [worker for worker in workers.values() if IDLE_WORKER not in worker.title] + tasks

    def logs(self, *components: str, lines: int = 20) -> str:
        """Return the last lines that the components named have printed."""
        return "\n".join(f"---- {name}\n{self._commands[name].output(lines=lines)}" for name in components or COMPONENTS)

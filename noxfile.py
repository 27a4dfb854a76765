"""The test suite on the older Airflow versions, `nox -s tests-2.11`; `chaos`, `lineage`, `mutations`, `publishing_storm`, and more."""

import subprocess
import sys
from pathlib import Path

import nox

# Airflow version -> its dependency group in uv.lock and the Python versions it supports among ours, the preferred one first.
AIRFLOWS = {
    "2.11": ("af211", ("3.11", "3.12")),
    "3.1": ("af31", ("3.12", "3.11", "3.13")),
}

UV = str(Path(sys.executable).with_name("uv"))

nox.needs_version = ">=2025.5"


def installed_python(session: nox.Session, airflow: str) -> str:
    _, versions = AIRFLOWS[airflow]
    for version in versions:
        find = [UV, "python", "find", "--no-project", "--no-python-downloads", version]
        found = subprocess.run(find, capture_output=True, text=True, check=False)  # noqa: S603
        if found.returncode == 0:
            return found.stdout.strip()
    return session.error(f"Airflow {airflow} is tested on Python {' or '.join(versions)}, and none of them is installed.")


def tests_on(airflow: str) -> None:
    # uv makes the environment itself, exactly from the lock file; nox's own installation steps would resolve again.
    @nox.session(name=f"tests-{airflow}", venv_backend="none")
    def tests(session: nox.Session) -> None:
        """Run the test suite on this Airflow."""
        group, _ = AIRFLOWS[airflow]
        home = Path(".nox", f"tests-{airflow}").absolute()
        session.env.update(UV_PYTHON_DOWNLOADS="never", UV_PROJECT_ENVIRONMENT=str(home), UV_PYTHON=None, VIRTUAL_ENV=None)
        python = installed_python(session, airflow)
        session.run(UV, "sync", "--frozen", "--quiet", "--python", python, "--extra", "emulator", "--group", "test", "--group", group)
        session.run(
            str(home / "bin" / "python"),
            "-m",
            "pytest",
            "-n",
            "4",
            "--dist",
            "loadfile",
            "-m",
            "not live and not chaos and not thorough",
            *session.posargs,
        )


for airflow_version in AIRFLOWS:
    tests_on(airflow_version)


@nox.session(venv_backend="none", default=False)
def lineage(session: nox.Session) -> None:
    """Run a task under the openlineage provider and read what it emits."""
    home = Path(".nox", "lineage").absolute()
    session.env.update(UV_PYTHON_DOWNLOADS="never", UV_PROJECT_ENVIRONMENT=str(home), UV_PYTHON=None, VIRTUAL_ENV=None)
    groups = [argument for group in ("test", "af33", "lineage") for argument in ("--group", group)]
    session.run(UV, "sync", "--frozen", "--quiet", "--extra", "emulator", *groups)
    session.run(str(home / "bin" / "python"), "-m", "pytest", "tests/test_lineage.py", *session.posargs)


# Not among the default sessions. The environment is the one that holds nox, where Airflow 3.3 is.
@nox.session(venv_backend="none", default=False)
def chaos(session: nox.Session) -> None:
    """Kill and starve every part of a whole Airflow: `nox -s chaos -- --seed 7 --rounds 3`, or `-- --chaos=short`."""
    form = () if any(argument.startswith("--chaos=") for argument in session.posargs) else ("--chaos=long",)
    session.run(sys.executable, "-m", "pytest", "-m", "chaos", "tests/chaos", *form, *session.posargs)


@nox.session(venv_backend="none", default=False)
def publishing_storm(session: nox.Session) -> None:
    """Publish hundreds of results under faults and kills: `nox -s publishing_storm -- --files 500 --seed 7`."""
    session.run(sys.executable, "-m", "tests.publishing_storm", *session.posargs)


@nox.session(venv_backend="none", default=False)
def mutations(session: nox.Session) -> None:
    """Take each line away that keeps the ledger's order, and show that its test fails: `nox -s mutations`, `-- intent` for some."""
    session.run(sys.executable, "-m", "tests.mutations", *session.posargs)


@nox.session(venv_backend="none", default=False)
def repair(session: nox.Session) -> None:
    """Insert a row on top of 300 clips, fix another, clear them, and count what is paid: `nox -s repair -- --clips 300`."""
    session.run(sys.executable, "-m", "tests.repair", *session.posargs)


@nox.session(venv_backend="none", default=False)
def bench(session: nox.Session) -> None:
    """All figures of docs/performance.md (two hours): `nox -s bench`, or one of them, `-- waiting 10 100`, `-- cost 1000 300`."""
    every = ["waiting", "10", "100", "1000"], ["cost", "1000", "300"], ["shared_key", "30"], ["wait_lag"]
    for benchmark, *arguments in [session.posargs] if session.posargs else every:
        session.run(sys.executable, "-m", f"tests.benchmarks.{benchmark}", *arguments)

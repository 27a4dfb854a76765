"""``pytest -m chaos tests/chaos --chaos=short``, or ``--chaos=long --seed N --rounds N``."""

from __future__ import annotations

import os
import random
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.suite import chosen
from tests.chaos.verdict import Row, markdown

LEDGERS = {"state": "Airflow's task state store", "path": "a ledger_path", "both": "Airflow's task state store and a ledger_path"}
FOLDER = Path(__file__).resolve().parents[2] / ".chaos"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos", choices=("short", "long"), default="short", help="the scenarios that continuous integration plays, or all")
    group.addoption("--seed", type=int, default=None, help="of the long form's order and storms; printed, random unless given")
    group.addoption("--rounds", type=int, default=1, help="how often the long form plays everything")
    group.addoption(
        "--chaos-ledger",
        choices=("state", "path", "both"),
        default="",
        help="Airflow's task state store (the short form), a ledger_path, or everything with either (the long form)",
    )
    group.addoption("--chaos-patience", type=float, default=1, help="how many times slower than a quiet machine this one is, such as 3")
    group.addoption("--chaos-sqlite", action="store_true", help="SQLite although PostgreSQL answers")
    group.addoption("--chaos-only", default="", help="only scenarios whose title contains one of these texts, separated by |")


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "seed", None) is None:
        config.option.seed = random.randrange(10_000)


def _ledger(config: pytest.Config) -> str:
    form = config.getoption("--chaos", "short")
    return str(config.getoption("--chaos-ledger", "")) or ("both" if form == "long" else "state")


def _scenarios(config: pytest.Config) -> list:  # type: ignore[type-arg]
    form, rounds = config.getoption("--chaos", "short"), config.getoption("--rounds", 1)
    only = [text for text in config.getoption("--chaos-only", "").split("|") if text]
    found = chosen(form, ledger=_ledger(config), seed=config.option.seed, rounds=rounds)
    return [one for one in found if not only or any(text in one.title for text in only)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        found = _scenarios(metafunc.config)
        log = "log" in metafunc.function.__name__
        reasons = [one.untold if log else one.defect for one in found]
        # A storm may or may not meet it.
        marks = [
            pytest.mark.xfail(reason=reason, strict=not one.acts_are_chances) if reason else ()
            for one, reason in zip(found, reasons, strict=True)
        ]
        metafunc.parametrize("scenario", [pytest.param(one, id=one.title, marks=mark) for one, mark in zip(found, marks, strict=True)])


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> dict[str, Row]:
    """Play everything once, and print and write the table."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    begin = time.monotonic()
    config = request.config
    # Not pytest's own temporary folder: the logs of a failure must outlive the next three runs of any test.
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"{time.monotonic() - begin:6.1f} s  {text}", flush=True)

    form = config.getoption("--chaos")
    say(f"chaos, {form} form, seed {config.option.seed}, rounds {config.getoption('--rounds')}; evidence in {folder}")
    with Stage(
        folder=folder,
        scenarios=_scenarios(config),
        say=say,
        postgresql=not config.getoption("--chaos-sqlite"),
        patience=config.getoption("--chaos-patience"),
    ) as stage:
        played = stage.play()
    table = markdown(played)
    FOLDER.mkdir(exist_ok=True)
    played_on = f"Airflow {version('apache-airflow')} on {stage.database}, ledger: {LEDGERS[_ledger(config)]}"
    title = f"Chaos, {form} form, seed {config.option.seed}, {played_on}, {time.monotonic() - begin:.0f} s"
    (FOLDER / f"{form}.md").write_text(f"{title}\n\n{table}")
    say(f"\n{title}\n\n{table}")
    return {row.scenario: row for row in played}


@pytest.fixture(scope="session", autouse=True)
def _no_proxies() -> None:
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]

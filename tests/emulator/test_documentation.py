from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_happyhorse.emulator.__main__ import _parser
from airflow_provider_happyhorse.emulator.faults import describe_catalogue
from airflow_provider_happyhorse.emulator.settings import DEFAULT_ACCOUNTS
from tests.emulator.conftest import Client
from tests.emulator_process import EmulatorProcess

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()


def test_the_page_lists_every_fault_with_its_options() -> None:
    rows = {found[1]: found[2] for found in re.finditer(r"^\| `(\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)}
    for one in describe_catalogue():
        assert one["fault"] in rows, f"{one['fault']} is not on the page"
        for option in one["options"]:
            assert f"`{option}`" in rows[one["fault"]], f"option {option} of {one['fault']} is not on the page"


def test_the_page_lists_every_option_and_account() -> None:
    for option in _parser().format_help().split():
        name = option.strip("[],")
        assert not name.startswith("--") or name == "--help" or f"`{name}`" in PAGE, f"{name} is not on the page"
    for account in DEFAULT_ACCOUNTS:
        assert f"`{account.key}`" in PAGE


def test_the_page_lists_every_control_endpoint(emulator: EmulatorProcess, horse_ai: Client) -> None:
    for path, methods in horse_ai.download(f"{emulator.url}/openapi.json").json()["paths"].items():
        for method in methods:
            assert not path.startswith("/_emulator") or f"`{method.upper()} {path}`" in PAGE, f"{method} {path} is not on the page"

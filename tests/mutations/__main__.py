"""Take each line of the ledger's order away, and show that its test fails: ``nox -s mutations``, ``python -m tests.mutations [words]``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tests.mutations.lines import LINES, Line

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_happyhorse"


def passes(tree: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Run tests in a tree; true when all passed, and the last words."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    words = (ended.stdout or ended.stderr).strip().splitlines()[-1:]
    if ended.returncode not in (0, 1):
        raise SystemExit(f"pytest could not run {tests}:\n{ended.stdout}\n{ended.stderr}")
    return ended.returncode == 0, "".join(words)


def without(source: str, line: Line) -> str:
    """Return the source without a line."""
    place = source.index(line.text)
    indent = " " * (place - source.rindex("\n", 0, place) - 1)
    return source.replace(line.text, textwrap.indent(line.instead, indent).strip())


def main(words: Sequence[str]) -> int:
    """Return 0 when every removal is noticed."""
    chosen = [line for line in LINES if not words or any(word in f"{line.keeps} {line.file} {line.test}" for word in words)]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="happyhorse-mutations-") as folder:
        tree = Path(folder)
        for name in (PACKAGE, "tests", "example_dags", "docs"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        fine, said = passes(tree, sorted({line.test for line in chosen}))
        if not fine:
            print(f"the tests do not pass as it is: {said}")
            return 1
        print("| without the line by which | in | fails | verdict |\n|---|---|---|---|")
        for line in chosen:
            path = tree / PACKAGE / line.file
            source = path.read_text()
            path.write_text(without(source, line))
            noticed = not passes(tree, [line.test])[0]
            path.write_text(source)
            survived += not noticed
            print(
                f"| {line.keeps} | `{line.file}` | `{line.test.rpartition('::')[2]}` | {'noticed' if noticed else 'SURVIVED'} |", flush=True
            )
    print(f"\n{len(chosen) - survived} of {len(chosen)} noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

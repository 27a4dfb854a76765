"""The table of the ledger's lines fits the code: each line is there, and so is the test that is named. No more is seen here.

That each test fails without its line, which is the point, `nox -s mutations` shows: it takes minutes, and continuous integration leaves it
out.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutations.__main__ import PACKAGE, ROOT, without
from tests.mutations.lines import LINES, Line


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.keeps)
def test_each_line_is_there_once_and_can_be_taken_away(line: Line) -> None:
    source = (ROOT / PACKAGE / line.file).read_text()
    assert source.count(line.text) == 1
    changed = without(source, line)
    assert changed != source
    ast.parse(changed)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.keeps)
def test_each_named_test_is_there(line: Line) -> None:
    file, *names = line.test.split("[")[0].split("::")
    body: list[ast.stmt] = ast.parse(Path(ROOT, file).read_text()).body
    for name in names:
        found = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name]
        assert found, f"{file} has no {name}"
        body = found[0].body

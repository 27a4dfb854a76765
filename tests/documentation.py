"""Reading the documentation's pages: sections, tables, code blocks."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "docs").glob("*.md"))}
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
EXAMPLES_PAGE = (REPOSITORY / "example_dags" / "README.md").read_text(encoding="utf-8")
EVERYTHING = {"README.md": README, "example_dags/README.md": EXAMPLES_PAGE, **{f"docs/{name}": text for name, text in PAGES.items()}}


def section(page: str, heading: str) -> str:
    """Return a section's text, up to the next heading of its level or above."""
    level = heading.split(" ")[0]
    begin = page.index(f"\n{heading}\n") + len(heading) + 2
    end = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(page, begin)
    return page[begin : end.start() if end else None]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell begins with a code word."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def table(text: str) -> dict[str, list[str]]:
    """Return the rows by each code word of their first cell."""
    return {word: row for row in rows(text) for word in words(row[0])}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return every table as rows, of which each has its cells by the heading of their column."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        heads, _, *cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines.splitlines()]
        found.append([dict(zip(heads, row, strict=True)) for row in cells])
    return found

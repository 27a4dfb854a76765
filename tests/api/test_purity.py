"""Which way imports run, read from the source and from a fresh interpreter."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import airflow_provider_happyhorse

OURS = "airflow_provider_happyhorse"
ROOT = Path(airflow_provider_happyhorse.__file__).parent
PURE = ("api", "polling")
#: Modules that open connections, or exist to.
CONNECTING = ("airflow", "requests", "aiohttp", "urllib3", "httpx", "fsspec", "boto3", "ssl", "asyncio", "http.client", "urllib.request")
#: What a pure module may not ask for: clock, chance, files, sockets, threads, the environment.
IMPURE = {
    "time",
    "random",
    "secrets",
    "os",
    "io",
    "pathlib",
    "tempfile",
    "shutil",
    "socket",
    "threading",
    "subprocess",
    "logging",
    *CONNECTING,
}
#: Folder or module below the package -> what of ours it may import. What is not named is of the layer of hooks.
ARROWS: dict[str, set[str]] = {
    "__init__": set(),
    "api": {"api"},
    "polling": {"polling", "api"},
    "transports": {"transports", "api", "__init__"},
    "mp4": {"mp4", "not_media"},
    "media": {"media", "mp4", "not_media"},
    "not_media": set(),
    "emulator": {"emulator", "__init__"},
    "provider_info": {"__init__"},
    "_compat": {"__init__"},
}
ABOVE_HOOKS = {"operators", "sensors", "triggers", "decorators", "plugins", "links", "retry_policy"}
AUTHOR_FACING = ("operators", "sensors", "triggers", "decorators")
HEAVY = {"requests", "aiohttp", "urllib3", "fsspec", "s3fs", "gcsfs", "adlfs", "boto3", "botocore", "google", "azure", "upath"}


def modules(folder: str) -> list[str]:
    return sorted(
        ".".join((OURS, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in (ROOT / folder).rglob("*.py")
        if (ROOT / folder).is_dir()
    )


def sources() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)


def owner(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(nodes: Iterable[ast.AST], package: str = OURS) -> set[str]:
    """Return the absolute dotted names imported by these nodes.

    :param package: where the module lives, for relative imports.
    """
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            names |= {".".join(filter(None, [*base, node.module, alias.name])) for alias in node.names}
    return names


def imports_of(path: Path, *, when_imported: bool = False) -> set[str]:
    """Return what a module of ours imports, anywhere or only while it is imported itself."""
    tree = ast.parse(path.read_text())
    package = ".".join((OURS, *path.relative_to(ROOT).parent.parts))
    return imported(at_module_level(tree) if when_imported else ast.walk(tree), package)


def at_module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what runs when the module is imported: not function bodies, not ``if TYPE_CHECKING``."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def our_parts(names: set[str]) -> set[str]:
    below = {name.removeprefix(f"{OURS}.").split(".")[0] for name in names if name.startswith(f"{OURS}.")}
    known = {owner(path) for path in sources()}
    # `from airflow_provider_happyhorse import __version__` imports a name, not a module.
    return {part if part in known else "__init__" for part in below} | ({"__init__"} if OURS in names else set())


def test_importing_the_pure_packages_loads_nothing_that_connects() -> None:
    names = [name for folder in PURE for name in modules(folder)]
    assert f"{OURS}.api.happy_horse_ai" in names
    program = f"import importlib, json, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent, timeout=60)
    loaded = set(json.loads(ran.stdout))
    assert set(names) <= loaded
    assert {name for name in loaded if name.startswith(CONNECTING) and (name in CONNECTING or name.split(".")[0] in CONNECTING)} == set()


@pytest.mark.parametrize("path", [path for path in sources() if owner(path) in PURE], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_module_asks_for_no_clock_chance_file_or_socket(path: Path) -> None:
    names = imports_of(path)
    assert {name for name in names if any(name == bad or name.startswith(f"{bad}.") for bad in IMPURE)} == set()
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert {name for name in called if name in ("open", "print", "input") or name.endswith((".now", ".utcnow", ".today"))} == set()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_between_packages_run_one_way(path: Path) -> None:
    used = our_parts(imports_of(path)) - {owner(path)}
    if owner(path) in ARROWS:
        assert used - ARROWS[owner(path)] == set()
    elif owner(path) in ABOVE_HOOKS:
        assert "emulator" not in used
    else:
        assert used & ({"emulator"} | ABOVE_HOOKS - {"links"}) == set()


def airflow_version_questions(tree: ast.Module) -> set[str]:
    """Return the expressions and imports that ask which Airflow this is."""
    asked = {
        name
        for name in imported(ast.walk(tree))
        if name in ("airflow.__version__", "airflow.version", "packaging.version")
        or name.startswith(("airflow.version.", "packaging.version."))
        or ".version_compat" in name
        or "AIRFLOW_V_" in name
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and ast.unparse(node).split(".")[-1].startswith("AIRFLOW_V_"):
            asked.add(ast.unparse(node))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "airflow.__version__":
            asked.add("airflow.__version__")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("version"):
            asked |= {"version('apache-airflow')" for argument in node.args if "apache-airflow" in ast.unparse(argument)}
    return asked


@pytest.mark.parametrize(
    "source",
    [
        "from airflow import __version__",
        "import airflow\nif airflow.__version__ >= '3': pass",
        "from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS",
        "from importlib import metadata\nmetadata.version('apache-airflow')",
        "from packaging.version import Version",
    ],
)
def test_a_question_for_the_airflow_version_is_found(source: str) -> None:
    assert airflow_version_questions(ast.parse(source))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_compat_asks_which_airflow_this_is(path: Path) -> None:
    assert path.name == "_compat.py" or airflow_version_questions(ast.parse(path.read_text())) == set()


@pytest.mark.parametrize("path", [path for path in sources() if owner(path) in AUTHOR_FACING], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_dag_file_imports_loads_no_http_or_storage_library(path: Path) -> None:
    names = imports_of(path, when_imported=True)
    assert {name for name in names if name.split(".")[0] in HEAVY} == set()
    # What a module imports of ours runs too.
    assert our_parts(names) & {"transports"} == set()


def test_relative_imports_are_followed() -> None:
    relative = ast.parse("from . import a\nfrom .b import c\nfrom ..d import e\nfrom .. import f")
    assert imported(ast.walk(relative), "p.q") == {"p.q.a", "p.q.b.c", "p.d.e", "p.f"}


def test_imports_inside_functions_and_for_type_checkers_do_not_run_at_import() -> None:
    tree = ast.parse("import a\nif TYPE_CHECKING:\n    import b\nelse:\n    import c\ndef f():\n    import d\nclass C:\n    import e")
    assert imported(at_module_level(tree)) == {"a", "c", "e"}

"""Sphinx configuration; the build needs no network and does not import the package."""

import re
from pathlib import Path

_package = Path(__file__).resolve().parents[1] / "airflow_provider_happyhorse" / "__init__.py"
_version = re.search(r'^__version__ = "([^"]+)"', _package.read_text(encoding="utf-8"), re.MULTILINE)
if _version is None:
    raise ValueError(f"{_package} has no __version__")

project = "airflow-provider-happyhorse"
author = "the authors of airflow-provider-happyhorse"
copyright = f"2026, {author}"
release = version = _version[1]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

html_theme = "furo"
html_title = f"airflow-provider-happyhorse {release}"
html_show_sourcelink = False

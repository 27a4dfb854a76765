"""What can be said of a destination before anything is paid: in the DAG file, from its text alone."""

from __future__ import annotations

from typing import Any

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.operators.literals import is_literal


def destination_problems(destination: Any) -> list[str]:
    """Return why a destination can never work, as far as its text tells; the storage is not touched, and placeholders say nothing."""
    if not is_literal(destination) and not hasattr(type(destination), "joinpath"):  # a path is no placeholder
        return []
    from airflow_provider_happyhorse.storage.destinations import locate  # a DAG file without destinations does not load it

    try:
        locate(destination)
    except PublishRefused as problem:
        return [f"`destination`: {str(problem).rstrip('.')}"]
    return []

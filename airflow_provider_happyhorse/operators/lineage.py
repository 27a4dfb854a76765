"""Published videos as OpenLineage datasets, named as its naming specification says (https://openlineage.io/docs/spec/naming)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def lineage_of(known: Mapping[str, Any], published: Mapping[str, Any] | None) -> Any:
    """Return ``OperatorLineage``: the generation at the service became the published objects. None without the openlineage provider.

    :param known: the flat result of the generation.
    :param published: what the publish operator returns, None when nothing was published.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage  # type: ignore[import-not-found]  # optional
    except ImportError:
        return None
    from airflow.providers.common.compat.openlineage.facet import Dataset

    service = (published or known).get("service")
    inputs = [Dataset(namespace=f"https://{service}", name=str(known["generation_id"]))] if service else []
    outputs = [Dataset(namespace=namespace, name=name) for namespace, name in map(dataset_of, (published or {}).get("uris") or ())]
    return OperatorLineage(inputs=inputs, outputs=outputs)


def dataset_of(uri: str) -> tuple[str, str]:
    """Return namespace and name of an object: ``file`` and its path, ``s3://bucket`` and its key; a connection id is no part of either."""
    parts = urlsplit(uri, allow_fragments=False)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path  # in a path, a question mark is a letter like others
    if parts.scheme in ("", "file"):
        return "file", path
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", path.lstrip("/")

"""Published videos as OpenLineage datasets, named as its naming specification says (https://openlineage.io/docs/spec/naming)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def lineage_of(known: Mapping[str, Any], published: Mapping[str, Any] | None) -> Any:
    """Return ``OperatorLineage``: the generation at the service became the published objects. None without the openlineage provider.

    The first object has facets (https://openlineage.io/docs/spec/facets): ``version`` is its SHA-256, ``documentation`` one sentence, and,
    where this task has written it, ``outputStatistics`` its bytes and that it is one file. Of the others the sidecar tells.

    :param known: the flat result of the generation.
    :param published: what the publish operator returns, None when nothing was published.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage  # type: ignore[import-not-found]  # optional
    except ImportError:
        return None
    from airflow.providers.common.compat.openlineage.facet import Dataset, OutputDataset

    service = (published or known).get("service")
    inputs = [Dataset(namespace=f"https://{service}", name=str(known["generation_id"]))] if service else []
    outputs = [OutputDataset(namespace=namespace, name=name) for namespace, name in map(dataset_of, (published or {}).get("uris") or ())]
    if published and outputs:
        outputs[0].facets, outputs[0].outputFacets = _facets({**published, "generation_id": known["generation_id"]})
    return OperatorLineage(inputs=inputs, outputs=outputs)


def _facets(published: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facets of the first object: as a dataset, and as an output of this run."""
    from airflow.providers.common.compat.openlineage.facet import DocumentationDatasetFacet, OutputStatisticsOutputDatasetFacet
    from openlineage.client.facet_v2 import dataset_version_dataset  # type: ignore[import-not-found]  # comes with the provider

    what = f"AI-generated {published.get('kind') or 'video'} {published.get('name') or ''}".rstrip()
    told = f"{what}, generation {published['generation_id']} of {published['service']}; its story is in {published['sidecar_uri']}"
    facets = {
        "documentation": DocumentationDatasetFacet(description=told),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=published["sha256"]),
    }
    if published["already_there"]:
        return facets, {}
    return facets, {"outputStatistics": OutputStatisticsOutputDatasetFacet(size=published["bytes"], fileCount=1)}


def dataset_of(uri: str) -> tuple[str, str]:
    """Return namespace and name of an object: ``file`` and its path, ``s3://bucket`` and its key; a connection id is no part of either."""
    parts = urlsplit(uri, allow_fragments=False)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path  # in a path, a question mark is a letter like others
    if parts.scheme in ("", "file"):
        return "file", path
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", path.lstrip("/")

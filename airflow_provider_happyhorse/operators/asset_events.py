"""What asset events say of a video: the facts of its sidecar, as ``extra``, on the outlets that the author has declared.

Airflow emits an event per outlet when a task succeeds, whatever the operator does; this only says what it is about. It must be called in
the process that ends the task: what is set before a deferral is lost (seen on Airflow 3.3).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_happyhorse._compat import is_asset
from airflow_provider_happyhorse.results import fitted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

#: Of the generation's result.
_OF_GENERATION = (
    "generation_id",
    "name",
    "service",
    "kind",
    "model",
    "duration",
    "aspect_ratio",
    "credits",
    "credits_estimated",
    "submitted_at",
    "completed_at",
)
#: Of what was published, None where nothing was.
_OF_FILE = ("uri", "sidecar_uri", "bytes", "sha256", "content_type", "seconds", "width", "height", "published_at", "already_there")


def event_facts(known: Mapping[str, Any], published: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the ``extra`` of an asset event: flat, below 2 KB, without prompt, signed URL or anything that a log would mask.

    :param known: the flat result of the generation.
    :param published: what the publish operator returns, None when this task has published nothing.
    """
    files = published or {}
    told = {**known, **{key: value for key, value in files.items() if value is not None}}
    facts = {key: told.get(key) for key in _OF_GENERATION} | {key: files.get(key) for key in _OF_FILE}
    # Airflow 2.11 hashes the values of an alias's event.
    flat = {key: value if value is None or isinstance(value, str | int | float) else str(value) for key, value in facts.items()}
    return fitted({**flat, "ai_generated": True})


def announce(context: Context, outlets: Iterable[Any], facts: Mapping[str, Any]) -> None:
    """Put the facts on the events of a task's outlets.

    :param outlets: as the author declared them; what is no asset is left alone. An ``AssetAlias`` gets the published object as an asset of
        its own, whose name is its URI, and nothing where nothing was published or Airflow takes no asset of that name.
    """
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            if facts["uri"]:
                try:
                    asset = Asset(uri=asset_uri(facts["uri"]))
                except ValueError as problem:
                    # Airflow's assets are shorter than some paths, and the video is paid for and published.
                    log.warning("%s: no event for %s: %s", facts["name"], outlet.name, problem)
                    continue
                context["outlet_events"][outlet].add(asset, extra=dict(facts))
        elif is_asset(outlet):
            context["outlet_events"][outlet].extra.update(facts)


def asset_uri(uri: str) -> str:
    """Return an object's URI as Airflow takes it for an asset: ASCII only, and without the connection id that may stand before a bucket."""
    parts = urlsplit(quote(uri, safe="/:@!$&'()*+,;=-._~%"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

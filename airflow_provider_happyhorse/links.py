"""The link from a task instance to its video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_happyhorse.results import XCOM_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class HappyHorseVideoLink(BaseOperatorLink):
    """Opens the result where a browser can: the published object if it has a web address, else the service's URL while that lasts.

    There is no link before the end: neither service documents a page of a running generation.
    """

    name = "Video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  Airflow's signature
        """Return the address, ``""`` while there is none."""
        result = XCom.get_value(key=XCOM_KEY, ti_key=ti_key)
        if not isinstance(result, Mapping):
            return ""
        addresses = [result.get("uri"), *(result.get("result_urls") or [])]
        return next((str(address) for address in addresses if str(address or "").startswith(("https://", "http://"))), "")

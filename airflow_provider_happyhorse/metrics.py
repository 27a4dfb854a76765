"""What Airflow's metrics say of us. Where metrics are off they cost nothing, and a metric that cannot be sent fails nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow_provider_happyhorse._compat import stats
from airflow_provider_happyhorse.api.errors import RateLimited, ServiceError

log = logging.getLogger(__name__)


class Metrics:
    """The metrics of one service; all carry the tag ``service``.

    :param service: its name.
    :param in_triggerer: this process is a triggerer, whose metrics Airflow 3.2 and later send from another place than a task's.
    """

    def __init__(self, service: str, *, in_triggerer: bool = False) -> None:
        self._tags = {"service": service}
        self._in_triggerer = in_triggerer

    def submitted(self, credits_estimated: int | None) -> None:
        """Count a submission that was accepted, and the credits it is estimated at."""
        self._tell(lambda to: to.incr("happyhorse.submissions", 1, tags=self._tags))
        if credits_estimated:
            self._tell(lambda to: to.incr("happyhorse.credits", credits_estimated, tags=self._tags))

    def asked(self, error: ServiceError | None) -> None:
        """Count a question about a generation (or for a page of the list), and how it ended badly."""
        self._tell(lambda to: to.incr("happyhorse.polls", 1, tags=self._tags))
        if isinstance(error, RateLimited):
            self._tell(lambda to: to.incr("happyhorse.too_many_requests", 1, tags=self._tags))
        elif error is not None:
            self._tell(lambda to: to.incr("happyhorse.polls_unanswered", 1, tags=self._tags))

    def waiting(self, conn_id: str, number: int) -> None:
        """Say how many triggers of this process wait with a connection."""
        self._tell(lambda to: to.gauge("happyhorse.waiting", number, tags={**self._tags, "conn_id": conn_id}))

    def noticed(self, lag: float) -> None:
        """Say for how many seconds an ending is estimated to have gone unnoticed."""
        self._tell(lambda to: to.timing("happyhorse.detection_lag", timedelta(seconds=lag), tags=self._tags))

    def _tell(self, what: Callable[[Any], object]) -> None:
        try:
            what(stats(in_triggerer=self._in_triggerer))
        except Exception:
            log.debug("a metric could not be sent", exc_info=True)

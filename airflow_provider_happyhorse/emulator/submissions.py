"""Turn a request that has passed its service's rules into a paid job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .accounts import Account
from .directives import directives_in
from .jobs import Job, Jobs
from .pictures import Picture
from .settings import Settings
from .wire_formats import ServiceName


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be generated and what it costs.

    :param id: the id the service gives it
    :param type: ``text-to-video``, ``image-to-video`` or ``image``
    :param request: the fields as sent
    :param settings: the fields with defaults filled in
    """

    id: str
    service: ServiceName
    type: str
    request: dict[str, Any]
    settings: dict[str, Any]
    picture: Picture
    price: int
    needs_paid_access: bool = False


@dataclass(frozen=True, kw_only=True)
class Submissions:
    """The counter at which credits are taken.

    :param clock: returns the Unix time in seconds
    """

    jobs: Jobs
    settings: Settings
    clock: Callable[[], float]

    def submit(self, account: Account, order: Order) -> Job:
        """Charge the account and start the job.

        :raises Refusal: for an unknown directive, missing paid access or too few credits; nothing is charged then
        """
        directives = directives_in("\n".join(shot.prompt for shot in order.picture.shots))
        account.charge(order.price, needs_paid_access=order.needs_paid_access)
        seconds = self.settings.render_seconds if directives.render_seconds is None else directives.render_seconds
        return self.start(account, order, created_at=self.clock(), render_seconds=seconds, failure=directives.failure)

    def start(self, account: Account, order: Order, *, created_at: float, render_seconds: float, failure: str | None) -> Job:
        """Start a job without charging for it."""
        job = Job(
            id=order.id,
            sequence=self.jobs.next_sequence(),
            service=order.service,
            key=account.key,
            type=order.type,
            request=order.request,
            settings=order.settings,
            picture=order.picture,
            credits=order.price,
            created_at=created_at,
            ends_at=created_at + render_seconds / self.settings.time_scale,
            failure=failure,
        )
        self.jobs.add(job)
        return job

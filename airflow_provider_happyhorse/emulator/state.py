"""Everything one emulator knows, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .accounts import Accounts
from .faults import Faults
from .jobs import Jobs
from .limits import RateLimits
from .media import Media
from .request_log import RequestLog
from .settings import Settings
from .submissions import Submissions


@dataclass(frozen=True, kw_only=True)
class EmulatorState:
    """The parts that endpoints share.

    :param clock: returns the Unix time in seconds
    """

    settings: Settings
    clock: Callable[[], float]
    accounts: Accounts
    limits: RateLimits
    jobs: Jobs
    media: Media
    faults: Faults
    log: RequestLog
    submissions: Submissions

    @classmethod
    def start(cls, settings: Settings, *, clock: Callable[[], float] = time.time) -> EmulatorState:
        """Begin with full accounts and nothing submitted."""
        jobs = Jobs(clock=clock)
        return cls(
            settings=settings,
            clock=clock,
            accounts=Accounts(settings.accounts),
            limits=RateLimits(settings),
            jobs=jobs,
            media=Media(),
            faults=Faults(),
            log=RequestLog(),
            submissions=Submissions(jobs=jobs, settings=settings, clock=clock),
        )

    def reset(self) -> None:
        """Return to the start: jobs, credits, rate limits, faults, uploads and the request log."""
        self.accounts.reset()
        self.limits.reset()
        self.jobs.reset()
        self.media.reset()
        self.faults.clear()
        self.log.reset()

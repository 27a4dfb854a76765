"""Generations in flight. A job is a value; its state is a function of the time, as nothing but time moves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from .pictures import Picture
from .wire_formats import ServiceName

JobState = Literal["in_progress", "succeeded", "failed"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One paid generation.

    :param sequence: place in the order of submission, from 1
    :param key: the API key it belongs to
    :param type: ``text-to-video``, ``image-to-video`` or ``image``
    :param request: the fields as the client sent them
    :param settings: the fields with the vendor's defaults filled in
    :param picture: what its file will show
    :param credits: what it cost at submission
    :param created_at: Unix time of the submission
    :param ends_at: Unix time at which it is no longer in progress
    :param failure: the reason it ends with, None when it succeeds
    """

    id: str
    sequence: int
    service: ServiceName
    key: str
    type: str
    request: dict[str, Any]
    settings: dict[str, Any]
    picture: Picture
    credits: int
    created_at: float
    ends_at: float
    failure: str | None

    def state(self, *, at: float) -> JobState:
        """Return the state at Unix time ``at``."""
        if at < self.ends_at:
            return "in_progress"
        return "succeeded" if self.failure is None else "failed"

    @property
    def prompt(self) -> str:
        """The prompt, or the prompts of all shots on a line each."""
        return "\n".join(shot.prompt for shot in self.picture.shots)

    @property
    def file_name(self) -> str:
        """Name of the result below ``/media/``."""
        return f"{self.id}.{self.picture.extension}"


class Jobs:
    """All jobs of one emulator.

    :param clock: returns the Unix time in seconds
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_id: dict[str, Job] = {}
        self._refreshed_at: dict[str, float] = {}
        self._submitted = 0

    def reset(self) -> None:
        """Forget every job."""
        self._by_id.clear()
        self._refreshed_at.clear()
        self._submitted = 0

    def next_sequence(self) -> int:
        """Count one more submission."""
        self._submitted += 1
        return self._submitted

    def add(self, job: Job) -> None:
        """Keep a new job."""
        self._by_id[job.id] = job

    def get(self, job_id: str) -> Job | None:
        """Return a job by id."""
        return self._by_id.get(job_id)

    def all(self) -> list[Job]:
        """Return every job, oldest first."""
        return sorted(self._by_id.values(), key=lambda job: (job.created_at, job.sequence))

    def refresh(self, job: Job) -> float:
        """Note that the service has just looked at this job upstream; returns the time of the look."""
        self._refreshed_at[job.id] = self._clock()
        return self._refreshed_at[job.id]

    def last_refreshed(self, job: Job) -> float:
        """Return when the service last looked at this job: what a stale listing shows is the state of that moment."""
        return self._refreshed_at.get(job.id, min(job.created_at, job.ends_at - 1e-6))

    def finish(self, job: Job, *, failure: str | None) -> bool:
        """End a job now; False when it has ended already (an ending is final)."""
        now = self._clock()
        if job.state(at=now) != "in_progress":
            return False
        self._by_id[job.id] = replace(job, ends_at=now, failure=failure)
        return True


def iso(seconds: float, *, timespec: str = "seconds") -> str:
    """Write a Unix time as ``2026-04-08T10:30:00Z``."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec=timespec).replace("+00:00", "Z")

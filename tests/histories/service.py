"""A service that generates at once, in this process: it knows what was paid for, and by which try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_provider_happyhorse.api.calls import Call, Request, Response
from airflow_provider_happyhorse.api.errors import Ambiguous, Unreachable
from airflow_provider_happyhorse.hooks.happyhorse import HappyHorseHook
from airflow_provider_happyhorse.operators.video import HappyHorseGenerateVideoOperator
from tests.histories.tries import Order, Try, current, seam

CONNECTION = {"conn_type": "happyhorse", "host": "https://happyhorse.app", "password": "sk-sd_histories"}


@dataclass
class Job:
    """A paid generation."""

    id: str
    prompt: str
    by: Try
    status: str = "IN_PROGRESS"


#: What the service may answer to a submission; what is paid for all the same is in capitals.
ANSWERS: Mapping[str, Response | str] = {
    "accepted": "PAID",
    "the answer is lost": "PAID, LOST",
    "500 and created": "PAID, 500",
    "500 and not created": Response(500, body=b'{"code": 500, "message": "INTERNAL_ERROR"}'),
    "no answer and not created": "LOST",
    "refused": Response(402, body=b'{"code": 402, "message": "INSUFFICIENT_CREDITS"}'),
    "too many requests": Response(429, {"retry-after": "900"}, b'{"code": 429, "message": "RATE_LIMITED"}'),
    "nobody there": "UNREACHABLE",
}


@dataclass
class Service:
    """happyhorse.app, whose wire format our own code reads."""

    jobs: dict[str, Job] = field(default_factory=dict)
    answer: str = "accepted"
    #: Called with the try and with what it has paid for.
    on_sent: Any = None

    def submission(self, request: Request) -> Response:
        order = seam("post")
        answer = ANSWERS[self.answer]
        if order is Order.FAIL or answer == "UNREACHABLE":
            self.on_sent(current(), None)
            raise Unreachable("nothing was sent: connection refused")
        if isinstance(answer, Response) or answer == "LOST":
            self.on_sent(current(), None)
            seam("answer")
            if isinstance(answer, Response):
                return answer
            raise Ambiguous("no complete answer came: reset")
        assert request.json is not None
        job = Job(f"n92paid{len(self.jobs) + 1}", str(request.json["prompt"]), current())
        self.jobs[job.id] = job
        self.on_sent(current(), job)
        seam("answer")
        if order is Order.LOSE or answer == "PAID, LOST":
            raise Ambiguous("no complete answer came: reset")
        if answer == "PAID, 500":
            return Response(500, body=b'{"code": 500, "message": "INTERNAL_ERROR"}')
        return _success({"task_id": job.id, "status": job.status})

    def status(self, request: Request) -> Response:
        if seam("ask") in (Order.FAIL, Order.LOSE):
            raise Unreachable("nothing was sent: connection refused")
        job = self.jobs[request.query["task_id"]]
        urls = [f"https://cdn.example.com/{job.id}.mp4"] if job.status == "SUCCESS" else []
        error = "Content policy" if job.status == "FAILED" else ""
        return _success({"task_id": job.id, "status": job.status, "response": {"resultUrls": urls}, "error_message": error})


def _success(data: dict[str, Any]) -> Response:
    return Response(200, body=json.dumps({"code": 200, "message": "success", "data": data}).encode())


class Transport:
    """Carries calls to the model service instead of the network."""

    last_headers: Mapping[str, str] = {}

    def send(self, call: Call[Any], *, attempts: int = 1) -> Any:
        service = current().world.service
        request = call.request
        return call.read(service.submission(request) if request.pays else service.status(request))

    def close(self) -> None:
        """There is nothing to close."""


class Hook(HappyHorseHook):
    """The hook as it is, but for the network."""

    @cached_property
    def transport(self) -> Any:
        return Transport()


class Generate(HappyHorseGenerateVideoOperator):
    """The operator as it is, but for the network and where its log goes."""

    log = property(lambda self: current().log)  # type: ignore[assignment]
    _sleep_before_looking = staticmethod(lambda seconds: None)

    def _hook(self, conn_id: str | None = None) -> Hook:
        return Hook(conn_id or self.happyhorse_conn_id)

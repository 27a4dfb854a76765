"""Sending a call from a worker, with requests."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import requests
import requests.auth
from urllib3 import exceptions as urllib3

from airflow_provider_happyhorse.api.calls import Call, Request, Response
from airflow_provider_happyhorse.api.errors import Ambiguous, BadResponse, ServiceError, Unreachable
from airflow_provider_happyhorse.api.retry import ATTEMPTS, delay_before_retry
from airflow_provider_happyhorse.transports.endpoint import CONNECT_TIMEOUT, MAX_ANSWER_BYTES, USER_AGENT, Endpoint, trusted_certificates

T = TypeVar("T")


class BearerAuth(requests.auth.AuthBase):
    """The API key as an auth object: with a plain header, requests would let a ``~/.netrc`` entry replace it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key; called by requests for the request that is sent, and for no redirect."""
        request.headers["Authorization"] = f"Bearer {self._endpoint.api_key}"
        return request


class SyncTransport:
    """Sends calls one at a time; a call that costs nothing is tried again as ``api/retry.py`` says, the paying one never.

    :param endpoint: where to, with which key.
    :param sleep: waits between tries, seconds.
    :param clock: monotonic seconds.
    :param jitter: 0 to 1.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint
        #: Headers of the last answer, from which a service reads its rate limit.
        self.last_headers: Mapping[str, str] = {}
        self._sleep, self._clock, self._jitter = sleep, clock, jitter
        self._session = self._new_session()

    def send(self, call: Call[T], *, attempts: int = ATTEMPTS) -> T:
        """Return what the service answers.

        :param attempts: tries in all of a call that costs nothing; the paying one has one.
        :raises airflow_provider_happyhorse.api.errors.ServiceError: what the call ended with, after the tries it may have.
        """
        attempt = 1
        while True:
            try:
                return call.read(self._answer(call.request))
            except ServiceError as error:
                # A refused submission is tried again by the task, which must note first that it was not accepted.
                once = call.request.pays or attempt >= attempts
                delay = None if once else delay_before_retry(error, attempt=attempt, pays=False, random=self._jitter())
                if delay is None:
                    raise
            self._sleep(delay)
            attempt += 1

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _answer(self, request: Request) -> Response:
        if not request.pays:
            return self._exchange(self._session, request)
        # A pooled connection may be closed by the service while we send: the submission would leave and its fate be unknown.
        with self._new_session() as fresh:
            fresh.headers["Connection"] = "close"
            return self._exchange(fresh, request)

    def _exchange(self, session: requests.Session, request: Request) -> Response:
        deadline = self._clock() + self.endpoint.request_timeout
        file = request.file
        try:
            with session.request(
                request.method,
                self.endpoint.url(request.path),
                params=dict(request.query) or None,
                json=request.json,
                files={file.form_name: (file.filename, file.content, file.content_type)} if file else None,
                timeout=(CONNECT_TIMEOUT, self.endpoint.request_timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                self.last_headers = headers
                return Response(answer.status_code, headers, self.endpoint.redacted(self._body(answer, deadline)))
        except requests.RequestException as problem:
            raise _without_answer(problem) from problem

    def _body(self, answer: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in answer.iter_content(64 * 1024):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise BadResponse(f"HTTP {answer.status_code}: an answer of more than {MAX_ANSWER_BYTES} bytes")
            if self._clock() > deadline:
                raise Ambiguous(f"the answer was not complete after {self.endpoint.request_timeout:g} s")
        return bytes(body)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # no netrc, and no proxy for loopback; what the environment may say is asked for below
        session.verify = trusted_certificates()
        session.auth = BearerAuth(self.endpoint)
        session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        if proxy := self.endpoint.proxy_url():
            session.proxies = {"http": proxy, "https": proxy}
        return session


def _without_answer(problem: requests.RequestException) -> ServiceError:
    """Return what a request without a complete answer proves: decided by the cause, since requests has one class for all."""
    reason = _reason(problem)
    shown = f"{type(reason).__name__}: {reason}"
    if _nothing_was_sent(problem, reason):
        return Unreachable(f"nothing was sent: {shown}")
    return Ambiguous(f"no complete answer came: {shown}")


def _reason(problem: BaseException) -> BaseException:
    cause: Any = problem.args[0] if problem.args else None
    if isinstance(cause, urllib3.MaxRetryError):
        cause = cause.reason
    if isinstance(cause, urllib3.ProxyError):
        cause = cause.original_error
    return cause if isinstance(cause, BaseException) else problem


def _nothing_was_sent(problem: requests.RequestException, reason: BaseException) -> bool:
    if isinstance(problem, (ValueError, requests.exceptions.InvalidJSONError)):
        return True  # requests refused the URL, a header or the body before connecting
    if isinstance(reason, urllib3.SSLError):
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    if isinstance(problem, requests.exceptions.ProxyError) and "Tunnel connection failed" in str(reason):
        return True  # the proxy refused CONNECT: no byte went on to the service
    return isinstance(reason, (urllib3.NewConnectionError, urllib3.ConnectTimeoutError))

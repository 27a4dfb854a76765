"""Sending a call from a worker, with requests."""

from __future__ import annotations

import http.client
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
from airflow_provider_happyhorse.transports.time_limit import TimedAdapter, TimeLimit

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
    :param jitter: 0 to 1.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint
        #: Headers of the last answer, from which a service reads its rate limit.
        self.last_headers: Mapping[str, str] = {}
        self._sleep, self._jitter = sleep, jitter
        self._limit = TimeLimit()
        self._session: requests.Session | None = None

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
        if self._session is not None:
            self._session.close()
            self._session = None

    def _answer(self, request: Request) -> Response:
        if not request.pays:
            self._session = self._session or self._new_session()
            return self._exchange(self._session, request)
        # A pooled connection may be closed by the service while we send: the submission would leave and its fate be unknown.
        with self._new_session() as fresh:
            fresh.headers["Connection"] = "close"
            return self._exchange(fresh, request)

    def _exchange(self, session: requests.Session, request: Request) -> Response:
        prepared = self._prepared(session, request)
        timeout = (min(CONNECT_TIMEOUT, self.endpoint.request_timeout), self.endpoint.request_timeout)
        try:
            with (
                self._limit.of(self.endpoint.request_timeout),
                session.send(prepared, timeout=timeout, allow_redirects=False, stream=True) as answer,
            ):
                body = self._body(answer, pays=request.pays)
                headers = {name.lower(): self.endpoint.redacted_text(value) for name, value in answer.headers.items()}
        # Not requests' own exceptions alone: it lets some of urllib3's and the system's through.
        except (requests.RequestException, urllib3.HTTPError, http.client.HTTPException, OSError, ValueError) as problem:
            raise self._without_answer(problem) from self.endpoint.without_key(problem)
        self.last_headers = headers
        return Response(answer.status_code, headers, self.endpoint.redacted(body))

    def _prepared(self, session: requests.Session, request: Request) -> requests.PreparedRequest:
        file = request.file
        try:
            return session.prepare_request(
                requests.Request(
                    request.method,
                    self.endpoint.url(request.path),
                    params=dict(request.query) or None,
                    json=request.json,
                    files={file.form_name: (file.filename, file.content, file.content_type)} if file else None,
                )
            )
        except (requests.RequestException, urllib3.HTTPError, ValueError) as problem:
            raise Unreachable(f"nothing was sent: {type(problem).__name__}: {problem}") from problem

    def _body(self, answer: requests.Response, *, pays: bool) -> bytes:
        body = bytearray()
        for chunk in answer.iter_content(64 * 1024):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                why = f"HTTP {answer.status_code}: an answer of more than {MAX_ANSWER_BYTES} bytes"
                raise Ambiguous(f"the answer to the submission proves nothing: {why}") if pays else BadResponse(why)
        if self._limit.over:
            raise self._too_slow()
        return bytes(body)

    def _too_slow(self) -> Ambiguous:
        return Ambiguous(f"no complete answer came: it was not whole after {self.endpoint.request_timeout:g} s")

    def _without_answer(self, problem: Exception) -> ServiceError:
        """Return what a request without a complete answer proves: decided by the cause, since requests has one class for all."""
        reason = _reason(problem)
        shown = self.endpoint.redacted_text(f"{type(reason).__name__}: {reason}")
        if _nothing_was_sent(problem, reason):
            return Unreachable(f"nothing was sent: {shown}")
        return self._too_slow() if self._limit.over else Ambiguous(f"no complete answer came: {shown}")

    def _new_session(self) -> requests.Session:
        try:
            certificates = trusted_certificates()
        except OSError as problem:
            raise Unreachable(f"nothing was sent: {problem}") from problem
        session = requests.Session()
        for scheme in ("https://", "http://"):
            session.mount(scheme, TimedAdapter(self._limit))
        session.trust_env = False  # no netrc, and no proxy for loopback; what the environment may say is asked for below
        session.verify = certificates
        session.auth = BearerAuth(self.endpoint)
        session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        if proxy := self.endpoint.proxy_url():
            session.proxies = {"http": proxy, "https": proxy}
        return session


def _reason(problem: BaseException) -> BaseException:
    cause: Any = problem.args[0] if problem.args else None
    if isinstance(cause, urllib3.MaxRetryError):
        cause = cause.reason
    if isinstance(cause, urllib3.ProxyError):
        cause = cause.original_error
    return cause if isinstance(cause, BaseException) else problem


def _nothing_was_sent(problem: Exception, reason: BaseException) -> bool:
    # Raised before connecting. Not every ValueError is: an answer with two different lengths ends in `InvalidHeader`, which is one.
    before = (requests.exceptions.InvalidURL, requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema)
    if isinstance(problem, (*before, urllib3.LocationValueError)):
        return True
    if isinstance(reason, urllib3.SSLError):
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    if isinstance(problem, requests.exceptions.ProxyError) and "Tunnel connection failed" in str(reason):
        return True  # the proxy refused CONNECT: no byte went on to the service
    return isinstance(reason, (urllib3.NewConnectionError, urllib3.ConnectTimeoutError))

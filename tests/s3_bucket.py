"""The S3 server of the ledger's tests, with what publishing needs besides: checked checksums, cut and corrupted bodies, refusals."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3

from tests.ledger_path.s3 import BUCKET, Faults, S3Server, fault

CONNECTION = "publish_s3"


@dataclass
class BodyFaults(Faults):
    """What goes wrong next, beyond the ledger's faults.

    :param denied: methods that are answered with 403.
    :param busy: so many PUTs are answered with 503 and not carried out.
    :param cuts: so many PUTs lose their connection in the middle of the body.
    :param corrupted: so many PUTs arrive with a wrong byte.
    :param in_the_body: called when half of the body of a PUT has been read.
    """

    denied: tuple[str, ...] = ()
    busy: int = 0
    cuts: int = 0
    corrupted: int = 0
    in_the_body: Callable[[], None] | None = None


class Bucket(S3Server):
    """The running server; its one bucket can be looked into."""

    faults: BodyFaults

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, str]] = []
        """Method, path and query of every request."""
        self.reset()

    def reset(self) -> None:
        """Forget faults, requests and objects."""
        self.faults = BodyFaults()
        if self.server_is_up:
            client = self.client()
            for key in self.names():
                client.delete_object(Bucket=BUCKET, Key=key)
        self.creations, self.asked = [], []

    server_is_up = False
    _elsewhere = 0

    @classmethod
    def elsewhere(cls, port: int) -> Bucket:
        """Give a view of one that runs in another process: its URL, client, names and contents."""
        bucket = cls.__new__(cls)
        bucket._elsewhere = port
        return bucket

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._elsewhere}" if self._elsewhere else super().url

    def __enter__(self) -> Bucket:
        super().__enter__()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT"), timeout=30).close()
        self.server_is_up = True
        self.reset()  # moto's buckets are the process's, not the server's
        return self

    @cache  # noqa: B019  one bucket for a whole test run
    def client(self) -> Any:
        """Return the client that looks into it."""
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id="AKIATESTING", aws_secret_access_key="no", region_name="us-east-1"
        )

    def names(self) -> list[str]:
        """Return the keys of all objects."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def content(self, key: str) -> bytes:
        body: bytes = self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def multipart_uploads(self) -> list[Any]:
        found: list[Any] = self.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return found

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.asked.append((method, path, environ["QUERY_STRING"]))
        is_creation = method == "PUT" and bool(path.strip("/").count("/"))
        if method in self.faults.denied:
            return fault(start_response, "403 Forbidden", "AccessDenied")
        if is_creation:
            body, refusal = self._body(environ)
            if refusal is not None:
                return fault(start_response, *refusal)
            environ["wsgi.input"] = io.BytesIO(body)
        return super()._answer(environ, start_response)

    def _body(self, environ: dict[str, Any]) -> tuple[bytes, tuple[str, str] | None]:
        """Read a body as S3 does: all of it, or nothing is stored; compared with its checksum, which moto does not."""
        length = int(environ["CONTENT_LENGTH"] or 0)
        body = environ["wsgi.input"].read(length // 2)
        if self.faults.in_the_body is not None and length:
            self.faults.in_the_body()
        if length and self.faults.cuts:
            self.faults.cuts -= 1
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return b"", ("400 Bad Request", "IncompleteBody")
        body += environ["wsgi.input"].read(length - len(body))
        if len(body) < length:
            return b"", ("400 Bad Request", "IncompleteBody")
        if length and self.faults.busy:
            self.faults.busy -= 1
            return b"", ("503 Slow Down", "SlowDown")
        if length and self.faults.corrupted:
            self.faults.corrupted -= 1
            body = body[:-1] + bytes([body[-1] ^ 1])
        checksum = environ.get("HTTP_X_AMZ_CHECKSUM_SHA256")
        if checksum is not None and base64.b64decode(checksum) != hashlib.sha256(body).digest():
            return b"", ("400 Bad Request", "BadDigest")
        return body, None


@contextmanager
def connected(server: S3Server, *, attempts: int = 2) -> Iterator[str]:
    """Make the Airflow connection to it.

    :param attempts: of the client, which repeats what may have been lost.
    """
    extra = {
        "endpoint_url": server.url,
        "region_name": "us-east-1",
        "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": attempts}},
    }
    connection = {"conn_type": "aws", "login": "AKIATESTING", "password": "not-a-secret", "extra": extra}
    name = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    os.environ[name] = json.dumps(connection)
    try:
        yield f"s3://{CONNECTION}@{BUCKET}"
    finally:
        del os.environ[name]

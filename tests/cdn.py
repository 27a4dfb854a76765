"""A raw HTTP server on loopback that misbehaves on purpose, for what a well-behaved server library cannot do."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    line: str
    headers: dict[str, str]

    @property
    def offset(self) -> int | None:
        value = self.headers.get("range")
        return None if value is None else int(value.removeprefix("bytes=").rstrip("-"))


Answer = Callable[[Asked, socket.socket], None]


class Cdn:
    """Answers the n-th request with the n-th answer, the last one for ever after."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self._answers = answers
        self._tls = tls
        self.asked: list[Asked] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, path: str = "/result.mp4") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        sock = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
        with sock:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65536)
                if not piece:
                    return
                data += piece
            line, *rest = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
            asked = Asked(line, {key.lower(): value for key, _, value in (entry.partition(": ") for entry in rest)})
            self.asked.append(asked)
            self._answers[min(len(self.asked), len(self._answers)) - 1](asked, sock)

    def __enter__(self) -> Cdn:
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown wakes the accept() up; close() alone would leave the thread in it
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{key.replace('_', '-')}: {value}" for key, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def whole(body: bytes, *, etag: str | None = None, content_type: str = "video/mp4", cut_after: int | None = None) -> Answer:
    """Serve a body, from where the client asks if there is an ETag; hang up after ``cut_after`` bytes of the body."""

    def answer(asked: Asked, sock: socket.socket) -> None:
        headers = {"Content_Type": content_type} | ({"ETag": etag} if etag else {})
        start = asked.offset if etag and asked.offset is not None and asked.headers.get("if-range") == etag else None
        if start is None:
            sock.sendall(head(Content_Length=len(body), **headers) + body[:cut_after])
        else:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            rest = body[start:]
            sock.sendall(head("206 Partial Content", Content_Length=len(rest), Content_Range=span, **headers) + rest[:cut_after])

    return answer


def says(raw: bytes) -> Answer:
    """Send exactly these bytes and hang up."""
    return lambda _, sock: sock.sendall(raw)


def redirect(to: str, status: str = "302 Found") -> Answer:
    return says(head(status, Location=to, Content_Length=0))


@dataclass(frozen=True)
class Certificates:
    """A certificate authority of our own and one certificate by it."""

    server: ssl.SSLContext
    client: ssl.SSLContext = field(repr=False)


def certificates(folder: Path, *names: str) -> Certificates:
    """Make a self-signed certificate for host names and addresses, and a client context that trusts nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)

    def general(name: str) -> x509.GeneralName:
        with suppress(ValueError):
            return x509.IPAddress(ipaddress.ip_address(name))
        return x509.DNSName(name)

    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return Certificates(server, ssl.create_default_context(cafile=str(pem)))

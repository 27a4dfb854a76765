"""The servers of the publishing storm, each in a process of its own, and the CDN that fails as its URLs say."""

from __future__ import annotations

import os
import random
import signal
import socket
import socketserver
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tests.cdn import Answer, Asked, head, says, whole
from tests.media_samples import box, video

FAULTS = ("none", "cut", "cut without a validator", "truncated", "announced too long", "a page", "expired", "busy")


def content(seed: int, number: int) -> bytes:
    """Return the video that is served under a number: one of a few renderings, padded to a size and bytes of its own."""
    dice = random.Random(f"{seed}-{number}")
    return video(shade=10 + number % 5) + box(b"free", dice.randbytes(dice.randrange(1_500_000)))


def answers(fault: str, body: bytes, at: int) -> Answer:
    """Return what the faulty request gets.

    :param at: byte at which something happens.
    """
    if fault == "cut":
        return whole(body, etag='"strong"', cut_after=at)
    if fault == "cut without a validator":
        return whole(body, cut_after=at)
    if fault == "truncated":
        return whole(body[:at])
    if fault == "announced too long":
        return says(head(Content_Length=len(body) + 1000) + body)
    if fault == "a page":
        return whole(b"<!doctype html><title>Sign in</title>")
    return says(head({"expired": "403 Forbidden", "busy": "503 Busy"}[fault], Content_Length=0))


def serve(seed: int, port: Callable[[int], object]) -> None:
    """Serve ``/<number>?fault=&at=&times=&token=&pace=`` for ever: the first ``times`` requests of a token meet the fault."""
    met: Counter[str] = Counter()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data = b""
            while b"\r\n\r\n" not in data:
                data += self.request.recv(65536) or b"\r\n\r\n"
            line, *rest = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
            asked = Asked(line, {key.lower(): value for key, _, value in (entry.partition(": ") for entry in rest)})
            url = urlsplit(line.split(" ")[1])
            options = dict(parse_qsl(url.query))
            body = content(seed, int(url.path[1:]))
            met[options["token"]] += 1
            time.sleep(float(options["pace"]))
            if options["fault"] != "none" and met[options["token"]] <= int(options["times"]):
                answers(options["fault"], body, int(options["at"]) % len(body))(asked, self.request)
                return
            slow = Slow(self.request, float(options["pace"]))
            whole(body, etag='"strong"')(asked, slow)  # type: ignore[arg-type]

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing of the workers that were killed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        port(server.server_address[1])
        server.serve_forever()


@dataclass
class Slow:
    """A socket that sends in pieces, with pauses between them for a kill to fall into."""

    sock: socket.socket
    pace: float

    def sendall(self, data: bytes) -> None:
        """Send all of it, in 16 pieces."""
        size = len(data) // 16 + 1
        for start in range(0, len(data), size):
            self.sock.sendall(data[start : start + size])
            time.sleep(self.pace / 8)


@contextmanager
def running(work: Callable[[Callable[[int], object]], None]) -> Iterator[int]:
    """Run a server in a process of its own (forked before this one has threads) and give its port."""
    read, write = os.pipe()
    number = os.fork()
    if not number:
        try:
            work(lambda port: os.write(write, f"{port}\n".encode()))
        finally:
            os._exit(1)
    os.close(write)
    try:
        with os.fdopen(read) as ports:
            yield int(ports.readline())
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)

"""Hundreds of results published under random faults, by workers that get killed: ``python -m tests.publishing_storm --files 500 --seed 7``.

Each try is a process of its own that publishes from a server which cuts, truncates, lies about lengths, expires URLs and answers 503, and
every third one is killed with SIGKILL at a random moment. Failed tries are followed by others, as Airflow's retries and clears are. All the
while, whatever stands under a final name is compared with what was served; in the end everything must be there, equal, and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.publishing.publish import DownloadRules, Where, publish
from airflow_provider_happyhorse.storage import s3
from airflow_provider_happyhorse.storage.destinations import check_writable
from airflow_provider_happyhorse.storage.local import _temporary_prefix
from tests.ledger_path.s3 import BUCKET
from tests.media_samples import video
from tests.s3_bucket import CONNECTION, Bucket, connected
from tests.storm_servers import FAULTS, content, running, serve

AT_ONCE = 4
REFUSED, FAILED = 21, 22
OLD = video(shade=1)


def serve_s3(port: Callable[[int], object]) -> None:
    """Run the bucket for ever."""
    with Bucket() as bucket:
        port(int(bucket.url.rpartition(":")[2]))
        while True:
            time.sleep(3600)


@dataclass(frozen=True)
class Storage:
    """Where it is published: below a URI, looked into by name."""

    name: str
    uri: str
    read: Callable[[str], bytes | None]
    names: Callable[[], list[str]]


def local(folder: Path) -> Storage:
    def read(name: str) -> bytes | None:
        try:
            return (folder / name).read_bytes()
        except FileNotFoundError:
            return None

    return Storage("local", f"file://{folder}", read, lambda: sorted(path.name for path in folder.iterdir()))


def in_s3(bucket: Bucket) -> Storage:
    client = bucket.client()

    def read(name: str) -> bytes | None:
        try:
            body: bytes = client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return body

    return Storage("s3", f"s3://{CONNECTION}@{BUCKET}", read, bucket.names)


@dataclass
class Clip:
    """One result on its way."""

    number: int
    overwrites: bool
    expected: str
    tries: int = 0
    worker: int = 0
    kill_at: float | None = None
    is_there: bool = False


@dataclass
class Storm:
    """What happened."""

    storage: Storage
    seed: int
    port: int
    dice: random.Random
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    problems: list[str] = field(default_factory=list)

    def start(self, clip: Clip) -> None:
        """Begin the next try of a clip, in a process of its own."""
        clip.tries += 1
        fault = self.dice.choice(FAULTS)
        self.faults[fault] += 1
        pace = self.dice.choice((0.0, 0.02, 0.1))
        options = f"fault={fault}&at={self.dice.randrange(10**9)}&times={self.dice.choice((1, 1, 2))}&token={clip.number}-{clip.tries}"
        url = f"http://127.0.0.1:{self.port}/{clip.number}?{options.replace(' ', '%20')}&pace={pace}"
        killed = self.dice.random() < 0.33
        clip.kill_at = time.monotonic() + self.dice.uniform(0, 0.8) if killed else None
        clip.worker = os.fork()
        if not clip.worker:
            os._exit(self.work(clip, url))

    def work(self, clip: Clip, url: str) -> int:
        """Publish, as the process of a try; return its exit code."""
        s3.proven_exclusive.clear()
        fresh = url.replace("fault=", "fault=none&was=")
        try:
            publish(
                {"generation_id": f"n{clip.number}", "name": f"clip-{clip.number}", "result_urls": [url]},
                destination=f"{self.storage.uri}/{clip.number}.mp4",
                if_exists="overwrite" if clip.overwrites else "skip",
                where=Where(dag_id="storm", run_id=str(self.seed), task_id="publish", map_index=clip.number),
                fresh_urls=lambda: [fresh],
                guard=DownloadRules(allow_loopback=True, max_seconds=60),
                now=lambda: datetime.now(UTC),
                log=logging.getLogger("storm"),
            )
        except PublishRefused:
            return REFUSED
        except PublishFailed:
            return FAILED
        except BaseException:
            logging.getLogger("storm").exception("a try ended in an error of our own")
            return 1
        return 0

    def look(self, clip: Clip) -> None:
        """Compare what stands under the final name, if anything does; then the sidecar."""
        story = self.storage.read(f"{clip.number}.mp4.json")  # before the video: it is written after it
        there = self.storage.read(f"{clip.number}.mp4")
        self.looks += 1
        digest = None if there is None else hashlib.sha256(there).hexdigest()
        allowed = {clip.expected, hashlib.sha256(OLD).hexdigest() if clip.overwrites else None}
        if digest not in allowed:
            self.problems.append(f"{clip.number}: something else stands under the final name ({len(there or b'')} bytes)")
        if story is not None and json.loads(story)["sha256"] != digest:
            self.problems.append(f"{clip.number}: the sidecar is there and its video is not")
        clip.is_there = digest == clip.expected and story is not None

    def end(self, clip: Clip, status: int) -> bool:
        """Take note of how a try has ended; return whether the clip is published."""
        code = os.waitstatus_to_exitcode(status)
        words = {0: "published", REFUSED: "refused", FAILED: "failed", -signal.SIGKILL: "killed"}
        self.endings[words.get(code, f"exit code {code}")] += 1
        if code == -signal.SIGKILL and self.storage.name == "local":
            self.endings["killed while writing"] += any(
                name.startswith(_temporary_prefix(str(clip.number))) for name in self.storage.names()
            )
        if code not in words:
            self.problems.append(f"{clip.number}: a try ended with exit code {code}")
        self.look(clip)
        if code == 0 and not clip.is_there:
            self.problems.append(f"{clip.number}: published, and not there")
        return code == 0

    def play(self, clips: list[Clip]) -> None:
        """Publish all of them, some at a time."""
        waiting, under_way = list(reversed(clips)), []
        while waiting or under_way:
            while waiting and len(under_way) < AT_ONCE:
                clip = waiting.pop()
                self.start(clip)
                under_way.append(clip)
            for clip in list(under_way):
                if clip.kill_at is not None and time.monotonic() > clip.kill_at:
                    os.kill(clip.worker, signal.SIGKILL)
                    clip.kill_at = None
                number, status = os.waitpid(clip.worker, os.WNOHANG)
                if number:
                    under_way.remove(clip)
                    if not self.end(clip, status):
                        waiting.insert(0, clip)
                else:
                    self.look(clip)
            time.sleep(0.01)

    def close(self, clips: list[Clip]) -> None:
        """Look at everything once more."""
        for clip in clips:
            self.look(clip)
            if not clip.is_there:
                self.problems.append(f"{clip.number}: not there in the end")
        wanted = {f"{clip.number}.mp4{end}" for clip in clips for end in ("", ".json")}
        left = set(self.storage.names()) - wanted
        if self.storage.name == "s3" and all(".happyhorse-probe-" in name for name in left):
            # What kills have left of probes is removed by the next check after ten minutes.
            s3.S3Store(conn_id=CONNECTION, bucket=BUCKET, now=lambda: datetime.now(UTC) + timedelta(hours=1)).check_writable("/")
            left = set(self.storage.names()) - wanted
        if left:
            self.problems.append(f"left over: {sorted(left)}")


def played(storage: Storage, *, files: int, seed: int, port: int) -> Storm:
    """Play one storm."""
    storm = Storm(storage, seed, port, random.Random(seed))
    check_writable(f"{storage.uri}/")
    clips = []
    for number in range(files):
        overwrites = storm.dice.random() < 0.25
        clips.append(Clip(number, overwrites, hashlib.sha256(content(seed, number)).hexdigest()))
        if overwrites:
            older(storage, number)
    storm.play(clips)
    storm.close(clips)
    return storm


def older(storage: Storage, number: int) -> None:
    """Put an older video under a name, without a sidecar."""
    from airflow_provider_happyhorse.storage.destinations import locate

    place = locate(f"{storage.uri}/{number}.mp4")
    with place.store.upload(place.path) as upload:
        upload.write(OLD)
        upload.commit(place.path, overwrite=True)


def storms(kinds: list[str], *, files: int, seed: int) -> Iterator[Storm]:
    """Play a storm on each storage."""
    for shade in (1, 10, 11, 12, 13, 14):
        video(shade=shade)  # rendered once, for all processes
    with tempfile.TemporaryDirectory() as folder, running(lambda port: serve(seed, port)) as port:
        if "local" in kinds:
            yield played(local(Path(folder)), files=files, seed=seed, port=port)
        if "s3" in kinds:
            with running(serve_s3) as s3_port:
                bucket = Bucket.elsewhere(s3_port)
                with connected(bucket):
                    yield played(in_s3(bucket), files=files, seed=seed, port=port)


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--storage", choices=("local", "s3"), nargs="+", default=["local", "s3"])
    chosen: Any = parser.parse_args()
    bad = False
    for storm in storms(chosen.storage, files=chosen.files, seed=chosen.seed):
        tries = sum(storm.endings.values()) - storm.endings["killed while writing"]
        print(f"{storm.storage.name}, seed {storm.seed}: {chosen.files} files in {tries} tries: {dict(storm.endings)}")
        print(f"  what the first requests met: {dict(storm.faults)}")
        print(f"  {storm.looks} looks at final names; problems: {storm.problems or 'none'}", flush=True)
        bad |= bool(storm.problems)
    sys.exit(bad)


if __name__ == "__main__":
    main()

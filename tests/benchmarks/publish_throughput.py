"""Publishing against plain ``requests`` to a file and an ``fsspec`` copy: ``python -m tests.benchmarks.publish_throughput``.

Each sample is a fresh interpreter that fetches a small MP4, padded with a ``free`` box, from an HTTP server in a process of its own.
Rounds take turns, each beginning with another, so that a slow moment of the machine hits all of them. MB/s counts from the imports being
done to the file in its place; memory is the peak of the resident set above what it was then. ``synced`` is requests with the fsync of the
video that publishing does: the price of surviving a power cut, which plain ``requests`` leaves to a later time. Over loopback that time
is all that plain ``requests`` takes beyond copying memory, so each size is also measured over a line of 1 Gbit/s, as a worker has.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.media_samples import box, video

SAMPLE = """
import json, os, sys, time
kind, url, target = sys.argv[1:]
def fetch_plain(sync=False):
    import shutil
    with requests.get(url, stream=True, timeout=60) as answer, open(target, "wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_content(1 << 20):
            file.write(piece)
        if sync:
            file.flush()
            os.fsync(file.fileno())
def fetch_fsspec():
    fsspec.filesystem("http").get_file(url, target)
def fetch_publish():
    import logging
    from datetime import UTC, datetime
    publish({"generation_id": "n1", "result_urls": [url]}, destination=target, if_exists="skip", fresh_urls=list, log=logging.getLogger(),
        where=Where(dag_id="d", run_id="r", task_id="t"), guard=DownloadRules(allow_loopback=True), now=lambda: datetime.now(UTC))
if kind == "publish":
    from airflow_provider_happyhorse.publishing.publish import DownloadRules, Where, publish
    import airflow_provider_happyhorse.storage.local
elif kind == "fsspec":
    import aiohttp, fsspec
    fsspec.filesystem("http")
else:
    import requests
def memory(field):
    return int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1]) / 1024
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before, begin, busy = memory("VmRSS"), time.perf_counter(), time.process_time()
{"publish": fetch_publish, "requests": fetch_plain, "synced": lambda: fetch_plain(True), "fsspec": fetch_fsspec}[kind]()
seconds = time.perf_counter() - begin
size = os.path.getsize(target)
print(json.dumps({"speed": size / seconds / 1e6, "memory": memory("VmHWM") - before, "cpu": time.process_time() - busy}))
"""

SERVER = """
import os, socket, sys, time
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    while True:
        connection, _ = listening.accept()
        with connection, open(sys.argv[1], "rb") as file:
            asked = b""
            while b"\\r\\n\\r\\n" not in asked:
                asked += connection.recv(65536)
            size = os.fstat(file.fileno()).st_size
            connection.sendall(f"HTTP/1.1 200 OK\\r\\nContent-Length: {size}\\r\\nConnection: close\\r\\n\\r\\n".encode())
            if not asked.startswith(b"HEAD"):
                at, rate, begin = 0, float(sys.argv[2]) * 1e6 / 8, time.perf_counter()
                while at < size:
                    at += os.sendfile(connection.fileno(), file.fileno(), at, min(size - at, 1 << 17 if rate else size))
                    if rate:
                        time.sleep(max(0, begin + at / rate - time.perf_counter()))
"""
KINDS = ("publish", "requests", "synced", "fsspec")


def padded(path: Path, size: int) -> None:
    """Write a playable MP4 of exactly this many bytes."""
    clip = video()
    padding = size - len(clip)
    with path.open("wb") as file:
        file.write(clip + box(b"free", announced=padding))
        for start in range(8, padding, 1 << 20):
            file.write(bytes(min(1 << 20, padding - start)))


def measured(kind: str, url: str, folder: Path) -> dict[str, float]:
    target = folder / "target.mp4"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    ran = subprocess.run(
        [sys.executable, "-c", SAMPLE, kind, url, str(target)],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"AIRFLOW_HOME": str(folder), "PYTHONWARNINGS": "ignore"},
    )
    for path in folder.glob("target*"):
        path.unlink()
    read: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000], help="MB")
    parser.add_argument("--lines", type=int, nargs="+", default=[0, 1000], help="Mbit/s, 0 for as fast as loopback goes")
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured; the system's temporary folder otherwise")
    chosen = parser.parse_args()
    for size, line in itertools.product(chosen.sizes, chosen.lines):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            folder = Path(name)
            padded(folder / "served.mp4", size * 1_000_000)
            command = [sys.executable, "-c", SERVER, str(folder / "served.mp4"), str(line)]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            try:
                assert server.stdout is not None
                url = f"http://127.0.0.1:{server.stdout.readline().strip()}/video.mp4"
                turns = [KINDS[at % 4 :] + KINDS[: at % 4] for at in range(chosen.rounds)]
                samples = [{kind: measured(kind, url, folder) for kind in turn} for turn in turns]
            finally:
                server.terminate()
                server.wait()
        plain, synced = (statistics.median(sample[kind]["speed"] for sample in samples) for kind in ("requests", "synced"))
        for kind in KINDS:
            speeds = sorted(sample[kind]["speed"] for sample in samples)
            median = statistics.median(speeds)
            memory = max(sample[kind]["memory"] for sample in samples)
            cpu = min(sample[kind]["cpu"] for sample in samples)
            print(
                f"{size:5} MB {f'{line} Mbit/s' if line else 'loopback':11} {kind:9} median {median:7.0f} MB/s  min {speeds[0]:7.0f}  "
                f"max {speeds[-1]:7.0f}  {median / plain:5.2f} x requests  {median / synced:5.2f} x synced  +{memory:4.0f} MiB  "
                f"{cpu:5.2f} s of processor",
                flush=True,
            )


if __name__ == "__main__":
    main()

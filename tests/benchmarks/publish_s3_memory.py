"""Memory and speed of publishing to S3: ``python -m tests.benchmarks.publish_s3_memory``.

A fresh interpreter publishes a small MP4, padded with a ``free`` box, from an HTTP server in a process of its own to moto's S3 server,
which is in this process and keeps the object in memory. Memory is the peak of the worker's resident set above what it was after a first,
small publication: boto3's client alone takes tens of MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.publish_throughput import SERVER, padded
from tests.s3_bucket import Bucket, connected

SAMPLE = """
import json, logging, sys, time
from datetime import UTC, datetime
from airflow_provider_happyhorse.publishing.publish import DownloadRules, Where, publish
small, large, destination = sys.argv[1:]
def fetch(url, name):
    return publish({"generation_id": "n1", "result_urls": [url]}, destination=destination + name, if_exists="skip", fresh_urls=list,
        log=logging.getLogger(), where=Where(dag_id="d", run_id="r", task_id="t"), guard=DownloadRules(allow_loopback=True),
        now=lambda: datetime.now(UTC))
def memory(field):
    return int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1]) / 1024
fetch(small, "/small.mp4")
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before, begin = memory("VmRSS"), time.perf_counter()
size = fetch(large, "/large.mp4")["bytes"]
print(json.dumps({"speed": size / (time.perf_counter() - begin) / 1e6, "memory": memory("VmHWM") - before}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000], help="MB")
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as name, Bucket() as bucket, connected(bucket) as uri:
            folder, servers, urls = Path(name), [], []
            for number, length in enumerate((20_000, size * 1_000_000)):
                padded(folder / f"{number}.mp4", length)
                command = [sys.executable, "-c", SERVER, str(folder / f"{number}.mp4"), "0"]
                servers.append(server := subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
                assert server.stdout is not None
                urls.append(f"http://127.0.0.1:{server.stdout.readline().strip()}/video.mp4")
            try:
                environment = os.environ | {"AIRFLOW_HOME": name, "PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1"}
                ran = subprocess.run(
                    [sys.executable, "-c", SAMPLE, *urls, uri], stdout=subprocess.PIPE, text=True, check=True, env=environment
                )
            finally:
                for server in servers:
                    server.terminate()
                    server.wait()
        read = json.loads(ran.stdout.strip().splitlines()[-1])
        print(f"{size:5} MB to S3  {read['speed']:5.0f} MB/s  +{read['memory']:4.1f} MiB", flush=True)


if __name__ == "__main__":
    main()

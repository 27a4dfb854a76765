"""What importing the operators costs a DAG file, on top of ``airflow.sdk``: ``python -m tests.benchmarks.parse_cost``.

Each sample is a fresh interpreter. Both imports are measured in it, and the cyclic collector is told to leave Airflow's own objects alone
first: whether a full collection of them (about 70 ms) happens to fall into the second import says nothing about it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

SAMPLE = """
import gc, json, time
begin = time.perf_counter()
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, Param, task
with DAG("empty", schedule=None):
    BaseOperator(task_id="t").output
gc.collect(); gc.freeze()
sdk = time.perf_counter()
from airflow_provider_happyhorse.operators import (
    HappyHorseGenerateVideoOperator, HappyHorsePublishOperator, HappyHorseUploadImageOperator
)
from airflow_provider_happyhorse.sensors.generation import HappyHorseGenerationSensor
ours = time.perf_counter()
with DAG("ours", schedule=None):
    HappyHorseGenerateVideoOperator(task_id="g", request={"prompt": "x", "duration": 5})
first_check = time.perf_counter()
with DAG("more", schedule=None):
    for index in range(100):
        HappyHorseGenerateVideoOperator(task_id=f"g{index}", request={"prompt": "x", "duration": 5})
hundred = time.perf_counter()
times = {"airflow.sdk": sdk - begin, "operators": ours - sdk, "first check": first_check - ours, "100 tasks": hundred - first_check}
print(json.dumps(times))
"""


def measured() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run([sys.executable, "-c", SAMPLE], capture_output=True, text=True, check=True, env=environment)
    read: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=9)
    samples = [measured() for _ in range(parser.parse_args().samples)]
    base = statistics.median(sample["airflow.sdk"] for sample in samples)
    for name in samples[0]:
        values = sorted(sample[name] * 1000 for sample in samples)
        median = statistics.median(values)
        print(f"{name:12} median {median:7.1f} ms  min {values[0]:7.1f}  max {values[-1]:7.1f}  {median / base / 1000:6.3f} x airflow.sdk")


if __name__ == "__main__":
    main()

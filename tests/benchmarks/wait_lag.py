"""Mean seconds from a video's end at the service to its waiter being told, simulated: ``python -m tests.benchmarks.wait_lag``.

Ours is the very schedule of the triggerer, in virtual time. It has waited for an hour's worth of earlier videos, as a triggerer has that
has been up for longer than a batch; ``--cold`` shows it without. Submissions are not charged to the budget, the list is newest first, and
60 requests a minute are allowed.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

from airflow_provider_happyhorse.polling.schedule import Schedule
from tests.benchmarks.references import FreshList, Learning, Naive, RoundRobin, WindowsAware, bound
from tests.benchmarks.simulator import Client, Service, Video, WindowKind, burst, run, steady

EARLIER = 60


@dataclass(frozen=True)
class Column:
    """One client at one service.

    :param client: makes the client.
    :param learns: the client needs a past to have learned from.
    """

    name: str
    client: Callable[[], Client]
    window: WindowKind = "fixed"
    tells: bool = True
    learns: bool = False


COLUMNS = {
    "naive": Column("naive 5 s poll", Naive),
    "round robin": Column("round robin, paced", RoundRobin),
    "learning": Column("paced, knowing render times", Learning),
    "ours, unknown": Column("ours, no headers", Schedule, tells=False, learns=True),
    "ours, sliding": Column("ours, sliding window", Schedule, window="sliding", learns=True),
    "windows": Column("windows-aware, knowing render times", WindowsAware),
    "ours, fixed": Column("ours, fixed window", Schedule, learns=True),
    "list": Column("a fresh list", FreshList),
    "ours, list": Column("ours, fresh list", functools.partial(Schedule, list_rows=50), learns=True),
}
STEADY, BURSTS = (5, 10, 20), (50, 100, 1000)
#: A video on which one request a second is spent on average may cost so many.
PER_MINUTE = 60.0


@dataclass(frozen=True)
class Measured:
    """What one sample came to."""

    lags: tuple[float, ...]
    requests: int
    refused: int


def sample(column: str, per_minute: int, count: int, seed: int, cold: bool) -> Measured:
    """Play one sample.

    :param per_minute: videos a minute; 0 for a burst.
    :param count: videos that are measured.
    """
    # Every column waits for the same videos, at the same phase of the service's window.
    random, of, past = Random(seed), COLUMNS[column], Random(seed + 10**6)
    earlier: list[Video] = [] if cold or not of.learns else steady(past, per_minute=10, count=EARLIER)
    begin = 20 * 60.0 + random.random() * 60
    if per_minute:
        videos = steady(random, per_minute=per_minute, count=count, begin=begin)
    else:
        videos = burst(random, count=count, begin=begin, name="b")
    earlier = [Video(f"e{video.id}", video.submitted_at, video.ends_at) for video in earlier]
    service = Service(videos=[*earlier, *videos], window=of.window, tells=of.tells, phase=random.random() * 60)
    came = run(of.client(), service, random=past)
    return Measured(tuple(came.lags[len(earlier) :]), came.requests, came.refused)


def _played(task: tuple[str, int, int, int, bool]) -> Measured:
    return sample(*task)


def table(columns: Sequence[str], rows: Sequence[tuple[int, int]], *, samples: int, seed: int, cold: bool, processes: int) -> None:
    """Print mean lags, and how many requests were refused."""
    print("| in flight / arrival | " + " | ".join(COLUMNS[each].name for each in columns) + " | bound without a list |")
    print("|---" * (len(columns) + 2) + "|")
    with ProcessPoolExecutor(processes) as pool:
        for per_minute, count in rows:
            cells = []
            runs = max(1, min(samples, samples * 100 // count)) if not per_minute else 1
            for column in columns:
                videos = count if not per_minute else samples * 25
                tasks = [(column, per_minute, videos, seed + number, cold) for number in range(runs)]
                played = list(pool.map(_played, tasks))
                lags = [lag for one in played for lag in one.lags]
                refused = sum(one.refused for one in played)
                cells.append(
                    f"{sum(lags) / len(lags):.2f}" + (f" ({refused / sum(one.requests for one in played):.0%} 429)" if refused else "")
                )
            best = f"{bound(PER_MINUTE / per_minute):.1f}" if per_minute else "-"
            print(
                f"| {f'steady {per_minute} per minute' if per_minute else f'burst of {count}'} | {' | '.join(cells)} | {best} |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=40, help="bursts per row; a steady row has 25 times as many videos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cold", action="store_true", help="ours has learned nothing yet")
    parser.add_argument("--columns", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--bursts", nargs="*", type=int, default=list(BURSTS))
    parser.add_argument("--steady", nargs="*", type=int, default=list(STEADY))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    rows = [(per_minute, 0) for per_minute in chosen.steady] + [(0, count) for count in chosen.bursts]
    table(chosen.columns, rows, samples=chosen.samples, seed=chosen.seed, cold=chosen.cold, processes=chosen.processes)


if __name__ == "__main__":
    main()

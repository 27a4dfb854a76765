"""Two tasks publish under one exact name at once, on local files and on S3: no sidecar stays beside a video that it does not describe."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import PublishFailed, PublishRefused
from airflow_provider_happyhorse.publishing.publish import DownloadRules, publish
from airflow_provider_happyhorse.storage.destinations import check_writable
from tests.cdn import Cdn, whole
from tests.ledger_path.s3 import BUCKET
from tests.media_samples import box
from tests.s3_bucket import CONNECTION, Bucket, connected
from tests.test_publishing import GENERATION, NOON, OTHER, VIDEO, WHERE, not_asked
from tests.test_storage import child


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with Bucket() as server, connected(server):
        yield server


class Place:
    """A folder of either storage."""

    def __init__(self, uri: str, names: Callable[[], list[str]], content: Callable[[str], bytes]) -> None:
        self.uri, self.names, self.content = uri, names, content

    def is_whole(self) -> bool:
        """Return whether the video is that of the sidecar."""
        named: str = json.loads(self.content("x.mp4.json"))["sha256"]
        return named == hashlib.sha256(self.content("x.mp4")).hexdigest()


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(
            f"file://{tmp_path}", lambda: sorted(path.name for path in tmp_path.iterdir()), lambda name: (tmp_path / name).read_bytes()
        )
    server: Bucket = request.getfixturevalue("bucket")
    server.reset()
    return Place(f"s3://{CONNECTION}@{BUCKET}", server.names, server.content)


def published(place: Place, url: str, ident: str, if_exists: str, *, before_sidecar: Callable[[], object] = lambda: None) -> dict[str, Any]:
    def now() -> datetime:
        before_sidecar()
        return NOON

    return publish(
        GENERATION | {"result_urls": [url], "generation_id": ident},
        destination=f"{place.uri}/x.mp4",
        if_exists=if_exists,
        where=WHERE,
        fresh_urls=not_asked,
        guard=DownloadRules(allow_loopback=True),
        now=now,
        log=logging.getLogger("task"),
    )


def test_whoever_is_overtaken_while_overwriting_takes_its_sidecar_away_and_says_so(place: Place) -> None:
    with Cdn(whole(VIDEO)) as one, Cdn(whole(OTHER)) as other:

        def overtaken() -> None:
            published(place, other.url(), "quick", "overwrite")

        with pytest.raises(PublishFailed, match="was replaced while its sidecar was written") as caught:
            published(place, one.url(), "slow", "overwrite", before_sidecar=overtaken)
        assert not isinstance(caught.value, PublishRefused), "another try may help"
        assert place.names() == ["x.mp4"]
        assert place.content("x.mp4") == OTHER
        published(place, one.url(), "slow", "overwrite")
    assert place.is_whole()


def test_whoever_does_not_overwrite_is_overtaken_by_whoever_does(place: Place) -> None:
    with Cdn(whole(VIDEO)) as one, Cdn(whole(OTHER)) as other:

        def overtaken() -> None:
            published(place, other.url(), "quick", "overwrite")

        with pytest.raises(PublishRefused, match="belongs to generation quick already"):
            published(place, one.url(), "slow", "skip", before_sidecar=overtaken)
    assert place.is_whole()
    assert place.content("x.mp4") == OTHER


def test_the_same_video_by_two_tries_at_once_is_whole_in_the_end(place: Place) -> None:
    with Cdn(whole(VIDEO)) as cdn:
        published(place, cdn.url(), "n1", "overwrite", before_sidecar=lambda: published(place, cdn.url(), "n1", "overwrite"))
    assert place.is_whole()


@pytest.mark.parametrize(
    "if_exists",
    [
        pytest.param(("overwrite",) * 4, marks=pytest.mark.thorough),
        pytest.param(("skip",) * 4, marks=pytest.mark.thorough),
        ("skip", "overwrite", "skip", "overwrite"),
    ],
    ids="-".join,
)
def test_four_processes_at_once_leave_no_mixed_pair(place: Place, if_exists: tuple[str, ...]) -> None:
    """Rounds of real processes; each that says it has published is right unless a later one has replaced it."""
    check_writable(f"{place.uri}/")
    dice = random.Random(6)
    for _round in range(3):
        clips = [VIDEO + box(b"free", dice.randbytes(dice.randrange(100_000))) for _ in if_exists]
        cdns = [Cdn(whole(clip)) for clip in clips]
        try:
            work = [partial(published, place, cdn.url(), f"n{at}", if_exists[at]) for at, cdn in enumerate(cdns)]
            writers = [child(one) for one in work]  # type: ignore[arg-type]
            endings = [os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) for writer in writers]
        finally:
            for cdn in cdns:
                cdn.__exit__()
        assert place.names() in (["x.mp4"], ["x.mp4", "x.mp4.json"])
        if "x.mp4.json" in place.names():
            assert place.is_whole()
        else:
            assert set(endings) != {0}, "a pair without its sidecar has a task that says so"
        if set(if_exists) == {"skip"}:
            assert endings.count(0) <= 1
            break  # whoever came later would find the name taken

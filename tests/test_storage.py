from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.storage.destinations import check_writable, locate, shown_destination
from airflow_provider_happyhorse.storage.local import LocalStore
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable

ENVIRONMENT = {**os.environ, "PYTHONPATH": "."}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


#: Exit codes of :func:`child`.
RAISED: dict[type[BaseException], int] = {ObjectExists: 11, StorageUnavailable: 12}


def child(work: Callable[[], None]) -> int:
    """Fork a process that does some work (a fresh interpreter would spend seconds on importing Airflow); return its id."""
    number = os.fork()
    if number:
        return number
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  nothing may come back into the test that was forked
        os._exit(RAISED.get(type(error), 1))


def publish(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    with LocalStore().upload(str(path)) as upload:
        upload.write(data)
        upload.commit(str(path), overwrite=overwrite)


class TestDestinations:
    @pytest.mark.parametrize(
        ("written", "path", "is_folder", "uri"),
        [
            ("file:///data/clips/", "/data/clips", True, "file:///data/clips/"),
            ("/data/clips/", "/data/clips", True, "file:///data/clips/"),
            ("file:///data/x.mp4", "/data/x.mp4", False, "file:///data/x.mp4"),
            ("/data//./x.mp4", "/data/x.mp4", False, "file:///data/x.mp4"),
            ("FILE:///data/x.mp4", "/data/x.mp4", False, "file:///data/x.mp4"),
            ("local:///data/x.mp4", "/data/x.mp4", False, "file:///data/x.mp4"),
            ("file://localhost/data/x.mp4", "/data/x.mp4", False, "file:///data/x.mp4"),
            ("file://my_conn@/data/x.mp4", "/data/x.mp4", False, "file:///data/x.mp4"),
            ("/data/a#b?c%20d é.mp4", "/data/a#b?c%20d é.mp4", False, "file:///data/a#b?c%20d é.mp4"),
            ("/", "/", True, "file:///"),
        ],
    )
    def test_a_trailing_slash_is_a_folder_and_anything_else_the_exact_object(
        self, written: str, path: str, is_folder: bool, uri: str
    ) -> None:
        place = locate(written)
        assert (place.path, place.is_folder, place.uri) == (path, is_folder, uri)

    @pytest.mark.parametrize("scheme", ["gs", "gcs", "abfs", "az", "azure", "wasb", "sftp", "http", "memory", "GS"])
    def test_a_backend_that_is_not_proven_is_refused_by_name(self, scheme: str) -> None:
        with pytest.raises(PublishRefused, match=rf"^Publishing to {scheme.lower()}:// is not yet proven"):
            locate(f"{scheme}://conn@bucket/clips/")

    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            ("", "empty"),
            ("   ", "empty"),
            (None, "empty"),
            (Path("/data/clips/"), "is of type PosixPath, which forgets the '/'"),
            ("s3://bucket", "names no object. End it with '/'"),
            ("s3://conn@my bucket/x", "'my bucket' cannot be the name of a bucket"),
            ("s3://conn@bücket/", "cannot be the name of a bucket"),
            ("s3://bucket?x/", "cannot be the name of a bucket"),
            ("file:///data/clips/ ", "begins or ends with whitespace"),
            (" /data/x.mp4", "begins or ends with whitespace"),
            ("clips/", "relative"),
            ("./x.mp4", "relative"),
            ("~/clips/", "relative"),
            ("s3:bucket/x", "relative"),
            ("file:data/x.mp4", "relative"),
            ("file://data/x.mp4", "names the host 'data'"),
            ("/data/../etc/x.mp4", "climbs"),
            ("file:///data/../", "climbs"),
            ("/data/x\n.mp4", "characters"),
            ("/data/\0.mp4", "characters"),
            ("/data/\ud800.mp4", "characters"),
            ("/data/.", "names no object"),
            (f"/data/{'x' * 251}", "more than 255 bytes"),
            (f"/data/{'é' * 128}/", "more than 255 bytes"),
        ],
    )
    def test_a_destination_that_means_nothing_certain_is_refused(self, written: Any, reason: str) -> None:
        with pytest.raises(PublishRefused, match=reason):
            locate(written)

    def test_airflow_s_own_path_is_not_taken_for_text(self) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        with pytest.raises(PublishRefused, match="is of type ObjectStoragePath, which forgets"):
            locate(ObjectStoragePath("file:///data/clips/"))

    @pytest.mark.parametrize(
        ("written", "shown"),
        [
            ("s3://KEY:secret@bucket/x@y.mp4", "s3://***@y.mp4"),
            ("s3://KEY:sec/ret@bucket/x.mp4", "s3://***@bucket/x.mp4"),
            ("s3://KEY:secret", "s3://***"),
            ("s3://conn@bucket/a:b@c.mp4", "s3://conn@bucket/a:b@c.mp4"),
            ("/data/a:b@c.mp4", "/data/a:b@c.mp4"),
        ],
    )
    def test_what_is_shown_of_one_has_no_secret(self, written: str, shown: str) -> None:
        assert shown_destination(written) == shown

    @pytest.mark.parametrize("written", ["s3://KEY:geheim@bucket/x ", "s3://KEY:geheim@bucket/x\n", "s3://KEY:geheim@bucket/../x"])
    def test_a_refusal_of_one_shows_none_either(self, written: str) -> None:
        with pytest.raises(PublishRefused) as caught:
            locate(written)
        assert "geheim" not in str(caught.value)

    def test_airflow_opens_what_the_uri_names(self, tmp_path: Path) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        path = tmp_path / "a%3Ab é--n1.mp4"
        publish(path, b"video")
        assert ObjectStoragePath(locate(str(path)).uri).read_bytes() == b"video"


class TestCheckWritable:
    def test_it_creates_the_folders_and_leaves_nothing_in_them(self, tmp_path: Path) -> None:
        check_writable(f"file://{tmp_path}/a/b/")
        check_writable(f"{tmp_path}/c/d/x.mp4")
        assert names(tmp_path / "a" / "b") == []
        assert names(tmp_path / "c" / "d") == []

    def test_an_existing_object_does_not_matter_and_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "x.mp4").write_bytes(b"old")
        check_writable(f"{tmp_path}/x.mp4")
        assert (tmp_path / "x.mp4").read_bytes() == b"old"
        assert names(tmp_path) == ["x.mp4"]

    def test_a_file_where_a_folder_should_be_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(PublishRefused, match=r"Nothing can be published below file://.*/file/sub/: Not a directory"):
            check_writable(f"{tmp_path}/file/sub/")
        with pytest.raises(PublishRefused, match=r"below file://.*/file/: File exists"):
            check_writable(f"{tmp_path}/file/")

    def test_a_folder_without_its_slash_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PublishRefused, match=r"is a folder\. End it with '/'"):
            check_writable(str(tmp_path))

    @pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs a place where not even root may write")
    def test_an_unwritable_place_is_refused(self) -> None:
        with pytest.raises(PublishRefused, match=r"file:///proc/self/task/"):
            check_writable("/proc/self/task/")

    def test_a_file_system_without_hard_links_is_refused(self, tmp_path: Path) -> None:
        def link(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        with pytest.raises(PublishRefused, match="makes no hard links"):
            LocalStore(link=link).check_writable(str(tmp_path))
        assert names(tmp_path) == []


class TestWriting:
    def test_the_final_name_appears_only_when_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "x.mp4"
        with LocalStore().upload(str(path)) as upload:
            upload.write(b"first half, ")
            assert not path.exists()
            assert all(name.startswith(".") for name in names(tmp_path))
            upload.write(b"second half")
            with upload.reader() as file:
                assert file.read() == b"first half, second half"
            upload.commit(str(path), overwrite=False)
            assert path.read_bytes() == b"first half, second half"
            assert (upload.size, upload.sha256) == (23, hashlib.sha256(b"first half, second half").hexdigest())
        assert names(tmp_path) == ["x.mp4"]

    def test_bytes_that_got_lost_on_the_way_to_the_disk_are_noticed(self, tmp_path: Path) -> None:
        with LocalStore().upload(str(tmp_path / "x.mp4")) as upload:
            upload.write(b"video")
            os.truncate(next(tmp_path.iterdir()), 3)
            with pytest.raises(StorageUnavailable, match="3 of 5 bytes reached the disk"):
                upload.commit(str(tmp_path / "x.mp4"), overwrite=False)
        assert names(tmp_path) == []

    def test_others_may_read_it_as_the_umask_says(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            publish(tmp_path / "x.mp4", b"video")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "x.mp4").stat().st_mode) == 0o640

    def test_a_restart_forgets_what_was_written(self, tmp_path: Path) -> None:
        path = tmp_path / "x.mp4"
        with LocalStore().upload(str(path)) as upload:
            upload.write(b"a longer beginning that was cut")
            upload.restart()
            upload.write(b"whole")
            upload.commit(str(path), overwrite=False)
            assert (upload.size, upload.sha256) == (5, hashlib.sha256(b"whole").hexdigest())
        assert path.read_bytes() == b"whole"

    @pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
    def test_whatever_ends_it_leaves_the_older_file_and_nothing_else(self, tmp_path: Path, ending: type[BaseException]) -> None:
        path = tmp_path / "x.mp4"
        path.write_bytes(b"old")

        def interrupted() -> None:
            with LocalStore().upload(str(path)) as upload:
                upload.write(b"new")
                raise ending

        with pytest.raises(ending):
            interrupted()
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["x.mp4"]

    def test_a_large_one_is_hashed_and_written_to_the_disk_while_it_comes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        advised: list[tuple[int, int, int]] = []
        monkeypatch.setattr(
            os, "posix_fadvise", lambda number, begin, length, _: advised.append((begin, begin + length, os.fstat(number).st_size))
        )
        pieces = [os.urandom(700_000) for _ in range(8)]
        with LocalStore().upload(str(tmp_path / "x.mp4")) as upload:
            upload.write(pieces[7])
            upload.restart()
            for piece in pieces[:4]:
                upload.write(piece)
            assert upload.sha256 == hashlib.sha256(b"".join(pieces[:4])).hexdigest()
            for piece in pieces[4:]:
                upload.write(piece)
            upload.commit(str(tmp_path / "x.mp4"), overwrite=False)
            assert upload.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
        assert (tmp_path / "x.mp4").read_bytes() == b"".join(pieces)
        assert [begin for begin, _, _ in advised] == [0, *[end for _, end, _ in advised[:-1]]], "every byte once, in turn"
        assert all(end % (1 << 20) == 0 for _, end, _ in advised)
        assert all(end <= there for _, end, there in advised)
        assert advised[-1][1] == 5 << 20

    @pytest.mark.parametrize("size", [5, 3 << 20])
    def test_what_cannot_be_read_again_has_no_hash_however_often_it_is_asked_for(self, tmp_path: Path, size: int) -> None:
        with LocalStore().upload(str(tmp_path / "x.mp4")) as upload:
            upload.write(bytes(size))
            upload.write(b"video")
            os.truncate(next(tmp_path.iterdir()), 3)
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match="bytes are in the file"):
                    _ = upload.sha256
        assert names(tmp_path) == []

    def test_an_upload_that_is_not_committed_is_discarded(self, tmp_path: Path) -> None:
        with LocalStore().upload(str(tmp_path / "x.mp4")) as upload:
            upload.write(b"new")
        assert names(tmp_path) == []

    def test_an_existing_object_is_not_replaced_unless_asked(self, tmp_path: Path) -> None:
        path = tmp_path / "x.mp4"
        publish(path, b"old")
        with pytest.raises(ObjectExists):
            publish(path, b"new")
        assert path.read_bytes() == b"old"
        publish(path, b"new", overwrite=True)
        assert path.read_bytes() == b"new"
        assert names(tmp_path) == ["x.mp4"]

    def test_a_link_that_was_made_although_the_answer_was_lost_counts(self, tmp_path: Path) -> None:
        def link(source: str, target: str) -> None:
            os.link(source, target)
            raise FileExistsError(errno.EEXIST, "File exists")

        path = tmp_path / "x.mp4"
        with LocalStore(link=link).upload(str(path)) as upload:
            upload.write(b"video")
            upload.commit(str(path), overwrite=False)
        assert path.read_bytes() == b"video"

    def test_a_dangling_symbolic_link_is_something_that_exists(self, tmp_path: Path) -> None:
        (tmp_path / "x.mp4").symlink_to(tmp_path / "nowhere")
        with pytest.raises(ObjectExists):
            publish(tmp_path / "x.mp4", b"video")
        assert not (tmp_path / "nowhere").exists()

    def test_a_name_that_the_file_system_cannot_have_fails_for_good(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(PublishRefused, match="storage refuses"):
            publish(tmp_path / "file" / "x.mp4", b"video")

    def test_a_file_that_may_not_grow_further_leaves_nothing(self, tmp_path: Path) -> None:
        def write() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            with LocalStore().upload(str(tmp_path / "x.mp4")) as upload:
                for _ in range(10):
                    upload.write(bytes(300))

        assert os.waitstatus_to_exitcode(os.waitpid(child(write), 0)[1]) == RAISED[StorageUnavailable]
        assert names(tmp_path) == []

    def test_hashes_sizes_and_beginnings_of_what_is_there(self, tmp_path: Path) -> None:
        store = LocalStore()
        path = str(tmp_path / "x")
        assert (store.size(path), store.read(path, at_most=3), store.sha256(path)) == (None, None, None)
        Path(path).write_bytes(b"video")
        assert (store.size(path), store.read(path, at_most=3), store.sha256(path)) == (5, b"vid", hashlib.sha256(b"video").hexdigest())
        store.remove(path)
        store.remove(path)
        assert names(tmp_path) == []


def killed_writer(path: Path) -> None:
    """A process that is killed in the middle of an upload."""

    def write() -> None:
        with LocalStore().upload(str(path)) as upload:
            upload.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert os.waitstatus_to_exitcode(os.waitpid(child(write), 0)[1]) == -signal.SIGKILL


class TestAfterAKill:
    def test_the_next_try_cleans_up_what_was_left(self, tmp_path: Path) -> None:
        path = tmp_path / "x.mp4"
        killed_writer(path)
        (left,) = names(tmp_path)
        assert left.startswith(".happyhorse-")
        publish(path, b"whole")
        assert names(tmp_path) == ["x.mp4"]

    def test_it_leaves_other_names_alone(self, tmp_path: Path) -> None:
        killed_writer(tmp_path / "other.mp4")
        publish(tmp_path / "x.mp4", b"whole")
        assert len(names(tmp_path)) == 2

    def test_it_leaves_a_living_writer_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "x.mp4"
        with LocalStore().upload(str(path)) as slow:
            slow.write(b"slow and ")
            publish(path, b"quick")
            slow.write(b"whole")
            with slow.reader() as file:
                assert file.read() == b"slow and whole"
            with pytest.raises(ObjectExists):
                slow.commit(str(path), overwrite=False)
        assert path.read_bytes() == b"quick"
        assert names(tmp_path) == ["x.mp4"]

    def test_where_locks_do_not_work_only_old_ones_are_taken_for_abandoned(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "x.mp4"
        killed_writer(path)
        (left,) = names(tmp_path)

        def flock(number: int, operation: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", flock)
        publish(path, b"whole")
        assert left in names(tmp_path)
        os.utime(tmp_path / left, (0, 0))
        publish(path, b"again", overwrite=True)
        assert names(tmp_path) == ["x.mp4"]


def test_of_several_writers_of_one_name_exactly_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    writers = []
    for number in range(6):

        def write(data: bytes = bytes([number]) * 100_000) -> None:
            publish(path, data)

        writers.append(child(write))
    endings = [os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) for writer in writers]
    assert sorted(endings) == [0, *[RAISED[ObjectExists]] * 5]
    assert path.stat().st_size == 100_000
    assert len(set(path.read_bytes())) == 1
    assert names(tmp_path) == ["x.mp4"]


def test_importing_it_loads_no_http_and_no_storage_library() -> None:
    """Beyond what ``airflow.sdk`` (or on 2.11 ``airflow``) and our exceptions load themselves."""
    script = textwrap.dedent(
        """
        import sys
        import airflow_provider_happyhorse.exceptions
        before = set(sys.modules)
        import airflow_provider_happyhorse.storage.stores, airflow_provider_happyhorse.publishing.publish
        import airflow_provider_happyhorse.storage.local, airflow_provider_happyhorse.transports.download
        import airflow_provider_happyhorse.storage.s3
        heavy = ("boto3", "botocore", "airflow.providers.amazon")
        heavy += ("requests", "urllib3", "aiohttp", "fsspec", "upath", "airflow.io", "airflow.sdk.io", "certifi", "av", "PIL")
        print([name for name in heavy if name in set(sys.modules) - before])
        """
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_storage_failure_says_that_another_try_is_free(tmp_path: Path) -> None:
    def link(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    reason = r"No space left on device .*another try costs no credits"
    with LocalStore(link=link).upload(str(tmp_path / "x.mp4")) as upload, pytest.raises(StorageUnavailable, match=reason):
        upload.commit(str(tmp_path / "x.mp4"), overwrite=False)
    assert names(tmp_path) == []

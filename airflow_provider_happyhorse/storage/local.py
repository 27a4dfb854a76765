"""Local and mounted file systems: a hidden temporary file beside the final name, synced, then linked or renamed to it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable
from airflow_provider_happyhorse.storage.written import STEP, Written

#: Hidden, and short whatever the final name's length: names may have 255 bytes.
_PREFIX = ".happyhorse-"
_PROBE = "probe"
#: Where locks do not work, a temporary file is taken for abandoned this many seconds after its last write.
_ABANDONED_AFTER = 86_400
#: Another try meets the same answer; every other error may pass (ENOSPC, EIO, ESTALE, ...).
_LASTING = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EEXIST,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.EILSEQ,
    }
)


class LocalStore:
    """The :class:`~airflow_provider_happyhorse.storage.stores.Store` of this machine's file systems.

    :param link: creates a hard link, failing if the name is taken; an argument because not every file system can.
    """

    def __init__(self, *, link: Callable[[str, str], None] = os.link) -> None:
        self._link = link

    def uri(self, path: str) -> str:
        """Return ``file://`` and the path as it is: fsspec decodes no percent signs."""
        return f"file://{path}"

    def check_writable(self, folder: str) -> None:
        """Create the folder, then an exclusive file in it and a hard link to that, and remove both."""
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with self.upload(f"{folder}/{_PROBE}") as upload:
                upload.write(b"may be removed")
                probe = f"{folder}/{_temporary_name(_PROBE)}"
                upload.commit(probe, overwrite=False)
                self.remove(probe)
        except (OSError, StorageUnavailable) as error:
            reason = f"{error.strerror} (errno {error.errno})" if isinstance(error, OSError) else str(error)
            text = f"Nothing can be published below {self.uri(folder)}/: {reason}"
            cause = error if isinstance(error, OSError) else error.__cause__
            # ENOENT: the folder has just been made, where one can be.
            if isinstance(cause, OSError) and cause.errno in _LASTING | {errno.ENOENT}:
                raise PublishRefused(f"{text}.") from error
            raise StorageUnavailable(text) from error

    def is_folder(self, path: str) -> bool:
        """Return whether the path is an existing folder."""
        return os.path.isdir(path)  # noqa: PTH112  one style of path in this module

    def size(self, path: str) -> int | None:
        """Return the size in bytes, None when there is no such file."""
        with _translated(path), suppress(FileNotFoundError):
            return os.stat(path).st_size  # noqa: PTH116
        return None

    def read(self, path: str, *, at_most: int) -> bytes | None:
        """Return the first bytes, None when there is no such file."""
        with _translated(path), suppress(FileNotFoundError), open(path, "rb") as file:  # noqa: PTH123
            return file.read(at_most)
        return None

    def sha256(self, path: str) -> str | None:
        """Return the SHA-256 in hexadecimal, None when there is no such file."""
        with _translated(path), suppress(FileNotFoundError), open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").hexdigest()
        return None

    def stamp(self, path: str) -> str | None:
        """Return device, inode, size and time of the last write, None when there is no such file."""
        with _translated(path), suppress(FileNotFoundError):
            return _stamp(os.stat(path))  # noqa: PTH116
        return None

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        with _translated(path):
            Path(path).unlink(missing_ok=True)

    def settle(self, folder: str) -> None:
        """Sync the folder, where its file system can: those that cannot say EINVAL."""
        with _translated(folder):
            number = os.open(folder or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(number)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
                    raise
            finally:
                os.close(number)

    @contextmanager
    def upload(self, path: str) -> Iterator[LocalUpload]:
        """Open a locked temporary file in the folder of ``path``; it is gone when the context ends, however it ends."""
        folder, _, name = path.rpartition("/")
        folder = folder or "/"
        with _translated(path):
            Path(folder).mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder, name)
            temporary, file = _create(folder, name)
        # From here on also KeyboardInterrupt and a SIGTERM turned into an exception leave nothing behind.
        try:
            with closing(LocalUpload(temporary=temporary, file=file, link=self._link)) as upload:
                yield upload
        finally:
            with file:
                Path(temporary).unlink(missing_ok=True)


class LocalUpload(Written):
    """The :class:`~airflow_provider_happyhorse.storage.stores.Upload` into a temporary file beside the final name."""

    def __init__(self, *, temporary: str, file: FileIO, link: Callable[[str, str], None]) -> None:
        super().__init__(file=file, translated=partial(_translated, temporary))
        self._temporary = temporary
        self._link = link
        self._begun = 0  # bytes that the disk has been told of

    def _follow(self, begin: int, end: int) -> None:
        """Have the disk begin with what is written, or the sync in the end would wait for all of it; then hash it."""
        whole = end - end % STEP
        if whole > self._begun and hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # a mere advice, which no write depends on
                # On Linux it starts the writing; what is on its way to the disk stays in memory until it is hashed.
                os.posix_fadvise(self._file.fileno(), self._begun, whole - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = whole
        super()._follow(begin, end)

    def restart(self) -> None:
        """Empty the file."""
        super().restart()
        self._begun = 0

    def commit(self, path: str, *, overwrite: bool, content_type: str = "") -> str:  # noqa: ARG002  files have none
        """Sync, then give the whole file its final name: by rename when it may replace, by link when it may not."""
        if self._followed:
            self._catch_up()  # while this thread waits for the disk
        with _translated(path):
            os.fsync(self._file.fileno())
            there = os.fstat(self._file.fileno())
            if there.st_size != self.size:
                raise OSError(errno.EIO, f"{there.st_size} of {self.size} bytes reached the disk")
            if overwrite:
                os.replace(self._temporary, path)  # noqa: PTH105
            else:
                self._link_to(path)
        return _stamp(there)

    def _link_to(self, path: str) -> None:
        """Only link() makes a whole file appear and never replaces one: rename() would replace, and mode ``x`` shows it empty first."""
        try:
            self._link(self._temporary, path)
        except FileExistsError as error:
            # NFS may lose the answer to a link that was made, and the client asks again (open(2), O_EXCL).
            if not os.path.samestat(os.lstat(path), os.fstat(self._file.fileno())):
                raise ObjectExists(f"file://{path}") from error
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise PublishRefused(
                    f"The file system of {path} makes no hard links ({error.strerror}), and without them two tasks could overwrite "
                    "each other unnoticed. Publish to another file system."
                ) from error
            raise


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Say of an ``OSError`` whether another try can help."""
    try:
        yield
    except OSError as error:
        text = f"{error.strerror or error} (errno {error.errno}) at {path}"
        if error.errno in _LASTING:
            raise PublishRefused(f"The storage refuses: {text}.") from error
        raise StorageUnavailable(f"The storage failed: {text}; another try costs no credits") from error


def _stamp(there: os.stat_result) -> str:
    return f"{there.st_dev}-{there.st_ino}-{there.st_size}-{there.st_mtime_ns}"


def _temporary_prefix(name: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-"


def _temporary_name(name: str) -> str:
    return f"{_temporary_prefix(name)}{secrets.token_hex(8)}.part"


def _create(folder: str, name: str) -> tuple[str, FileIO]:
    """Create a temporary file of our own and lock it, so that the next try can tell a dead writer's from a living one's."""
    while True:
        path = f"{folder}/{_temporary_name(name)}"
        # Not tempfile: its mode 0600 would stay with the published file. 0666 leaves the decision to the umask, like any new file.
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        file = FileIO(number, "r+")
        if _lock(number) is not False and os.fstat(number).st_nlink > 0:
            return path, file
        file.close()  # between open and lock a cleaner took it for abandoned and removed it


def _lock(number: int) -> bool | None:
    """Return whether the lock was taken; None where the file system has none."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(folder: str, name: str) -> None:
    """Remove what killed tries for the same name have left; living writers hold a lock."""
    prefix = _temporary_prefix(name)
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(".part")]
    for path in left:
        with suppress(FileNotFoundError), open(path, "r+b") as file:  # noqa: PTH123
            locked = _lock(file.fileno())
            if locked or (locked is None and time.time() - os.fstat(file.fileno()).st_mtime > _ABANDONED_AFTER):
                os.unlink(path)  # noqa: PTH108

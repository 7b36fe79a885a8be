"""One process owns a cache directory. Owns the lock file; must never remove it, for a lock on a removed file is no
lock.

``flock`` is used because it belongs to the open file: it survives twistd's fork, and ends with the process however that
ends."""

from __future__ import annotations

import errno
import fcntl
import os

from lf6gateway.disk.filesystem import DIR_MODE, FILE_MODE


class CacheInUse(Exception):
    """Another process has the cache directory.

    :param cache_dir: the directory.
    :param pid: the process, or ``None`` if it did not say.
    """

    def __init__(self, cache_dir: str, pid: int | None) -> None:
        who = "another process" if pid is None else f"the process with pid {pid}"
        super().__init__(
            f"cache_dir {cache_dir} is in use by {who}; stop that one first, or give this one a cache_dir of its own"
        )
        self.cache_dir = cache_dir
        self.pid = pid


class CacheLock:
    """The right to a cache directory.

    :param cache_dir: the directory, made if it is not there.
    """

    def __init__(self, cache_dir: str) -> None:
        self._cache_dir = cache_dir
        self._descriptor = -1

    def acquire(self) -> None:
        """Take it, and write this process's pid into the file. Blocks for a moment.

        :raises CacheInUse: another process has it.
        :raises OSError: the directory cannot be made or written.
        """
        os.makedirs(self._cache_dir, DIR_MODE, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(os.path.join(self._cache_dir, "lock"), flags, FILE_MODE)
        try:
            if not _locked(descriptor):
                raise CacheInUse(self._cache_dir, _pid(descriptor))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; doing so twice is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def in_use(cache_dir: str) -> CacheInUse | None:
    """Whether another process has a cache directory now, as the error to show; makes no file."""
    try:
        descriptor = os.open(os.path.join(cache_dir, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None  # what is wrong with the directory shows when it is claimed
    try:
        return None if _locked(descriptor) else CacheInUse(cache_dir, _pid(descriptor))
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None

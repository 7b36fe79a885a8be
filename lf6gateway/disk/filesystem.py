"""The file system as a narrow interface: every effect on disk of the spool goes through it, so that a test can
stand a model with torn writes, lost renames and full disks in its place. Owns nothing; must never buffer, retry or
decide. All calls block, and so run in threads; every error is an ``OSError`` with the path in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

FILE_MODE = 0o600
DIR_MODE = 0o700
_IOV_MAX = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory; ``size`` in bytes, ``mtime_ns`` in nanoseconds since 1970."""

    name: str
    is_dir: bool
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on the file system for us: bytes and inodes (``None`` where it does not count them)."""

    free_bytes: int
    free_inodes: int | None


class Handle(Protocol):
    """An open file. Writes go to its end; reads are from any place and leave no position behind."""

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append all the parts, whole, or raise ``OSError`` (an unknown part of them may then be in the file)."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer only at the end of the file."""

    def size(self) -> int:
        """The file's length in bytes."""

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes within the file (for a header whose values are known last)."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def sync(self) -> None:
        """Return once the file's bytes and length are on stable storage (``fdatasync``)."""

    def close(self) -> None:
        """Release the descriptor; closing twice is no error."""


class FileSystem(Protocol):
    """The directory operations the spool uses. Paths are absolute strings."""

    def create(self, path: str) -> Handle:
        """A new, empty file for reading and appending; ``FileExistsError`` if the name is taken."""

    def open(self, path: str, *, writable: bool = False) -> Handle:
        """An existing file; ``FileNotFoundError`` if there is none."""

    def rename(self, source: str, target: str) -> None:
        """Atomically give a file or folder another name, replacing a file that had it."""

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; ``OSError`` where the file system has no such thing."""

    def unlink(self, path: str) -> None:
        """Remove a file; ``FileNotFoundError`` if there is none."""

    def make_dirs(self, path: str) -> None:
        """Create a folder and its missing parents, each one's entry made durable."""

    def remove_dir(self, path: str) -> None:
        """Remove an empty folder; ``OSError`` if it is not empty."""

    def sync_dir(self, path: str) -> None:
        """Return once the names in a folder are on stable storage (``fsync`` of the folder)."""

    def scan(self, path: str) -> Iterator[Entry]:
        """The entries of a folder in no order, lazily; nothing for a folder that is not there."""

    def exists(self, path: str) -> bool:
        """Whether the name leads to anything."""

    def room(self, path: str) -> Room:
        """What is free on the file system that holds ``path``."""


class _OsHandle:
    """A descriptor of the operating system."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        waiting = [memoryview(part).cast("B") for part in parts if len(part)]
        while waiting:
            written = os.writev(self._descriptor, waiting[:_IOV_MAX])
            done = 0
            for part in waiting:
                if written < len(part):
                    break
                written -= len(part)
                done += 1
            del waiting[:done]
            if written:
                waiting[0] = waiting[0][written:]

    def read_at(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        got = len(data)
        while got < size:
            more = os.pread(self._descriptor, size - got, offset + got)
            if not more:
                break
            parts.append(more)
            got += len(more)
        return b"".join(parts)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def patch(self, offset: int, data: bytes) -> None:
        # Linux appends with pwrite where O_APPEND is set, so files are opened without it and written at their end.
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view = view[written:]
            offset += written

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class DurableFolders:
    """``FileSystem.make_dirs``, on top of the other operations. A folder that is there need not be durable: the process
    that made it may have been killed, or its sync have failed. So each is made durable once by each process."""

    def __init__(self) -> None:
        self._durable: set[str] = set()

    def make_dir(self, path: str) -> None:
        """Create one folder; ``FileExistsError`` if the name is taken."""
        raise NotImplementedError

    def is_dir(self, path: str) -> bool:
        """Whether there is a folder of this name."""
        raise NotImplementedError

    def sync_dir(self, path: str) -> None:
        """See ``FileSystem``."""
        raise NotImplementedError

    def make_dirs(self, path: str) -> None:
        """See ``FileSystem``."""
        there = self.is_dir(path)
        if there and path in self._durable:
            return
        parent = os.path.dirname(path)
        if parent != path:
            self.make_dirs(parent)
            if not there:
                try:
                    self.make_dir(path)
                except FileExistsError:
                    there = True
            try:
                self.sync_dir(parent)
            except PermissionError:
                if not there:
                    raise
                # A folder above ours that is somebody else's, who has seen to it.
        self._durable.add(path)

    def forget(self, path: str) -> None:
        """A folder was removed."""
        self._durable.discard(path)


class OsFileSystem(DurableFolders):
    """The real one."""

    def create(self, path: str) -> Handle:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return _OsHandle(os.open(path, flags, FILE_MODE), path)

    def open(self, path: str, *, writable: bool = False) -> Handle:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags)
        if writable:
            os.lseek(descriptor, 0, os.SEEK_END)
        return _OsHandle(descriptor, path)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def link(self, source: str, target: str) -> None:
        os.link(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def make_dir(self, path: str) -> None:
        os.mkdir(path, DIR_MODE)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)

    def remove_dir(self, path: str) -> None:
        os.rmdir(path)
        self.forget(path)

    def sync_dir(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def scan(self, path: str) -> Iterator[Entry]:
        try:
            entries = os.scandir(path)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield Entry(entry.name, entry.is_dir(follow_symlinks=False), found.st_size, found.st_mtime_ns)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def room(self, path: str) -> Room:
        found = os.statvfs(path)
        inodes = found.f_favail if found.f_files else None
        return Room(found.f_bavail * found.f_frsize, inodes)

"""A file system whose syncs are timed. Owns the stopwatch around them; must never change what is done, nor its
order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from lf6gateway.disk.filesystem import Entry, FileSystem, Handle, Room
from lf6gateway.values.histogram import Histogram
from lf6gateway.values.stream import Stream

OTHER: Final = "other"
"""Stands for a stream where a file belongs to none."""


class Syncs:
    """How long syncs took, in seconds, by stream. Any thread may count."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.seconds: dict[str, Histogram] = {name: Histogram() for name in (*Stream, OTHER)}

    def observe(self, name: str, seconds: float) -> None:
        """One more."""
        with self._guard:
            self.seconds[name].observe(seconds)

    def take(self) -> dict[str, tuple[list[int], float]]:
        """What was counted since the last call."""
        with self._guard:
            return {name: one.take() for name, one in self.seconds.items() if one.count}

    def add(self, more: dict[str, tuple[list[int], float]]) -> None:
        """What another process has counted."""
        with self._guard:
            for name, (counts, total) in more.items():
                self.seconds[name].add(counts, total)


class TimedFileSystem:
    """See the module; a ``FileSystem``.

    :param inside: does the work.
    :param syncs: is told how long each sync took.
    :param now: seconds from any beginning, never backwards.
    """

    def __init__(self, inside: FileSystem, syncs: Syncs, now: Callable[[], float]) -> None:
        self._inside = inside
        self._syncs = syncs
        self._now = now
        self.rename = inside.rename
        self.link = inside.link
        self.unlink = inside.unlink
        self.make_dirs = inside.make_dirs
        self.remove_dir = inside.remove_dir
        self.exists = inside.exists

    def create(self, path: str) -> Handle:
        """See ``FileSystem``."""
        return _TimedHandle(self._inside.create(path), stream_of(path), self._syncs, self._now)

    def open(self, path: str, *, writable: bool = False) -> Handle:
        """See ``FileSystem``."""
        opened = self._inside.open(path, writable=writable)
        return _TimedHandle(opened, stream_of(path), self._syncs, self._now) if writable else opened

    def sync_dir(self, path: str) -> None:
        """See ``FileSystem``."""
        begun = self._now()
        self._inside.sync_dir(path)
        self._syncs.observe(stream_of(path + "/"), self._now() - begun)

    def scan(self, path: str) -> Iterator[Entry]:
        """See ``FileSystem``."""
        return self._inside.scan(path)

    def room(self, path: str) -> Room:
        """See ``FileSystem``."""
        return self._inside.room(path)


class _TimedHandle:
    """A handle whose syncs are timed."""

    __slots__ = ("_now", "_stream", "_sync", "_syncs", "close", "patch", "read_at", "size", "truncate", "write")

    def __init__(self, inside: Handle, stream: str, syncs: Syncs, now: Callable[[], float]) -> None:
        self._sync = inside.sync
        self._stream = stream
        self._syncs = syncs
        self._now = now
        self.write: Callable[[Sequence[bytes | bytearray | memoryview]], None] = inside.write
        self.read_at = inside.read_at
        self.size = inside.size
        self.patch = inside.patch
        self.truncate = inside.truncate
        self.close = inside.close

    def sync(self) -> None:
        """See ``Handle``."""
        begun = self._now()
        self._sync()
        self._syncs.observe(self._stream, self._now() - begun)


def stream_of(path: str) -> str:
    """The stream that a file below ``cache_dir/spool`` belongs to."""
    parts = path.rsplit("/", 3)
    return parts[1] if len(parts) == 4 and parts[1] in _STREAMS else OTHER


_STREAMS: Final = frozenset(stream.value for stream in Stream)

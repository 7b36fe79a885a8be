"""A specimen on its way from the socket to disk. Owns the file while it is written, and the order of effects that ends
in its acknowledgement; must never block the reactor, nor hold more than its caller lets wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.specimen_file import WITHDRAWN, Head, encode_head, encode_trailer
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.values.pieces import Pieces

_log = Logger()

LOW_WATER: Final = 256 * 1024
"""Bytes waiting below which ``when_drained`` fires."""


class SpaceLike(Protocol):
    """Who keeps count of the disk (``disk/space.py``)."""

    def add(self, size: int) -> None:
        """So many bytes are about to be written."""

    def remove(self, size: int, *, drained: bool = True) -> None:
        """So many bytes are gone."""

    def add_file(self) -> None:
        """A file was made."""

    def note_failure(self, detail: str) -> None:
        """The disk failed."""

    def note_success(self) -> None:
        """The disk takes writes."""


def final_path(path: str) -> str:
    """The name of a whole specimen, by that of the unfinished one."""
    return path.removesuffix(".part") + ".spec"


def give_name(fs: FileSystem, path: str) -> str:
    """Give a specimen that is whole and synced its final name, durably: from then on it counts. Blocks; its path.

    Where that fails its sender is refused, and sends it again, perhaps; so it must never count, though it cannot be
    removed, or comes back under that name when the power fails: first it is made a file that says so."""
    final = final_path(path)
    try:
        fs.rename(path, final)
        fs.sync_dir(os.path.dirname(path))
    except OSError:
        try:
            _withdraw(fs, final)
        except FileNotFoundError:
            pass  # it was not renamed
        except OSError as error:
            _log.error("{path} was refused, and may be delivered all the same: {error}", path=final, error=str(error))
        raise
    return final


def _withdraw(fs: FileSystem, path: str) -> None:
    handle = fs.open(path, writable=True)
    try:
        last = len(WITHDRAWN) - 1
        handle.patch(last, WITHDRAWN[last:])
        handle.truncate(len(WITHDRAWN))
        handle.sync()
    finally:
        handle.close()


class SpecimenWriter:
    """Writes one specimen.

    :param path: its name while it is written, ending in ``.part``.
    :param committed: told the final path and size once it is acknowledged.
    :param ended: told ``path`` when nothing more is done to the file.
    :param named: a commit gives it its final name; else that is left to whoever is told, with the path it has.
    """

    def __init__(
        self,
        *,
        fs: FileSystem,
        path: str,
        head: Head,
        offload: Offload,
        space: SpaceLike,
        committed: Callable[[str, int], None],
        ended: Callable[[str], None],
        named: bool = True,
    ) -> None:
        self._fs = fs
        self._path = path
        self._named = named
        self._head = head
        self._offload = offload
        self._space = space
        self._committed = committed
        self._told_ended = ended
        self._handle: Handle | None = None
        self._digest = sha256()
        self._length = 0
        self._size = 0
        self._queue = Pieces()
        self._queued = 0
        self._in_flight = 0
        self._failed: OSError | None = None
        self._ending: Callable[[], None] | None = None
        self._ended: Deferred[None] | None = None
        self._drained: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        """Bytes written and not yet passed to the file system."""
        return self._queued + self._in_flight

    def write(self, data: bytes) -> None:
        """Queue some more; never blocks."""
        if self._ended is not None:
            raise RuntimeError("the specimen is ended")
        if self._failed is None and data:
            self._queue.add(data)
            self._queued += len(data)
            self._pump()

    def when_drained(self) -> Deferred[None]:
        """Fires when little is waiting; fails with ``SpoolUnavailable`` if the disk does."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._tell_drained()
        return drained

    def commit(self) -> Deferred[None]:
        """Fires when the whole specimen is on stable storage, file and name."""
        return self._end(self._commit)

    def abort(self) -> Deferred[None]:
        """Forget it; fires when nothing of it is left. Once it is ended, however, that stays as it is."""
        if self._ended is not None:
            return succeed(None)
        self._queue.clear()
        self._queued = 0
        return self._end(self._abort)

    def _end(self, ending: Callable[[], None]) -> Deferred[None]:
        if self._ended is not None:
            raise RuntimeError("the specimen is ended")
        self._ended = Deferred()
        ended = self._ended
        self._ending = ending
        self._pump()
        return ended

    def _pump(self) -> None:
        if self._in_flight:
            return
        if self._queue and self._failed is None:
            parts = self._queue.take()
            self._in_flight, self._queued = self._queued, 0
            self._offload(lambda: self._write(parts)).addBoth(self._written)
        elif self._ending is not None:
            ending, self._ending = self._ending, None
            self._in_flight = 1
            self._offload(ending).addBoth(self._finished, ending == self._commit)

    def _written(self, outcome: object) -> None:
        self._in_flight = 0
        if isinstance(outcome, Failure):
            self._fail(outcome)
        self._pump()
        self._tell_drained()

    def _fail(self, failure: Failure) -> None:
        error = failure.value
        self._failed = error if isinstance(error, OSError) else OSError(str(error))
        self._queue.clear()
        self._queued = 0
        self._space.note_failure(str(error))
        _log.error("{path}: the specimen could not be written: {error}", path=self._path, error=str(error))

    def _tell_drained(self) -> None:
        if self._failed is not None:
            waiting, self._drained = self._drained, []
            for drained in waiting:
                drained.errback(self._unavailable())
        elif self.waiting <= LOW_WATER:
            waiting, self._drained = self._drained, []
            for drained in waiting:
                drained.callback(None)

    def _unavailable(self) -> SpoolUnavailable:
        return SpoolUnavailable("disk_failing", f"the disk failed: {self._failed}", 5)

    def _finished(self, outcome: object, committed: bool) -> None:
        ended = self._ended
        assert ended is not None
        self._told_ended(self._path)
        if isinstance(outcome, Failure):
            if self._failed is None:
                self._fail(outcome)
            ended.errback(self._unavailable())
            return
        if committed:
            self._space.note_success()
            self._committed(self._final if self._named else self._path, self._size)
        ended.callback(None)

    @property
    def path(self) -> str:
        """Its name while it is written."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of its file."""
        return self._size

    @property
    def _final(self) -> str:
        return final_path(self._path)

    def _opened(self) -> Handle:
        """The file, made at its first byte. From here on in the thread."""
        if self._handle is None:
            self._fs.make_dirs(os.path.dirname(self._path))
            try:
                self._handle = self._fs.create(self._path)
            except FileNotFoundError:
                # The folder of an earlier hour, removed as empty between the two calls.
                self._fs.make_dirs(os.path.dirname(self._path))
                self._handle = self._fs.create(self._path)
            self._space.add_file()
            self._put([encode_head(self._head)])
        return self._handle

    def _put(self, parts: list[bytes]) -> None:
        assert self._handle is not None
        size = sum(map(len, parts))
        self._space.add(size)
        self._size += size
        self._handle.write(parts)

    def _write(self, parts: list[bytes]) -> None:
        self._opened()
        for part in parts:
            self._digest.update(part)
            self._length += len(part)
        self._put(parts)

    def _commit(self) -> None:
        if self._failed is not None:
            self._discard()
            raise self._failed
        try:
            handle = self._opened()
            self._put([encode_trailer(self._length, self._digest.digest())])
            handle.sync()
            handle.close()
            if self._named:
                give_name(self._fs, self._path)
        except OSError:
            self._discard()
            raise

    def _abort(self) -> None:
        self._discard()

    def _discard(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        handle.close()
        self._space.remove(self._size, drained=False)
        for path in (self._path, self._final):
            try:
                self._fs.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warn("{path} stays behind until the next start: {error}", path=path, error=str(error))

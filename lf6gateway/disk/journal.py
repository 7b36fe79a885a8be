"""The journal of one stream: entries go to the end of a segment, and are acknowledged when they are on stable storage.
Owns the group commit and the segment being written; must never touch a closed segment, nor block the reactor.

Entries that arrive while a flush runs wait for the next one and share it: one write and one ``fdatasync`` for all of
them, in one call off the reactor. A segment holds one reception hour; an entry of another hour closes it. After an
error of write or sync nobody knows which bytes the disk has (the kernel may call a lost page clean), so that segment
is never written to again: it is closed at its last durable length, and the next flush opens another."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.disk.folders import file_name, hour_folder, last_ordinal
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.segment import Segment
from lf6gateway.disk.space import Space
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.histogram import AMOUNTS, SECONDS, SIZES, Histogram
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream

_log = Logger()

_CUTS: Final = 3
"""How often it is tried to cut off what was refused: a disk that has failed once often works the next moment."""

Told = Callable[[Exception | None], None]
"""Told that an entry is on stable storage (``None``), or why it is not."""

FLUSH_BYTES: Final = 8 * 1024 * 1024
"""One flush takes no more than this, unless a single entry is larger."""

_FRAME_COST: Final = 128
"""What an entry's frame is reckoned to take beside its lines, in bytes."""


@dataclass(slots=True)
class _Open:
    """The segment being written; ``durable`` is how many of its bytes were synced, ``first_ns`` when its first record
    was received."""

    slot: Slot
    ordinal: int
    id: str
    path: str
    handle: Handle
    durable: int
    first_ns: int


@dataclass(frozen=True, slots=True)
class _Flushed:
    """What one flush came to: the segments it closed, how many of its entries (the first ones) are on stable storage,
    and the error that ended it, if one did."""

    closed: tuple[Segment, ...]
    written: int
    kept: int
    error: OSError | None


class Journal:
    """Appends entries durably.

    :param root: ``cache_dir/spool``.
    :param offload: runs one flush at a time off the reactor.
    :param segment_bytes: a segment of this size is closed.
    :param new_id: 32 fresh hex digits at each call.
    :param closed: told, in the reactor, of each segment that will not be written to any more.
    :param kept: told, in the reactor, of the entries of each flush that are on stable storage.
    :param now: seconds from any beginning, never backwards, by which flushes are timed.
    """

    def __init__(
        self,
        *,
        fs: FileSystem,
        root: str,
        stream: Stream,
        offload: Offload,
        space: Space,
        segment_bytes: int,
        new_id: Callable[[], str],
        closed: Callable[[Segment], None],
        kept: Callable[[Sequence[Entry]], None] = lambda entries: None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._fs = fs
        self._root = root
        self._stream = stream
        self._offload = offload
        self._space = space
        self._segment_bytes = segment_bytes
        self._new_id = new_id
        self._closed = closed
        self._kept = kept
        self._now = now
        self._begun = 0.0
        self._first_in_flight: int | None = None
        self._pending: deque[tuple[Entry, Told]] = deque()
        self._rotations: list[Deferred[None]] = []
        self._flushing = False
        self._in_flight: tuple[Slot, ...] = ()
        self._ended = False
        self._abandoned = False
        self._open: _Open | None = None  # touched by the flush alone while one runs
        self._ordinals: tuple[Slot, int] | None = None
        self.waiting_bytes = 0
        self.flushes = 0
        self.entries = 0
        self.failures = 0
        self.seconds = Histogram(SECONDS)
        """How long flushes took, from their beginning until the reactor knew of their end."""
        self.flushed = Histogram(AMOUNTS)
        """How many requests shared one."""
        self.flushed_bytes = Histogram(SIZES)
        """How many bytes one wrote, about."""

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest record was received that is in no closed segment, nanoseconds since 1970."""
        present = self._open
        if present is not None:
            return present.first_ns
        if self._first_in_flight is not None:
            return self._first_in_flight
        return self._pending[0][0].received_ns if self._pending else None

    @property
    def open_slot(self) -> Slot | None:
        """The hour of the segment being written, if there is one."""
        present = self._open
        return None if present is None else present.slot

    def has_waiting(self, slot: Slot) -> bool:
        """Whether anything of an hour is not yet in a closed segment."""
        return (
            self.open_slot == slot
            or slot in self._in_flight
            or any(Slot.at(entry.received_ns) == slot for entry, _ in self._pending)
        )

    def append(self, entry: Entry) -> Deferred[None]:
        """Add an entry; fires when it is on stable storage, in the order of the calls.

        Fails with ``SpoolUnavailable`` if it could not be written; nothing of it is then delivered from this
        process."""
        acknowledged: Deferred[None] = Deferred()
        self.add(entry, lambda error: acknowledged.callback(None) if error is None else acknowledged.errback(error))
        return acknowledged

    def add(self, entry: Entry, told: Told) -> None:
        """As ``append``, without a Deferred for each: ``told`` is called with ``None``, or with the error."""
        if self._ended:
            told(SpoolUnavailable("draining", "the gateway is stopping"))
            return
        self._pending.append((entry, told))
        self.waiting_bytes += len(entry.lines) + _FRAME_COST
        if not self._flushing:
            self._flush()

    def rotate(self) -> Deferred[None]:
        """Close the present segment behind everything appended so far; fires when it is closed."""
        done: Deferred[None] = Deferred()
        if self._abandoned:
            done.callback(None)
            return done
        self._rotations.append(done)
        if not self._flushing:
            self._flush()
        return done

    def close(self) -> Deferred[None]:
        """Take no more, write what waits, and close the segment."""
        self._ended = True
        return self.rotate()

    def abandon(self) -> None:
        """Begin no further flush: what waits for one is refused, and a segment that is open stays to the next start."""
        self._ended = self._abandoned = True
        pending, self._pending = self._pending, deque()
        rotations, self._rotations = self._rotations, []
        for entry, told in pending:
            self.waiting_bytes -= len(entry.lines) + _FRAME_COST
            told(SpoolUnavailable("draining", "the gateway is stopping"))
        for done in rotations:
            done.callback(None)

    def _flush(self) -> None:
        group: list[tuple[Entry, Told]] = []
        size = 0
        while self._pending:
            entry = self._pending[0][0]
            cost = len(entry.lines) + _FRAME_COST
            if group and size + cost > FLUSH_BYTES:
                break
            size += cost
            group.append(self._pending.popleft())
        rotations: list[Deferred[None]] = []
        if not self._pending:
            rotations, self._rotations = self._rotations, rotations
        if not group and not rotations:
            return
        self._flushing = True
        entries = [entry for entry, _ in group]
        # The flush may close the present segment in its thread, before anybody is told of it.
        slots = {present.slot} if (present := self._open) is not None else set()
        self._in_flight = tuple(slots.union(Slot.at(entry.received_ns) for entry in entries[:1] + entries[-1:]))
        self._begun = self._now()
        self._first_in_flight = entries[0].received_ns if entries else None
        work = self._offload(lambda: self._write(entries, bool(rotations)))
        work.addBoth(self._flushed, group, rotations, size)

    def _flushed(
        self,
        outcome: _Flushed | Failure,
        group: list[tuple[Entry, Told]],
        rotations: list[Deferred[None]],
        size: int,
    ) -> None:
        self._flushing = False
        self._in_flight = ()
        self._first_in_flight = None
        self.flushes += 1
        if group:
            self.seconds.observe(self._now() - self._begun)
            self.flushed.observe(len(group))
            self.flushed_bytes.observe(size)
        self.waiting_bytes -= size
        error: BaseException | None
        kept = 0
        if isinstance(outcome, Failure):
            error = outcome.value
            _log.failure("a flush of {stream} failed", failure=outcome, stream=self._stream.value)
        else:
            error = outcome.error
            kept = outcome.kept
            for segment in outcome.closed:
                self._closed(segment)
        self.entries += kept
        if error is None:
            if group:
                self._space.note_success()
        elif group:
            self.failures += 1
            self._space.note_failure(str(error))
        # The next flush begins before anybody is told, so the disk does not wait for answers to be made.
        if self._pending or self._rotations:
            self._flush()
        unavailable = None if error is None else SpoolUnavailable("disk_failing", f"the disk failed: {error}", 5)
        for place, (entry, told) in enumerate(group):
            try:
                told(None if place < kept else unavailable)
            except Exception:
                _log.failure("nobody could be told of request {request_id}", request_id=entry.request_id)
        for done in rotations:
            done.callback(None)
        if kept:
            self._kept([entry for entry, _ in group[:kept]])

    def _write(self, entries: list[Entry], rotate: bool) -> _Flushed:
        """One flush; runs off the reactor, never twice at once."""
        closed: list[Segment] = []
        written = kept = 0
        error: OSError | None = None
        try:
            start = 0
            while start < len(entries):
                slot = Slot.at(entries[start].received_ns)
                end = start + 1
                while end < len(entries) and entries[end].received_ns // HOUR_NS == slot.number:
                    end += 1
                written += self._write_group(slot, entries[start:end], closed)
                start = kept = end
        except OSError as problem:
            error = problem
            _log.error(
                "the {stream} journal could not be written: {error}; its segment is closed, the next data go to a "
                "new one",
                stream=self._stream.value,
                error=str(problem),
            )
            self._give_up(closed)
        if rotate and self._open is not None:
            self._close_segment(closed)
        return _Flushed(tuple(closed), written, kept, error)

    def _write_group(self, slot: Slot, entries: list[Entry], closed: list[Segment]) -> int:
        if self._open is not None and self._open.slot != slot:
            self._close_segment(closed)
        parts = frame.encode_all(entries)
        size = sum(map(len, parts))
        self._space.add(size)
        try:
            present = self._open
            if present is None:
                present = self._open = self._create(slot, entries[0].received_ns)
            present.handle.write(parts)
            present.handle.sync()
        except BaseException:
            self._space.remove(size, drained=False)
            raise
        present.durable += size
        if present.durable >= self._segment_bytes:
            self._close_segment(closed)
        return size

    def _create(self, slot: Slot, first_ns: int) -> _Open:
        folder = hour_folder(self._root, self._stream, slot)
        for attempt in (1, 2):
            self._fs.make_dirs(folder)
            if self._ordinals is None or self._ordinals[0] != slot:
                self._ordinals = (slot, last_ordinal(self._fs, folder))
            ordinal = self._ordinals[1] + 1
            identity = self._new_id()
            path = os.path.join(folder, file_name(ordinal, identity, "seg"))
            try:
                handle = self._fs.create(path)
                break
            except FileNotFoundError:
                # The folder of an hour that was over and shipped was removed between the two calls.
                self._ordinals = None
                if attempt == 2:
                    raise
        self._ordinals = (slot, ordinal)
        self._space.add_file()
        try:
            handle.write([frame.FILE_HEADER])
            handle.sync()
            self._fs.sync_dir(folder)
        except BaseException:
            handle.close()
            self._discard(path)
            raise
        self._space.add(len(frame.FILE_HEADER))
        return _Open(slot, ordinal, identity, path, handle, len(frame.FILE_HEADER), first_ns)

    def _discard(self, path: str) -> None:
        try:
            self._fs.unlink(path)
        except OSError as error:
            _log.warn("an empty segment stays behind: {path}: {error}", path=path, error=str(error))

    def _close_segment(self, closed: list[Segment]) -> None:
        present = self._open
        assert present is not None
        self._open = None
        present.handle.close()
        closed.append(
            Segment(
                self._stream,
                present.slot,
                present.ordinal,
                present.id,
                present.path,
                present.durable,
                present.first_ns,
            )
        )

    def _give_up(self, closed: list[Segment]) -> None:
        """Close the segment at what is known to be durable. The cut is for a later start, which knows only the file; it
        is durable before anybody is refused, for what was refused and sent again could come back behind it."""
        present = self._open
        if present is None:
            return
        for _ in range(_CUTS):
            try:
                present.handle.truncate(present.durable)
                present.handle.sync()
                break
            except OSError as error:
                _log.warn(
                    "{path} could not be cut to {size} bytes: {error}",
                    path=present.path,
                    size=present.durable,
                    error=str(error),
                )
        self._close_segment(closed)

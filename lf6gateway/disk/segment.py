"""Reading a segment of the journal. Owns the telling-apart of a tail that was cut short from damage; must never change
a file. See ``values/frame.py`` for the format."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

_STEP = 1 << 20
"""Bytes read at once while searching for the next frame."""
_FRAMES = 1 << 18
"""Bytes of frames read at once."""
_PAGE = 4096
"""What a disk that cannot read a byte cannot read with it."""
_UNREADABLE = "the disk cannot read it"


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the journal that is not written to any more.

    :param ordinal: its place among the segments of its hour.
    :param id: its identity, 32 hex digits, never used twice.
    :param size: how many of its bytes were made durable, where this process knows; ``None``: the whole file counts.
    :param first_ns: when its first record was received, nanoseconds since 1970, where this process knows.
    """

    stream: Stream
    slot: Slot
    ordinal: int
    id: str
    path: str
    size: int | None = None
    first_ns: int | None = field(default=None, compare=False)

    @property
    def oldest_ns(self) -> int:
        """When its first record was received, or before that: at the beginning of its hour."""
        return self.slot.start_ns if self.first_ns is None else self.first_ns


class Whole(msgspec.Struct, frozen=True, gc=False):
    """A frame that is as it was written, at ``offset``."""

    offset: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Bad:
    """``length`` bytes from ``offset`` that are no frame, though more than an unfinished write."""

    offset: int
    length: int
    why: str


@dataclass(frozen=True, slots=True)
class Torn:
    """An unfinished write at the end, ``length`` bytes from ``offset``: nothing of it was ever acknowledged."""

    offset: int
    length: int


Found = Whole | Bad | Torn


class _Readable(Protocol):
    """What is needed of a handle here."""

    def read_at(self, offset: int, size: int) -> bytes:
        """As ``Handle``."""

    def size(self) -> int:
        """As ``Handle``."""

    def close(self) -> None:
        """As ``Handle``."""


def read_segment(fs: FileSystem, segment: Segment, *, salvage: bool = False) -> Iterator[Found]:
    """What a segment holds, in order, a frame or a quarter of a mebibyte of them in memory at a time. Blocks.

    :param salvage: what the disk cannot read (``EIO``) is ``Bad``, and not an error.
    :raises Damaged: it does not begin as a segment does, and holds no frame.
    :raises OSError: it cannot be read.
    """
    handle: _Readable = fs.open(segment.path)
    if salvage:
        handle = _Salvaging(handle)
    try:
        size = handle.size()
        end = size if segment.size is None else min(segment.size, size)
        try:
            start = handle.read_at(0, len(frame.FILE_HEADER))
        except _Unreadable:
            start = frame.FILE_HEADER  # the frames can tell for themselves
        if start != frame.FILE_HEADER:
            if end < len(frame.FILE_HEADER) or _zeros(handle, 0, end):
                if end:
                    yield Torn(0, end)
                return
            if next_header(handle, len(start), end) is None:
                raise Damaged(segment.path, 0, "it does not begin as a segment does")
            yield Bad(0, len(start), "it does not begin as a segment does")
        yield from _frames(handle, len(frame.FILE_HEADER), end)
    finally:
        handle.close()


def _frames(handle: _Readable, at: int, end: int) -> Iterator[Found]:
    in_steps = True
    while at < end:
        if in_steps:
            # Many sound frames at once; whatever is not one, or is longer than a step, is looked at below.
            try:
                entries, length = frame.whole_frames(handle.read_at(at, min(_FRAMES, end - at)))
            except _Unreadable:
                in_steps = False
                length = 0
            if length:
                for offset, entry in entries:
                    yield Whole(at + offset, entry)
                at += length
                continue
        try:
            data = handle.read_at(at, min(frame.HEADER_BYTES, end - at))
        except _Unreadable:
            place = next_header(handle, at + 1, end) or end
            yield Bad(at, place - at, _UNREADABLE)
            at = place
            continue
        header = frame.parse_header(data)
        if header is not None and at + header.length <= end:
            try:
                payload = handle.read_at(at + frame.HEADER_BYTES, header.payload)
            except _Unreadable:
                yield Bad(at, header.length, _UNREADABLE)
                at += header.length
                continue
            if frame.payload_fits(header, payload):
                yield Whole(at, frame.decode(header, payload))
                at += header.length
                continue
            # The header can be trusted, so the damage ends where the next frame begins.
            yield Bad(at, header.length, "the records do not fit their checksum")
            at += header.length
            continue
        following = next_header(handle, at + 1, end)
        if following is None:
            # An unfinished write ends short of what its header says, or within its header, or left holes of zeros.
            short = header is not None or _begun(data) or _zeros(handle, at, end)
            yield Torn(at, end - at) if short else Bad(at, end - at, "there is no frame here")
            return
        yield Bad(at, following - at, "there is no frame here")
        at = following


def _begun(data: bytes) -> bool:
    """Whether these last bytes of a file are the beginning of a header and nothing more."""
    return len(data) < frame.HEADER_BYTES and data[: len(frame.MAGIC)] == frame.MAGIC[: len(data)]


def _zeros(handle: _Readable, at: int, end: int) -> bool:
    """Whether there is nothing but zeros, perhaps behind the beginning of a frame's header."""
    while at < end:
        data = _blocks(handle, at, min(_STEP, end - at))
        if not data or data.strip(b"\0"):
            return False
        at += len(data)
    return True


def next_header(handle: _Readable, at: int, end: int) -> int | None:
    """Where the next sound header of a frame begins, from ``at`` on, up to ``end``."""
    overlap = frame.HEADER_BYTES - 1
    while at < end:
        data = _blocks(handle, at, min(_STEP + overlap, end - at))
        place = data.find(frame.MAGIC)
        while place >= 0 and place < _STEP:
            header = frame.parse_header(data[place : place + frame.HEADER_BYTES])
            if header is not None:
                return at + place
            place = data.find(frame.MAGIC, place + 1)
        if len(data) < _STEP + overlap:
            return None
        at += _STEP
    return None


class _Unreadable(Exception):
    """The disk cannot read these bytes."""


class _Salvaging:
    """A handle whose bytes the disk may not be able to read."""

    def __init__(self, handle: _Readable) -> None:
        self._handle = handle
        self.size = handle.size
        self.close = handle.close

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            return self._handle.read_at(offset, size)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise _Unreadable from error


def _blocks(handle: _Readable, at: int, size: int) -> bytes:
    """Bytes to be searched; what cannot be read is filled with ones."""
    try:
        return handle.read_at(at, size)
    except _Unreadable:
        pass
    parts = []
    start, end = at, at + size
    while start < end:
        length = min(_PAGE - start % _PAGE, end - start)
        try:
            parts.append(handle.read_at(start, length))
        except _Unreadable:
            parts.append(b"\xff" * length)
        start += length
    return b"".join(parts)

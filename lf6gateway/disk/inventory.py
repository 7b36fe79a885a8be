"""What lies in a spool, told without touching it: for people who look, also while a gateway runs on it. Owns the look
alone; must never take the lock, change a byte, or take what vanishes meanwhile for an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lf6gateway.disk.durable import read_small
from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.disk.folders import LEDGER, hour_folder, parse_name
from lf6gateway.disk.specimens import specimen_files
from lf6gateway.values import frame, member
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

_WINDOW: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file of records: a segment (``seg``), a member (``gz``), or what an unfinished start adopted (``adopt``).

    :param mtime_ns: when it was written to last, nanoseconds since 1970.
    """

    stream: Stream
    slot: Slot
    ordinal: int
    id: str
    kind: str
    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class HourLying:
    """One hour of one stream of records; ``files`` are in the order of the records.

    :param ledger: ``None``: there is none that can be read.
    """

    stream: Stream
    slot: Slot
    path: str
    files: list[RecordFile] = field(default_factory=list)
    ledger: HourLedger | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What a file of records holds, by its headers.

    :param records: as far as they can be counted.
    :param oldest_ns: the moment at which its first record was received, nanoseconds since 1970; of a member, the latest
        that it can be.
    :param sound: whether its headers are what was written.
    :param shipped: whether the ledger says that it is in its object for certain, and it is kept to write that anew.
    """

    file: RecordFile
    records: int
    oldest_ns: int
    sound: bool
    shipped: bool


@dataclass(slots=True)
class SpecimenHour:
    """The specimens of one hour: whole ones, and those that come in, or were coming in when their gateway ended."""

    slot: Slot
    files: int = 0
    bytes: int = 0
    unfinished: int = 0
    oldest_ns: int | None = None


def hours_lying(fs: FileSystem, root: str, stream: Stream) -> Iterator[HourLying]:
    """The hours of a stream of records that have files, oldest first. Blocks; reads names and ledgers.

    :param root: ``cache_dir/spool``.
    """
    for slot in _slots(fs, os.path.join(root, stream.value)):
        folder = hour_folder(root, stream, slot)
        hour = HourLying(stream, slot, folder)
        found: dict[str, RecordFile] = {}
        for entry in fs.scan(folder):
            parsed = parse_name(entry.name)
            if parsed is None or parsed[2] == "keys":
                continue
            ordinal, identity, kind = parsed
            path = os.path.join(folder, entry.name)
            # A segment whose member is there was sealed, and is about to go.
            if kind == "gz" or identity not in found:
                found[identity] = RecordFile(stream, slot, ordinal, identity, kind, path, entry.size, entry.mtime_ns)
        if found:
            hour.files = sorted(found.values(), key=lambda file: file.ordinal)
            hour.ledger = _ledger(fs, os.path.join(folder, LEDGER))
            yield hour


def _slots(fs: FileSystem, top: str) -> list[Slot]:
    slots = []
    for entry in fs.scan(top):
        try:
            slot = Slot.parse(entry.name)
        except ValueError:
            continue
        if entry.is_dir:
            slots.append(slot)
    return sorted(slots)


def _ledger(fs: FileSystem, path: str) -> HourLedger | None:
    try:
        return HourLedger.decode(read_small(fs, path))
    except (FileNotFoundError, ValueError):
        return None


def held(fs: FileSystem, hour: HourLying) -> Iterator[Held]:
    """What each file of an hour holds. Blocks; reads headers only, and passes over files that are gone.

    :raises OSError: one cannot be read.
    """
    shipped = frozenset() if hour.ledger is None else frozenset(hour.ledger.shipped)
    for file in hour.files:
        try:
            handle = fs.open(file.path)
        except FileNotFoundError:
            continue
        try:
            if file.kind == "gz":
                found = member.parse_header(handle.read_at(0, member.HEADER_BYTES))
                records = 0 if found is None else found.records
                oldest = min(max(file.mtime_ns, file.slot.start_ns), file.slot.end_ns)
                yield Held(file, records, oldest, found is not None, file.id in shipped)
            else:
                records, first, sound = _count(handle)
                yield Held(file, records, file.slot.start_ns if first is None else first, sound, False)
        finally:
            handle.close()


def _count(handle: Handle) -> tuple[int, int | None, bool]:
    """The records of a segment by the headers of its frames, the moment of the first, and whether nothing was damaged
    up to its end."""
    at, size = len(frame.FILE_HEADER), handle.size()
    records, first = 0, None
    data, start = b"", at
    while at + frame.HEADER_BYTES <= size:
        if at + frame.HEADER_BYTES > start + len(data):
            data, start = handle.read_at(at, _WINDOW), at
        header = frame.parse_header(data[at - start : at - start + frame.HEADER_BYTES])
        if header is None:
            # Zeros are what a write that was cut short leaves.
            return records, first, not data[at - start :].strip(b"\0")
        if at + header.length > size:
            break
        first = header.received_ns if first is None else first
        records += header.count
        at += header.length
    return records, first, True


def specimen_hours(fs: FileSystem, root: str) -> list[SpecimenHour]:
    """How many specimens wait, by hour, oldest first. Blocks; reads names only."""
    hours: dict[Slot, SpecimenHour] = {}
    for path, size, received_ns in specimen_files(fs, root, "spec", "part"):
        hour = hours.setdefault(Slot.at(received_ns), SpecimenHour(Slot.at(received_ns)))
        if path.endswith(".part"):
            hour.unfinished += 1
            continue
        hour.files += 1
        hour.bytes += size
        hour.oldest_ns = received_ns if hour.oldest_ns is None else min(hour.oldest_ns, received_ns)
    return [hours[slot] for slot in sorted(hours)]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of a spool is not in the store for certain: files, how many of them are specimens, and their bytes."""

    files: int
    specimens: int
    bytes: int


def waiting(fs: FileSystem, root: str) -> Waiting:
    """How much a spool still has to deliver. Blocks; reads names and ledgers."""
    files = number = size = 0
    for stream in RECORD_STREAMS:
        for hour in hours_lying(fs, root, stream):
            shipped = frozenset() if hour.ledger is None else frozenset(hour.ledger.shipped)
            for file in hour.files:
                if file.id not in shipped:
                    files += 1
                    size += file.size
    for specimens in specimen_hours(fs, root):
        number += specimens.files
        size += specimens.bytes
    return Waiting(files + number, number, size)

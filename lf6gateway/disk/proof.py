"""Every checksum in a spool, compared. Owns the look at each kind of file; must never change one, nor call a file
damaged that a running gateway is changing just now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.durable import read_pieces, read_small
from lf6gateway.disk.filesystem import Entry, FileSystem
from lf6gateway.disk.folders import LEDGER, parse_name
from lf6gateway.disk.identity import NAME, FormatUnknown, read_identity
from lf6gateway.disk.records import member_lines
from lf6gateway.disk.segment import Bad, Segment, Torn, read_segment
from lf6gateway.disk.specimen_file import read_head, read_specimen, verify
from lf6gateway.values.checked import decode_items
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream


@dataclass(frozen=True, slots=True)
class Proven:
    """One file that was read whole.

    :param damage: what is wrong with it, each with its place; empty: it is what was written.
    :param note: what is worth knowing though nothing is wrong.
    """

    path: str
    bytes: int
    damage: tuple[Damaged, ...] = ()
    note: str = ""


def prove(fs: FileSystem, cache_dir: str) -> Iterator[Proven]:
    """Read every file of a spool. Blocks. Files that vanish meanwhile are passed over; a fault counts where a second
    look finds it too.

    :raises OSError: a folder cannot be listed.
    """
    if fs.exists(os.path.join(cache_dir, NAME)):
        yield from _twice(fs, os.path.join(cache_dir, NAME), lambda: _identity(fs, cache_dir))
    root = os.path.join(cache_dir, "spool")
    for stream in Stream:
        top = os.path.join(root, stream.value)
        for hour in sorted(entry.name for entry in fs.scan(top) if entry.is_dir):
            folder = os.path.join(top, hour)
            try:
                slot = Slot.parse(hour)
            except ValueError:
                yield Proven(folder, 0, note="not the gateway's, it is left alone")
                continue
            for entry in sorted(fs.scan(folder), key=lambda one: one.name):
                path = os.path.join(folder, entry.name)
                yield from _twice(fs, path, lambda e=entry, p=path, s=stream, o=slot: _file(fs, s, o, p, e))  # type: ignore[misc]


def _twice(fs: FileSystem, path: str, look: Callable[[], Proven]) -> Iterator[Proven]:
    try:
        found = _safely(path, look)
        if found.damage:
            found = _safely(path, look)
        if found.damage and not fs.exists(path):
            return
    except FileNotFoundError:
        return
    yield found


def _safely(path: str, look: Callable[[], Proven]) -> Proven:
    try:
        return look()
    except FileNotFoundError:
        raise
    except Damaged as damage:
        return Proven(path, 0, (damage,))
    except (ValueError, FormatUnknown) as error:
        return Proven(path, 0, (Damaged(path, 0, str(error)),))
    except OSError as error:
        return Proven(path, 0, (Damaged(path, 0, f"it cannot be read: {error.strerror}"),))


def _identity(fs: FileSystem, cache_dir: str) -> Proven:
    read_identity(fs, cache_dir)
    return Proven(os.path.join(cache_dir, NAME), 0)


def _file(fs: FileSystem, stream: Stream, slot: Slot, path: str, entry: Entry) -> Proven:
    parsed = parse_name(entry.name)
    if entry.name == LEDGER:
        HourLedger.decode(read_small(fs, path))
    elif entry.name.endswith((".tmp", ".part")):
        return Proven(path, entry.size, note="unfinished: it counts for nothing yet")
    elif stream is Stream.SPECIMEN:
        return _specimen(fs, path, entry)
    elif parsed is None:
        return Proven(path, entry.size, note="not the gateway's, it is left alone")
    elif parsed[2] == "gz":
        for _ in member_lines(fs, path):
            pass
    elif parsed[2] == "keys":
        return _keys(fs, path, entry)
    else:
        return _segment(fs, Segment(stream, slot, parsed[0], parsed[1], path), entry)
    return Proven(path, entry.size)


def _segment(fs: FileSystem, segment: Segment, entry: Entry) -> Proven:
    damage, note = [], ""
    for found in read_segment(fs, segment):
        if isinstance(found, Bad):
            damage.append(Damaged(segment.path, found.offset, f"{found.length} bytes: {found.why}"))
        elif isinstance(found, Torn):
            note = f"{found.length} bytes of an unfinished write at its end, which was never acknowledged"
    return Proven(segment.path, entry.size, tuple(damage), note)


def _specimen(fs: FileSystem, path: str, entry: Entry) -> Proven:
    if path.endswith(".spec"):
        verify(fs, read_specimen(fs, path))
    elif path.endswith(".key"):
        handle = fs.open(path)
        try:
            read_head(handle, path)
        finally:
            handle.close()
    else:
        return Proven(path, entry.size, note="not the gateway's, it is left alone")
    return Proven(path, entry.size)


def _keys(fs: FileSystem, path: str, entry: Entry) -> Proven:
    damage = []
    data = b"".join(read_pieces(fs, path))
    at = 0
    for line in data.splitlines(keepends=True):
        try:
            decode_items(line)
        except ValueError as error:
            damage.append(Damaged(path, at, f"an idempotency key: {error}"))
        at += len(line)
    return Proven(path, entry.size, tuple(damage))

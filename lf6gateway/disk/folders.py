"""Where everything lies under ``cache_dir/spool``, and what a start finds there. Owns the names of files; reads no
record, so that finding gigabytes takes no longer than finding their names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from hashlib import sha256

from twisted.logger import Logger

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.segment import Segment
from lf6gateway.values import member as gzip_member
from lf6gateway.values.member import HEADER_BYTES, Member, digest_of, encode_header
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

_log = Logger()
_NAME = re.compile(r"(\d{8,})-([0-9a-f]{32})\.(seg|gz|keys|adopt)")
_PIECE = 1 << 20
LEDGER = "ledger.json"
BASE = "base.part"
"""The present object of an hour, fetched to write it anew with more behind it; can always be fetched again."""


@dataclass(frozen=True, slots=True)
class MemberFile:
    """A sealed member on disk; ``ordinal`` is that of the segment it was made of, ``first_ns`` as there."""

    path: str
    ordinal: int
    member: Member
    first_ns: int | None = field(default=None, compare=False)


@dataclass(slots=True)
class HourFound:
    """One hour of one stream, as a start finds it. Lists are in the order of ordinals."""

    slot: Slot
    path: str
    segments: list[Segment] = field(default_factory=list)
    member_paths: list[tuple[int, str]] = field(default_factory=list)
    has_ledger: bool = False
    bytes: int = 0


def hour_folder(root: str, stream: Stream, slot: Slot) -> str:
    """The folder of one hour; ``root`` is ``cache_dir/spool``."""
    return os.path.join(root, stream.value, slot.name)


def file_name(ordinal: int, identity: str, ending: str) -> str:
    """The name of a file of one segment: ``seg``, ``gz`` or ``keys``."""
    return f"{ordinal:08d}-{identity}.{ending}"


def parse_name(name: str) -> tuple[int, str, str] | None:
    """Ordinal, id and ending of such a name; ``None`` if it is another."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), found[2], found[3])


def last_ordinal(fs: FileSystem, folder: str) -> int:
    """The largest ordinal in an hour's folder; 0 if there is none. Blocks."""
    ordinals = [parsed[0] for entry in fs.scan(folder) if (parsed := parse_name(entry.name))]
    return max(ordinals, default=0)


def waiting_hours(fs: FileSystem, root: str, stream: Stream) -> list[HourFound]:
    """Every hour of a stream that lies on disk, oldest first. Blocks; reads names only.

    Left-overs of files that were never finished are removed. A segment whose member is there was sealed already, and is
    removed too."""
    hours = []
    for entry in fs.scan(os.path.join(root, stream.value)):
        try:
            slot = Slot.parse(entry.name)
        except ValueError:
            _log.warn("not ours, left alone: {path}", path=os.path.join(root, stream.value, entry.name))
            continue
        if entry.is_dir:
            hours.append(_hour(fs, root, stream, slot))
    return sorted(hours, key=lambda hour: hour.slot)


def _hour(fs: FileSystem, root: str, stream: Stream, slot: Slot) -> HourFound:
    folder = hour_folder(root, stream, slot)
    hour = HourFound(slot, folder)
    sealed: dict[str, tuple[int, str]] = {}
    segments: list[Segment] = []
    sizes: dict[str, int] = {}
    for entry in list(fs.scan(folder)):
        path = os.path.join(folder, entry.name)
        parsed = parse_name(entry.name)
        if parsed is not None:
            ordinal, identity, ending = parsed
            if ending in ("seg", "gz"):  # keys are not waited for by anybody, and go at their own time
                sizes[path] = entry.size
            if ending == "gz":
                sealed[identity] = (ordinal, path)
            elif ending == "seg":
                segments.append(Segment(stream, slot, ordinal, identity, path))
        elif entry.name == LEDGER:
            hour.has_ledger = True
        elif entry.name.endswith((".tmp", ".part")):
            fs.unlink(path)
        else:
            _log.warn("not ours, left alone: {path}", path=path)
    if any(segment.id in sealed for segment in segments):
        fs.sync_dir(folder)  # the process that sealed it may have been killed before the member's name was durable
    for segment in segments:
        if segment.id in sealed:
            fs.unlink(segment.path)
            del sizes[segment.path]
        else:
            hour.segments.append(segment)
    hour.segments.sort(key=lambda segment: segment.ordinal)
    hour.member_paths = sorted(sealed.values())
    hour.bytes = sum(sizes.values())
    return hour


def read_member_file(fs: FileSystem, path: str) -> MemberFile:
    """The member in a file, by its header and the file's length. Blocks.

    :raises Damaged: it is not a whole member of ours.
    :raises OSError: it cannot be read.
    """
    parsed = parse_name(os.path.basename(path))
    handle = fs.open(path)
    try:
        size = handle.size()
        found = gzip_member.parse_header(handle.read_at(0, gzip_member.HEADER_BYTES))
    finally:
        handle.close()
    if parsed is None or found is None or found.id != parsed[1]:
        raise Damaged(path, 0, "it is not the member that its name says")
    if found.packed_bytes != size:
        raise Damaged(path, min(size, found.packed_bytes), f"it has {size} bytes and should have {found.packed_bytes}")
    return MemberFile(path, parsed[0], found)


def check_member_file(fs: FileSystem, file: MemberFile) -> str:
    """Read a member whole, and compare it with its digest; the SHA-256, in hex, of all that was read. Blocks.

    :raises Damaged: it is not what was sealed.
    :raises OSError: it cannot be read.
    """
    if read_member_file(fs, file.path) != file:
        raise Damaged(file.path, 0, "its header is not what it was")
    digest = sha256()
    handle = fs.open(file.path)
    try:
        whole = sha256(encode_header(file.member))  # as it was compared, not as it is by now
        for start in range(HEADER_BYTES, file.member.packed_bytes, _PIECE):
            data = handle.read_at(start, _PIECE)
            digest.update(data)
            whole.update(data)
    finally:
        handle.close()
    if digest_of(file.member, digest) != file.member.digest:
        raise Damaged(file.path, HEADER_BYTES, "it does not fit its digest")
    return whole.hexdigest()

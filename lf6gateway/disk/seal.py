"""Sealing: a closed segment becomes a gzip member. Owns the order of effects: the member and the keys are durable
before the segment is removed, and what cannot be read is in quarantine before that. Must never hold more than a
frame, or a quarter of a mebibyte of them, in memory."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from twisted.logger import Logger

from lf6gateway.disk.compression import crc32, raw_deflate
from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.disk.folders import MemberFile, check_member_file, file_name, read_member_file
from lf6gateway.disk.keyfile import write_keys
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.segment import Bad, Segment, Torn, read_segment
from lf6gateway.values.envelope import Envelope
from lf6gateway.values.idempotency import KeyUse
from lf6gateway.values.member import HEADER_BYTES, Member, digest_of, encode_header

_log = Logger()
_COPY: Final = 1 << 20
_AT_ONCE: Final = 1 << 18
"""Bytes that are compressed in one call, so that small records do not cost a call each."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of a segment.

    :param member_file: the member; ``None`` if it held no record.
    :param torn_bytes: length of an unfinished write at its end, cut off.
    :param damaged: how many byte ranges of it are in quarantine.
    :param records: how many records the member holds.
    """

    member_file: MemberFile | None
    torn_bytes: int
    damaged: int
    records: int
    freed_bytes: int
    used_bytes: int


def seal(
    fs: FileSystem,
    segment: Segment,
    *,
    spool: str,
    level: int,
    quarantine: Quarantine,
    salvage: bool = False,
    envelope: Envelope | None = None,
) -> Sealed:
    """Compress a segment into a member beside it, and remove it. Blocks.

    :param spool: this disk's identity.
    :param level: of compression, 1 to 9.
    :param salvage: what the disk cannot read is set aside with the segment, and the rest of it sealed; else that is an
        error like any other.
    :param envelope: what each record is put into; ``None``: records stay as they are.
    :raises OSError: the disk failed; the segment is still there, and sealing it again is safe.
    """
    folder = os.path.dirname(segment.path)
    target = os.path.join(folder, file_name(segment.ordinal, segment.id, "gz"))
    temporary = target + ".tmp"
    size = _size(fs, segment.path)
    made = _made_before(fs, target, segment, quarantine, salvage)
    if made is not None:
        fs.sync_dir(folder)
        fs.unlink(segment.path)
        made = replace(made, first_ns=segment.first_ns)
        return Sealed(made, 0, 0, made.member.records, size, made.member.packed_bytes)
    if fs.exists(temporary):
        fs.unlink(temporary)
    handle = fs.create(temporary)
    try:
        member, keys, torn, damaged = _pack(fs, segment, handle, spool, level, quarantine, salvage, envelope)
    except Damaged as damage:
        handle.close()
        fs.unlink(temporary)
        quarantine.take(segment.path, segment.stream.value, damage.why)
        return Sealed(None, 0, 1, 0, size, 0)
    except BaseException:
        handle.close()
        fs.unlink(temporary)
        raise
    handle.close()
    if member.records:
        if keys:
            write_keys(fs, os.path.join(folder, file_name(segment.ordinal, segment.id, "keys")), keys)
        fs.rename(temporary, target)
        fs.sync_dir(folder)
    else:
        fs.unlink(temporary)
    fs.unlink(segment.path)
    if torn:
        _log.warn(
            "{path}: {torn} bytes of an unfinished write were cut off its end; nothing of them had been acknowledged",
            path=segment.path,
            torn=torn,
        )
    packed = MemberFile(target, segment.ordinal, member, segment.first_ns) if member.records else None
    return Sealed(packed, torn, damaged, member.records, size, member.packed_bytes if packed else 0)


def _made_before(
    fs: FileSystem, target: str, segment: Segment, quarantine: Quarantine, salvage: bool
) -> MemberFile | None:
    """The whole member that an attempt made which failed behind its renaming: the segment may have been damaged since,
    and to be sealed again would then give less, or nothing, beside it. One that is damaged is set aside."""
    if not fs.exists(target):
        return None
    try:
        file = read_member_file(fs, target)
        check_member_file(fs, file)
    except Damaged as damage:
        quarantine.take(target, segment.stream.value, damage.why)
    except OSError as error:
        if not salvage or error.errno != errno.EIO:
            raise
        quarantine.take(target, segment.stream.value, str(error))
    else:
        return file
    return None


def _size(fs: FileSystem, path: str) -> int:
    handle = fs.open(path)
    try:
        return handle.size()
    finally:
        handle.close()


def _pack(
    fs: FileSystem,
    segment: Segment,
    out: Handle,
    spool: str,
    level: int,
    quarantine: Quarantine,
    salvage: bool,
    envelope: Envelope | None,
) -> tuple[Member, list[KeyUse], int, int]:
    """Write the member of a segment's sound frames; its keys, the torn bytes and the count of damaged ranges with
    it."""
    member = Member(spool, segment.id, 0, 0, 0, "0" * 32)
    out.write([encode_header(member)])
    packer = raw_deflate(level)
    digest = sha256()
    checksum = records = raw = torn = damaged = 0
    packed = HEADER_BYTES
    keys: list[KeyUse] = []
    unreadable = False
    waiting: list[bytes] = []
    waiting_bytes = 0

    def pack() -> None:
        nonlocal raw, packed, checksum
        lines = b"".join(waiting)
        waiting.clear()
        raw += len(lines)
        checksum = crc32(lines, checksum)
        data = packer.compress(lines)
        if data:
            out.write([data])
            digest.update(data)
            packed += len(data)

    for found in read_segment(fs, segment, salvage=salvage):
        if isinstance(found, Torn):
            torn = found.length
            continue
        if isinstance(found, Bad):
            damaged += 1
            unreadable = not _set_aside(fs, segment, found, quarantine, salvage) or unreadable
            continue
        entry = found.entry
        records += entry.count
        for lines in (entry.lines,) if envelope is None else envelope.wrap(entry, segment.id, found.offset):
            waiting.append(lines)
            waiting_bytes += len(lines)
            if waiting_bytes >= _AT_ONCE:
                pack()
                waiting_bytes = 0
        if entry.key is not None:
            keys.append(KeyUse(entry.received_ns, segment.stream, entry.user, entry.key))
    if unreadable:
        quarantine.keep(segment.path, segment.stream.value, "the disk cannot read some of it; the rest is delivered")
    pack()
    end = packer.flush() + checksum.to_bytes(4, "little") + (raw & 0xFFFFFFFF).to_bytes(4, "little")
    out.write([end])
    digest.update(end)
    member = replace(member, records=records, raw_bytes=raw, packed_bytes=packed + len(end))
    member = replace(member, digest=digest_of(member, digest))
    out.patch(0, encode_header(member))
    out.sync()
    return member, keys, torn, damaged


def _set_aside(fs: FileSystem, segment: Segment, bad: Bad, quarantine: Quarantine, salvage: bool) -> bool:
    """Copy a damaged range into quarantine; whether it could be read."""
    handle = fs.open(segment.path)
    try:
        at = bad.offset
        while at < bad.offset + bad.length:
            data = handle.read_at(at, min(_COPY, bad.offset + bad.length - at))
            if not data:
                break
            quarantine.take_bytes(data, segment.stream.value, segment.path, bad.why, at)
            at += len(data)
    except OSError as error:
        if not salvage or error.errno != errno.EIO:
            raise
        return False
    else:
        return True
    finally:
        handle.close()

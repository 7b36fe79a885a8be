"""The records of a spool read back, byte for byte and in order, from segments and members. Owns the reading; must never
change a file, nor hold more than a frame, or a mebibyte, in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Final

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.durable import read_pieces
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.inventory import HourLying, RecordFile
from lf6gateway.disk.segment import Bad, Segment, Whole, read_segment
from lf6gateway.values.member import HEADER_BYTES, digest_of, parse_header

_GZIP: Final = 31
_OUT: Final = 1 << 20

Trouble = Callable[[Damaged], None]
"""Told of each place that cannot be read; the reading goes on behind it."""


def records(fs: FileSystem, hour: HourLying, trouble: Trouble) -> Iterator[bytes]:
    """The lines of an hour, some at a time. Blocks. A file that is sealed while this goes on is read as its member, and
    one that was shipped and removed is passed over; an unfinished write at an end is left out.

    :raises OSError: a file cannot be read.
    """
    for file in hour.files:
        try:
            yield from read_records(fs, file, trouble)
        except FileNotFoundError:
            if file.kind != "seg":
                continue
            sealed = replace(file, kind="gz", path=file.path.removesuffix(".seg") + ".gz")
            try:
                yield from read_records(fs, sealed, trouble)
            except FileNotFoundError:
                continue  # shipped and removed in between


def read_records(fs: FileSystem, file: RecordFile, trouble: Trouble) -> Iterator[bytes]:
    """The lines of one file. Blocks.

    :raises FileNotFoundError: it is gone.
    """
    try:
        if file.kind == "gz":
            yield from member_lines(fs, file.path)
        else:
            yield from _segment(fs, file, trouble)
    except Damaged as damage:
        trouble(damage)


def _segment(fs: FileSystem, file: RecordFile, trouble: Trouble) -> Iterator[bytes]:
    for found in read_segment(fs, Segment(file.stream, file.slot, file.ordinal, file.id, file.path)):
        if isinstance(found, Whole):
            yield found.entry.lines
        elif isinstance(found, Bad):
            trouble(Damaged(file.path, found.offset, f"{found.length} bytes cannot be read: {found.why}"))


def member_lines(fs: FileSystem, path: str) -> Iterator[bytes]:
    """The lines of a member, checked against its gzip checksum, its digest and its count of records at the end. Blocks.

    :raises Damaged: it is not what was sealed; what came before that may be wrong too.
    """
    digest = sha256()
    inflate = zlib.decompressobj(_GZIP)
    head, size, lines, raw = b"", 0, 0, 0
    for piece in read_pieces(fs, path):
        if len(head) < HEADER_BYTES:
            cut = HEADER_BYTES - len(head)
            head += piece[:cut]
            digest.update(piece[cut:])
        else:
            digest.update(piece)
        size += len(piece)
        while piece:
            try:
                out = inflate.decompress(piece, _OUT)
            except zlib.error as error:
                raise Damaged(path, size, f"it is not gzip: {error}") from error
            lines += out.count(b"\n")
            raw += len(out)
            if out:
                yield out
            piece = inflate.unconsumed_tail
    member = parse_header(head)
    if member is None:
        raise Damaged(path, 0, "it does not begin as a member of ours does")
    if not inflate.eof or size != member.packed_bytes:
        raise Damaged(path, size, f"it has {size} bytes and should have {member.packed_bytes}")
    if digest_of(member, digest) != member.digest:
        raise Damaged(path, HEADER_BYTES, "it does not fit its digest")
    if (lines, raw) != (member.records, member.raw_bytes):
        raise Damaged(
            path, 0, f"it holds {lines} records of {raw} bytes and says {member.records} of {member.raw_bytes}"
        )

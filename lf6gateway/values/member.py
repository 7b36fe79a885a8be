"""One gzip member of an hour's object: what identifies it, and how that stands in its own header, so that an object
tells by itself whose records it holds. Owns the header's bytes; must never compress anything.

The identity is the header's file name (RFC 1952, FNAME), the one optional field that every known reader takes; it has a
fixed width, so it can be filled in after the compressor has run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Final

_START: Final = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"
"""Magic, deflate, the flag FNAME, no time, no extra flags, unknown system."""

_NAME: Final = re.compile(rb"lf6-([0-9a-f]{16})-([0-9a-f]{32})-(\d{10})-(\d{14})-(\d{14})-([0-9a-f]{32})\.jsonl")

TRAILER_BYTES: Final = 8
"""CRC-32 and length at a member's end (RFC 1952)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One sealed segment.

    :param spool: the identity of the disk it came from, 16 hex digits.
    :param id: the identity of the segment, 32 hex digits, never used twice.
    :param records: how many lines.
    :param raw_bytes: length before compression.
    :param packed_bytes: length of the whole member, header and trailer included.
    :param digest: see ``digest_of``; all zeros while it is not known.
    """

    spool: str
    id: str
    records: int
    raw_bytes: int
    packed_bytes: int
    digest: str


def encode_header(member: Member) -> bytes:
    """The gzip header of a member, always ``HEADER_BYTES`` long."""
    name = (
        f"lf6-{member.spool}-{member.id}-{member.records:010d}-{member.raw_bytes:014d}-"
        f"{member.packed_bytes:014d}-{member.digest}.jsonl"
    )
    return _START + name.encode("ascii") + b"\0"


def digest_of(member: Member, body: hashlib._Hash) -> str:
    """The digest that stands in a member's header: the first 32 hex digits of the SHA-256 of all that follows the
    header and, behind it, of the header with zeros for the digest. So every byte of the file is guarded by it.

    :param body: has been fed all that follows the header; it is used up.
    """
    body.update(encode_header(replace(member, digest=_NO_DIGEST)))
    return body.hexdigest()[:32]


_NO_DIGEST: Final = "0" * 32

HEADER_BYTES: Final = len(encode_header(Member("0" * 16, "0" * 32, 0, 0, 0, "0" * 32)))
"""Length of a header of ours."""


def parse_header(data: bytes) -> Member | None:
    """The member whose header begins ``data``; ``None`` if it is a gzip member, or anything else, that is not ours."""
    if len(data) < HEADER_BYTES or not data.startswith(_START) or data[HEADER_BYTES - 1] != 0:
        return None
    found = _NAME.fullmatch(data[len(_START) : HEADER_BYTES - 1])
    if found is None:
        return None
    spool, identity, records, raw, packed, digest = found.groups()
    member = Member(spool.decode(), identity.decode(), int(records), int(raw), int(packed), digest.decode())
    return member if member.packed_bytes >= HEADER_BYTES + TRAILER_BYTES else None

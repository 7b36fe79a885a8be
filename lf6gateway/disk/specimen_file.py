"""How a specimen lies on disk: one file of header, body and trailer, so that all that is known of it is durable with
it. Owns the format and its reading; writing is in ``specimen_writer.py``.

The header is ``MAGIC``, the length (u32) and CRC32C (u32) of a JSON object, and that object. The trailer is ``END``,
the body's length (u64), its SHA-256, and a CRC32C (u32) over the trailer before it. Numbers are little-endian."""

from __future__ import annotations

import errno
import json
import struct
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final

import google_crc32c
import msgspec

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.values.username import check_username

MAGIC: Final = b"\x01LF6SPEC\x02"
WITHDRAWN: Final = MAGIC[:-1] + b"\xf7"
"""How a file begins whose specimen was refused at the very last step, so that it never counts whatever names come back:
one byte is another, so that there is nothing between the two, in six of its bits, so that no flipped one does it."""
END: Final = b"\x02\x0eEND\x0f"
_SIZES: Final = struct.Struct("<II")
_TRAILER: Final = struct.Struct(f"<{len(END)}sQ32s")
_SUM: Final = struct.Struct("<I")
TRAILER_BYTES: Final = _TRAILER.size + _SUM.size
_LONGEST_HEADER: Final = 1 << 20
_PIECE: Final = 1 << 20


class Withdrawn(FileNotFoundError):
    """There is no such specimen: it was refused; ``bytes`` is what its file still took up."""

    def __init__(self, path: str, size: int) -> None:
        super().__init__(errno.ENOENT, "it was refused", path)
        self.bytes = size


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a specimen when its first byte comes."""

    id: str
    received_ns: int
    user: str
    uri: str
    content_type: str | None
    key: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Specimen:
    """A whole specimen on disk; its body is ``length`` bytes from ``offset``."""

    head: Head
    path: str
    offset: int
    length: int
    sha256: str
    size: int

    @property
    def id(self) -> str:
        """Its identity, never used twice."""
        return self.head.id

    @property
    def user(self) -> str:
        """Who sent it."""
        return self.head.user

    @property
    def key(self) -> str | None:
        """The idempotency key it came with."""
        return self.head.key

    @property
    def body(self) -> Specimen:
        """Where its bytes lie: ``path``, ``offset`` and ``length`` of this."""
        return self


def encode_head(head: Head) -> bytes:
    """The header's bytes."""
    text = json.dumps(asdict(head), ensure_ascii=True).encode("ascii")
    return MAGIC + _SIZES.pack(len(text), google_crc32c.value(text)) + text


def encode_trailer(length: int, digest: bytes) -> bytes:
    """The trailer's bytes."""
    trailer = _TRAILER.pack(END, length, digest)
    return trailer + _SUM.pack(google_crc32c.value(trailer))


def read_head(handle: Handle, path: str) -> tuple[Head, int]:
    """The header of an open file, and where the body begins. Blocks.

    :raises Damaged: it is not what was written.
    """
    start = handle.read_at(0, len(MAGIC) + _SIZES.size)
    if len(start) < len(MAGIC) + _SIZES.size or not start.startswith(MAGIC):
        raise Damaged(path, 0, "it does not begin as a specimen does")
    length, checksum = _SIZES.unpack_from(start, len(MAGIC))
    text = handle.read_at(len(start), length) if length <= _LONGEST_HEADER else b""
    if len(text) != length or google_crc32c.value(text) != checksum:
        raise Damaged(path, len(start), "its header does not fit its checksum")
    try:
        fields: dict[str, Any] = json.loads(text)
        head = msgspec.convert(fields, Head)
        check_username(head.user)  # for it becomes part of a key
    except (ValueError, TypeError) as error:
        raise Damaged(path, len(start), f"its header cannot be read: {error}") from error
    return head, len(start) + length


def read_specimen(fs: FileSystem, path: str) -> Specimen:
    """What a whole specimen's header and trailer say. Blocks; the body is not read.

    :raises Damaged: they are not what was written, or do not fit the file's length.
    :raises Withdrawn: it was refused, and could not be removed then; now it is.
    """
    handle = fs.open(path)
    try:
        size = handle.size()
        if handle.read_at(0, len(WITHDRAWN)) == WITHDRAWN:
            fs.unlink(path)
            raise Withdrawn(path, size)
        head, offset = read_head(handle, path)
        trailer = handle.read_at(max(offset, size - TRAILER_BYTES), TRAILER_BYTES)
    finally:
        handle.close()
    at = size - TRAILER_BYTES
    if len(trailer) != TRAILER_BYTES:
        raise Damaged(path, at, "its end is missing")
    (checksum,) = _SUM.unpack_from(trailer, _TRAILER.size)
    end, length, digest = _TRAILER.unpack_from(trailer)
    if end != END or google_crc32c.value(trailer[: _TRAILER.size]) != checksum:
        raise Damaged(path, at, "its end does not fit its checksum")
    if offset + length + TRAILER_BYTES != size:
        raise Damaged(path, at, f"its body has {at - offset} bytes and should have {length}")
    return Specimen(head, path, offset, length, digest.hex(), size)


def verify(fs: FileSystem, specimen: Specimen) -> None:
    """Read the body once and compare its digest. Blocks.

    :raises Damaged: it is not the body that was acknowledged.
    """
    digest = sha256()
    handle = fs.open(specimen.path)
    try:
        for start in range(0, specimen.length, _PIECE):
            digest.update(handle.read_at(specimen.offset + start, min(_PIECE, specimen.length - start)))
    finally:
        handle.close()
    if digest.hexdigest() != specimen.sha256:
        raise Damaged(specimen.path, specimen.offset, "its body does not fit its digest")

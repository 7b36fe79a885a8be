"""How an entry lies in a segment: a header, the entry's fields, and checksums over both. Owns the bytes; reads no file.

A segment is ``FILE_HEADER`` and then frames. A frame is::

    magic 4 | payload length u32 | records u32 | received_ns u64 | user length u16 | key length u16
    | request id length u16 | flags u16 | CRC32C of the payload u32 | CRC32C of the header before it u32 | payload

and its payload user, key, request id (UTF-8) and lines, one behind the other. All numbers are little-endian. The magic
holds control bytes that no JSON text, user name or key can hold, so that a search for it finds frames alone. The header
has a checksum of its own: where it holds, the payload's length can be trusted, and a file that ends before it is a
write that was cut short, not damage."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import google_crc32c

from lf6gateway.values.entry import Entry

FILE_HEADER: Final = b"\x01LF6SEG\x02"
"""The first bytes of each segment; the last of them is the version of the format."""

MAGIC: Final = b"\x02\x0eL\x0f"
"""The first bytes of each frame."""

_FIELDS: Final = struct.Struct("<4sIIQHHHHI")
_SUM: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct(_FIELDS.format + "I")

HEADER_BYTES: Final = _FIELDS.size + _SUM.size
"""Length of a frame's header."""

MAX_PAYLOAD: Final = 1 << 31
"""No frame is longer; a header that says so is no header."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The fields of a frame's header, checked against its checksum."""

    payload: int
    count: int
    received_ns: int
    user: int
    key: int
    request_id: int
    checksum: int

    @property
    def length(self) -> int:
        """Length of the whole frame in bytes."""
        return HEADER_BYTES + self.payload

    @property
    def names(self) -> int:
        """Length of what stands before the lines in the payload."""
        return self.user + self.key + self.request_id


def encode(entry: Entry) -> tuple[bytes, bytes]:
    """The frame of an entry: its header with all that stands before the lines, and the lines as they are, uncopied.

    :raises ValueError: a field is longer than its length can say.
    """
    user = entry.user.encode("utf-8")
    key = b"" if entry.key is None else entry.key.encode("utf-8")
    request_id = entry.request_id.encode("utf-8")
    names = user + key + request_id
    payload = len(names) + len(entry.lines)
    if max(len(user), len(key), len(request_id)) > 0xFFFF or payload > MAX_PAYLOAD:
        raise ValueError("a field of the entry is too long for a frame")
    checksum = google_crc32c.extend(google_crc32c.value(names), entry.lines)
    fields = _FIELDS.pack(
        MAGIC, payload, entry.count, entry.received_ns, len(user), len(key), len(request_id), 0, checksum
    )
    return fields + _SUM.pack(google_crc32c.value(fields)) + names, entry.lines


def encode_all(entries: Sequence[Entry]) -> list[bytes]:
    """The frames of several entries, as parts to be written one behind the other."""
    parts: list[bytes] = []
    for entry in entries:
        parts.extend(encode(entry))
    return parts


def parse_header(data: bytes) -> FrameHeader | None:
    """The header that begins ``data``; ``None`` if there is none, or it does not fit its checksum."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        return None
    (checked,) = _SUM.unpack_from(data, _FIELDS.size)
    if google_crc32c.value(data[: _FIELDS.size]) != checked:
        return None
    _, payload, count, received_ns, user, key, request_id, _, checksum = _FIELDS.unpack_from(data)
    header = FrameHeader(payload, count, received_ns, user, key, request_id, checksum)
    return header if header.names <= payload <= MAX_PAYLOAD else None


def whole_frames(data: bytes) -> tuple[list[tuple[int, Entry]], int]:
    """The entries of the sound frames that lie whole at the beginning of ``data``, each with its offset, and where they
    end. Says what ``parse_header``, ``payload_fits`` and ``decode`` say, for many frames in a fraction of the time."""
    found: list[tuple[int, Entry]] = []
    at = 0
    size = len(data)
    sum_of = google_crc32c.value
    while at + HEADER_BYTES <= size:
        magic, payload, count, received_ns, user, key, request_id, _, checksum, own = _HEADER.unpack_from(data, at)
        start = at + HEADER_BYTES
        end = start + payload
        if magic != MAGIC or end > size or sum_of(data[at : at + _FIELDS.size]) != own:
            break
        body = data[start:end]
        names = user + key + request_id
        if names > payload or sum_of(body) != checksum:
            break
        try:
            entry = Entry(
                received_ns,
                body[:user].decode(),
                body[names:],
                count,
                body[user : user + key].decode() or None,
                body[user + key : names].decode(),
            )
        except UnicodeDecodeError:
            break
        found.append((at, entry))
        at = end
    return found, at


def payload_fits(header: FrameHeader, payload: bytes) -> bool:
    """Whether a payload is the one that was written, by a writer of ours: the names in it are UTF-8."""
    if len(payload) != header.payload or google_crc32c.value(payload) != header.checksum:
        return False
    try:
        _names(header, payload)
    except UnicodeDecodeError:
        return False
    return True


def decode(header: FrameHeader, payload: bytes) -> Entry:
    """The entry of a frame whose payload fits."""
    user, key, request_id = _names(header, payload)
    return Entry(header.received_ns, user, payload[header.names :], header.count, key or None, request_id)


def _names(header: FrameHeader, payload: bytes) -> tuple[str, str, str]:
    user = payload[: header.user].decode("utf-8")
    key = payload[header.user : header.user + header.key].decode("utf-8")
    return user, key, payload[header.user + header.key : header.names].decode("utf-8")

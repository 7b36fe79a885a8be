"""From an object's bytes to the bytes in its gzip members, chunk by chunk, with every damage told and what is whole
behind it read all the same. Owns where members begin and end, and whether each is what its header says; must never hold
more than a chunk of it, nor fetch anything.

A damaged member of ours costs itself alone: its header says where the next one begins. Behind damage in one of somebody
else's, the next header of ours is looked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from lf6gateway.values.member import HEADER_BYTES, Member, digest_of, parse_header

WINDOW: Final = 31
"""zlib's largest window, with a gzip header and trailer."""
OUT: Final = 1 << 20
"""The most bytes that are unpacked at a time."""
_MAGIC: Final = b"\x1f\x8b"
_OURS: Final = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xfflf6-"


class Inflate(Protocol):
    """zlib's decompression object, or another one like it."""

    eof: bool
    unused_data: bytes
    unconsumed_tail: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Began:
    """A member begins; ``member`` is ``None`` where it is not of this program's making."""

    offset: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A member ended, whole: its checksum is right. ``offset``: where the next one begins.

    :param digest_fits: whether its bytes fit the digest in its header; ``None``: not looked at.
    """

    offset: int
    raw_bytes: int
    digest_fits: bool | None


@dataclass(frozen=True, slots=True)
class Damage:
    """What cannot be read, and where that shows; the member that began last is broken off."""

    offset: int
    why: str


Event: TypeAlias = "Began | bytes | Ended | Damage"


class Unpacker:
    """Fed an object's bytes in order, gives what is in them.

    :param inflate: makes what inflates one member, with the window ``WINDOW``.
    :param errors: what that raises for bytes that are no gzip.
    :param digests: whether members are compared with the digests in their headers.
    :param start: where in the object the first byte stands that it is fed.
    """

    def __init__(
        self,
        inflate: Callable[[], Inflate],
        errors: tuple[type[Exception], ...],
        *,
        digests: bool = False,
        start: int = 0,
    ) -> None:
        self._make = inflate
        self._errors = errors
        self._digests = digests
        self.offset = start
        """How many bytes were passed."""
        self._buffer = b""
        self._inflate: Inflate | None = None
        self._member: Member | None = None
        self._begun = 0
        self._raw = 0
        self._skip = 0
        self._lost = False
        self._sha256 = hashlib.sha256()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Go on with the next bytes. What comes out is to be taken before the next are fed."""
        self._buffer += data
        while self._buffer:
            before = len(self._buffer), self._inflate, self._lost
            yield from self._step(False)
            if before == (len(self._buffer), self._inflate, self._lost):
                return

    def end(self) -> Iterator[Event]:
        """The object ends here."""
        while self._buffer:
            before = len(self._buffer), self._inflate, self._lost
            yield from self._step(True)
            if before == (len(self._buffer), self._inflate, self._lost):
                break
        if self._skip or self._inflate is not None:
            self._inflate = None
            yield Damage(self.offset, "it ends in the middle of a gzip member")

    def _step(self, last: bool) -> Iterator[Event]:
        if self._skip:
            passed = min(self._skip, len(self._buffer))
            self._skip -= passed
            self._pass(passed)
        elif self._lost:
            self._look_for_ours(last)
        elif self._inflate is not None:
            yield from self._inflated()
        elif self._buffer[:1] == b"\0":
            self._pass(len(self._buffer) - len(self._buffer.lstrip(b"\0")))  # padding, as tapes and some tools leave
        elif not _MAGIC.startswith(self._buffer[:2]):
            self._begun, self._member = self.offset, None
            yield self._broken("no gzip member begins here")
        elif last or len(self._buffer) >= HEADER_BYTES:
            self._member = parse_header(self._buffer[:HEADER_BYTES])
            self._begun, self._raw = self.offset, 0
            self._inflate = self._make()
            self._sha256 = hashlib.sha256()
            yield Began(self.offset, self._member)

    def _inflated(self) -> Iterator[Event]:
        inflate, member = self._inflate, self._member
        assert inflate is not None
        room = len(self._buffer) if member is None else member.packed_bytes - (self.offset - self._begun)
        data = whole = self._buffer[:room]
        try:
            while data:
                out = inflate.decompress(data, OUT)
                self._raw += len(out)
                if out:
                    yield out
                if inflate.eof:
                    break
                data = inflate.unconsumed_tail
                if not data and len(out) < OUT:
                    break
        except self._errors as error:
            yield self._broken(f"it cannot be unpacked ({error})")
            return
        used = len(whole) - (len(inflate.unused_data) if inflate.eof else 0)
        if member is not None and self._digests:
            self._digest(whole[:used])
        self._pass(used)
        if inflate.eof:
            yield from self._ended()
        elif member is not None and self.offset - self._begun >= member.packed_bytes:
            yield self._broken("it does not end where its header says")

    def _ended(self) -> Iterator[Event]:
        member, self._inflate = self._member, None
        if member is not None and (self.offset - self._begun, self._raw) != (member.packed_bytes, member.raw_bytes):
            found = f"{self.offset - self._begun} bytes packed and {self._raw} unpacked"
            yield Damage(
                self.offset,
                f"it has {found}, and its header says {member.packed_bytes} and {member.raw_bytes}",
            )
            return
        fits = None
        if member is not None and self._digests:
            fits = digest_of(member, self._sha256) == member.digest
        yield Ended(self.offset, self._raw, fits)

    def _digest(self, data: bytes) -> None:
        header = max(0, HEADER_BYTES - (self.offset - self._begun))
        self._sha256.update(data[header:])

    def _broken(self, why: str) -> Damage:
        self._inflate = None
        damage = Damage(self.offset, why)
        if self._member is not None:
            self._skip = self._begun + self._member.packed_bytes - self.offset
        else:
            self._lost = True
            if self.offset == self._begun:
                self._pass(1)  # what stands here is what cannot be read
        return damage

    def _look_for_ours(self, last: bool) -> None:
        place = self._buffer.find(_OURS)
        if place >= 0:
            self._pass(place)
            if len(self._buffer) >= HEADER_BYTES or last:
                if parse_header(self._buffer[:HEADER_BYTES]) is None:
                    self._pass(1)
                else:
                    self._lost = False
            return
        self._pass(len(self._buffer) if last else max(0, len(self._buffer) - len(_OURS) + 1))

    def _pass(self, count: int) -> None:
        self.offset += count
        self._buffer = self._buffer[count:]

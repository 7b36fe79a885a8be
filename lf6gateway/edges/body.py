"""Decoding compressed bodies piece by piece, in bounded memory whatever is sent. Owns the codings; blocks, and so runs
in threads; must never know what a body is for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import zstandard

from lf6gateway.disk.compression import INFLATE_ERRORS, Inflater, inflater

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW_DEFLATE: Final = -15
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""The window that RFC 9659 lets a sender of ``Content-Encoding: zstd`` use."""
_ZSTD_SLICE: Final = 256
"""zstandard hands out all that its input gives, and 4 bytes can give 128 KiB: what goes in at once bounds what comes
out at once, to 8 MiB."""


_PARTS: Final = 1_000
"""Members or frames that any body may be made of, and beyond that one more for each so many bytes that come out: to
begin one costs more than to decode it, and a body of nothing but beginnings would keep a thread busy for minutes."""
_BYTES_A_PART: Final = 32

STEP: Final = 256 * 1024
"""How much is decoded at a time, in bytes."""


class BadCoding(ValueError):
    """A body is not what its Content-Encoding says; the text says how."""


class TooMuch(Exception):
    """A body decodes to more than is taken."""


class Decoder(Protocol):
    """Encoded bytes go in, decoded bytes come out, as much as one asks for."""

    def feed(self, data: bytes) -> None:
        """Some more of the encoded body."""

    def take(self, about: int) -> list[bytes]:
        """The next decoded bytes, some ``about`` bytes; nothing: all that was fed is decoded.

        :raises BadCoding: this is not the coding it was said to be.
        """

    def finish(self) -> None:
        """Pass the end of the body.

        :raises BadCoding: something is missing.
        """


def _check_parts(parts: int, given: int) -> None:
    if parts > _PARTS + given // _BYTES_A_PART:
        raise BadCoding("the body is made of more members or frames than its content needs")


class _Zlib:
    """gzip (any number of members), and deflate with zlib's wrapping, as it should be, or without, as some send it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: deque[bytes] = deque()
        self._rest = b""
        self._engine: Inflater | None = None
        self._withheld = False
        self._done = 0
        self._given = 0

    def feed(self, data: bytes) -> None:
        if data:
            self._queue.append(data)

    def take(self, about: int) -> list[bytes]:
        pieces: list[bytes] = []
        room = about
        while room > 0:
            if not self._rest and not self._withheld:
                if not self._queue:
                    break
                self._rest = self._queue.popleft()
            engine = self._engine or self._begin()
            if engine is None:
                break
            self._engine = engine
            try:
                piece = engine.decompress(self._rest, room)
            except INFLATE_ERRORS:
                raise BadCoding(f"the body is not {self._name}, or was damaged on the way") from None
            self._rest = engine.unconsumed_tail
            self._withheld = len(piece) >= room  # there may be more behind it even where all input was read
            if engine.eof:
                self._rest, self._engine, self._withheld = engine.unused_data, None, False
                self._done += 1
                _check_parts(self._done, self._given)
            if piece:
                self._given += len(piece)
                pieces.append(piece)
                room -= len(piece)
        return pieces

    def _begin(self) -> Inflater | None:
        if self._name == "gzip":
            return inflater(_GZIP)
        if self._done:
            raise BadCoding("something follows the end of the deflate body")
        while len(self._rest) < 2:  # two bytes tell which deflate this is
            if not self._queue:
                return None
            self._rest += self._queue.popleft()
        wrapped = self._rest[0] & 0x0F == 8 and int.from_bytes(self._rest[:2], "big") % 31 == 0
        return inflater(_ZLIB if wrapped else _RAW_DEFLATE)

    def finish(self) -> None:
        if self._engine is not None or self._rest or not self._done:
            raise BadCoding(f"the {self._name} body is cut off")


class _Zstd:
    """zstd: any number of frames."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._rest = memoryview(b"")
        self._engine: zstandard.ZstdDecompressionObj | None = None
        self._done = 0
        self._given = 0

    def feed(self, data: bytes) -> None:
        if data:
            self._queue.append(data)

    def take(self, about: int) -> list[bytes]:
        pieces: list[bytes] = []
        got = 0
        while got < about:
            if not self._rest:
                if not self._queue:
                    break
                self._rest = memoryview(self._queue.popleft())
            if self._engine is None:
                self._engine = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            given, self._rest = self._rest[:_ZSTD_SLICE], self._rest[_ZSTD_SLICE:]
            try:
                piece = self._engine.decompress(given)
            except zstandard.ZstdError:
                raise BadCoding(
                    f"the body is not zstd with a window of at most {_ZSTD_WINDOW} bytes, or was damaged on the way"
                ) from None
            if self._engine.eof:
                unused = self._engine.unused_data
                if unused:
                    if self._rest:
                        self._queue.appendleft(bytes(self._rest))
                    self._rest = memoryview(unused)
                self._engine = None
                self._done += 1
                _check_parts(self._done, self._given)
            if piece:
                self._given += len(piece)
                pieces.append(piece)
                got += len(piece)
        return pieces

    def finish(self) -> None:
        if self._engine is not None or not self._done:
            raise BadCoding("the zstd body is cut off")


_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "gzip": lambda: _Zlib("gzip"),
    "x-gzip": lambda: _Zlib("gzip"),
    "deflate": lambda: _Zlib("deflate"),
    "zstd": _Zstd,
}
CODINGS: Final = ("gzip", "deflate", "zstd")
"""The codings that are taken, by the names to advertise them under."""


class UnknownCoding(ValueError):
    """A body is encoded in a way that is not taken; the text is what was sent."""


def coding_of(values: Sequence[bytes]) -> str | None:
    """The one coding of a body, from its Content-Encoding fields; ``None``: it is sent as it is.

    :raises UnknownCoding: one that is not known, or several over each other.
    """
    if not values:
        return None
    names = [name.strip().lower() for value in values for name in value.decode("latin-1").split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _DECODERS:
        raise UnknownCoding(", ".join(codings).encode("ascii", "replace").decode("ascii")[:100])
    return codings[0]


def decoder_for(coding: str) -> Decoder:
    """A new decoder for a coding that ``coding_of`` gave."""
    return _DECODERS[coding]()


def decode_whole(coding: str, chunks: Sequence[bytes], most: int) -> bytes:
    """A whole body decoded, in no more memory than ``most`` bytes and a step.

    :raises TooMuch: it has more than ``most`` bytes.
    :raises BadCoding: it is not what it was said to be, or is cut off.
    """
    decoder = decoder_for(coding)
    pieces: list[bytes] = []
    total = 0
    for chunk in chunks:
        decoder.feed(chunk)
        while taken := decoder.take(STEP):
            total += sum(map(len, taken))
            if total > most:
                raise TooMuch
            pieces += taken
    decoder.finish()
    return b"".join(pieces)

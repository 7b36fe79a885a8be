"""Making and reading deflate streams. Owns the choice of the library for each level, by what ``bench/compressors.py``
measures: ``isal`` and ``zlib-ng`` where they are installed, the standard ``zlib`` else. What comes out is ordinary
deflate in every case. All of them let go of the interpreter while they work."""

from __future__ import annotations

import importlib
import zlib
from types import ModuleType
from typing import Final, Protocol


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:  # the speed extra is not installed
        return None


_isal: Final = _module("isal.isal_zlib")
_ng: Final = _module("zlib_ng.zlib_ng")
_ISAL_LEVELS: Final = {1: 1, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 3}
"""isal's levels: its lowest is hardly quicker than the next and far larger; its highest takes more than twice the time
for a few hundredths less, time that reception wants on the same processor. For 8 and 9, where small is what is asked
for, it has nothing to offer."""


class Compressor(Protocol):
    """Takes bytes, gives deflated ones."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Inflater(Protocol):
    """Takes deflated bytes, gives at most as many as asked for, as ``zlib.decompressobj``."""

    eof: bool
    unused_data: bytes
    unconsumed_tail: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def raw_deflate(level: int) -> Compressor:
    """A compressor that writes a raw deflate stream (RFC 1951).

    :param level: 1 (quick) to 9 (small), as zlib's.
    """
    made: Compressor
    if _isal is not None and level in _ISAL_LEVELS:
        made = _isal.compressobj(_ISAL_LEVELS[level], _isal.DEFLATED, -15)
    elif _ng is not None:
        made = _ng.compressobj(level, _ng.DEFLATED, -15)
    else:
        made = zlib.compressobj(level, zlib.DEFLATED, -15)
    return made


def inflater(window: int) -> Inflater:
    """What reads a deflate stream; ``window`` as zlib's ``wbits``. Its errors are those of ``INFLATE_ERRORS``."""
    made: Inflater
    if _isal is not None:
        made = _isal.decompressobj(window)
    else:
        made = zlib.decompressobj(window)  # type: ignore[assignment]
    return made


INFLATE_ERRORS: Final[tuple[type[Exception], ...]] = (zlib.error,) if _isal is None else (zlib.error, _isal.error)
"""What an inflater raises for bytes that are not what they should be."""


def crc32(data: bytes, value: int) -> int:
    """The running CRC-32 that ends a gzip member."""
    if _isal is not None:
        return int(_isal.crc32(data, value))
    return zlib.crc32(data, value)

"""Making gzip's deflate stream. Owns the choice of the library: ``isal`` where it is installed, for it is many times
as fast at the same size, the standard ``zlib`` else. What comes out is ordinary deflate either way."""

from __future__ import annotations

import importlib
import zlib
from types import ModuleType
from typing import Protocol

try:
    _fast: ModuleType | None = importlib.import_module("isal.isal_zlib")
except ImportError:  # the speed extra is not installed
    _fast = None


class Compressor(Protocol):
    """Takes bytes, gives deflated ones."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def raw_deflate(level: int) -> Compressor:
    """A compressor that writes a raw deflate stream (RFC 1951).

    :param level: 1 (quick) to 9 (small), as zlib's; isal has four levels of its own, and its best is taken from 4 on.
    """
    if _fast is not None:
        made: Compressor = _fast.compressobj(min(level, 4) - 1, _fast.DEFLATED, -15)
        return made
    return zlib.compressobj(level, zlib.DEFLATED, -15)


def crc32(data: bytes, value: int) -> int:
    """The running CRC-32 that ends a gzip member."""
    if _fast is not None:
        return int(_fast.crc32(data, value))
    return zlib.crc32(data, value)

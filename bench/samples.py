"""What is sent: records as the desktop program sends them, batches of them, specimens. Owns the contents, which are the
same in every run."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator

import zstandard

_SYSTEMS = ("linux", "windows", "macos")
_FORMATS = ("png", "jpeg", "webp", "avif", "heic", "gif")
_ERRORS = (
    "cannot decode chunk IDAT: incorrect data check",
    "unexpected end of file at offset {number}",
    "marker {number:#06x} is not known",
    "out of memory while scaling {number} pixels",
)


def _record(chance: random.Random, size: int) -> bytes:
    record: dict[str, object] = {
        "id": f"{chance.getrandbits(64):016x}",
        "version": f"6.{chance.randrange(4)}.{chance.randrange(20)}",
        "os": chance.choice(_SYSTEMS),
        "format": chance.choice(_FORMATS),
        "files": chance.randrange(1, 200),
        "seconds": round(chance.expovariate(0.4), 3),
        "bytes_in": chance.randrange(10_000, 50_000_000),
        "bytes_out": chance.randrange(5_000, 20_000_000),
        "at": f"2026-07-{chance.randrange(1, 29):02d}T{chance.randrange(24):02d}:{chance.randrange(60):02d}:00Z",
    }
    text = json.dumps(record, separators=(",", ":"))
    errors = []
    while len(text) + sum(map(len, errors)) + 3 * len(errors) + 15 < size:
        errors.append(chance.choice(_ERRORS).format(number=chance.randrange(65_536)))
    if errors:
        record["errors"] = errors
    return json.dumps(record, separators=(",", ":")).encode()[: size * 2]


def records(count: int, size: int = 250, seed: int = 1) -> list[bytes]:
    """So many different records of some ``size`` bytes each."""
    chance = random.Random(seed)
    return [_record(chance, size - 5) for _ in range(count)]


def batch(count: int, seed: int = 1) -> bytes:
    """NDJSON of so many records."""
    return b"\n".join(records(count, seed=seed)) + b"\n"


def batches(least: int, seed: int = 1) -> Iterator[bytes]:
    """Batches of a thousand records, at least so many bytes in all; fifty different ones in turn."""
    different = [batch(1_000, seed + number) for number in range(50)]
    sent = 0
    while sent < least:
        for one in different:
            if sent >= least:
                return
            sent += len(one)
            yield one


def encoded(body: bytes, coding: str | None) -> bytes:
    """A body as a client sends it: plain, gzip level 6 or zstd level 3."""
    if coding == "gzip":
        return gzip.compress(body, 6, mtime=0)
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(body)
    return body


def specimen(size: int) -> bytes:
    """Bytes that no compressor makes smaller, as those of an image are."""
    return random.Random(size).randbytes(min(size, 1 << 20)) * max(1, size >> 20)

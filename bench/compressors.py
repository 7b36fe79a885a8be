"""Speed against size: every compressor that is installed, at every level, on the same records; and the checksums.

    python -m bench.compressors

Prints a table, medians over rounds that alternate between the candidates."""

from __future__ import annotations

import hashlib
import importlib
import statistics
import time
import zlib
from collections.abc import Callable
from typing import Any

import google_crc32c

from bench import samples

MIB = 1024 * 1024
PIECE = 256 * 1024


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def compressors() -> dict[str, Callable[[], Any]]:
    """What makes a raw deflate stream, by name and level."""
    found: dict[str, Callable[[], Any]] = {}
    isal, ng = _module("isal.isal_zlib"), _module("zlib_ng.zlib_ng")
    if isal is not None:
        for level in range(4):
            found[f"isal {level}"] = lambda level=level: isal.compressobj(level, isal.DEFLATED, -15)
    if ng is not None:
        for level in (1, 2, 3, 6, 9):
            found[f"zlib-ng {level}"] = lambda level=level: ng.compressobj(level, ng.DEFLATED, -15)
    for level in (1, 3, 6, 9):
        found[f"zlib {level}"] = lambda level=level: zlib.compressobj(level, zlib.DEFLATED, -15)
    return found


def compress(make: Callable[[], Any], data: bytes) -> tuple[float, int]:
    """MiB a second of processor time, and the size that came out."""
    packer = make()
    begun = time.process_time()
    size = sum(len(packer.compress(data[at : at + PIECE])) for at in range(0, len(data), PIECE))
    size += len(packer.flush())
    return len(data) / MIB / (time.process_time() - begun), size


def checksums() -> dict[str, Callable[[bytes], object]]:
    """What sums or digests, by name."""
    found: dict[str, Callable[[bytes], object]] = {
        "zlib crc32": zlib.crc32,
        "google-crc32c": google_crc32c.value,
        "sha256 (OpenSSL)": lambda data: hashlib.sha256(data).digest(),
        "blake2b (hashlib)": lambda data: hashlib.blake2b(data).digest(),
    }
    isal, ng = _module("isal.isal_zlib"), _module("zlib_ng.zlib_ng")
    if isal is not None:
        found["isal crc32"] = isal.crc32
    if ng is not None:
        found["zlib-ng crc32"] = ng.crc32
    return found


def main() -> None:
    data = b"".join(samples.batches(8 * MIB))
    speeds: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    for _ in range(3):
        for name, make in compressors().items():
            speed, sizes[name] = compress(make, data)
            speeds.setdefault(name, []).append(speed)
    print("| compressor, level | MiB/s | size |\n| --- | ---: | ---: |")
    for name, measured in speeds.items():
        print(f"| {name} | {statistics.median(measured):.0f} | 1/{len(data) / sizes[name]:.2f} |")
    speeds = {}
    for _ in range(5):
        for name, work in checksums().items():
            begun = time.process_time()
            work(data)
            speeds.setdefault(name, []).append(len(data) / MIB / (time.process_time() - begun))
    print("\n| checksum | MiB/s |\n| --- | ---: |")
    for name, measured in speeds.items():
        print(f"| {name} | {statistics.median(measured):,.0f} |")


if __name__ == "__main__":
    main()

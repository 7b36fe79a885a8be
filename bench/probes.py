"""The reference points that are no servers: the disk, the compressors and the parsers on the bytes that are sent. Owns
their timing; each gives MiB a second unless it says otherwise."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import zstandard

from lf6gateway.disk.compression import inflater as inflating

MIB = 1024 * 1024


def rate(size: int, work: Callable[[], object], least_s: float = 0.5) -> float:
    """MiB a second of ``work`` that handles ``size`` bytes, repeated for a while."""
    count = 0
    begun = time.perf_counter()
    while True:
        work()
        count += 1
        spent = time.perf_counter() - begun
        if spent >= least_s:
            return size * count / MIB / spent


def sync_latency(folder: Path, size: int = 16 * 1024, count: int = 300) -> tuple[float, float]:
    """Append and fdatasync, as one waits for it: median and 99th percentile in milliseconds."""
    data = os.urandom(size)
    taken = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(count):
            begun = time.perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1e3)
    (folder / "probe").unlink()
    return statistics.median(taken), sorted(taken)[int(len(taken) * 0.99)]


def append_and_sync(folder: Path, piece: int, total: int) -> float:
    """Append pieces to one file, each synced."""
    data = os.urandom(min(piece, MIB)) * max(1, piece // MIB)
    begun = time.perf_counter()
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(max(1, total // len(data))):
            file.write(data)
            os.fdatasync(file.fileno())
    spent = time.perf_counter() - begun
    (folder / "probe").unlink()
    return max(1, total // len(data)) * len(data) / MIB / spent


def files_synced(folder: Path, size: int, count: int, at_once: int) -> float:
    """Files of that size, written, synced, renamed and their folder synced, by so many threads: what the disk itself
    takes for specimens."""
    data = os.urandom(min(size, MIB))
    left = list(range(count))
    guard = threading.Lock()

    def work() -> None:
        while True:
            with guard:
                if not left:
                    return
                number = left.pop()
            with (folder / f"{number}.part").open("wb", buffering=0) as file:
                for _ in range(max(1, size // len(data))):
                    file.write(data)
                os.fdatasync(file.fileno())
            os.rename(folder / f"{number}.part", folder / f"{number}")
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - begun
    for number in range(count):
        (folder / str(number)).unlink()
    return size * count / MIB / spent


def parser(batch: bytes) -> float:
    """msgspec's parser over each line, with a check of the UTF-8: the least that must be done to a batch."""
    decode = msgspec.json.Decoder(msgspec.Raw).decode

    def work() -> None:
        batch.isascii() or batch.decode()
        for line in batch.splitlines():
            decode(line)

    return rate(len(batch), work)


def inflater(body: bytes, coding: str, size: int) -> float:
    """The inflater alone, in MiB of decoded bytes."""
    if coding == "gzip":
        return rate(size, lambda: inflating(31).decompress(body, size))
    return rate(size, lambda: zstandard.ZstdDecompressor().decompress(body))


def compressor(command: list[str], path: Path) -> float | None:
    """A program that compresses a file to nowhere; ``None`` where it is not installed."""
    if shutil.which(command[0]) is None:
        return None
    begun = time.perf_counter()
    with path.open("rb") as file:
        subprocess.run(command, stdin=file, stdout=subprocess.DEVNULL, check=True)
    return path.stat().st_size / MIB / (time.perf_counter() - begun)

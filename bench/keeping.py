"""Cases (d), (e) and (f): sealing, the start after a crash, and the cost as what waits grows. Owns its spools."""

from __future__ import annotations

import os
import re
import shutil
import time
from itertools import count
from pathlib import Path

from bench import probes, samples, servers, start, wrk
from bench.figures import Results
from lf6gateway.disk.compression import raw_deflate
from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.disk.segment import Segment
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

SEAL = "(d) sealing"
START = "(e) start after kill -9"
GROWTH = "(f) as what waits grows"
MIB = probes.MIB
LEVEL = 6
_folders = count()


def _segment(folder: Path, size: int, batched: bool) -> tuple[Segment, Path, int]:
    """A closed segment of so many bytes, its records as a plain file, and their length."""
    moment = time.time_ns()
    path, plain = folder / f"00000001-{'0' * 32}.seg", folder / "records"
    raw = 0
    with path.open("wb") as file, plain.open("wb") as lines:
        file.write(frame.FILE_HEADER)
        for body in samples.batches(size):
            for piece in (body,) if batched else body.splitlines(keepends=True):
                moment += 1
                entry = Entry(moment, "user-1", piece, piece.count(b"\n"), None, f"{moment:032x}")
                file.write(b"".join(frame.encode(entry)))
            lines.write(body)
            raw += len(body)
    return Segment(Stream.USAGE, Slot.at(moment), 1, "0" * 32, str(path)), plain, raw


def sealing(results: Results, root: Path, rounds: int, quick: bool) -> None:
    """A segment into a member, beside its compressor alone and others on the same bytes."""
    size = (16 if quick else 256) * MIB
    fs = OsFileSystem()
    for batched, kind in ((False, "a record a request"), (True, "a thousand a request")):
        folder = root / f"seal-{next(_folders)}"
        folder.mkdir()
        segment, plain, raw = _segment(folder, size, batched)
        quarantine = Quarantine(fs, str(folder))
        row = f"{raw / MIB:.0f} MiB, {kind}"
        for _ in range(rounds):
            kept = folder / "kept"
            os.link(segment.path, kept)
            begun, used = time.perf_counter(), time.process_time()
            done = seal(fs, segment, spool="0" * 32, level=LEVEL, quarantine=quarantine)
            spent, used = time.perf_counter() - begun, time.process_time() - used
            os.rename(kept, segment.path)
            assert done.member_file is not None
            packed = done.member_file.member.packed_bytes
            results.add(
                SEAL,
                row,
                "lf6gateway seals",
                MiB_a_second=raw / MIB / spent,
                cpu_s_a_GiB=used / raw * 2**30,
                size_ratio=raw / packed,
            )
            os.unlink(done.member_file.path)
            packer = raw_deflate(LEVEL)
            spent, packed = 0.0, 0
            with plain.open("rb") as file:
                while piece := file.read(MIB):
                    begun = time.perf_counter()
                    packed += len(packer.compress(piece))
                    spent += time.perf_counter() - begun
            packed += len(packer.flush())
            results.add(SEAL, row, "its compressor alone", MiB_a_second=raw / MIB / spent, size_ratio=raw / packed)
            for name, command in (("gzip -6", ["gzip", "-6"]), ("pigz -6", ["pigz", "-6"])):
                if not batched:
                    continue
                speed = probes.compressor(command, plain)
                if speed is None:
                    results.skip(name, "not installed")
                else:
                    results.add(SEAL, row, name, MiB_a_second=speed)
        shutil.rmtree(folder)


def starting(results: Results, root: Path, quick: bool) -> None:
    """From ``kill -9`` with much waiting to the first acknowledged record, and to all of it shipped to a folder."""
    free = shutil.disk_usage(root).free
    for gib in (0.05,) if quick else (0.1, 1.0, 10.0):
        if free < gib * 2**30 * 2.5:
            results.skip(f"{START}, {gib} GiB", f"the disk has only {free >> 30} GiB left")
            continue
        ready, shipped, peak = start.measure(int(gib * 2**30))
        results.add(START, f"{gib:g} GiB wait", "lf6gateway", ready_s=ready, shipped_s=shipped, peak_MiB=peak)


def _resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def growing(results: Results, root: Path, quick: bool) -> None:
    """The rate and the memory with ever more records and specimens waiting, S3 away."""
    if not wrk.installed():
        results.skip(GROWTH, wrk.MISSING)
        return
    seconds = 1 if quick else 4
    batch = [samples.batch(1_000, seed) for seed in range(8)]
    with servers.gateway(root / f"growth-{next(_folders)}") as server:
        sent = 0
        for target in (10**4, 10**5) if quick else (10**4, 10**5, 10**6, 10**7):
            while sent < target:
                load = wrk.put(
                    server.port,
                    "/usage",
                    batch,
                    connections=8,
                    seconds=1 if target < 10**6 else 5,
                    headers={"Content-Type": "application/x-ndjson"},
                )
                sent += load.requests * 1_000
            load = wrk.put(server.port, "/usage", samples.records(64), connections=64, seconds=seconds)
            results.add(
                GROWTH,
                f"{target:,} records wait",
                "lf6gateway",
                PUT_a_second=load.rate,
                p99_ms=load.p99,
                resident_MiB=_resident_mib(server.pid),
            )
            sent += load.requests
    with servers.gateway(root / f"growth-{next(_folders)}") as server:
        sent = 0
        for target in (10**2, 10**3) if quick else (10**3, 10**4, 10**5):
            while sent < target:
                sent += wrk.put(
                    server.port,
                    "/specimen?uri=a.png",
                    [b"x" * 1_000],
                    connections=64,
                    seconds=1 if target < 10**4 else 10,
                ).requests
            load = wrk.put(server.port, "/specimen?uri=a.png", [b"x" * 1_000], connections=64, seconds=seconds)
            results.add(
                GROWTH,
                f"{target:,} specimens wait",
                "lf6gateway",
                PUT_a_second=load.rate,
                p99_ms=load.p99,
                resident_MiB=_resident_mib(server.pid),
            )
            sent += load.requests

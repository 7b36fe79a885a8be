"""Cases (a), (b) and (c): single records, batches, specimens, each beside its reference points. Owns what is sent."""

from __future__ import annotations

import http.client
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

from bench import probes, samples, servers, wrk
from bench.figures import Results
from bench.servers import Server

SINGLE = "(a) single records"
LONG = "(a) a minute of full load"
BATCHES = "(b) batches"
SPECIMENS = "(c) specimens"
MIB = probes.MIB
_folders = count()

Start = Callable[[Path], AbstractContextManager[Server]]


def _gateway(channel: str) -> Start:
    return lambda folder: servers.gateway(folder, http={"channel": channel})


def candidates(results: Results) -> dict[str, Start]:
    """Everything that answers a PUT of one record."""
    found: dict[str, Start] = {
        "lf6gateway": _gateway("httptools"),
        "lf6gateway, twisted.web": _gateway("twisted"),
        "twisted.web, throws away": lambda folder: servers.reference(folder, "discard"),
        "twisted.web, files, no sync": lambda folder: servers.reference(folder, "file"),
    }
    if shutil.which("nginx"):
        found["nginx, 204 alone"] = servers.nginx
    else:
        results.skip("nginx", "not installed (Debian, Ubuntu: apt-get install nginx-light)")
    return found


def single(results: Results, root: Path, rounds: int, quick: bool) -> None:
    """Durable PUTs of one record."""
    if not wrk.installed():
        results.skip(SINGLE, wrk.MISSING)
        return
    seconds = 1 if quick else 6
    starts = candidates(results)
    cells = [(64, 250)] if quick else [(1, 250), (64, 250), (1_000, 250), (64, 4_096)]
    for _ in range(rounds):
        p50, p99 = probes.sync_latency(root)
        results.add("(a) the disk", "append 16 KiB, fdatasync", "disk", p50_ms=p50, p99_ms=p99)
        for connections, size in cells:
            bodies = samples.records(64, size)
            for name, start in starts.items():
                with start(root / f"single-{next(_folders)}") as server:
                    wrk.put(server.port, "/usage", bodies, connections=connections, seconds=1)  # warm
                    before = server.cpu_s
                    load = wrk.put(server.port, "/usage", bodies, connections=connections, seconds=seconds)
                    figures = {"peak_MiB": server.peak_mib} if "nginx" not in name else {}
                    if "nginx" not in name:
                        figures["cpu_µs_a_request"] = (server.cpu_s - before) / load.requests * 1e6
                results.add(
                    SINGLE,
                    f"{connections} connections, {size} B",
                    name,
                    PUT_a_second=load.rate,
                    p50_ms=load.p50,
                    p99_ms=load.p99,
                    p999_ms=load.p999,
                    **figures,
                )


def long(results: Results, root: Path, quick: bool) -> None:
    """Whether the rate holds once the system writes back."""
    if not wrk.installed():
        return
    parts = 2 if quick else 12
    for name, start in candidates(Results()).items():
        if name.startswith(("lf6gateway, ", "nginx", "twisted.web, throws")):
            continue
        with start(root / f"long-{next(_folders)}") as server:
            rates = [
                wrk.put(server.port, "/usage", samples.records(64), connections=64, seconds=1 if quick else 5).rate
                for _ in range(parts)
            ]
        results.add(
            LONG,
            "64 connections, 250 B",
            name,
            last_over_first=rates[-1] / rates[0],
            first_5_s=rates[0],
            last_5_s=rates[-1],
            least=min(rates),
        )


def batched(results: Results, root: Path, rounds: int, quick: bool) -> None:
    """NDJSON, plain and compressed."""
    if not wrk.installed():
        results.skip(BATCHES, wrk.MISSING)
        return
    for _ in range(rounds):
        for length in (1_000,) if quick else (100, 1_000):
            plain = [samples.batch(length, seed) for seed in range(8)]
            size = len(plain[0])
            row = f"{length} records, {size >> 10} KiB"
            for coding, sealing in ((None, True), (None, False), ("gzip", True), ("zstd", True)):
                bodies = [samples.encoded(one, coding) for one in plain]
                headers = {"Content-Type": "application/x-ndjson"}
                if coding is not None:
                    headers["Content-Encoding"] = coding
                later = {} if sealing else {"aggregation": {"segment_bytes": "4GiB"}}
                with servers.gateway(root / f"batch-{next(_folders)}", **later) as server:
                    load = wrk.put(
                        server.port, "/usage", bodies, connections=8, seconds=1 if quick else 5, headers=headers
                    )
                    peak = server.peak_mib
                results.add(
                    BATCHES,
                    row,
                    f"lf6gateway, {coding or 'plain'}{'' if sealing else ', sealed later'}",
                    MiB_a_second=load.rate * size / MIB,
                    records_a_second=load.rate * length,
                    p50_ms=load.p50,
                    p99_ms=load.p99,
                    peak_MiB=peak,
                )
                if coding is not None:
                    results.add(
                        BATCHES, row, f"{coding} inflater alone", MiB_a_second=probes.inflater(bodies[0], coding, size)
                    )
            results.add(BATCHES, row, "JSON parser alone", MiB_a_second=probes.parser(plain[0]))
            results.add(
                BATCHES, row, "disk: append, fdatasync alone", MiB_a_second=probes.append_and_sync(root, size, 64 * MIB)
            )


def _upload(port: int, body: bytes, total: int, at_once: int) -> float:
    """Seconds for so many uploads over so many connections."""
    numbers = iter(range(total))
    guard = threading.Lock()
    failed: list[int] = []

    def work() -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        while True:
            with guard:
                number = next(numbers, None)
            if number is None or failed:
                break
            client.request("PUT", f"/specimen?uri=bench-{number}.png", body, {"User-Token": "bench"})
            answer = client.getresponse()
            answer.read()
            if answer.status != 204:
                failed.append(answer.status)
        client.close()

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"a specimen was answered {failed[0]}")
    return time.perf_counter() - begun


def specimens(results: Results, root: Path, rounds: int, quick: bool) -> None:
    """Files of three sizes, one and sixteen at once."""
    cells = [(100 << 10, 64), (10 << 20, 6)] if quick else [(100 << 10, 2_000), (10 << 20, 50), (100 << 20, 16)]
    for _ in range(rounds):
        for size, total in cells:
            body = samples.specimen(size)
            for at_once in (1, 16):
                row = f"{size >> 10:,} KiB, {at_once} at once"
                with servers.gateway(root / f"specimen-{next(_folders)}") as server:
                    seconds = _upload(server.port, body, total, at_once)
                    peak = server.peak_mib
                results.add(SPECIMENS, row, "lf6gateway", MiB_a_second=len(body) * total / MIB / seconds, peak_MiB=peak)
                folder = root / f"files-{next(_folders)}"
                folder.mkdir()
                results.add(
                    SPECIMENS,
                    row,
                    "disk: file, sync, rename",
                    MiB_a_second=probes.files_synced(folder, len(body), total, at_once),
                )
                shutil.rmtree(folder)

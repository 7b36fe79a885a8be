"""Everything that is measured, in one go.

    python -m bench                    all cases, three rounds each
    python -m bench --quick            a few seconds a case: whether the bench works, not what the gateway can do
    python -m bench --only ab          the cases of these letters

Writes results.md, results.json (every round) and an SVG for each case to bench/results/. Needs wrk for what comes over
HTTP (Debian, Ubuntu: apt-get install wrk), and takes nginx and pigz along where they are installed."""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

from bench import keeping, receiving
from bench.figures import Results, machine


def judge(results: Results) -> None:
    """The ratios that the project wants to reach."""
    median = results.median
    row = "64 connections, 250 B"

    def ratio(above: float | None, below: float | None) -> float | None:
        return None if above is None or below is None else above / below

    ours = median(receiving.SINGLE, row, "lf6gateway", "PUT_a_second")
    for other, least in (("twisted.web, throws away", 1.5), ("twisted.web, files, no sync", 8)):
        results.target(
            f"durable PUT a second over: {other}",
            ratio(ours, median(receiving.SINGLE, row, other, "PUT_a_second")),
            least,
        )
    p99 = median(receiving.SINGLE, row, "lf6gateway", "p99_ms")
    disk = median("(a) the disk", "append 16 KiB, fdatasync", "disk", "p99_ms")
    results.target("p99 at 64 connections over the disk's own p99 of fdatasync", ratio(p99, disk), 10, at_most=True)
    results.target(
        "rate of the last 5 s of a minute over the first",
        median(receiving.LONG, row, "lf6gateway", "last_over_first"),
        0.9,
    )
    for name in results.found.get(receiving.BATCHES, {}):
        if name.startswith("1000 "):
            parser = median(receiving.BATCHES, name, "JSON parser alone", "MiB_a_second")
            synced = median(receiving.BATCHES, name, "disk: append, fdatasync alone", "MiB_a_second")
            plain = median(receiving.BATCHES, name, "lf6gateway, plain", "MiB_a_second")
            if parser is not None and synced is not None:
                slower = min(parser, synced)
                results.target("plain batches over the slower of parser and disk", ratio(plain, slower), 0.6)
            for coding in ("gzip", "zstd"):
                results.target(
                    f"{coding} batches over their inflater",
                    ratio(
                        median(receiving.BATCHES, name, f"lf6gateway, {coding}", "MiB_a_second"),
                        median(receiving.BATCHES, name, f"{coding} inflater alone", "MiB_a_second"),
                    ),
                    0.6,
                )
    for name in results.found.get(receiving.SPECIMENS, {}):
        results.target(
            f"specimens over the disk: {name}",
            ratio(
                median(receiving.SPECIMENS, name, "lf6gateway", "MiB_a_second"),
                median(receiving.SPECIMENS, name, "disk: file, sync, rename", "MiB_a_second"),
            ),
            0.7,
        )
    for name in results.found.get(keeping.SEAL, {}):
        results.target(
            f"sealing over its compressor: {name}",
            ratio(
                median(keeping.SEAL, name, "lf6gateway seals", "MiB_a_second"),
                median(keeping.SEAL, name, "its compressor alone", "MiB_a_second"),
            ),
            0.9,
        )
    peaks = [
        max(figures[name])
        for rows in results.found.values()
        for candidates in rows.values()
        for candidate, figures in candidates.items()
        for name in ("peak_MiB", "resident_MiB")
        if candidate.startswith("lf6gateway") and name in figures
    ]
    results.target("peak resident MiB of a process, in every case", max(peaks, default=None), 120, at_most=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only see whether the bench works")
    parser.add_argument("--only", default="abcdef", help="letters of the cases to run")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds; 3, or 1 with --quick")
    parser.add_argument("--results", type=Path, default=Path("bench/results"))
    parser.add_argument("--work", type=Path, help="a folder on the disk to be measured")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    about = {**machine(), "form": "quick: no figures to go by" if chosen.quick else f"{rounds} rounds"}
    results = Results()
    root = Path(tempfile.mkdtemp(prefix="lf6gateway-bench-", dir=chosen.work))
    begun = time.monotonic()
    try:
        for letter, title, run in (
            ("a", receiving.SINGLE, lambda: receiving.single(results, root, rounds, chosen.quick)),
            ("a", receiving.LONG, lambda: receiving.long(results, root, chosen.quick)),
            ("b", receiving.BATCHES, lambda: receiving.batched(results, root, rounds, chosen.quick)),
            ("c", receiving.SPECIMENS, lambda: receiving.specimens(results, root, rounds, chosen.quick)),
            ("d", keeping.SEAL, lambda: keeping.sealing(results, root, rounds, chosen.quick)),
            ("e", keeping.START, lambda: keeping.starting(results, root, chosen.quick)),
            ("f", keeping.GROWTH, lambda: keeping.growing(results, root, chosen.quick)),
        ):
            if letter in chosen.only:
                print(title, flush=True)
                run()
    finally:
        shutil.rmtree(root, ignore_errors=True)
        about["taken"] = f"{(time.monotonic() - begun) / 60:.1f} minutes"
        judge(results)
        results.write(chosen.results, about)
    print(f"written: {chosen.results}/results.md")


if __name__ == "__main__":
    main()

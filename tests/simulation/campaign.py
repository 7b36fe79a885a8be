"""Many histories and crash points in several processes. Owns the counting, and what is done about one that fails: it is
shortened, kept, and told."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from twisted.logger import globalLogBeginner

from tests.simulation import crash_points
from tests.simulation.chance import Chance
from tests.simulation.coverage import missing
from tests.simulation.shrink import Failing, shrunk
from tests.simulation.world import history

STEPS = 400
CHUNK = 200
TRIES = 3000
KEPT = Path("build")


def fails_with(failing: Failing) -> str | None:
    """How a history fails, without its figures; ``None``: it does not."""
    try:
        history(Chance(None, failing.choices), failing.steps)
    except Exception as error:
        return way_of(error)
    return None


def way_of(error: Exception) -> str:
    """The same for all that fail in one way."""
    return f"{type(error).__name__}: {str(error).partition(':')[0][:60]}"


def shorten(seed: int, steps: int, tries: int = TRIES) -> tuple[Failing, str]:
    """The shortest history that fails as a seed does, and how it fails."""
    chance = Chance(seed)
    try:
        history(chance, steps)
    except Exception as error:
        way = way_of(error)
    else:
        raise ValueError(f"seed {seed} does not fail")
    whole = Failing(steps, tuple(chance.drawn))
    return shrunk(whole, lambda one: fails_with(one) == way, tries), way


def report(seed: int, steps: int, tries: int = TRIES) -> None:
    """Shorten a failing seed, tell it, and say how it is replayed."""
    short, way = shorten(seed, steps, tries)
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"failing-{seed}.json"
    path.write_text(json.dumps({"steps": short.steps, "choices": short.choices}) + "\n")
    plain = sum(1 for choice in short.choices if not choice)
    print(
        f"\nseed {seed} fails: {way}\nthe shortest history found has {short.steps} steps, {len(short.choices)} choices,"
    )
    print(f"{plain} of them plain. Replay it by:\n    python -m tests.simulation --replay {path}")
    print(f"and the whole by:\n    python -m tests.simulation --seed {seed} --steps {steps}\nIt goes like this:")
    tell(Chance(None, short.choices), short.steps)
    sys.stdout.flush()


def tell(chance: Chance, steps: int) -> bool:
    """Run one history and print all that happens; whether it is as it should be."""
    try:
        history(chance, steps, watched=lambda what: print(f"  {what}"))
    except Exception as error:
        print(f"WRONG: {error}")
        if not isinstance(error, AssertionError):
            traceback.print_exception(error)
        return False
    return True


def quiet() -> None:
    """The gateway's log goes nowhere."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


def _chunk(work: tuple[int, int, int]) -> tuple[Counter[str], list[tuple[int, str]]]:
    start, stop, steps = work
    counts: Counter[str] = Counter()
    bad = []
    for seed in range(start, stop):
        try:
            counts += history(Chance(seed), steps)
        except Exception as error:
            bad.append((seed, way_of(error)))
            counts["histories"] += 1
    return counts, bad


def _points(work: tuple[str, int, str]) -> tuple[Counter[str], list[str]]:
    try:
        return crash_points.crashed(*work), []
    except Exception as error:
        return Counter(), [f"{crash_points.name_of(*work)}: {error}"]


def campaign(histories: int, first: int, steps: int, jobs: int, *, points: bool) -> int:
    """Run them all, print how it goes and what was met; how many failed."""
    begun = time.monotonic()
    total: Counter[str] = Counter()
    failed: list[tuple[int, str]] = []
    lost_points: list[str] = []
    pool = get_context("spawn").Pool(jobs, initializer=quiet)
    try:
        chunks = ((at, min(at + CHUNK, first + histories), steps) for at in range(first, first + histories, CHUNK))
        for counts, bad in pool.imap_unordered(_chunk, chunks):
            total += counts
            failed += bad
            _progress(begun, total, len(failed) + len(lost_points))
        if points:
            for counts, wrong in pool.imap_unordered(_points, crash_points.every(), chunksize=20):
                total += counts
                lost_points += wrong
                if total["crash points"] % 500 == 0:
                    _progress(begun, total, len(failed) + len(lost_points))
    except KeyboardInterrupt:
        print("broken off; the figures are of what was done")
    finally:
        pool.terminate()
    print(f"\n{time.monotonic() - begun:.0f} s, {jobs} processes")
    for what, count in sorted(total.items()):
        print(f"{count:>12,}  {what}")
    for line in lost_points[:20]:
        print(f"FAILED {line}\n    python -m tests.simulation --crash-point {line.partition(': ')[0]}")
    for seed, way in failed[:20]:
        print(f"FAILED seed {seed}: {way}")
    for _, seed in _first_of_each_way(failed):
        report(seed, steps)
    never = missing(total) if histories >= 5000 else []
    if never:
        print(f"NEVER MET, so nothing is proved about it: {', '.join(never)}")
    bad_ones = len(failed) + len(lost_points)
    print(f"{total['histories']:,} histories and {total['crash points']:,} crash points, {bad_ones} failed")
    return bad_ones + len(never)


def _first_of_each_way(failed: list[tuple[int, str]]) -> Iterator[tuple[str, int]]:
    first = {}
    for seed, way in failed:
        first.setdefault(way, seed)
    return islice(iter(first.items()), 3)


def _progress(begun: float, total: Counter[str], bad: int) -> None:
    seconds = time.monotonic() - begun
    print(
        f"{seconds:7.0f} s  {total['histories']:>8,} histories  {total['crash points']:>7,} crash points  "
        f"{total['records acknowledged']:>9,} records acknowledged  {bad} failed",
        flush=True,
    )

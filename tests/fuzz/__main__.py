"""Fuzz one target by coverage, from the kept corpus on.

    python -m tests.fuzz channel --minutes 30

An input that breaks a promise is written under ``build/fuzz/<target>/crashes`` and ends the run; when it is mended, put
it into ``tests/fuzz/corpus/<target>/``, where the suite replays it for ever. New inputs that reach new code gather
in ``build/fuzz/<target>/found``. Needs atheris: ``pip install -e '.[fuzz]'``, for the Pythons that it has wheels for."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

MEMORY_MIB = 1024
LONGEST = 16 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    chosen = parser.parse_args()
    try:
        import atheris
    except ImportError:
        raise SystemExit("atheris is not installed; pip install -e '.[fuzz]' where it has a wheel for this Python") from None
    with atheris.instrument_imports(include=["lf6gateway", "twisted.web", "twisted.protocols.basic", "yaml"]):
        from tests.fuzz.corpus import FOLDER
        from tests.fuzz.targets import TARGETS
    if chosen.target not in TARGETS:
        raise SystemExit(f"there is no target {chosen.target}; there are: {', '.join(TARGETS)}")
    target = TARGETS[chosen.target]
    build = Path("build/fuzz") / chosen.target
    found, crashes = build / "found", build / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        target(data)

    def report() -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        figures = {
            "target": chosen.target,
            "seconds": round(time.monotonic() - begun),
            "executions": count,
            "crashes": len(list(crashes.iterdir())),
            "peak_memory_mib": peak,
            "found": len(list(found.iterdir())),
        }
        print(json.dumps(figures), flush=True)

    kept = FOLDER / ("channel" if chosen.target.startswith("channel") else chosen.target)
    options = [
        sys.argv[0],
        f"-max_total_time={int(chosen.minutes * 60)}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST}",
        "-timeout=20",
        f"-artifact_prefix={crashes}/",
        f"-seed={chosen.seed}",
        "-print_final_stats=1",
        str(found),
        str(kept),
    ]
    atheris.Setup(options, one, enable_python_coverage=True)
    import atexit

    atexit.register(report)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

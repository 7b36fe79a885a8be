"""Fuzz one target by coverage, from the kept corpus on.

    python -m tests.fuzz channel --minutes 30

An input that breaks a promise is written under ``build/fuzz/<target>/crashes`` and ends the run; when it is mended, put
it into ``tests/fuzz/corpus/<target>/``, where the suite replays it for ever. New inputs that reach new code gather
in ``build/fuzz/<target>/found``. Needs atheris: ``pip install -e '.[fuzz]'``, for the Pythons that it has wheels for."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

MEMORY_MIB = 1024
LONGEST = 16 * 1024
_STAT = re.compile(r"stat::(\w+):\s+(\d+)")


def fuzz(target: str, options: list[str]) -> None:
    """Run the fuzzer in this process, which it ends."""
    try:
        import atheris
    except ImportError:
        raise SystemExit(
            "atheris is not installed; pip install -e '.[fuzz]' where it has a wheel for this Python"
        ) from None
    with atheris.instrument_imports(include=["lf6gateway", "twisted.web", "twisted.protocols.basic", "yaml"]):
        from tests.fuzz.targets import TARGETS
    if target not in TARGETS:
        raise SystemExit(f"there is no target {target}; there are: {', '.join(TARGETS)}")
    atheris.Setup([sys.argv[0], *options], TARGETS[target], enable_python_coverage=True)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--options", nargs="*", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.options is not None:
        fuzz(chosen.target, ["-" + option for option in chosen.options[:-2]] + chosen.options[-2:])
        return
    build = Path("build/fuzz") / chosen.target
    found, crashes = build / "found", build / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    kept = Path(__file__).with_name("corpus") / ("channel" if chosen.target.startswith("channel") else chosen.target)
    options = [
        f"max_total_time={int(chosen.minutes * 60)}",
        f"rss_limit_mb={MEMORY_MIB}",
        f"max_len={LONGEST}",
        "timeout=60",
        f"artifact_prefix={crashes}/",
        f"seed={chosen.seed}",
        "print_final_stats=1",
        str(found),
        str(kept),
    ]
    command = [sys.executable, "-m", "tests.fuzz", chosen.target, "--options", *options]
    begun = time.monotonic()
    log = build / "log"
    with log.open("wb") as out:
        status = subprocess.run(command, stdout=out, stderr=out, check=False).returncode
    said = log.read_text(errors="replace")
    stats = dict(_STAT.findall(said))
    figures = {
        "target": chosen.target,
        "seconds": round(time.monotonic() - begun),
        "executions": int(stats.get("number_of_executed_units", 0)),
        "crashes": len(list(crashes.iterdir())),
        "peak_memory_mib": int(stats.get("peak_rss_mb", 0)),
        "new_inputs": int(stats.get("new_units_added", 0)),
        "status": status,
    }
    print(json.dumps(figures))
    if status:
        print("\n".join(said.splitlines()[-60:]), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

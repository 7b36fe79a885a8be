"""Histories and crash points by the thousand.

    python -m tests.simulation --histories 100000 --jobs 2    the long form: this many histories, and every crash point
    python -m tests.simulation --seed 4711                    one history, told step by step
    python -m tests.simulation --replay build/failing-4711.json   a shortened one
    python -m tests.simulation --crash-points                 every crash point alone
    python -m tests.simulation --crash-point append:57:kill   one of them, told step by step

What fails is shortened, kept under ``build/``, and the command that replays it is printed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tests.simulation import crash_points
from tests.simulation.campaign import STEPS, campaign, quiet, tell
from tests.simulation.chance import Chance


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-crash-points", action="store_true")
    parser.add_argument("--crash-points", action="store_true")
    parser.add_argument("--crash-point")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--replay", type=Path)
    options = parser.parse_args()
    if options.seed is not None or options.replay is not None:
        quiet()
        if options.replay is not None:
            kept = json.loads(options.replay.read_text())
            sys.exit(0 if tell(Chance(None, kept["choices"]), kept["steps"]) else 1)
        sys.exit(0 if tell(Chance(options.seed), options.steps) else 1)
    if options.crash_point is not None:
        quiet()
        scenario, moment, mode = options.crash_point.split(":")
        crash_points.crashed(scenario, int(moment), mode, watched=lambda what: print(f"  {what}"))
        sys.exit(0)
    histories = 0 if options.crash_points else options.histories
    bad = campaign(histories, options.first, options.steps, options.jobs, points=not options.no_crash_points)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

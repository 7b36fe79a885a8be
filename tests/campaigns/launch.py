"""The real ``twistd lf6gateway`` as a process, standing on surroundings that a test can move while it runs:

    python -m tests.campaigns.launch -n --pidfile= lf6gateway -c config.yml

``LF6_TEST_CLOCK`` names a file that holds how many nanoseconds the wall clock is off; ``LF6_TEST_GATE`` names a file,
and while it exists the start's look at the spool waits in its thread. The program itself has no such switches: it takes
its surroundings as a value."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lf6gateway.disk.filesystem import Entry, OsFileSystem
from lf6gateway.edges import tap
from lf6gateway.services.surroundings import Surroundings, real


class GatedFileSystem(OsFileSystem):
    """Waits at each folder it is to look into while a file exists."""

    def __init__(self, gate: Path) -> None:
        super().__init__()
        self._gate = gate

    def scan(self, path: str) -> Iterator[Entry]:
        while self._gate.exists():
            self._gate.with_suffix(".reached").touch()
            time.sleep(0.02)
        return super().scan(path)


def moved_clock(file: Path) -> Callable[[], int]:
    """The wall clock, off by what a file says, which is opened once: descriptors may run out."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CREAT, 0o600)

    def now_ns() -> int:
        return time.time_ns() + int(os.pread(descriptor, 30, 0) or 0)

    return now_ns


def surroundings(reactor: Any) -> Surroundings:
    """The real ones, but for what the environment names."""
    found = real(reactor)
    if clock := os.environ.get("LF6_TEST_CLOCK"):
        found = replace(found, now_ns=moved_clock(Path(clock)))
    if gate := os.environ.get("LF6_TEST_GATE"):
        found = replace(found, fs=GatedFileSystem(Path(gate)))
    return found


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    tap.makeService = partial(tap.makeService, surroundings=surroundings)
    sys.argv[0] = "twistd"
    run()

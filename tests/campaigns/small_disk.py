"""A disk of a few megabytes, mounted for a test, that can be filled up. Where nothing may be mounted, ``NoDisk`` says
why, for the test to print."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDisk(Exception):
    """Nothing can be mounted here."""


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "somebody-elses-file"

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leave: int = 0) -> None:
        """Somebody else takes all room but so many bytes."""
        with self._filler.open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while (size := min(1 << 16, self.free_bytes - leave)) > 0:
                filler.write(bytes(size))

    def give_back(self) -> None:
        """That room is free again."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, mebibytes: int, *, inodes: int | None = None) -> Iterator[SmallDisk]:
    """Mount one at a folder.

    :raises NoDisk: with the reason.
    """
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={mebibytes}m,mode=0700" + ("" if inodes is None else f",nr_inodes={inodes}")
    try:
        run = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "lf6gateway-test", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise NoDisk(f"there is no mount to call: {error}") from error
    if run.returncode:
        raise NoDisk(f"a tmpfs cannot be mounted here: {run.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)

"""The command ``lf6gateway`` as a process of its own, for tests that know only the outside."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("lf6gateway")


def lf6gateway(
    *words: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end; nothing that it prints is a traceback."""
    done = subprocess.run(
        [str(word) for word in (COMMAND, *words)],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
    return done


def told(*words: str | Path) -> Any:
    """What it prints with ``--json``, whatever its status."""
    done = lf6gateway(*words, "--json")
    assert done.stdout, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def every_byte(folder: Path) -> dict[str, str]:
    """A digest of each file and name below a folder, its moment of change with it."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder")
        for path in sorted(folder.rglob("*"))
    }

"""Many commands of ``lf6gateway`` without the start of an interpreter for each: a process that has loaded the command line
once, and runs each command in a fork of its own, as the console script does it.

Run as a program, it takes commands as JSON, one a line, and answers each with its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    status: int
    out: bytes
    err: str


class Commands:
    """The process that runs them; ``folder`` takes what they print."""

    def __init__(self, folder: Path) -> None:
        self._out, self._err = folder / "commands.out", folder / "commands.err"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.blackbox.commands"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE
        )

    def run(self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, out: str = "") -> Done:
        """Run a command; ``out``: where its output goes, which is not told then."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = [list(arguments), dict(env), str(cwd), out or str(self._out), str(self._err)]
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return Done(status, b"" if out else self._out.read_bytes(), self._err.read_text())

    def stop(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _child(arguments: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> int:
    for descriptor, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["lf6gateway", *arguments]
    from lf6gateway.edges.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    return 0


def _serve() -> None:
    import lf6gateway.edges.cli

    assert "twisted.internet.reactor" not in sys.modules, "forks would share a reactor"
    assert lf6gateway.edges.cli.COMMANDS
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            status = 70
            try:
                status = _child(*json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    _serve()

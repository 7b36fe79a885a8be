"""``lf6gateway serve``, ``demo`` and ``completion`` as someone at a terminal meets them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from lf6gateway.edges.commands.completion import SHELLS
from tests.blackbox.command import COMMAND, lf6gateway
from tests.blackbox.gateway import Gateway, eventually

Make = Callable[..., Gateway]


def serve(daemon: Gateway, *more: str, cwd: Path) -> Gateway:
    words = [str(COMMAND), "serve", "-p", "0", "-c", str(daemon.config), *more]
    with daemon.log.open("ab") as log:
        daemon.process = subprocess.Popen(words, cwd=cwd, stdout=log, stderr=log)
    return daemon.await_listening()


def test_serve_is_twistd_from_any_folder(gateway: Make, tmp_path: Path) -> None:
    daemon, empty = gateway(), tmp_path / "empty"
    empty.mkdir()
    plugins = Path(sysconfig.get_path("purelib")) / "twisted" / "plugins" / "dropin.cache"
    before = plugins.stat().st_mtime_ns if plugins.exists() else None
    serve(daemon, "--", "--logfile=-", cwd=empty)
    assert daemon.put("/usage", b"{}") == 204
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was read again" in daemon.log.read_text())
    taken = lf6gateway("serve", "-p", str(daemon.port), "-c", gateway("other").config)
    assert (taken.returncode, b"is taken" in taken.stderr, len(taken.stderr.splitlines())) == (1, True, 1)
    assert daemon.stop() == 0
    assert list(empty.iterdir()) == []
    assert (plugins.stat().st_mtime_ns if plugins.exists() else None) == before
    assert list((tmp_path / "objects").rglob("*.jsonl.gz"))


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    for words in (("-c", tmp_path / "none.yml"), ("--", "--nonsense")):
        done = lf6gateway("serve", *words, cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (1, 1, b"")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_leaves_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    done = lf6gateway("demo", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert (done.returncode, b"all there, once, in order" in done.stdout) == (0, True)
    assert list(tmp_path.iterdir()) == []
    kept = lf6gateway("demo", "--keep", "here is: it", "--json", cwd=tmp_path)
    assert json.loads(kept.stdout)["stored"] == {"usage": 240, "error": 240}
    assert list((tmp_path / "here is: it" / "objects").rglob("*.png"))
    again = lf6gateway("demo", "--keep", "here is: it", cwd=tmp_path)
    assert (again.returncode, b"is not empty" in again.stderr) == (1, True)


BASH = """
eval "$(lf6gateway completion bash)"
complete -p lf6gateway | grep -q _python_argcomplete
try() {
    COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_WORDS=($COMP_LINE) COMP_TYPE=9
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _python_argcomplete lf6gateway
    echo "${COMPREPLY[@]}"
}
try lf6gateway spo
try lf6gateway spool quarantine r
try lf6gateway spool cat u
"""


def path_with_command() -> dict[str, str]:
    return {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}


def test_bash_completes_commands_actions_and_values() -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH], capture_output=True, text=True, env=path_with_command(), timeout=60, check=False
    )
    assert [line.split() for line in done.stdout.splitlines()] == [["spool"], ["retry", "rm"], ["usage"]], done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_commands() -> None:
    script = "lf6gateway completion fish | source; complete -C'lf6gateway spo'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        env=path_with_command(),
        timeout=60,
        check=False,
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["spool"], done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_reads_what_is_printed_for_it(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    lines = lf6gateway("completion", shell).stdout
    assert b"lf6gateway" in lines
    done = subprocess.run([shell, "-n"], input=lines, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")

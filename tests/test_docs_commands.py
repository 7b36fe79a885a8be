"""Every command in the documents does what the document says: the blocks of each are run in order, as a reader would
type them, or say why not. ``tests/shell_blocks.py`` has the marks."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.blackbox.gateway import free_port
from tests.shell_blocks import Block, Misplaced, blocks, languages

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LENT = ("config.example.yml", "constraints.txt", "deploy", "docs", "examples")
"""What of the project a document may name by its path."""
CURL = """#!/bin/sh
for word; do
  case "$word" in --fail*|-[!-]*f*) exec {curl} "$@" ;; esac
done
exec {curl} --fail-with-body "$@"
"""
"""In place of curl: an answer that is an error is one for the command, too."""
TIMEOUT_S = 120


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def script(found: list[Block]) -> str:
    """All blocks in one shell, so that folders, variables and jobs last from one to the next. What goes on running is
    ended by whoever runs this."""
    lines = ["set -eu -o pipefail"]
    for number, block in enumerate(found):
        if block.reason is not None:
            continue
        output = f'> "$TMP/{number}" 2>&1'
        lines.append(f'echo {number} > "$TMP/at"')
        if block.until is not None:
            lines += [
                f"{{\n{block.commands}\n}} {output} &",
                "tries=0",
                f'until {{ {block.until}\n}} > "$TMP/none" 2>&1; do',
                '  kill -0 $!; tries=$((tries + 1)); test "$tries" -lt 600; sleep 0.05',
                "done",
            ]
        elif block.fails:
            lines.append(f"if {{\n{block.commands}\n}} {output}; then false; fi")
        else:
            lines.append(f"{{\n{block.commands}\n}} {output}")
    return "\n".join(lines) + "\n"


def run(document: Path, found: list[Block], tmp_path: Path) -> None:
    home, here, kept = tmp_path / "home", tmp_path / "here", tmp_path / "kept"
    for folder in (home, here, kept):
        folder.mkdir()
    (home / ".curlrc").write_text("silent\nshow-error\nmax-time = 30\n")
    (kept / "bin").mkdir()
    (kept / "bin" / "curl").write_text(CURL.format(curl=shutil.which("curl")))
    (kept / "bin" / "curl").chmod(0o755)
    for name in LENT:
        (here / name).symlink_to(ROOT / name)
    port = str(free_port())
    text = re.sub(r"\b8080\b", port, script(found))
    admin = str(free_port())
    asked = "9606" in text
    text = text.replace("9606", admin)
    (kept / "script").write_text(text)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIGHTFILE6_", "AWS_"))}
    env |= {
        "HOME": str(home),
        "TMP": str(kept),
        "PATH": f"{kept / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    if asked:  # else the default will do, for it may be another test's
        env["LIGHTFILE6_ADMIN_LISTEN"] = f"127.0.0.1:{admin}"
    with (kept / "errors").open("wb") as errors:
        process = subprocess.Popen(
            ["bash", kept / "script"],
            cwd=here,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
        try:
            status = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for file in here.rglob(
                "*.pid"
            ):  # a daemon is in a group of its own, and left only where something went wrong
                with suppress(OSError, ValueError):
                    pid = int(file.read_text())
                    if b"twistd" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
    at = int((kept / "at").read_text())
    if status:
        printed = (kept / str(at)).read_text() if (kept / str(at)).exists() else ""
        others = (kept / "errors").read_text()
        pytest.fail(
            f"{names(document)}:{found[at].line} ended with status {status}:\n{found[at].commands}\n{printed}{others}"
        )
    for number, block in enumerate(found):
        if block.prints:
            printed = re.sub(rf"\b{port}\b", "8080", (kept / str(number)).read_text())
            pattern = ".*?".join(re.escape(piece) for piece in block.prints)
            assert re.search(pattern, printed, re.DOTALL), f"{names(document)}:{block.line} prints:\n{printed}"


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if blocks(one)], ids=names)
def test_the_commands_of_a_document_do_what_it_says(document: Path, tmp_path: Path) -> None:
    found = blocks(document)
    if all(block.reason is not None for block in found):
        pytest.skip("none of its commands is run: " + "; ".join(sorted({str(block.reason) for block in found})))
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    run(document, found, tmp_path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_commands_stand_in_blocks_that_are_run(document: Path) -> None:
    for line, language, text in languages(document):
        assert language not in ("bash", "shell", "console", "zsh"), f"{names(document)}:{line}: write commands as «sh»"
        assert not text.startswith("$ "), f"{names(document)}:{line}: write commands as «sh», without a prompt"
    for block in blocks(document):
        if block.reason is not None:
            assert len(block.reason.split()) >= 3, f"{names(document)}:{block.line}: say why it is not run"


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"README\.md:7 ended with status 1"):
        run(ROOT / "README.md", [Block(3, "cd /\n"), Block(7, "false | true\n")], tmp_path)


def test_output_that_differs_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="prints"):
        run(ROOT / "README.md", [Block(3, "echo one two\n", prints=["one", "three"])], tmp_path)


def test_marks_before_nothing_are_seen(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    for text in (
        "<!-- not run: it needs root -->\n",
        "<!-- fails -->\n```yaml\na: 1\n```\n",
        "<!-- prints -->\n```\na\n```\n",
    ):
        document.write_text(text)
        with pytest.raises(Misplaced):
            blocks(document)

"""``lf6gateway send`` against the running gateway."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from lf6gateway.edges.cli import main
from tests.blackbox.gateway import Gateway, free_port, records
from tests.blackbox.test_auth import token_command
from tests.blackbox.test_client import answering, url_of
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
COMMAND = Path(sys.executable).with_name("lf6gateway")


def send(*words: str | Path, given: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """The command, within this process: starting another one costs a second of imports each time."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        for name, value in environ.items():
            patch.setenv(name, value)
        try:
            main(["send", *map(str, words)])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)  # as Python does
    return subprocess.CompletedProcess(words, status, out.getvalue().encode(), err.getvalue().encode())


def summary(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr.count(b"\n") == len(found["refused"]) + (found["stopped"] is not None), done.stderr
    return found


def test_files_standard_input_and_folders_arrive_and_what_is_no_json_is_named(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(http={"max_report": "64KiB", "max_batch": "128KiB"}).start()
    to = ("--url", url_of(daemon), "--user", "Älice")
    lines = tmp_path / "a.ndjson"
    lines.write_bytes(b"".join(b'{"n":%d,"fill":"%s"}\n' % (n, b"x" * 500) for n in range(2000)) + b"{oops\n\n")
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"n":2000}\r\n{"n":2001}'))
    whole = tmp_path / "c.json"
    whole.write_text('{\n  "n":\n 2002}\n')
    long = tmp_path / "d.jsonl"
    long.write_bytes(b'{"n":-1,"long":"%s"}\n{"n":2003}\n' % (b"y" * 70_000))
    done = send("usage", "--json", *to, lines, packed, whole, long, tmp_path / "nothing")
    assert done.returncode == 1
    found = summary(done)
    assert found["sent"] == 2004
    assert found["stopped"] is None
    assert [one["where"] for one in found["refused"]] == [f"{lines}:2001", str(tmp_path / "nothing"), f"{long}:1"]
    assert [one["why"][:12] for one in found["refused"]] == ["it cannot be", "it cannot be", "413: line 1,"]
    done = send("error", "-", "--batch-records", "2", "--no-compress", *to, given=b"1\n2\n3\n4\n5")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        b"5 error reports acknowledged, 0 not, in 3 requests\n",
        b"",
    )

    folder = tmp_path / "specimens"
    (folder / "deep").mkdir(parents=True)
    (folder / "one file.bin").write_bytes(os.urandom(2_000_000))
    (folder / "deep" / "empty.png").write_bytes(b"")
    (folder / "link.bin").symlink_to(lines)
    os.mkfifo(folder / "pipe")
    done = send("specimen", folder, "--json", *to)
    assert (done.returncode, summary(done)["sent"]) == (0, 2)
    assert send("specimen", "-", "--uri", "in.txt", "--content-type", "text/x-own", *to, given=b"words").returncode == 0
    assert send("specimen", folder / "pipe", *to).returncode == 1
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert [one["n"] for one in records(objects, "usage/")] == list(range(2004))
    assert records(objects, "error/") == [1, 2, 3, 4, 5]
    kept = {
        key.split("/")[-1].split(".")[0]: (key, data) for key, data in objects.items() if key.startswith("specimen/")
    }
    assert set(kept) == {"one_20file", "empty", "in"} or set(kept) == {"one_file", "empty", "in"}
    assert all(key.split("/")[1] == "Älice" for key, _ in kept.values())
    assert kept["in"][1] == b"words"


def test_tokens_come_from_files_and_the_environment_alone(gateway: Make, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    token = token_command("add", "bob", "--file", tokens)
    daemon = gateway(auth={"mode": "tokens", "tokens_file": str(tokens)}).start()
    (tmp_path / "token").write_text(f"{token}\n")
    url = url_of(daemon)
    assert send("usage", "-", "--url", url, "--token-file", tmp_path / "token", given=b"1").returncode == 0
    assert send("usage", "-", given=b"2", LF6GATEWAY_URL=url, LF6GATEWAY_TOKEN=token).returncode == 0
    wrong = send("usage", "-", "--url", url, "--user", "bob", given=b"3")
    assert wrong.returncode == 1
    assert b"takes nothing from this sender: 401: the token is not accepted" in wrong.stderr
    nobody = send("usage", "-", "--url", url, given=b"3", LF6GATEWAY_TOKEN="")
    assert (nobody.returncode, nobody.stderr.count(b"\n")) == (1, 1)
    assert b"--token-file" in nobody.stderr
    assert daemon.stop() == 0
    assert records(stored(tmp_path / "objects"), "usage/") == [1, 2]


def test_retries_honour_the_gateways_word_and_a_named_key_sends_nothing_twice(gateway: Make, tmp_path: Path) -> None:
    with answering(lambda number: (503, {"Retry-After": "1"}, b"") if number == 1 else (204, {}, b"")) as (url, seen):
        done = send("usage", "-", "--json", "--url", url, "--user", "a", given=b"1")
        assert (done.returncode, summary(done)["retries"]) == (0, 1)
        assert seen[1][0] - seen[0][0] >= 1.0
        assert seen[0][1]["Idempotency-Key"] == seen[1][1]["Idempotency-Key"]
    done = send(
        "usage",
        "-",
        "--json",
        "--retry-for",
        "1s",
        "--url",
        f"http://127.0.0.1:{free_port()}",
        "--user",
        "a",
        given=b"1",
    )
    assert done.returncode == 1
    assert "not acknowledged after" in summary(done)["stopped"]
    daemon = gateway().start()
    for _ in range(2):
        named = ("--idempotency-key", "today", "--url", url_of(daemon), "--user", "alice")
        assert send("usage", "-", "--batch-records", "1", *named, given=b"1\n2").returncode == 0
        assert send("specimen", COMMAND, *named).returncode == 0
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert records(objects, "usage/") == [1, 2]
    assert len([key for key in objects if key.startswith("specimen/")]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("usage",), "PATH"),
        (("sage", "-"), "invalid choice"),
        (("usage", "-", "--batch-records", "0"), "1 to 1000000"),
        (("usage", "-", "--batch-size", "much"), "512MiB"),
        (("usage", "-", "--retry-for", "soon"), "--retry-for"),
        (("usage", "-", "--user", "a", "--token-file", "b"), "not allowed with"),
    ],
)
def test_wrong_usage_ends_with_two(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["send", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--url", "ftp://x", "--user", "a"), "the gateway's URL is none"),
        (("--url", "http://x", "--user", ""), "empty"),
        (("--token-file", "/nowhere/token"), "/nowhere/token"),
        (("--uri", "x", "--user", "a"), "--uri is for one specimen"),
        (("--user", "a", "--url", "https://x", "--ca-file", "/nowhere"), "No such file"),
    ],
)
def test_what_cannot_be_ends_with_one_and_a_line(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["send", "usage", "-", *words])
    assert isinstance(ended.value.code, str)  # which Python prints, and ends with 1
    assert ended.value.code.startswith("lf6gateway: ")
    assert said in ended.value.code


def test_the_bar_is_on_a_terminal_alone(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    big = tmp_path / "big.ndjson"
    big.write_bytes(b'{"n":1}\n' * 100_000)
    terminal, other = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(terminal, 4096):
                shown.append(data)
        except OSError:  # how Linux tells that the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    command = [str(one) for one in (COMMAND, "send", "usage", big, "--url", url_of(daemon), "--user", "a")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=other, timeout=60, check=False)
    os.close(other)
    reader.join()
    os.close(terminal)
    assert (done.returncode, done.stdout) == (0, b"100000 usage reports acknowledged, 0 not, in 100 requests\n")
    assert b"%" in b"".join(shown)
    assert b"".join(shown).endswith(b"\r\x1b[K")

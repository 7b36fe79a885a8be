"""The command ``status`` asks a real gateway."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.blackbox.command import COMMAND, lf6gateway
from tests.blackbox.gateway import Gateway, eventually

Make = Callable[..., Gateway]
TOKEN = "0123456789abcdef"


def test_a_gateway_that_fares_well_and_one_that_takes_no_data(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(
        admin={"listen": "127.0.0.1:0", "token": TOKEN},
        spool={"max_bytes": "1MiB"},
        http={"max_batch": "1MiB", "max_specimen": "1MiB"},
        aggregation={"usage_interval": "1h"},
    ).start()
    url = f"http://127.0.0.1:{daemon.admin_port}"
    refused = lf6gateway("status", "--url", url)
    assert refused.returncode == 1 and b"asks for its token" in refused.stderr
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert daemon.put("/usage", b'{"n":1}') == 204
    fine = lf6gateway("status", "--url", url, "--token-file", file)
    assert fine.returncode == 0, fine
    assert b"all is well" in fine.stdout and b"usage" in fine.stdout
    assert TOKEN.encode() not in fine.stdout + fine.stderr

    for size in (300_000, 30_000, 3_000, 300, 30, 3, 0):  # until not a byte more has room
        eventually(lambda size=size: daemon.put("/usage", b'"%s"' % (b"x" * size)) == 503)  # type: ignore[misc]
    environment = {"LF6GATEWAY_ADMIN_TOKEN": TOKEN}
    full = lf6gateway("status", "--url", url, env=environment)
    assert full.returncode == 1 and b"takes no data: the spool holds" in full.stdout
    raw = lf6gateway("status", "--url", url, "--json", env=environment)
    assert raw.returncode == 1 and json.loads(raw.stdout)["ready"]["reason"] == "spool_full"
    store = json.loads(raw.stdout)["streams"]["usage"]
    assert store["waiting"]["oldest_at"] and b"waiting" in full.stdout
    wrong = lf6gateway("status", "--url", url, env={"LF6GATEWAY_ADMIN_TOKEN": TOKEN[::-1]})
    assert wrong.returncode == 1 and b"asks for its token" in wrong.stderr
    config = tmp_path / "asking.yml"
    config.write_text(
        f"storage: {{directory: /srv}}\nadmin: {{listen: '127.0.0.1:{daemon.admin_port}', token: '{TOKEN}'}}\n"
    )
    assert b"takes no data" in lf6gateway("status", "-c", config).stdout
    assert b"takes no data" in lf6gateway("status", "--url", url, "-c", config).stdout

    watching = subprocess.Popen(
        [COMMAND, "status", "-c", config, "--watch", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert watching.stdout is not None
    try:
        assert any(b"takes no data" in line for line in watching.stdout)
        assert daemon.stop() == 0
        assert any(b"does not answer" in line for line in watching.stdout)
        assert any(b"does not answer" in line for line in watching.stdout)  # it goes on asking
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    finally:
        watching.kill()
        watching.stdout.close()
        watching.wait(30)
    gone = lf6gateway("status", "--url", url)
    assert gone.returncode == 1 and b"does not answer" in gone.stderr


def test_what_is_no_gateway_is_told(tmp_path: Path) -> None:
    off = tmp_path / "config.yml"
    off.write_text("storage: {directory: /srv}\nadmin: {listen: off}\n")
    assert b"admin.listen is off" in lf6gateway("status", "-c", off).stderr
    assert b"begins with http://" in lf6gateway("status", "--url", "ftp://x").stderr
    assert lf6gateway("status", "--watch", "x").returncode == 2


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Somebody on a port who answers so, whatever is asked; the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answers() -> None:
            asking, _ = listening.accept()
            with asking:
                asking.recv(65_536)
                asking.sendall(answer)

        thread = threading.Thread(target=answers, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(30)


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


HEAD = b'{"ready":{"ready":true},"alerts":[],"gateway":{"hostname":"a","version":"1","uptime_s":1e999,"workers":1}'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x1b[2Jhostile\r\n\r\n", b"hostile"),
        (whole(b"[]"), b"no lf6gateway"),
        (whole(b"[" * 200_000), b"no lf6gateway"),
        (whole(HEAD + b',"spool":{},"quarantine":{},"streams":{}}'), b"no lf6gateway"),
        (whole(HEAD.replace(b"1e999", b"1") + b',"spool":{},"quarantine":{},"streams":[]}'), b"no lf6gateway"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (17 << 20), b"no lf6gateway"),
    ],
    ids=["no HTTP", "a list", "deep", "endless", "another shape", "large"],
)
def test_whatever_answers_instead_is_told_in_one_line_that_no_terminal_obeys(answer: bytes, said: bytes) -> None:
    with answering(answer) as url:
        done = lf6gateway("status", "--url", url)
    assert done.returncode == 1 and said in done.stderr
    assert b"\x1b" not in done.stderr and done.stderr.count(b"\n") == 1


def test_a_token_that_cannot_be_sent_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-1\nsecret-2")
    for words, env in (
        (("--token-file", tmp_path / "token"), {}),
        ((), {"LF6GATEWAY_ADMIN_TOKEN": "secret-1\nsecret-2"}),
    ):
        done = lf6gateway("status", "--url", "http://127.0.0.1:1", *words, env=env)
        assert done.returncode == 1 and b"one line" in done.stderr
        assert b"secret-" not in done.stderr

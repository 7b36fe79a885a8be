"""Who may send, tried on a real process from the outside."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import issuer
from tests.blackbox.gateway import TWISTD, Gateway, eventually, records
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
COMMAND = Path(sys.executable).with_name("lf6gateway")


def token_command(*arguments: str | Path) -> str:
    run = subprocess.run([COMMAND, "token", *arguments], capture_output=True, text=True, timeout=60, check=True)
    return run.stdout.strip()


def test_tokens_from_their_making_to_their_end(gateway: Make, tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    daemon = gateway(
        auth={"mode": "tokens", "tokens_file": str(tmp_path / "tokens"), "failure_delay": "10ms"},
        audit={"file": str(trail)},
    )
    alice = token_command("add", "alice", "-c", daemon.config)
    errors = token_command("add", "bob", "--streams", "error", "-c", daemon.config)
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}', alice) == 204
    assert daemon.request("PUT", "/usage", b'{"n":2}', None, Authorization=f"Bearer {alice}")[0] == 204
    assert daemon.put("/error", b'{"n":3}', errors) == 204
    assert daemon.put("/usage", b'{"n":4}', errors) == 403
    assert daemon.put("/specimen?uri=a.bin", b"body" * 100_000, alice) == 204
    for wrong in ("alice", "lf6_aaaaaaaaaaaaa_" + "a" * 43, alice[:-2] + "AA", alice + "A"):
        assert daemon.put("/usage", b'{"n":5}', wrong) == 401
    assert daemon.put("/usage", b'{"n":5}', None) == 401

    # While it runs: another token counts within seconds, and one that was withdrawn does so no longer.
    carol = token_command("add", "carol", "-c", daemon.config)
    eventually(lambda: daemon.put("/usage", b'{"n":6}', carol) == 204)
    identity = carol.split("_")[1]
    token_command("revoke", identity, "-c", daemon.config)
    eventually(lambda: daemon.put("/error", b'{"n":7}', carol) == 401)
    assert daemon.put("/usage", b'{"n":8}', alice) == 204
    assert daemon.stop() == 0
    assert "auth.mode is open" not in daemon.log.read_text()

    objects = stored(tmp_path / "objects")
    assert [one["n"] for one in records(objects, "usage/")] == [1, 2, 6, 8]
    assert any(key.startswith("specimen/alice/") for key in objects)
    told = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [(one["action"], one["user"]) for one in told if one["event"] == "token"] == [
        ("add", "alice"), ("add", "bob"), ("add", "carol"), ("revoke", "carol"),
    ]  # fmt: skip
    assert [(one["came"], one["went"]) for one in told if one["event"] == "tokens"] == [
        ([identity], []), ([], [identity]),
    ]  # fmt: skip
    assert "no token has this id" in {one.get("reason") for one in told}
    left = (
        trail.read_bytes() + daemon.log.read_bytes() + b"".join(objects.values()) + (tmp_path / "tokens").read_bytes()
    )
    for text in (alice, errors, carol):
        assert text.split("_", 2)[2].encode() not in left


def test_sighup_reads_the_tokens_and_a_spoilt_file_changes_nothing(gateway: Make, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    alice = token_command("add", "alice", "--file", tokens)
    daemon = gateway(auth={"mode": "tokens", "tokens_file": str(tokens)}).start()
    assert daemon.process is not None
    tokens.write_text("nonsense")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "tokens:1: is not of the form" in daemon.log.read_text())
    assert daemon.put("/usage", b"1", alice) == 204
    assert daemon.stop() == 0


def test_a_start_without_the_tokens_file_ends_with_the_cure(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(auth={"mode": "tokens", "tokens_file": str(tmp_path / "none")})
    command = [str(TWISTD), "-n", "--pidfile=", "lf6gateway", "-p", "0", "-c", str(daemon.config)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert run.returncode == 1
    assert "lf6gateway token add" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_an_open_port_is_warned_of(gateway: Make) -> None:
    daemon = gateway().start()
    eventually(lambda: "auth.mode is open" in daemon.log.read_text())
    assert daemon.stop() == 0


class KeyServer(http.server.BaseHTTPRequestHandler):
    """An issuer's web server."""

    published = b""
    asked = 0

    def do_GET(self) -> None:
        KeyServer.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.published)))
        self.end_headers()
        self.wfile.write(self.published)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def key_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), KeyServer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    thread.join()
    server.server_close()


def test_signed_tokens_with_the_keys_of_a_url(gateway: Make, tmp_path: Path, key_server: str) -> None:
    KeyServer.published = issuer.keys(issuer.jwk("P-256", "two")).encode()
    auth = {
        "mode": "jwt",
        "jwt_issuer": issuer.ISSUER,
        "jwt_audience": [issuer.AUDIENCE],
        "jwt_keys": key_server,
        "jwt_keys_refresh": "500ms",
        "failure_delay": "1ms",
    }
    daemon = gateway(auth=auth).start()

    def put(number: int, token: bytes) -> int:
        return daemon.request("PUT", "/usage", b'{"n":%d}' % number, None, Authorization=f"Bearer {token.decode()}")[0]

    good = issuer.signed("P-256", "two")
    assert put(1, good) == 204
    assert put(2, issuer.signed("P-256", "two", aud="elsewhere")) == 401
    assert put(2, issuer.signed("P-256", "two", number=1)) == 401
    assert put(2, good.rpartition(b".")[0] + b".") == 401
    # Other keys: what the old one signed counts no longer, what was refused for want of a key does.
    fresh = issuer.signed("Ed25519", "three")
    assert put(2, fresh) == 401
    KeyServer.published = issuer.keys(issuer.jwk("P-256", "three", number=1)).encode()
    eventually(lambda: put(3, issuer.signed("P-256", "three", number=1)) == 204)
    assert put(4, good) == 401
    assert daemon.stop() == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == [1, 3]

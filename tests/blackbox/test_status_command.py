"""The command ``status`` asks a real gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.blackbox.command import lf6gateway
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
    assert daemon.stop() == 0
    gone = lf6gateway("status", "--url", url)
    assert gone.returncode == 1 and b"does not answer" in gone.stderr


def test_what_is_no_gateway_is_told(tmp_path: Path) -> None:
    off = tmp_path / "config.yml"
    off.write_text("storage: {directory: /srv}\nadmin: {listen: off}\n")
    assert b"admin.listen is off" in lf6gateway("status", "-c", off).stderr
    assert b"begins with http://" in lf6gateway("status", "--url", "ftp://x").stderr
    assert lf6gateway("status", "--watch", "x").returncode == 2

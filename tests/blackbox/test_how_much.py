"""How much may be sent, tried on a real process from the outside."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.blackbox.gateway import Gateway, eventually, records
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]


@pytest.mark.parametrize("workers", [1, 2])
def test_limits_count_over_a_restart_and_change_while_it_runs(gateway: Make, tmp_path: Path, workers: int) -> None:
    limits = {"daily_usage_bytes": 20, "user_requests": "100/1h", "deny": ["198.51.100.0/24"]}
    daemon = gateway(limits=limits, http={"trusted_proxies": ["127.0.0.0/8"]}, workers=workers).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.put("/usage", b'{"n":2}') == 204
    assert daemon.put("/usage", b'{"n":3}', X_Forwarded_For="198.51.100.7") == 403
    assert daemon.stop() == 0
    daemon.start()
    status, fields, _ = daemon.request("PUT", "/usage", b'{"n":4}')
    assert status == 429
    assert fields["ratelimit-policy"] == '"daily-usage";q=20;qu="content-bytes";w=86400'
    assert int(fields["retry-after"]) in range(1, 86_401)
    assert fields["ratelimit"] == f'"daily-usage";r=6;t={fields["retry-after"]}'
    assert daemon.put("/error", b'{"n":5}') == 204

    settings = yaml.safe_load(daemon.config.read_text())
    settings["limits"] = {"user_requests": "1/1h"}
    daemon.config.write_text(yaml.safe_dump(settings))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "changed now: limits.daily_usage_bytes" in daemon.log.read_text())
    # a worker takes them over a moment after the gateway
    eventually(lambda: daemon.put("/usage", b'{"n":6}', X_Forwarded_For="198.51.100.7") == 204)
    assert [daemon.put("/usage", b'{"n":7}') for _ in range(5)] == [429] * 5
    assert daemon.stop() == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == [1, 2, 6]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_audit_trail_of_a_real_process_is_turned_over_by_a_signal(
    gateway: Make, tmp_path: Path, workers: int
) -> None:
    trail = tmp_path / "audit.jsonl"
    daemon = gateway(audit={"file": str(trail)}, workers=workers).start()
    assert daemon.process is not None
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.put("/usage", b"{") == 400
    eventually(lambda: trail.exists() and len(trail.read_text().splitlines()) == 2)
    for number, wanted in enumerate((signal.SIGUSR1, signal.SIGHUP)):
        trail.rename(tmp_path / f"old{number}")
        daemon.process.send_signal(wanted)
        eventually(trail.exists)
        assert daemon.put("/error", b'{"n":2}') == 204
    assert daemon.stop() == 0
    texts = [(tmp_path / name).read_text() for name in ("old0", "old1", "audit.jsonl")]
    told = [json.loads(line) for text in texts for line in text.splitlines()]
    assert [(one["user"], one["address"], one["stream"], one["status"]) for one in told] == [
        ("alice", "127.0.0.1", "usage", 204),
        ("alice", "127.0.0.1", "usage", 400),
        ("alice", "127.0.0.1", "error", 204),
        ("alice", "127.0.0.1", "error", 204),
    ]

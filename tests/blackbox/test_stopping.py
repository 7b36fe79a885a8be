"""A stop in every state: it keeps its deadline, answers what it can, loses nothing; a second signal ends it at once."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blackbox.gateway import LAUNCH, TWISTD, Gateway, S3Server, eventually, records
from tests.blackbox.test_running import stored
from tests.campaigns.relay import Relay

Make = Callable[..., Gateway]
SLOW = {"usage_interval": "1h", "error_interval": "1h"}
QUICK = {"request_timeout": "5s", "retry_min": "50ms", "retry_max": "300ms"}
LINE = b'{"n":%d,"padding":"%s"}\n'


def usage(objects: dict[str, bytes]) -> list[int]:
    return sorted(one["n"] for one in records(objects, "usage/"))


def signalled(daemon: Gateway, number: int = signal.SIGTERM) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(number)


def ended(daemon: Gateway) -> int:
    """The status it ends with by itself."""
    assert daemon.process is not None
    status = daemon.process.wait(30)
    log = daemon.log.read_text()
    assert "Traceback" not in log and "Unhandled" not in log
    return status


def said(daemon: Gateway, words: str, times: int = 1) -> bool:
    return daemon.log.read_text().count(words) >= times


def recovering(gateway: Make, tmp_path: Path) -> tuple[Gateway, Path]:
    """A daemon that has taken something, was killed, and is held up in the recovery of its next start."""
    gate = tmp_path / "gate"
    daemon = gateway(command=LAUNCH, env={"LF6_TEST_GATE": str(gate)}, aggregation=SLOW).start()
    for number in range(5):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    daemon.kill()
    gate.touch()
    daemon.launch()
    eventually(gate.with_suffix(".reached").exists)
    return daemon, gate


def goes_on(daemon: Gateway, gate: Path, tmp_path: Path) -> None:
    gate.unlink(missing_ok=True)
    daemon.start()
    assert daemon.put("/usage", b'{"n":5}') == 204
    assert daemon.stop() == 0
    assert usage(stored(tmp_path / "objects")) == list(range(6))


def test_a_stop_during_recovery_waits_for_the_step_under_way(gateway: Make, tmp_path: Path) -> None:
    daemon, gate = recovering(gateway, tmp_path)
    signalled(daemon)
    eventually(lambda: said(daemon, "asked to stop"))
    second = subprocess.run(
        [str(part) for part in (TWISTD, "-n", "--pidfile=", "lf6gateway", "-p", "0", "-c", daemon.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1, "the cache directory was given back while its start was still at work in it"
    gate.unlink()
    assert ended(daemon) == 0
    assert not said(daemon, "listening on", 2)
    goes_on(daemon, gate, tmp_path)


def test_a_second_signal_during_recovery_ends_it_at_once(gateway: Make, tmp_path: Path) -> None:
    daemon, gate = recovering(gateway, tmp_path)
    signalled(daemon)
    eventually(lambda: said(daemon, "asked to stop:"))
    signalled(daemon)
    assert ended(daemon) == 0
    goes_on(daemon, gate, tmp_path)


def test_a_stop_before_the_reactor_runs_leaves_nothing_behind(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway()
    daemon.launch()
    eventually(lambda: daemon.log.exists() and said(daemon, "starting up"))
    signalled(daemon)
    assert ended(daemon) in (0, -signal.SIGTERM)
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.stop() == 0
    assert usage(stored(tmp_path / "objects")) == [1]


def test_a_stop_while_segments_are_sealed_ships_them_all(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation={"usage_interval": "50ms", "error_interval": "50ms", "segment_bytes": "1MiB"}).start()
    count = 0
    for _ in range(8):
        batch = b"".join(LINE % (count + at, os.urandom(500).hex().encode()) for at in range(2000))
        assert daemon.put("/usage", batch, Content_Type="application/x-ndjson") == 204
        count += 2000
    eventually(lambda: any(name.endswith((".seg", ".tmp")) for name in daemon.waiting_files()))
    signalled(daemon)
    assert ended(daemon) == 0
    assert daemon.waiting_files() == []
    assert usage(stored(tmp_path / "objects")) == list(range(count))


@pytest.mark.parametrize("mode", ["late answers", "trickle"])
def test_a_stop_during_an_upload_ends_it(gateway: Make, s3: S3Server, mode: str) -> None:
    relay = Relay(s3.port, late_s=0.5)
    daemon = gateway(s3=relay, upload=QUICK).start()
    assert daemon.put("/usage", b'{"n":0}') == 204
    eventually(lambda: usage(s3.objects("insights")) == [0])
    relay.mode = mode
    for number in range(1, 10):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
        assert daemon.put(f"/specimen?uri={number}.bin", os.urandom(20_000)) == 204
    eventually(lambda: relay.hits > 0)
    signalled(daemon)
    assert ended(daemon) == 0
    assert daemon.waiting_files() == []
    assert usage(s3.objects("insights")) == list(range(10))
    assert len(s3.objects("insights")) == 10


def test_a_second_signal_leaves_requests_unanswered_and_keeps_what_was_answered(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation=SLOW, shutdown={"deadline": "10m"}).start()
    for number in range(5):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    clients = []
    for path in ("/usage", "/specimen?uri=a.bin"):
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
        client.putrequest("PUT", path)
        client.putheader("User-Token", "alice")
        client.putheader("Content-Length", "300000")
        client.endheaders()
        client.send(b"1" * 200_000)
        clients.append(client)
    eventually(lambda: list(daemon.cache.rglob("*.part")))
    signalled(daemon)
    eventually(lambda: said(daemon, "asked to stop:"))
    signalled(daemon)
    assert ended(daemon) == 0
    for client in clients:
        with pytest.raises((OSError, http.client.HTTPException)):
            client.getresponse()
    assert said(daemon, "the next start ships them")
    daemon.start()
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert usage(objects) == list(range(5))
    assert len(objects) == 1


def test_a_third_signal_changes_nothing(gateway: Make, s3: S3Server) -> None:
    relay = Relay(s3.port)
    relay.mode = "stall"
    daemon = gateway(s3=relay, upload=QUICK, shutdown={"deadline": "10m"}).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    signalled(daemon)
    eventually(lambda: said(daemon, "asked to stop:"))
    signalled(daemon)
    signalled(daemon, signal.SIGINT)
    assert ended(daemon) == 0
    relay.join()
    daemon.start()
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == [1]


def test_signals_until_the_very_end_do_not_change_its_status(gateway: Make, tmp_path: Path) -> None:
    """Found by the campaign: one that came while the interpreter ended was the status, -15."""
    daemon = gateway().start()
    assert daemon.process is not None
    assert daemon.put("/usage", b'{"n":1}') == 204
    while daemon.process.poll() is None:
        signalled(daemon)
    assert ended(daemon) == 0


def test_in_the_background_a_second_signal_removes_the_pidfile_as_well(
    gateway: Make, s3: S3Server, tmp_path: Path
) -> None:
    relay = Relay(s3.port)
    relay.mode = "stall"
    daemon = gateway(s3=relay, upload=QUICK, shutdown={"deadline": "10m"})
    pidfile = tmp_path / "pid"
    command = [TWISTD, f"--pidfile={pidfile}", f"--logfile={daemon.log}", "lf6gateway", "-p", "0", "-c", "config.yml"]
    subprocess.run([str(part) for part in command], cwd=daemon.folder, check=True, timeout=30)
    found = eventually(lambda: daemon.log.exists() and re.search(r"listening on .*?port=(\d+)", daemon.log.read_text()))
    daemon.port = int(found[1])
    pid = int(pidfile.read_text())
    assert daemon.put("/usage", b'{"n":1}') == 204
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: said(daemon, "asked to stop:"))
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert not pidfile.exists()
    relay.join()
    daemon.start()
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == [1]

"""Too much at once, and too little room: the process stays small, refuses before anything is half done, and goes on by
itself."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blackbox.gateway import TWISTD, Gateway, S3Server, eventually, records
from tests.blackbox.test_running import peak_rss, stored
from tests.campaigns.plant import UNPRIVILEGED, lock_it_up
from tests.campaigns.relay import Relay
from tests.campaigns.small_disk import NoDisk, SmallDisk, small_disk

Make = Callable[..., Gateway]
MIB = 1024 * 1024
QUICK = {"request_timeout": "1s", "retry_min": "50ms", "retry_max": "300ms"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with small_disk(tmp_path / "gateway" / "cache", 16, inodes=250) as disk:
            yield disk
    except NoDisk as reason:
        pytest.skip(str(reason))


def usage(objects: dict[str, bytes]) -> list[int]:
    return sorted(one["n"] for one in records(objects, "usage/"))


def reason_of(daemon: Gateway) -> str | None:
    """Why it takes no data, as ``/ready`` has it; ``None``: it does."""
    status, headers, body = daemon.request("GET", "/ready")
    assert daemon.request("GET", "/health")[0] == 200
    if status == 200:
        return None
    assert status == 503 and int(headers["retry-after"]) >= 1
    return str(json.loads(body)["reason"])


def filled(daemon: Gateway, size: int, taken: int = 0) -> int:
    """Send specimens of that size until they are refused; how many were taken. Which of them is in its first bytes."""
    while True:
        status, headers, body = daemon.request("PUT", "/specimen?uri=a.bin", b"%06d" % taken + b"x" * (size - 6))
        if status != 204:
            assert status == 503 and int(headers["retry-after"]) >= 1, (status, body)
            return taken
        taken += 1


def arrived(s3: S3Server) -> list[int]:
    return sorted(int(body[:6]) for key, body in s3.objects("insights").items() if key.startswith("specimen/"))


@pytest.mark.parametrize(("what", "size"), [("bytes", 200_000), ("inodes", 100)])
def test_the_floor_of_the_disk_is_kept_and_data_are_taken_again_once_it_has_drained(
    gateway: Make, s3: S3Server, disk: SmallDisk, what: str, size: int
) -> None:
    relay = Relay(s3.port)
    relay.cut()
    daemon = gateway(s3=relay, upload=QUICK, spool={"min_free_bytes": "4MiB", "min_free_inodes": 100}).start()
    taken = filled(daemon, size)
    taken = filled(daemon, 100, taken)
    assert reason_of(daemon) == "disk_floor"
    left = os.statvfs(disk.path)
    # The room is looked up each second; what was taken since the last look is reckoned with.
    assert disk.free_bytes >= 4 * MIB - 300_000 if what == "bytes" else left.f_favail >= 40
    assert taken > 20
    assert "No space left" not in daemon.log.read_text()
    daemon.kill()
    daemon.start()
    relay.join()
    # A start just above the floor is ready before anything has drained, and then refuses what would go below it.
    eventually(lambda: arrived(s3) == list(range(taken)))
    eventually(lambda: reason_of(daemon) is None)
    assert daemon.put("/specimen?uri=a.bin", b"%06d" % taken) == 204
    assert daemon.stop() == 0
    assert arrived(s3) == list(range(taken + 1))
    assert list(disk.path.rglob("*.part")) == []


def test_a_disk_filled_up_by_others_lets_what_was_taken_be_shipped_and_a_start_succeed(
    gateway: Make, s3: S3Server, disk: SmallDisk
) -> None:
    """As otel-collector's issue 7198 has it: removing took room, so that nothing was ever removed."""
    relay = Relay(s3.port)
    relay.cut()
    daemon = gateway(s3=relay, upload=QUICK, spool={"min_free_bytes": "4MiB", "min_free_inodes": 10}).start()
    for number in range(20):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: any(name.endswith(".gz") for name in daemon.waiting_files()))
    eventually((disk.path / "reserve").exists)
    disk.fill()
    eventually(lambda: reason_of(daemon) in ("disk_floor", "disk_failing"))
    assert daemon.put("/usage", b'{"n":99}') == 503
    daemon.kill()
    daemon.start()
    relay.join()
    eventually(lambda: usage(s3.objects("insights")) == list(range(20)))
    disk.give_back()
    eventually(lambda: daemon.put("/usage", b'{"n":20}') == 204)
    eventually((disk.path / "reserve").exists)
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == list(range(21))


def test_memory_is_bounded_under_many_large_and_slow_senders(gateway: Make, tmp_path: Path) -> None:
    """Forty senders offer 160 MiB at once, plain, encoded and in trickles; half of a cap of 8 MiB is what is read."""
    daemon = gateway(
        spool={"max_waiting_bytes": "8MiB"},
        http={"max_batch": "4MiB", "max_report": "1MiB"},
        aggregation={"usage_interval": "1h", "error_interval": "1h"},
    ).start()
    padding = "x" * 1000
    assert daemon.put("/usage", b'{"n":-1}') == 204
    before = peak_rss(daemon)
    answers: dict[int, int] = {}
    together = threading.Barrier(40)

    def send(number: int) -> None:
        lines = "".join(f'{{"n":{number * 10_000 + at},"padding":"{padding}"}}\n' for at in range(4000)).encode()
        headers = {"User-Token": "alice", "Content-Type": "application/x-ndjson"}
        if number % 4 == 3:
            lines = gzip.compress(lines, 1)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(lines))
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        together.wait()
        while answers.get(number) != 204:
            client.request("PUT", "/usage", (lines[at : at + 10_000] for at in range(0, len(lines), 10_000)), headers)
            answer = client.getresponse()
            answer.read()
            answers[number] = answer.status
            assert answer.status in (204, 503)
        client.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(range(40), 204)
    grown = peak_rss(daemon) - before
    print(f"grown by {grown / MIB:.1f} MiB")
    assert grown < 96 * MIB
    assert daemon.stop() == 0
    found = usage(stored(tmp_path / "objects"))
    assert found == [-1, *(number * 10_000 + at for number in range(40) for at in range(4000))]


def test_more_connections_than_descriptors_harm_neither_those_there_are_nor_the_disk(
    gateway: Make, tmp_path: Path
) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    daemon = gateway().start(preexec_fn=few)
    assert "96 connections are held" in daemon.log.read_text()
    kept = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    kept.request("GET", "/health")
    kept.getresponse().read()
    with contextlib.ExitStack() as crowd:
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGSTOP)  # so that all of them wait when it looks
        for _ in range(400):
            crowd.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 30))
        daemon.process.send_signal(signal.SIGCONT)
        for number in range(20):
            kept.request("PUT", "/usage", b'{"n":%d}' % number, {"User-Token": "alice"})
            answer = kept.getresponse()
            answer.read()
            assert answer.status == 204
            kept.request("PUT", "/specimen?uri=a", b"%06d" % number, {"User-Token": "alice"})
            answer = kept.getresponse()
            answer.read()
            assert answer.status == 204
        eventually(lambda: usage(stored(tmp_path / "objects")) == list(range(20)))
    eventually(lambda: daemon.put("/usage", b'{"n":20}') == 204)
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert "EMFILE" not in log and "Too many open files" not in log
    assert usage(stored(tmp_path / "objects")) == list(range(21))


def test_when_descriptors_run_out_all_the_same_accepting_does_not_spin_and_goes_on_after(
    gateway: Make, tmp_path: Path
) -> None:
    daemon = gateway().start()
    assert daemon.process is not None
    kept = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    kept.request("GET", "/health")
    kept.getresponse().read()
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
    with contextlib.ExitStack() as crowd:
        for _ in range(50):
            crowd.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 30))
        eventually(lambda: "EMFILE" in daemon.log.read_text())
        for _ in range(200):  # each at least one turn of the reactor, with all those in the queue
            kept.request("GET", "/health")
            answer = kept.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"status":"healthy"}')
        # A turn that cannot accept is told in some lines; those that spin would each tell it again.
        assert daemon.log.read_text().count("EMFILE") < 500
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: daemon.put("/usage", b'{"n":1}') == 204)
    assert daemon.stop() == 0
    assert usage(stored(tmp_path / "objects")) == [1]


def test_a_cache_directory_made_read_only_refuses_and_is_used_again_once_it_is_given_back(
    gateway: Make, tmp_path: Path
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("permissions do not bind root, and there is no setpriv to make them")
    bound = UNPRIVILEGED if os.geteuid() == 0 else ()
    daemon = gateway(command=(*bound, TWISTD), aggregation={"usage_interval": "100ms", "error_interval": "100ms"})
    daemon.start()
    assert daemon.put("/usage", b'{"n":0}') == 204
    eventually(lambda: usage(stored(tmp_path / "objects")) == [0])
    lock_it_up(daemon, locked=True)
    eventually(lambda: daemon.put("/specimen?uri=a", b"1") == 503)
    assert reason_of(daemon) == "disk_failing"
    daemon.kill()
    lock_it_up(daemon, locked=False)
    daemon.start()
    lock_it_up(daemon, locked=True)
    eventually(lambda: daemon.put("/specimen?uri=a", b"1") == 503)
    lock_it_up(daemon, locked=False)
    eventually(lambda: reason_of(daemon) is None)
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert usage(objects) == [0, 1]
    assert not any(key.startswith("specimen/") for key in objects)

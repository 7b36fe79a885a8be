"""What is to go well after the store was away for long: the short form of ``tests/campaigns/outage.py``, and the failures
that others of this field are known for."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.blackbox.gateway import Gateway, S3Server, eventually, records
from tests.campaigns.outage import MIB, WRONG, Child, campaign, lines
from tests.campaigns.relay import Relay

Make = Callable[..., Gateway]

pytestmark = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="reads /proc")


def peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def test_aws_for_fluent_bit_882_what_has_gathered_in_an_outage_is_delivered_while_new_data_go_on() -> None:
    facts = campaign(store="s3", records=10_000, specimens=200, hours=5, restarts=1, starts=1, wait_s=0, kills=1)
    assert {name: facts[name] for name in WRONG} == dict.fromkeys(WRONG, 0), facts
    assert facts["records acknowledged"] > 10_000 and facts["specimens acknowledged"] == 200
    # A start looks at the hours of records, a few names each, and at no specimen.
    assert facts["names listed before ready"] < 2 * (facts["files waiting"] - 200) + 50, facts
    assert facts["entries per specimen shipped"] < 20, facts
    assert facts["opens per specimen shipped"] < 10, facts
    assert facts["peak RSS, shipping the backlog (MiB)"] < 200, facts
    assert facts["most open descriptors"] < 100, facts
    print(facts)


def test_fluent_bit_11987_a_restart_overwrites_no_object(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    for number in range(3):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
        assert daemon.put("/specimen?uri=segment_0.bin", b"%d" % number) == 204
        eventually(lambda: len(s3.objects("insights")) >= 2)
        if number == 1:
            daemon.kill()
        else:
            assert daemon.stop() == 0
        daemon.start()
    assert daemon.stop() == 0
    objects = s3.objects("insights")
    assert [one["n"] for one in records(objects, "usage/")] == [0, 1, 2]
    assert sorted(body for key, body in objects.items() if key.startswith("specimen/")) == [b"0", b"1", b"2"]


def test_vector_20118_a_restart_doubles_no_data(gateway: Make, s3: S3Server) -> None:
    """The store has what was sent, and the process ends before it hears of it."""
    relay = Relay(s3.port, late_s=2.0)
    daemon = gateway(s3=relay, upload={"retry_max": "1s"}).start()

    def there() -> tuple[list[int], list[bytes]]:
        objects = s3.objects("insights")
        numbers = [one["n"] for one in records(objects, "usage/")]
        return numbers, sorted(body for key, body in objects.items() if key.startswith("specimen/"))

    def send() -> None:
        """Both are in S3 when this returns. The specimen comes second, for it is one request and the record is two: so
        the answers to both are on their way for a while, if they are late."""
        number = next(numbers)
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
        eventually(lambda: number in there()[0])
        assert daemon.put("/specimen?uri=a.bin", b"%d" % number) == 204
        eventually(lambda: b"%d" % number in there()[1])

    def unheard() -> bool:
        return any(name.endswith(".spec") for name in daemon.waiting_files())

    numbers = itertools.count(10)
    for _ in range(2):
        send()
        eventually(lambda: not unheard())
        relay.mode = "late answers"
        for _ in range(5):
            send()
            if unheard():  # else this machine was so slow that the answers came first
                break
        assert unheard()
        daemon.kill()
        relay.join()
        daemon.start()
    assert daemon.stop() == 0
    sent = list(range(10, next(numbers)))
    assert there() == (sent, [b"%d" % number for number in sent])
    assert daemon.waiting_files() == []


def test_a_start_reads_nothing_of_what_waits_and_ships_it_at_constant_memory(tmp_path: Path) -> None:
    config, clock = tmp_path / "config.yml", tmp_path / "clock"
    clock.write_bytes(bytes(8))
    (tmp_path / "clock.down").touch()
    settings = {
        "cache_dir": str(tmp_path / "cache"),
        "hostname": "test.host",
        "storage": {"directory": str(tmp_path / "objects")},
        "aggregation": {"usage_interval": "1h", "error_interval": "1h", "segment_bytes": "4GiB"},
        "upload": {"retry_max": "500ms"},
    }
    config.write_text(yaml.safe_dump(settings))
    child = Child(config, clock, tmp_path / "log")
    try:
        fresh = child.ready["read"]
        body = lines(10**9, 20_000)
        connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=60)
        for _ in range(128 * MIB // len(body)):
            connection.request("PUT", "/usage", body, {"User-Token": "a", "Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204
        connection.close()
        child.kill()
        waiting = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.seg"))
        child = Child(config, clock, tmp_path / "log")
        read = child.ready["read"] - fresh
        assert read < 16 * MIB < 120 * MIB < waiting  # some, for sealing has begun
        (tmp_path / "clock.down").unlink()
        child.ask("seal")
        eventually(lambda: child.ask("facts")["members"] == 0)
        peak = peak_mib(child.process.pid)
        print(f"{waiting / MIB:.0f} MiB waited, {read / MIB:.2f} MiB were read before ready, peak {peak:.0f} MiB")
        assert peak < 200
    finally:
        child.kill()


def test_a_large_specimen_goes_to_s3_in_parts_and_takes_no_more_memory_than_a_small_one(
    gateway: Make, s3: S3Server
) -> None:
    daemon = gateway(s3=s3, http={"body_timeout": "5m"}).start()
    assert daemon.process is not None
    piece = os.urandom(MIB)

    def send(name: str, size: int) -> float:
        """The peak of memory once it is in S3, in MiB."""

        def pieces() -> Iterator[bytes]:
            for _ in range(size):
                yield piece

        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        connection.request(
            "PUT", f"/specimen?uri={name}.bin", pieces(), {"User-Token": "a", "Content-Length": str(size * MIB)}
        )
        assert connection.getresponse().status == 204
        connection.close()
        eventually(lambda: daemon.waiting_files() == [], 60)
        assert daemon.process is not None
        return peak_mib(daemon.process.pid)

    small, large = send("small", 5), send("large", 100)
    print(f"peak after 5 MiB: {small:.0f} MiB, after 100 MiB: {large:.0f} MiB")
    assert large < 200 and large - small < 40
    assert daemon.stop() == 0
    found = {one["Key"].split("/")[-1].split(".")[0]: one for one in _listed(s3)}
    assert found["small"]["Size"] == 5 * MIB and "-" not in found["small"]["ETag"]
    assert found["large"]["Size"] == 100 * MIB and "-" in found["large"]["ETag"]
    body = s3.client.get_object(Bucket="insights", Key=found["large"]["Key"])["Body"].read()
    assert hashlib.sha256(body).digest() == hashlib.sha256(piece * 100).digest()


def _listed(s3: S3Server) -> list[dict[str, object]]:
    return [one for one in s3.client.list_objects_v2(Bucket="insights")["Contents"] if "specimen/" in one["Key"]]

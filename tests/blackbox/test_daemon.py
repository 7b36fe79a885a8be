"""The contract, tried on a real twistd process and a real S3 server from the outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.blackbox.gateway import TWISTD, Gateway, S3Server, eventually, records

Make = Callable[..., Gateway]


def test_everything_arrives_in_s3_under_its_key(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    assert daemon.request("GET", "/health")[::2] == (200, b'{"status":"healthy"}')
    assert daemon.request("GET", "/ready")[0] == 200
    for number in range(3):
        assert daemon.put("/usage", b'{"n":%d,\n"big":123456789012345678901234567890}' % number) == 204
        assert (
            daemon.put("/error", b'{"n":%d}\n{"n":%d}\n' % (number, number), Content_Type="application/x-ndjson") == 204
        )
        eventually(lambda number=number: len(records(s3.objects("insights"), "usage/")) > number)
    assert daemon.put("/specimen?uri=file:///C:/a%20b.png", b"picture" * 1000, Content_Type="image/png") == 204
    assert daemon.stop() == 0
    objects = s3.objects("insights")
    assert [one["n"] for one in records(objects, "usage/")] == [0, 1, 2]
    assert [one["n"] for one in records(objects, "error/")] == [0, 0, 1, 1, 2, 2]
    assert sum(key.startswith("usage/") for key in objects) in (1, 2)  # two where the hour turned
    (key,) = [key for key in objects if key.startswith("specimen/")]
    assert key.startswith("specimen/alice/20")
    assert "/a_b." in key
    assert objects[key] == b"picture" * 1000
    head = s3.client.head_object(Bucket="insights", Key=key)
    assert head["ContentType"] == "image/png"
    assert head["Metadata"]["uri"] == "file:///C:/a b.png"
    assert daemon.waiting_files() == []
    log = daemon.log.read_text()
    assert "planted-secret" not in log
    assert "AKPLANTED" not in log


def test_kill_nine_in_the_middle_of_load_loses_and_doubles_nothing(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    acknowledged: list[int] = []
    over = threading.Event()

    def send(first: int) -> None:
        number = first
        while not over.is_set():
            try:
                if daemon.put("/usage", b'{"n":%d}' % number) == 204:
                    acknowledged.append(number)
            except OSError:
                over.wait(0.02)  # the process is dead just now
            number += 4

    threads = [threading.Thread(target=send, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        size = len(acknowledged)
        eventually(lambda size=size: len(acknowledged) > size + 100)
        daemon.kill()
        daemon.start()
    over.set()
    for thread in threads:
        thread.join()
    assert daemon.stop() == 0
    found = [one["n"] for one in records(s3.objects("insights"), "usage/")]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    for first in range(4):
        mine = [number for number in found if number % 4 == first]
        assert mine == sorted(mine)


def test_an_idempotency_key_counts_across_kill_nine(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    for _ in range(2):
        assert daemon.put("/usage", b'{"n":1}', Idempotency_Key="one") == 204
    daemon.kill()
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}', Idempotency_Key="one") == 204
    assert daemon.put("/usage", b'{"n":2}', user="bob", Idempotency_Key="one") == 204
    assert daemon.stop() == 0
    objects = {
        str(path.relative_to(tmp_path / "objects")): path.read_bytes() for path in (tmp_path / "objects").rglob("*.gz")
    }
    assert [one["n"] for one in records(objects, "usage/")] == [1, 2]


def test_s3_that_hangs_for_a_while_gets_everything_once(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, upload={"request_timeout": "1s", "retry_min": "100ms", "retry_max": "500ms"}).start()
    assert daemon.put("/usage", b'{"n":0}') == 204
    eventually(lambda: records(s3.objects("insights"), "usage/"))
    s3.pause()
    for number in range(1, 20):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: "no answer within" in daemon.log.read_text())
    s3.resume()
    eventually(lambda: len(records(s3.objects("insights"), "usage/")) >= 20)
    assert daemon.stop() == 0
    assert [one["n"] for one in records(s3.objects("insights"), "usage/")] == list(range(20))


def test_two_machines_of_one_name_share_an_object(gateway: Make, s3: S3Server) -> None:
    twins = [gateway(name, s3=s3).start() for name in ("one", "two")]
    for number in range(20):
        assert twins[number % 2].put("/usage", b'{"n":%d}' % number) == 204
    for twin in twins:
        assert twin.stop() == 0
    assert sorted(one["n"] for one in records(s3.objects("insights"), "usage/")) == list(range(20))


def test_requests_that_are_wrong(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    for path in ("/usage", "/error", "/specimen?uri=a"):
        assert daemon.put(path, b"{}", user=None) == 401
        assert daemon.put(path, b"{}", user="../../x") == 400
        status, headers, body = daemon.request("GET", path)
        assert status == 405
        assert "PUT" in headers["allow"]
        problem = json.loads(body)
        assert headers["content-type"] == "application/problem+json"
        assert problem["request_id"] == headers["x-request-id"]
    status, _, body = daemon.request("PUT", "/usage", b'{"a":1,\n "b":}')
    assert status == 400
    assert "line 2" in json.loads(body)["detail"]
    assert daemon.put("/usage", b'{"a":1}\nNaN\n', Content_Type="application/x-ndjson") == 400
    assert daemon.put("/usage", b"[" * 100_000) == 400
    assert daemon.put("/nothing", b"") == 404
    assert daemon.stop() == 0
    assert list((tmp_path / "objects").rglob("*.gz")) == []


def test_a_second_daemon_on_the_same_cache_names_the_first(gateway: Make) -> None:
    daemon = gateway().start()
    assert daemon.process is not None
    command = [TWISTD, "-n", "--pidfile=", "lf6gateway", "-p", "0", "-c", daemon.config]
    second = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert str(daemon.process.pid) in second.stderr
    assert "Traceback" not in second.stderr + second.stdout


def test_a_taken_port_ends_the_start(gateway: Make) -> None:
    daemon = gateway().start()
    other = gateway("other")
    command = [TWISTD, "-n", "--pidfile=", "lf6gateway", "-p", daemon.port, "-c", other.config]
    second = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"port {daemon.port} is taken" in second.stderr
    assert "Traceback" not in second.stderr + second.stdout


def test_a_wrong_configuration_names_every_mistake(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("s3:\n  usage_bukket: a\naggregation:\n  usage_interval: 0s\n")
    command = [TWISTD, "-n", "--pidfile=", "lf6gateway", "-p", "0", "-c", config]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1
    assert "s3.usage_bucket" in run.stderr
    assert "aggregation.usage_interval" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


def test_a_configuration_is_read_again_and_a_wrong_one_is_not_taken(gateway: Make) -> None:
    daemon = gateway().start()
    assert daemon.process is not None
    right = daemon.config.read_text()
    daemon.config.write_text("nonsense: 1\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the running one is kept" in daemon.log.read_text())
    assert daemon.put("/usage", b'{"n":1}') == 204
    daemon.config.write_text(right + "http: {max_report: 10, max_batch: 10}\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "changed now: http.max_batch, http.max_report" in daemon.log.read_text())
    assert daemon.put("/usage", b'{"n":"longer than ten"}') == 413
    assert daemon.stop() == 0


def test_the_check_tries_each_bucket(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3)
    command = [str(Path(sys.executable).with_name("lf6gateway")), "check", "-c", str(daemon.config)]
    fine = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert fine.stdout.count("written, read and removed") == 3
    s3.client.delete_bucket(Bucket="insights")
    bad = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert bad.returncode == 1
    assert "create bucket insights" in bad.stdout
    assert "Traceback" not in bad.stdout + bad.stderr

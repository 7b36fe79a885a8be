"""Further lines of the contract, each tried on a real process from the outside."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from tests.blackbox.gateway import TWISTD, Gateway, S3Server, eventually, records
from tests.blackbox.test_running import stored
from tests.campaigns.relay import Relay

Make = Callable[..., Gateway]
QUICK = {"request_timeout": "1s", "retry_min": "50ms", "retry_max": "300ms"}
STREAMS = ("usage", "error", "specimen")


def usage(objects: dict[str, bytes]) -> list[int]:
    return [one["n"] for one in records(objects, "usage/")]


def connection(daemon: Gateway) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)


# Starting and stopping.


def test_it_listens_on_both_ip_versions(gateway: Make) -> None:
    daemon = gateway().start()
    for host in ("127.0.0.1", "::1"):
        client = http.client.HTTPConnection(host, daemon.port, timeout=30)
        try:
            client.request("GET", "/health")
        except OSError as error:
            if host == "::1":
                pytest.skip(f"this machine has no IPv6: {error}")
            raise
        assert client.getresponse().status == 200
        client.close()


def test_the_configuration_can_name_endpoints(gateway: Make, tmp_path: Path) -> None:
    unix = tmp_path / "socket"
    daemon = gateway(http={"listen": ["tcp:0:interface=127.0.0.1", f"unix:{unix}"]})
    command = [TWISTD, "-n", "--pidfile=", "lf6gateway", "-c", daemon.config]
    with daemon.log.open("wb") as log:
        daemon.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    found = eventually(lambda: re.search(r"listening on IPv4.*?port=(\d+)", daemon.log.read_text()))
    daemon.port = int(found[1])
    assert daemon.put("/usage", b'{"n":0}') == 204
    eventually(unix.exists)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(unix))
        client.sendall(b'PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: bob\r\nContent-Length: 7\r\n\r\n{"n":1}')
        assert client.recv(1000).startswith(b"HTTP/1.1 204")
    assert daemon.stop() == 0
    assert usage(stored(tmp_path / "objects")) == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "99999"], "a port is a number from 0 to 65535"),
        (["-p", "x"], "a port is a number from 0 to 65535"),
        (["--nonsense"], "nonsense"),
        (["-c", "/no/such/file.yml"], "/no/such/file.yml"),
        ([], "/etc/lightfile6/config.yml"),
    ],
)
def test_a_bad_option_ends_the_start_in_a_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    if not arguments and Path("/etc/lightfile6/config.yml").exists():
        pytest.skip("this machine has a configuration of its own")
    command = [str(TWISTD), "-n", "--pidfile=", "lf6gateway", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert run.returncode == 1
    assert words in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_and_takes_no_more(gateway: Make, tmp_path: Path, number: int) -> None:
    daemon = gateway(aggregation={"usage_interval": "1h", "error_interval": "1h"}).start()
    assert daemon.process is not None
    for count in range(50):
        assert daemon.put("/usage", b'{"n":%d}' % count) == 204
    bodies = [(b'{"n":50}', "/usage"), (b"x" * 200_000, "/specimen?uri=late.bin")]
    clients = []
    for body, path in bodies:
        client = connection(daemon)
        client.putrequest("PUT", path)
        client.putheader("User-Token", "alice")
        client.putheader("Content-Length", str(len(body)))
        client.endheaders()
        client.send(body[:5])
        clients.append(client)
    idle = connection(daemon)
    idle.request("GET", "/health")
    idle.getresponse().read()
    eventually(lambda: daemon.request("GET", "/ready")[0] == 200)  # what was sent before has been read by now
    daemon.process.send_signal(number)
    eventually(lambda: "asked to stop" in daemon.log.read_text())
    with pytest.raises(OSError):
        eventually(lambda: daemon.request("GET", "/health")[0] == 0)
    for client, (body, _) in zip(clients, bodies, strict=True):
        client.send(body[5:])
        assert client.getresponse().status == 204
    assert daemon.process.wait(30) == 0
    objects = stored(tmp_path / "objects")
    assert sorted(usage(objects)) == list(range(51))
    assert [data for key, data in objects.items() if "late" in key] == [bodies[1][0]]
    assert daemon.waiting_files() == []


def test_a_stop_ends_at_its_deadline_and_the_next_start_ships_the_rest(gateway: Make, s3: S3Server) -> None:
    relay = Relay(s3.port)
    relay.mode = "stall"
    daemon = gateway(s3=relay, upload=QUICK, shutdown={"deadline": "1s"}).start()
    for number in range(5):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    assert daemon.put("/specimen?uri=a.bin", b"body") == 204
    assert daemon.stop(20) == 0
    log = daemon.log.read_text()
    assert "1 specimens not shipped" in log and "the next start ships them" in log
    assert "Unhandled" not in log and "Traceback" not in log
    assert s3.objects("insights") == {}
    relay.join()
    daemon.start()
    eventually(lambda: len(s3.objects("insights")) == 2)
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == list(range(5))


def test_a_second_signal_ends_a_stop_that_waits(gateway: Make, s3: S3Server) -> None:
    relay = Relay(s3.port)
    relay.mode = "stall"
    daemon = gateway(s3=relay, upload=QUICK, shutdown={"deadline": "10m"}).start()
    assert daemon.process is not None
    assert daemon.put("/usage", b'{"n":1}') == 204
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: "asked to stop:" in daemon.log.read_text())
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0
    assert len(daemon.waiting_files()) == 1


# Exactness.


@pytest.mark.parametrize("mode", ["cut", "lose answers", "half answers", "late answers", "trickle", "reset in bodies"])
def test_whatever_the_network_does_each_record_arrives_once(gateway: Make, s3: S3Server, mode: str) -> None:
    relay = Relay(s3.port, late_s=1.5)
    relay.mode = mode
    interval = {"usage_interval": "200ms", "error_interval": "200ms"}
    daemon = gateway(s3=relay, upload=QUICK, aggregation=interval).start()
    for number in range(10):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
        assert daemon.put(f"/specimen?uri=file-{number}.bin", b"%d" % number * 1000) == 204
    eventually(lambda: relay.hits > 5)
    relay.join()
    for number in range(10, 20):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: len(usage(s3.objects("insights"))) == 20)
    assert daemon.stop() == 0
    objects = s3.objects("insights")
    assert usage(objects) == list(range(20))
    specimens = {key: data for key, data in objects.items() if key.startswith("specimen/")}
    assert len(specimens) == 10
    for number in range(10):
        assert [data for key, data in specimens.items() if f"/file-{number}." in key] == [b"%d" % number * 1000]


def test_s3_that_is_away_at_the_start_gets_everything_when_it_comes(gateway: Make, s3: S3Server) -> None:
    relay = Relay(s3.port)
    relay.cut()
    daemon = gateway(s3=relay, upload=QUICK).start()
    assert daemon.request("GET", "/ready")[0] == 200
    for number in range(5):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: relay.hits > 3)
    daemon.kill()
    daemon.start()
    assert daemon.put("/usage", b'{"n":5}') == 204
    relay.join()
    eventually(lambda: len(usage(s3.objects("insights"))) == 6)
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == list(range(6))


def test_what_came_in_while_a_bucket_was_missing_is_delivered_once_it_is_there(gateway: Make, s3: S3Server) -> None:
    s3.client.delete_bucket(Bucket="insights")
    daemon = gateway(s3=s3, upload=QUICK).start()
    for number in range(5):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: "create bucket insights" in daemon.log.read_text())
    s3.client.create_bucket(Bucket="insights")
    eventually(lambda: len(usage(s3.objects("insights"))) == 5, 60)
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == list(range(5))


def test_a_wiped_disk_loses_nothing_that_was_shipped(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    assert daemon.put("/usage", b'{"n":0}') == 204
    assert daemon.stop() == 0
    shutil.rmtree(daemon.cache)
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == [0, 1]


def test_a_go_originals_object_of_the_same_hour_is_kept_in_front(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    (key,) = eventually(lambda: list(s3.objects("insights")))
    assert re.fullmatch(r"usage/\d{4}/\d\d/\d\d/\d\d/\d{10}\.test-host\.jsonl\.gz", key)
    daemon.kill()
    s3.client.put_object(Bucket="insights", Key=key, Body=gzip.compress(b'{"n":0}\n'))
    shutil.rmtree(daemon.cache)
    daemon.start()
    assert daemon.put("/usage", b'{"n":2}') == 204
    assert daemon.stop() == 0
    assert usage(s3.objects("insights")) == [0, 2]


# Users and specimens.


def test_specimens_keep_their_users_across_kill_nine_and_do_not_mix(gateway: Make, s3: S3Server) -> None:
    relay = Relay(s3.port)
    relay.cut()
    daemon = gateway(s3=relay, upload=QUICK).start()
    sent = {}
    for user in ("alice", "bob", "дана", "a b", "..x"):
        sent[user] = f"the file of {user}".encode()
        client = connection(daemon)
        client.request("PUT", "/specimen?uri=file:///same.dat", sent[user], {"USER_TOKEN": user.encode()})
        assert client.getresponse().status == 204
        client.close()
    daemon.kill()
    relay.join()
    daemon.start()
    eventually(lambda: len(s3.objects("insights")) == len(sent))
    assert daemon.stop() == 0
    found = {key.split("/")[1]: data for key, data in s3.objects("insights").items()}
    assert found == sent


def test_a_very_long_uri_loses_no_specimen_and_is_marked_as_cut(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    long = "file:///" + "%E9%9B%AA" * 1000 + "/" + "n" * 3000 + ".tar"
    assert daemon.put(f"/specimen?uri={long}", b"body") == 204
    escaped = "%25" * 225 + ".x"
    assert daemon.put(f"/specimen?uri={escaped}", b"other") == 204
    assert daemon.stop() == 0
    objects = s3.objects("insights")
    assert sorted(objects.values()) == [b"body", b"other"]
    for key, data in objects.items():
        assert len(key.encode()) <= 1024
        head = s3.client.head_object(Bucket="insights", Key=key)
        metadata = head["Metadata"]
        assert sum(len(name) + len(value) for name, value in metadata.items()) <= 2048
        if data == b"body":
            assert key.endswith(".tar")
            assert metadata["uri"].startswith("file:///%E9%9B%AA")
            assert any("cut" in name or "cut" in value for name, value in metadata.items()), metadata


def test_a_content_type_is_kept_or_else_guessed(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    assert daemon.put("/specimen?uri=kept.png", b"1", Content_Type="text/x-odd; charset=latin-1") == 204
    assert daemon.put("/specimen?uri=guessed.png", b"2") == 204
    assert daemon.put("/specimen?uri=unknown", b"3") == 204
    assert daemon.stop() == 0
    types = {
        data: s3.client.head_object(Bucket="insights", Key=key)["ContentType"]
        for key, data in s3.objects("insights").items()
    }
    assert types == {b"1": "text/x-odd; charset=latin-1", b"2": "image/png", b"3": "application/octet-stream"}


def test_a_specimen_of_5_mb_and_an_empty_one_arrive_whole(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    large = os.urandom(5_000_000)
    assert daemon.put("/specimen?uri=large.bin", large) == 204
    assert daemon.put("/specimen?uri=empty.bin", b"") == 204
    assert daemon.stop() == 0
    assert sorted(map(len, s3.objects("insights").values())) == [0, 5_000_000]
    assert large in s3.objects("insights").values()


# Bodies.


def test_bodies_in_every_coding_and_in_chunks(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(http={"max_report": "100KiB", "max_batch": "1MiB"}).start()
    codings: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
    }
    for number, (name, encode) in enumerate(codings.items()):
        assert daemon.put("/usage", encode(b'{"n":%d}' % number), Content_Encoding=name) == 204
        assert daemon.put("/usage", encode(b'["%s"]' % (b"0" * 200_000)), Content_Encoding=name) == 413
        assert daemon.put("/usage", b'{"n":99}', Content_Encoding=name) == 400
        assert daemon.put("/specimen?uri=a.txt", encode(b"text"), Content_Encoding=name) == 204
    assert daemon.put("/usage", b'{"n":99}', Content_Encoding="br") == 415

    def chunks() -> Iterator[bytes]:
        yield b'{"n":'
        yield b"3}\n"
        yield b'{"n":4}'

    client = connection(daemon)
    headers = {"User-Token": "alice", "Content-Type": "application/x-ndjson"}
    client.request("POST", "/usage", chunks(), headers, encode_chunked=True)
    assert client.getresponse().status == 204
    client.close()
    assert daemon.stop() == 0
    objects = stored(tmp_path / "objects")
    assert usage(objects) == [0, 1, 2, 3, 4]
    assert [data for key, data in objects.items() if key.startswith("specimen/")] == [b"text"] * 3


def test_a_record_keeps_its_bytes_and_is_one_line(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    body = b'{ "b" : 1.10,\r\n "a":1e400,\n\t"b":12345678901234567890123,  "s":"\\u00e9\\ud800 \xc3\xa9"}\n'
    assert daemon.put("/usage", body) == 204
    assert daemon.put("/usage", b'{"s":"\xff"}') == 400
    assert daemon.put("/usage", b'{"n":NaN}') == 400
    assert daemon.put("/usage", b'{"n":Infinity}') == 400
    assert daemon.put("/usage", b'{"a":1} {"b":2}') == 400
    assert daemon.put("/usage", b"") == 400
    assert daemon.stop() == 0
    (data,) = (data for key, data in stored(tmp_path / "objects").items() if key.endswith(".gz"))
    kept = gzip.decompress(data)
    assert kept.count(b"\n") == 1 and kept.endswith(b"\n")
    wanted = b'{ "b" : 1.10,   "a":1e400, \t"b":12345678901234567890123,  "s":"\\u00e9\\ud800 \xc3\xa9"}'
    assert kept.strip() == wanted


def test_expect_is_answered_and_a_refused_body_need_not_be_sent(gateway: Make) -> None:
    daemon = gateway().start()
    for length, wanted in ((7, b"HTTP/1.1 100 "), (10**12, b"HTTP/1.1 413 ")):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as client:
            head = f"PUT /usage HTTP/1.1\r\nHost: a\r\nUser-Token: a\r\nContent-Length: {length}\r\n"
            client.sendall((head + "Expect: 100-continue\r\n\r\n").encode())
            assert client.recv(1000).startswith(wanted)
            if length == 7:
                client.sendall(b'{"n":1}')
                assert client.recv(1000).startswith(b"HTTP/1.1 204 ")


# Secrets, limits, and many at once.


def test_no_secret_is_in_anything_a_run_leaves_behind(gateway: Make, s3: S3Server, tmp_path: Path) -> None:
    secrets = {
        "LIGHTFILE6_AWS_SECRET_ACCESS_KEY": "planted-secret-of-the-environment",
        "LIGHTFILE6_AWS_SESSION_TOKEN": "planted-token-of-the-environment",
    }
    daemon = gateway(s3=s3, log={"level": "debug"})
    daemon._env.update(secrets)
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    eventually(lambda: usage(s3.objects("insights")))
    s3.pause()
    assert daemon.put("/usage", b'{"n":2}') == 204
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    s3.resume()
    assert daemon.stop() == 0
    check = [str(Path(sys.executable).with_name("lf6gateway")), "check", "-c", str(daemon.config)]
    said = [
        subprocess.run([*check, *more], env=daemon._env, capture_output=True, timeout=60, check=False)
        for more in ([], ["--print"])
    ]
    assert all(run.returncode == 0 for run in said)
    left = [run.stdout + run.stderr for run in said]
    left += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != daemon.config]
    for text in left:
        for secret in (*secrets.values(), "planted-secret"):
            assert secret.encode() not in text


def test_what_it_writes_is_for_nobody_else(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation={"usage_interval": "1h", "error_interval": "1h"}).start()
    assert daemon.put("/usage", b'{"n":1}', Idempotency_Key="k") == 204
    assert daemon.put("/specimen?uri=a", b"1") == 204
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.put("/usage", b'{"n":2}') == 204
    written = [*daemon.cache.rglob("*"), tmp_path / "objects", *(tmp_path / "objects").rglob("*")]
    assert any(path.suffix == ".gz" for path in written) and any(path.name == ".meta" for path in written)
    for path in written:
        assert path.stat().st_mode & 0o077 == 0, path


def test_equal_records_without_a_key_are_two_and_concurrent_repetitions_of_a_key_one(
    gateway: Make, tmp_path: Path
) -> None:
    daemon = gateway().start()
    answers: list[int] = []

    def send(key: dict[str, str]) -> None:
        answers.append(daemon.put("/usage", b'{"n":7}', **key))

    threads = [threading.Thread(target=send, args=({"Idempotency_Key": "same"},)) for _ in range(20)]
    threads += [threading.Thread(target=send, args=({},)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 40
    assert daemon.stop() == 0
    assert usage(stored(tmp_path / "objects")) == [7] * 21


def test_the_check_tells_what_to_mend(gateway: Make, tmp_path: Path) -> None:
    def check(config: Path) -> tuple[int, str]:
        command = [str(Path(sys.executable).with_name("lf6gateway")), "check", "-c", str(config)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in run.stdout + run.stderr
        return run.returncode, run.stdout + run.stderr

    text = json.dumps({"s3": {"usage_bukket": "b"}, "aggregation": {"usage_interval": "-1s"}})
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text)
    status, said = check(wrong)
    assert status == 1
    assert "usage_bukket" in said and "usage_bucket" in said and "usage_interval" in said
    folder = gateway("folder")
    assert check(folder.config)[0] == 0

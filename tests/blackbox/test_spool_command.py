"""``lf6gateway spool`` on real spools, of gateways that were killed and of gateways that run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blackbox.command import every_byte, lf6gateway, told
from tests.blackbox.gateway import Gateway, S3Server, eventually, records

Make = Callable[..., Gateway]
QUIET = {"usage_interval": "1h", "error_interval": "1h"}


def report(number: int) -> bytes:
    return b'{"n":%d, "kept":"as  it \\u00e9 is"}' % number


def test_what_a_killed_gateway_left_is_listed_and_read_without_a_change(gateway: Make) -> None:
    daemon = gateway(aggregation=QUIET).start()
    for number in range(20):
        assert daemon.put("/usage", report(number)) == 204
    assert daemon.put("/error", b'{"n":1}\n{"n":2}\n', Content_Type="application/x-ndjson") == 204
    assert daemon.put("/specimen?uri=file:///C:/a%1b%5b31mb.png", b"picture\n" * 1000, user="bob") == 204
    daemon.kill()
    cache = daemon.cache
    (segment,) = (cache / "spool" / "usage").rglob("*.seg")
    with segment.open("ab") as file:
        file.write(segment.read_bytes()[8:40])  # a write that was cut short
    (cache / "spool" / "specimen" / "2026010100").mkdir(parents=True)
    before = every_byte(cache)
    found = told("spool", "ls", "--spool", cache, "--files")
    by_stream = {hour["stream"]: hour for hour in found["hours"]}
    assert found["host"] == "test.host"
    assert (by_stream["usage"]["records"], by_stream["usage"]["waiting"], by_stream["usage"]["damaged"]) == (20, 20, 0)
    assert (by_stream["error"]["records"], by_stream["specimen"]["files"]) == (2, 1)
    (specimen,) = found["specimens"]
    assert (specimen["user"], specimen["bytes"]) == ("bob", 8000)
    shown = lf6gateway("spool", "ls", "--spool", cache, "--files")
    assert b"22 records and 1 specimens wait" in shown.stdout
    assert b"\x1b" not in shown.stdout
    assert lf6gateway("spool", "cat", "usage", "--spool", cache).stdout == b"".join(
        report(number) + b"\n" for number in range(20)
    )
    assert lf6gateway("spool", "cat", "error", "-c", daemon.config).stdout == b'{"n":1}\n{"n":2}\n'
    hour = by_stream["usage"]["hour"]
    assert lf6gateway("spool", "cat", "usage", "--hour", hour, "--spool", cache).stdout.count(b"\n") == 20
    assert lf6gateway("spool", "cat", "usage", "--hour", "1999010100", "--spool", cache).stdout == b""
    assert lf6gateway("spool", "cat", "specimen", specimen["id"], "--spool", cache).stdout == b"picture\n" * 1000
    verified = lf6gateway("spool", "verify", "--spool", cache)
    assert (verified.returncode, b"unfinished write" in verified.stdout) == (0, True)
    assert every_byte(cache) == before


def test_members_that_are_in_their_object_are_told_from_those_that_wait(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, upload={"request_timeout": "1s", "retry_min": "100ms", "retry_max": "500ms"}).start()
    assert daemon.put("/usage", report(0)) == 204
    eventually(lambda: records(s3.objects("insights"), "usage/"))
    s3.pause()
    assert daemon.put("/usage", report(1)) == 204
    eventually(lambda: len(list((daemon.cache / "spool" / "usage").rglob("*.gz"))) == 2)
    daemon.kill()
    s3.resume()
    hours = told("spool", "ls", "--spool", daemon.cache)["hours"]
    assert (sum(hour["records"] for hour in hours), sum(hour["waiting"] for hour in hours)) == (2, 1)
    assert lf6gateway("spool", "cat", "usage", "--spool", daemon.cache).stdout == report(0) + b"\n" + report(1) + b"\n"
    assert lf6gateway("spool", "cat", "usage", "--waiting", "--spool", daemon.cache).stdout == report(1) + b"\n"


def test_a_gateway_that_runs_is_not_disturbed(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation={"usage_interval": "50ms", "error_interval": "50ms"}).start()
    over = threading.Event()
    sent = []

    def load() -> None:
        while not over.is_set():
            assert daemon.put("/usage", report(len(sent))) == 204
            sent.append(len(sent))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for action in (("ls", "--files"), ("cat", "usage"), ("verify",)):
            done = lf6gateway("spool", *action, "--spool", daemon.cache)
            assert (done.returncode, done.stderr) == (0, b"")
    finally:
        over.set()
        thread.join()
    assert daemon.stop() == 0
    found = {str(path): path.read_bytes() for path in (tmp_path / "objects").rglob("*.gz")}
    assert [one["n"] for path in sorted(found) for one in records({path: found[path]}, "/")] == sent


def test_damage_is_named_with_its_place(gateway: Make) -> None:
    daemon = gateway(aggregation=QUIET).start()
    for number in range(9):
        assert daemon.put("/usage", report(number)) == 204
    assert daemon.put("/specimen?uri=a", b"x" * 100) == 204
    daemon.kill()
    (segment,) = (daemon.cache / "spool" / "usage").rglob("*.seg")
    (specimen,) = (daemon.cache / "spool" / "specimen").rglob("*.spec")
    for path, at in ((segment, 200), (specimen, specimen.stat().st_size - 100)):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
    done = lf6gateway("spool", "verify", "--spool", daemon.cache)
    assert done.returncode == 1
    assert segment.name.encode() in done.stdout
    assert specimen.name.encode() in done.stdout
    assert b"2 of 3 files are damaged" in done.stdout
    read = lf6gateway("spool", "cat", "usage", "--spool", daemon.cache)
    assert (read.returncode, read.stdout.count(b"\n")) == (1, 8)
    assert b"do not fit their checksum" in read.stderr
    assert told("spool", "verify", "--spool", daemon.cache)["damaged"][0]["path"].endswith((".seg", ".spec"))


def test_quarantine_is_shown_safely_and_removed_only_when_told_twice(gateway: Make) -> None:
    daemon = gateway(aggregation=QUIET).start()
    for number in range(3):
        assert daemon.put("/usage", report(number)) == 204
    assert daemon.put("/specimen?uri=evil%1b%5b2J%0a.txt", b"\x1b[2J\x00 evil \xc2\x9b31m", user="eve") == 204
    daemon.kill()
    (specimen,) = (daemon.cache / "spool" / "specimen").rglob("*.spec")
    data = bytearray(specimen.read_bytes())
    data[-60] ^= 1
    specimen.write_bytes(data)
    daemon.start()
    eventually(lambda: told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"])
    assert daemon.stop() == 0
    (one,) = told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"]
    assert (one["kind"], one["retry"]) == ("whole", "possible")
    shown = lf6gateway("spool", "quarantine", "show", one["name"], "--spool", daemon.cache)
    assert b"user: eve" in shown.stdout
    assert not set(shown.stdout) & set(b"\x1b\x00\x9b")
    short = told("spool", "quarantine", "show", one["name"], "--bytes", "10", "--spool", daemon.cache)
    assert (short["preview"], short["cut"]) == ("user: eve\nu"[:10], True)
    refused = lf6gateway("spool", "quarantine", "rm", one["name"], "--spool", daemon.cache)
    assert (refused.returncode, b"a specimen of the hour" in refused.stdout) == (1, True)
    assert told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"] == [one]
    assert lf6gateway("spool", "quarantine", "rm", one["name"], "--yes", "--spool", daemon.cache).returncode == 0
    assert list((daemon.cache / "quarantine" / "specimen").iterdir()) == []
    missing = lf6gateway("spool", "quarantine", "show", "usage/\x1b[2J", "--spool", daemon.cache)
    assert (missing.returncode, b"\x1b" in missing.stderr) == (1, False)


def test_what_is_mended_is_tried_again_and_delivered_once(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation=QUIET).start()
    for number in range(3):
        assert daemon.put("/usage", report(number)) == 204
    daemon.kill()
    (segment,) = (daemon.cache / "spool" / "usage").rglob("*.seg")
    sound = segment.read_bytes()
    segment.write_bytes(b"\xff" * len(sound))
    daemon.start()
    assert daemon.put("/usage", report(3)) == 204
    eventually(lambda: told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"])
    (one,) = told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"]
    aside = daemon.cache / "quarantine" / one["name"]
    aside.write_bytes(sound)
    # Asked for while it runs: the next start does it, and twice asked is once done.
    for _ in range(2):
        assert told("spool", "quarantine", "retry", one["name"], "--spool", daemon.cache)["asked"] == [one["name"]]
    assert told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"][0]["retry"] == "asked"
    assert aside.exists()
    for _ in range(2):
        assert daemon.stop() == 0
        daemon.start()
    assert daemon.stop() == 0
    assert told("spool", "quarantine", "ls", "--spool", daemon.cache)["quarantine"] == []
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in (tmp_path / "objects").rglob("*.gz")}
    assert sorted(one["n"] for one in records(found, "objects/usage/")) == [0, 1, 2, 3]


@pytest.mark.parametrize("command", [("spool", "ls"), ("spool", "verify"), ("ship",)])
def test_a_folder_that_is_no_cache_directory_is_refused_and_not_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    config = tmp_path / "config.yml"
    config.write_text(f"storage: {{directory: {tmp_path / 'objects'}}}\n")
    more = ("-c", config) if command == ("ship",) else ()
    for folder in (tmp_path / "nothing", tmp_path):
        done = lf6gateway(*command, "--spool", folder, *more)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "nothing").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


def test_the_help_tells_every_exit_status() -> None:
    for action in ("ls", "cat", "verify", "quarantine"):
        assert b"Status 0" in lf6gateway("spool", action, "--help").stdout
    assert json.dumps(str(lf6gateway("ship", "--help").stdout)).count("Status 0") == 1

"""``lf6gateway ship`` on the spools of gateways that were killed with data waiting: each record arrives once, whatever
the dead machine had shipped, and whatever happens to the shipping."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from lf6gateway.values.checked import decode_fields, encode_fields
from tests.blackbox.command import COMMAND, lf6gateway
from tests.blackbox.gateway import Gateway, S3Server, eventually, records
from tests.campaigns.relay import Relay

Make = Callable[..., Gateway]
QUIET = {"usage_interval": "1h", "error_interval": "1h"}
HASTY = {"request_timeout": "1s", "retry_min": "100ms", "retry_max": "500ms"}


class LosesAWrite(Relay):
    """Once ``armed``, the next write of an hour's object takes effect, and no answer comes through any more."""

    armed = False

    def _pieces(self, data: bytes, mode: str) -> list[bytes]:
        if self.armed and data.startswith(b"PUT ") and b".jsonl.gz" in data[:300]:
            self.mode = "lose answers"
        return super()._pieces(data, mode)


def elsewhere(daemon: Gateway, **changes: object) -> Path:
    """The configuration of another machine, which says where objects go and has a name of its own."""
    config = yaml.safe_load(daemon.config.read_text())
    del config["cache_dir"]
    config.update({"hostname": "rescuer", **changes})
    path = daemon.folder / "elsewhere.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def ship(cache: Path, config: Path, *more: str) -> tuple[int, dict[str, object], str]:
    done = lf6gateway("ship", "--spool", cache, "-c", config, "--json", *more)
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1])["summary"] if lines else {}, done.stderr.decode()


def numbers(objects: dict[str, bytes], prefix: str = "usage/") -> list[int]:
    return [one["n"] for one in records(objects, prefix)]


def test_a_dead_machine_whose_last_write_had_no_answer_is_shipped_under_its_own_name(
    gateway: Make, s3: S3Server
) -> None:
    relay = LosesAWrite(s3.port)
    daemon = gateway(s3=relay, upload=HASTY).start()
    for number in range(10):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: len(numbers(s3.objects("insights"))) == 10)
    relay.armed = True
    for number in range(10, 20):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    eventually(lambda: relay.mode == "lose answers" and len(numbers(s3.objects("insights"))) > 10)
    for number in range(20, 30):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    assert daemon.put("/error", b'{"n":0}') == 204
    assert daemon.put("/specimen?uri=a.png", b"picture" * 100) == 204
    daemon.kill()
    config = elsewhere(daemon, aws={**yaml.safe_load(daemon.config.read_text())["aws"], "endpoint": s3.url})
    clone = daemon.folder / "clone"
    shutil.copytree(daemon.cache, clone)
    status, summary, stderr = ship(daemon.cache, config)
    assert (status, summary["host"], stderr) == (0, "test.host", "")
    usage = summary["streams"]["usage"]  # type: ignore[index]
    assert usage["records"] + usage["there_before"] == 20
    assert usage["there_before"] > 0
    for cache in (daemon.cache, clone):  # once more, and from a copy of the disk as it was
        assert ship(cache, config)[0] == 0
    objects = s3.objects("insights")
    assert numbers(objects) == list(range(30))
    assert numbers(objects, "error/") == [0]
    assert len([key for key in objects if key.startswith("specimen/")]) == 1
    assert {key.split(".")[1] for key in objects if key.endswith(".gz")} == {"test-host"}
    assert daemon.waiting_files() == []


def test_a_shipping_that_is_killed_again_and_again_doubles_nothing(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation={**QUIET, "segment_bytes": "64KiB"}, hostname="dead").start()
    filling = b"x" * 20_000
    for number in range(20):
        assert daemon.put("/usage", b'{"n":%d,"filling":"%s"}' % (number, filling)) == 204
        assert daemon.put(f"/specimen?uri={number}", filling + b"%d" % number) == 204
    daemon.kill()
    config = elsewhere(daemon)
    command = [COMMAND, "ship", "--spool", daemon.cache, "-c", config, "--json"]
    for lines in (1, 4, 9):
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
    assert ship(daemon.cache, config)[0] == 0
    objects = {
        str(path.relative_to(tmp_path / "objects")): path.read_bytes()
        for path in (tmp_path / "objects").rglob("*")
        if path.is_file() and ".meta" not in path.parts
    }
    assert numbers(objects) == list(range(20))
    specimens = [data for key, data in objects.items() if key.startswith("specimen/")]
    assert sorted(specimens) == sorted(filling + b"%d" % number for number in range(20))


def test_a_spool_that_a_gateway_runs_on_is_refused(gateway: Make) -> None:
    daemon = gateway(aggregation=QUIET).start()
    assert daemon.put("/usage", b"{}") == 204
    status, _, stderr = ship(daemon.cache, elsewhere(daemon))
    assert daemon.process is not None
    assert (status, f"pid {daemon.process.pid}" in stderr, len(stderr.splitlines())) == (1, True, 1)


def test_a_spool_that_does_not_say_whose_it_is_waits_to_be_told(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway(aggregation=QUIET).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    daemon.kill()
    identity = daemon.cache / "spool.json"
    fields = decode_fields(identity.read_bytes())
    del fields["host"]  # as a version before this one wrote it
    identity.write_bytes(encode_fields(fields))
    status, _, stderr = ship(daemon.cache, elsewhere(daemon))
    assert (status, "--host NAME" in stderr) == (1, True)
    assert lf6gateway("ship", "--spool", daemon.cache, "--host", "a/b").returncode == 2
    assert ship(daemon.cache, elsewhere(daemon), "--host", "its.name")[0] == 0
    (key,) = (tmp_path / "objects").rglob("*.jsonl.gz")
    assert key.name.split(".")[1] == "its-name"


def test_an_hour_keeps_the_name_it_was_begun_under(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3).start()
    assert daemon.put("/usage", b'{"n":0}') == 204
    eventually(lambda: numbers(s3.objects("insights")) == [0])
    daemon.kill()
    daemon.config.write_text(daemon.config.read_text().replace("test.host", "renamed"))
    daemon.start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    daemon.kill()
    assert ship(daemon.cache, elsewhere(daemon), "--host", "renamed-again")[0] == 0
    assert sorted(numbers(s3.objects("insights"))) == [0, 1]


def test_what_cannot_be_delivered_is_told_with_its_remedy(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, aggregation=QUIET).start()
    for number in range(3):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
    daemon.kill()
    (segment,) = (daemon.cache / "spool" / "usage").rglob("*.seg")
    data = bytearray(segment.read_bytes())
    data[60] ^= 1
    segment.write_bytes(data)
    s3.client.delete_bucket(Bucket="insights")
    status, summary, stderr = ship(daemon.cache, elsewhere(daemon))
    assert (status, summary["left"]["files"]) == (1, 1)  # type: ignore[index]
    assert "create bucket insights" in stderr
    s3.client.create_bucket(Bucket="insights")
    done = lf6gateway("ship", "--spool", daemon.cache, "-c", elsewhere(daemon))
    assert (done.returncode, b"quarantine ls" in done.stderr) == (1, True)
    assert b"usage: 2 records in 1 objects" in done.stdout
    assert numbers(s3.objects("insights")) == [1, 2]


def test_a_deadline_ends_it_and_leaves_the_rest(gateway: Make, s3: S3Server) -> None:
    daemon = gateway(s3=s3, aggregation=QUIET).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    daemon.kill()
    s3.pause()
    status, summary, stderr = ship(daemon.cache, elsewhere(daemon), "--deadline", "500ms")
    assert (status, summary["left"]["files"]) == (1, 1)  # type: ignore[index]
    assert "given up" in stderr
    s3.resume()
    assert ship(daemon.cache, elsewhere(daemon))[0] == 0
    assert numbers(s3.objects("insights")) == [1]

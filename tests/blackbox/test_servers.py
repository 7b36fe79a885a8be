"""The real gateway against each S3 server: three intervals in an hour, a ``kill -9`` in the middle, a server that stands
still for longer than anybody waits; all of it is there once."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from tests.blackbox.gateway import Gateway, eventually, records
from tests.campaigns.relay import Relay
from tests.servers.running import NAMES, Server, Unavailable

QUICK = ("moto", "swift", "rclone", "s3rver")
STREAMS = ("usage", "error", "specimen")
MIB = 1024 * 1024


class Line:
    """A gateway, its server, and what was acknowledged."""

    def __init__(self, name: str, folder: Path, request_timeout: str) -> None:
        self.server = Server(name, folder / "server")
        self.daemon = Gateway(
            folder / "gateway",
            aws={
                "endpoint": self.server.url,
                "region": "us-east-1",
                "access_key_id": self.server.access,
                "secret_access_key": self.server.secret,
            },
            s3={f"{one}_bucket": self.server.bucket for one in STREAMS} | {f"{one}_prefix": one for one in STREAMS},
            http={"max_report": "8MiB"},
            upload={
                "request_timeout": request_timeout,
                "retry_min": "50ms",
                "retry_max": "1s",
                "part_bytes": "5MiB",
            },
        )
        self._chance = random.Random(name)
        self._usage = 0
        self._errors = 0
        self._specimens: dict[str, bytes] = {}

    def send(self, specimen_size: int) -> None:
        """Twenty reports, a specimen with a long name, and an error that does not compress well, so that the hour's
        object is soon one that a store can append to."""
        numbers = range(self._usage, self._usage + 20)
        lines = b"\n".join(b'{"n":%d}' % number for number in numbers)
        assert self.daemon.put("/usage", lines, Content_Type="application/x-ndjson") == 204
        self._usage += 20
        uri = f"file:///C:/photos/{'long folder/' * 60}broken {len(self._specimens)} ü.bin"
        self._specimens[uri] = self._chance.randbytes(specimen_size)
        assert self.daemon.put(f"/specimen?uri={quote(uri, safe='')}", self._specimens[uri]) == 204
        padding = base64.b85encode(self._chance.randbytes(1_800_000)).decode()
        error = json.dumps({"n": self._errors, "padding": padding}).encode()
        assert self.daemon.put("/error", error) == 204
        self._errors += 1

    def arrive(self) -> None:
        """Wait until the errors are there."""
        eventually(lambda: self._arrived() == self._errors)

    def _arrived(self) -> int:
        try:
            return len(records(self.server.objects("error/"), "error/"))
        except (EOFError, BotoCoreError, ClientError, zlib.error):
            return 0  # s3rver shows an object while it is being written

    def compare(self) -> None:
        """What is there is what was acknowledged, each once, and nothing waits."""
        objects = self.server.objects()
        assert [one["n"] for one in records(objects, "usage/")] == list(range(self._usage))
        assert [one["n"] for one in records(objects, "error/")] == list(range(self._errors))
        specimens = {key: content for key, content in objects.items() if key.startswith("specimen/")}
        assert {self._uri(key): content for key, content in specimens.items()} == self._specimens
        assert len(specimens) == len(self._specimens)
        assert self.daemon.waiting_files() == []
        log = self.daemon.log.read_text()
        assert "Traceback" not in log
        assert "Unhandled" not in log

    def _uri(self, key: str) -> str:
        shown = self.server.client.head_object(Bucket=self.server.bucket, Key=key)["Metadata"]
        metadata = {name.lower(): value for name, value in shown.items()}
        return unquote(
            metadata["uri"] + "".join(metadata[one] for one in sorted(metadata) if one.startswith("uri-part"))
        )

    def end(self) -> None:
        self.daemon.clean_up()
        self.server.stop()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    made: list[Line] = []

    def make(name: str, request_timeout: str = "10s") -> Line:
        try:
            made.append(Line(name, tmp_path, request_timeout))
        except Unavailable as reason:
            pytest.skip(str(reason))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.mark.parametrize("name", NAMES)
def test_three_intervals_and_a_kill_are_there_once(name: str, line: Callable[..., Line]) -> None:
    there = line(name)
    there.daemon.start()
    for _ in range(3):
        there.send(1000)
        there.arrive()
    there.send(21 * MIB)
    there.daemon.kill()
    there.daemon.start()
    there.send(0)
    assert there.daemon.stop() == 0
    there.compare()


# One that honours conditions, one that refuses some and verifies everything, and those installed on request.
@pytest.mark.parametrize("name", ["moto", "swift", *(name for name in NAMES if name not in QUICK)])
def test_what_a_server_applies_after_nobody_waits_any_more_is_there_once(name: str, line: Callable[..., Line]) -> None:
    """It stands still with requests in it, and goes on when they were given up."""
    there = line(name, "1s")
    there.daemon.start()
    there.send(1000)
    there.arrive()
    there.server.pause()
    there.send(3 * MIB)
    eventually(lambda: "no answer within" in there.daemon.log.read_text())
    there.send(1000)
    there.server.resume()
    there.send(1000)
    assert there.daemon.stop() == 0
    there.compare()


@pytest.mark.parametrize("name", ["s3rver"])
def test_bodies_that_break_off_damage_nothing(name: str, line: Callable[..., Line]) -> None:
    """This server keeps what came of a body in place of what was there; what was there has been acknowledged."""
    there = line(name, "2s")
    relay = Relay(there.server.port)
    config = yaml.safe_load(there.daemon.config.read_text())
    config["aws"]["endpoint"] = relay.url
    there.daemon.config.write_text(yaml.safe_dump(config))
    there.daemon.start()
    there.send(1000)
    there.arrive()
    relay.mode = "reset in bodies"
    for _ in range(3):
        there.send(MIB)
    eventually(lambda: relay.hits > 8)
    there.daemon.kill()
    relay.join()
    there.daemon.start()
    assert there.daemon.stop() == 0
    there.compare()

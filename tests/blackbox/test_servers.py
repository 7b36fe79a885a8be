"""The real gateway against each S3 server: three intervals in an hour, a ``kill -9`` in the middle, all of it once."""

from __future__ import annotations

import base64
import json
import random
import zlib
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.blackbox.gateway import Gateway, eventually, records
from tests.servers.running import NAMES, Server, Unavailable

STREAMS = ("usage", "error", "specimen")
MIB = 1024 * 1024


def gateway_to(server: Server, folder: Path) -> Gateway:
    return Gateway(
        folder,
        aws={
            "endpoint": server.url,
            "region": "us-east-1",
            "access_key_id": server.access,
            "secret_access_key": server.secret,
        },
        s3={f"{one}_bucket": server.bucket for one in STREAMS} | {f"{one}_prefix": one for one in STREAMS},
        http={"max_report": "8MiB"},
        upload={"request_timeout": "10s", "retry_min": "50ms", "retry_max": "1s", "part_bytes": "5MiB"},
    )


def large(chance: random.Random, number: int) -> bytes:
    """A record that does not compress well, so that the hour's object soon is one the store can append to."""
    return json.dumps({"n": number, "padding": base64.b85encode(chance.randbytes(2_500_000)).decode()}).encode()


def arrived(server: Server) -> int:
    """How many large records are there; s3rver shows an object while it is being written."""
    try:
        return len(records(server.objects("error/"), "error/"))
    except (EOFError, BotoCoreError, ClientError, zlib.error):
        return 0


@pytest.mark.parametrize("name", NAMES)
def test_three_intervals_and_a_kill_are_there_once(name: str, tmp_path: Path) -> None:
    try:
        server = Server(name, tmp_path / "server")
    except Unavailable as reason:
        pytest.skip(str(reason))
    chance = random.Random(name)
    daemon = gateway_to(server, tmp_path / "gateway")
    specimens: dict[str, bytes] = {}
    count = 0

    def send(records_each: int, size: int) -> None:
        nonlocal count
        lines = [b'{"n":%d}' % number for number in range(count, count + records_each)]
        assert daemon.put("/usage", b"\n".join(lines), Content_Type="application/x-ndjson") == 204
        uri = f"file:///C:/photos/{'long folder/' * 60}broken {count} ü.bin"
        specimens[uri] = chance.randbytes(size)
        assert daemon.put(f"/specimen?uri={quote(uri, safe='')}", specimens[uri]) == 204
        count += records_each

    try:
        daemon.start()
        for number in range(3):
            send(20, 1000)
            assert daemon.put("/error", large(chance, number)) == 204
            eventually(lambda number=number: arrived(server) == number + 1)  # type: ignore[misc]
        send(20, 21 * MIB)
        assert daemon.put("/error", large(chance, 3)) == 204
        daemon.kill()
        daemon.start()
        send(20, 0)
        assert daemon.put("/error", large(chance, 4)) == 204
        assert daemon.stop() == 0
        objects = server.objects()
        assert [one["n"] for one in records(objects, "usage/")] == list(range(count))
        assert [one["n"] for one in records(objects, "error/")] == list(range(5))
        found = {}
        for key, content in objects.items():
            if key.startswith("specimen/"):
                shown = server.client.head_object(Bucket=server.bucket, Key=key)["Metadata"]
                metadata = {name.lower(): value for name, value in shown.items()}
                uri = metadata["uri"] + "".join(
                    metadata[part] for part in sorted(metadata) if part.startswith("uri-part")
                )
                found[unquote(uri)] = content
        assert found == specimens
        assert len([key for key in objects if key.startswith("specimen/")]) == len(specimens)
        assert daemon.waiting_files() == []
        log = daemon.log.read_text()
        assert "Traceback" not in log
        assert "Unhandled" not in log
    finally:
        daemon.clean_up()
        server.stop()

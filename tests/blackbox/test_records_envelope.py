"""``records.envelope``: who sent a record, when and where it was received, around the sender's own bytes."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.gateway import Gateway
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
USERS = ('quo"ted', "Ünï cøde 日本", "a'b{c}:,", "\u2028end", "unknown")
EXACT = b'{ "n" : 1.10, "big":123456789012345678901234567890,"n":2e400, "s":"\\u00e9\xc3\xa9" }'


def lines_of(objects: Path, stream: str) -> dict[str, list[bytes]]:
    """The lines of each object of a stream."""
    found = stored(objects)
    return {
        key: gzip.decompress(found[key]).split(b"\n")[:-1]
        for key in sorted(found)
        if key.startswith(stream) and key.endswith(".jsonl.gz")
    }


def parsed(objects: Path, stream: str) -> list[tuple[str, dict[str, Any], bytes]]:
    """Key of the object, envelope and bytes of ``data`` of each line."""
    found = []
    for key, lines in lines_of(objects, stream).items():
        for line in lines:
            data = re.fullmatch(rb'\{"received_at":.*?"host":"test-host","data":(.*)\}', line)
            assert data is not None, line
            found.append((key, json.loads(line), data[1]))
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_an_envelope_tells_who_when_and_where_and_keeps_the_senders_bytes(
    gateway: Make, tmp_path: Path, workers: int
) -> None:
    daemon = gateway(workers=workers, records={"envelope": True}, http={"max_report": "100"}).start()
    before = time.time_ns()
    for user in USERS:
        assert daemon.put("/usage", EXACT, user=user.encode()) == 204  # type: ignore[arg-type]
    assert daemon.put("/usage", b"1" * 101) == 413  # the limit counts the sender's bytes
    batch = b"".join(b'{"n": %d}\r\n\n' % number for number in range(5_000))
    ndjson = {"Content_Type": "application/x-ndjson"}
    assert daemon.put("/error", gzip.compress(batch), Content_Encoding="gzip", **ndjson) == 204
    for _ in range(2):
        assert daemon.put("/error", b'{"n":"once"}', user="bob", Idempotency_Key="k") == 204
    after = time.time_ns()
    assert daemon.stop() == 0

    usage = parsed(tmp_path / "objects", "usage/")
    assert [one["user"] for _, one, _ in usage] == list(USERS)
    assert {data for _, _, data in usage} == {EXACT}
    error = parsed(tmp_path / "objects", "error/")
    assert [data for _, _, data in error] == [b'{"n": %d}' % n for n in range(5_000)] + [b'{"n":"once"}']
    assert error[-1][1]["user"] == "bob"

    ids = [one["id"] for _, one, _ in usage + error]
    assert len(set(ids)) == len(ids)
    for key, one, _ in usage + error:
        assert list(one) == ["received_at", "user", "id", "host", "data"]
        moment = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):\d\d:\d\d\.(\d{9})Z", one["received_at"])
        assert moment is not None, one["received_at"]
        assert key.endswith(f"/{'/'.join(moment.groups()[:4])}/{''.join(moment.groups()[:4])}.test-host.jsonl.gz")
        seconds = int(datetime.fromisoformat(one["received_at"][:19] + "+00:00").timestamp())
        assert before <= seconds * 1_000_000_000 + int(moment[5]) <= after


def test_a_record_keeps_its_id_across_kill_nine_and_a_go_originals_gets_one(gateway: Make, tmp_path: Path) -> None:
    config: dict[str, Any] = {"aggregation": {"usage_interval": "1h", "error_interval": "1h"}}
    daemon = gateway(**config).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    daemon.kill()
    left = daemon.cache / "usage"
    left.mkdir()
    (left / f"{time.time_ns()}.17.carol").write_bytes(b'{\n"n":0}')
    aggregate = gzip.compress(b'{"n":"from an aggregate"}\n')
    (left / f"aggregate_{time.time_ns()}.gz").write_bytes(aggregate)
    (segment,) = [path.stem.partition("-")[2] for path in daemon.cache.rglob("*.seg")]
    daemon = gateway(**config, records={"envelope": True}).start()
    assert daemon.put("/usage", b'{"n":2}') == 204
    assert daemon.stop() == 0
    found = {data: one for _, one, data in parsed(tmp_path / "objects", "usage/")}
    assert found[b'{"n":1}']["id"].startswith(segment + "-")
    assert {data: one["user"] for data, one in found.items()} == {
        b'{"n":1}': "alice",
        b'{"n":2}': "alice",
        b'{ "n":0}': "carol",
        b'{"n":"from an aggregate"}': "unknown",  # the original did not keep it there
    }


def test_switched_on_within_an_hour_only_what_is_sealed_from_then_on_has_one(gateway: Make, tmp_path: Path) -> None:
    daemon = gateway().start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.stop() == 0
    daemon = gateway(records={"envelope": True}).start()
    assert daemon.put("/usage", b'{"n":2}') == 204
    assert daemon.stop() == 0
    lines = [line for found in lines_of(tmp_path / "objects", "usage/").values() for line in found]
    assert lines[0] == b'{"n":1}'
    assert json.loads(lines[1])["data"] == {"n": 2}

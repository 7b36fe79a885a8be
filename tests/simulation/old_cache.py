"""What a Go gateway left in the cache directory before the first start: reports, an aggregate that holds one of them,
specimens. Owns their names and places; each is a request that was acknowledged long ago."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

from lf6gateway.values.slot import HOUR_NS
from lf6gateway.values.stream import Stream
from tests.simulation.machine import Machine
from tests.simulation.sent import Sent


def leave(machine: Machine, requests: list[Sent], now_ns: int) -> None:
    """Put it there, and note what has to be delivered."""

    def report(stream: Stream, place: str | None, received_ns: int) -> bytes:
        data = b'{"id":"%d.0"}' % len(requests)
        if place is not None:
            machine.disk.put(f"/cache/{stream.value}/{place}{received_ns}.77.alice", data)
        note(stream, "alice", data, received_ns)
        return data

    def note(stream: Stream, user: str, data: bytes, received_ns: int) -> None:
        sent = Sent(len(requests), stream, user, machine, 1, None, data, {received_ns // HOUR_NS}, acknowledged=0)
        requests.append(sent)

    early = now_ns - 3 * HOUR_NS
    for stream in (Stream.USAGE, Stream.ERROR):
        report(stream, "", early)
        report(stream, "uploading/", early + HOUR_NS)
        both = report(stream, "aggregation/", early + 5) + b"\n" + report(stream, None, early + 9) + b"\n"
        machine.disk.put(f"/cache/{stream.value}/uploading/aggregate_{early + 9}.gz", gzip.compress(both))
    for place in ("", "uploading/"):
        number = len(requests)
        second = early // 1_000_000_000 + number
        name = datetime.fromtimestamp(second, UTC).strftime("%Y%m%d%H%M%S")
        data = b"specimen %d " % number
        machine.disk.put(f"/cache/specimen/{place}{name}.5.77.file-{number}.txt", data)
        note(Stream.SPECIMEN, "unknown", data, second * 1_000_000_000)

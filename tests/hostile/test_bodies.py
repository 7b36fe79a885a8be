"""Bodies that are small to send and large to keep: compression bombs, JSON bombs, bodies cut into crumbs. Each is answered
as expected, and the memory they take stays within bounds, on a real process."""

from __future__ import annotations

import gzip
import os
import re
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from lf6gateway.values.limits import Limits
from tests.blackbox.gateway import Gateway as Process
from tests.hostile.channels import Channel
from tests.http_support import chunked, request

MIB = 1 << 20
NDJSON = "Content-Type: application/x-ndjson"


@dataclass(frozen=True)
class Body:
    """A body, how it is encoded, and what is answered to it as a report, as a batch and as a specimen."""

    name: str
    coding: str
    data: bytes
    report: int
    batch: int
    specimen: int
    why: str


def _stream(coding: str, size: int) -> bytes:
    """So many zeros, compressed."""
    piece = bytes(MIB)
    if coding == "zstd":
        engine = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        engine = zlib.compressobj(1, zlib.DEFLATED, 31 if coding == "gzip" else 15)  # type: ignore[assignment]
    return b"".join(engine.compress(piece) for _ in range(size // MIB)) + engine.flush()


def _bodies() -> Iterator[Body]:
    for coding in ("gzip", "deflate", "zstd"):
        yield Body(f"{coding} bomb", coding, _stream(coding, 200 * MIB), 413, 413, 413, "200 MiB of zeros")
    inner = gzip.compress(_stream("gzip", 200 * MIB), 9, mtime=0)
    yield Body("gzip in gzip", "gzip", inner, 400, 400, 204, "one coding is decoded, and what is in it is no JSON")
    yield Body("gzip in gzip said twice", "gzip, gzip", inner, 415, 415, 415, "codings over each other are not taken")
    yield Body("empty gzip members", "gzip", gzip.compress(b"", mtime=0) * 45_000, 400, 400, 400, "members of nothing")
    yield Body("empty zstd frames", "zstd", zstandard.compress(b"") * 60_000, 400, 400, 400, "frames of nothing")
    skipped = b"\x50\x2a\x4d\x18\x00\x00\x00\x00" * 100_000 + zstandard.compress(b"1")
    yield Body("skippable zstd frames", "zstd", skipped, 400, 400, 400, "frames to pass over")
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    ).compressobj()
    yield Body("zstd window", "zstd", wide.compress(b"1") + wide.flush(), 400, 400, 400, "a window of 128 MiB")
    yield Body("gzip cut off", "gzip", _stream("gzip", MIB)[:-9], 400, 400, 400, "the end is missing")
    deep = 500_000
    yield Body("arrays in arrays", "identity", b"[" * deep + b"]" * deep, 400, 400, 204, "500 levels are taken")
    yield Body("arrays without end", "identity", b"[" * MIB, 400, 400, 204, "500 levels are taken")
    yield Body("objects in objects", "identity", b'{"":' * (deep // 3), 400, 400, 204, "500 levels are taken")
    yield Body("a million digits", "identity", b"1" * MIB, 204, 204, 204, "numbers are not computed")
    yield Body("a huge exponent", "identity", b"1e" + b"9" * (MIB - 2), 204, 204, 204, "numbers are not computed")
    yield Body("digits, then not", "identity", b"[" + b"1" * (MIB - 3) + b"x]", 400, 400, 204, "found at its end")
    keys = b"{" + b",".join(b'"%d":0' % number for number in range(90_000)) + b"}"
    yield Body("many keys", "identity", keys, 204, 204, 204, "no table is made of them")
    yield Body("one key, often", "identity", b"{" + b",".join([b'"a":0'] * 170_000) + b"}", 204, 204, 204, "the same")
    yield Body("a long string", "identity", b'"' + b"a" * (MIB - 2) + b'"', 204, 204, 204, "a string is one")
    yield Body("escapes", "identity", b'"' + b"\\u0000" * 170_000 + b'"', 204, 204, 204, "they are not resolved")
    yield Body("a string without end", "identity", b'"' + b"\\" * (MIB - 2), 400, 400, 204, "found at its end")
    yield Body("blanks", "identity", b" " * MIB, 400, 400, 204, "nothing is in it")
    yield Body("a million records", "identity", b"1\n" * MIB, 413, 204, 204, "a batch may hold them")
    yield Body("a million blank lines", "identity", b"\n" * MIB, 400, 400, 204, "nothing is in it")
    yield Body("a million commas", "identity", b"[" + b"," * (MIB - 2) + b"]", 400, 400, 204, "the first one is wrong")


LARGEST = 192 * MIB
"""What a process may grow by over all of them: each of the two threads that decode has an arena of the allocator's of its
own, which keeps what the largest batch (32 MiB) and its joined copy once took; the rest is the specimens' and zstd's
window. Each bomb holds more."""


def memory(process: Process) -> int:
    """The most that a process ever had, in bytes."""
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def reset_memory(process: Process) -> None:
    """Begin again with the most, where the system lets us."""
    assert process.process is not None
    Path(f"/proc/{process.process.pid}/clear_refs").write_text("5")


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="only Linux tells the most memory a process had"
)
def test_each_body_is_answered_as_expected_and_takes_bounded_memory(channel: Channel, tmp_path: Path) -> None:
    config = {
        "storage": {"directory": str(tmp_path / "objects")},
        "http": {"max_specimen": "16MiB", **channel.config.get("http", {})},
    }
    process = Process(tmp_path / "gateway", **config).start()
    wrong = []
    try:
        assert process.put("/usage", b"1") == 204
        reset_memory(process)
        before = memory(process)
        for body in _bodies():
            expected = {"/usage": body.report, "/error": body.batch, "/specimen?uri=a": body.specimen}
            for path, status in expected.items():
                more = {"Content_Type": "application/x-ndjson"} if path == "/error" else {}
                found = process.put(path, body.data, Content_Encoding=body.coding, **more)
                if found != status:
                    wrong.append((body.name, path, found, body.why))
        grown = memory(process) - before
        assert process.stop() == 0
    finally:
        process.clean_up()
    assert not wrong
    assert grown < LARGEST, f"{grown // MIB} MiB more than before"


@pytest.mark.parametrize("target", ["/usage", "/specimen?uri=a"])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_body_in_crumbs_takes_little_more_memory_than_its_bytes(
    channel: Channel, target: str, coding: str | None
) -> None:
    size = 60_000
    gateway = channel.gateway(Limits(max_batch=size))
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    headers = [NDJSON] + ([] if coding is None else [f"Content-Encoding: {coding}"])
    data = os.urandom(size // 2).hex().encode()
    data = data if coding is None else gzip.compress(data, 0)
    sent = chunked("PUT", target, [data[at : at + 2] for at in range(0, size, 2)], *headers)[:-10]
    tracemalloc.start()
    try:
        for at in range(0, len(sent), 65_536):
            connection.send(sent[at : at + 65_536])
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert connection.raw == b""
    connection.hang_up()
    assert grown < 3 * size, f"{grown} bytes for {size}"


def test_nothing_more_is_answered_until_something_was_read(channel: Channel) -> None:
    gateway = channel.gateway(Limits(idle_timeout=75))
    connection = gateway.connect()
    connection.channel.pauseProducing()  # as the transport does when its buffer is full
    connection.send(request("GET", "/health") * 3)
    assert len(connection.replies()) == 1
    connection.channel.resumeProducing()
    assert len(connection.replies()) == 2
    connection.channel.pauseProducing()
    connection.send(request("PUT", "/usage", b"1") + request("PUT", "/usage", b"2"))
    assert len(connection.replies()) == 1
    gateway.clock.advance(75)
    gateway.clock.advance(15)
    assert not connection.open
    assert gateway.backend.usage.lines == b"1\n"


def test_a_connection_with_many_requests_at_once_lets_others_have_their_turn(channel: Channel) -> None:
    gateway = channel.gateway()
    connection = gateway.connect()
    connection.channel.dataReceived(request("GET", "/health") * 100)
    seen = len(connection.replies())
    assert seen <= 20
    other = gateway.connect()
    other.channel.dataReceived(request("GET", "/health"))
    assert len(other.replies()) == 1
    gateway.clock.advance(0)  # runs what its calls call in turn, too, as a reactor does not
    assert seen + len(connection.replies()) == 100
    connection.send(request("PUT", "/usage", b"1"))
    assert connection.reply().status == 204

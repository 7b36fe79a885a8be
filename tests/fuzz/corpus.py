"""What fuzzing starts from, and what it has found: files under ``corpus/``, one an input, in a folder for each target.
``python -m tests.fuzz.corpus`` writes the first ones anew; those that a fuzzer found are left alone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import zstandard

from lf6gateway.disk import specimen_file
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.member import Member, encode_header
from tests.hostile.catalogue import CASES
from tests.http_support import chunked, request

FOLDER = Path(__file__).with_name("corpus")
_EXAMPLE = Path(__file__).parents[2] / "config.example.yml"


def inputs(target: str) -> list[tuple[str, bytes]]:
    """All that is kept for a target, by name."""
    name = "channel" if target.startswith("channel") else target
    return [(path.name, path.read_bytes()) for path in sorted((FOLDER / name).iterdir())]


def _seeds() -> Iterator[tuple[str, str, bytes]]:
    for number, case in enumerate(CASES):
        if len(case.sent) < 600 and number % 7 == 0:
            yield "channel", f"catalogue-{number}", b"\x06" + case.sent
    pipelined = (
        request("PUT", "/usage", b"1") + chunked("PUT", "/specimen?uri=a", [b"x", b"yz"]) + request("GET", "/ready")
    )
    yield "channel", "pipelined", b"\x03" + pipelined
    yield "channel", "batch", b"\x11" + request("POST", "/error", b"1\n[2]\n", "Content-Type: application/x-ndjson")
    yield "channel", "continue", b"\x28" + request("PUT", "/usage", b"1", "Expect: 100-continue", "Idempotency-Key: k")
    packed = gzip.compress(b'{"a":1}', mtime=0)
    yield "channel", "gzip", b"\x05" + request("PUT", "/usage", packed, "Content-Encoding: gzip")
    yield "channel", "gzip-specimen", b"\x05" + request("PUT", "/specimen?uri=a", packed, "Content-Encoding: gzip")
    for number, text in enumerate((b"hello", b"a" * 3_000, b"")):
        yield "body", f"gzip-{number}", b"\x00\x04\x00" + gzip.compress(text, mtime=0) * 2
        yield "body", f"zstd-{number}", b"\x02\x04\x00" + zstandard.compress(text) * 2
        yield "body", f"to-encode-{number}", bytes([number, 9, 1]) + text
        yield "body", f"to-damage-{number}", bytes([number, 9, 3]) + text
    yield "body", "skippable", b"\x02\x04\x00\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstandard.compress(b"x")
    for number, text in enumerate(
        (b'{"a":[1,2.5e-3,"\\u00e9"],"b":null}', b"[[[[1]]]]\r\n", b"1\n2\n\n3", b"-0.0E+1 ")
    ):
        yield "records", f"json-{number}", text
    yield "configuration", "example", _EXAMPLE.read_bytes()
    yield (
        "configuration",
        "environment",
        b"storage:\n  directory: a\n\0HTTP_MAX_REPORT=2MiB\nAGGREGATION_USAGE_INTERVAL=1h30m\n",
    )
    yield (
        "configuration",
        "wrong",
        b"s3:\n  usage_bukket: a\nhttp: {listen: [tcp:1], max_report: -1}\naws: &a\n  region: *a\n",
    )
    entry = Entry(1_700_000_000_000_000_000, "alice", b'{"a":1}\n', 1, "key", "id")
    frames = frame.FILE_HEADER + b"".join(frame.encode(entry)) * 2
    yield "recovery", "segment", b"\x00\x00" + frames
    yield "recovery", "segment-torn", b"\x00\x00" + frames[:-9]
    yield "recovery", "segment-hole", b"\x00\x00" + frames[:60] + bytes(30) + frames[90:]
    yield "recovery", "segment-mended", b"\x00\x01" + b"\x05\x03\x02\x08alicekeyid" + b'{"a":1}\n'
    member = Member(
        "0" * 16, "1" * 32, 1, 8, len(encode_header(Member("0" * 16, "1" * 32, 1, 8, 0, "2" * 32))) + 20, "2" * 32
    )
    yield "recovery", "walk", b"\x01\x00" + encode_header(member) + bytes(20) + gzip.compress(b"x", mtime=0)
    yield "recovery", "walk-mended", b"\x01\x01" + b"abc" * 40
    head = specimen_file.Head("1" * 32, 1_700_000_000_000_000_000, "alice", "file:///a.png", "image/png", None, "id")
    raw = specimen_file.encode_head(head)
    yield "recovery", "specimen", b"\x02\x00" + raw + b"body" + specimen_file.encode_trailer(4, bytes(32))
    yield "recovery", "specimen-mended", b"\x02\x01" + raw[raw.index(b"{") :] + b"\nbody"
    yield "recovery", "ledger", b"\x03\x00" + HourLedger(shipped=("1" * 32,)).encode()
    yield "recovery", "ledger-mended", b"\x03\x01" + b"12\nabc"
    yield "recovery", "keys", b"\x04\x00" + b'[1700000000000000000, "alice", "key"]\n[1, 2]\nx\n'
    yield "recovery", "keys-mended", b"\x04\x01" + b"\x05\x03\x02\x08alicekeyid" + b'{"a":1}\n'
    yield "recovery", "member", b"\x05\x00" + encode_header(member)
    yield "recovery", "go-report", b"\x06\x00" + b"1700000000000000000.12.alice"
    yield "recovery", "go-specimen", b"\x06\x00" + b"20231114221320.5.12.file%3A%2F%2F%2Fa.png"


def main() -> None:
    for target, name, data in _seeds():
        (FOLDER / target).mkdir(parents=True, exist_ok=True)
        (FOLDER / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
